"""What server and GPU did while a case was measured, sampled four times a second on the clock of its requests.

The samples' times are `time.perf_counter` seconds, as vLLM's `start_times` are: on Linux one clock for all processes.
`epoch_s` in the result says when its zero was. Sampling must not disturb what it watches: the server is asked for a
dozen values instead of its whole page, and nothing is parsed before the case is over.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from benchbook.hosts import http
from benchbook.hosts.face import Counters
from benchbook.hosts.machine.amd_smi import AmdSmi, has_amd_gpus, open_amd_smi
from benchbook.hosts.machine.nvml import QUANTITIES, Gpu, NoGpuError, Nvml, open_nvml
from benchbook.hosts.process import ports, processes
from benchbook.hosts.scrape import MAX_LINE, parse_counters
from benchbook.hosts.way import PLAIN, Way

PERIOD_S = 0.25
ANSWER_LIMIT_S = 2.0  # a sample that takes longer is a gap, not a stall: StallWatch looks for those
GIVEN_UP_AFTER = 4  # samples: a page that never comes, or has no end, would only cost the server its time
MAX_LINES = 1000  # of one sample: 12 series of 64 engines are fewer


class Sampler:
    """As a context manager, samples the server at `base_url` (None: there is none) and the GPUs; then see `result`.

    `env` is that of the process under test, which may name the GPUs that it uses; with `num_gpus` it takes the first so
    many. Its own processes are those of the host `host_id`, where we started it, and what serves `base_url`; without
    either, what this process has started. All others are strangers, another benchbook's as well. `pages` are the addresses
    of those whose counters are read, where they are others than the server itself.
    One sample is taken on entering and one on leaving, so that what happens inside lies between two.
    """

    def __init__(
        self,
        base_url: str | None,
        counters: Counters | None = None,
        *,
        way: Way = PLAIN,
        pages: Sequence[str] = (),
        period_s: float = PERIOD_S,
        nvml: Nvml | AmdSmi | None = None,
        env: Mapping[str, str] | None = None,
        num_gpus: int | None = None,
        host_id: str | None = None,
    ) -> None:
        self._base_url, self._way, self._period_s = base_url, way, period_s
        self._sources = tuple(pages) or ((base_url,) if base_url else ())
        self.absent: dict[str, str] = {} if base_url else {"server": "an engine in a process has no /metrics"}
        self._counters = counters or Counters(names={})
        # Prometheus' own selection: the server formats these few and leaves its histograms alone.
        theirs = tuple(self._counters.names.values())
        self._path, self._beginnings = (
            f"{self._counters.path}?{urlencode([('name[]', name) for name in theirs])}",
            theirs,
        )
        try:
            self._nvml = nvml or (open_amd_smi(env) if has_amd_gpus() else open_nvml(env))
        except NoGpuError as reason:
            self._nvml, self.absent["gpu"] = None, str(reason)
        self._num_gpus, self._host_id = num_gpus, host_id
        self._gpus: list[Gpu] = self._nvml.gpus[:num_gpus] if self._nvml else []
        self._zero_s, self._epoch_s = time.perf_counter(), time.time()
        self._pages: list[tuple[float, list[str]]] = []
        self._num_missed, self._why_missed = 0, ""
        self._readings: dict[int, list[tuple]] = {gpu.index: [] for gpu in self._gpus}
        self._family = _family_of(base_url) if self._nvml and base_url else set()
        self._processes: dict[tuple[int, int], dict[str, Any]] = {}  # by GPU and pid
        self._looked_us = dict.fromkeys(self._readings, int(self._epoch_s * 1e6))
        self._cpu_s = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def __enter__(self) -> Sampler:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._sample()

    def result(self) -> dict[str, Any]:
        """Return the samples as columns, JSON-ready; `absent` says what could not be sampled and why."""
        if self._base_url and not self._pages:
            self.absent["server"] = self._why_missed
        return {
            "period_s": self._period_s,
            "zero_perf_counter_s": self._zero_s,
            "epoch_s": self._epoch_s,
            "server": _columns(self._pages, self._counters) if self._pages else None,
            "missed_samples": self._num_missed,
            "gpus": [self._gpu_columns(gpu) for gpu in self._gpus],
            "num_gpus": self._num_gpus,
            "gpu_processes": list(self._processes.values()),
            "absent": self.absent,
            "sampler_cpu_s": round(self._cpu_s, 4),
        }

    def _run(self) -> None:
        next_s = time.perf_counter() + self._period_s
        while not self._is_over.wait(max(0.0, next_s - time.perf_counter())):
            self._sample()
            # What was missed is not made up for: a burst of samples would disturb, and tell nothing.
            next_s = max(next_s + self._period_s, time.perf_counter())

    def _sample(self) -> None:
        began_s = time.thread_time()
        if self._base_url:
            self._sample_server()
        for gpu in self._gpus:
            self._readings[gpu.index].append((self._now_s(), *self._nvml.read(gpu)))
            for pid in self._nvml.pids(gpu):
                self._saw(gpu, pid)
            self._saw_at_work(gpu)
        self._cpu_s += time.thread_time() - began_s

    def _sample_server(self) -> None:
        if not self._pages and self._num_missed >= GIVEN_UP_AFTER:
            return
        asked_s = self._now_s()
        try:
            answers = [http.get(url, self._path, timeout_s=ANSWER_LIMIT_S, way=self._way) for url in self._sources]
        except OSError as error:
            self._num_missed += 1
            self._why_missed = str(error)[:200]
            return
        status = max(status for status, _ in answers)
        shown = [line for _, text in answers for line in text.splitlines()] if status == 200 else []
        lines = [line for line in shown if line.startswith(self._beginnings) and len(line) <= MAX_LINE][:MAX_LINES]
        if not lines:
            self._num_missed += 1
            self._why_missed = f"{self._counters.path} answered {status}, and none of the engine's values"
            return
        self._pages.append(((asked_s + self._now_s()) / 2, lines))

    def _saw(self, gpu: Gpu, pid: int) -> None:
        now_s = round(self._now_s(), 4)
        known = self._processes.get((gpu.index, pid))
        if known is None:
            kind = "unseen" if processes.read_stat(pid) is None else "ours" if self._is_ours(pid) else "foreign"
            name = processes.command_of(pid)[:200]
            known = {"gpu": gpu.index, "pid": pid, "name": name, "kind": kind, "first_s": now_s}
            self._processes[(gpu.index, pid)] = known
        known["last_s"] = now_s

    def _saw_at_work(self, gpu: Gpu) -> None:
        """Note of each process when it computed, and how much of the time at most: a context alone disturbs nobody."""
        for pid, busy_pct, when_us in self._nvml.uses(gpu, self._looked_us[gpu.index]) or ():
            self._looked_us[gpu.index] = max(self._looked_us[gpu.index], when_us)
            known = self._processes.get((gpu.index, pid))
            if known is not None and busy_pct:
                now_s = round(self._now_s(), 4)
                known["busy_pct"] = max(busy_pct, known.get("busy_pct", 0))
                known["first_busy_s"], known["last_busy_s"] = known.get("first_busy_s", now_s), now_s

    def _is_ours(self, pid: int) -> bool:
        if self._host_id is None and not self._base_url:  # a plain command of this process
            return pid in processes.descendants(os.getpid())
        return pid in self._family or processes.environment_of(pid).get(processes.MARKER, "") == (self._host_id or None)

    def _now_s(self) -> float:
        return time.perf_counter() - self._zero_s

    def _gpu_columns(self, gpu: Gpu) -> dict[str, Any]:
        times, *quantities = zip(*self._readings[gpu.index], strict=True)
        columns = {name: list(values) for name, values in zip(QUANTITIES, quantities, strict=True)}
        return {
            "index": gpu.index,
            "name": gpu.name,
            "highest_sm_clock_mhz": self._nvml.highest_sm_clock_mhz(gpu),
            "t_s": [round(time_s, 4) for time_s in times],
            **{name: None if set(values) == {None} else values for name, values in columns.items()},
        }


def _family_of(base_url: str) -> set[int]:
    """Return the pids of the server that listens at `base_url` on this machine, with all its children."""
    listening = [pid for pid, _ in ports.listeners(urlsplit(base_url).port or 80) if pid]
    return {*listening, *processes.descendants(*listening)}


def _columns(pages: list[tuple[float, list[str]]], counters: Counters) -> dict[str, Any]:
    """Return the times and one column for each neutral name that the server tells, from the lines of its pages."""
    rows = [parse_counters("\n".join(lines), counters) for _, lines in pages]
    columns: dict[str, Any] = {"t_s": [round(time_s, 4) for time_s, _ in pages]}
    for name in counters.names:
        if any(name in row for row in rows):
            columns[name] = [row.get(name) for row in rows]
    return columns
