"""A server that some owner started with `keep` and left, found again from any process by its name or address."""

from __future__ import annotations

from pathlib import Path

from benchbook.hosts.access import key_of
from benchbook.hosts.engines import VLLM, engine_named
from benchbook.hosts.face import StartupFacts
from benchbook.hosts.model.hub import hub_variables
from benchbook.hosts.process import processes, registry
from benchbook.hosts.process.address import is_same, server_url
from benchbook.hosts.process.logs import HostLog
from benchbook.hosts.served import ServedModel
from benchbook.terms.errors import ExperimentError, HostDiedError


class KeptServer(ServedModel):
    """A live server that another process started: it can be measured and ended."""

    def __init__(self, entry: registry.HostEntry, api_key: str | None) -> None:
        self.engine = engine_named(entry.engine or VLLM.name, entry.python)
        self.base_url, self.served_name, self.api_key = entry.base_url, entry.served_name, api_key
        self.name, self.host_id, self.pid, self.argv = entry.name, entry.host_id, entry.host_pid, list(entry.argv)
        self.hub_env = hub_variables(registry.environment_of(entry))
        self.started_utc, self.log_path = entry.started_utc, Path(entry.log_path)
        self._log = HostLog(self.log_path, start_bytes=0)

    @property
    def facts(self) -> StartupFacts:
        """What the log tells of the start: seconds by phase, memory, backends."""
        return self.engine.log.startup_facts(self._log.text(), None, None, None)

    def check_alive(self) -> None:
        """Raise HostDiedError when the server has died or answers no more."""
        if not self.is_healthy():
            cause = self.engine.causes.unhealthy(self._log.text(), f"{self.health_url} did not answer 200")
            raise HostDiedError(f"server {self.name!r} is not healthy ({cause})", cause)

    def stop(self) -> None:
        """End the server with its whole tree and return when it is gone."""
        registry.end_host(self.host_id)


def find_server(which: str) -> KeptServer:
    """Return the live server that was started on this machine by the same user, by its name, address or port.

    Of several with that name it is the newest. Raises ExperimentError when there is none.
    """
    servers = [entry for entry in registry.live_hosts() if entry.kind == "server" and entry.host_pid]
    named = [entry for entry in servers if which in (entry.name, entry.base_url.rpartition(":")[2])]
    if not named and ":" in which:
        named = [entry for entry in servers if is_same(entry.base_url, server_url(which))]
    if not named:
        there = ", ".join(f"{entry.name!r} at {entry.base_url}" for entry in servers) or "none"
        raise ExperimentError(f"no live server is called {which!r}; there is {there}")
    entry = named[-1]
    server = KeptServer(entry, key_of(entry))
    server.check_served_by(processes.descendants(entry.guardian_pid), int(entry.base_url.rpartition(":")[2]))
    return server
