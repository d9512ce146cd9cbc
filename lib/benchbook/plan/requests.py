"""Request sets: what is sent, by name, as the rows of `requests:` in an experiment file.

    requests:
      words:  {lengths: [1024, 256], text: corpus.txt}                      # real words, cut to these lengths
      spread: {lengths: [{lognormal: [512, 256], max: 4096}, {uniform: [16, 256]}]}
      shared: {lengths: [512, 64], prefix: {share: 0.8, groups: 16}}        # four fifths of a prompt begin like others
      chat:   {dataset: sharegpt, path: data/chat.json, endpoint: chat, ends_by: any}
      agents: {lengths: [128, 64], conversations: {turns: 5, think_s: 2}, prefix: {share: 0.5}}
      talks:  {conversations: {path: data/talks.jsonl}}                     # whose turns a file tells
      replay: {trace: data/mooncake.jsonl, speed: 2, window_s: [0, 600]}
      again:  {frozen: results/x/20261127-080000/requests/chat.jsonl.gz, endpoint: chat}    # the very bytes of that run

Which kind a row is, its keys say: `dataset`, `trace`, a file of `conversations`, `frozen`, else `lengths`. Files are looked for beside
the experiment file, then in the current folder, and are absolute here. What a row is drawn to is frozen in the run, in
`requests/NAME.jsonl.gz`; where a file lies there beside the experiment file, as in a run's folder, it is sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from benchbook.plan.document import Where
from benchbook.plan.request_facts import EndsBy, SetFacts
from benchbook.plan.request_parts import OFFLINE_SAMPLING, Conversations, Length, Pair, Prefix, Sampling, Spread, pair
from benchbook.plan.strict import StrictModel
from benchbook.plan.workload import Positive
from benchbook.terms.asked import MadeOf

FOLDER = "requests"  # of a run
ENDING = ".jsonl.gz"
Kind = Literal["lengths", "dataset", "trace", "conversations", "frozen"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_OF_RANDOM_TOKENS = frozenset(("random", "random-mm", "random-rerank", "prefix_repetition", "burstgpt", "timed_trace"))
HUB = "hf"  # the data set whose path is a name on the hub
GREEDY: Mapping[str, float] = {"temperature": 0.0}  # where a row does not say how tokens are chosen
SERVERS = "server"  # `sampling: server`: whatever the server does when nothing is asked


class RequestSet(StrictModel):
    """A set as the file says it, but for its name."""

    lengths: tuple[Length, Length] | None = Field(None, examples=["lengths: [128, 64]"])  # in and out; of each turn
    text: str | None = None  # a file whose words prompts are cut from; None: random tokens
    prefix: Prefix | None = Field(None, examples=["prefix: {share: 0.8, groups: 16}"])
    conversations: Conversations | None = Field(None, examples=["conversations: {turns: 5, think_s: 2}"])
    dataset: str | None = None  # one of vLLM's, by its name there
    path: str | None = None  # its file, or its name on the hub
    options: dict[str, Any] = {}  # its own, by vLLM's names with underscores
    trace: str | None = None  # a file of recorded arrivals and lengths
    frozen: str | None = None  # a set's file of another run, whose requests are sent again
    speed: Positive = 1.0  # so many times faster than recorded
    window_s: Pair | None = None  # of the trace, from its first request on
    endpoint: Literal["completions", "chat"] = "completions"
    ends_by: EndsBy = "length"  # "any": a model may end its answer before
    sampling: Sampling | Literal["server"] | None = Field(
        None, examples=["sampling: {temperature: 0.7}"]
    )  # None: greedy
    adapters: dict[str, float] = {}  # LoRA adapters of the launch, each with its share of the requests

    @field_validator("lengths", "window_s", mode="before")
    @classmethod
    def _are_two(cls, value: Any) -> Any:
        return pair(value)

    @model_validator(mode="after")
    def _fits_together(self) -> RequestSet:
        defaults = {key: field.default for key, field in type(self).model_fields.items()}
        for key, kind in _OF_ONE_KIND.items():
            if self.kind != kind and getattr(self, key) != defaults[key]:
                raise ValueError(f"{key} goes with {kind}, and this set is drawn from {self.kind}")
        if self.window_s and not 0 <= self.window_s[0] < self.window_s[1]:
            raise ValueError("window_s must be [from, to] in seconds from the first request on")
        shares = self.adapters.values()
        if any(share <= 0 for share in shares) or sum(shares) > 1 + 1e-9:
            raise ValueError("adapters must be shares of the requests, above 0 and together 1 at most")
        return self

    @property
    def kind(self) -> Kind:
        """Return what it is drawn from; raises ValueError where that is nothing, or two things."""
        of_file = self.conversations is not None and self.conversations.path is not None
        is_frozen = self.frozen is not None
        is_given = (self.lengths is not None, self.dataset is not None, self.trace is not None, of_file, is_frozen)
        given = [kind for kind, is_it in zip(KINDS, is_given, strict=True) if is_it]
        if not given:
            raise ValueError(
                "lacks what it is drawn from: lengths, dataset, trace, conversations with a path, or frozen"
            )
        if len(given) > 1:
            raise ValueError(f"is drawn from {' and '.join(given)}: give one of them")
        return given[0]

    @property
    def files(self) -> dict[Where, str]:
        """Return the files that it is drawn from, by the way to the key that names each."""
        talks = self.conversations.path if self.conversations else None
        found: dict[Where, str | None] = {
            ("text",): self.text,
            ("trace",): self.trace,
            ("conversations", "path"): talks,
        }
        found["frozen",] = self.frozen
        if self.dataset != HUB:
            found["path",] = self.path
        return {where: path for where, path in found.items() if path is not None}

    @property
    def is_endless(self) -> bool:
        """Return whether there are as many different requests as anybody wants: no file has to have them."""
        return self.kind == "lengths"

    @property
    def sent_sampling(self) -> dict[str, float]:
        """Return the parameters of sampling that are sent with each request; {} leaves them to the server."""
        if self.sampling is None:
            return dict(GREEDY)
        return {} if self.sampling == SERVERS else self.sampling.model_dump(exclude_none=True)

    @property
    def shares_prefix(self) -> bool:
        """Return whether prompts begin alike, or may: of random tokens and cut text alone it is known that they do not."""
        return self.kind != "lengths" or self.prefix is not None or self.conversations is not None

    @property
    def made_of(self) -> MadeOf:
        """Return whether it is text or random tokens, as lengths without a text, traces and some of vLLM's data sets are."""
        is_drawn = self.kind == "trace" or self.dataset in _OF_RANDOM_TOKENS
        return "random tokens" if is_drawn or self.kind == "lengths" and self.text is None else "text"

    @property
    def facts(self) -> SetFacts:
        """Return what is known of its requests before they are drawn."""
        ways: dict[str, Any] = {
            "ends_by": self.ends_by,
            "shares_prefix": self.shares_prefix,
            "is_chat": self.endpoint == "chat",
            "made_of": self.made_of,
            "is_replayed": self.kind == "trace",
            "in_turns": self.conversations is not None,
            "has_adapters": bool(self.adapters),
            "samples": self.sampling is not None,
        }
        if self.lengths is None or self.conversations:
            return SetFacts(**ways)
        (mean_in, most_in), (mean_out, most_out) = map(_mean_and_most, self.lengths)
        return SetFacts(mean_in, mean_out, most_in + most_out, **ways)

    @property
    def source_text(self) -> str:
        """Return in words what it is drawn from: 'random tokens, 128 in / 64 out'."""
        if self.lengths is None:
            where = {"dataset": self.path, "trace": self.trace, "frozen": self.frozen}.get(self.kind) or ""
            kinds = {"dataset": f"data set {self.dataset}", "trace": "trace", "frozen": "what was frozen in"}
            what = kinds.get(self.kind, "conversations")
            return " ".join(filter(None, (what, where or (self.conversations.path if self.conversations else ""))))
        what = f"words of {self.text}" if self.text else "random tokens"
        return f"{what}, {self.lengths[0]} in / {self.lengths[1]} out"

    @property
    def drawn_text(self) -> str:
        """Return in words what is drawn, and from what: 'random tokens, 128 in / 64 out, 5 turns'."""
        talks, prefix = self.conversations, self.prefix
        parts = (
            self.source_text,
            f"{talks.turns} turns" if talks and talks.turns else "",
            f"{prefix.share:.0%} of each prompt as others of its group have it, {prefix.groups} groups"
            if prefix
            else "",
            f"{self.speed:g} times as fast as recorded" if self.speed != 1 else "",
        )
        return ", ".join(filter(None, parts))

    def __str__(self) -> str:
        """Say in words what is drawn, how a server is sent it and how answers end."""
        said = ", ".join(f"{name} {value:g}" for name, value in self.sent_sampling.items())
        parts = (
            self.drawn_text,
            f"sent to {self.endpoint}",
            _FULL_LENGTH if self.ends_by == "length" else "answers that end by themselves",
            said or "tokens chosen by the server's own defaults",
        )
        return ", ".join(parts)

    @property
    def given_text(self) -> str:
        """Say in words what is drawn, and how vLLM's offline benchmark has an engine answer it, whatever else the set says."""
        said = ", ".join(f"{name} {value:g}" for name, value in OFFLINE_SAMPLING.items())
        return f"{self.drawn_text}, given to an engine all at once, {_FULL_LENGTH}, {said}"


_FULL_LENGTH = "answers of full length"
_OF_ONE_KIND: Mapping[str, Kind] = {
    "text": "lengths",
    "prefix": "lengths",
    "path": "dataset",
    "options": "dataset",
    "speed": "trace",
    "window_s": "trace",
}


def drawn_beside(file: Path, name: str) -> Path | None:
    """Return where a set lies that was drawn for the experiment `file` before, None where none does."""
    path = file.resolve().parent / FOLDER / f"{name}{ENDING}"
    return path if path.is_file() else None


def _mean_and_most(length: Length) -> tuple[float, int]:
    return (length.mean, length.longest) if isinstance(length, Spread) else (length, length)
