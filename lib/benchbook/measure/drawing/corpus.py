"""A small corpus of our own making: words, prompts, chats and agents' conversations, the same ones for the same seed.

Its words are those of the embedded models' tokenizer, some of them far more frequent than others, in phrases that come
again: what a prefix cache, a drafter or a router of experts meets in real text, and nothing that anybody has written.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchbook.hosts.model.tiny_model import VOCABULARY_SIZE
from benchbook.hosts.process.caches import built
from benchbook.terms.corpus import CORPUS

SEED = 0
_FOLDER = "corpus-1"  # of the cache; another number where what is written changes
# w0 to w3 are special tokens, which the tokenizer sees in w10 and w3999 too.
_WORDS = tuple(f"w{number}" for number in range(VOCABULARY_SIZE) if f"{number}"[0] > "3")
_NUM_PHRASES, _NUM_AGENTS = 400, 4


def path_of(name: str) -> str:
    """Return the file behind a name of an experiment file: one of the corpus, made now if need be, or `name` itself."""
    return str(built(_FOLDER, write_corpus) / CORPUS[name]) if name in CORPUS else name


def write_corpus(folder: Path, seed: int = SEED) -> None:
    """Write the corpus of `seed` into `folder`: words.txt, prompts.jsonl, chats.json and agents.jsonl (0.6 MB)."""
    language = _Language(seed)
    texts = {
        "words.txt": "".join(f"{language.text(12)}\n" for _ in range(4000)),
        "prompts.jsonl": _lines(language.prompts(500)),
        "chats.json": json.dumps(list(language.chats(200)), indent=0) + "\n",
        "agents.jsonl": _lines(language.agents(100)),
    }
    for name, text in texts.items():
        Path(folder, name).write_text(text)


class _Language:
    """Says things; of its generator only `random()` is used, whose numbers are the same in every version of Python."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random
        self._phrases = [" ".join(self._word() for _ in range(self._between(3, 7))) for _ in range(_NUM_PHRASES)]

    def text(self, number: int) -> str:
        """Return a text of so many words, half of them in phrases that other texts have too."""
        words: list[str] = []
        while len(words) < number:
            words += self._one_of(self._phrases).split() if self._random() < 0.2 else [self._word()]
        return " ".join(words[:number])

    def prompts(self, number: int) -> Iterator[dict[str, Any]]:
        """Yield rows of vLLM's data set custom."""
        for _ in range(number):
            yield {"prompt": self.text(self._between(20, 200)), "output_tokens": self._between(8, 64)}

    def chats(self, number: int) -> Iterator[dict[str, Any]]:
        """Yield conversations in ShareGPT's form."""
        for index in range(number):
            said = []
            for _ in range(self._between(2, 6)):
                said.append({"from": "human", "value": self.text(self._between(6, 60))})
                said.append({"from": "gpt", "value": self.text(self._between(8, 48))})
            yield {"id": f"chat{index}", "conversations": said}

    def agents(self, number: int) -> Iterator[dict[str, Any]]:
        """Yield conversations in OpenAI's form: instructions that many share, a task, and what tools returned."""
        instructions = [self.text(400) for _ in range(_NUM_AGENTS)]
        for _ in range(number):
            said = [{"role": "system", "content": self._one_of(instructions)}]
            for step in range(self._between(3, 6)):
                said.append({"role": "tool" if step else "user", "content": self.text(self._between(20, 120))})
                said.append({"role": "assistant", "content": self.text(self._between(8, 32))})
            yield {"messages": said}

    def _word(self) -> str:
        # The cube of an even number: one word in two is among the first eighth, one in five among the first hundredth.
        return _WORDS[int(len(_WORDS) * self._random() ** 3)]

    def _between(self, least: int, most: int) -> int:
        return least + int((most - least + 1) * self._random())

    def _one_of(self, things: list[str]) -> str:
        return things[int(len(things) * self._random())]


def _lines(rows: Iterator[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)
