"""What is watched while a benchmark runs, so that checks can tell whether the number is the server's.

Two looks, before and after, and what the client noted meanwhile; nothing here runs while it is measured.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchbook.hosts import load
from benchbook.hosts.logs import HostLog
from benchbook.hosts.scrape import counter_delta, parse_metrics, went_back
from benchbook.judge.warmth import COMPILE_LINE
from benchbook.measure.client_meter import client_facts, meter_path
from benchbook.measure.servers import AnyServer
from benchbook.redaction import known_secrets, redacted

MAX_LINES = 10
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_KV_USAGE = "KV cache usage: "


class Watched:
    """A look at server, log and machine at the start of a window; as a context manager the second look at its end."""

    def __init__(self, server: AnyServer | None, client_socket: str = "") -> None:
        self._server = server
        entry = load.host_entry(base_url=server.base_url) if server else None
        client = load.host_entry(argument=client_socket) if client_socket else None
        self._roots = load.server_pids(server.base_url) if server else []
        self._roots += [client.guardian_pid] if client else []
        self._log = HostLog(Path(entry.log_path)) if entry and entry.log_path else None
        self.page = ""  # of /metrics, at the start of the window
        self.counters: dict[str, float] = {}
        self.facts: dict[str, Any] = {}

    def __enter__(self) -> Watched:
        self.page = self._server.metrics_text() if self._server else ""
        self._look = load.look(self._own_pids())
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None:
            return
        machine = load.shares(self._look, load.look(self._own_pids()))
        self.facts = {"machine": machine, "limits": limits()}
        if self._server:
            before, after = parse_metrics(self.page), parse_metrics(self._server.metrics_text())
            self.counters = counter_delta(before, after)
            self.facts["counters_went_back"] = went_back(before, after)
        if self._log:
            self.facts |= log_facts(self._log.text())

    def client(self, log_path: Path, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return {'client': ...} of what the warm client noted beside `log_path`, {} for a plain command line."""
        facts = client_facts(meter_path(log_path), raw)
        return {"client": facts} if facts else {}

    def _own_pids(self) -> Sequence[int]:
        # The parent of a notebook's kernel is the runner, by hand Jupyter; other kernels of it are other load.
        return (*self._roots, os.getpid())


def log_facts(text: str) -> dict[str, Any]:
    """Return what a server's log of the window tells: lines about compilation, and the highest KV cache usage (%)."""
    lines = text.splitlines()
    compiling = [redacted(line, known_secrets()) for line in lines if COMPILE_LINE.search(line)]
    usages = [float(line.partition(_KV_USAGE)[2].partition("%")[0]) for line in lines if _KV_USAGE in line]
    return {"compile_lines": compiling[:MAX_LINES], "kv_usage_max_pct": max(usages, default=None)}


def limits() -> dict[str, int]:
    """Return how many files this process, and so its client, may open, and how many ports outgoing connections have."""
    found = {"open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0]}
    if _PORT_RANGE.is_file():
        low, high = map(int, _PORT_RANGE.read_text().split())
        found["ports"] = high - low + 1
    return found
