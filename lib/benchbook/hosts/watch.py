"""An eye on a server while a benchmark runs: is it still there, and do its tokens move?"""

from __future__ import annotations

import re
import threading
import time

from benchbook.hosts.face import Counters
from benchbook.hosts.served import ServedModel
from benchbook.terms.errors import Cause, HostDiedError

HEALTH_POLL_S = 1.0  # /health costs the server next to nothing
METRICS_LOOKS_PER_LIMIT = 12  # /metrics costs it milliseconds in which no token is sent, so it is asked seldom
ANSWER_LIMIT_S = 10.0
GIVEN_UP_AFTER = 3  # looks: a page that never comes, or has no end, would only cost the server its time
DEAD = 503  # the word of a server whose engine is dead


class StallWatch:
    """As a context manager, watches `server` in a thread. When `event` is set, `cause` says why measuring is pointless.

    Stalled: it holds requests, and for `limit_s` seconds no prompt or output token was counted, or it answered nothing.
    Dead: its process is gone, nothing listens any more, or it says itself that its engine is dead.
    """

    def __init__(self, server: ServedModel, limit_s: float) -> None:
        self.event = threading.Event()
        self.cause: Cause | None = None
        self._server, self._limit_s = server, limit_s
        self._progress = _values_of(server.engine.counters, "generation_tokens", "prompt_tokens")
        self._working = _values_of(server.engine.counters, "running", "waiting")
        self._answer_limit_s = min(ANSWER_LIMIT_S, limit_s)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall-watch", daemon=True)

    def __enter__(self) -> StallWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        poll_s = min(HEALTH_POLL_S, self._limit_s / METRICS_LOOKS_PER_LIMIT)
        look_s = max(poll_s, self._limit_s / METRICS_LOOKS_PER_LIMIT)
        progress_at_s = next_look_s = time.monotonic()
        progress: tuple[float, ...] | None = None
        num_missed = 0
        while not self._is_over.wait(poll_s):
            health = self._health()
            if health == DEAD:
                return self._raise_alarm(self._cause_of_death())
            if time.monotonic() >= next_look_s and (progress is not None or num_missed < GIVEN_UP_AFTER):
                next_look_s += look_s
                seen, is_working = self._look()
                num_missed += seen is None
                if seen is not None and (seen != progress or not is_working):
                    progress, progress_at_s = seen, time.monotonic()
            if progress is None and health is not None:  # it has not told its counts, and lives
                progress_at_s = time.monotonic()
            if time.monotonic() - progress_at_s > self._limit_s:
                return self._raise_alarm(self._stalled(progress))

    def _health(self) -> int | None:
        """Return the status of its health: DEAD where it cannot come back, refused or reset. None: silence, maybe load."""
        try:
            return self._server.health(self._answer_limit_s)
        except ConnectionError:
            return DEAD
        except OSError:
            return None

    def _look(self) -> tuple[tuple[float, ...] | None, bool]:
        """Return the token counts and whether the server has work; no counts when it does not answer."""
        try:
            text = self._server.metrics_text(self._answer_limit_s)
        except OSError:
            return None, True
        working = sum(float(value) for value in self._working.findall(text))
        return tuple(float(value) for value in self._progress.findall(text)), working > 0

    def _cause_of_death(self) -> Cause:
        try:
            self._server.check_alive()
        except HostDiedError as error:
            return error.cause
        return Cause("crashed", f"{self._server.base_url} did not answer for a moment", "look at the server's log")

    def _stalled(self, progress: tuple[float, ...] | None) -> Cause:
        seen = "it answered nothing" if progress is None else "it held requests and counted no token"
        return Cause("stalled", f"{seen} for {self._limit_s:g} s", "the engine hangs: see the end of the server's log")

    def _raise_alarm(self, cause: Cause) -> None:
        self.cause = cause
        self.event.set()


def _values_of(counters: Counters, *names: str) -> re.Pattern[str]:
    """Return what finds the values of these counters on a page: to parse it would cost milliseconds while measuring."""
    theirs = "|".join(re.escape(counters.names[name]) for name in names if name in counters.names)
    return re.compile(rf"^(?:{theirs or '(?!)'})(?:\{{[^}}]*\}})? (\S+)", re.MULTILINE)
