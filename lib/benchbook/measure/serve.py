"""Online measurement: vLLM's own `bench serve` against a server that is already there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbook import parameters
from benchbook.hosts.model.files import tokenizer_sha256
from benchbook.hosts.process.shell import certificates, no_proxy
from benchbook.hosts.scrape import has_prefix_cache
from benchbook.hosts.vllm.clients import asked_client, client_of, pinned
from benchbook.hosts.vllm.tokenizers import args_of, check_here, client_words
from benchbook.hosts.watch import StallWatch
from benchbook.judge.stalls import stalled_at_last
from benchbook.measure.argv import Target, serve_argv
from benchbook.measure.client.meter import meter_path
from benchbook.measure.client.stretch import Stretch
from benchbook.measure.client.tasks import BenchRun, OnLine, run_bench
from benchbook.measure.guard import ask_items
from benchbook.measure.live import benchmark
from benchbook.measure.own import own_client
from benchbook.measure.recording import Recording
from benchbook.measure.servers import (
    AnyServer,
    UnderTest,
    host_facts,
    model_card,
    refuse_stale,
    silence_is_death,
    warmed_by_hand,
)
from benchbook.measure.sets import Sending, sending_of
from benchbook.measure.watched import Watched
from benchbook.plan.workloads import ServeWorkload
from benchbook.records.answers import GuardAnswers
from benchbook.records.files import read_json
from benchbook.records.fingerprint import digest
from benchbook.records.handover import Handover, read_handover
from benchbook.records.record import PrefixCache, Warmup
from benchbook.records.record_file import Saved
from benchbook.terms.errors import Cause, ExperimentError, MeasureError
from benchbook.terms.sent_beside import MAX_WARMUPS

WARMUP_SEED_OFFSET = 1_000_003  # another seed than the repeat's: the warm-up's prompts are not the measured ones
GUARD_SEED_OFFSET = 2_000_003  # nor are those of the load beside a guard's items


def bench_serve(
    server: AnyServer,
    workload: ServeWorkload,
    *,
    seed: int = 0,
    record_path: str | Path = "",
    reset_prefix_cache: bool = False,
    tokenizer: str = "",
    repeat: Handover | str = "",
) -> Saved:
    """Offer `workload` to `server` with `vllm bench serve`, write `record_path` and vLLM's raw.json beside it, return the record.

    The warm-up is the same official code with other prompts, twice as many as are in flight later, and again where the
    server stood still in it; one that was warmed up for the same load gets none. `reset_prefix_cache` empties the cache
    after it, which takes a server in developer mode on this machine; otherwise prompts differ by their seeds. The
    record has the counters of hits. `tokenizer`, a folder or a hub id, cuts the prompts where the server's own is not
    on this machine. `repeat` is what a sweep says of it. Raises ExperimentError when that is missing, or `server` or
    `workload` were made from other parameters than the notebook has now, MeasureError when the benchmark ends without a
    result, takes too long, no token moves, or the cache is not emptied.
    """
    made_with = {**dict.fromkeys(workload.unsaid), **workload.model_dump()}
    parameters.refuse_stale("workload", workload, made_with, workload.held)
    refuse_stale(server, "server")
    repeat = read_handover(repeat)
    warmed = warmed_by_hand(server) if repeat.is_by_hand else {}
    warmed_by = repeat.warmed_by or warmed.get(workload.warm_shape, "")
    sending = sending_of(workload, repeat)
    workload = sending.workload.at_maximum(repeat.maximum_rps)
    if repeat.is_by_hand and workload.load is None:
        raise ExperimentError(
            f"request_rate_rps {workload.request_rate_rps!r} is of what a run measures first: give a number"
        )
    socket_path = _client_socket(repeat)
    with Recording(workload, record_path, repeat) as recording, silence_is_death(server):
        if workload.load is None:
            raise MeasureError(_NO_MAXIMUM.evidence, _NO_MAXIMUM)
        server.check_alive()
        model = model_card(server)
        _check_fits(model, workload)
        run = _Bench(server, model, repeat, socket_path, tokenizer, sending)
        warmup = Warmup(num_prompts=0, warmed_by=warmed_by)
        if workload.warmup_prompts and not warmed_by:
            warmup = _warm_up(run, workload, recording, seed)
        if reset_prefix_cache:
            server.reset_prefix_cache()
        saved = _measure(run, workload, recording, seed, warmup, reset_prefix_cache)
    if warmup.num_prompts:
        warmed.setdefault(workload.warm_shape, f"by hand: {saved.path.parent.name}")
    return saved


_NO_MAXIMUM = Cause(
    "maximum_unknown",
    "what its rate is a share of was not measured",
    "see the record of the case that sends all at once, in its first round",
)


def _client_socket(repeat: Handover) -> str:
    """Return where the warm client of a repeat listens, by hand this kernel's own; '' where there is none."""
    client = None if repeat.client_socket or not repeat.is_by_hand else own_client()
    return client.socket_path if client else repeat.client_socket


def _measure(
    run: _Bench, workload: ServeWorkload, recording: Recording, seed: int, warmup: Warmup, is_emptied: bool
) -> Saved:
    """Send the load to a server that is warm, and whose cache is emptied or not, and write what came of it."""
    # Asked before: a server that dies with its last answer has given a number all the same.
    facts = host_facts(run.server, run.model)
    stretch = run.sending.stretch(run.model.max_model_len)
    argv = run.argv(workload, seed, recording.raw_path, stretch)
    recording.argv = ["vllm", "bench", *argv]
    with Watched(run.server, run.socket_path) as watched:
        ended = run(workload, argv, recording.log_path, "vllm bench serve", stretch)
    raw = read_json(recording.raw_path)
    guard = _guarded(run, workload, recording, seed) if run.repeat.guard else None
    recording.client = client_of(raw)
    warmth = {"warmup_prompts": workload.warmup_prompts if warmup.warmed_by else warmup.num_prompts}
    if is_emptied:
        warmth["earlier_requests"] = 0  # none of them is in the cache
    return recording.finish(
        raw,
        host=facts.model_copy(update={"counters": watched.counters, "telemetry": watched.telemetry(recording, raw)}),
        conditions=watched.conditions(recording.log_path, raw, was_emptied=is_emptied).model_copy(update=warmth),
        way=ended.way,
        way_reason=ended.reason,
        seed=seed,
        warmup=warmup,
        prefix_cache=PrefixCache(
            is_on=has_prefix_cache(watched.page, run.server.engine.counters),
            emptied="reset" if is_emptied else "no",
            query_tokens=watched.counters.get("prefix_cache_queries"),
            hit_tokens=watched.counters.get("prefix_cache_hits"),
        ),
        requests=run.sending.for_record,
        guard=guard,
        request_set_sha256=run.sending.sha256 or _request_set(facts.version, argv, workload, seed, raw),
    )


def _guarded(run: _Bench, workload: ServeWorkload, recording: Recording, seed: int) -> GuardAnswers:
    """Ask the guard's items of the server while it has the load that was measured once more, with other prompts."""
    raw_path, log_path = recording.raw_path.with_name("guard.json"), recording.log_path.with_name("guard.log")
    stretch = run.sending.stretch(run.model.max_model_len)  # of a set the same: it may have no others

    def send_load(number: int, hear: OnLine) -> None:
        argv = run.argv(workload, (seed + GUARD_SEED_OFFSET + number) % 2**31, raw_path, stretch)
        try:
            run(workload, argv, log_path, "the load beside the guard's items", stretch, hear)
        finally:
            for path in (raw_path, meter_path(log_path)):
                path.unlink(missing_ok=True)

    return ask_items(run.server, run.repeat.guard, send_load)


def _check_fits(model: UnderTest, workload: ServeWorkload) -> None:
    """Raise ExperimentError when a request can be longer than the server takes, which would refuse it without a word why."""
    most, needed = model.max_model_len, workload.max_request_tokens
    if most and needed > most:
        raise ExperimentError(
            f"a request of {needed} tokens (input + output) exceeds the server's max_model_len {most}"
        )


def _warm_up(run: _Bench, workload: ServeWorkload, recording: Recording, seed: int) -> Warmup:
    """Send the load with other prompts and return how many were answered.

    A server that stood still in the last wave, since it met a shape for the first time, gets it once more, with others
    again, four times in all; where the workload says how many prompts, it gets these.
    """
    asked, num_answered, first_seed = workload.warmup(), 0, seed + WARMUP_SEED_OFFSET
    raw_path, log_path = recording.raw_path.with_name("warmup.json"), recording.log_path.with_name("warmup.log")
    for number in range(MAX_WARMUPS if workload.num_warmup_prompts is None else 1):
        stretch = run.sending.warmup_stretch(number, asked.num_prompts, run.model.max_model_len)
        argv = run.argv(asked, (first_seed + number) % 2**31, raw_path, stretch)
        run(asked, argv, log_path, f"warm-up with {workload.warmup_prompts} other prompts", stretch)
        raw = read_json(raw_path)
        num_answered += raw["completed"]
        for path in (raw_path, meter_path(log_path)):
            path.unlink(missing_ok=True)
        if not stalled_at_last(raw, asked.max_concurrency or asked.num_prompts // 2):
            break
    return Warmup(num_prompts=num_answered, seed=first_seed % 2**31)


@dataclass(frozen=True)
class _Bench:
    """Runs `vllm bench serve` with an eye on the server; a non-zero exit or a stall is a MeasureError."""

    server: AnyServer
    model: UnderTest
    repeat: Handover
    socket_path: str  # of a warm client; '' runs the command line
    tokenizer: str  # '' takes that of the server
    sending: Sending

    @property
    def env(self) -> Mapping[str, str]:
        """The server's environment as its launch set it: it may ask for another client."""
        return {**self.repeat.host.env, **getattr(self.server, "env_overrides", {})}

    def argv(self, workload: ServeWorkload, seed: int, raw_path: Path, stretch: Stretch | None) -> list[str]:
        """Return what `vllm bench` gets to offer `workload` to the server, the requests of `stretch` if it has a set."""
        args = args_of(self.server.argv)
        if self.tokenizer:
            args = {**args, "tokenizer": os.path.expanduser(self.tokenizer)}
        words = client_words(args, self.model.root, self.server.hub_env)
        check_here(words[1])
        return serve_argv(
            workload,
            Target(
                base_url=self.server.base_url,
                model=self.model.name,
                served_name=self.server.served_name,
                tokenizer_words=words,
                seed=seed,
                raw_path=raw_path,
                sent=self.sending.words(stretch, raw_path),
                trusts_all=self.server.way.is_insecure,
            ),
        )

    def __call__(
        self,
        workload: ServeWorkload,
        argv: list[str],
        log_path: Path,
        name: str,
        stretch: Stretch | None,
        hear: OnLine = None,
    ) -> BenchRun:
        with (
            StallWatch(self.server, self.repeat.stall_limit_s) as watch,
            benchmark(name, log_path, is_watched=self.repeat.is_by_hand) as on_line,
        ):
            run = run_bench(
                argv,
                # The warm client is the one in Python, loaded.
                socket_path=(self.socket_path or None) if asked_client(self.env) == "python" else None,
                env={**_client_env(self.server), **pinned(self.env)},
                on_line=_to_both(on_line, hear),
                log_path=log_path,
                limit_s=self.repeat.limit_s,
                memory_mib=workload.client_memory_mib,
                stretch=stretch,
                ends_after_s=workload.ends_after_s,
                cancel=watch.event,
                private_words=_header_words(self.server.way.headers),
                addresses=self.server.urls if len(self.server.urls) > 1 else (),
            )
        if watch.cause is not None:
            raise MeasureError(f"the server stopped answering during the benchmark: {watch.cause}", watch.cause)
        self.server.check_alive()  # vLLM's client ends with exit code 0 when its server is gone and all requests failed
        if run.exit_code != 0:
            raise benchmark_failed("vllm bench serve", run, log_path)
        return run


def _to_both(shown: OnLine, heard: OnLine) -> OnLine:
    """Return what passes a line on to both who want it."""
    if shown is None or heard is None:
        return shown or heard

    def told(line: str) -> None:
        heard(line)
        shown(line)

    return told


def benchmark_failed(what: str, run: BenchRun, log_path: Path) -> MeasureError:
    """Return the error of an official benchmark that ended without a result, with its own last words."""
    lines = [line for line in log_path.read_text(errors="replace").splitlines() if line.strip()]
    evidence = next(
        (line for line in reversed(lines) if "Error" in line or "error" in line), lines[-1] if lines else "no output"
    )
    if run.exit_code < 0:
        evidence = f"it was ended by signal {-run.exit_code}, after: {evidence}"
    cause = Cause("benchmark_failed", evidence.strip()[:500], f"see {log_path.name} beside the record")
    return MeasureError(f"{what} ended with exit code {run.exit_code}: {cause.evidence}", cause)


def _client_env(server: AnyServer) -> dict[str, str]:
    """Return what is added to the client's environment: the key, where the hub is, whom to trust, and no proxy."""
    past = {} if server.way.proxy else no_proxy(server.hostnames)
    return {
        "OPENAI_API_KEY": server.api_key or "EMPTY",
        **server.hub_env,
        **past,
        **certificates(),
        **server.way.trusted,
    }


def _header_words(headers: Mapping[str, str]) -> list[str]:
    """Return the words by which vLLM's client adds headers to each request; their values are nobody else's to see."""
    return ["--header", *(f"{name}={value}" for name, value in headers.items())] if headers else []


def _request_set(
    version: str | None, argv: Sequence[str], workload: ServeWorkload, seed: int, raw: Mapping[str, Any]
) -> str:
    """Return a hash of what determines the prompts: vLLM's random data set of this version, tokenizer, lengths and seed.

    The tokenizer counts by its files: a model and its quantized copy, which lies elsewhere, are sent the same prompts.
    """
    tokenizer = argv[argv.index("--tokenizer") + 1]
    return digest(
        {
            "dataset": "random",
            "vllm": version,
            "tokenizer": tokenizer_sha256(tokenizer) or tokenizer,
            "seed": seed,
            "lengths": [workload.input_len_tokens, workload.output_len_tokens, workload.range_ratio],
            "input_lens": raw.get("input_lens"),
            "num_prompts": workload.num_prompts,
        }
    )
