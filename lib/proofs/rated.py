"""What proofs of simulated searches have in common: how often, from which seed, and rates by kind held to limits."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from typing import Any

Rates = Mapping[str, Any]  # of one kind


def print_rates(
    page: str, rates: Callable[[int, int], Mapping[str, Rates]], limits: Rates, broken: Callable[[Rates], bool]
) -> int:
    """Print the rates that `rates` finds, for a number of times and a seed, as JSON; return 1 where one kind is `broken`."""
    parser = argparse.ArgumentParser(description=page, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=300, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found = rates(args.times, args.seed)
    print(json.dumps({"times": args.times, "seed": args.seed, "limits": limits, "kinds": found}, indent=2))
    return int(any(map(broken, found.values())))
