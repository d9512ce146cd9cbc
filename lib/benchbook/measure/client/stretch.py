"""A stretch of a frozen file, as a benchmark's client is to send it; where there is no warm client, as a plain file.

vLLM's own data set `custom` reads plain prompts, so the command that a record names does what the warm client did:

    vllm bench serve --dataset-name custom --dataset-path requests.jsonl ...
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchbook.records.frozen import FrozenRequest, read_frozen
from benchbook.terms.errors import Cause, MeasureError

_PATH = "--dataset-path"


@dataclass(frozen=True)
class Stretch:
    """`count` requests of the frozen file at `path`, from `start` on."""

    path: str
    start: int
    count: int
    is_timed: bool = False  # sent at the times that stand in the file, and not at a rate
    max_model_len: int | None = None  # of the server: what grows with answers is kept below it

    def requests(self) -> list[FrozenRequest]:
        """Return the requests; StoreError where the file has not all of them."""
        return list(read_frozen(self.path, self.start, self.count))

    def to_json(self) -> dict[str, Any]:
        """Return what a task carries."""
        return {**asdict(self), "path": str(Path(self.path).resolve())}

    def words(self, plain_path: Path) -> list[str]:
        """Return the words after `vllm bench serve` that have it send these requests, as a plain file at `plain_path`."""
        custom = ["--dataset-name", "custom", _PATH, str(plain_path), "--custom-output-len", "-1"]
        as_it_is = ["--skip-chat-template", "--disable-shuffle", "--no-oversample"]
        return [*custom, *as_it_is, "--num-prompts", str(self.count)]

    @contextlib.contextmanager
    def plain_file(self, argv: Sequence[str]) -> Iterator[None]:
        """Inside, the file that `argv` names is there, with a prompt a line; MeasureError where more than prompts is sent."""
        requests, path = self.requests(), Path(argv[argv.index(_PATH) + 1])
        if why := self._why_not_plain(requests):
            cause = Cause("client_needed", why, "a warm client sends them, as one of a sweep or a kernel does")
            raise MeasureError(f"vllm bench serve by itself cannot send these requests: {why}", cause)
        try:
            with path.open("w") as stream:
                for one in requests:
                    stream.write(json.dumps({"prompt": one.prompt, "output_tokens": one.output_tokens}) + "\n")
            yield
        finally:
            path.unlink(missing_ok=True)

    def _why_not_plain(self, requests: Sequence[FrozenRequest]) -> str:
        """Return what vLLM's data set `custom` has no way to say of these requests, or ''."""
        found = {
            "they have recorded times": self.is_timed,
            "some are messages of a chat": any(one.messages is not None for one in requests),
            "some are token ids": any(isinstance(one.prompt, tuple) for one in requests),
            "some follow answers in a conversation": any(one.conversation is not None for one in requests),
            "some are for an adapter": any(one.adapter is not None for one in requests),
            "some say more than a prompt": any(one.body is not None for one in requests),
            # vLLM reads the file with pandas, which makes numbers of a column of numerals.
            "all prompts are numerals": all(_is_numeral(one.prompt) for one in requests),
        }
        return next((why for why, is_so in found.items() if is_so), "")


def _is_numeral(prompt: object) -> bool:
    try:
        float(prompt)
    except (TypeError, ValueError):
        return False
    return True
