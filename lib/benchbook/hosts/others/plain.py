"""What is assumed of an engine until more is known of it: a log that nobody reads, no counters, nobody asked for a key."""

from __future__ import annotations

import re

from benchbook.hosts.face import Access, Counters, Log, StartupFacts

_NOTHING = re.compile("(?!)")


def log(**known: object) -> Log:
    """Return how a log is read of which only `known` is known, the fields of a Log."""
    unread = {
        "startup_facts": lambda *_: StartupFacts(),
        "startup_phase": lambda log_text: "starting",
        "telling": _NOTHING,
        "compiling": _NOTHING,
        "kv_usage": _NOTHING,
        "is_read": bool(known),
    }
    return Log(**{**unread, **known})


def no_key(why: str) -> Access:
    """Return the access of a server that asks nobody for a key, and `why`."""
    return Access(users_key="", open_paths=("everything",), why_open=why, has_key=False)


NO_COUNTERS = Counters(names={})
