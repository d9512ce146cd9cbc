"""The items of a guard, asked of a server beside a load like the one that was measured.

After the measured window the load is sent once more, with other prompts; while it runs, the items are asked, eight at
once, greedily; it is sent again until all are answered. So batches are as large, and the KV cache as full, as they were
when the speed was measured, and nothing of it lies in the window. An item is one request: its question, and behind it each
choice, with the log-probabilities that the server gives their tokens. The likeliest choice counts, or what was written.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchbook.hosts import http
from benchbook.measure.items import Item, read_items
from benchbook.records.answers import NONE, NOT_ASKED, RIGHT, WRONG, GuardAnswers
from benchbook.records.handover import GuardItems
from benchbook.terms.errors import BenchbookError
from benchbook.terms.redaction import known_secrets, redacted
from benchbook.terms.sent_beside import GUARD_AT_ONCE, MAX_LOADS

if TYPE_CHECKING:
    from benchbook.measure.servers import AnyServer

TIMEOUT_S = 120.0  # of one answer, under load
_POLL_S = 0.1
_SENDING = re.compile(r"\| *\d+/\d+ \[")  # the bar that vLLM's client draws once it sends
_NO_LOGPROBS = "the server gives no log-probabilities of a prompt's tokens, by which choices are told apart"
_SILENT = "the load was never seen to run: this client does not tell when it sends"

Hear = Callable[[str], None]
SendLoad = Callable[[int, Hear], object]  # with which other prompts; each line of its console is heard


@dataclass(frozen=True)
class _Told:
    """What one item was answered with."""

    mark: str = NONE  # an item that was sent and not answered
    logprob: float | None = None  # of the right answer, a token on average
    why_not: str = ""


def ask_items(server: AnyServer, wanted: GuardItems, send_load: SendLoad) -> GuardAnswers:
    """Return what `server` answers to the items while `send_load` runs, again and again; what goes wrong is told in it."""
    known = {"items_sha256": wanted.sha256, "margin": wanted.margin}
    began_s = time.monotonic()
    try:
        items = read_items(wanted.path)
    except BenchbookError as error:
        return GuardAnswers(**known, guess=0.0, why_not=_in_short(error))
    told, loads, why_not = _told_beside(server, items, send_load)
    causes = [why_not, *(one.why_not for one in told if one.mark == NONE)]
    return GuardAnswers(
        **known,
        guess=round(fmean(item.guess for item in items), 6),
        marks="".join(one.mark for one in told),
        logprobs=tuple(one.logprob for one in told),
        loads=loads,
        took_s=round(time.monotonic() - began_s, 3),
        why_not=next(filter(None, causes), ""),
    )


def _told_beside(server: AnyServer, items: Sequence[Item], send_load: SendLoad) -> tuple[list[_Told], int, str]:
    """Return what was told, how often the load was sent, and what ended it before all were asked; '' for nothing."""
    is_sending, is_over = threading.Event(), threading.Event()
    is_heard, why_not, loads = False, "", 0

    def hear(line: str) -> None:
        nonlocal is_heard
        if _SENDING.search(line):
            is_heard = True
            is_sending.set()

    def asked(item: Item) -> _Told:
        while not is_sending.wait(_POLL_S):
            if is_over.is_set():
                return _Told(NOT_ASKED)
        return _asked(server, item)

    with ThreadPoolExecutor(GUARD_AT_ONCE, "guard") as pool:
        asking = [pool.submit(asked, item) for item in items]
        try:
            while loads < MAX_LOADS and not all(one.done() for one in asking):
                send_load(loads, hear)
                is_sending.clear()
                loads += 1
                if not is_heard:
                    why_not = _SILENT
                    break
        except BenchbookError as error:
            why_not = _in_short(error)
        finally:
            is_sending.clear()
            is_over.set()
        told = [one.result() for one in asking]
    if all(one.mark != NOT_ASKED for one in told):
        return told, loads, ""
    return told, loads, why_not or f"their turn had not come when the load had been sent {loads} times"


def _asked(server: AnyServer, item: Item) -> _Told:
    """Return what the server says to one item."""
    body = {
        "model": server.served_name,
        "prompt": [item.question, *(f"{item.question}{item.delimiter}{choice}" for choice in item.choices)],
        "max_tokens": item.max_tokens,
        "temperature": 0.0,
        "prompt_logprobs": 0,  # of the tokens that are there, and no others
        **({"stop": item.match.until} if item.match and item.match.until else {}),
    }
    try:
        status, text = http.ask(
            "POST", server.base_url, "/v1/completions", timeout_s=TIMEOUT_S, way=server.way, payload=body
        )
        if status != 200:
            return _Told(why_not=_in_short(f"HTTP {status}: {text}"))
        return told_by(http.json_of(text), item)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return _Told(why_not=_in_short(f"{type(error).__name__}: {error}"))


def told_by(answer: Any, item: Item) -> _Told:
    """Return what an answer of /v1/completions tells of `item`; raises LookupError, TypeError where it is none."""
    first, *others = sorted(answer["choices"], key=lambda one: one["index"])
    if len(others) != len(item.choices):
        return _Told(why_not=f"{len(others) + 1} answers to {len(item.choices) + 1} prompts")
    scores = _scores(first.get("prompt_logprobs"), [one.get("prompt_logprobs") for one in others])
    logprob = scores[item.right][1] if scores else None
    if item.is_exact:
        is_right = item.match.is_right if item.match else begins_with
        return _Told(RIGHT if is_right(first["text"], item.answer) else WRONG, logprob)
    if not scores:
        return _Told(why_not=_NO_LOGPROBS)
    likeliest = max(range(len(scores)), key=lambda place: scores[place][0])
    return _Told(RIGHT if likeliest == item.right else WRONG, logprob)


def begins_with(text: str, answer: str) -> bool:
    """Return whether `text` begins with the answer as a whole: '42.' does with '42', '420' does not."""
    said = text.strip()
    rest = said[len(answer) :]
    return said.startswith(answer) and not rest[:1].isalnum()


def _scores(question: Any, continued: Sequence[Any]) -> list[tuple[float, float]]:
    """Return of each continuation the log-probability of its tokens, in all and each on average; [] where none is told."""
    if not question or not all(continued):
        return []
    found = []
    for tokens in continued:
        behind = tokens[min(len(question), len(tokens) - 1) :]
        values = [float(next(iter(one.values()))["logprob"]) for one in behind if one]
        if not values:
            return []
        found.append((sum(values), round(fmean(values), 5)))
    return found


def _in_short(what: object) -> str:
    return redacted(" ".join(str(what).split())[:300], known_secrets())
