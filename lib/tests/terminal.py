"""A program on a terminal: its own pseudo-terminal of a given size, what it showed there, and keys typed at it."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyte

CTRL_C, CTRL_Z = b"\x03", b"\x1a"
ROWS = 24


class Terminal:
    """A process whose terminal this is; `text` is all that it has written there so far."""

    def __init__(self, process: subprocess.Popen[bytes], master: int, columns: int) -> None:
        self.process, self._master, self._columns = process, master, columns
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")  # a reading may end inside a character

    def press(self, keys: bytes) -> None:
        """Type `keys`."""
        os.write(self._master, keys)

    def resize(self, columns: int) -> None:
        """Give the terminal another width; its programs are told."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))

    def hang_up(self, limit_s: float = 30.0) -> None:
        """Close the terminal, as closing its window does, and wait for the program to end."""
        os.close(self._master)
        self._master = None
        self.process.wait(timeout=limit_s)

    def lines(self) -> list[str]:
        """Return the lines that stay on the screen and above it, without what was drawn over."""
        screen = pyte.HistoryScreen(self._columns, ROWS, history=10_000)
        pyte.Stream(screen).feed(self.text)
        above = ["".join(line[place].data for place in range(self._columns)) for line in screen.history.top]
        return [line.rstrip() for line in (*above, *screen.display)]

    def widest(self) -> int:
        """Return the width of the widest line that was ever written, also of a live display."""
        return max(map(len, re.split(r"[\r\n]+", re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", self.text))))

    def close(self) -> None:
        """Kill what is left, and take the terminal away."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._master is not None:
            os.close(self._master)

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
        self.text += self._decoder.decode(data)
        return bool(data)


@contextlib.contextmanager
def on_terminal(
    words: Sequence[str], *, cwd: Path, columns: int = 80, env: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """Run `words` in a session of its own, on a new terminal of `columns` x 24; kill what is left at the end.

    `env` is added to this process's environment; without its say the terminal is a colourful xterm.
    """
    master, slave = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    process = subprocess.Popen(
        words,
        cwd=cwd,
        env={**inherited, "TERM": "xterm-256color", **(env or {})},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    with contextlib.closing(Terminal(process, master, columns)) as terminal:
        yield terminal
