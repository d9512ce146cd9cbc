"""Is a launch ever called different from itself? A/A comparisons on the real vLLM, with the claims that come out.

    python lib/proofs/equal_launches.py                          # 10 comparisons of 8 rounds, offline benchmarks: one to two hours
    python lib/proofs/equal_launches.py --benchmarks serve       # online: two to three hours
    python lib/proofs/equal_launches.py --experiment FILE        # the first launch of another experiment, on its model

Each comparison is an experiment of two launches that differ in name only, run by `benchbook run` as any other: the two
take turns, with a fresh start in every round. Starts are most of the time, and cannot be shared: what a start has of luck
is what a comparison must not take for a difference. What there is, is written after each comparison. Exits with 1 where
more comparisons claim something than 5 % false claims explain (exact binomial, 95 %).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from benchbook.terms.exit_codes import NO_ANSWER, OK
from pairs import of_a_launch, proof_parser, write_output

FALSE_CLAIMS = 0.05
LENGTHS = [[128, 32]]
BENCHMARKS: dict[str, list[dict[str, Any]]] = {
    "offline": [
        {"latency": {"batch_size": 1, "lengths": LENGTHS, "num_iters": 10, "num_iters_warmup": 3}},
        {"throughput": {"num_prompts": 64, "lengths": LENGTHS}},
    ],
    "serve": [{"serve": {"max_concurrency": [1, 4], "lengths": LENGTHS, "num_prompts": "12 per concurrency"}}],
}


def write_experiment(folder: Path, base: Path, benchmarks: str, rounds: int, number: int) -> Path:
    """Write the experiment of comparison `number`, whose prompts are its own, and return its file."""
    settings = yaml.safe_load(base.read_text())
    launch = next(iter(settings["launches"].values()))
    experiment = {
        **{key: settings[key] for key in ("model", "device") if key in settings},
        "question": "Does a launch differ from itself?",
        "launches": {"a": launch, "b": launch},
        "benchmarks": BENCHMARKS[benchmarks],
        "repeats": rounds,
        "seed": number,
    }
    path = folder / f"same_{number}.yaml"
    path.write_text(json.dumps(experiment))  # which is YAML too, and without the aliases that PyYAML would write
    return path


def benchbook(folder: Path, *words: str) -> str:
    """Run the command line with results under `folder` and return what it printed; end this program where it fails."""
    argv = [sys.executable, "-m", "benchbook", *words, "--results", str(folder / "results")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode not in (OK, NO_ANSWER):
        raise SystemExit(
            f"benchbook {words[0]} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout


def main() -> int:
    """Measure, print what each comparison says, write it; 1 when there are too many claims."""
    parser = of_a_launch(proof_parser(__doc__, "equal_launches"))
    parser.add_argument("--comparisons", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=8, help="of each comparison; two starts a round")
    parser.add_argument("--benchmarks", choices=BENCHMARKS, default="offline")
    parser.add_argument("--seed", type=int, default=0, help="of the first comparison; each further one has the next")
    options = parser.parse_args()
    comparisons: list[list[dict[str, Any]]] = []
    low = 0.0
    with tempfile.TemporaryDirectory(prefix="benchbook-same-") as name:
        folder = Path(name)
        for seed in range(options.seed, options.seed + options.comparisons):
            file = write_experiment(folder, options.experiment, options.benchmarks, options.rounds, seed)
            benchbook(folder, "run", str(file), "--new")
            print(f"comparison {len(comparisons) + 1} of {options.comparisons}:", flush=True)
            print(benchbook(folder, "compare", file.stem, "a", "b"), flush=True)
            comparisons.append(json.loads(benchbook(folder, "compare", file.stem, "a", "b", "--format", "json")))
            low = write_comparisons(options.output, comparisons)
    return 0 if low <= FALSE_CLAIMS else 1


def write_comparisons(path: Path, comparisons: list[list[dict[str, Any]]]) -> float:
    """Write and print how many claim anything; return the lower end of that share's 95 % interval."""
    from scipy.stats import binomtest

    with_claims = sum(any(row["finding"] in ("better", "worse") for row in rows) for rows in comparisons)
    low = float(binomtest(with_claims, len(comparisons)).proportion_ci(method="exact").low)
    print(f"{with_claims} of {len(comparisons)} comparisons of a launch with itself claim anything")
    write_output(path, {"comparisons": comparisons, "with_claims": with_claims, "at_least_share": low})
    return low


if __name__ == "__main__":
    raise SystemExit(main())
