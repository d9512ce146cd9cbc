"""How much of a prompt earlier ones begin with too, by tokens: what a prefix cache that has seen them all could answer.

Prompts are compared by blocks of 16 tokens, as every size of a server's block is a multiple of that on the engines that
are known. Of a set with more than MOST_BLOCKS of them later blocks are not remembered: then it is at least so much.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

BLOCK_TOKENS = 16
MOST_BLOCKS = 2**21  # 34 million tokens, some 200 MB


class Seen:
    """The prompts of a set so far."""

    def __init__(self) -> None:
        self._beginnings: set[bytes] = set()  # hashes of all tokens up to a block's end

    def add(self, tokens: Sequence[int]) -> int:
        """Return how many of the first tokens, in whole blocks, an earlier prompt began with too."""
        shared, is_shared, digest = 0, True, hashlib.blake2b(digest_size=8)
        for end in range(BLOCK_TOKENS, len(tokens) + 1, BLOCK_TOKENS):
            digest.update(array("q", tokens[end - BLOCK_TOKENS : end]).tobytes())
            key = digest.digest()
            is_shared = is_shared and key in self._beginnings
            if is_shared:
                shared = end
            elif len(self._beginnings) < MOST_BLOCKS:
                self._beginnings.add(key)
        return shared
