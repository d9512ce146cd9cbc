"""`find` of a serve: the most load that keeps the SLO, or from which throughput no longer grows, in place of a grid.

    slo: {p99_ttft_ms: 500}
    benchmarks:
      - serve: {lengths: [[128, 64]], num_prompts: 10 per concurrency, find: {max_concurrency: {from: 1, to: 512}}}

    find: {request_rate_rps: {from: 1, to: 64}, within: 10 %, at_most: 8, budget: 30 min}
    find: {max_concurrency: {from: 1, to: 512}, attainment: 0.95}   # of requests within slo_ttft_ms, slo_tpot_ms, slo_e2el_ms
    find: {max_concurrency: {from: 1, to: 512}, saturation: 10 %}   # from where doubling the load adds no more than that

Each load that an answer can name is a case, of which few are measured: which ones follows from what was measured before
(judge/ladder.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from benchbook.plan.document import Document, Where
from benchbook.plan.precision import read_share
from benchbook.plan.prompts import seconds_of
from benchbook.plan.strict import StrictModel
from benchbook.terms.asked import IN_FLIGHT, PROMPTS, RATE

FIND = "find"
BY = (IN_FLIGHT, RATE)
DEFAULT_WITHIN, DEFAULT_AT_MOST = 0.05, 8
MOST_LOADS = 500
LIMITS_OF_ONE = ("slo_ttft_ms", "slo_tpot_ms", "slo_e2el_ms")
_EXAMPLE = "find: {max_concurrency: {from: 1, to: 512}}"
ENDS, MOST_LOAD = ("from", "to"), 1e6


@dataclass(frozen=True)
class Find:
    """What is asked of a ladder of loads."""

    by: str  # the setting that is turned up
    loads: tuple[float, ...]
    within: float  # by how much, as a share, each is above the one below; one more request in flight at least
    at_most: int  # repeats of one load
    budget_s: float | None  # of measuring, for each launch and lengths; None: no limit
    attainment: float | None  # the share of requests that is to be within the limits of one request
    saturation: float | None  # the gain of a doubling, as a share, from which on throughput counts as growing

    def text(self) -> str:
        """Return 'max_concurrency from 1 to 512'."""
        return f"{self.by} from {self.loads[0]:g} to {self.loads[-1]:g}"


def ladder(least: float, most: float, within: float, are_whole: bool) -> tuple[float, ...]:
    """Return the loads from `least` to `most`, each `within` above the one below, as a share; whole ones by 1 at least."""
    loads = [least]
    while loads[-1] < most:
        above = loads[-1] * (1 + within)
        above = max(loads[-1] + 1, math.floor(above)) if are_whole else float(f"{above:.4g}")
        loads.append(min(above, most))
    return tuple(loads)


class _FindKeys(StrictModel):
    max_concurrency: dict[str, Any] | None = None
    request_rate_rps: dict[str, Any] | None = None
    within: Any = None
    at_most: Annotated[int, Field(ge=2, le=100)] = DEFAULT_AT_MOST
    budget: str | None = None
    attainment: Annotated[float, Field(gt=0, lt=1)] | None = None
    saturation: Any = None


def read_find(doc: Document, where: Where) -> Find | None:
    """Return what the serve at `where` asks to find; None where it asks for no search."""
    if FIND not in doc.mapping(where):
        return None
    where, body = (*where, FIND), doc.mapping(where)
    keys = doc.parse(where, _FindKeys, _EXAMPLE)
    asked = [by for by in BY if getattr(keys, by) is not None]
    if len(asked) != 1:
        raise doc.error(where, f"turns up one of {' and '.join(BY)}, such as {_EXAMPLE}")
    (by,) = asked
    if by in body:
        raise doc.error((*where[:-1], by), f"is found: leave it out beside {FIND}, or leave {FIND} out")
    if by == IN_FLIGHT and RATE in body:
        raise doc.error((*where, by), f"is a cap beside {RATE}, and no load: find the rate")
    if isinstance(body.get(PROMPTS), list) or "precision" in body:
        raise doc.error(where, f"wants one {PROMPTS} for every load, such as 10 per concurrency or 30 s")
    if "requests" in body:
        raise doc.error(where, "wants lengths: of a set, each load would need requests of its own")
    if keys.attainment is not None and not set(LIMITS_OF_ONE) & body.keys():
        raise doc.error((*where, "attainment"), f"needs limits of one request in the serve: {', '.join(LIMITS_OF_ONE)}")
    if keys.saturation is not None and keys.attainment is not None:
        raise doc.error((*where, "saturation"), "asks of throughput alone: give it, or attainment")
    share_of = {
        key: read_share(doc, (*where, key)) if getattr(keys, key) is not None else None
        for key in ("within", "saturation")
    }
    return Find(
        by=by,
        loads=_loads(doc, (*where, by), share_of["within"] or DEFAULT_WITHIN, are_whole=by == IN_FLIGHT),
        within=share_of["within"] or DEFAULT_WITHIN,
        at_most=keys.at_most,
        budget_s=_budget_s(doc, (*where, "budget"), keys.budget),
        attainment=keys.attainment,
        saturation=share_of["saturation"],
    )


def _loads(doc: Document, where: Where, within: float, are_whole: bool) -> tuple[float, ...]:
    ends = doc.mapping(where, "{from: 1, to: 512}")
    for key in ends:
        if key not in ENDS:
            raise doc.unknown((*where, key), list(ENDS))
    for key in ENDS:
        load = doc.at((*where, key))
        if type(load) not in (int, float) or not 0 < load <= MOST_LOAD or (are_whole and load != int(load)):
            raise doc.error(
                (*where, key), "must be a whole number, at least 1" if are_whole else "must be a rate above 0"
            )
    least, most = (int(ends[key]) if are_whole else float(ends[key]) for key in ENDS)
    if least >= most:
        raise doc.error(where, "ends where it begins: from is below to")
    if math.log(most / least) / math.log1p(within) > MOST_LOADS:
        raise doc.error(where, f"has more than {MOST_LOADS} loads: narrow it, or take a larger share for within")
    return ladder(least, most, within, are_whole)


def _budget_s(doc: Document, where: Where, said: str | None) -> float | None:
    if said is None:
        return None
    if not (found := seconds_of(said)):
        raise doc.error(where, "must be a time, such as 30 min")
    return found


def curve_of(axes_text: str, find: Find) -> str:
    """Return what the loads of one search have in common, of a workload's text: 'serve,lengths=128x64'."""
    return ",".join(part for part in axes_text.split(",") if part.split("=")[0] not in (find.by, PROMPTS))


def limits_of(slo: Mapping[str, float], find: Find) -> dict[str, float]:
    """Return the limits that a search keeps: those of the file, or of one request; none where throughput is asked."""
    return {} if find.saturation is not None else dict(slo)
