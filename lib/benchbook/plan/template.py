"""The experiment files that `benchbook new` writes: small, whole, and with a reason beside each line."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

from benchbook.plan.launches import SAFE_NAME, SAFE_NAME_RULE
from benchbook.system_faults import hint_of, line_of
from benchbook.terms.errors import ExperimentError

_MODEL = """\
# Made here, of random weights; or a folder beside this file, or a hub id such as Qwen/Qwen3-0.6B.
model: tiny
"""

_COLD = "enable_prefix_caching: false    # a warm cache would flatter all that comes after the first"
_CACHED = "enable_prefix_caching: true     # as in production: what prompts have in common is read once"


def _settings(caching: str, margin: str) -> str:
    """Return the args and the variables of a launch, or of the base of several."""
    return indent(
        f"""\
args:                             # vLLM's own flags, with underscores
  enforce_eager: true             # starts sooner, runs slower
  max_model_len: 4096             # tokens, input + output
  {caching}
  # From here on for a CPU, also one of few cores: experiments/quickstart.yaml says why.
  # On a GPU, leave these lines and env out.
  dtype: float32
  gpu_memory_utilization: 0.3
  distributed_executor_backend: uni
env: {{VLLM_CPU_KVCACHE_SPACE: 1, VLLM_ENABLE_V1_MULTIPROCESSING: 0, OMP_NUM_THREADS: 1}}
""",
        margin,
    )


def _launch(caching: str) -> str:
    return f"""\
# A vLLM configuration each, by a name of yours. Several are compared: they take turns, with a fresh
# start in every round.
launches:
  eager:
{_settings(caching, "    ")}"""


_REPEATS = """\
# Of one launch all repeats share one start. Starts differ: {starts: 3} has three fresh ones.
repeats: 2             # left out: 3, or 8 when there are several launches
"""

_SERVE = f"""\
# What should this experiment answer? The report begins with it.
question: How do latency and throughput trade off as more requests are in flight?

{_MODEL}
{_launch(_COLD)}
# A list makes an axis, and axes are crossed. Lengths are [input, output] pairs, in tokens.
benchmarks:
  - first_request: {{}}
  # So many users, each sends when it is answered:
  - serve: {{max_concurrency: [1, 4], lengths: [[128, 64]], num_prompts: 10 per concurrency}}
  # So many arrivals a second:
  # - serve: {{request_rate_rps: [1, 2, 4], lengths: [[128, 64]], num_prompts: 60 s}}
  # One batch at a time:
  # - latency: {{batch_size: [1, 8], lengths: [[128, 64]]}}
  # All at once:
  # - throughput: {{num_prompts: 200, lengths: [[128, 64]]}}

{_REPEATS}# slo: {{p99_ttft_ms: 500, p99_tpot_ms: 50}}   # the report says which load keeps it
"""

_COMPARE = f"""\
# What should this experiment answer? The report begins with it.
question: Does a smaller step of prefill make a server faster?

{_MODEL}
# What all launches begin with; each names what is different in it, and nothing else.
base:
{_settings(_COLD, "  ")}
launches:
  default: {{}}                         # the first is the one that others are compared with
  small_steps: {{args: {{max_num_batched_tokens: 256}}}}

# One load is enough to say who is faster; each more costs its time in every round.
benchmarks:
  - serve: {{max_concurrency: 4, lengths: [[512, 32]], num_prompts: 10 per concurrency}}

# Launches take turns, A B, B A, with a fresh start in each of 8 rounds; fewer than four claim hardly anything.
repeats: 8

# Once it has run: benchbook compare NAME. In a pipeline: benchbook gate FILE --not-worse-than 3%,
# with repeats: {{at_least: 8, at_most: 40, until: {{output_throughput_tok_s: 2.5 %}}}}
"""

_CAPACITY = f"""\
# What should this experiment answer? The report begins with it.
question: How many users at once can this server have, so that nine of ten see the first token within 200 ms?

{_MODEL}
{_launch(_COLD)}
# What has to hold. Percentiles of ttft, tpot, itl and e2el; several of them have to hold together.
slo: {{p90_ttft_ms: 200}}

# Few loads are measured, each as often as its decision needs.
benchmarks:
  - serve:
      lengths: [[128, 32]]            # [input, output], in tokens
      num_prompts: 80                 # of every load: enough for a p90
      find:
        max_concurrency: {{from: 1, to: 64}}
        within: 10 %                  # loads that are nearer to each other are not told apart
        budget: 10 min                # of measuring
"""

_SEARCH = f"""\
# What should this experiment answer? The report begins with it.
question: How large a step, and how many threads, give this server the most output tokens per second?

{_MODEL}
# The launch in use, which all others are measured against; more of your own may stand beside it.
launches:
  default:
{_settings(_COLD, "    ")}
# Candidates are screened, one start each; the best are then measured in turns with the default, and only that
# is claimed.
search:
  matrix:                             # of the default, a launch for each combination
    args.max_num_batched_tokens: [256, 1024]
    env.OMP_NUM_THREADS: [1, 2]
  maximise: output_throughput_tok_s
  budget: 10 min                      # of starts and measurements; what has no room is left out, and said

# The one load under which they are all measured.
benchmarks:
  - serve: {{max_concurrency: 8, lengths: [[128, 32]], num_prompts: 10 per concurrency}}

repeats: 5             # rounds of the confirmation; left out, 8
# slo: {{p99_ttft_ms: 500}}   # what is recommended has to keep it
"""

_CHAT = f"""\
# What should this experiment answer? The report begins with it.
question: How does this server answer real chats, and conversations that carry all turns before?

{_MODEL}
{_launch(_CACHED)}
# What is sent: drawn once, frozen in the run's folder, the same bytes for all launches.
requests:
  # A small corpus that is made here; a file of yours takes its place, in ShareGPT's form or another's.
  chat:   {{dataset: sharegpt, path: "corpus:chats", endpoint: chat, ends_by: any}}
  agents: {{lengths: [160, 32], conversations: {{turns: 5}}, endpoint: chat}}
  # Prompts of which four fifths begin as others do, as with a long system prompt:
  shared: {{lengths: [640, 32], prefix: {{share: 0.8, groups: 4}}}}

benchmarks:
  - serve: {{requests: [chat, agents, shared], max_concurrency: 4, num_prompts: 40}}

{_REPEATS}"""

TEMPLATES = {"serve": _SERVE, "compare": _COMPARE, "capacity": _CAPACITY, "search": _SEARCH, "chat": _CHAT}
FOLDER = Path("experiments")  # where a mere name is written, if that is there


def write_template(named: Path, template: str) -> Path:
    """Write one of TEMPLATES to a file, or as an experiment of that name; return the file.

    Raises ExperimentError for a file that is there, or whose name names no experiment.
    """
    is_name = not named.suffix and named.parent == Path()
    path = (FOLDER if FOLDER.is_dir() else Path()) / f"{named}.yaml" if is_name else named
    if path.suffix not in (".yaml", ".yml") or not SAFE_NAME.fullmatch(path.stem):
        raise ExperimentError(f"{path}: write NAME.yaml; the name {SAFE_NAME_RULE}: it names a folder of results")
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        raise ExperimentError(f"{path} is there already and is left as it is: choose another name") from None
    except OSError as error:
        raise ExperimentError(f"cannot write {line_of(error)}") from error
    try:
        path.write_text(TEMPLATES[template])
    except OSError as error:
        path.unlink()  # cut; the next try would take it for one that is there
        raise ExperimentError(f"cannot write {path}: {error.strerror}{hint_of(error)}") from error
    return path
