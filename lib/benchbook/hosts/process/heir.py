"""Ends what an owner leaves behind when its guardians died in the same instant: `python -m benchbook.hosts.process.heir PID STATE_DIR`.

Each process that owns hosts has one. It waits for its owner's end, whatever ends that, and then does at once what any
later command would do as well. Guardians that live end their hosts by themselves; the heir waits until they have.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time

LIMIT_S = 30.0  # longer than a guardian takes for a host that will not end
POLL_S = 0.2


def main() -> None:
    """Wait for the owner's end; then end its orphans, and remove its folder of sockets."""
    owner_pid, state_dir = int(sys.argv[1]), sys.argv[2]
    _wait_for_the_end_of(owner_pid)
    from benchbook.hosts.process import registry, scratch  # late: until now this process has cost next to nothing

    deadline = time.monotonic() + LIMIT_S
    while os.path.isdir(state_dir) and time.monotonic() < deadline:
        registry.sweep_orphans()
        if not any(entry.owner_pid == owner_pid and not entry.keep for entry in registry.read_entries()):
            break
        time.sleep(POLL_S)
    scratch.sweep()


def _wait_for_the_end_of(owner_pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        descriptor = os.pidfd_open(owner_pid)
        if os.getppid() == owner_pid:  # else its pid may be another's by now
            select.select([descriptor], [], [])


if __name__ == "__main__":
    main()
