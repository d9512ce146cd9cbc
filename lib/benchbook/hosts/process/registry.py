"""The hosts that live on this machine: one small file each, so that any later command finds what was left behind.

An entry never holds a secret. A guardian writes the entry of its host and removes it; an entry whose guardian
is dead is an orphan, which `sweep_orphans` ends by the marker in its environment, never by a pid alone.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import tempfile
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, get_type_hints

from benchbook.hosts.process import containers, processes
from benchbook.hosts.process.caches import check_writable, own_folder, remembered
from benchbook.terms.errors import ExperimentError

STATE_VARIABLE = "BENCHBOOK_STATE_DIR"
ORPHAN_GRACE_S = 2.0
END_LIMIT_S = 25.0  # longest a guardian takes to end its tree: its grace, then KILL


@dataclass(frozen=True, kw_only=True)
class HostEntry:
    """What is known of one live host; everything but the pids is for people and for `find_server`."""

    host_id: str
    name: str
    kind: str  # "server", "engine", "client", "kernels"
    machine: str
    guardian_pid: int
    guardian_start_ticks: int
    owner_pid: int | None = None  # of the process that started it
    host_pid: int | None = None  # None for the instant between the entry and the start
    host_start_ticks: int | None = None
    argv: list[str]
    started_utc: str
    keep: bool = False
    base_url: str | None = None
    model: str | None = None
    served_name: str | None = None
    engine: str | None = None  # of a server, by its name
    python: str = ""  # its interpreter, where that is of another environment than ours
    log_path: str | None = None
    ended_by: list[str] = field(default_factory=list)  # the command that ends what is no child of it: a container

    @property
    def has_guardian(self) -> bool:
        """Whether the guardian of this host still runs."""
        return processes.is_alive(self.guardian_pid, self.guardian_start_ticks)


def state_dir() -> Path:
    """Return the folder of live hosts' state, made on demand and closed to other users; raises ExperimentError."""
    return own_folder(STATE_VARIABLE, "XDG_STATE_HOME", ".local/state", mode=0o700)


def check_folders() -> None:
    """Raise ExperimentError, with the way out, unless there is room for what a host takes: its entry, its sockets."""
    for folder, variable in ((state_dir(), STATE_VARIABLE), (tempfile.gettempdir(), "TMPDIR")):
        check_writable(folder, variable)


def entry_path(host_id: str) -> Path:
    """Return where the entry of `host_id` lies."""
    return state_dir() / "hosts" / f"{host_id}.json"


def write_entry(entry: HostEntry) -> None:
    """Write `entry` so that a reader sees the old one or the whole new one, and other users neither."""
    path = entry_path(entry.host_id)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(entry), file, indent=1)
    temporary.replace(path)


def remove_entry(host_id: str) -> None:
    """Forget `host_id`; nothing happens when it is unknown."""
    with contextlib.suppress(ExperimentError, NotADirectoryError):  # where no folder can be had, there is no entry
        entry_path(host_id).unlink(missing_ok=True)


def with_host_pid(entry: HostEntry, pid: int) -> HostEntry:
    """Return `entry` with the host's process filled in."""
    stat = processes.read_stat(pid)
    return replace(entry, host_pid=pid, host_start_ticks=stat.start_ticks if stat else None)


def read_entries() -> list[HostEntry]:
    """Return the entries of this machine, oldest first; a file that cannot be read as one is left out."""
    read = ((path.stem, remembered(path)) for path in sorted((state_dir() / "hosts").glob("*.json")))
    entries = [entry for host_id, raw in read if raw and (entry := _entry_of(host_id, raw))]
    # The state folder may be shared by machines through the network; pids of another one mean nothing here.
    here = [entry for entry in entries if entry.machine == socket.gethostname()]
    return sorted(here, key=lambda entry: entry.started_utc)


def _entry_of(host_id: str, raw: dict[str, Any]) -> HostEntry | None:
    """Return the entry that the file of `host_id` holds; None where it is damaged, or not one of ours."""
    try:
        entry = HostEntry(**{key: value for key, value in raw.items() if key in _kinds()})
        has_zone = datetime.fromisoformat(entry.started_utc).tzinfo is not None
    except (TypeError, ValueError):
        return None
    is_sound = has_zone and all(isinstance(getattr(entry, name), kind) for name, kind in _kinds().items())
    is_sound = is_sound and all(isinstance(word, str) for word in (*entry.argv, *entry.ended_by))
    return entry if is_sound and entry.host_id == host_id else None


@functools.cache
def _kinds() -> dict[str, Any]:
    return {**get_type_hints(HostEntry), "argv": list, "ended_by": list}


def live_hosts() -> list[HostEntry]:
    """Return the hosts whose guardian runs, oldest first."""
    return [entry for entry in read_entries() if entry.has_guardian]


def others_at_work() -> bool:
    """Return whether another process of this user has a live host here; one that was kept waits and does nothing."""
    return any(not entry.keep and entry.owner_pid != os.getpid() for entry in live_hosts())


def server_at(url: str) -> HostEntry | None:
    """Return the live server of ours at `url`, an address of `server_url`; None for one that is not ours."""
    from benchbook.hosts.process.address import is_same  # late: guardians, who import this, must start at once

    return next((entry for entry in live_hosts() if entry.base_url and is_same(entry.base_url, url)), None)


def environment_of(entry: HostEntry) -> dict[str, str]:
    """Return the environment that a live host of ours was started with, secrets among it; {} while it has no process."""
    return processes.environment_of(entry.host_pid) if entry.host_pid else {}


def end_host(host_id: str) -> bool:
    """End the host `host_id` with all its processes and return whether there was one."""
    entry = next((entry for entry in read_entries() if entry.host_id == host_id), None)
    if entry is None:
        return False
    if entry.has_guardian:
        processes.send_signal([entry.guardian_pid], signal.SIGTERM)
        processes.wait_gone(lambda: [entry.guardian_pid] if entry.has_guardian else [], END_LIMIT_S)
    end_marked(host_id)
    return True


def end_marked(host_id: str) -> list[int]:
    """End every process that carries the marker of `host_id`, forget its entry, and return the pids that were alive."""
    ended = processes.end_all(lambda: processes.marked_pids(host_id), ORPHAN_GRACE_S)
    raw = remembered(entry_path(host_id))
    if raw and (entry := _entry_of(host_id, raw)):
        containers.end(entry.ended_by)
    remove_entry(host_id)
    return ended


def sweep_orphans() -> list[tuple[HostEntry, list[int]]]:
    """End the hosts whose guardian is dead and return each with the pids that were still alive.

    A stale entry with nothing alive is removed and not reported.
    """
    orphans = [(entry, end_marked(entry.host_id)) for entry in read_entries() if not entry.has_guardian]
    return [(entry, pids) for entry, pids in orphans if pids]
