"""What is watched while a benchmark runs, so that checks can tell whether the number is the server's.

Two looks, before and after, samples of server and GPU between them, and what the client noted meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchbook.hosts.engines import VLLM
from benchbook.hosts.face import ENDED, Engine, Log
from benchbook.hosts.http import TooLargeError
from benchbook.hosts.machine import cpu
from benchbook.hosts.machine.devices import naming
from benchbook.hosts.machine.facts import machine
from benchbook.hosts.network import round_trip_ms
from benchbook.hosts.process import processes, registry
from benchbook.hosts.process.logs import HostLog, tells
from benchbook.hosts.process.ports import is_loopback
from benchbook.hosts.scrape import block_tokens, counter_delta, engine_tokens, parse_counters, went_back
from benchbook.hosts.telemetry import Sampler
from benchbook.hosts.vllm import measured_part
from benchbook.hosts.vllm.clients import behind_ours_s
from benchbook.hosts.way import PLAIN
from benchbook.judge.telemetry_summary import telemetry_summary
from benchbook.measure.client.given import Given
from benchbook.measure.client.meter import client_facts, meter_path, read_notes
from benchbook.measure.client.sent import of_those_sent, sent_facts
from benchbook.measure.recording import Recording
from benchbook.measure.servers import AnyServer
from benchbook.ranks import num_devices
from benchbook.records.argv import flags_of
from benchbook.records.conditions import Conditions
from benchbook.records.files import write_json
from benchbook.records.handover import SENT_FILE
from benchbook.records.samples import TelemetrySummary
from benchbook.records.telemetry import write_telemetry
from benchbook.terms.errors import Cause, MeasureError
from benchbook.terms.redaction import known_secrets, redacted

MAX_LINES = 10
SILENT = "the host's log is silent: it has no line of {}'s at level INFO"
_DEVICE_IDS = "--device-ids"
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Watched:
    """All that is watched around one benchmark: as a context manager two looks, and samples of server and GPU between.

    What is not there to be watched, a page of metrics or a log that is not ours, is noted under `unseen` in the
    conditions. An error of what watches costs no number either: it stands under `watching_errors` there.
    """

    def __init__(self, server: AnyServer | None, socket_path: str = "") -> None:
        self._server = server
        self._engine = server.engine if server else VLLM
        entry = cpu.host_entry(base_url=server.base_url) if server else None
        worker = cpu.host_entry(argument=socket_path) if socket_path else None
        # Of a service its own processes are no strangers: those at all its addresses, and behind a router on this machine.
        urls = dict.fromkeys((*server.urls, *server.counter_urls)) if server else ()
        self._roots = [pid for url in urls for pid in cpu.server_pids(url)]
        self._roots += [worker.guardian_pid] if worker else []
        host = entry if server else worker  # beside a server the worker is its client
        self._log = HostLog(Path(host.log_path)) if host and host.log_path else None
        self._sampler = Sampler(
            server.base_url if server else None,
            self._engine.counters,
            way=server.way if server else PLAIN,
            pages=server.counter_urls if server else (),
            env=_environment_of(host, self._roots),
            num_gpus=num_devices(flags_of(host.argv)) if host else None,
            host_id=host.host_id if host else None,
        )
        self._errors: list[str] = []
        self._unseen = _out_of_sight(server, self._log, self._sampler, self._engine)
        self.page = ""  # of /metrics, at the start of the window
        self.counters: dict[str, float] = {}
        self.facts: dict[str, Any] = {}

    def __enter__(self) -> Watched:
        self.page = self._metrics()
        self._time_the_way("before_ms")
        self._look = cpu.look(self._own_pids())
        self._sampler.__enter__()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._ended_s = time.perf_counter()
        with self._sparing("the samples"):
            self._sampler.__exit__(kind, error, trace)
        if error is not None:
            return
        with self._sparing("the processors"):
            self.facts |= {"limits": limits(), "machine": cpu.shares(self._look, cpu.look(self._own_pids()))}
        self._time_the_way("after_ms")
        if self.page and (after := self._metrics()):
            with self._sparing("the server's counters"):
                self._count(after)
        if self._server and self._log:
            with self._sparing("the server's log"):
                self.facts |= log_facts(self._log.text(), self._engine.log)

    def read_engine(self, console: Path, num_measured: int, *, is_loaded: bool) -> None:
        """Read what an offline benchmark's console text, and the log of the loaded engine, tell of what was measured.

        That is the last `num_measured` times at which the benchmark asked for tokens.
        """
        with self._sparing("the engine's log"):
            parts = [measured_part.of_console(console.read_text(errors="replace"))]
            if is_loaded and self._log:
                parts.append(measured_part.of_engine_log(self._log.text(), num_measured))
            elif not tells(console, self._engine.log.telling):
                self._unseen["log"] = SILENT.format(self._engine.title)
            if None in parts:
                self._unseen["log"] = "the engine's log does not tell where the warm-up ends"
            else:
                self.facts |= log_facts("\n".join(parts), self._engine.log)

    def read_given(self, given: Given, log_path: Path) -> Mapping[str, Any]:
        """Keep and return what an engine noted of the requests of a set that it was given; {} where it noted nothing."""
        with self._sparing("the engine's notes"):
            if noted := given.notes():
                self.facts["sent"] = sent_facts(noted, {}, noted["block_tokens"], was_emptied=True)
                write_json(log_path.with_name(SENT_FILE), noted)
                return noted
        return {}

    def telemetry(self, recording: Recording, raw: Mapping[str, Any]) -> TelemetrySummary:
        """Keep the samples beside the record and return their summary; an empty one where that failed."""
        with self._sparing("telemetry"):
            samples = _on_the_clients_clock(self._sampler.result(), behind_ours_s(raw, self._ended_s))
            if samples["server"] or samples["gpus"]:
                write_telemetry(recording.telemetry_path, samples)
            return telemetry_summary(samples, raw)
        return TelemetrySummary()

    def conditions(self, log_path: Path, raw: Mapping[str, Any], *, was_emptied: bool = False) -> Conditions:
        """Return what a record keeps as its conditions: the facts, what the warm client noted, and what went wrong.

        `was_emptied` is said of the server's prefix cache.
        """
        with self._sparing("the client's notes"):
            notes = read_notes(meter_path(log_path))  # a plain command line leaves none
            if client := client_facts(notes, raw):
                self.facts["client"] = client
            if sent := notes.get("sent"):
                sent = of_those_sent(sent, raw)
                write_json(log_path.with_name(SENT_FILE), sent)
                block = block_tokens(self.page, self._engine.counters)
                self.facts["sent"] = sent_facts(sent, raw, block, was_emptied=was_emptied)
        return Conditions.of(**self.facts, watching_errors=self._errors, unseen=self._unseen)

    def _metrics(self) -> str:
        """Return the server's page of metrics; '' where it has none, which is noted; MeasureError for one without end."""
        if self._server is None:
            return ""
        try:
            return self._server.metrics_text()
        except TooLargeError as error:
            # vLLM's client asks for the page before and after, and holds all of it, however long it is.
            cause = Cause(
                "metrics_too_large", f"{self._engine.counters.path}: {error}", "vllm bench serve would read all of it"
            )
            raise MeasureError(f"not measured, for {cause.evidence}; {cause.hint}", cause) from error
        except OSError as error:
            self._unseen["counters"] = redacted(str(error)[:300], known_secrets())
            return ""

    def _time_the_way(self, when: str) -> None:
        """Note how long a round trip to a server of somebody else takes; a proxy's would tell nothing of it."""
        if self._server and not self._server.is_ours and not self._server.way.proxy:
            network = self.facts.setdefault("network", {})
            ways_ms = [way_ms for way_ms in map(round_trip_ms, self._server.urls) if way_ms is not None]
            network[when] = max(ways_ms, default=None)

    def _count(self, page: str) -> None:
        counters = self._engine.counters
        before, after = parse_counters(self.page, counters), parse_counters(page, counters)
        self.counters = counter_delta(before, after)
        ended = [count for name, count in before.items() if name.startswith(ENDED)]
        self.facts["earlier_requests"] = sum(ended) if ended else None
        self.facts["counters_went_back"] = went_back(before, after) if after else []
        if not before or not after:
            self._unseen["counters"] = f"{counters.path} has none of {self._engine.title}'s counters"
        first = engine_tokens(self.page, counters)
        self.facts["engine_tokens"] = {
            number: tokens - first.get(number, 0.0) for number, tokens in engine_tokens(page, counters).items()
        }

    @contextlib.contextmanager
    def _sparing(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever it is: the number that was watched stands
            self._errors.append(redacted(f"{what}: {type(error).__name__}: {error}"[:300], known_secrets()))

    def _own_pids(self) -> Sequence[int]:
        # The parent of a notebook's kernel is the runner, by hand Jupyter; other kernels of it are other load.
        return (*self._roots, os.getpid())


def _on_the_clients_clock(samples: dict[str, Any], behind_s: float) -> dict[str, Any]:
    """Return samples with their times as the client's clock has them, which is `behind_s` behind ours."""
    if not behind_s:
        return samples

    def moved(columns: Any) -> Any:
        return {**columns, "t_s": [round(time_s - behind_s, 4) for time_s in columns["t_s"]]} if columns else columns

    zero_s = samples["zero_perf_counter_s"] - behind_s
    return {
        **samples,
        "zero_perf_counter_s": zero_s,
        "server": moved(samples["server"]),
        "gpus": [moved(gpu) for gpu in samples["gpus"]],
    }


def _environment_of(entry: registry.HostEntry | None, pids: Sequence[int]) -> Mapping[str, str]:
    """Return the environment of what is measured, with the GPUs that its command chooses; {} for one elsewhere."""
    pid = entry.host_pid if entry else next(iter(pids), None)
    env = processes.environment_of(pid) if pid else {}
    words = entry.argv if entry else []
    ids = words[words.index(_DEVICE_IDS) + 1 :][:1] if _DEVICE_IDS in words else []
    return naming({"device_ids": ids}, env) if ids else env


def _out_of_sight(server: AnyServer | None, log: HostLog | None, sampler: Sampler, engine: Engine) -> dict[str, str]:
    """Return what cannot be watched of this server or engine, from the start, each with why."""
    unseen: dict[str, str] = {}
    if server and not all(map(is_loopback, server.hostnames)):
        unseen |= dict.fromkeys(("machine", "gpu"), "the server is on another machine")
    elif machine().gpus and "gpu" in sampler.absent:
        unseen["gpu"] = sampler.absent["gpu"]
    if server and log is None:
        unseen["log"] = "the server's log is not ours to read"
    elif log and not engine.log.is_read:
        unseen["log"] = f"nobody here knows what the log of {engine.title} says"
    elif log and not tells(log.path, engine.log.telling):
        unseen["log"] = SILENT.format(engine.title)
    return unseen


def log_facts(text: str, log: Log) -> dict[str, Any]:
    """Return what a server's log of the window tells: lines about compilation, and the highest KV cache usage (%)."""
    lines = text.splitlines()
    compiling = [redacted(line, known_secrets()) for line in lines if log.compiling.search(line)]
    usages = [float(usage) for usage in log.kv_usage.findall(text)]
    return {"compile_lines": compiling[:MAX_LINES], "kv_usage_max_pct": max(usages, default=None)}


def limits() -> dict[str, int]:
    """Return how many files this process, and so its client, may open, and how many ports outgoing connections have."""
    found = {"open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0]}
    if _PORT_RANGE.is_file():
        low, high = map(int, _PORT_RANGE.read_text().split())
        found["ports"] = high - low + 1
    return found
