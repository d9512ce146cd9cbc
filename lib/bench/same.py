"""Is a launch ever called different from itself? A/A comparisons on the real vLLM, with the claims that come out.

    python lib/bench/same.py                 # 10 comparisons of 8 rounds, dealt from 16 starts: about 20 minutes

Sixteen servers of one launch are started and stay. For each comparison they are dealt out at random: eight play launch
a, eight launch b, one pair a round, measured in turn (a b, b a) as `benchbook run` does with two launches. What a start
has of luck is in the numbers, as it is there; only that starts are dealt anew instead of made anew saves two hours.
Exits with 1 where more comparisons claim something than 5 % false claims explain (exact binomial, 95 %).
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchbook.hosts.server import VllmServer
from benchbook.judge.claims import headlines, tally
from benchbook.judge.compare import Comparison, compare
from benchbook.measure.client import WarmClient
from benchbook.measure.serve import bench_serve
from benchbook.plan.workloads import ServeWorkload
from benchbook.records.record import Identity, Record
from pairs import ENGINE_ARGS, ENV, write_output

LAUNCHES = ("a", "b")
FALSE_CLAIMS = 0.05
WORKLOADS = tuple(
    ServeWorkload(input_len_tokens=128, output_len_tokens=32, max_concurrency=cap, num_prompts=prompts)
    for cap, prompts in ((1, 12), (4, 40))
)


def measured(server: VllmServer, client: WarmClient, launch: str, repeat: int, folder: Path) -> list[Record]:
    """Return one repeat of every workload on `server`, which plays `launch` in this round."""
    records = []
    for workload in WORKLOADS:
        case_id = f"{launch},serve,{workload.axes_text()}"
        saved = bench_serve(
            server,
            workload,
            record_path=folder / f"{case_id}-{repeat}" / "record.json",
            seed=repeat,
            case={"identity": Identity(launch=launch, case_id=case_id, repeat=repeat).model_dump()},
            client_socket=client.socket_path,
            warmed_by="the first deal",
        )
        records.append(saved.record)
    return records


def one_comparison(servers: Sequence[VllmServer], client: WarmClient, draw: random.Random, folder: Path) -> Comparison:
    """Deal the servers out, measure all rounds in turn, and compare."""
    dealt = draw.sample(servers, len(servers))
    half = len(servers) // 2
    records: dict[str, list[Record]] = {launch: [] for launch in LAUNCHES}
    for repeat, pair in enumerate(zip(dealt[:half], dealt[half:], strict=True)):
        turns = list(zip(LAUNCHES, pair, strict=True))
        for launch, server in turns if repeat % 2 == 0 else reversed(turns):
            records[launch] += measured(server, client, launch, repeat, folder)
    return compare(records["a"], records["b"], LAUNCHES)


def main() -> int:
    """Measure, print what each comparison says, write it; 1 when there are too many claims."""
    from scipy.stats import binomtest

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=8, help="of each comparison; twice as many servers are started")
    parser.add_argument("--seed", type=int, default=0, help="of the deals")
    parser.add_argument("--output", type=Path, default=Path("results/bench/same.json"), help="the JSON to write")
    options = parser.parse_args()
    draw, said = random.Random(options.seed), []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchbook-same-")))
        client = stack.enter_context(WarmClient(log_dir=folder))
        servers = []
        for number in range(2 * options.rounds):
            log_dir = folder / f"server-{number}"
            server = stack.enter_context(VllmServer("tiny", args=ENGINE_ARGS, env=ENV, log_dir=log_dir))
            measured(server, client, "warm-up", number, folder)
            servers.append(server)
            print(f"server {number + 1} of {2 * options.rounds} is ready after {server.ready_s:.0f} s", flush=True)
        for number in range(options.comparisons):
            comparison = one_comparison(servers, client, draw, folder / f"comparison-{number}")
            said.append({"claims": len(comparison.claims), "headlines": headlines(comparison)})
            print(f"comparison {number + 1}: {tally(comparison)}", flush=True)
            print("\n".join(f"  {line}" for line in headlines(comparison)), flush=True)
    with_claims = sum(bool(each["claims"]) for each in said)
    low = float(binomtest(with_claims, len(said)).proportion_ci(method="exact").low)
    print(f"\n{with_claims} of {len(said)} comparisons of a launch with itself claim anything")
    write_output(options.output, {"comparisons": said, "with_claims": with_claims, "at_least_share": low})
    return 0 if low <= FALSE_CLAIMS else 1


if __name__ == "__main__":
    raise SystemExit(main())
