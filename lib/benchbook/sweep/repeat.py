"""One repeat: its notebook executed into the repeat's folder, and its record, which is there whatever happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchbook.judge.catalogue import reason
from benchbook.measure.client.tasks import WARM
from benchbook.measure.recording import Recording
from benchbook.notebooks.execute import execute, wait_loaded
from benchbook.notebooks.kernels.source import make_ready
from benchbook.plan.experiment import Limits
from benchbook.plan.order import Repeat
from benchbook.project import notebooks_dir
from benchbook.records.files import make_folder
from benchbook.records.handover import EXECUTED_FILE, RECORD_FILE, GuardItems, Handover, SentRequests
from benchbook.records.record import Failure, Identity, Outcome, Record, verdict_of
from benchbook.records.record_file import read_record, write_record
from benchbook.sweep.hosts import BenchHost
from benchbook.terms.errors import BenchbookError, Cause, HostDiedError, StoreError
from benchbook.terms.redaction import known_secrets, redacted, tail_of

_OF_A_LOAD = ("reset_prefix_cache", "tokenizer")  # parameters of notebooks that offer one


def run_repeat(
    repeat: Repeat,
    host: BenchHost,
    folder: Path,
    identity: Identity,
    limits: Limits,
    execute: Callable[..., None] = execute,
    sent: SentRequests | None = None,
    maximum_rps: float | None = None,
    guard: GuardItems | None = None,
) -> Record:
    """Measure one repeat through its notebook, as `execute` runs it, and return the record, measured or failed.

    `sent` is what it sends of its set of requests, if it has one; `maximum_rps` what its rate is a share of, if it is one;
    `guard` the items that it asks afterwards, if it does.

    Only a record on disk says that something was measured: a kernel that is killed may leave a notebook without an error.
    """
    wait_loaded()
    make_folder(folder)
    handover = _handover(repeat, host, identity, limits, {"requests": sent, "maximum_rps": maximum_rps, "guard": guard})
    recording = Recording(repeat.case.workload.at_maximum(maximum_rps), folder / RECORD_FILE, handover)
    notebook = notebooks_dir() / repeat.case.workload.row.notebook

    def between_cells() -> None:
        if recording.record_path.exists():  # beside nothing that is measured, but while this notebook draws
            make_ready()

    parameters = {**_parameters(repeat, host), "repeat": handover.write(folder)}
    output = folder / EXECUTED_FILE
    raised = _raised_by(
        partial(execute, notebook, output, parameters, env=host.env, between_cells=between_cells), host.env
    )
    try:
        record = read_record(folder / RECORD_FILE)
    except StoreError as missing:
        silent = f"the notebook ended without an error and without a whole record ({missing})"
        record = recording.fail(Outcome.NOTEBOOK_FAILED, _failure(raised or _Raised(silent, by_dead_kernel=True)))
    if record.is_measured:
        _remember_warmth(host, repeat, record)
        return _doubted(record, folder / RECORD_FILE, raised.evidence) if raised else record
    return _explained(record, folder / RECORD_FILE, host)


def host_failed(
    repeat: Repeat, folder: Path, identity: Identity, cause: Cause, log_tail: str, tried_s: float = 0.0
) -> Record:
    """Write and return the record of a repeat whose host never became ready or was given up, after so long (s)."""
    workload = repeat.case.workload.at_maximum(None)
    recording = Recording(workload, make_folder(folder) / RECORD_FILE, Handover(identity=identity))
    recording.started_monotonic_s -= tried_s
    return recording.fail(
        Outcome.HOST_FAILED, Failure(code=cause.code, evidence=cause.evidence, hint=cause.hint, log_tail=log_tail)
    )


def _handover(
    repeat: Repeat,
    host: BenchHost,
    identity: Identity,
    limits: Limits,
    own: Mapping[str, object],
) -> Handover:
    """Return what the notebook is told by a file; `own` are the fields that few repeats have, None where this one has none."""
    return Handover(
        identity=identity,
        host=host.facts,
        said=dict(repeat.case.said),
        precision=dict(repeat.case.precision),
        warmed_by="" if repeat.case.workload.row.warms_itself else host.warmed.get(repeat.case.warm_shape, ""),
        limit_s=limits.benchmark_s,
        stall_limit_s=limits.stall_s,
        **{name: value for name, value in own.items() if value},
        **host.plumbing,
    )


def _parameters(repeat: Repeat, host: BenchHost) -> dict[str, object]:
    """Return the notebook's parameters but for that file: the workload field by field, the host, the seed."""
    workload = repeat.case.workload
    parameters = {**dict(workload), **host.parameters, "launch": repeat.case.launch}
    if workload.row.is_load:
        return parameters | {"seed": repeat.seed}
    for name in _OF_A_LOAD:
        parameters.pop(name, None)
    return parameters


def _remember_warmth(host: BenchHost, repeat: Repeat, record: Record) -> None:
    """Note on `host` what the repeat's warm-up has covered, so that it is not paid again for each repeat."""
    if repeat.host_kind == "engine" and record.way != WARM:
        host.warmed.clear()  # the loaded engine made room for the command line's, and will be loaded anew
    elif record.warmup and record.warmup.num_prompts:
        warmed_by = f"{repeat.case.case_id} repeat {repeat.number}"
        host.warmed.setdefault(repeat.case.warm_shape, warmed_by)


@dataclass(frozen=True)
class _Raised:
    """What went wrong with a notebook, in one line, and whether its kernel's process is dead."""

    evidence: str
    by_dead_kernel: bool


def _raised_by(execute: Callable[[], None], env: Mapping[str, str]) -> _Raised | None:
    """Execute and return what went wrong, None when nothing did. Bad parameters and interrupts pass."""
    try:
        execute()
    except BenchbookError:
        raise
    except Exception as error:  # whatever a notebook or its kernel raises is this repeat's result, not the sweep's end
        name, value = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", str(error))
        secrets = (*known_secrets(), *known_secrets(env))
        evidence = redacted(f"{name}: {value}".strip().splitlines()[0][:500], secrets)
        return _Raised(evidence, by_dead_kernel=name == "DeadKernelError")
    return None


def _failure(raised: _Raised) -> Failure:
    if raised.by_dead_kernel:
        hint = "its process was killed; see dmesg for an out-of-memory kill"
        return Failure(code="kernel_died", evidence=raised.evidence, hint=hint)
    return Failure(code="notebook_raised", evidence=raised.evidence, hint=f"{EXECUTED_FILE} shows the cell")


def _explained(record: Record, path: Path, host: BenchHost) -> Record:
    """Give a failure the cause that the host's owner knows, when the host is what failed; its client saw only silence."""
    try:
        host.check_alive()
    except HostDiedError as died:
        cause = died.cause
        failure = record.failure.model_copy(
            update={"code": cause.code, "evidence": cause.evidence, "hint": cause.hint, "log_tail": tail_of(str(died))}
        )
        record = record.model_copy(update={"outcome": Outcome.HOST_FAILED, "failure": failure})
        write_record(path, record)
    return record


def _doubted(record: Record, path: Path, error: str) -> Record:
    """Keep a measured number whose notebook raised afterwards, but say so."""
    reasons = (*record.reasons, reason("notebook_raised", error))
    doubted = record.model_copy(update={"reasons": reasons, "verdict": verdict_of(reasons)})
    write_record(path, doubted)
    return doubted
