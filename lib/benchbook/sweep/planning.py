"""From an experiment to a run's plan: every case with its key and fingerprint, and what is already measured."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchbook.hosts.engines import engine_of
from benchbook.hosts.machine.facts import device
from benchbook.hosts.model.files import ModelFiles, resolve_model
from benchbook.judge.halving import widths
from benchbook.judge.outside import is_due_again
from benchbook.measure.environments import environment_facts
from benchbook.notebooks.execute import modules_of, source_sha256
from benchbook.plan.experiment import Case, Experiment, Launch
from benchbook.plan.order import Block, Repeat
from benchbook.project import notebooks_dir
from benchbook.records.fingerprint import case_key, changed_parts, combined, digest, fingerprint_parts
from benchbook.records.handover import RECORD_FILE, GuardItems, SentRequests
from benchbook.records.header import PlanRow
from benchbook.records.packages import package_versions
from benchbook.records.record import Record
from benchbook.records.record_file import read_record
from benchbook.records.store import Store
from benchbook.sweep.attached import files_of
from benchbook.sweep.guarding import asks_items, items_for, items_sha256
from benchbook.sweep.request_sets import FrozenSet, frozen_in
from benchbook.sweep.set_layout import set_of
from benchbook.terms.errors import StoreError
from benchbook.terms.wording import counted


@dataclass(frozen=True)
class PlannedCase:
    """A case with everything that can change its number, hashed: where its records lie and when they may be reused."""

    case: Case
    parts: dict[str, str]
    maximum: PlannedCase | None = None  # of which its rate is a share

    @property
    def fingerprint(self) -> str:
        """Return the combined fingerprint (64 hex digits)."""
        return combined(self.parts)

    @property
    def key(self) -> str:
        """Return the case's folder name."""
        return case_key(self.case.case_id, self.fingerprint)


@dataclass(frozen=True)
class RunPlan:
    """All cases of an experiment, their models resolved, by case id."""

    experiment: Experiment
    models: dict[str, ModelFiles]  # by launch name
    cases: dict[str, PlannedCase]
    requests: Mapping[str, FrozenSet] = field(default_factory=dict)  # the sets that lie in the run, by name
    items_sha256: str | None = None  # of the guard's items, where there is one
    device: str = ""  # what is measured on: of this machine, or of the nodes of a cluster

    @classmethod
    def of(cls, experiment: Experiment, store: Store | None = None, on: str = "") -> RunPlan:
        """Resolve each launch's model (the tiny one is made on first use) and fingerprint each case.

        `store` is the run whose sets of requests are sent, as far as they lie there; `on` the device of another machine.
        """
        models = {
            launch.name: files_of(launch)
            if launch.attached
            else resolve_model(launch.model.path_or_id, launch.args, launch.env)
            for launch in experiment.launches
        }
        on = on or device()
        plan = cls(experiment, models, {}, items_sha256=items_sha256(experiment), device=on)
        return plan.sending(frozen_in(experiment, store) if store else {})

    def sending(self, requests: Mapping[str, FrozenSet]) -> RunPlan:
        """Return the same plan with these sets, which count in the fingerprints of the cases that send them."""
        launches = {launch.name: launch for launch in self.experiment.launches}
        cases: dict[str, PlannedCase] = {}
        for case in self.experiment.cases:  # maxima stand before their shares
            maximum = cases.get(case.maximum)
            launch = launches[case.launch]
            parts = _parts(case, launch, self.models[launch.name], self.experiment.seed, requests, self.device)
            if self.experiment.place and self.experiment.place.identity:
                parts["place"] = digest(self.experiment.place.identity)[:12]
            if maximum:
                parts["maximum"] = maximum.fingerprint[:12]
            if case.case_id in self.experiment.guarded:
                parts |= fingerprint_parts(guard=self.items_sha256)
            cases[case.case_id] = PlannedCase(case, parts, maximum)
        return replace(self, cases=cases, requests=requests)

    @property
    def modules(self) -> list[str]:
        """What the notebooks of its cases import: a client library takes a third of a second, and few notebooks have one."""
        notebooks = {case.workload.row.notebook for case in self.experiment.cases}
        return sorted(set().union(*(modules_of(notebooks_dir() / notebook) for notebook in notebooks)))

    def sent(self, repeat: Repeat, folder: Path) -> SentRequests | None:
        """Return what of its set a repeat sends, whose record goes into `folder`; None where it has no set."""
        name = set_of(repeat.case.workload)
        return self.requests[name].sent(repeat, folder) if name else None

    def items(self, repeat: Repeat, store: Store, folder: Path) -> GuardItems | None:
        """Return the items that a repeat asks for the guard, whose record goes into `folder`; None where it asks none."""
        if not asks_items(self.experiment, repeat):
            return None
        return items_for(self.experiment, self.items_sha256 or "", store, folder)

    def for_header(self, repeats: Mapping[str, int] | None = None) -> tuple[PlanRow, ...]:
        """Return the plan as run.json keeps it; `repeats` are of the cases that are planned otherwise by now, by their ids.

        Of the loads of a search, those that were asked for.
        """
        counts = {case.case_id: self.experiment.repeats for case in self.experiment.fixed} | dict(repeats or {})
        return tuple(
            PlanRow(
                case_id=case_id,
                case_key=planned.key,
                launch=planned.case.launch,
                fingerprint=planned.fingerprint,
                benchmark=planned.case.workload.benchmark,
                workload=planned.case.workload.model_dump(),
                why_num_prompts=planned.case.why_num_prompts,
                repeats=counts[case_id],  # raised by each round that is added
            )
            for case_id, planned in self.cases.items()
            if counts.get(case_id)
        )


def _parts(
    case: Case, launch: Launch, model: ModelFiles, seed: int, requests: Mapping[str, FrozenSet], device: str
) -> dict[str, str]:
    drawn: dict[str, object] = (
        {"seed": seed} if case.workload.row.is_load else {}
    )  # of prompts; no order of cases counts
    if frozen := requests.get(set_of(case.workload) or ""):
        drawn["requests"] = frozen.identity(case.axes_text)
    asked = {"args": dict(launch.args), "env": dict(launch.env), "model": model.name, **launch.named_engine}
    if launch.attached:  # where its tokenizer lies is found out by asking it
        asked |= {key: said for key, said in launch.attached.settings.items() if key != "tokenizer"}
    engine = engine_of(launch)
    there = environment_facts(engine.python)
    return fingerprint_parts(
        launch=asked,
        # Without what the launch sets: the arms of a comparison share this part.
        environment=engine.inherited(),
        workload=case.workload.model_dump(),
        model=model.content_sha256 or [model.name, launch.model.revision],
        packages=package_versions(),
        device=device,
        notebook=source_sha256(notebooks_dir() / case.workload.row.notebook),
        **drawn,
        **({"server_packages": there["packages"]} if there else {}),
    )


def stale_records(store: Store, plan: RunPlan, asked: Collection[str] | None = None) -> list[tuple[Record, list[str]]]:
    """Return measured records in `store` that no planned case may reuse, each with the names of the parts that changed.

    With `asked`, ids of cases, those of other cases do not matter. What failed is measured again in any case.
    """
    stale = []
    for record in store.records():
        if not record.is_measured or (asked is not None and record.identity.case_id not in asked):
            continue
        planned = plan.cases.get(record.identity.case_id)
        new_parts: dict[str, str] = planned.parts if planned else {}
        changed = changed_parts(record.identity.fingerprint_parts, new_parts)
        if changed:
            stale.append((record, changed if planned else ["the experiment no longer has this case"]))
    return stale


def _checked(store: Store, planned: PlannedCase, repeat: int) -> tuple[Record | None, str]:
    """Return the record of this repeat that may be kept, or why what lies in its place may not; '' where nothing lies."""
    path = store.repeat_dir(planned.key, repeat) / RECORD_FILE
    if not store.has_record_file(planned.key, repeat):
        return None, ""
    try:
        record = read_record(path)
    except StoreError as error:
        return None, str(error)
    identity, case = record.identity, planned.case
    is_share = planned.maximum is not None and record.is_measured
    for what, found, wanted in (
        ("case", identity.case_id, case.case_id),
        ("repeat", identity.repeat, repeat),
        ("launch", identity.launch, case.launch),
        ("benchmark", record.benchmark, case.workload.benchmark),
        ("fingerprint", identity.fingerprint, planned.fingerprint),
        ("fingerprint's parts", identity.fingerprint_parts, planned.parts),
        ("workload", digest(record.workload), digest(case.workload.model_dump())),
        ("rate", is_share and record.load, is_share and case.workload.at_maximum(maximum_of(store, planned)).load),
    ):
        if found != wanted:
            return None, f"{path} is not its own: it has another {what}"
    fault = store.raw_fault(planned.key, record) if record.is_measured else ""
    return (None, fault) if fault else (record, "")


def planned_records(store: Store, plan_rows: Sequence[PlanRow]) -> list[Record | None]:
    """Return, for each repeat of each planned row of run.json, its record or None where it is missing."""
    return [store.find(row.case_key, repeat) for row in plan_rows for repeat in range(row.repeats)]


def kept_record(store: Store, planned: PlannedCase, repeat: int) -> Record | None:
    """Return the record of this repeat that may be kept: by its content, and not by where it lies; None without one."""
    return _checked(store, planned, repeat)[0]


def maximum_of(store: Store, planned: PlannedCase) -> float | None:
    """Return what the rate of a case is a share of (req/s): what was answered in the first repeat of its maximum.

    None where that was not measured, or is not believed.
    """
    record = kept_record(store, planned.maximum, 0) if planned.maximum else None
    return record.values.get("request_throughput_rps") if record and record.is_believed else None


def settled_record(store: Store, plan: RunPlan, case_id: str, repeat: int) -> Record | None:
    """Return the measured record of this repeat that stays; None where it is still to be measured, or once more."""
    record = kept_record(store, plan.cases[case_id], repeat)
    is_settled = record and record.is_measured and not is_due_again(record, plan.experiment.again)
    return record if is_settled else None


def damaged_repeats(store: Store, plan: RunPlan, asked: Collection[str] | None = None) -> list[str]:
    """Return why each record that lies in a planned place may not be kept: it is damaged, another's, or lacks its raw file.

    With `asked`, ids of cases, those of other cases do not matter.
    """
    return [fault for _, fault in _in_planned_places(store, plan, asked) if fault]


def due_again_text(store: Store, plan: RunPlan, asked: Collection[str] | None = None) -> str:
    """Return how many repeats will be measured again since something outside disturbed them; '' where none will.

    With `asked`, ids of cases, those of other cases do not matter. What a search has measured it takes as it is.
    """
    fixed = {case.case_id for case in plan.experiment.fixed}
    kept = (record for record, _ in _in_planned_places(store, plan, asked) if record and record.is_measured)
    number = sum(is_due_again(record, plan.experiment.again) for record in kept if record.identity.case_id in fixed)
    return f"disturbed from outside, and measured again: {counted(number, 'repeat')}" if number else ""


def _in_planned_places(
    store: Store, plan: RunPlan, asked: Collection[str] | None
) -> Iterator[tuple[Record | None, str]]:
    """Yield for each place that a round may fill the record that may be kept, and why what lies there may not."""
    experiment = plan.experiment
    fixed = experiment.until.at_most if experiment.until else experiment.repeats
    if experiment.search:
        fixed += len(widths(len(plan.cases) - 1))
    for case_id, planned in plan.cases.items():
        most = planned.case.find.at_most if planned.case.find else fixed
        if asked is None or case_id in asked:
            yield from (_checked(store, planned, repeat) for repeat in range(most))


def pending(blocks: Sequence[Block], store: Store, plan: RunPlan, tried: Collection[Repeat] = ()) -> list[Block]:
    """Return what of `blocks` has no whole, matching record in `store` yet, or a disturbed one that is due again.

    What was `tried` already is no longer wanted, whatever became of it.
    """
    past = {(repeat.case, repeat.number) for repeat in tried}  # the seed of a second try is another

    def is_left(repeat: Repeat) -> bool:
        is_past = (repeat.case, repeat.number) in past
        return not is_past and settled_record(store, plan, repeat.case.case_id, repeat.number) is None

    left = [replace(block, repeats=tuple(filter(is_left, block.repeats))) for block in blocks]
    return [block for block in left if block.repeats]
