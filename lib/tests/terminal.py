"""A program on a terminal: its own pseudo-terminal of a given width, what it showed there, and keys typed at it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

CTRL_C = b"\x03"


class Terminal:
    """A process whose terminal this is; `text` is all that it has written there so far."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process, self._master = process, master
        self.text = ""

    def press(self, keys: bytes) -> None:
        """Type `keys`."""
        os.write(self._master, keys)

    def read_until(self, is_it: Callable[[str], bool], limit_s: float = 60.0) -> str:
        """Return all text as soon as `is_it` holds for it; fail when the program ends or `limit_s` passes before."""
        deadline = time.monotonic() + limit_s
        while not is_it(self.text):
            assert time.monotonic() < deadline, f"not within {limit_s:g} s:\n{self.text[-3000:]}"
            assert self._read(0.2), f"ended before:\n{self.text[-3000:]}"
        return self.text

    def read_to_end(self, limit_s: float = 60.0) -> str:
        """Return all text when the program has ended."""
        deadline = time.monotonic() + limit_s
        while self._read(0.2):
            assert time.monotonic() < deadline, f"still alive after {limit_s:g} s:\n{self.text[-3000:]}"
        self.process.wait(timeout=limit_s)
        return self.text

    def _read(self, wait_s: float) -> bool:
        """Take what is there within `wait_s`; return False at the end."""
        if not select.select([self._master], [], [], wait_s)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux tells so that nobody holds the other side any more
            return False
        self.text += data.decode(errors="replace")
        return bool(data)


@contextlib.contextmanager
def on_terminal(
    words: Sequence[str], *, cwd: Path, columns: int = 80, rows: int = 24, env: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """Run `words` in a session of its own, on a new terminal of `columns` x `rows`; kill what is left at the end."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        words,
        cwd=cwd,
        env={**(os.environ if env is None else env), "TERM": "xterm-256color"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)
