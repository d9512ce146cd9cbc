"""What a server answers: a short hash of its greedy answer to each of 32 fixed prompts.

Launches that claim to differ in speed only must answer alike. The prompts go one after another: in a batch, rounding
would depend on who else is in it. On the tiny model it takes about a second; a launch alone gets the first eight.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from benchbook.hosts import http
from benchbook.measure.servers import AnyServer
from benchbook.terms.errors import Cause, MeasureError
from benchbook.terms.sent_beside import NUM_PROMPTS

OUTPUT_TOKENS = 8
TIMEOUT_S = 60.0
_WORDS = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an they "
    "which you one were her all she there"
).split()


def fixed_prompts(made_words: bool = False) -> list[str]:
    """Return the 32 prompts, the same ones for ever: plain English words.

    With `made_words`, those of the tokenizers that are made here, which read all of English as one unknown word.
    """
    if made_words:
        numbers = [[100 + (start * 331 + step * step * 17) % 9000 for step in range(8)] for start in range(NUM_PROMPTS)]
        return [" ".join(f"w{number}" for number in line) for line in numbers]
    return [" ".join(_WORDS[(start + step * step) % len(_WORDS)] for step in range(8)) for start in range(NUM_PROMPTS)]


def greedy_outputs(server: AnyServer, prompts: Sequence[str]) -> list[str]:
    """Return eight hex digits of the hash of each answer, in the order of `prompts`. Raises MeasureError."""
    outputs = []
    for prompt in prompts:
        try:
            text = _answer(server, prompt)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            cause = Cause("request_failed", f"{type(error).__name__}: {error}", "see the server's log")
            raise MeasureError(f"a fixed prompt was not answered: {cause.evidence}", cause) from error
        outputs.append(hashlib.sha256(text.encode()).hexdigest()[:8])
    return outputs


def _answer(server: AnyServer, prompt: str) -> str:
    body = {"model": server.served_name, "prompt": prompt, "max_tokens": OUTPUT_TOKENS, "temperature": 0.0}
    status, text = http.ask(
        "POST", server.base_url, "/v1/completions", timeout_s=TIMEOUT_S, way=server.way, payload=body
    )
    if status != 200:
        raise ConnectionError(f"HTTP {status}: {text[:300]!r}")
    return http.json_of(text)["choices"][0]["text"]
