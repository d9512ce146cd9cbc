"""How much fewer, or more, of the same items are right: the exact interval of a paired difference.

Of n items, those that only one of two launches has right tell of a difference (McNemar). An interval given their number
would be 0 wide where there are none; so they count as chance too: of all shares at which items may differ, those that
fit the number seen (all but one in a thousand, Clopper and Pearson), the least favourable one is taken, and the difference
is what is not excluded there (Berger and Boos, JASA 89, 1994). Whatever the truth, 95 % of the intervals hold it, or more.
"""

from __future__ import annotations

import math
from functools import lru_cache

ERROR = 0.05
OF_SHARES = 0.001  # of it, for the share of items that differ
_STEPS, _SHARES = 18, 7
_NEVER = 1e-13  # numbers of items that differ with less of a chance, below or above, are not added up


@lru_cache(maxsize=512)
def change_interval(lost: int, gained: int, number: int) -> tuple[float, float]:
    """Return the 95 % interval of the change in the share that is right, where so many of `number` items were lost and gained."""
    return _lowest(lost, gained, number), -_lowest(gained, lost, number)


@lru_cache(maxsize=32)
def items_needed(margin: float) -> int:
    """Return the fewest items that can show a loss to be at most `margin`, a share: with none lost."""
    least, most = 1, math.ceil(20 / margin)
    while least < most:
        middle = (least + most) // 2
        if _lowest(0, 0, middle) >= -margin:
            most = middle
        else:
            least = middle + 1
    return least


def _lowest(lost: int, gained: int, number: int) -> float:
    """Return the least change that is not excluded at half of ERROR."""
    least_share, most_share = _shares(lost + gained, number)
    low, high = -most_share, (gained - lost) / number
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _most_chance(middle, gained - lost, number, least_share, most_share) > ERROR / 2 - OF_SHARES:
            high = middle
        else:
            low = middle
    return low


def _shares(differing: int, number: int) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson of the share of items that differ."""
    from scipy.special import betaincinv  # late: the command line starts without scipy

    level = OF_SHARES / 2
    low = float(betaincinv(differing, number - differing + 1, level)) if differing else 0.0
    high = float(betaincinv(differing + 1, number - differing, 1 - level)) if differing < number else 1.0
    return low, high


def _most_chance(change: float, seen: int, number: int, least: float, most: float) -> float:
    """Return how likely so much or more is gained in all, at the least favourable share of items that differ."""
    import numpy
    from scipy.stats import binom

    shares = numpy.linspace(max(least, abs(change), 1e-12), most, _SHARES)
    few, many = binom.ppf(_NEVER, number, shares[0]), binom.isf(_NEVER, number, shares[-1])
    differing = numpy.arange(max(few, 0), many + 1)
    needed = numpy.ceil((differing + seen) / 2) - 1  # gains, of so many that differ
    of_share = shares[:, None]  # a row each
    gains = numpy.clip((1 + change / of_share) / 2, 0.0, 1.0)
    return float((binom.pmf(differing, number, of_share) * binom.sf(needed, differing, gains)).sum(axis=1).max())
