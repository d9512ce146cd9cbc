"""Start a process that cannot outlive its owner: `spawn` puts a guardian (guardian_main.py) between the two.

Owner and guardian share one socket: the owner sends what to start, the guardian reports the host's pid and exit
code, and the end of the stream tells either side that the other is gone. Only the owner holds the owner's end: it is
closed on exec, and closed in every forked child.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchbook.hosts.process import processes, registry, shell
from benchbook.hosts.process.pythons import HERE, Python
from benchbook.terms.errors import Cause, HostStartError

STOP_GRACE_S = 6.0  # vLLM needs about two seconds to end its engine in order
GUARDIAN_LIMIT_S = 20.0  # on top of the grace: KILL, reap, remove the entry
HOST_PID_LIMIT_S = 30.0  # for a guardian to start the host's process; 0.1 s on an idle machine
OWN_FOLDER = (
    "{its own folder}"  # as the value of a variable: a folder of the host alone, closed to others, gone with it
)

_links: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    log_path: Path | str,
    name: str,
    kind: str,
    keep: bool = False,
    cwd: Path | str | None = None,
    details: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
    python: Python = HERE,
    hidden: Mapping[str, str] | None = None,
    ended_by: Sequence[str] = (),
) -> GuardedProcess:
    """Start `argv` under a guardian and return a handle on it; output goes to the end of `log_path`.

    `env` is added to the owner's environment; in place of OWN_FOLDER the host gets one. `kind` is "server", "engine", "client" or "kernels". A host with `keep` outlives
    its owner. `details` (base_url, model, served_name, engine) go into the registry: never put a secret there or into `argv`.
    `descriptors` are files, such as locks, that the guardian holds open as long as the host lives. `python` is the
    environment that `argv` belongs to; the guardian is of ours. `hidden` has texts in `argv` in whose place the host
    gets the value of a variable of its environment. `ended_by` is run once the host has ended, to end what is no child.
    """
    host_id = secrets.token_hex(8)
    entry = {"host_id": host_id, "name": name, "kind": kind, "argv": list(argv), "keep": keep, "owner_pid": os.getpid()}
    # SPT_NOENV: a program that renames itself must not write over the environment, where the marker stands.
    marked = {**shell.child_environment(env, python), processes.MARKER: host_id, "SPT_NOENV": "1"}
    entry = {**entry, **(details or {}), "log_path": os.path.abspath(log_path), "ended_by": list(ended_by)}
    in_folder = [variable for variable, value in marked.items() if value == OWN_FOLDER]
    order = {"entry": entry, "env": marked, "in_folder": in_folder, "cwd": str(cwd or Path.cwd())}
    order["hidden"] = dict(hidden or {})
    _start_heir(os.getpid(), str(registry.state_dir()))
    link, guardian = _start_guardian(host_id, log_path, descriptors)
    with contextlib.suppress(OSError):  # a guardian that is gone already is seen at the first reading
        link.sendall(json.dumps(order).encode() + b"\n")
    return GuardedProcess(host_id, name, link, guardian)


class GuardedProcess:
    """A host under its guardian. Losing this handle (del, end of the interpreter) ends the host, unless it is kept."""

    def __init__(self, host_id: str, name: str, link: socket.socket, guardian: subprocess.Popen) -> None:
        self.host_id, self.name = host_id, name
        self._link, self._guardian = link, guardian
        self._lock = threading.Lock()  # a watchdog thread polls too
        self._buffer = b""
        self._messages: dict[str, Any] = {}  # what the guardian has reported so far
        self._is_closed = False
        self._read_until(lambda: "pid" in self._messages or "error" in self._messages, HOST_PID_LIMIT_S)
        if "pid" not in self._messages:
            cause = self._why_not_started()
            self.stop()
            raise HostStartError(f"{name} was not started: {cause.evidence}", cause)

    @property
    def pid(self) -> int:
        """The pid of the host's main process."""
        return self._messages["pid"]

    @property
    def guardian_pid(self) -> int:
        """The pid of the guardian."""
        return self._guardian.pid

    def tree_pids(self) -> list[int]:
        """Return the pids of all running processes of the host, without the guardian."""
        return processes.descendants(self.guardian_pid) or processes.marked_pids(self.host_id)

    def poll(self) -> int | None:
        """Return the exit code of the host's main process (negative: the signal), None while it runs."""
        self._read_until(lambda: False, 0.0)
        return self._messages.get("exit_code")

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Return the exit code once the whole tree is gone, None when it still lives after `timeout_s`."""
        self._read_until(lambda: self._is_closed, timeout_s)
        return self._messages.get("exit_code") if self._is_closed else None

    def stop(self, grace_s: float = STOP_GRACE_S) -> int | None:
        """End the host: TERM, up to `grace_s` seconds, KILL, its whole tree, reap. Return its exit code.

        Stopping what has ended already does nothing.
        """
        if not self._is_closed:
            with contextlib.suppress(OSError):  # a guardian that is gone is seen by the next line
                self._link.sendall(json.dumps({"stop_grace_s": grace_s}).encode())
            self.wait(grace_s + GUARDIAN_LIMIT_S)
            if not self._is_closed:
                self._lose_guardian()
        return self._messages.get("exit_code")

    def _why_not_started(self) -> Cause:
        if "error" not in self._messages and (self._guardian.poll() or 0) < 0:
            evidence = f"its guardian was ended by {signal.Signals(-self._guardian.returncode).name}"
            return Cause("killed_by_signal", evidence, "see who sent it")
        evidence = self._messages.get("error", "the guardian ended before it had started the process")
        return Cause("crashed", evidence, "check that the program exists and that the state folder is writable")

    def _read_until(self, is_done: Callable[[], bool], limit_s: float | None) -> None:
        """Take in what the guardian reports until `is_done()`, the end of the stream, or the limit."""
        deadline = None if limit_s is None else time.monotonic() + limit_s
        with self._lock:
            while not self._is_closed and not is_done():
                left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
                if not select.select([self._link], [], [], left_s)[0]:
                    return
                self._take_in(self._receive())

    def _receive(self) -> bytes:
        try:
            return self._link.recv(65536)
        except ConnectionResetError:
            return b""

    def _take_in(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._messages.update(json.loads(line))
        if not data:
            self._is_closed = True
            self._link.close()
            self._guardian.wait()
            if "error" not in self._messages and "exit_code" not in self._messages:
                self._lose_guardian()

    def _lose_guardian(self) -> None:
        """The guardian was killed, or hangs: do its work."""
        self._guardian.kill()
        registry.end_marked(self.host_id)
        self._messages["exit_code"] = -signal.SIGKILL
        self._is_closed = True


def _start_guardian(
    host_id: str, log_path: Path | str, descriptors: Sequence[int]
) -> tuple[socket.socket, subprocess.Popen]:
    """Return the owner's end of the socket and the guardian that holds the other."""
    _close_links_in_forked_children()
    ours, theirs = socket.socketpair()  # close-on-exec, so that no child of the owner gets them by accident
    _links.add(ours)
    with theirs, open(log_path, "ab") as log:
        streams = {"stdin": theirs, "stdout": log, "stderr": log}
        guardian = _start_own("guardian_main", marker=host_id, pass_fds=descriptors, **streams)
    return ours, guardian


@functools.cache
def _start_heir(owner_pid: int, state_dir: str) -> subprocess.Popen | None:
    """Start what ends the hosts of this process should it and their guardians die at once (heir.py); one is enough."""
    try:
        nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        heir = _start_own("heir", str(owner_pid), state_dir, **nowhere)
    except OSError:
        return None  # no process is to be had for it; the next command would do its work
    atexit.register(_dismiss, heir, owner_pid)
    return heir


def _dismiss(heir: subprocess.Popen, owner_pid: int) -> None:
    """End the heir with an owner that ends in order: where nobody reaps orphans it would stay as a zombie."""
    if os.getpid() == owner_pid:
        heir.kill()
        heir.wait()


def _start_own(module: str, *words: str, marker: str = "", **options: Any) -> subprocess.Popen:
    """Start a program of this folder in a session of its own."""
    package_root = str(Path(__file__).parents[3])
    search_path = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))
    env = {**os.environ, processes.MARKER: marker, "PYTHONPATH": search_path}
    # -P: a json.py in the folder of somebody's notebook must not stand in for the standard library's.
    command = [sys.executable, "-P", "-m", f"{__package__}.{module}", *words]
    return subprocess.Popen(command, env=env, start_new_session=True, cwd="/", **options)


@functools.cache
def _close_links_in_forked_children() -> None:
    """See to it, once, that a fork of the owner without exec does not keep the owner's hosts alive."""
    os.register_at_fork(after_in_child=lambda: [link.close() for link in list(_links)])
