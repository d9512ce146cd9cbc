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
the experiment file, then in the current folder, and are absolute here. What a row is drawn to is frozen in the run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from benchbook.plan.document import Document, Where
from benchbook.plan.launches import SAFE_NAME, SAFE_NAME_RULE
from benchbook.plan.strict import StrictModel, unknown
from benchbook.plan.workload import MAX_COUNT, Count, Positive
from benchbook.terms.asked import Asked, MadeOf
from benchbook.terms.corpus import CORPUS, CORPUS_PREFIX

EXAMPLE = "requests: {words: {lengths: [128, 64], text: corpus.txt}}"
Kind = Literal["lengths", "dataset", "trace", "conversations", "frozen"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_OF_RANDOM_TOKENS = frozenset(("random", "random-mm", "random-rerank", "prefix_repetition", "burstgpt", "timed_trace"))
HUB = "hf"  # the data set whose path is a name on the hub
GREEDY: Mapping[str, float] = {"temperature": 0.0}  # where a row does not say how tokens are chosen
SERVERS = "server"  # `sampling: server`: whatever the server does when nothing is asked
Pair = tuple[float, float]
Share = Annotated[float, Field(gt=0, lt=1)]
Seconds = Annotated[float, Field(ge=0)]
EndsBy = Literal["length", "any"]


class Spread(StrictModel):
    """A length (tokens) that is drawn for each request: evenly, or normal or log-normal and cut at `min` and `max`."""

    uniform: Pair | None = None  # the least and the most, both included
    normal: Pair | None = None  # mean and standard deviation
    lognormal: Pair | None = None  # mean and standard deviation too: of the length, not of its logarithm
    min: Count = 1
    max: Count | None = None

    @field_validator("uniform", "normal", "lognormal", mode="before")
    @classmethod
    def _is_a_pair(cls, value: Any) -> Any:
        return _pair(value)

    @model_validator(mode="after")
    def _is_one_form(self) -> Spread:
        given = [name for name in ("uniform", "normal", "lognormal") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give one of uniform, normal and lognormal")
        if self.uniform is not None:
            least, most = self.uniform
            if not (least == int(least) >= 1 and most == int(most) >= least):
                raise ValueError("uniform must be [least, most], whole numbers from 1 on")
            if self.max is not None or self.min != 1:
                raise ValueError("min and max are in uniform already")
            return self
        mean, deviation = self.normal or self.lognormal
        if mean <= 0 or deviation <= 0:
            raise ValueError(f"{given[0]} must be [mean, standard deviation], both above 0")
        if self.max is None:
            raise ValueError("needs max: the longest request has to fit into the model")
        if not self.min <= mean <= self.max:
            raise ValueError(f"the mean {mean:g} is not between min {self.min} and max {self.max}")
        return self

    @property
    def longest(self) -> int:
        """Return the most tokens that may be drawn."""
        return int(self.uniform[1]) if self.uniform else self.max

    @property
    def mean(self) -> float:
        """Return the tokens to expect, were nothing cut off by `min` and `max`."""
        return sum(self.uniform) / 2 if self.uniform else (self.normal or self.lognormal)[0]

    def __str__(self) -> str:
        if self.uniform:
            return f"{self.uniform[0]:g} to {self.uniform[1]:g}"
        mean, deviation = self.normal or self.lognormal
        return f"{mean:g} ± {deviation:g} {'normal' if self.normal else 'log-normal'}, {self.min} to {self.max}"


Length = Count | Spread


class Prefix(StrictModel):
    """Prompts that begin alike: this share of each, in so many groups, each group by its own beginning."""

    share: Share
    groups: Count = 1


class Conversations(StrictModel):
    """Several turns, each sent with all that was said before it; by a file, or as many turns of drawn lengths."""

    path: str | None = None  # one conversation a line
    turns: Annotated[int, Field(ge=2, le=1000)] | None = None
    think_s: Seconds = 0.0  # from an answer to the next turn

    @model_validator(mode="after")
    def _is_one_source(self) -> Conversations:
        if (self.path is None) == (self.turns is None):
            raise ValueError("give one of turns and path")
        return self


class Sampling(StrictModel):
    """How the server chooses tokens, in vLLM's names; what is not given is the server's choice."""

    temperature: Annotated[float, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None


@dataclass(frozen=True)
class SetFacts:
    """What is known of the requests of a set, or of a stretch of it; tokens that are None are not known."""

    input_tokens_each: float | None = None  # on average
    output_tokens_each: float | None = None  # on average; the most, where answers may end before
    longest_tokens: int | None = None  # input plus output
    input_tokens: int | None = None  # of all together, which a stretch knows
    output_tokens: int | None = None
    ends_by: EndsBy = "length"
    made_of: MadeOf | None = None
    shares_prefix: bool = False
    is_chat: bool = False  # a template is put around what is sent: more tokens are counted than asked
    is_replayed: bool = False
    rate_rps: float | None = None  # at which a trace came, on average
    in_turns: bool = False

    def asked(self, requests: int) -> Asked:
        """Return what so many of these requests ask for."""
        return Asked(
            requests=requests,
            input_tokens=None if self.is_chat else self.input_tokens,
            output_tokens=self.output_tokens if self.ends_by == "length" else None,
            input_tokens_each=self.input_tokens_each,
            output_tokens_each=self.output_tokens_each,
            ends_by=self.ends_by,
            made_of=self.made_of,
            shares_prefix=self.shares_prefix,
            is_replayed=self.is_replayed,
            in_turns=self.in_turns,
        )


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
        return _pair(value)

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

    def __str__(self) -> str:
        """Say it in words: what it is drawn from, how it is sent and how answers end."""
        talks, prefix = self.conversations, self.prefix
        said = ", ".join(f"{name} {value:g}" for name, value in self.sent_sampling.items())
        parts = (
            self.source_text,
            f"{talks.turns} turns" if talks and talks.turns else "",
            f"{prefix.share:.0%} of each prompt as others of its group have it, {prefix.groups} groups"
            if prefix
            else "",
            f"{self.speed:g} times as fast as recorded" if self.speed != 1 else "",
            f"sent to {self.endpoint}",
            "answers of full length" if self.ends_by == "length" else "answers that end by themselves",
            said or "tokens chosen by the server's own defaults",
        )
        return ", ".join(filter(None, parts))


_OF_ONE_KIND: Mapping[str, Kind] = {
    "text": "lengths",
    "prefix": "lengths",
    "path": "dataset",
    "options": "dataset",
    "speed": "trace",
    "window_s": "trace",
}
_PARTS = {"prefix": Prefix, "conversations": Conversations, "sampling": Sampling}


def read_requests(doc: Document) -> dict[str, RequestSet]:
    """Return the sets of the file's `requests:`, by name; {} where it has none. What is refused is noted."""
    found = {}
    for name in doc.mapping(("requests",), EXAMPLE) if "requests" in doc.data else ():
        where: Where = ("requests", name)
        with doc.faults.noted():
            if not isinstance(name, str) or not SAFE_NAME.fullmatch(name):
                raise doc.error(where, f"the name of a set {SAFE_NAME_RULE}")
            fields = _read_parts(doc, where)
            if not doc.faults.has_within(where):
                found[name] = _with_files(doc, where, doc.parse(where, RequestSet, fields=fields))
    return found


def _read_parts(doc: Document, where: Where) -> dict[str, Any]:
    """Return the fields of the set at `where`, its parts read one by one, so that each refusal names its own line."""
    fields = dict(doc.mapping(where, EXAMPLE))
    for key in _PARTS.keys() & fields.keys():
        if isinstance(fields[key], dict):
            with doc.faults.noted():
                fields[key] = doc.parse((*where, key), _PARTS[key])
    if isinstance(lengths := fields.get("lengths"), list):
        with doc.faults.noted():
            if len(lengths) != 2:
                raise doc.error((*where, "lengths"), "must be a pair, [input, output]; other lengths are another set")
            fields["lengths"] = [_read_length(doc, (*where, "lengths", at)) for at in range(2)]
    return fields


def _with_files(doc: Document, where: Where, found: RequestSet) -> RequestSet:
    """Return the set with the absolute paths of its files."""
    places = {way: _place(doc, (*where, *way), path) for way, path in found.files.items()}
    files: dict[str, Any] = {way[0]: path for way, path in places.items() if len(way) == 1}
    if talks := places.get(("conversations", "path")):
        files["conversations"] = found.conversations.model_copy(update={"path": talks})
    return found.model_copy(update=files)


def _read_length(doc: Document, where: Where) -> Length:
    value = doc.at(where)
    if isinstance(value, dict):
        return doc.parse(where, Spread)
    if type(value) is not int or not 1 <= value <= MAX_COUNT:
        raise doc.error(where, "must be a number of tokens, or a spread such as {uniform: [64, 256]}")
    return value


def _place(doc: Document, where: Where, text: str) -> str:
    """Return the file that `text` names, absolute: beside the experiment file, else in the current folder.

    A name of the corpus stays as it is: its file is made when it is needed.
    """
    if text in CORPUS:
        return text
    if text.startswith(CORPUS_PREFIX):
        raise doc.error(where, f"no such part of the corpus: {unknown(text, CORPUS, 'name')}")
    path = os.path.expanduser(text)
    places = [os.path.abspath(os.path.join(base, path)) for base in (doc.path.resolve().parent, os.getcwd())]
    for place in places:
        if os.path.isfile(place):
            return place
    looked = f"; looked for {' and '.join(dict.fromkeys(places))}" if not os.path.isabs(path) else ""
    raise doc.error(where, f"is a folder: name a file{looked}" if os.path.isdir(path) else f"no such file{looked}")


def _mean_and_most(length: Length) -> tuple[float, int]:
    return (length.mean, length.longest) if isinstance(length, Spread) else (length, length)


def _pair(value: Any) -> Any:
    """Return a list of the file as the pair that it is to be; anything else as it is, to be refused."""
    return tuple(value) if isinstance(value, list) else value
