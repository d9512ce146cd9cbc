"""Recording: from the start of a measurement to its record on disk, whether it ends in a number or in a cause.

A record is judged before it is written, so none exists without a verdict; vLLM's raw file is on disk before that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchbook.hosts.machine.facts import machine
from benchbook.judge.checks import half_widths, itl_course, record_reasons
from benchbook.judge.evidence import Measured
from benchbook.judge.unseen import not_looked
from benchbook.measure.client.given import GIVEN_FILE
from benchbook.parameters import shown, without_result
from benchbook.plan.workload import Workload
from benchbook.project import notebooks_dir
from benchbook.records.conditions import UNWATCHED, Conditions, Precision
from benchbook.records.files import make_folder, write_json
from benchbook.records.handover import BY_HAND, RECORD_FILE, SENT_FILE, Handover
from benchbook.records.host import HostFacts
from benchbook.records.parts import MachineFacts
from benchbook.records.provenance import provenance, utc_now
from benchbook.records.record import Failure, Outcome, Record, Verdict, verdict_of
from benchbook.records.record_file import Saved, write_record
from benchbook.records.telemetry import TELEMETRY_FILE
from benchbook.terms.errors import HostError, MeasureError
from benchbook.terms.metrics import values_from_raw
from benchbook.terms.redaction import TAIL_LINES, tail_of

RAW_FILE = "raw.json"
_NOT_MEASURED = ("record_path", "repeat")  # parameters of a notebook that say nothing of what is measured


class Recording:
    """One repeat under way. As a context manager it turns a HostError or MeasureError into a record, and lets it pass.

    `repeat` comes from a sweep. Without a `record_path`, and by hand, the record goes into a new folder under
    results/by-hand/, so that measuring twice keeps both.
    """

    def __init__(self, workload: Workload, record_path: str | Path = "", repeat: Handover = BY_HAND) -> None:
        self.workload = workload
        self.repeat = repeat
        path = str(record_path) or repeat.record_path
        self.record_path = Path(path).resolve() if path else _by_hand(workload.benchmark)
        self.argv: Sequence[str] = ()
        self.client: str | None = None  # which of vLLM's two ran
        self.started_utc = utc_now()
        self.started_monotonic_s = time.monotonic()
        make_folder(self.record_path.parent)
        # What an earlier measurement left here must never be read as this one's.
        noted = (self.record_path.with_name(name) for name in (SENT_FILE, GIVEN_FILE))
        for path in (self.record_path, self.raw_path, self.telemetry_path, *noted):
            path.unlink(missing_ok=True)

    @property
    def raw_path(self) -> Path:
        """Return where vLLM's own result file goes: beside the record."""
        return self.record_path.with_name(RAW_FILE)

    @property
    def telemetry_path(self) -> Path:
        """Return where the samples of server and GPU go."""
        return self.record_path.with_name(TELEMETRY_FILE)

    @property
    def log_path(self) -> Path:
        """Return where the benchmark's console text goes."""
        return self.record_path.with_name("bench.log")

    def write_raw(self, raw: Mapping[str, Any]) -> None:
        """Write a raw file of our own, for the one benchmark that vLLM has none of: first_request."""
        write_json(self.raw_path, raw)

    def finish(
        self,
        raw: Mapping[str, Any],
        *,
        host: HostFacts,
        conditions: Conditions = UNWATCHED,
        **facts: Any,
    ) -> Saved:
        """Judge the raw result, write the record and return it with where it lies.

        `facts` are the fields of the Record that only the benchmark knows: way, seed, warmup and so on.
        """
        work = self.workload
        full_host = host.with_those_of(self.repeat.host)
        values = values_from_raw(work.benchmark, raw, full_host.counters)
        told = {"asked": work.asked, "load": work.load, "request_set_sha256": facts.get("request_set_sha256")}
        here = MachineFacts.of(machine())
        measured = Measured(work.benchmark, work.model_dump(), values, raw, full_host, conditions, here, **told)
        if wanted := self.repeat.precision:
            known = Precision(asked=wanted, reached=half_widths(measured, wanted))
            measured = replace(measured, conditions=conditions.model_copy(update={"precision": known}))
        reasons = record_reasons(measured)
        record = self._write(
            outcome=Outcome.MEASURED,
            values=values,
            median_itl_by_sixths_ms=itl_course(measured),
            conditions=measured.conditions,
            verdict=verdict_of(reasons),
            reasons=reasons,
            not_looked=not_looked(measured),
            raw_file=self.raw_path.name,
            host=full_host,
            **facts,
        )
        parameters = {name: value for name, value in shown().items() if name not in _NOT_MEASURED}
        return Saved(record, self.record_path, parameters)

    def fail(self, outcome: Outcome, failure: Failure) -> Record:
        """Write the record of a repeat that gave no number, and return it."""
        return self._write(outcome=outcome, failure=failure, verdict=Verdict.INVALID, host=self.repeat.host)

    def __enter__(self) -> Recording:
        self._result = without_result()
        self._result.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._result.__exit__(None, None, None)
        if isinstance(error, HostError | MeasureError):
            outcome = Outcome.HOST_FAILED if isinstance(error, HostError) else Outcome.NOTEBOOK_FAILED
            cause = error.cause
            self.fail(
                outcome,
                Failure(code=cause.code, evidence=cause.evidence, hint=cause.hint, log_tail=tail(self.log_path)),
            )

    def _write(self, **fields: Any) -> Record:
        record = Record(
            identity=self.repeat.identity,
            benchmark=self.workload.benchmark,
            workload=self.workload.model_dump(),
            said=self.repeat.said,
            asked=self.workload.asked,
            curve=self.workload.curve,
            load=self.workload.load,
            argv=tuple(self.argv),
            client=self.client,
            started_utc=self.started_utc,
            ended_utc=utc_now(),
            started_monotonic_s=self.started_monotonic_s,
            ended_monotonic_s=time.monotonic(),
            provenance=provenance(notebooks_dir(), MachineFacts.of(machine())),
            **fields,
        )
        write_record(self.record_path, record)
        return record


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """Return the last `lines` lines of a log, secrets redacted; '' when there is no such file."""
    if not path.is_file():
        return ""
    return tail_of(path.read_text(errors="replace"), lines)


def _by_hand(benchmark: str) -> Path:
    """Return a record path in a new folder of results/by-hand/, named by the UTC time."""
    stamp = utc_now()[:19].replace(":", "").replace("T", "-")
    folder = notebooks_dir().parent / "results" / "by-hand" / f"{benchmark}-{stamp}"
    return folder / RECORD_FILE
