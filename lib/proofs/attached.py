"""Does a server measure the same whoever started it? One vLLM, measured in pairs as ours and as somebody else's.

    python lib/proofs/attached.py               # 10 pairs, some minutes
    python lib/proofs/attached.py --pairs 3
    python lib/proofs/attached.py --experiment FILE   # its first launch: of a model on a GPU, pairs are far more alike

It is one process, so what differs is what we do: as ours it is known by its nonce and its log is read, as somebody else's
it is reached by its address and its key alone. Both repeats of a pair send the same prompts after the prefix cache was
switched off; the order within a pair alternates. Exits with 0 when each headline metric is equal: its 95 % interval lies
within 2 % of 1, or holds 1. What the attached record lists as not looked at is printed, and must be what an owner alone can
look at.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchbook.hosts.attached import attach
from benchbook.hosts.server import VllmServer
from benchbook.measure.client.warm import WarmClient
from benchbook.measure.serve import bench_serve
from benchbook.plan.experiment import load_experiment
from benchbook.plan.workloads import ServeWorkload
from benchbook.records.handover import Handover
from benchbook.records.record import Identity, Record
from benchbook.terms.attached import Reach
from pairs import Equality, equality_of, of_a_launch, print_ratios, proof_parser, write_output

METRICS = ("output_throughput_tok_s", "median_ttft_ms", "median_tpot_ms", "median_itl_ms", "median_e2el_ms")
KEY = "THE_KEY_OF_THIS_PROOF"
# Which checks live from the server's command, its log and its model's start: an owner alone has them.
OF_AN_OWNER = {
    "compiled_while_measuring", "degenerate_model", "guards_down", "kv_exhausted", "max_num_seqs_low", "speculation_unlike_text",
    "steps_padded",
}  # fmt: skip


def measure(experiment: Path, num_pairs: int, folder: Path) -> list[dict[str, Record]]:
    """Return one {'owned': record, 'attached': record} a pair."""
    workload = ServeWorkload(input_len_tokens=128, output_len_tokens=64, max_concurrency=4, num_prompts=40)
    pairs: list[dict[str, Record]] = []
    launch = load_experiment(experiment).launches[0]
    ours = VllmServer(launch.model.path_or_id, args=launch.args, env=launch.env, log_dir=folder)
    with WarmClient(log_dir=folder) as client, ours as server:
        os.environ[KEY], state = server.api_key, os.environ.get("BENCHBOOK_STATE_DIR")
        os.environ["BENCHBOOK_STATE_DIR"] = str(folder / "state of somebody else")  # where it is no host of ours
        theirs = attach(server.base_url, server.model_files.path, reach=Reach(api_key_env=KEY))
        os.environ |= {"BENCHBOOK_STATE_DIR": state} if state else {}
        if state is None:
            del os.environ["BENCHBOOK_STATE_DIR"]
        assert not theirs.is_ours
        for number in range(num_pairs):
            pair: dict[str, Record] = {}
            for name in sorted(("owned", "attached"), reverse=number % 2 == 1):
                told = Handover(
                    identity=Identity(case_id=name), client_socket=client.socket_path, warmed_by="the first"
                )
                told = told if number else told.model_copy(update={"warmed_by": ""})
                path = folder / f"{name}-{number}" / "record.json"
                host = server if name == "owned" else theirs
                pair[name] = bench_serve(host, workload, seed=number, record_path=path, repeat=told).record
            pairs.append(pair)
            print(f"pair {number + 1} of {num_pairs}", flush=True)
    return pairs


def ratios_of(pairs: list[dict[str, Record]]) -> dict[str, Equality]:
    """Return the ratio attached / owned of each metric."""
    return {
        key: equality_of(*([pair[name].values[key] for pair in pairs] for name in ("attached", "owned")))
        for key in METRICS
    }


def main() -> int:
    """Measure, print one line a metric and what could not be looked at, write both; return 0 when all is as it must be."""
    parser = of_a_launch(proof_parser(__doc__, "attached"))
    parser.add_argument("--pairs", type=int, default=10, help="how many (at least 3: fewer have no interval)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pairs = measure(options.experiment, options.pairs, Path(folder))
    ratios = ratios_of(pairs)
    print_ratios(ratios, "attached / owned")
    blind = {name: sorted(pairs[-1][name].not_looked or {}) for name in ("owned", "attached")}
    more = set(blind["attached"]) - set(blind["owned"])
    print(f"\nnot looked at when attached, and looked at when owned: {', '.join(sorted(more))}")
    write_output(options.output, {"ratios": {key: vars(found) for key, found in ratios.items()}, "not_looked": blind})
    return 0 if all(found.is_equal() for found in ratios.values()) and more <= OF_AN_OWNER else 1


if __name__ == "__main__":
    raise SystemExit(main())
