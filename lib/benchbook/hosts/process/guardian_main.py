"""The guardian's own program: `python -m benchbook.hosts.process.guardian_main`, started by `guardian.spawn`.

It starts the host, and ends it when the owner is gone, in whatever way. It is the reaper of all that descends from
the host, also of what changed its session or forked twice, so nothing can leave its tree. It lives in a session of
its own and imports the standard library only, to start fast.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchbook.hosts.process import containers, processes, registry, scratch
from benchbook.terms.errors import ExperimentError

TERM_GRACE_S = 6.0  # vLLM needs about two seconds to end its engine in order
STRAGGLER_GRACE_S = 1.0  # for what the host left behind


def main() -> None:
    """Guard one host, described by the first line of the socket on standard input, until host and tree are gone."""
    link = socket.socket(fileno=0)
    wakeup = _catch_signals()
    processes.prctl(processes.PR_SET_CHILD_SUBREAPER, 1)
    first_line = link.makefile("r").readline()
    if first_line:  # else the owner was gone before it had said anything
        Guardian(link, wakeup, json.loads(first_line)).run()


class Guardian:
    """The host's parent and the reaper of its descendants."""

    def __init__(self, link: socket.socket, wakeup: socket.socket, order: dict[str, Any]) -> None:
        self._link, self._wakeup, self._order = link, wakeup, order
        self._keep = order["entry"]["keep"]
        self._term_grace_s = TERM_GRACE_S
        self._host: subprocess.Popen | None = None

    def run(self) -> None:
        """Start the host, wait for an ending of host, owner or ourselves, and leave nothing of it behind."""
        own = processes.read_stat(os.getpid())
        entry = registry.HostEntry(
            **self._order["entry"],
            guardian_pid=own.pid,
            guardian_start_ticks=own.start_ticks,
            machine=socket.gethostname(),
            started_utc=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        )
        try:
            registry.write_entry(entry)  # before the start: there is no instant with a host and no entry
            self._host = self._start_host(entry)
        except (OSError, subprocess.SubprocessError, ExperimentError) as error:
            is_ours = isinstance(error, ExperimentError)  # the state folder cannot be had: a sentence, with the way out
            self._report(error=str(error) if is_ours else f"{type(error).__name__}: {error}")
            registry.remove_entry(entry.host_id)
            return
        try:
            registry.write_entry(registry.with_host_pid(entry, self._host.pid))
            self._report(pid=self._host.pid)
            self._wait_for_an_ending()
        finally:
            self._end_tree()
        containers.end(entry.ended_by, self._order["env"])
        if not processes.descendants(own.pid):  # else a driver holds it: the entry stays, for a later sweep
            registry.remove_entry(entry.host_id)
        self._clean_log(entry.log_path)
        self._report(exit_code=self._host.returncode)

    def _start_host(self, entry: registry.HostEntry) -> subprocess.Popen:
        folder = {name: str(scratch.scratch_dir()) for name in self._order["in_folder"]}
        argv = entry.argv
        for text, variable in self._order["hidden"].items():
            argv = [word.replace(text, self._order["env"][variable]) for word in argv]
        with open(entry.log_path, "ab") as log:
            return subprocess.Popen(
                argv, env=self._order["env"] | folder, cwd=self._order["cwd"], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                # Should we be killed outright, the host at least gets a TERM; the sweep finds what ignores it.
                preexec_fn=lambda: processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGTERM),
            )  # fmt: skip

    def _wait_for_an_ending(self) -> None:
        """Return when the host has exited, a TERM came, the owner asked for the end, or the owner is gone."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._link, selectors.EVENT_READ)
            selector.register(self._wakeup, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._wakeup:
                        if signal.SIGTERM in self._wakeup.recv(64) or self._host.poll() is not None:
                            return
                        self._reap()
                    elif self._is_told_to_end():
                        return
                    else:  # the owner of a host to be kept is gone
                        selector.unregister(self._link)

    def _is_told_to_end(self) -> bool:
        try:
            message = self._link.recv(4096)
        except ConnectionResetError:
            message = b""
        if message:
            self._term_grace_s = json.loads(message)["stop_grace_s"]
        return bool(message) or not self._keep

    def _end_tree(self) -> None:
        """TERM to the host, which ends its own children in order; then TERM and KILL to what is left of the tree."""
        if self._host.poll() is None:
            self._host.terminate()
            try:
                self._host.wait(self._term_grace_s)
            except subprocess.TimeoutExpired:
                self._host.kill()
                self._host.wait(processes.KILL_LIMIT_S)
        processes.end_all(lambda: processes.descendants(os.getpid()), STRAGGLER_GRACE_S)
        self._reap()

    def _clean_log(self, path: str) -> None:
        """Take the secrets out of what the host has printed, those of its own environment as well."""
        from benchbook.terms import redaction  # late, to start fast

        with contextlib.suppress(OSError):  # deleted, or on a full disk: the host has ended all the same
            redaction.redact_file(Path(path), redaction.known_secrets(self._order["env"]))

    def _reap(self) -> None:
        """Collect the zombies that were handed to us, but not the host, whose exit code `Popen` wants."""
        for pid in list(processes.all_pids()):
            stat = processes.read_stat(pid)
            if stat and stat.parent_pid == os.getpid() and stat.state == "Z" and pid != self._host.pid:
                os.waitpid(pid, os.WNOHANG)

    def _report(self, **message: object) -> None:
        try:
            self._link.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass  # nobody is left to be told


def _catch_signals() -> socket.socket:
    """Return a socket that receives one byte a signal; hang-up and Ctrl-C are for the owner and do nothing here."""
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.detach(), warn_on_full_buffer=False)
    # Handlers, not SIG_IGN: an ignored signal would stay ignored in the host.
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(signum, lambda *_: None)
    return receiver


if __name__ == "__main__":
    main()
