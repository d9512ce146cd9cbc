"""The sets of a run, each in its file, drawn once.

    RUN/requests/chat.jsonl.gz

What was drawn is kept: a run that is continued sends from the file, whatever has become of what it was drawn from. Where
it is to hold more rounds than before, a longer draw that begins with the one before takes its place. A new run of a file
beside which the set was drawn before, as in the folder of a run, has a copy of that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from benchbook.hosts.model.files import ModelFiles, planned_path, tokenizer_sha256
from benchbook.hosts.model.hub import hub_variables
from benchbook.hosts.vllm.tokenizers import client_words
from benchbook.measure.client.warm import WarmClient
from benchbook.measure.drawing.order import Order
from benchbook.plan.experiment import Experiment
from benchbook.plan.order import Repeat, repeat_seed
from benchbook.plan.requests import ENDING, FOLDER, RequestSet, drawn_beside
from benchbook.reading import read_bytes
from benchbook.records.files import make_folder, write_bytes, write_json
from benchbook.records.frozen import FrozenHeader, lines_sha256, read_frozen, read_header, write_frozen
from benchbook.records.handover import SentRequests
from benchbook.records.store import Store
from benchbook.records.typed import JsonObject
from benchbook.sweep.progress import Listener
from benchbook.sweep.set_layout import Layout, first_launch, layouts, whole_talks
from benchbook.terminal import shown
from benchbook.terms.errors import StoreError
from benchbook.terms.sent_beside import MAX_WARMUPS


@dataclass(frozen=True)
class FrozenSet:
    """A set as it lies in the run."""

    name: str
    wanted: RequestSet
    path: Path
    header: FrozenHeader
    sha256: str  # of all its requests
    layout: Layout

    @property
    def is_enough(self) -> bool:
        """Return whether it has the requests of all rounds: one of an unfinished run may be asked for more since."""
        return self.header.requests >= self.layout.requests

    @cached_property
    def first_sha256(self) -> str:
        """Return the hash of its first draw, with which longer ones begin."""
        return lines_sha256(self.path, self.header.first) if self.header.first else self.sha256

    def identity(self, load: str) -> dict[str, str | int]:
        """Return what tells which requests a load is sent, for the fingerprint of its case."""
        return {"sha256": self.first_sha256, "start": self.layout.places[load], "in_round": self.layout.in_round}

    def begun_by(self, before: FrozenSet) -> FrozenSet:
        """Return this set, noted in its file as a longer draw of the one `before`, if it begins with that: else as it is."""
        first = before.header.first or before.header.requests
        if lines_sha256(self.path, first) != before.first_sha256:
            return self
        header = self.header.model_copy(update={"first": first})
        return replace(self, header=header, sha256=write_frozen(self.path, header, read_frozen(self.path)))

    def sent(self, repeat: Repeat, folder: Path) -> SentRequests:
        """Return what the notebook of a repeat, which lies in `folder`, is told to send."""
        workload, layout, load = repeat.case.workload, self.layout, repeat.case.axes_text
        # What was disturbed is sent others, from behind the rounds, where its host may know these.
        number = repeat.number if not repeat.tries else layout.rounds - 1 - (repeat.number + repeat.tries) % 2
        behind = 0 if layout.is_replayed else whole_talks(workload.num_prompts, layout.turns)
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


def frozen_in(experiment: Experiment, store: Store) -> dict[str, FrozenSet]:
    """Return the sets that lie in the run as the experiment asks for them, also where they are asked for more since."""
    found = {}
    for name, layout in layouts(experiment).items():
        if there := _fitting(experiment, name, layout, _path(store, name)):
            found[name] = there
    return found


def freeze(
    experiment: Experiment, models: Mapping[str, ModelFiles], store: Store, listener: Listener
) -> dict[str, FrozenSet]:
    """Return all sets of the experiment as they lie in the run, those that do not yet being drawn now.

    Raises ExperimentError for a set that cannot be drawn, MeasureError where drawing fails otherwise.
    """
    there, places = frozen_in(experiment, store), layouts(experiment)
    found = {name: one for name, one in there.items() if one.is_enough}
    before = {
        name: one for name, one in there.items() if not one.is_enough and one.first_sha256
    }  # hashed while it is there
    for name in places:
        if name not in there and (drawn := drawn_before(experiment, name, places[name])):
            found[name] = replace(drawn, path=_path(store, name).resolve())
            make_folder(found[name].path.parent)
            write_bytes(found[name].path, read_bytes(drawn.path))
            listener.say(f"Requests {name!r} are those of {shown(drawn.path)}, sha256 {drawn.sha256[:12]}")
    left = [name for name in places if name not in found]
    if left:
        folder = make_folder(store.run_dir / FOLDER).resolve()
        for hub_env, names in _by_hub(experiment, left).items():
            with WarmClient(name="draw requests", log_dir=folder, env=dict(hub_env)) as client:
                for name in names:
                    listener.working_on(f"drawing requests {name!r}, once for the run")
                    found[name] = _drawn(experiment, name, places[name], models, store, client)
                    if name in before:
                        found[name] = found[name].begun_by(before[name])
                    listener.say(_told(found[name]))
    return found


def forget_texts(store: Store) -> None:
    """Leave of each set of a finished run what it was, how many requests it had and their hash: none of their text."""
    for path in sorted((store.run_dir / FOLDER).glob(f"*{ENDING}")):
        told = {**read_header(path).model_dump(mode="json"), "sha256": lines_sha256(path)}
        write_json(path.with_name(path.name.removesuffix(ENDING) + ".json"), told)
        path.unlink()


def _by_hub(experiment: Experiment, names: list[str]) -> dict[tuple[tuple[str, str], ...], list[str]]:
    """Return the sets by what a client must start with: where the hub is of the launch that they are drawn for."""
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name in names:
        hub_env = hub_variables(first_launch(experiment, name).env)
        found.setdefault(tuple(sorted(hub_env.items())), []).append(name)
    return found


def seed_of(experiment: Experiment, name: str) -> int:
    """Return the seed that a set is drawn by, its own: prompts of two sets that began alike would warm each other's cache."""
    return repeat_seed(experiment.seed, name, 0)


def _path(store: Store, name: str) -> Path:
    return store.run_dir / FOLDER / f"{name}{ENDING}"


def _drawn(
    experiment: Experiment,
    name: str,
    layout: Layout,
    models: Mapping[str, ModelFiles],
    store: Store,
    client: WarmClient,
) -> FrozenSet:
    # Late: a plan draws nothing, and the client's side of drawing takes long to import.
    from benchbook.measure.client.drawing import draw_set
    from benchbook.measure.client.meter import meter_path

    wanted, launch = experiment.requests[name], first_launch(experiment, name)
    path, model, hub_env = _path(store, name).resolve(), models[launch.name].path, hub_variables(launch.env)
    if wanted.frozen:
        write_bytes(path, read_bytes(wanted.frozen))
        return FrozenSet(name, wanted, path, read_header(path), lines_sha256(path), layout)
    order = Order(
        name=name,
        request_set=_spec(wanted),
        requests=layout.requests,
        at_once=layout.at_once,
        stretches=layout.stretches,
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


def drawn_before(experiment: Experiment, name: str, layout: Layout) -> FrozenSet | None:
    """Return a set as it lies beside the experiment file, if it is the one that is asked for, whole and long enough."""
    path = drawn_beside(experiment.path, name)
    found = _fitting(experiment, name, layout, path) if path else None
    return found if found and found.is_enough else None


def _fitting(experiment: Experiment, name: str, layout: Layout, path: Path) -> FrozenSet | None:
    """Return the set that lies at `path`, if it is the one that is asked for, and whole."""
    wanted = experiment.requests[name]
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
    )
    return FrozenSet(name, wanted, path, header, sha256, layout) if is_it else None


def _tokenizer(experiment: Experiment, name: str) -> str | None:
    """Return the hash of the tokenizer that a set is drawn with; None where it is not here, or only its server knows."""
    launch = first_launch(experiment, name)
    model = planned_path(launch.model.path_or_id)
    return tokenizer_sha256(client_words(launch.client_args, model, hub_variables(launch.env))[1])


def _spec(wanted: RequestSet) -> JsonObject:
    return wanted.model_dump(mode="json", exclude_defaults=True)


def _without_folders(spec: Mapping[str, Any]) -> Any:
    """Return what a set says, its files by their names alone: on another machine they lie elsewhere."""
    return json.loads(json.dumps(spec), object_hook=lambda each: {key: _name(value) for key, value in each.items()})


def _name(value: Any) -> Any:
    return os.path.basename(value) if isinstance(value, str) and os.path.isabs(value) else value


def _told(frozen: FrozenSet) -> str:
    again = f", {frozen.header.distinct:,} of them different" if frozen.header.distinct < frozen.header.requests else ""
    again += f", the first {frozen.header.first:,} as they were" if frozen.header.first else ""
    return f"Requests {frozen.name!r} are drawn: {frozen.header.requests:,}{again}, sha256 {frozen.sha256[:12]}"
