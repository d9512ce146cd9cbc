"""Cases chosen by a pattern for their whole name, or for one of its parts."""

from __future__ import annotations

from fnmatch import fnmatchcase


def matches(pattern: str, case_id: str) -> bool:
    """Return whether `pattern` fits the whole name of a case or a part of it, between its commas.

    'eager', 'serve', 'max_concurrency=8' and 'eager,*' all fit 'eager,serve,lengths=128x64,max_concurrency=8'.
    """
    return any(fnmatchcase(name, pattern) for name in (case_id, *case_id.split(",")))
