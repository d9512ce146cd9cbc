"""Count how many experts the steps of a loaded model read: the program behind routing.py.

    python -m benchbook.hosts.vllm.routing_probe --out FILE -- --model PATH --load-format benchbook

An engine of its own, eager, so that every forward pass runs the routers as modules: a hook on each sees the logits of a
step's tokens and counts the experts that are their largest. Batches of random prompts give steps of known sizes. The
answers are greedy, so how many of them differ is known too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

from benchbook import collector
from benchbook.hosts.vllm.bench_engine import asked_engine_args

SEQUENCES = (1, 8, 16, 32, 64)
PROMPT_TOKENS = 48  # no multiple of it is one of SEQUENCES: a step of prefill is never taken for one of decode
PREFILL_TOKENS = 512  # of one prompt
STEPS = 8  # of decoding, each counted in every layer
ENGINE = {
    "--enforce-eager": (),
    "--disable-log-stats": (),
    "--no-enable-prefix-caching": (),
    "--max-model-len": ("1024",),
    "--max-num-seqs": ("64",),
    "--max-num-batched-tokens": ("4096",),
}


def watch_routers(model: Any, active: int) -> int:
    """Hook each router of `model`, which runs in a worker of vLLM, and return how many there are."""
    model.benchbook_counts, found = [], 0

    def count(module: Any, args: Any, output: Any) -> None:
        logits = output[0] if isinstance(output, tuple) else output
        model.benchbook_counts.append((logits.shape[0], logits.topk(active, dim=-1).indices.unique().numel()))

    for name, module in model.named_modules():
        if name.rpartition(".")[2] in ("gate", "router") and getattr(module, "weight", None) is not None:
            module.register_forward_hook(count)
            found += 1
    return found


def counts_so_far(model: Any) -> list[tuple[int, int]]:
    """Return (tokens, distinct experts) of each router and step since it was asked last."""
    counts, model.benchbook_counts = model.benchbook_counts, []
    return counts


def count(engine_argv: list[str], active: int, vocabulary: int) -> dict[str, Any]:
    """Return the experts of a layer that steps of each size read, on average over layers and steps."""
    words = [word for flag, values in ENGINE.items() for word in (flag, *values)]
    with collector.importing():  # vLLM, as it loads, looks several times for garbage: half a second each
        asked = asked_engine_args([*engine_argv, *words])
        from vllm import LLM, SamplingParams
    llm = LLM.from_engine_args(asked)
    if not any(llm.llm_engine.collective_rpc("apply_model", args=(_Watch(active),))):
        raise SystemExit("no router of the model is known here")
    draw, answers = random.Random(0), []

    def run(sequences: int, prompt_tokens: int, output_tokens: int) -> dict[int, list[int]]:
        prompts = [[draw.randrange(10, vocabulary) for _ in range(prompt_tokens)] for _ in range(sequences)]
        sampling = SamplingParams(max_tokens=output_tokens, temperature=0.0, ignore_eos=True)
        given = llm.generate([{"prompt_token_ids": prompt} for prompt in prompts], sampling, use_tqdm=False)
        answers[:] = [tuple(answer.outputs[0].token_ids) for answer in given]
        found = defaultdict(list)
        of_each_worker = llm.apply_model(counts_so_far)
        for tokens, experts in of_each_worker[0]:  # all have the same routers
            found[tokens].append(experts)
        return found

    run(1, PROMPT_TOKENS, 2)  # what was counted before, and what is compiled at first use
    decode = {sequences: run(sequences, PROMPT_TOKENS, STEPS + 1)[sequences] for sequences in SEQUENCES}
    distinct = len(set(answers))  # of the largest batch
    prefill = run(1, PREFILL_TOKENS, 1)[PREFILL_TOKENS]
    llm.llm_engine.engine_core.shutdown()
    if not prefill or not all(decode.values()):
        raise SystemExit("the routers were not seen in steps of the expected sizes")
    return {
        "decode": {str(sequences): round(fmean(experts), 2) for sequences, experts in decode.items()},
        "prefill": {str(PREFILL_TOKENS): round(fmean(prefill), 2)},
        "answers": SEQUENCES[-1],
        "distinct_answers": distinct,
    }


class _Watch:
    """`watch_routers` with its argument, to be sent to workers."""

    def __init__(self, active: int) -> None:
        self._active = active

    def __call__(self, model: Any) -> int:
        return watch_routers(model, self._active)


def main() -> None:
    """Count, and write what was found as JSON to --out."""
    parser = argparse.ArgumentParser(description="Count the experts that the steps of a model read.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--active", type=int, required=True, help="experts that a token takes")
    parser.add_argument("--vocabulary", type=int, required=True, help="how many tokens there are")
    parser.add_argument("engine_argv", nargs="*", help="after --: engine arguments as for `vllm bench latency`")
    options = parser.parse_args()
    # The hooks are passed on as they are, not by pickles over a wire.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    found = count(options.engine_argv, options.active, options.vocabulary)
    options.out.write_text(json.dumps(found))
    collector.skip_last_look()


if __name__ == "__main__":
    from benchbook.hosts.vllm import routing_probe  # by its own name: a worker of several imports what is sent to it

    routing_probe.main()
