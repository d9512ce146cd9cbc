"""Requests drawn once, in one file of a run: the same bytes for every launch and repeat that must agree.

    requests/chat.jsonl.gz, unpacked:
    {"format":1,"name":"chat","requests":400,"distinct":400,"seed":7,"spec":{...},"tokenizer_sha256":"5e1f...",...}
    {"input_tokens":41,"output_tokens":128,"prompt":"..."}

A request is one line of ASCII, its keys always in one order and without those at their defaults, so what is equal has
equal bytes, on any machine and at any time; hashes are of these lines. A file is read as a stream: of the requests that are
skipped nothing is kept, and whatever has happened to it is one line that names the file and the request.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from benchbook.reading import json_of, open_regular
from benchbook.records.files import written_whole
from benchbook.records.typed import Items, JsonObject, Name, Part, Positive, Seconds, Whole, refused
from benchbook.terms.errors import StoreError

FORMAT = 1
MOST_LINE_BYTES = 64 * 1024**2  # a prompt of ten million tokens
_Model = TypeVar("_Model", bound=BaseModel)


class FrozenRequest(BaseModel):
    """One request as it will be sent, with what was designed for it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    prompt: str | Items[Whole] | None = None  # text, or token ids
    messages: Items[JsonObject] | None = None  # of a chat, in place of a prompt: {"role": ..., "content": ...}
    input_tokens: Whole  # by the client's tokenizer, without a chat's template
    output_tokens: Positive
    due_s: Seconds | None = None  # after the first one; None: by the load's own arrivals
    conversation: Whole | None = None  # turns of one conversation share its number
    turn: Whole = 0  # later ones are what the user says next: what was said before is sent with them
    think_s: Seconds | None = None  # between the answer before and this turn
    shared_tokens: Whole = 0  # how many of its first tokens an earlier request of the file begins with as well
    adapter: Name | None = None
    body: JsonObject | None = None  # more that goes into the request, such as tools

    @model_validator(mode="after")
    def _is_sent(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("must have a prompt or messages, one of them")
        return self

    def to_line(self) -> bytes:
        """Return the line of the file."""
        return _line(self.model_dump(exclude_defaults=True))


class FrozenHeader(Part):
    """The first line: where the requests come from; `distinct` is fewer than `requests` where a source was too small."""

    format: int = FORMAT
    name: Name
    requests: Whole
    distinct: Whole
    seed: int
    spec: JsonObject  # the set as the experiment file says it
    vllm_version: str | None = None
    tokenizer_sha256: str | None = None
    first: Whole | None = None  # of a draw that begins with a shorter one before it: how many that had


def write_frozen(path: Path, header: FrozenHeader, requests: Iterable[FrozenRequest]) -> str:
    """Write the file, whole or not at all, and return the SHA-256 of its requests; StoreError with a hint.

    Raises StoreError also where there are not as many requests as `header` says.
    """
    digest, number = hashlib.sha256(), 0
    with written_whole(path) as stream, gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed:
        packed.write(_line(header.model_dump()))
        for request in requests:
            line = request.to_line()
            digest.update(line)
            packed.write(line)
            number += 1
        if number != header.requests:
            raise StoreError(f"{path}: {number} requests were drawn where {header.requests} were asked for")
    return digest.hexdigest()


def read_header(path: Path | str) -> FrozenHeader:
    """Return the header of the file at `path`; StoreError where it is none of ours, or of a later benchbook."""
    with _Lines(path) as lines:
        return lines.header


def read_frozen(path: Path | str, start: int = 0, count: int | None = None) -> Iterator[FrozenRequest]:
    """Yield `count` requests from `start` on, all that are left without it; StoreError where they are not there whole.

    What was read before a damage has been yielded. The check at the file's end is made by who reads to it.
    """
    with _Lines(path) as lines:
        number = lines.header.requests
        end = number if count is None else start + count
        if not 0 <= start <= end <= number:
            raise StoreError(f"{path} has {number} requests: none from {start} to {end}")
        for index in range(end):
            line = lines.next(f"request {index} of {number}")
            if index >= start:
                where = f"{path}, line {index + 2},"
                yield _checked(FrozenRequest, json_of(line, where), where)
        if end == number:
            lines.end()


def sha256_of(requests: Iterable[FrozenRequest]) -> str:
    """Return the SHA-256 of these requests in this order: of a whole file's what `write_frozen` returned."""
    digest = hashlib.sha256()
    for request in requests:
        digest.update(request.to_line())
    return digest.hexdigest()


def lines_sha256(path: Path | str, count: int | None = None) -> str:
    """Return the SHA-256 of the first `count` requests of a file; of all, as `write_frozen` returned it.

    Raises StoreError where they are not there whole.
    """
    digest = hashlib.sha256()
    with _Lines(path) as lines:
        for index in range(lines.header.requests if count is None else count):
            digest.update(lines.next(f"request {index} of {lines.header.requests}"))
        if count is None:
            lines.end()
    return digest.hexdigest()


class _Lines:
    """A file's lines, of which its header has been read."""

    header: FrozenHeader

    def __init__(self, path: Path | str) -> None:
        self._path = path

    def __enter__(self) -> _Lines:
        self._file: BinaryIO = open_regular(self._path)
        self._packed = gzip.GzipFile(fileobj=self._file)
        try:
            written = json_of(self.next("its header"), self._path)
            later = written.get("format") if isinstance(written, dict) else None
            if isinstance(later, int) and later > FORMAT:
                raise StoreError(f"{self._path} is of format {later}, from a later benchbook than this one")
            self.header = _checked(FrozenHeader, written, f"{self._path}, line 1,")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._packed.close()
        self._file.close()

    def next(self, name: str) -> bytes:
        """Return the next line, which is `name`."""
        line = self._read(MOST_LINE_BYTES + 1, name)
        if len(line) > MOST_LINE_BYTES:
            raise StoreError(f"{self._path}: {name} has more than {MOST_LINE_BYTES:,} bytes")
        if not line.endswith(b"\n"):
            raise StoreError(f"{self._path} is cut: it ends before {name} does")
        return line

    def end(self) -> None:
        """Raise StoreError unless the file ends here, and its own check sum is right."""
        if self._read(1, "its end"):
            raise StoreError(f"{self._path} holds more than the {self.header.requests} requests of its header")

    def _read(self, most: int, name: str) -> bytes:
        try:
            return self._packed.readline(most)
        except (OSError, EOFError, zlib.error) as error:
            raise StoreError(f"{self._path} is cut or damaged at {name}: {error}") from error


def _line(fields: JsonObject) -> bytes:
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def _checked(model: type[_Model], fields: Any, where: str) -> _Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise StoreError(f"{where} is damaged: {refused(error)[0].text}") from error
