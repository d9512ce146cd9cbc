"""What a notebook's reader sees while something runs: one line that changes; and after it, the console text, folded."""

from __future__ import annotations

import html
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchbook.hosts.face import OnProgress
from benchbook.terms.redaction import known_secrets, redacted

UPDATE_S = 0.25  # between two updates: one more often would take the processor from what is measured
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
# A line of tqdm, with which vLLM's benchmarks show how far they are: '40%|████  | 16/40 [00:02<00:03, 7.9it/s]'
_BAR = re.compile(r"^(?P<what>.*?):?\s*\d+%\|.*\| (?P<done>\d+)/(?P<total>\d+) \[(?P<took>[\d:]+)")


class Interrupted(KeyboardInterrupt):
    """Somebody ended what runs by Jupyter's stop button; that is told in one line."""

    def _render_traceback_(self) -> list[str]:
        return [f"Interrupted: {self}"]


class Place:
    """One place in the output of a cell, which is written again and again; outside of a notebook there is none."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._written_s = float("-inf")

    def write(self, markup: str, plain: str, *, last: bool = False) -> None:
        """Show `markup`, or `plain` where there is no HTML, in place of what was there; `last` is never left out."""
        now_s = time.monotonic()
        if not is_notebook() or now_s < self._written_s + UPDATE_S and not last:
            return
        from IPython.display import display

        content = {"text/html": markup, "text/plain": plain}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
        self._written_s = now_s

    def line(self, text: str, *, last: bool = False) -> None:
        """Show one line of text."""
        self.write(html.escape(text), text, last=last)


def is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return getattr(ipython and ipython.get_ipython(), "kernel", None) is not None


@contextmanager
def starting(what: str) -> Iterator[OnProgress]:
    """Inside, a start that is told to the yielded function is one line: what, which phase, for how long."""
    place, began_s, phase = Place(), time.monotonic(), "starting"

    def told(elapsed_s: float, now: str) -> None:
        nonlocal phase
        phase = now
        place.line(f"{what}: {phase} … {elapsed_s:.0f} s")

    place.line(f"{what}: {phase} …", last=True)
    try:
        yield told
    except BaseException as error:
        place.line(f"{what}: ended after {time.monotonic() - began_s:.1f} s, while {phase}", last=True)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("nothing was started") from None
        raise
    place.line(f"{what}: ready after {time.monotonic() - began_s:.1f} s", last=True)


@contextmanager
def benchmark(name: str, log_path: Path, *, is_watched: bool = True) -> Iterator[Callable[[str], None] | None]:
    """Inside, console lines that are told to the yielded function are one bar; after, all of the text is there, folded.

    Outside of a notebook each line is printed. Where nobody watches, as in a sweep, nothing is written meanwhile.
    """
    if not is_notebook():
        yield print
        return
    place, began_s = Place(), time.monotonic()

    def told(line: str) -> None:
        if bar := _BAR.match(line):
            what = bar["what"].strip() or name
            counted = f"{bar['done']} of {bar['total']} · {bar['took']}"
            shape = f'<progress value="{bar["done"]}" max="{bar["total"]}"></progress>'
            place.write(f"{shape} {html.escape(what)}: {counted}", f"{what}: {counted}")
        else:
            place.line(f"{name} … {time.monotonic() - began_s:.0f} s")

    if is_watched:
        place.line(f"{name} …", last=True)
    try:
        yield told if is_watched else None
    except KeyboardInterrupt:
        raise Interrupted(f"{name} was ended; what was started for it lives on") from None
    finally:
        text = console_text(log_path)
        summary = f"{name}: {time.monotonic() - began_s:.1f} s; its console text, {log_path.name}"
        folded = f"<details><summary>{html.escape(summary)}</summary><pre>{html.escape(text)}</pre></details>"
        place.write(folded, f"{summary}, lies beside the record", last=True)


def console_text(log_path: Path) -> str:
    """Return a log as a terminal would show it: of a line that was written over, what stood there last; no secrets."""
    if not log_path.is_file():
        return ""
    text = _ANSI.sub("", log_path.read_bytes().decode(errors="replace"))  # read as text, \\r would end lines
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return redacted("\n".join(lines).strip(), known_secrets())
