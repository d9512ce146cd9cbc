"""Stopping a run: the first signal ends it in order, the second at once; Ctrl-Z halts it until `fg`."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from benchbook.terms import exit_codes

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_continued_at_s = float("-inf")  # when this process was last continued (monotonic)


def interrupt_on_stop_signals(signals: Sequence[signal.Signals] = _STOP_SIGNALS) -> None:
    """Turn the first of SIGINT, SIGTERM, SIGHUP into KeyboardInterrupt, so that every `with` unwinds, the second into an exit.

    For the rest of the process: a second signal may come while the interpreter itself is ending. Leaving at once is
    clean too: records are written whole or not at all, and the guardians end the hosts of a dead owner. A signal that
    is ignored, as SIGHUP is under nohup, stays so.
    """
    chosen = [each for each in signals if signal.getsignal(each) is not signal.SIG_IGN]

    def stop(signum: int, frame: FrameType | None) -> None:
        for each in chosen:
            signal.signal(each, _leave_at_once)
        raise KeyboardInterrupt

    for each in chosen:
        signal.signal(each, stop)


def end_with(wait_for_end: Callable[[], object]) -> None:
    """Have this process, which runs on behalf of its parent, interrupted by SIGTERM alone, and gone at the parent's end.

    For that `wait_for_end` waits, in a thread. The keys of a terminal reach both: it is the parent that they are for.
    """
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, lambda *_: None)  # not ignored: what is started from here would inherit that
    interrupt_on_stop_signals([signal.SIGTERM])
    signal.signal(signal.SIGCONT, _note_continued)

    def watch() -> None:
        wait_for_end()
        os._exit(exit_codes.INTERRUPTED)

    threading.Thread(target=watch, name="end with the parent", daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)


@contextmanager
def blocked() -> Iterator[None]:
    """Inside, stop signals wait: for a child that is started here until it calls `end_with`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)


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
