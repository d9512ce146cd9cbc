"""Python's garbage collector, kept from walking again and again through what all stays: records, or what is imported."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_rest() -> Iterator[None]:
    """Inside, or in a function decorated with it, nothing is looked for that could be freed: a fifth of reading records or importing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def importing() -> Iterator[None]:
    """Inside, modules are imported at rest; what is there then stays, and is not walked through by a later look either."""
    with at_rest():
        yield
        gc.freeze()


def skip_last_look() -> None:
    """Have Python end without walking, for seconds where vLLM is there, through all that was imported."""
    gc.freeze()
