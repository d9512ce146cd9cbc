"""A run from the file to its runner: continued where an earlier one stopped, or new."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from benchbook.hosts.machine import card_locks
from benchbook.hosts.machine.cpu import CpuLook
from benchbook.hosts.machine.places import Place
from benchbook.hosts.process.registry import check_folders, others_at_work
from benchbook.hosts.process.shell import left_out
from benchbook.measure.hardware import peaks_before_start
from benchbook.notebooks.execute import load_ahead, wait_loaded
from benchbook.patterns import fitting, without_searched
from benchbook.plan.experiment import Experiment
from benchbook.plan.order import Block
from benchbook.records.files import write_text
from benchbook.records.runs import run_name
from benchbook.records.store import EXPERIMENT_FILE, Store
from benchbook.sweep.added_rounds import AddedRounds
from benchbook.sweep.attached import asked_before
from benchbook.sweep.candidates import runnable
from benchbook.sweep.consent import Confirm, ask_consent
from benchbook.sweep.earlier_runs import finished_run, not_extended, unfinished_run
from benchbook.sweep.executors import Executor, Local
from benchbook.sweep.fetching import check_models
from benchbook.sweep.finding import Finding, most_of_searches
from benchbook.sweep.guarding import freeze_items
from benchbook.sweep.holding import hold_cards
from benchbook.sweep.hosts import host_opener
from benchbook.sweep.machine import check_loader, check_machine
from benchbook.sweep.place_process import Setting
from benchbook.sweep.places import Places
from benchbook.sweep.placing import places_of
from benchbook.sweep.planning import RunPlan, damaged_repeats, due_again_text, pending, stale_records
from benchbook.sweep.preflight import Preflight, preflight_of
from benchbook.sweep.progress import Listener
from benchbook.sweep.quiet import disturbance
from benchbook.sweep.request_sets import FrozenSet, freeze, frozen_in
from benchbook.sweep.runner import Runner
from benchbook.sweep.searching import Searching
from benchbook.terminal import shown
from benchbook.terms.errors import ExperimentError

FIRST_LOOK_S = 0.3  # before anything starts: whoever is told can stop before the time is spent
PROPOSERS = (AddedRounds, Finding, Searching)


@dataclass
class Here:
    """Where a run measures without a cluster: this machine."""

    share_gpu: bool
    first_look: CpuLook | None
    command: str
    _looking: Future[str] | None = None  # at what disturbs measuring

    def let_through(self, part: Preflight) -> list[str]:
        """Begin to look whether the machine is quiet, hold its GPUs, and return notes; raises ExperimentError for what it lacks."""
        launch = part.experiment.launches[0]
        self._looking = ThreadPoolExecutor(1).submit(disturbance, launch, FIRST_LOOK_S, since=self.first_look)
        return [*hold_cards(part, self.command, self.share_gpu), *check_machine(part)]

    def plan_of(self, experiment: Experiment, listener: Listener) -> RunPlan:
        """Return the plan, once models are there and what the devices can do is known; say what was found meanwhile."""
        started = [launch for launch in experiment.launches if not launch.attached]
        models = dict.fromkeys(launch.model_text for launch in started)
        listener.working_on(f"getting the model ready: {', '.join(models)}")
        plan = RunPlan.of(experiment)
        _tell_found(self._looking, listener)
        listener.working_on("finding out what the device can do at best, which is measured once a day")
        for place in places_of(experiment) or [Place(0)]:
            with place.entered():
                for launch in started:  # now, while nothing of ours runs; hosts find them known
                    peaks_before_start(plan.models[launch.name].path, launch.env, wait_loaded)
        return plan

    def executor(self, plan: RunPlan, store: Store) -> Executor:
        """Return what runs the blocks: this process, or where the file has several at once, one at each place."""
        compares_launches = len(plan.experiment.launches) > 1
        if plan.experiment.place is None:
            return Local(host_opener(self.share_gpu, compares_launches))
        setting = Setting(self.share_gpu, compares_launches, store.run_dir / "places", plan.modules)
        return Places(places_of(plan.experiment), plan.experiment.place, setting)


def prepare_run(
    file: Path,
    results_dir: Path,
    *,
    new: bool,
    share_gpu: bool,
    command: str,
    listener: Listener,
    only: Sequence[str] = (),
    sets: Sequence[str] = (),
    first_look: CpuLook | None = None,
    meanwhile: Callable[[], object] = lambda: None,
    confirm: Confirm = lambda told: True,
    on: Path | None = None,
) -> Runner:
    """Return what measures the experiment in `file`; an unfinished newest run is continued unless `new`.

    With `only`, patterns for cases and launches, nothing else is measured. `sets` are values in place of the file's, such
    as 'repeats=5', and stand in the run's own copy of it. `first_look` is one at the processors from when
    the command began. `meanwhile` is called in a thread once there is something to wait for. `confirm` is asked before load
    is sent to a machine of somebody else. `on` is the file of a cluster, on whose nodes is measured; None: here.

    The device's peaks are measured where no data sheet tells them (five seconds, once a day). Raises ExperimentError,
    StoreError.
    """
    check_folders()
    listener.working_on("reading which flags and variables the installed vLLM knows")
    checked = runnable(preflight_of(file, sets))
    asked = asked_for(checked.experiment, only) if only else None
    part = checked.part_of(asked)
    check_loader(part.experiment)
    _tell_others(listener)
    where = Here(share_gpu, first_look, command)
    if on:
        from benchbook.sweep.cluster.session import OnCluster  # late: most runs are of this machine

        where = OnCluster.of(on, part.experiment, results_dir, share_gpu)
    notes = where.let_through(part)
    for note in (*part.notes, *notes, *check_models(part)):
        listener.say(note)
    if any(launch.attached for launch in part.experiment.launches):
        listener.working_on("asking who answers at the addresses of attached launches")
        checked = asked_before(checked, part.experiment.launches)
    for line in left_out():
        listener.say(line)
    load_ahead(meanwhile)  # the look at the machine lasts on
    plan = where.plan_of(checked.experiment, listener)
    earlier = None if new else unfinished_run(results_dir, plan.experiment.name)
    finished = None if new else finished_run(results_dir, plan.experiment.name)
    _check_consent(plan, earlier, asked, confirm)
    store = earlier or Store.create(results_dir, plan.experiment.name)
    plan = plan.sending(_frozen(plan, store, listener, is_new=not earlier))
    card_locks.rename(f"run {run_name(store.run_dir, results_dir)}")
    write_text(store.run_dir / EXPERIMENT_FILE, plan.experiment.source_text)
    freeze_items(plan.experiment, store)
    executor = where.executor(plan, store)
    runner = Runner(plan, store, listener, command, executor, [each(plan, store) for each in PROPOSERS], only=asked)
    if earlier:
        runner.header, damage = store.read_header()
        _tell_continued(plan, store, asked, damage, listener)
    else:
        if finished:
            listener.say(not_extended(finished, results_dir))
        listener.say(f"New run {shown(store.run_dir)}.")
    return runner


def _check_consent(plan: RunPlan, earlier: Store | None, asked: Collection[str] | None, confirm: Confirm) -> None:
    """Raise ExperimentError unless all that this run still sends to machines of somebody else may be sent."""
    experiment = plan.experiment
    blocks: Sequence[Block] = experiment.planned_rounds()
    if earlier:
        blocks = pending(blocks, earlier, plan.sending(frozen_in(experiment, earlier)))
    blocks = (*blocks, *most_of_searches(experiment))
    wanted = [
        replace(block, repeats=tuple(one for one in block.repeats if asked is None or one.case.case_id in asked))
        for block in blocks
    ]
    if not ask_consent(experiment, [block for block in wanted if block.repeats], confirm):
        raise ExperimentError(f"{experiment.path}: nothing was sent, and nothing was started")


def _frozen(plan: RunPlan, store: Store, listener: Listener, is_new: bool) -> dict[str, FrozenSet]:
    """Return the sets of the run, drawn now where they are not there; a new run without them is none."""
    try:
        return freeze(plan.experiment, plan.models, store, listener)
    except ExperimentError:
        if is_new:
            store.delete()
        raise


def _tell_others(listener: Listener) -> None:
    if others_at_work():
        listener.say(
            "Another benchbook is at work on this machine (`benchbook ps` lists its processes): "
            "by processors and memory that both use, its numbers and those of this run will disturb each other."
        )


def _tell_continued(
    plan: RunPlan, store: Store, asked: Collection[str] | None, damage: Sequence[str], listener: Listener
) -> None:
    """Say which run is continued, and what of it is not used."""
    listener.say(f"Continuing {shown(store.run_dir)} (--new starts afresh).")
    for line in damage:
        listener.say(f"  {line}; it is written anew, and what was measured is kept")
    for record, changed in stale_records(store, plan, asked):
        repeat = f"{record.identity.case_id} repeat {record.identity.repeat}"
        listener.say(f"  stale, will not be used: {repeat}; changed: {', '.join(changed)}")
    for line in damaged_repeats(store, plan, asked):
        listener.say(f"  measured again: {line}")
    if disturbed := due_again_text(store, plan, asked):
        listener.say(f"  {disturbed}")


def _tell_found(looking: Future[str], listener: Listener) -> None:
    """Say what disturbs measuring, or why nobody could look, which costs no run."""
    try:
        found = looking.result()
    except Exception as error:  # whatever a driver or the process table answers
        listener.say(f"Nobody could look whether the machine is quiet: {type(error).__name__}: {error}"[:300])
        return
    if found:
        listener.say(
            f"The machine is not quiet: {found}. While that lasts, repeats are SUSPECT, and measured again where it ends. "
            "End it first, or run later."
        )


def asked_for(experiment: Experiment, patterns: Sequence[str]) -> frozenset[str]:
    """Return the ids of the cases that fit any of `patterns`, and of those that their rates are shares of.

    Cases of a search are left out. Raises ExperimentError for a pattern that none fits, and where no others fit.
    """
    case_ids, where = [case.case_id for case in experiment.cases], str(experiment.path)
    found = {case_id for pattern in patterns for case_id in fitting(pattern, case_ids, where)}
    searched = {case.case_id for case in experiment.cases if experiment.search or case.find}
    asked = without_searched(found, searched, where)
    return frozenset(asked | {case.maximum for case in experiment.cases if case.case_id in asked and case.maximum})
