"""The blocks of a run that no executor has begun yet. Whoever takes one begins it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from benchbook.plan.order import Block


def _any(block: Block) -> bool:
    return True


class Waiting:
    """Blocks in order: an executor iterates over them, or takes the next that fits a place that is free.

    `may_begin` is asked of each as it is taken: one for which it answers no has been told of, and is left out.
    """

    def __init__(self, blocks: Sequence[Block] = (), may_begin: Callable[[Block], bool] = _any) -> None:
        self.left = list(blocks)
        self.elsewhere: dict[int, Block] = {}  # what is left of the blocks that an executor of several has under way
        self._may_begin = may_begin

    def take(self, fits: Callable[[Block], bool] = _any) -> Block | None:
        """Return the next block that fits, None without one."""
        while block := next(filter(fits, self.left), None):
            self.left.remove(block)
            if self._may_begin(block):
                return block
        return None

    def __iter__(self) -> Iterator[Block]:
        while block := self.take():
            yield block
