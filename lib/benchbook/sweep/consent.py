"""How much load a run sends to servers of somebody else, told before it is sent, and sent only to whom somebody agreed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

from benchbook.hosts.process.ports import is_loopback
from benchbook.plan.experiment import Experiment
from benchbook.plan.launches import Launch
from benchbook.plan.order import Block, Repeat
from benchbook.plan.workload import Workload
from benchbook.sweep.guarding import asks_items, num_items
from benchbook.terms.asked import PROMPTS
from benchbook.terms.sent_beside import MAX_LOADS, MAX_WARMUPS, NUM_ALONE, NUM_PROMPTS
from benchbook.terms.wording import counted, listed

IN_A_NOTEBOOK = 3  # requests of 02_first_request, of which one is measured

Confirm = Callable[[str], bool]  # whether what is said may be sent


def is_elsewhere(launch: Launch) -> bool:
    """Return whether an attached launch is reached by an address that is not this machine's own."""
    return not all(is_loopback(urlsplit(address).hostname or "") for address in launch.attached.addresses)


def load_texts(experiment: Experiment, blocks: Sequence[Block]) -> Iterator[tuple[Launch, str]]:
    """Yield each attached launch that `blocks` measure, and how much is sent to it."""
    for launch in experiment.launches:
        mine = [block for block in blocks if block.launch == launch.name]
        if launch.attached and mine:
            each = ", in turn," if launch.attached.reach.also else ""
            verb = "get" if each else "gets"
            yield launch, f"{listed(launch.attached.addresses)}{each} {verb} {_load_text(experiment, mine)}"


def ask_consent(experiment: Experiment, blocks: Sequence[Block], confirm: Confirm) -> bool:
    """Return whether all that `blocks` send to other machines may be sent, which `confirm` is asked once."""
    told = [text for launch, text in load_texts(experiment, blocks) if is_elsewhere(launch)]
    return not told or confirm(f"{'; '.join(told)}. Send it?")


def _load_text(experiment: Experiment, blocks: Sequence[Block]) -> str:
    """Return e.g. '480 requests (61,440 prompt and 30,720 output tokens), up to 16 in flight, and 32 to warm up'."""
    repeats = [repeat for block in blocks for repeat in block.repeats]
    fixed = (NUM_ALONE if len(experiment.launches) == 1 else NUM_PROMPTS) * len(blocks)
    warm_up = sum(_warm_up(block) for block in blocks)
    said = [counted(sum(map(_requests, repeats)), "request") + _tokens_text(repeats)]
    said += [text for text in (_pressure_text(repeats),) if text]
    waves = f" (up to {MAX_WARMUPS} times as many where it stands still in them)" if warm_up else ""
    beside = [f"{warm_up:,} to warm up{waves}"] * bool(warm_up) + [f"{fixed:,} short ones whose answers are compared"]
    beside += _guard_texts(experiment, repeats)
    again = experiment.again * sum(map(_requests, repeats))
    more = f"; at most {again:,} again of repeats that were disturbed" if again else ""
    return f"{', '.join(said)}; besides, {listed(beside)}{more}"


def _guard_texts(experiment: Experiment, repeats: Sequence[Repeat]) -> Iterator[str]:
    """Yield how many items are asked for the guard, and how much is sent beside them."""
    asking = [repeat for repeat in repeats if asks_items(experiment, repeat)]
    if asking:
        items, load = len(asking) * num_items(experiment), sum(map(_requests, asking))
        most = f"{load:,} to {MAX_LOADS * load:,} requests of the load that is sent beside them"
        yield f"{items:,} items of the guard, and {most} until all are answered"


def _requests(repeat: Repeat) -> int:
    workload = repeat.case.workload
    return _most(workload) if workload.row.is_load else IN_A_NOTEBOOK


def _most(workload: Workload) -> int:
    """Return how many requests a load sends, at most where the clock ends it."""
    return workload.asked.requests or getattr(workload, PROMPTS, 0)


def _warm_up(block: Block) -> int:
    """Return how many requests a block sends before it measures: once for each load."""
    loads = {repeat.case.warm_shape: repeat.case.workload for repeat in block.repeats}
    return sum(getattr(workload, "warmup_prompts", 0) for workload in loads.values())


def _tokens_text(repeats: Sequence[Repeat]) -> str:
    loads = [repeat.case.workload for repeat in repeats if repeat.case.workload.row.is_load]
    each = [(_most(load), load.asked.input_tokens_each, load.asked.output_tokens_each) for load in loads]
    if not each or any(None in one for one in each):
        return ""
    prompt, output = (sum(one[0] * one[place] for one in each) for place in (1, 2))
    return f" ({prompt:,.0f} prompt and {output:,.0f} output tokens)"


def _pressure_text(repeats: Sequence[Repeat]) -> str:
    loads = [load for repeat in repeats if (load := repeat.case.workload.load)]
    in_flight = max((load.most_in_flight or 0 for load in loads), default=0)
    rate_rps = max((load.rate_rps or 0.0 for load in loads), default=0.0)
    said = [f"up to {in_flight:,} in flight"] * bool(in_flight) + [f"up to {rate_rps:g} a second"] * bool(rate_rps)
    return " and ".join(said)
