"""Ends what a process of tests leaves alive, whatever ends that process: `python ender.py PID MARK`, by `ended_with_us()`.

Where tests are killed, nobody is left to end a server that was started to be kept. All that tests start is marked by a
variable of its environment, which it hands on to what it starts.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time

import psutil

VARIABLE = "BENCHBOOK_TESTS"
LIMIT_S = 30.0  # what is being started meanwhile is seen later
POLL_S = 0.2


def ended_with_us() -> dict[str, str]:
    """Have what is marked ended with this process; return the mark, for the environment of what is started."""
    mark = f"{os.getpid()}-{time.time_ns()}"
    nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    command = [sys.executable, __file__, str(os.getpid()), mark]
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    subprocess.Popen(command, env=environment, start_new_session=True, **nowhere)
    return {VARIABLE: mark}


def marked(mark: str) -> list[psutil.Process]:
    """Return the living processes with this mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it has ended, or is another user's
            if process.environ().get(VARIABLE) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def main() -> None:
    """Wait for the end of the process that started this one; then kill what has the mark."""
    pid, mark = int(sys.argv[1]), sys.argv[2]
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        descriptor = os.pidfd_open(pid)
        if os.getppid() == pid:  # else its pid may be another's by now
            select.select([descriptor], [], [])
    deadline = time.monotonic() + LIMIT_S
    while (left := marked(mark)) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(POLL_S)


if __name__ == "__main__":
    main()
