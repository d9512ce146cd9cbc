"""Stopping a run: the first signal ends it in order, the second at once; Ctrl-Z halts it until `fg`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from benchbook.terms import exit_codes

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_continued_at_s = float("-inf")  # when this process was last continued (monotonic)


def interrupt_on_stop_signals() -> None:
    """Turn the first of SIGINT, SIGTERM, SIGHUP into KeyboardInterrupt, so that every `with` unwinds, the second into an exit.

    For the rest of the process: a second signal may come while the interpreter itself is ending. Leaving at once is
    clean too: records are written whole or not at all, and the guardians end the hosts of a dead owner. A signal that
    is ignored, as SIGHUP is under nohup, stays so.
    """
    chosen = [each for each in _STOP_SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]

    def stop(signum: int, frame: FrameType | None) -> None:
        for each in chosen:
            signal.signal(each, _leave_at_once)
        raise KeyboardInterrupt

    for each in chosen:
        signal.signal(each, stop)


def is_stopping() -> bool:
    """Return whether the first of these signals has come: all is unwinding, and the next one ends this process."""
    return any(signal.getsignal(each) is _leave_at_once for each in _STOP_SIGNALS)


def _leave_at_once(signum: int, frame: FrameType | None) -> None:
    os._exit(exit_codes.INTERRUPTED)


@contextmanager
def told_of_halts(before: Callable[[], None], after: Callable[[float], None]) -> Iterator[None]:
    """Inside, Ctrl-Z (SIGTSTP) calls `before`, halts this process, and calls `after` with how long that was (s).

    That it was halted, in this or another way, `was_halted_since` tells.
    """
    earlier, earlier_continued = signal.getsignal(signal.SIGTSTP), signal.signal(signal.SIGCONT, _note_continued)

    def halt(signum: int, frame: FrameType | None) -> None:
        before()
        since_s = time.monotonic()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)  # returns when the process is continued
        signal.signal(signal.SIGTSTP, halt)
        after(time.monotonic() - since_s)

    if earlier is not signal.SIG_IGN:
        signal.signal(signal.SIGTSTP, halt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, earlier)
        signal.signal(signal.SIGCONT, earlier_continued)


def was_halted_since(monotonic_s: float) -> bool:
    """Return whether this process was halted and continued since then: what took until now may have ended long ago."""
    return _continued_at_s > monotonic_s


def _note_continued(signum: int, frame: FrameType | None) -> None:
    global _continued_at_s
    _continued_at_s = time.monotonic()
