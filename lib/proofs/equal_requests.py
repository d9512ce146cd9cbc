"""Are the numbers of a frozen set those of the bare `vllm bench serve` for the same requests? Interleaved, in pairs.

    python lib/proofs/equal_requests.py                       # 10 pairs each of three sets: about half an hour
    python lib/proofs/equal_requests.py --pairs 3 --only words

Each set is drawn once, as a run draws it. Each pair sends a stretch of it that no other has: by the warm client, and by
the command line, which is given the same requests as a plain file for its own `--dataset-name custom`. Prefix caching is
off, or whoever comes second would find what the first has left. The order within a pair alternates. Both must have sent
as many tokens in each request, and been answered as many. Exits with 1 where they have not, or when the interval of a
metric neither contains 1 nor lies within ±2 %.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchbook.hosts.server import VllmServer
from benchbook.measure.argv import Sent, Target, serve_argv
from benchbook.measure.client.drawing import draw_set
from benchbook.measure.client.stretch import Stretch
from benchbook.measure.client.warm import WarmClient
from benchbook.measure.drawing.order import Order
from benchbook.plan.request_parts import Prefix
from benchbook.plan.requests import RequestSet
from benchbook.plan.workloads import ServeWorkload
from equal_numbers import SERVE_METRICS
from pairs import ENGINE_ARGS, ENV, equality_of, print_ratios, proof_parser, run_case, write_output

MODEL = "tiny"
PROMPTS = 60
WORK = ServeWorkload(requests="it", max_concurrency=2, num_prompts=PROMPTS)
SETS = {
    "words": RequestSet(lengths=(128, 48), text="corpus:words"),
    "shared": RequestSet(lengths=(256, 32), prefix=Prefix(share=0.8, groups=4)),
    "prompts": RequestSet(dataset="custom", path="corpus:prompts", options={"custom_output_len": 48}),
}
_MUST_AGREE = ("input_lens", "output_lens")
Values = dict[str, float]


@dataclass(frozen=True)
class Bench:
    """A server, a client that is warm, and a set in its file."""

    server: VllmServer
    client: WarmClient
    wanted: RequestSet
    path: Path

    def send(self, number: int, is_warm: bool) -> dict[str, Any]:
        """Return vLLM's result for stretch `number`."""
        raw_path = self.path.with_name(f"{'warm' if is_warm else 'bare'}-{number}.json")
        stretch = Stretch(str(self.path), number * PROMPTS, PROMPTS)
        how = {"ends_by": self.wanted.ends_by, "sampling": self.wanted.sent_sampling, "endpoint": self.wanted.endpoint}
        target = Target(
            base_url=self.server.base_url,
            model=self.server.model_files.path,
            served_name=self.server.served_name,
            tokenizer_words=["--tokenizer", self.server.model_files.path],
            seed=number,
            raw_path=raw_path,
            sent=Sent(words=stretch.words(raw_path.with_suffix(".jsonl")), **how),
        )
        socket_path = self.client.socket_path if is_warm else None
        env = {"OPENAI_API_KEY": self.server.api_key}
        raw, _ = run_case(serve_argv(WORK, target), raw_path, socket_path=socket_path, env=env, stretch=stretch)
        return raw


@contextmanager
def opened(wanted: RequestSet, num_pairs: int, folder: Path) -> Iterator[Bench]:
    """Inside, a server is up and the set is drawn: a stretch for each pair, and one to warm up with."""
    args = {**ENGINE_ARGS, "enable_prefix_caching": False}
    server = VllmServer(MODEL, args=args, env=ENV, log_dir=folder)
    with WarmClient(log_dir=folder) as client, server:
        path = folder / "it.jsonl.gz"
        order = Order(
            name="it",
            request_set=wanted.model_dump(mode="json", exclude_defaults=True),
            requests=(num_pairs + 1) * PROMPTS,
            at_once=PROMPTS,
            seed=0,
            model=server.model_files.path,
            tokenizer_words=("--tokenizer", server.model_files.path),
            path=str(path),
        )
        draw_set(order, socket_path=client.socket_path, env={}, log_path=folder / "draw.log")
        yield Bench(server, client, wanted, path)


def measure(name: str, num_pairs: int, folder: Path) -> tuple[list[dict[str, Values]], list[str]]:
    """Return one {'warm': values, 'bare': values} a pair, and what differed that may not differ at all."""
    pairs: list[dict[str, Values]] = []
    differing: list[str] = []
    with opened(SETS[name], num_pairs, folder) as bench:
        bench.send(num_pairs, is_warm=True)  # the first use of a server belongs to neither
        for number in range(num_pairs):
            order = (True, False) if number % 2 == 0 else (False, True)
            raw = {"warm" if is_warm else "bare": bench.send(number, is_warm) for is_warm in order}
            pairs.append({way: {metric: found[metric] for metric in SERVE_METRICS} for way, found in raw.items()})
            differing += [
                f"{name}, pair {number}: {key}" for key in _MUST_AGREE if raw["warm"][key] != raw["bare"][key]
            ]
            print(f"{name}: pair {number + 1} of {num_pairs}", flush=True)
    return pairs, differing


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print one line a metric, write the pairs and their ratios; 1 when a metric is biased."""
    parser = proof_parser(__doc__, "equal_requests")
    parser.add_argument("--pairs", type=int, default=10, help="pairs a set (at least 3: fewer have no interval)")
    parser.add_argument("--only", choices=SETS, nargs="+", default=list(SETS), help="which sets")
    options = parser.parse_args(words)
    if options.pairs < 3:
        parser.error("fewer than 3 pairs have no interval")
    measured, differing = {}, []
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="benchbook-requests-") as folder:
            measured[name], found = measure(name, options.pairs, Path(folder))
            differing += found
    ratios = {
        f"{name} {metric}": equality_of(*([pair[way][metric] for pair in pairs] for way in ("warm", "bare")))
        for name, pairs in measured.items()
        for metric in SERVE_METRICS
    }
    print_ratios(ratios, "warm / command line")
    print(
        "\n".join(f"not the same tokens: {what}" for what in differing) or "Both sent the same tokens and got as many."
    )
    summary = [{"metric": what, **asdict(ratio), "is_equal": ratio.is_equal()} for what, ratio in ratios.items()]
    write_output(options.output, {"pairs": measured, "ratios": summary, "differing": differing})
    return 0 if not differing and all(ratio.is_equal() for ratio in ratios.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
