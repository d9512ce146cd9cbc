"""What the tests of hostile answers share: the memory and the time that one took, and what counts as a flag."""

from __future__ import annotations

import threading
import time

import psutil
from benchbook.records.record import Record
from odd_server import KINDS, METRICS

MIB = 1 << 20


class Watch:
    """As a context manager: how long the block took (s), and by how much the largest process of ours grew (MiB).

    `root` is another process whose children count as well, each beyond what the root has, of which it is a fork.
    """

    def __init__(self, root: int | None = None) -> None:
        self.took_s = self.grew_mib = 0.0
        self._own, self._root = psutil.Process(), psutil.Process(root) if root else None
        self._base = self._own.memory_info().rss
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watch:
        self._start_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.took_s = time.monotonic() - self._start_s
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(0.05):
            grown = [self._own.memory_info().rss - self._base]
            for child in self._root.children(recursive=True) if self._root else ():
                try:
                    grown.append(child.memory_info().rss - self._root.memory_info().rss)
                except psutil.Error:  # it has ended
                    continue
            self.grew_mib = max(self.grew_mib, *(size / MIB for size in grown))


# What a sound server earns as well: six small requests, random weights, a machine that others use, 50 ms between looks.
OF_THE_LOAD = {
    "too_short", "start_burst", "warmup_too_small", "machine_busy", "client_saturated", "random_weights",
    "not looked: kv_exhausted",
}  # fmt: skip

# Kinds that harm no number, each with why: they are to be measured as a sound server is.
HARMLESS_TO_A_FIRST_REQUEST = {
    "half_surrogates": "the tokens and their times are right; what is no text is shown as question marks",
    "version_without_end": "the version is not known, and no number needs it",
    **dict.fromkeys((kind for kind, (path, _) in KINDS.items() if path == METRICS), "it asks for no page of metrics"),
}
HARMLESS_TO_A_BENCHMARK = {
    "half_surrogates": "vLLM counts tokens by the usage, which agrees with the pieces and with the server's counters",
    "texts_empty": "tokens without text have their times all the same, as special tokens of vLLM do",
    "finish_reason_is_an_object": "vLLM's client reads no reason; the server's own counters tell why requests ended",
    "usage_absent": "vLLM's client counts the tokens of the text, which agree with the server's counters",
    "version_without_end": "the version is not known, and no number needs it",
}


def flags(record: Record) -> set[str]:
    """Return what a record says against itself, notes apart, and which checks could not look."""
    against = {reason.code for reason in record.reasons if reason.severity != "note"}
    return against | {f"not looked: {code}" for code in record.not_looked or {}}


def is_flagged(record: Record, sound: Record) -> bool:
    """Return whether `record` says of itself what that of a `sound` server, with the same load, does not say."""
    return bool(flags(record) - flags(sound) - OF_THE_LOAD)
