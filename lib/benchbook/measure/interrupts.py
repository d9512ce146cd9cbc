"""Stopping a run: the first signal ends it in order, the second at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_INTERRUPTED = 130


@contextmanager
def stop_signals_as_interrupt() -> Iterator[None]:
    """Turn the first of SIGINT, SIGTERM, SIGHUP into KeyboardInterrupt, so that every `with` unwinds, and the second into an exit.

    Leaving at once is clean too: records are written whole or not at all, and the guardians end the hosts of a dead owner.
    """

    def stop(signum: int, frame: FrameType | None) -> None:
        for each in _STOP_SIGNALS:
            signal.signal(each, lambda *_: os._exit(EXIT_INTERRUPTED))
        raise KeyboardInterrupt

    before = {each: signal.signal(each, stop) for each in _STOP_SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
