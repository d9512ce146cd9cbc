"""Does a sweep with several blocks at once take less time, and give the same numbers? On the scripted server.

    python lib/proofs/places.py                   # 8 launches, 4 rounds, one and four at once: some ten minutes
    python lib/proofs/places.py --rounds 2

One experiment is run twice, one block at a time and four at once; its servers sleep for most of what a request takes, so
that few processors serve four of them. Printed are the ratio of the wall times, which holds starts, trial of neighbours and
report, and of each metric the ratio of both runs over all launches. Exits with 0 when the time is at most 0.4 of the
serial one, and the 95 % interval of each ratio of metrics lies within 2 % of 1 or holds 1. What kills do is another
proof: `python lib/tests/integration/storm.py --placed --small --kills 20`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchbook.records.record import Record
from benchbook.records.store import Store
from pairs import equality_of, print_ratios, proof_parser, write_output

FAKE_PACKAGE = Path(__file__).parents[1] / "tests" / "fake_package"
AT_ONCE, LAUNCHES = 4, 8
MOST_OF_SERIAL = 0.4
METRICS = ("output_throughput_tok_s", "mean_e2el_ms")
SCRIPT = '{"ttft_s": [0.05], "itl_s": [0.02]}'
EXPERIMENT = """
question: Do several blocks at once take less time, and give the same numbers?
model: {model}
launches: {{{launches}}}
benchmarks:
  - serve: {{max_concurrency: 2, lengths: [[16, 16]], num_prompts: 4}}
  - serve: {{max_concurrency: [1, 2], lengths: [[16, 64]], num_prompts: 2 per concurrency}}
repeats: {rounds}
again: 0
place: {{at_once: {at_once}}}
"""


def measured(folder: Path, at_once: int, rounds: int) -> tuple[float, list[Record]]:
    """Return how long a run takes (s), and its records by case and round."""
    model = folder / "model"  # of its own: what a run writes is no part of it
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    launches = ", ".join(
        f"l{number}: {{args: {{max_model_len: {4096 + number}}}, env: {{FAKE_VLLM: '{SCRIPT}'}}}}"
        for number in range(LAUNCHES)
    )
    (folder / "places.yaml").write_text(
        EXPERIMENT.format(model=model, launches=launches, rounds=rounds, at_once=at_once)
    )
    search_path = os.pathsep.join(filter(None, [str(FAKE_PACKAGE), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PYTHONPATH": search_path, "BENCHBOOK_STATE_DIR": str(folder / "state")}
    began_s = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "benchbook", "run", "places.yaml"], cwd=folder, env=env, check=False)
    took_s = time.monotonic() - began_s
    records = Store.open("places", folder / "results").records()
    if done.returncode not in (0, 1, 3) or len(records) != 3 * LAUNCHES * rounds:
        raise SystemExit(f"the run at {at_once} at once ended with {done.returncode}, and has {len(records)} records")
    return took_s, sorted(records, key=lambda record: (record.identity.case_id, record.identity.repeat))


def main() -> int:
    """Measure, print, write; return 0 when all is as it must be."""
    parser = proof_parser(__doc__, "places")
    parser.add_argument("--rounds", type=int, default=4, help="of each launch; as many as places are even")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        serial_s, serial = measured(Path(name, "serial"), 1, options.rounds)
        at_once_s, at_once = measured(Path(name, "at-once"), AT_ONCE, options.rounds)
    share = at_once_s / serial_s
    print(f"{AT_ONCE} at once took {at_once_s:.1f} s, one at a time {serial_s:.1f} s: {share:.2f} of it")
    ratios = {
        key: equality_of(*([record.values[key] for record in records] for records in (at_once, serial)))
        for key in METRICS
    }
    print_ratios(ratios, f"{AT_ONCE} at once / one at a time")
    found = {"serial_s": serial_s, "at_once_s": at_once_s, "share": share}
    write_output(options.output, {**found, "ratios": {key: vars(ratio) for key, ratio in ratios.items()}})
    return 0 if share <= MOST_OF_SERIAL and all(ratio.is_equal() for ratio in ratios.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
