"""The experiment file that `benchbook init` writes: small, whole, and with a reason beside each line."""

from __future__ import annotations

from pathlib import Path

from benchbook.errors import ExperimentError, StoreError
from benchbook.plan.launches import SAFE_NAME, SAFE_NAME_RULE

TEMPLATE = """\
# What should this experiment answer? The report begins with it.
question: How do latency and throughput trade off as more requests are in flight?

model: tiny            # made here, random weights; or a folder beside this file, or a hub id such as Qwen/Qwen3-0.6B

# A vLLM configuration each, by a name of yours. Several are compared: they take turns, with a fresh start in every round.
launches:
  eager:
    args: {enforce_eager: true, max_model_len: 4096}     # vLLM's own flags, with underscores
    env: {VLLM_CPU_KVCACHE_SPACE: 1}                     # GiB for the KV cache; a CPU needs it, a GPU ignores it
    # On a CPU of few cores, take the args and env of experiments/quickstart.yaml instead: it says why.

# A list makes an axis, and axes are crossed. Lengths are [input, output] pairs, in tokens.
benchmarks:
  - first_request: {}
  - serve: {max_concurrency: [1, 4], lengths: [[128, 64]], num_prompts: 10 per concurrency}      # so many users
  # - serve: {request_rate_rps: [1, 2, 4], lengths: [[128, 64]], num_prompts: 200}               # so many arrivals a second
  # - latency: {batch_size: [1, 8], lengths: [[128, 64]]}                                        # one batch at a time
  # - throughput: {num_prompts: 200, lengths: [[128, 64]]}                                       # all at once

repeats: 2             # left out: 3, or 8 when there are several launches
# slo: {p99_ttft_ms: 500, p99_tpot_ms: 50}   # the report says which load keeps it
"""


def write_template(path: Path) -> None:
    """Write the template to `path`; raises ExperimentError for a file that is there, or whose name names no experiment."""
    if path.suffix not in (".yaml", ".yml") or not SAFE_NAME.fullmatch(path.stem):
        raise ExperimentError(f"{path}: write NAME.yaml; the name {SAFE_NAME_RULE}: it names a folder of results")
    try:
        with path.open("x") as file:
            file.write(TEMPLATE)
    except FileExistsError:
        raise ExperimentError(f"{path} is there already and is left as it is: choose another name") from None
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
