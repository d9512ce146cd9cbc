"""How much of a prompt earlier ones begin with too, by tokens: what a prefix cache that has seen them all could answer.

Prompts are compared by blocks of 16 tokens, as every size of a server's block is a multiple of that on the engines that
are known. Of a set with more than MOST_BLOCKS of them later blocks are not remembered: then it is at least so much.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

BLOCK_TOKENS = 16
MOST_BLOCKS = 2**21  # 34 million tokens, some 250 MB


class Seen:
    """The prompts of a set so far."""

    def __init__(self) -> None:
        self._latest: dict[bytes, int] = {}  # by the hash of all tokens up to a block's end: who had them last

    def add(self, index: int, tokens: Sequence[int]) -> tuple[int, int | None]:
        """Return how many of the first tokens an earlier prompt had too, in whole blocks, and which one last."""
        shared, last, is_shared, digest = 0, None, True, hashlib.blake2b(digest_size=8)
        for end in range(BLOCK_TOKENS, len(tokens) + 1, BLOCK_TOKENS):
            digest.update(array("q", tokens[end - BLOCK_TOKENS : end]).tobytes())
            key = digest.digest()
            before = self._latest.get(key) if is_shared else None
            is_shared = before is not None
            if is_shared:
                shared, last = end, before
            if is_shared or len(self._latest) < MOST_BLOCKS:
                self._latest[key] = index
        return shared, last
