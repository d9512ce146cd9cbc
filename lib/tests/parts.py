"""Parts of records with other facts in them, for tests: checked as those that are read from a file."""

from __future__ import annotations

from typing import TypeVar

from benchbook.records.typed import Part

Kind = TypeVar("Kind", bound=Part)


def having(part: Kind, **facts) -> Kind:
    """Return `part` with these facts in place of its own."""
    return type(part).model_validate({**part.model_dump(exclude_unset=True), **facts})
