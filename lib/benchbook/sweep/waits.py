"""How long quiet is waited for before a disturbed repeat is measured again, and what that may cost."""

from __future__ import annotations

from collections.abc import Sequence

from benchbook.plan.eta import Estimator
from benchbook.plan.order import Block
from benchbook.terms.wording import counted, duration_text

LOOK_S, MAX_WAIT_S = 2.0, 30.0


def price_text(budget: int, blocks: Sequence[Block], estimator: Estimator) -> str:
    """Return what measuring again may cost at most when all of `blocks` is disturbed each time; '' without a budget."""
    number = budget * sum(len(block.repeats) for block in blocks)
    if not number:
        return ""
    once = estimator.once_more(blocks)
    time_text = f" ({duration_text(budget * once.seconds)})" if once.is_known else ""
    return (
        f"Disturbed from outside, a repeat is measured again, {counted(budget, 'time')} at most: "
        f"up to {number} measurements more{time_text}, each after {LOOK_S:g} to {MAX_WAIT_S:g} s of waiting for quiet"
    )
