"""An experiment: one YAML file, read strictly into launches and cases.

    question: How do latency and throughput trade off as concurrency grows?
    model: tiny                     # or a folder, or a hub id; {path: ...}, {hub: ..., revision: ...} say it in full
    base: {args: {seed: 0}}         # what every launch begins with; like: and matrix: of launches are in written_out.py
    launches:                       # name: {args: vLLM's flags, env: variables, model: another model}
      eager: {args: {enforce_eager: true, max_model_len: 4096}, env: {VLLM_CPU_KVCACHE_SPACE: 1}}
      prod: {attach: https://llm.example/v1, api_key_env: PROD_KEY}   # somebody else's server: attached.py
    benchmarks:                     # a list makes an axis; axes are crossed; lengths are [input, output] pairs
      - first_request: {}
      - serve: {max_concurrency: [1, 8], lengths: [[128, 64], [512, 32]], num_prompts: 10 per concurrency,
                exclude: [{max_concurrency: 8, lengths: [512, 32]}], launches: [eager]}
    requests:                       # sets of what is sent, by name: requests.py; a serve has requests: [chat] for lengths
      chat: {dataset: sharegpt, path: data/chat.json, endpoint: chat}
    search: {maximise: output_throughput_tok_s}   # of all launches after the first, under one load: search.py
    repeats: 3                      # measurements of each case, in interleaved rounds, 8 when launches are compared; or
                                    # {starts: 3}: each round of a single launch too has a fresh start; or
                                    # {starts: 3, at_most: 10, until: {output_throughput_tok_s: 2 %}}
    turns: true                     # launches take turns, each round with fresh starts; false: one start each
    again: 2                        # so often at most is a repeat measured again that was disturbed from outside
    seed: 0                         # request sets follow from it
    order_seed: 0                   # the order of cases in each round; the same as seed unless it is given
    slo: {p99_ttft_ms: 500}         # (mean|median|p90|p95|p99)_(ttft|tpot|itl|e2el)_ms; p50 is the median
    price: {gpu_hour: 2.5}          # what a million output tokens cost; with kwh and pue, their energy too
    guard: {items: f.jsonl, margin: 1 %}   # questions that launches answer under load: see guard.py
    limits: {ready_s: 600}          # when to give up: a start, a benchmark, tokens that do not move
    place: {gpus: 1, at_once: all}  # blocks run at once, each on cards or cores of its own: place.py
    device: rocm                    # rocm, cuda or cpu: refused on another machine; left out, any will do

The keys of a benchmark are the fields of its model in workloads.py, with `lengths` for the pair of lengths; in place of
num_prompts, serve takes `precision: {p99_ttft_ms: 10 %}`, from which the number is planned (precision.py). Whatever is
unknown, ill-typed or cannot be run is told in one ExperimentError, a line each: file, line, key, value, the nearest key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidatorFunctionWrapHandler, field_validator, model_validator

from benchbook.plan.case import Case
from benchbook.plan.cases import BENCHMARKS_EXAMPLE, read_cases
from benchbook.plan.document import Document
from benchbook.plan.find import FIND, Find, curve_of, limits_of
from benchbook.plan.guard import EXAMPLE as GUARD_EXAMPLE
from benchbook.plan.guard import Guard, guarded, read_guard
from benchbook.plan.launches import SAFE_NAME, SAFE_NAME_RULE, Launch, is_attached, read_base, read_launches
from benchbook.plan.models import ModelRef, read_model
from benchbook.plan.order import Block, added_round, rounds
from benchbook.plan.pace import Pace
from benchbook.plan.place import Placing, read_place
from benchbook.plan.precision import known_metric
from benchbook.plan.read_requests import EXAMPLE as REQUESTS_EXAMPLE
from benchbook.plan.read_requests import read_requests
from benchbook.plan.repeats import DEFAULT_AGAIN, AgainCount, RepeatCount, Until, read_repeats
from benchbook.plan.requests import RequestSet
from benchbook.plan.search import SEARCH, Search, check_rounds, read_search
from benchbook.plan.strict import StrictModel, one_line
from benchbook.plan.workload import Workload
from benchbook.plan.written_out import base_alone, written_out
from benchbook.plan.yamlfile import load_document
from benchbook.terms.benchmarks import HostKind
from benchbook.terms.errors import ExperimentError
from benchbook.terms.metrics import METRICS

DEFAULT_REPEATS = 3  # fewer show no spread worth the name
# Where repeats vary by 1.25 % and one in a hundred is an outlier, 8 rounds find a difference of 5 % between launches in
# 93 % of the cases of a run of seven, 6 rounds in 85 % and 4 in 24 % (lib/proofs/false_claims.py). It is even, so that each
# launch goes first equally often.
COMPARISON_REPEATS = 8
MAX_SEED = 2**31 - 1  # numpy's and vLLM's seeds end below it
SLO_KEYS = [metric.key for metric in METRICS if metric.of and metric.can_be_wanted]


Seconds = Annotated[float, Field(gt=0)]
Paid = Annotated[float, Field(gt=0, le=1e6)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class Limits(StrictModel):
    """When to give up, in seconds; whatever hangs ends as a record that says so."""

    ready_s: Seconds = 600.0  # from the start of a host until it is ready
    benchmark_s: Seconds = 3600.0  # for one benchmark, its warm-up not counted
    stall_s: Seconds = 120.0  # a server that holds requests and counts no token


class Price(StrictModel):
    """What is paid: for an hour of a GPU, for a kWh of energy, or both."""

    gpu_hour: Paid | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Za-z€$£¥]{1,8}$")] = "USD"
    kwh: Paid | None = None
    pue: Annotated[float, Field(ge=1, le=5)] = 1.0  # what a data centre draws for each kWh of its machines

    @model_validator(mode="after")
    def _pays_for_something(self) -> Price:
        if self.gpu_hour is None and self.kwh is None:
            raise ValueError("names no price: gpu_hour, kwh or both, such as price: {gpu_hour: 2.5}")
        return self


@dataclass(frozen=True)
class Sought:
    """One search: the loads of one launch that differ in nothing else."""

    launch: str
    curve: str  # 'serve,lengths=128x64': what they have in common
    find: Find
    cases: tuple[Case, ...]  # by rising load
    limits: Mapping[str, float]  # of the file's SLO, by metric

    @property
    def name(self) -> str:
        """Return 'eager, serve,lengths=128x64'."""
        return f"{self.launch}, {self.curve}"


@dataclass(frozen=True)
class Experiment:
    """A question and everything needed to measure its answer."""

    name: str  # the file's stem; names the folder under results/
    path: Path
    source_text: str
    question: str
    model: ModelRef | None  # the one that launches have unless they name another; None where all are attached
    launches: tuple[Launch, ...]
    base: Launch | None  # what every launch begins with, where the file says so
    requests: Mapping[str, RequestSet]  # the sets that cases send, by name
    keep_requests: Literal["all", "hash"]  # of the sets of a finished run: "hash" keeps none of their text
    cases: tuple[Case, ...]
    search: Search | None  # over the launches: then no case is measured but by its choice, and `repeats` confirm
    repeats: int  # of every case; `until` may add more
    fresh_starts: bool  # asked for in each round; launches that take turns have them anyway
    turns: bool  # of several launches; False: each is measured on one start, one launch after the other
    until: Until | None
    again: int  # so often at most is a repeat measured again that an outside cause disturbed
    seed: int
    order_seed: int
    slo: Mapping[str, float]  # e.g. {"p99_ttft_ms": 500.0}
    price: Price | None  # what is paid for the hardware, where the file says so
    guard: Guard | None  # questions that launches answer under load, where the file has some
    limits: Limits
    place: Placing | None  # where several blocks run at once; None: one after the other, each with the whole machine
    device: str | None  # 'rocm', 'cuda' or 'cpu' where the question is about one; None: what the machine has
    document: Document = field(repr=False, compare=False)  # names the line of what is refused later

    @cached_property
    def fixed(self) -> tuple[Case, ...]:
        """Return the cases that are measured in any case: all but those of searches."""
        return () if self.search else tuple(case for case in self.cases if case.find is None)

    @cached_property
    def guarded(self) -> frozenset[str]:
        """Return the ids of the cases beside whose first repeat the guard's items are asked, one a launch; none without one."""
        return frozenset(guarded(self.cases).values()) if self.guard else frozenset()

    @cached_property
    def searches(self) -> tuple[Sought, ...]:
        """Return the searches, in the file's order."""
        found: dict[tuple[str, str, Find], list[Case]] = {}
        for case in self.cases:
            if case.find:
                found.setdefault((case.launch, curve_of(case.axes_text, case.find), case.find), []).append(case)
        return tuple(
            Sought(launch, curve, find, tuple(cases), limits_of(self.slo, find))
            for (launch, curve, find), cases in found.items()
        )

    def offline_workloads(self, launch: str) -> list[Workload]:
        """Return what is asked of a launch's loaded engine; [] where none is."""
        works = (case.workload for case in self.cases if case.launch == launch)
        return [work for work in works if work.host_kind == "engine"]

    def launch(self, name: str) -> Launch:
        """Return the launch of this name, e.g. that of a case."""
        return next(launch for launch in self.launches if launch.name == name)

    def starts_anew(self, host_kind: HostKind) -> bool:
        """Return whether each round starts this kind of host anew: it is asked for, or several launches take turns."""
        launches = {case.launch for case in self.fixed if case.workload.host_kind == host_kind}
        return self.fresh_starts or (self.turns and len(launches) > 1)

    def planned_rounds(self) -> tuple[Block, ...]:
        """Return the blocks of the rounds that are held in any case, see order.rounds."""
        return rounds(self.fixed, self.repeats, self.seed, self.order_seed, self.fresh_starts, self.turns)

    def added_round(self, host_kind: HostKind, repeat: int, after: Case | None = None) -> tuple[Block, ...]:
        """Return round `repeat` of the cases on this kind of host that have a target, see order.added_round."""
        targets_of = self.until.targets_of if self.until else lambda case: {}
        cases = [case for case in self.fixed if case.workload.host_kind == host_kind and targets_of(case)]
        return added_round(cases, repeat, self.seed, self.order_seed, after)


def load_experiment(path: str | Path) -> Experiment:
    """Return the experiment in the YAML file at `path`; raises ExperimentError, one line a fault, if it cannot be run."""
    experiment = read_experiment(path)
    experiment.document.faults.raise_any()
    return experiment


def read_experiment(
    path: str | Path,
    pace_of: Callable[[str | None, Launch], Pace] = lambda device, launch: Pace(),
    sets: Sequence[str] = (),
) -> Experiment:
    """Return what can be read of the experiment at `path`, for whoever looks for more faults before they are raised.

    `sets` are values in place of the file's: 'repeats=5'.
    `pace_of` tells how fast a launch may be on the file's device, for times of load that no rate makes numbers of.
    Nothing may be done with it while `document.faults` holds any. Raises ExperimentError where nothing can be read.
    """
    path = Path(path)
    doc = written_out(load_document(path, sets))
    if not SAFE_NAME.fullmatch(path.stem):
        raise ExperimentError(one_line(f"{path}: the file's name {SAFE_NAME_RULE}: it names a folder of results"))
    read = doc.faults.read
    keys = read(lambda: doc.parse((), _ExperimentKeys), None)
    model = read(lambda: read_model(doc, ("model",)) if "model" in doc.data or not _are_attached(doc) else None, None)
    launches = read(lambda: read_launches(doc, model), ())
    base = read(lambda: read_base(base_alone(doc), model) if "base" in doc.data else None, None)
    requests = read(lambda: read_requests(doc), {})
    paces = partial(pace_of, keys.device if keys else None)
    cases = read(lambda: read_cases(doc, launches, requests, paces), ())
    search = read(lambda: read_search(doc, launches, cases), None)
    slo = read(lambda: _read_slo(doc, cases), {})
    price = read(lambda: doc.parse(("price",), Price) if "price" in doc.data else None, None)
    guard = read(lambda: read_guard(doc, cases), None)
    limits = read(lambda: doc.parse(("limits",), Limits), Limits()) if "limits" in doc.data else Limits()
    place = read(lambda: _read_place(doc, launches), None)
    turns = keys.turns if keys else True
    repeats, fresh_starts, until = _read_rounds(doc, keys, cases, turns)
    _check_searches(doc, slo)
    seed = keys.seed if keys else 0
    return Experiment(
        name=path.stem,
        path=path,
        source_text=doc.text,
        question=keys.question if keys else "",
        model=model,
        launches=launches,
        base=base,
        requests=requests,
        keep_requests=keys.keep_requests if keys else "all",
        cases=cases,
        search=search,
        repeats=repeats or (COMPARISON_REPEATS if turns and len(launches) > 1 else DEFAULT_REPEATS),
        fresh_starts=fresh_starts,
        turns=turns,
        until=until,
        again=keys.again if keys else DEFAULT_AGAIN,
        seed=seed,
        order_seed=keys.order_seed if keys and keys.order_seed is not None else seed,
        slo=slo,
        price=price,
        guard=guard,
        limits=limits,
        place=place,
        device=keys.device if keys else None,
        document=doc,
    )


class _ExperimentKeys(StrictModel):
    question: str
    model: Any = None  # read by itself, see models.py
    base: dict[str, Any] = Field({}, examples=["base: {args: {max_model_len: 4096}}"])
    launches: dict[str, Any] = Field(examples=["launches: {eager: {args: {enforce_eager: true}}}"])
    requests: dict[str, Any] = Field({}, examples=[REQUESTS_EXAMPLE])
    keep_requests: Literal["all", "hash"] = "all"
    benchmarks: list[Any] = Field(examples=[BENCHMARKS_EXAMPLE])
    search: dict[str, Any] = Field({}, examples=["search: {maximise: output_throughput_tok_s}"])
    repeats: RepeatCount | None = None
    turns: bool = True
    again: AgainCount = DEFAULT_AGAIN
    seed: Seed = 0
    order_seed: Seed | None = None
    slo: dict[str, Any] = Field({}, examples=["slo: {p99_ttft_ms: 500}"])
    price: dict[str, Any] = Field({}, examples=["price: {gpu_hour: 2.5}"])
    guard: dict[str, Any] = Field({}, examples=[GUARD_EXAMPLE])
    limits: dict[str, Any] = Field({}, examples=["limits: {ready_s: 600}"])
    place: dict[str, Any] = Field({}, examples=["place: {gpus: 1, at_once: all}"])
    device: Literal["cuda", "rocm", "cpu"] | None = None

    @field_validator("question")
    @classmethod
    def _asks_something(cls, question: str) -> str:
        if not question.strip():
            raise ValueError("is empty: what should the experiment answer?")
        return question.strip()

    @field_validator("repeats", mode="wrap")
    @classmethod
    def _is_a_number_or_a_range(cls, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        # A union would answer a wrong number with the errors of both its sides.
        return value if isinstance(value, dict) else check(value)


def _are_attached(doc: Document) -> bool:
    """Return whether all of the file's launches are servers that run already, which have their models."""
    names = doc.data.get("launches")
    return isinstance(names, dict) and bool(names) and all(is_attached(doc, name) for name in names)


def _check_searches(doc: Document, slo: Mapping[str, float]) -> None:
    """Note a search that has nothing to keep, and no gain to look for."""
    entries = doc.data.get("benchmarks")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):  # else it is refused as what it is
        for benchmark, body in entry.items() if isinstance(entry, dict) else ():
            find = body.get(FIND) if isinstance(body, dict) else None
            if isinstance(find, dict) and not slo and not find.keys() & {"attainment", "saturation"}:
                where = ("benchmarks", index, benchmark, FIND)
                needed = "needs what is to hold: slo: {p99_ttft_ms: 500} of the file, or attainment, or saturation"
                doc.faults.note(doc.error(where, needed))


def _read_rounds(
    doc: Document, keys: _ExperimentKeys | None, cases: Sequence[Case], turns: bool
) -> tuple[int | None, bool, Until | None]:
    """Return how often each case is measured, where the file says it, whether rounds start anew, and until when more are added."""
    repeats, fresh_starts, until = keys.repeats if keys else None, False, None
    if isinstance(doc.data.get("repeats"), dict) and SEARCH not in doc.data:
        repeats, fresh_starts, until = doc.faults.read(
            lambda: read_repeats(doc, ("repeats",), cases), (None, False, None)
        )
    if SEARCH in doc.data:
        check_rounds(doc, repeats, turns)
    elif not turns and (fresh_starts or until):
        doc.faults.note(doc.error(("turns",), "is one start each: neither starts nor until in repeats go with it"))
    if "repeats" in doc.data and cases and all(case.find for case in cases) and (until or not fresh_starts):
        problem = (
            "is for cases that are measured in any case, and here is none: a search has at_most; {starts: 2} may stand"
        )
        doc.faults.note(doc.error(("repeats",), problem))
    return repeats, fresh_starts, until


def _read_place(doc: Document, launches: Sequence[Launch]) -> Placing | None:
    place = read_place(doc) if "place" in doc.data else None
    if place and (attached := next((launch for launch in launches if launch.attached), None)):
        problem = f"is for what is started here, and launch {attached.name!r} is a server that runs already"
        raise doc.error(("place",), problem)
    return place


def _read_slo(doc: Document, cases: Sequence[Case]) -> dict[str, float]:
    found: dict[str, float] = {}
    slo = doc.mapping(("slo",)) if "slo" in doc.data else {}
    for key, limit_ms in slo.items():
        with doc.faults.noted():
            name = known_metric(doc, ("slo", key), SLO_KEYS, [], found)
            if type(limit_ms) not in (int, float) or limit_ms <= 0:
                raise doc.error(("slo", key), "must be a number of milliseconds above 0")
            found[name] = float(limit_ms)
    has_serve = any(case.workload.row.times == "requests" for case in cases)
    if found and not has_serve and not doc.faults.has_within(("benchmarks",)):
        raise doc.error(("slo",), "is for answers of a server, and no benchmark is a serve: it would never be checked")
    return found
