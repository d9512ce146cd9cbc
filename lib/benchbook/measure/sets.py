"""The set of a workload as one repeat sends it: which requests of its frozen file, and what is known of them.

sending = sending_of(workload, repeat)      # of one without a set: it sends nothing, and its workload is the same
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbook.measure.argv import Sent
from benchbook.measure.client.given import GIVEN_FILE, Given
from benchbook.measure.client.stretch import Stretch
from benchbook.plan.request_facts import SetFacts
from benchbook.plan.request_parts import OFFLINE_SAMPLING
from benchbook.plan.requests import RequestSet
from benchbook.plan.sent_workload import SentWorkload
from benchbook.records.frozen import FrozenRequest, read_frozen, read_header, sha256_of
from benchbook.records.handover import Handover, SentRequests
from benchbook.records.record import SentSet
from benchbook.terms.errors import ExperimentError

PLAIN_FILE = "requests.jsonl"  # beside the record, while the plain command line reads it


@dataclass(frozen=True)
class Sending:
    """What of a set is sent; `sent` is None for a workload without one."""

    workload: SentWorkload  # with what is known of its requests
    sent: SentRequests | None = None
    sha256: str = ""  # of these very requests

    def stretch(self, max_model_len: int | None) -> Stretch | None:
        """Return the requests that are measured, for a server that takes so many tokens."""
        return self._stretch(self.sent.start, self.workload.num_prompts, max_model_len) if self.sent else None

    def warmup_stretch(self, wave: int, number: int, max_model_len: int | None) -> Stretch | None:
        """Return the requests of a wave of the warm-up, from 0 on."""
        starts = self.sent.warmup_starts if self.sent else ()
        return self._stretch(starts[wave % len(starts)], number, max_model_len) if starts else None

    def words(self, stretch: Stretch | None, raw_path: Path) -> Sent | None:
        """Return how these requests are sent, in vLLM's words."""
        if stretch is None:
            return None
        return self._sent(stretch.words(raw_path.with_name(PLAIN_FILE)))

    def given(self, raw_path: Path, is_warm: bool) -> tuple[Given, Sent] | None:
        """Return what a loaded engine is given, those of a warm-up first unless it `is_warm`, and how, in vLLM's words."""
        if self.sent is None:
            return None
        number = 0 if is_warm else self.workload.warmup_prompts
        warmup = self.warmup_stretch(0, number, None) if number else None
        given = Given(self.stretch(None), warmup, raw_path.with_name(GIVEN_FILE))
        return given, self._sent(given.words())

    def _sent(self, words: Sequence[str]) -> Sent:
        sent = self.sent
        return Sent(words=words, endpoint=sent.endpoint, ends_by=sent.ends_by, sampling=sent.sampling)

    @property
    def for_record(self) -> SentSet | None:
        """Return what the record tells of it."""
        names = SentSet.model_fields
        return SentSet(**{name: getattr(self.sent, name) for name in names}) if self.sent else None

    @property
    def given_for_record(self) -> SentSet | None:
        """Return the same of an engine, where it is vLLM's benchmark that says how answers end and tokens are chosen."""
        found = self.for_record
        return found and found.model_copy(update={"ends_by": "length", "sampling": OFFLINE_SAMPLING})

    def _stretch(self, start: int, count: int, max_model_len: int | None) -> Stretch:
        return Stretch(self.sent.path, start, count, self.sent.is_timed, max_model_len)


def sending_of(workload: SentWorkload, repeat: Handover) -> Sending:
    """Return what a repeat sends of its set, by hand of the frozen file that the workload names.

    Raises ExperimentError or StoreError where that is not there.
    """
    if workload.requests is None:
        return Sending(workload)
    sent = repeat.requests or _by_hand(workload)
    requests = list(read_frozen(sent.path, sent.start, workload.num_prompts))
    return Sending(workload.of_set(_facts(requests, sent)), sent, sha256_of(requests))


def _by_hand(workload: SentWorkload) -> SentRequests:
    """Return the first requests of a frozen file, with those behind them for a warm-up."""
    path = Path(os.path.expanduser(workload.requests))  # Path's own raises for a user who is not known
    if not os.path.isfile(path):
        raise ExperimentError(f"requests: {workload.requests!r} is no file: by hand it is a frozen file of a run")
    header = read_header(path)
    wanted, number, first = RequestSet(**header.spec), workload.num_prompts, workload.warmup_prompts
    workload.of_set(wanted.facts)  # refuses what it cannot send
    if header.requests < number:
        raise ExperimentError(f"{path} has {header.requests} requests, and {number} are asked for")
    last = max(0, header.requests - first)
    return SentRequests(
        name=header.name,
        path=str(path.resolve()),
        warmup_starts=tuple(min(number + wave * first, last) for wave in range(4)),
        endpoint=wanted.endpoint,
        ends_by=wanted.ends_by,
        sampling=wanted.sent_sampling,
        is_timed=wanted.kind == "trace",
        is_fresh=header.distinct >= number + first,
        shares_prefix=wanted.shares_prefix,
        made_of=wanted.made_of,
    )


def _rate_rps(requests: Sequence[FrozenRequest]) -> float | None:
    """Return at which rate requests were recorded, None where nobody can tell."""
    due_s = [one.due_s for one in requests if one.due_s is not None]
    took_s = max(due_s) - min(due_s) if due_s else 0
    return (len(due_s) - 1) / took_s if took_s else None


def _facts(requests: Sequence[FrozenRequest], sent: SentRequests) -> SetFacts:
    """Return what is known of these requests; what a history will add to a turn is not."""
    ways = {
        "ends_by": sent.ends_by,
        "shares_prefix": sent.shares_prefix or not sent.is_fresh,
        "is_chat": sent.endpoint == "chat",
        "made_of": sent.made_of,
        "is_replayed": sent.is_timed,
        "rate_rps": _rate_rps(requests) if sent.is_timed else None,
        "in_turns": any(one.conversation is not None for one in requests),
        "has_adapters": any(one.adapter is not None for one in requests),
    }
    output_tokens = sum(one.output_tokens for one in requests)
    if ways["in_turns"]:
        return SetFacts(None, output_tokens / len(requests), None, None, output_tokens, **ways)
    input_tokens = sum(one.input_tokens for one in requests)
    longest = max(one.input_tokens + one.output_tokens for one in requests)
    means = input_tokens / len(requests), output_tokens / len(requests)
    return SetFacts(*means, longest, input_tokens, output_tokens, **ways)
