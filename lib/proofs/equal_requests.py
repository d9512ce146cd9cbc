"""Are the numbers of a frozen set those of the bare `vllm bench serve` for the same requests? Interleaved, in pairs.

    python lib/proofs/equal_requests.py                       # 10 rounds each of three sets: three quarters of an hour
    python lib/proofs/equal_requests.py --pairs 3 --only words

Each set is drawn once, as a run draws it. Each round sends a stretch of it that no other has, three times: by the warm
client, by the command line, which is given the same requests as a plain file for its own `--dataset-name custom`, and by
the warm client after another command line has begun and ended. For a command line imports vLLM for some ten seconds right
before it sends, and on two cores what comes right before is part of what is measured: only after the same work is it the
clients that are compared. Prefix caching is off, or whoever comes second would find what the first has left. The order
within a round alternates. All must have sent as many tokens in each request, and been answered as many. Exits with 1 where
they have not, or when the interval of a metric of the warm client as a sweep has it neither contains 1 nor lies within ±2 %.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchbook.hosts.server import VllmServer
from benchbook.measure.argv import Sent, Target, serve_argv
from benchbook.measure.client.drawing import draw_set
from benchbook.measure.client.stretch import Stretch
from benchbook.measure.client.tasks import run_bench
from benchbook.measure.client.warm import WarmClient
from benchbook.measure.drawing.order import Order
from benchbook.plan.request_parts import Prefix
from benchbook.plan.requests import RequestSet
from benchbook.plan.workloads import ServeWorkload
from equal_numbers import SERVE_METRICS
from pairs import (
    ENGINE_ARGS,
    ENV,
    LIMIT_S,
    Equality,
    equality_of,
    print_ratios,
    proof_parser,
    run_case,
    write_output,
)

MODEL = "tiny"
PROMPTS = 60
WORK = ServeWorkload(requests="it", max_concurrency=2, num_prompts=PROMPTS)
SETS = {
    "words": RequestSet(lengths=(128, 48), text="corpus:words"),
    "shared": RequestSet(lengths=(256, 32), prefix=Prefix(share=0.8, groups=4)),
    "prompts": RequestSet(dataset="custom", path="corpus:prompts", options={"custom_output_len": 48}),
}
_MUST_AGREE = ("input_lens", "output_lens")
BARE, WARM, WARM_AFTER = "bare", "warm", "warm after an import"
ORDERS = ((WARM, BARE, WARM_AFTER), (WARM_AFTER, BARE, WARM), (BARE, WARM, WARM_AFTER), (WARM, WARM_AFTER, BARE))
Values = dict[str, float]


@dataclass(frozen=True)
class Bench:
    """A server, a client that is warm, and a set in its file."""

    server: VllmServer
    client: WarmClient
    wanted: RequestSet
    path: Path

    def send(self, number: int, way: str) -> dict[str, Any]:
        """Return vLLM's result for stretch `number`."""
        raw_path = self.path.with_name(f"{way.replace(' ', '-')}-{number}.json")
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
        socket_path = None if way == BARE else self.client.socket_path
        env = {"OPENAI_API_KEY": self.server.api_key}
        if way == WARM_AFTER:
            help_log = raw_path.with_suffix(".help.log")
            run_bench(["serve", "--help"], socket_path=None, env=env, on_line=None, log_path=help_log, limit_s=LIMIT_S)
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
    """Return {way: values} of each round, and what differed that may not differ at all."""
    pairs: list[dict[str, Values]] = []
    differing: list[str] = []
    with opened(SETS[name], num_pairs, folder) as bench:
        bench.send(num_pairs, WARM)  # the first use of a server belongs to none
        for number in range(num_pairs):
            raw = {way: bench.send(number, way) for way in ORDERS[number % len(ORDERS)]}
            pairs.append({way: {metric: found[metric] for metric in SERVE_METRICS} for way, found in raw.items()})
            differing += [
                f"{name}, round {number}: {key}, {way}"
                for key in _MUST_AGREE
                for way in (WARM, WARM_AFTER)
                if raw[way][key] != raw[BARE][key]
            ]
            print(f"{name}: round {number + 1} of {num_pairs}", flush=True)
    return pairs, differing


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print one line a metric, write the pairs and their ratios; 1 when a metric is biased."""
    parser = proof_parser(__doc__, "equal_requests")
    parser.add_argument("--pairs", type=int, default=10, help="rounds a set (at least 3: fewer have no interval)")
    parser.add_argument("--only", choices=SETS, nargs="+", default=list(SETS), help="which sets")
    options = parser.parse_args(words)
    if options.pairs < 3:
        parser.error("fewer than 3 rounds have no interval")
    measured, differing = {}, []
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="benchbook-requests-") as folder:
            measured[name], found = measure(name, options.pairs, Path(folder))
            differing += found
    ratios = {way: ratios_of(measured, way) for way in (WARM, WARM_AFTER)}
    for way, found in ratios.items():
        print_ratios(found, f"{way} / command line")
    print(
        "\n".join(f"not the same tokens: {what}" for what in differing) or "All sent the same tokens and got as many."
    )
    summary = [
        {"way": way, "metric": what, **asdict(ratio), "is_equal": ratio.is_equal()}
        for way, found in ratios.items()
        for what, ratio in found.items()
    ]
    write_output(options.output, {"pairs": measured, "ratios": summary, "differing": differing})
    return 0 if not differing and all(ratio.is_equal() for ratio in ratios[WARM].values()) else 1


def ratios_of(measured: Mapping[str, Sequence[Mapping[str, Values]]], way: str) -> dict[str, Equality]:
    """Return of each set and metric how the warm client's, that `way`, are to the command line's."""
    return {
        f"{name} {metric}": equality_of(*([each[one][metric] for each in rounds] for one in (way, BARE)))
        for name, rounds in measured.items()
        for metric in SERVE_METRICS
    }


if __name__ == "__main__":
    raise SystemExit(main())
