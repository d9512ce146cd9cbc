"""How many prompts a wanted precision needs: the number, and the reason in words.

Of n independent latencies, the number below the true quantile p is binomial, whatever their distribution; so the
quantile's rank is known to z·sqrt(n·p·(1 - p)) (Conover, Practical Nonparametric Statistics, 3rd edition, 3.2). A rank
becomes a value only by an assumption of how latencies spread about it. Ours: their logarithm is normal with standard
deviation `spread`. To first order (David and Nagaraja, Order Statistics, 3rd edition, 2.5) the half-width r of the
interval, as a share of the quantile, and the prompts for it are then, with φ and Φ of the normal distribution,

    r = z · spread · sqrt(p (1 - p) / n) / φ(Φ⁻¹(p))        n = p (1 - p) (z · spread / (r φ(Φ⁻¹(p))))²

and for a mean n = (z / r)² (exp(spread²) - 1). The exact interval of a p99, from whole ranks, is a tenth or two wider;
and requests of one load are not independent where one step serves many: n is the least, and what it reached is judged
after the repeat.

Two floors come before any wish. A tail must be earned: `samples_needed`. And a closed loop starts with a burst of all
its clients: ten prompts for each make that a tenth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

from benchbook.plan.document import Document, Where
from benchbook.terms.metrics import BY_KEY, METRICS, known_key
from benchbook.terms.percentiles import PERCENTILES, samples_needed

# Not of itl: the gaps of one answer are far from independent.
PRECISION_KEYS = [metric.key for metric in METRICS if metric.of not in ("", "itl") and metric.can_be_wanted]
# p99 = 3.2 times the median, as TTFT up to 32 in flight. It was 0.7 at 64 and beyond 1 without CUDA graphs: what was
# reached is told after the repeat (judge/reached.py).
DEFAULT_SPREAD = 0.5
DEFAULT_AT_MOST = 5000
MAX_PROMPTS = 10**9
PROMPTS_PER_CLIENT = 10
_NORMAL = NormalDist()
_Z95 = _NORMAL.inv_cdf(0.975)

_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%")


@dataclass(frozen=True)
class Precision:
    """What is to be known how well: half-widths of 95 % intervals as shares, e.g. {"p99_ttft_ms": 0.1}."""

    targets: tuple[tuple[str, float], ...]
    spread: float = DEFAULT_SPREAD  # standard deviation of the logarithm of a latency, assumed
    at_most: int = DEFAULT_AT_MOST  # prompts, the budget

    def prompts(self, max_concurrency: int | None) -> tuple[int, str]:
        """Return the number of prompts and why it is that; what the budget cuts off is said."""
        wishes = [_wish(key, share, self.spread) for key, share in self.targets]
        if max_concurrency:
            wishes.append((PROMPTS_PER_CLIENT * max_concurrency, f"{PROMPTS_PER_CLIENT} for each in flight"))
        number, why = max(wishes)
        if number <= self.at_most:
            return number, why
        reached = max(share * math.sqrt(_needed(key, share, self.spread) / self.at_most) for key, share in self.targets)
        return self.at_most, f"the budget at_most; {number} would be {why}; so many give ±{reached:.0%}"


def read_precision(doc: Document, where: Where) -> Precision:
    """Return e.g. {p99_ttft_ms: 10 %, spread: 0.3, at_most: 2000} as a Precision, or raise its refusal."""
    fields = dict(doc.mapping(where, "precision: {p99_ttft_ms: 10 %}"))
    spread, at_most = fields.pop("spread", DEFAULT_SPREAD), fields.pop("at_most", DEFAULT_AT_MOST)
    with doc.faults.noted():
        if type(spread) not in (int, float) or not 0 < spread <= 3:
            problem = "must be a number above 0, at most 3: the deviation of a latency's logarithm"
            raise doc.error((*where, "spread"), problem)
    with doc.faults.noted():
        if type(at_most) is not int or not 1 <= at_most <= MAX_PROMPTS:
            raise doc.error((*where, "at_most"), "must be a whole number of prompts, at least 1")
    targets = read_targets(doc, where, fields, PRECISION_KEYS, ["spread", "at_most"])
    return Precision(tuple(targets.items()), spread, at_most)


def read_targets(
    doc: Document, where: Where, fields: Mapping[str, object], known: list[str], beside: list[str]
) -> dict[str, float]:
    """Return {metric: share} of `fields` at `where`, e.g. 0.1 for '10 %'; `beside` are the other keys it may have."""
    if not fields:
        raise doc.error(where, f"names no metric, such as {known[0]}: 10 %")
    targets = {}
    for key in fields:
        with doc.faults.noted():
            name = known_metric(doc, (*where, key), known, beside, targets)
            targets[name] = read_share(doc, (*where, key))
    return targets


def known_metric(doc: Document, where: Where, known: list[str], beside: list[str], taken: Mapping[str, float]) -> str:
    """Return the metric of `known` that the key at `where` names, by 'p50_ttft_ms' or 'median_ttft_ms', which are one.

    A name that is none, or that is `taken` by its other spelling, is refused.
    """
    key = str(where[-1])
    name = known_key(key, known)
    if name is None:
        raise doc.unknown(where, [*known, *beside])
    if name in taken:
        raise doc.error(where, f"is {name} once more: p50 and median are one")
    return name


def read_share(doc: Document, where: Where) -> float:
    """Return '10 %' as 0.1; anything but a percentage above 0 and below 100 is refused."""
    match = _SHARE.fullmatch(str(doc.at(where)))
    share = float(match[1]) / 100 if match else 0.0
    if not 0 < share < 1:
        raise doc.error(where, "must be a share of the value, such as 10 %")
    return share


def _wish(key: str, share: float, spread: float) -> tuple[int, str]:
    number = _needed(key, share, spread)
    why = f"{key} to ±{100 * share:g} % (95 %) if latencies are log-normal with spread {spread:g}"
    percentile = BY_KEY[key].percentile
    if percentile not in PERCENTILES:
        return number, why
    return max((number, why), (samples_needed(percentile), f"the fewest that have a p{percentile}"))


def _needed(key: str, share: float, spread: float) -> int:
    """Return the prompts that the formulas above ask for, at most MAX_PROMPTS."""
    percentile = BY_KEY[key].percentile
    if percentile is None:
        number = (_Z95 / share) ** 2 * (math.exp(spread**2) - 1)
    else:
        quantile = percentile / 100
        density = _NORMAL.pdf(_NORMAL.inv_cdf(quantile))
        number = quantile * (1 - quantile) * (_Z95 * spread / (share * density)) ** 2
    return min(math.ceil(number), MAX_PROMPTS)
