"""Record: the result of one repeat, or the account of why there is none. One JSON file, self-describing.

upgrade.py tells the history of the format.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from benchbook.records.answers import GuardAnswers
from benchbook.records.conditions import Conditions
from benchbook.records.fingerprint import case_key
from benchbook.records.host import HostFacts
from benchbook.records.parts import Provenance
from benchbook.records.typed import BenchmarkName, Number, Setting
from benchbook.records.upgrade import RECORD_FORMAT
from benchbook.terms.asked import Asked, Offered
from benchbook.terms.benchmarks import BENCHMARKS, Benchmark

IMPORTED = "imported"  # the way of a record whose figures are another's


class Outcome(StrEnum):
    """How a repeat ended; a closed set."""

    MEASURED = "measured"  # a raw file was written and read; the verdict says whether to believe it
    NOTEBOOK_FAILED = "notebook_failed"  # the notebook raised, or its kernel died, before a number was saved
    HOST_FAILED = "host_failed"  # the server or engine never became ready, died or stalled


class Verdict(StrEnum):
    """May the number be believed?"""

    VALID = "VALID"
    SUSPECT = "SUSPECT"
    INVALID = "INVALID"

    @property
    def meaning(self) -> str:
        """What it says of the number, and what becomes of that."""
        return _VERDICT_MEANINGS[self]


_VERDICT_MEANINGS = {
    Verdict.VALID: "no check found anything against the number",
    Verdict.SUSPECT: "something may have moved the number, and its reasons say what: it counts, and is drawn hollow",
    Verdict.INVALID: "the number is about something else than was asked: it counts in no mean",
}


class Reason(BaseModel):
    """Why a verdict is what it is: a stable code, how bad, and the evidence with both values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    severity: Literal["note", "suspect", "invalid"]  # a note says something honest without lowering the verdict
    evidence: str


class Failure(BaseModel):
    """Why nothing was measured: the classified cause, the line that says so, a hint, and the end of the log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    evidence: str
    hint: str
    log_tail: str = ""


class Identity(BaseModel):
    """Which repeat of which case of which run this is; by hand, only the benchmark is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str = ""
    run_id: str = ""
    launch: str = ""
    case_id: str = ""
    fingerprint: str = ""  # of everything that can change the number
    fingerprint_parts: dict[str, str] = {}  # the same part by part, to name what changed
    repeat: int = Field(0, ge=0)
    attempt: int = 1
    disturbed: tuple[str, ...] = ()  # of each earlier try that an outside cause disturbed, the codes: this one counts

    @property
    def case_key(self) -> str:
        """Return the name of the folder in which this repeat belongs."""
        return case_key(self.case_id, self.fingerprint)


class Warmup(BaseModel):
    """What was sent before the clock started, so that no first use of a shape is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_prompts: int  # 0: none, because the workload says so or because of `warmed_by`
    seed: int | None = None  # of these prompts; that of the record means the very prompts measured (bench latency)
    warmed_by: str = ""  # the earlier repeat on the same host whose warm-up had this load


class PrefixCache(BaseModel):
    """The state of the prefix cache when the clock started, and what it gave while it ran."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    is_on: bool | None = None  # None: nobody tells
    emptied: Literal["reset", "new process", "no"] = (
        "no"  # before the clock started; "no": other prompts by another seed
    )
    query_tokens: float | None = None  # looked up while measuring, by the server's counters
    hit_tokens: float | None = None  # and found: prompt tokens that cost nothing


class SentSet(BaseModel):
    """Which requests of a frozen set were sent, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str  # of all requests of its file, '' where nobody told; `request_set_sha256` is of those that were sent
    start: int  # the first that was sent
    endpoint: Literal["completions", "chat"]
    ends_by: Literal["length", "any"]
    sampling: dict[str, float]  # as sent with each request; what is not there was the server's choice
    is_timed: bool = False  # at the times that were recorded with the requests
    is_fresh: bool = True  # no request of the file is sent twice on one start


class Record(BaseModel):
    """One repeat of one case. Values are vLLM's own, null where nothing was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[RECORD_FORMAT] = RECORD_FORMAT  # of the file
    identity: Identity = Identity()
    benchmark: BenchmarkName
    workload: dict[str, Setting]  # its fields, in their order
    said: dict[str, str] = {}  # of its fields, what the file says in other words: {"num_prompts": "60 s"}
    asked: Asked  # how much, by the workload itself: nobody reckons it from its fields
    curve: str = ""  # what cases that differ in their load alone have in common: '4096 in / 1024 out'
    load: Offered | None = None  # where on its curve this one lies; None for a benchmark without a load
    outcome: Outcome
    failure: Failure | None = None
    values: dict[str, Number | None] = {}
    median_itl_by_sixths_ms: tuple[float | None, ...] | None = None  # of the time with the load full, by arrival
    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    not_looked: dict[str, str] | None = None  # the checks that had no evidence, each with why; None: nobody noted it
    started_utc: str
    ended_utc: str
    started_monotonic_s: float
    ended_monotonic_s: float
    argv: tuple[str, ...] = ()  # the official benchmark's command
    client: Literal["python", "rust"] | None = None  # which of vLLM's two clients of `bench serve` ran, by its result
    way: str = ""  # how vLLM's code was run: "command line" or "warm"; "imported" or "published" where others ran it
    way_reason: str | None = None  # why the warm worker that was there did not run it
    seed: int | None = None  # of the prompts; None where vLLM drew them without one
    warmup: Warmup | None = None
    prefix_cache: PrefixCache | None = None
    requests: SentSet | None = None  # of a workload that has a set: what of it was sent, and how
    request_set_sha256: str | None = None  # of the prompts, lengths and order that were sent
    guard: GuardAnswers | None = None  # to the items of a guard, which were asked after the measurement
    raw_file: str | None = None  # beside the record
    host: HostFacts = HostFacts()
    conditions: Conditions = Conditions()
    provenance: Provenance = Provenance()

    @property
    def row(self) -> Benchmark:
        """Return the facts of its benchmark."""
        return BENCHMARKS[self.benchmark]

    @property
    def is_measured(self) -> bool:
        """Return whether there is a number at all (which may still be INVALID)."""
        return self.outcome is Outcome.MEASURED

    @property
    def is_believed(self) -> bool:
        """Return whether its numbers may count: it is measured and not INVALID."""
        return self.is_measured and self.verdict is not Verdict.INVALID


def verdict_of(reasons: tuple[Reason, ...]) -> Verdict:
    """Return the worst of `reasons`: any invalid makes INVALID, else any suspect SUSPECT; notes do not count."""
    severities = {reason.severity for reason in reasons}
    if "invalid" in severities:
        return Verdict.INVALID
    return Verdict.SUSPECT if "suspect" in severities else Verdict.VALID
