"""The experiment file that `benchbook init` writes: small, whole, and with a reason beside each line."""

from __future__ import annotations

from pathlib import Path

from benchbook.plan.launches import SAFE_NAME, SAFE_NAME_RULE
from benchbook.system_faults import hint_of, line_of
from benchbook.terms.errors import ExperimentError

TEMPLATE = """\
# What should this experiment answer? The report begins with it.
question: How do latency and throughput trade off as more requests are in flight?

# Made here, of random weights; or a folder beside this file, or a hub id such as Qwen/Qwen3-0.6B.
model: tiny

# A vLLM configuration each, by a name of yours. Several are compared: they take turns, with a fresh
# start in every round.
launches:
  eager:
    args:                             # vLLM's own flags, with underscores
      enforce_eager: true             # starts sooner, runs slower
      max_model_len: 4096             # tokens, input + output
      enable_prefix_caching: false    # a warm cache would flatter all that comes after the first
      # From here on for a CPU, also one of few cores: experiments/quickstart.yaml says why.
      # On a GPU, leave these lines and env out.
      dtype: float32
      gpu_memory_utilization: 0.3
      distributed_executor_backend: uni
    env: {VLLM_CPU_KVCACHE_SPACE: 1, VLLM_ENABLE_V1_MULTIPROCESSING: 0, OMP_NUM_THREADS: 1}

# A list makes an axis, and axes are crossed. Lengths are [input, output] pairs, in tokens.
benchmarks:
  - first_request: {}
  # So many users, each sends when it is answered:
  - serve: {max_concurrency: [1, 4], lengths: [[128, 64]], num_prompts: 10 per concurrency}
  # So many arrivals a second:
  # - serve: {request_rate_rps: [1, 2, 4], lengths: [[128, 64]], num_prompts: 60 s}
  # One batch at a time:
  # - latency: {batch_size: [1, 8], lengths: [[128, 64]]}
  # All at once:
  # - throughput: {num_prompts: 200, lengths: [[128, 64]]}

# Of one launch all repeats share one start. Starts differ: {starts: 3} has three fresh ones.
repeats: 2             # left out: 3, or 8 when there are several launches
# slo: {p99_ttft_ms: 500, p99_tpot_ms: 50}   # the report says which load keeps it
"""


def write_template(path: Path) -> None:
    """Write the template to `path`; raises ExperimentError for a file that is there, or whose name names no experiment."""
    if path.suffix not in (".yaml", ".yml") or not SAFE_NAME.fullmatch(path.stem):
        raise ExperimentError(f"{path}: write NAME.yaml; the name {SAFE_NAME_RULE}: it names a folder of results")
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        raise ExperimentError(f"{path} is there already and is left as it is: choose another name") from None
    except OSError as error:
        raise ExperimentError(f"cannot write {line_of(error)}") from error
    try:
        path.write_text(TEMPLATE)
    except OSError as error:
        path.unlink()  # cut; the next try would take it for one that is there
        raise ExperimentError(f"cannot write {path}: {error.strerror}{hint_of(error)}") from error
