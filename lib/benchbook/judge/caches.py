"""Caches on disk make starts alike: what is compiled or tuned once serves all later starts of a launch.

The policy of a comparison: all starts share the warm caches of the machine, of vLLM's compiled code and of Triton's
kernels. A cold start takes up to three times as long, and a cache for each start would spend a comparison's time on them.
It costs that a fresh start draws memory and placement anew, and not what was compiled. So a claim is about the code in
the caches; equal launches whose code came out unequal, as when a tuner chose by a noisy clock, would differ in earnest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from benchbook.judge.pairs import Arm
from benchbook.judge.starts import start_of
from benchbook.terms.shared_caches import MEANING
from benchbook.terms.wording import counted

_WORDS = {"warm": "from the cache", "cold": "anew", "in part": "in part from the cache", "off": "anew, without a cache"}


def caches_said(arms: Iterable[tuple[str, Iterable[Arm]]]) -> str:
    """Return how many starts of each launch took compiled code from the cache, by name; '' where no record tells."""
    told = [f"{launch} {_by_state(states)}" for launch, of_one in arms if (states := _states(of_one))]
    return f"Starts share caches on disk (compiled code of {'; '.join(told)}): {MEANING}." if told else ""


def _states(arms: Iterable[Arm]) -> Counter[str]:
    """Return how many starts there were of each state of the cache; a start that names none is not counted."""
    by_start = {start_of(record): record.host.facts.compile_cache for arm in arms for record in arm.believed.values()}
    return Counter(state for state in by_start.values() if state in _WORDS)


def _by_state(states: Counter[str]) -> str:
    starts = counted(states.total(), "start")
    return f"{starts}: " + ", ".join(f"{states[state]} {words}" for state, words in _WORDS.items() if states[state])
