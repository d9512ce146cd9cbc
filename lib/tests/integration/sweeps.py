"""What the sweep tests share: benchbook as a process of its own, on the fake `vllm` or the real one, and who is left of it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
from benchbook.terms.exit_codes import FAILED, NO_ANSWER, OK

# A launch of the real vLLM as it comes, with a process each for server, engine and worker; float32 since a processor may
# only emulate the 16-bit formats.
ARGS = {
    "enforce_eager": True,
    "dtype": "float32",
    "max_model_len": 4096,
    "gpu_memory_utilization": 0.3,
    "enable_prefix_caching": False,
}
ENV = {"VLLM_CPU_KVCACHE_SPACE": "1"}
# As in the quickstart: engine and worker are one process, with one thread.
ONE_PROCESS_ARGS = {**ARGS, "distributed_executor_backend": "uni"}
ONE_PROCESS_ENV = {**ENV, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "1"}
# As it comes, engine and worker are two processes that poll each other for a second after each token: a core more for as
# long as tests look at them. `make test` has the other form.
IN_ONE = "engine and worker in one"
FORMS = {IN_ONE: (ONE_PROCESS_ARGS, ONE_PROCESS_ENV), "as it comes": (ARGS, ENV)}

# The exit codes of a run in which all was measured: what is measured for seconds, or beside other tests, is often SUSPECT.
ALL_MEASURED = (OK, NO_ANSWER)

# Plain Papermill, but for the grammar that jsonschema compiles to check URIs, which no notebook has: 1.5 of its 2 s.
PAPERMILL = [
    *(sys.executable, "-c"),
    "import sys; sys.modules['rfc3987_syntax'] = None; from papermill.cli import papermill; papermill()",
]

FAKE_PACKAGE = Path(__file__).parents[1] / "fake_package"

# Quickstart-sized: 12 cases, 2 repeats.
FAKE_SWEEP = """
question: Does the machinery hold?
model: {model}
launches: {{fake: {{args: {{max_model_len: 4096}}{more}}}}}
benchmarks:
  - first_request: {{max_tokens: 8}}
  - serve: {{max_concurrency: [1, 2, 4, 8], lengths: [[16, 8], [32, 4]], num_prompts: 2 per concurrency}}
  - latency: {{batch_size: [1, 8], lengths: [[16, 8]]}}
  - throughput: {{num_prompts: 8, lengths: [[16, 8]]}}
repeats: 2
again: 0
"""


# A tenth of that, for what does not depend on the size.
SMALL_SWEEP = """
question: Does the machinery hold?
model: {model}
launches: {{fake: {{args: {{max_model_len: 4096}}{more}}}}}
benchmarks:
  - serve: {{max_concurrency: [1, 2], lengths: [[16, 8]], num_prompts: 2 per concurrency}}
repeats: 2
again: 0
"""

# The same with an engine as well.
SMALL_SWEEP_OF_BOTH = SMALL_SWEEP.replace(
    "repeats: 2", "  - latency: {{batch_size: 1, lengths: [[16, 8]]}}\nrepeats: 2"
)


def benchbook(folder, *words, fake=False, stdout=subprocess.PIPE, **environment):
    """Start the command line in `folder`, marked so that all its processes can be found, and return the process."""
    env = {**os.environ, "BENCHBOOK_TEST": str(folder), "BENCHBOOK_STATE_DIR": str(folder / "state"), **environment}
    if fake:
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(FAKE_PACKAGE), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "benchbook", *words],
        cwd=folder,
        env=env,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def write_fake_sweep(folder, more="", name="machinery", template=FAKE_SWEEP):
    """Write an experiment for the fake vllm, quickstart-sized by default, and return its file name."""
    model = folder / "model"
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text("{}")
    (folder / f"{name}.yaml").write_text(template.format(model=model, more=more))
    return f"{name}.yaml"


def read_until(process, is_it):
    """Return the output up to the first line for which `is_it` holds, that line included."""
    text = ""
    for line in process.stdout:
        text += line
        if is_it(line):
            return text
    raise AssertionError(f"ended before: {text}")


def marked_processes(marker):
    """Return the processes whose environment holds `marker`: all that a test started, but for the heir of this process."""
    found, heir = [], ["-m", "benchbook.hosts.process.heir", str(os.getpid())]  # it lives as long as its owner does
    for process in psutil.process_iter():
        try:
            is_marked = process.environ().get("BENCHBOOK_TEST") == str(marker)
            if is_marked and process.status() != psutil.STATUS_ZOMBIE and process.cmdline()[2:5] != heir:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def wait_nothing_left(marker, limit_s=15.0):
    """Return the processes of `marker` that are still alive after at most `limit_s`."""
    deadline = time.monotonic() + limit_s
    while (left := marked_processes(marker)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def assert_report_is_made_up_for(process, store, again):
    """See that a run of four repeats, given a folder in its report's way, is summed up, and that `again()` then writes it.

    Returns what the first one said.
    """
    in_the_way = store.run_dir / "compare.ipynb"
    in_the_way.mkdir()
    text = process.communicate(timeout=300)[0]
    assert process.returncode == FAILED and "Traceback" not in text, text
    assert "of 4 repeats" in text and "Report  " not in text and "Is a directory" in text.splitlines()[-1], text
    in_the_way.rmdir()
    last = again()
    said = last.communicate(timeout=60)[0]
    assert last.returncode in ALL_MEASURED and store.report_path.is_file() and "[1/4]" not in said, said
    return text


def assert_values_equal_the_raw_file(folder):
    """Compare the numbers of a repeat's record and of its raw file as they are written, digit by digit."""
    record = json.loads((folder / "record.json").read_text(), parse_float=str)["values"]
    raw = json.loads((folder / "raw.json").read_text(), parse_float=str)
    names = {
        "mean_ttft_ms": "mean_ttft_ms",
        "p99_e2el_ms": "p99_e2el_ms",
        "output_throughput_tok_s": "output_throughput",
        "completed": "completed",
        "avg_batch_latency_s": "avg_latency",
        "ttft_ms": "ttft_ms",
    }
    shared = {ours: theirs for ours, theirs in names.items() if ours in record and theirs in raw}
    assert shared or "tokens_per_second" in raw
    assert all(record[ours] == raw[theirs] for ours, theirs in shared.items())
    assert "tokens_per_second" not in raw or record["total_throughput_tok_s"] == raw["tokens_per_second"]
