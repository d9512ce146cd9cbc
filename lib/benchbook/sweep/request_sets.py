"""The sets of a run: where each repeat's requests lie in its file, and the file itself, drawn once.

    RUN/requests/chat.jsonl.gz

A file holds round after round; in a round each load has a stretch of its own, and behind it one for its warm-up. So
launches are sent the same bytes in the same round, and no prompt twice on one start, as far as the set has fresh ones.
What was drawn is kept: a run that is continued sends from the file, whatever has become of what it was drawn from.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbook.hosts.model.files import ModelFiles, planned_path, tokenizer_sha256
from benchbook.hosts.model.hub import hub_variables
from benchbook.hosts.vllm.tokenizers import client_words
from benchbook.measure.client.drawing import draw_set
from benchbook.measure.client.meter import meter_path
from benchbook.measure.client.warm import WarmClient
from benchbook.measure.drawing.check import check_files
from benchbook.measure.drawing.order import Order
from benchbook.measure.names_of_sets import check_dataset
from benchbook.measure.serve import MAX_WARMUPS
from benchbook.plan.experiment import Experiment
from benchbook.plan.order import Repeat, repeat_seed
from benchbook.plan.requests import RequestSet
from benchbook.plan.workload import Workload
from benchbook.reading import read_bytes
from benchbook.records.files import make_folder, write_bytes, write_json
from benchbook.records.frozen import FrozenHeader, lines_sha256, read_header
from benchbook.records.handover import SentRequests
from benchbook.records.store import Store
from benchbook.sweep.progress import Listener
from benchbook.terms.errors import ExperimentError, StoreError

FOLDER = "requests"
_ENDING = ".jsonl.gz"


@dataclass(frozen=True)
class Layout:
    """Where in a set's file the requests of each repeat lie."""

    places: Mapping[str, int]  # of each load, by its text, within a round
    in_round: int  # requests
    rounds: int  # those that may be held, and more for repeats that are measured again
    at_once: int  # the most that one load sends
    turns: int  # of a conversation; 1 where there are none, or nobody knows how many
    is_replayed: bool  # each repeat sends a trace from its beginning on

    @property
    def requests(self) -> int:
        """Return how many the file must have."""
        return self.at_once if self.is_replayed else self.in_round * self.rounds

    def start(self, load: str, number: int) -> int:
        """Return where the requests of `load` in a round begin."""
        return 0 if self.is_replayed else self.places[load] + self.in_round * (number % self.rounds)


@dataclass(frozen=True)
class FrozenSet:
    """A set as it lies in the run."""

    name: str
    wanted: RequestSet
    path: Path
    header: FrozenHeader
    sha256: str  # of all its requests
    layout: Layout

    def identity(self, load: str) -> dict[str, Any]:
        """Return what tells which requests a load is sent, for the fingerprint of its case."""
        return {"sha256": self.sha256, "start": self.layout.places[load], "in_round": self.layout.in_round}

    def sent(self, repeat: Repeat, folder: Path) -> SentRequests:
        """Return what the notebook of a repeat, which lies in `folder`, is told to send."""
        workload, layout, load = repeat.case.workload, self.layout, repeat.case.axes_text
        # What was disturbed is sent others, from behind the rounds, where its host may know these.
        number = repeat.number if not repeat.tries else layout.rounds - 1 - (repeat.number + repeat.tries) % 2
        behind = 0 if layout.is_replayed else _whole_talks(workload.num_prompts, layout.turns)
        return SentRequests(
            name=self.name,
            path=os.path.relpath(self.path, folder),
            sha256=self.sha256,
            start=layout.start(load, number),
            warmup_starts=tuple(layout.start(load, number + wave) + behind for wave in range(MAX_WARMUPS)),
            endpoint=self.wanted.endpoint,
            ends_by=self.wanted.ends_by,
            sampling=self.wanted.sent_sampling,
            is_timed=self.wanted.kind == "trace",
            is_fresh=self.header.distinct >= layout.requests and not layout.is_replayed,
            shares_prefix=self.wanted.shares_prefix,
            made_of=self.wanted.made_of,
        )


def layouts(experiment: Experiment) -> dict[str, Layout]:
    """Return where the requests of each set lie that a case sends."""
    rounds = (experiment.until.at_most if experiment.until else experiment.repeats) + 2 * bool(experiment.again)
    loads: dict[str, dict[str, Any]] = {}
    for case in experiment.cases:
        if (name := set_of(case.workload)) in experiment.requests:
            loads.setdefault(name, {})[case.axes_text] = case.workload
    return {name: _layout(sending, experiment.requests[name], rounds) for name, sending in loads.items()}


def _layout(loads: Mapping[str, Any], wanted: RequestSet, rounds: int) -> Layout:
    places, in_round, turns = {}, 0, _turns(wanted)
    for text, load in loads.items():
        places[text] = in_round
        in_round += sum(_whole_talks(number, turns) for number in (load.num_prompts, load.warmup_prompts))
    at_once = max(max(load.num_prompts, load.warmup_prompts) for load in loads.values())
    return Layout(places, in_round, rounds, at_once, turns, wanted.kind == "trace")


def set_of(workload: Workload) -> str | None:
    """Return the name of the set that a workload sends, None for one without."""
    return getattr(workload, "requests", None)


def _whole_talks(number: int, turns: int) -> int:
    """Return a number of requests that ends with a conversation."""
    return math.ceil(number / turns) * turns


def _turns(wanted: RequestSet) -> int:
    """Return the turns of a conversation, of a set that is frozen already as its file says; 1 without such a number."""
    drawn_as = _set_in(wanted.frozen) if wanted.frozen else wanted
    return (drawn_as.conversations.turns if drawn_as.conversations else None) or 1


def _set_in(frozen: str) -> RequestSet:
    """Return the set that a frozen file was drawn as; StoreError where its header says none."""
    try:
        return RequestSet(**read_header(frozen).spec)
    except ExperimentError as error:
        why = str(error).removeprefix(f"{RequestSet.__name__}: ")
        raise StoreError(f"{frozen}, line 1, is damaged: spec: {why}") from error


def _damage(frozen: str) -> str:
    """Return what is wrong with the beginning of a frozen file, which tells where conversations end."""
    try:
        _set_in(frozen)
    except StoreError as error:
        return str(error)
    return ""


def _check_frozen(path: str, layout: Layout) -> int:
    """Return how many different requests a frozen file has; ExperimentError where it cannot be sent from."""
    header = read_header(path)
    if header.requests < layout.requests:
        few = f"has {header.requests:,} requests, and {layout.requests:,} are needed for all rounds and warm-ups"
        raise ExperimentError(f"{path} {few}")
    if _set_in(path).kind == "trace":
        raise ExperimentError(f"{path} is of a trace, whose times are replayed from its own file: name that as trace")
    return header.distinct


def check_sets(experiment: Experiment) -> list[str]:
    """Return a line for each set that has too few requests for fresh ones in each round.

    Files that cannot be drawn from, or have too few for one load, are faults of the experiment's document.
    """
    doc, notes = experiment.document, []
    for name, wanted in experiment.requests.items():
        if wanted.frozen and (damage := _damage(wanted.frozen)):
            doc.faults.note(doc.error(("requests", name), damage))
    if doc.faults.has_within(("requests",)):
        return []
    for name, layout in layouts(experiment).items():
        check_dataset(doc, ("requests", name), experiment.requests[name])
        if doc.faults.has_within(("requests", name)):
            continue
        with doc.faults.noted():
            try:
                wanted = experiment.requests[name]
                number = _check_frozen(wanted.frozen, layout) if wanted.frozen else check_files(wanted, layout.at_once)
            except (ExperimentError, StoreError) as error:
                raise doc.error(("requests", name), str(error)) from None
            if layout.is_replayed and layout.rounds > 1:
                notes.append(f"requests {name!r}: {_REPLAYED}")
            elif number is not None and number < layout.requests:
                notes.append(_too_few(name, number, layout.requests))
    return notes


_REPLAYED = (
    "each repeat replays the trace from its beginning, after a warm-up of the same requests: a prefix cache that is not "
    "emptied (VLLM_SERVER_DEV_MODE: 1 in the launch's env) knows them"
)


def _too_few(name: str, number: int, needed: int) -> str:
    return (
        f"requests {name!r}: {number:,} are there, and {needed:,} would be fresh in each round and warm-up: they come "
        "again, and a prefix cache that is not emptied knows them"
    )


def frozen_in(experiment: Experiment, store: Store) -> dict[str, FrozenSet]:
    """Return the sets that lie in the run as the experiment asks for them."""
    found = {}
    for name, layout in layouts(experiment).items():
        if there := _there(experiment, name, layout, store):
            found[name] = there
    return found


def freeze(
    experiment: Experiment, models: Mapping[str, ModelFiles], store: Store, listener: Listener
) -> dict[str, FrozenSet]:
    """Return all sets of the experiment as they lie in the run, those that do not yet being drawn now.

    Raises ExperimentError for a set that cannot be drawn, MeasureError where drawing fails otherwise.
    """
    found, places = frozen_in(experiment, store), layouts(experiment)
    left = [name for name in places if name not in found]
    if left:
        folder = make_folder(store.run_dir / FOLDER).resolve()
        for hub_env, names in _by_hub(experiment, left).items():
            with WarmClient(name="draw requests", log_dir=folder, env=dict(hub_env)) as client:
                for name in names:
                    listener.working_on(f"drawing requests {name!r}, once for the run")
                    found[name] = _drawn(experiment, name, places[name], models, store, client)
                    listener.say(_told(found[name]))
    return found


def forget_texts(store: Store) -> None:
    """Leave of each set of a finished run what it was, how many requests it had and their hash: none of their text."""
    for path in sorted((store.run_dir / FOLDER).glob(f"*{_ENDING}")):
        told = {**read_header(path).model_dump(mode="json"), "sha256": lines_sha256(path)}
        write_json(path.with_name(path.name.removesuffix(_ENDING) + ".json"), told)
        path.unlink()


def _by_hub(experiment: Experiment, names: list[str]) -> dict[tuple[tuple[str, str], ...], list[str]]:
    """Return the sets by what a client must start with: where the hub is of the launch that they are drawn for."""
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name in names:
        hub_env = hub_variables(_launch_of(experiment, name).env)
        found.setdefault(tuple(sorted(hub_env.items())), []).append(name)
    return found


def _launch_of(experiment: Experiment, name: str) -> Any:
    """Return the launch whose tokenizer counts for a set: the first that is sent it."""
    case = next(case for case in experiment.cases if set_of(case.workload) == name)
    return experiment.launch(case.launch)


def seed_of(experiment: Experiment, name: str) -> int:
    """Return the seed that a set is drawn by, its own: prompts of two sets that began alike would warm each other's cache."""
    return repeat_seed(experiment.seed, name, 0)


def _path(store: Store, name: str) -> Path:
    return store.run_dir / FOLDER / f"{name}{_ENDING}"


def _drawn(
    experiment: Experiment,
    name: str,
    layout: Layout,
    models: Mapping[str, ModelFiles],
    store: Store,
    client: WarmClient,
) -> FrozenSet:
    wanted, launch = experiment.requests[name], _launch_of(experiment, name)
    path, model, hub_env = _path(store, name).resolve(), models[launch.name].path, hub_variables(launch.env)
    if wanted.frozen:
        write_bytes(path, read_bytes(wanted.frozen))
        return FrozenSet(name, wanted, path, read_header(path), lines_sha256(path), layout)
    order = Order(
        name=name,
        request_set=_spec(wanted),
        requests=layout.requests,
        at_once=layout.at_once,
        seed=seed_of(experiment, name),
        model=model,
        tokenizer_words=client_words(launch.client_args, model, hub_env),
        path=str(path),
    )
    log_path = path.with_name(f"{name}.log")
    drawn = draw_set(order, socket_path=client.socket_path, env=hub_env, log_path=log_path)
    for written in (log_path, meter_path(log_path)):
        written.unlink(missing_ok=True)
    return FrozenSet(name, wanted, path, drawn.header, drawn.sha256, layout)


def _there(experiment: Experiment, name: str, layout: Layout, store: Store) -> FrozenSet | None:
    """Return a set that lies in the run, if it is the one that is asked for, and whole."""
    wanted, path = experiment.requests[name], _path(store, name)
    if not path.is_file():
        return None
    try:
        header, sha256 = read_header(path), lines_sha256(path)
    except StoreError:
        return None
    is_it = (
        bool(wanted.frozen)
        and os.path.isfile(wanted.frozen)
        and lines_sha256(wanted.frozen) == sha256
        or _without_folders(header.spec) == _without_folders(_spec(wanted))
        and header.seed == seed_of(experiment, name)
        and header.tokenizer_sha256 in (None, _tokenizer(experiment, name) or header.tokenizer_sha256)
        and header.requests >= layout.requests
    )
    return FrozenSet(name, wanted, path, header, sha256, layout) if is_it else None


def _tokenizer(experiment: Experiment, name: str) -> str | None:
    """Return the hash of the tokenizer that a set is drawn with; None where it is not here, or only its server knows."""
    launch = _launch_of(experiment, name)
    model = planned_path(launch.model.path_or_id)
    return tokenizer_sha256(client_words(launch.client_args, model, hub_variables(launch.env))[1])


def _spec(wanted: RequestSet) -> dict[str, Any]:
    return wanted.model_dump(mode="json", exclude_defaults=True)


def _without_folders(spec: Mapping[str, Any]) -> Any:
    """Return what a set says, its files by their names alone: on another machine they lie elsewhere."""
    return json.loads(json.dumps(spec), object_hook=lambda each: {key: _name(value) for key, value in each.items()})


def _name(value: Any) -> Any:
    return os.path.basename(value) if isinstance(value, str) and os.path.isabs(value) else value


def _told(frozen: FrozenSet) -> str:
    again = f", {frozen.header.distinct:,} of them different" if frozen.header.distinct < frozen.header.requests else ""
    return f"Requests {frozen.name!r} are drawn: {frozen.header.requests:,}{again}, sha256 {frozen.sha256[:12]}"
