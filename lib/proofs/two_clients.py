"""Do vLLM's two clients of `bench serve`, in Python and in Rust, measure the same? One scripted server, in pairs.

    python lib/proofs/two_clients.py              # 10 pairs, some minutes
    VLLM_RUST_FRONTEND_PATH=/opt/vllm-rs python lib/proofs/two_clients.py --pairs 3

The server answers at a steady pace, so what differs is the clients; the order within a pair alternates. Where the installed
vLLM holds no client in Rust, as its builds for CPUs, it says so, measures nothing and exits with 0. It prints by how much
each metric differs and which keys only one result has; that they differ is a finding and no failure.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchbook.hosts.vllm.clients import ASKED, PROGRAM, client_of, pinned, rust_program
from equal_numbers import CLIENT, SCRIPT, SCRIPTED_PROGRAM, SERVE_METRICS, open_online
from pairs import equality_of, print_ratios, proof_parser, run_case, write_output

CLIENTS = ("python", "rust")


def environment_of(client: str) -> dict[str, str]:
    """Return the variables by which this client runs, and no other."""
    named = {PROGRAM: os.environ[PROGRAM]} if PROGRAM in os.environ else {}
    return pinned({ASKED: str(int(client == "rust")), **named})


def measure(num_pairs: int, folder: Path) -> list[dict[str, Mapping[str, Any]]]:
    """Return one {'python': result, 'rust': result} a pair."""
    pairs: list[dict[str, Mapping[str, Any]]] = []
    with open_online(CLIENT, SCRIPT, SCRIPTED_PROGRAM)(folder) as (_, argv, env):
        for number in range(num_pairs):
            pair: dict[str, Mapping[str, Any]] = {}
            for client in sorted(CLIENTS, reverse=number % 2 == 1):
                raw_path = folder / f"{client}-{number}.json"
                own = {**env, **environment_of(client)}
                pair[client], _ = run_case(argv(raw_path, number), raw_path, socket_path=None, env=own)
                if client_of(pair[client]) != client:
                    raise SystemExit(f"the client in {client} was asked for, and another one wrote {raw_path}")
            pairs.append(pair)
            print(f"pair {number + 1} of {num_pairs}", flush=True)
    return pairs


def main() -> int:
    """Measure, print one line a metric and the keys of one client alone, and write both; 0 also where there is no second client."""
    parser = proof_parser(__doc__, "two_clients")
    parser.add_argument("--pairs", type=int, default=10, help="how many (at least 3: fewer have no interval)")
    options = parser.parse_args()
    if rust_program(os.environ) is None:
        print("no such client here: the installed vLLM holds no vllm-rs, and nothing was measured")
        return 0
    with tempfile.TemporaryDirectory(prefix="benchbook-clients-") as folder:
        pairs = measure(options.pairs, Path(folder))
    told = [name for name in SERVE_METRICS if all(name in pair[client] for pair in pairs for client in CLIENTS)]
    ratios = {
        name: equality_of(*([pair[client][name] for pair in pairs] for client in ("rust", "python"))) for name in told
    }
    print_ratios(ratios, "Rust / Python")
    alone = {client: sorted(set(pairs[0][client]) - set(pairs[0][other])) for client, other in (CLIENTS, CLIENTS[::-1])}
    for client, keys in alone.items():
        print(f"only in the result of the client in {client}: {', '.join(keys) or 'nothing'}")
    summary = [{"metric": what, **asdict(ratio), "is_equal": ratio.is_equal()} for what, ratio in ratios.items()]
    write_output(options.output, {"ratios": summary, "keys_of_one_alone": alone})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
