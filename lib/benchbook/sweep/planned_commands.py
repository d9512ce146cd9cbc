"""`benchbook plan --commands`: vLLM's own commands, host by host and case by case."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from benchbook.hosts.engines import VLLM, engine_of
from benchbook.hosts.model.files import planned_path
from benchbook.hosts.model.hub import hub_variables
from benchbook.hosts.vllm import several_machines
from benchbook.hosts.vllm.environments import vllm_python
from benchbook.hosts.vllm.tokenizers import client_words, tokenizer_of
from benchbook.measure.argv import COMMANDS, Sent, Target
from benchbook.measure.client.given import Given
from benchbook.measure.client.stretch import Stretch
from benchbook.plan.case import Case
from benchbook.plan.experiment import Experiment
from benchbook.plan.launches import Launch
from benchbook.plan.order import Block, Repeat
from benchbook.ranks import num_machines
from benchbook.sweep.finding import planned_searches
from benchbook.sweep.searching import planned_trials
from benchbook.sweep.set_layout import set_of
from benchbook.terms.wording import listed

_BASE_URL, _NONCE = "http://127.0.0.1:PORT", "NONCE"
_PORT = 987654321  # no port, and nothing else in a command


def print_commands(console: Console, experiment: Experiment, blocks: Sequence[Block]) -> None:
    """Print the command of each server or engine, and of all that `blocks` and searches measure on it over all its starts."""
    hosts: dict[tuple[str, str], list[Block]] = {}
    for block in (*blocks, *planned_searches(experiment), *planned_trials(experiment)):
        hosts.setdefault((block.launch, block.host_kind), []).append(block)
    for starts in hosts.values():
        _print_host(console, experiment, starts)
    _line(console, "PORT, NONCE, SEED and RAW.json are chosen when it runs.")
    if any(case.maximum for case in experiment.cases):
        _line(console, "RATE is a share of the throughput that the run measures first.")
    for note in dict.fromkeys(_revision_notes(experiment)):
        _line(console, note)
    started = [launch for launch in experiment.launches if not launch.attached]
    for folder in dict.fromkeys(planned_path(launch.model.path_or_id) for launch in started):
        if os.path.isabs(folder) and not os.path.isdir(folder):
            _line(console, f"{folder} is made by the first `run`: until then no vLLM finds a model there.")


def _print_host(console: Console, experiment: Experiment, starts: list[Block]) -> None:
    """Print one launch's server or engine and all that is measured on it, over all its starts."""
    block, launch = starts[0], experiment.launch(starts[0].launch)
    if launch.attached:
        turns = "; its requests go to each in turn, which no command line does" if launch.attached.reach.also else ""
        address = listed(launch.attached.addresses)
        _line(console, f"server of launch {launch.name!r} at {address}, which runs already{turns}")
        _print_cases(console, experiment, launch, starts)
        return
    env = _words(launch.env)
    times = f", {len(starts)} starts" if len(starts) > 1 else ""
    _line(console, f"{block.host_kind} of launch {launch.name!r}, model {launch.model_text}{times}")
    model, engine = planned_path(launch.model.path_or_id), engine_of(launch)
    if engine is VLLM and num_machines(launch.args) > 1:
        _print_machines(console, launch, model, env)
        return
    if block.host_kind == "server":
        program = ("vllm",) if engine is VLLM else engine.program
        argv = engine.command(model, launch.args, _PORT, "127.0.0.1", [model, _NONCE], program)
        _line(console, f"  $ {env}{shlex.join(argv).replace(str(_PORT), 'PORT')}")
    else:
        _line(
            console,
            f"  one engine loaded with these flags runs all of the following{f', {env.strip()}' if env else ''}",
        )
    _print_cases(console, experiment, launch, starts)


def _print_machines(console: Console, launch: Launch, model: str, env: str) -> None:
    """Print how somebody starts a server on several machines, and how it is measured then."""
    for where, command in several_machines.commands(model, launch.args, vllm_python(launch.python)):
        _line(console, f"  {where}:")
        _line(console, f"    $ {env}{command}")
    address = f"http://{several_machines.address_of(launch.args)}:{several_machines.PORT}"
    _line(console, f"  measured then by launches: {{{launch.name}: {{attach: {address}}}}}")
    _line(console, "")


def _print_cases(console: Console, experiment: Experiment, launch: Launch, starts: list[Block]) -> None:
    """Print the command of each case that is measured on a host."""
    repeats = {repeat.case.case_id: repeat for start in starts for repeat in start.repeats}
    for case in experiment.cases:
        if case.case_id in repeats:
            _line(console, f"  {case.case_id}")
            _line(console, f"    $ {_command(case, launch, repeats[case.case_id], experiment)}")
            if case.workload.host_kind == "engine" and set_of(case.workload):
                _line(console, "      (on the loaded engine alone: by itself this command cannot read a frozen set)")
            if ends_after_s := getattr(case.workload, "ends_after_s", None):
                _line(
                    console,
                    f"      (the warm client ends it after {ends_after_s:g} s: by itself this command sends all)",
                )
    _line(console, "")


def _command(case: Case, launch: Launch, repeat: Repeat, experiment: Experiment) -> str:
    """Return the official command of `case` as one line; what is chosen at run time is in capitals."""
    model, is_client = planned_path(launch.model.path_or_id), case.workload.host_kind == "server"
    hub = hub_variables(launch.env) if is_client else {}
    target = Target(
        model=model,
        raw_path=Path("RAW.json"),
        seed=repeat.seed,
        base_url=launch.attached.address if launch.attached else _BASE_URL,
        served_name=launch.model_text if launch.attached else _NONCE,
        trusts_all=bool(launch.attached and launch.attached.reach.insecure),
        tokenizer_words=client_words(launch.client_args, model, hub) if is_client else (),
        engine_args=launch.args,
        python=vllm_python(launch.python if launch.engine == VLLM.name else ""),
        sent=_sent(case, experiment),
    )
    words = COMMANDS[case.workload.benchmark](case.workload, target)
    text = shlex.join(words).replace(f"--seed {repeat.seed}", "--seed SEED")
    if case.maximum:
        text = text.replace(f"--request-rate {case.workload.load.rate_rps}", "--request-rate RATE")
    return _words(hub) + text


def _sent(case: Case, experiment: Experiment) -> Sent | None:
    """Return how a case sends its set: from the plain file in which the command line is given it, offline from the frozen one."""
    name = set_of(case.workload)
    if name is None:
        return None
    wanted, stretch = experiment.requests[name], Stretch(f"{name}.jsonl.gz", 0, case.workload.num_prompts)
    how = {"endpoint": wanted.endpoint, "ends_by": wanted.ends_by, "sampling": wanted.sent_sampling}
    is_offline = case.workload.host_kind == "engine"
    words = Given(stretch, None, Path()).words() if is_offline else stretch.words(Path(f"{name}.jsonl"))
    return Sent(words=words, **how)


def _words(env: Mapping[str, str]) -> str:
    """Return variables as they stand before a command, with a space behind each."""
    return "".join(f"{name}={shlex.quote(value)} " for name, value in env.items())


def _revision_notes(experiment: Experiment) -> Iterator[str]:
    """Yield of each tokenizer of a revision that is not in the cache yet what a client will get instead of its name."""
    for launch in (launch for launch in experiment.launches if not launch.attached):
        model, hub_env = planned_path(launch.model.path_or_id), hub_variables(launch.env)
        tokenizer, revision = tokenizer_of(launch.args, model)
        if revision and not os.path.isdir(client_words(launch.args, model, hub_env)[1]):
            yield f"--tokenizer {tokenizer} becomes the folder of its revision {revision} once that is in the cache."


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
