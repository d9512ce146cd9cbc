"""The warm engine with the real vLLM on the CPU and the embedded model; the warm client is in test_server.py."""

import json
import threading
from pathlib import Path

import pytest
from benchbook.hosts.engine import VllmEngine
from benchbook.hosts.process import processes
from benchbook.hosts.vllm.command import flags
from benchbook.measure.client.given import GIVEN_FILE, Given
from benchbook.measure.client.stretch import Stretch
from benchbook.measure.client.tasks import COMMAND_LINE, WARM, run_bench
from benchbook.records.frozen import FrozenHeader, FrozenRequest, sha256_of, write_frozen
from rows import IS_FULL
from sweeps import FORMS, IN_ONE, ONE_PROCESS_ENV

pytestmark = pytest.mark.integration

FORM = "as it comes" if IS_FULL else IN_ONE
NUM_PROCESSES = {"as it comes": 3, IN_ONE: 1}  # the program, the engine core, its worker
ARGS, ENV = FORMS[FORM]
FLAGS = flags(ARGS)
LIMIT_S = 180.0


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with VllmEngine("tiny", args=ARGS, env=ENV, log_dir=tmp_path_factory.mktemp("engine")) as engine:
        assert len(loaded := engine.tree_pids()) >= NUM_PROCESSES[FORM]
        assert set(loaded) <= set(processes.marked_pids(engine.process.host_id))
        yield engine
        at_the_end = engine.tree_pids()
    assert not [pid for pid in (*loaded, *at_the_end) if Path(f"/proc/{pid}").exists()]


def run(argv, folder, socket_path, env=ENV, **more):
    """Run `vllm bench *argv` and return how it went, its console lines and its result file."""
    lines, raw_path = [], folder / "raw.json"
    run = run_bench(
        [*argv, "--output-json", str(raw_path)] if argv[0] != "serve" else argv,
        socket_path=socket_path,
        env=env,
        on_line=lines.append,
        log_path=folder / "bench.log",
        limit_s=LIMIT_S,
        **more,
    )
    return run, lines, json.loads(raw_path.read_text()) if raw_path.exists() else None


def latency(engine, *flags, num_iters=3):
    return [
        "latency",
        "--model",
        engine.model_files.path,
        "--input-len",
        "32",
        "--output-len",
        "8",
        "--batch-size",
        "2",
        "--num-iters-warmup",
        "1",
        "--num-iters",
        str(num_iters),
        *(flags or FLAGS),
    ]


RANDOM = ("--dataset-name", "random", "--random-input-len", "32", "--random-output-len", "8")


def throughput(engine, seed, data=RANDOM):
    return [
        "throughput",
        "--model",
        engine.model_files.path,
        *data,
        "--num-prompts",
        "16",
        "--seed",
        str(seed),
        *FLAGS,
    ]


def test_official_benchmarks_run_task_after_task_on_one_engine_and_its_prefix_cache_is_reset(engine, tmp_path):
    for num_iters in (3, 5):
        how, lines, raw = run(latency(engine, num_iters=num_iters), tmp_path, engine.socket_path, seed=1)
        assert (how.exit_code, how.way) == (0, WARM)
        assert len(raw["latencies"]) == num_iters
        assert f"Avg latency: {raw['avg_latency']} seconds" in lines
        assert "Warming up..." in lines
    how, lines, raw = run(throughput(engine, seed=3), tmp_path, engine.socket_path)
    assert (how.exit_code, how.way) == (0, WARM)
    assert (raw["num_requests"], raw["total_num_tokens"]) == (16, 16 * (32 + 8))
    assert "Total num output tokens:  128" in lines
    assert engine.log_text().count("init engine") == 1
    # Each takes its turn after the reset that the one before it had.
    assert engine.log_text().count("Successfully reset prefix cache") >= 2


def test_throughput_is_given_the_very_requests_of_a_frozen_file(engine, tmp_path):
    requests = [
        FrozenRequest(prompt=(5, *range(20, 40 + at)), input_tokens=21 + at, output_tokens=3 + at) for at in range(18)
    ]
    header = FrozenHeader(name="it", requests=18, distinct=18, seed=0, spec={})
    write_frozen(tmp_path / "it.jsonl.gz", header, requests)
    path = str(tmp_path / "it.jsonl.gz")
    given = Given(Stretch(path, 0, 16), Stretch(path, 16, 2), tmp_path / GIVEN_FILE)
    argv = [*throughput(engine, 3, given.words()), "--num-warmups", "2"]
    how, lines, _ = run(argv, tmp_path, engine.socket_path, stretch=given)
    assert (how.exit_code, how.way) == (0, WARM) and "Warming up with 2 requests..." in lines
    noted = given.notes()
    assert noted["sha256"] == sha256_of(requests[:16])
    assert noted["counted_tokens"] == noted["sent_tokens"] == [21 + at for at in range(16)]
    assert noted["block_tokens"] and noted["hit_tokens"] is not None
    asked = sum(one.output_tokens for one in requests[:16])
    assert f"Total num output tokens:  {asked}" in lines


def test_an_abandoned_task_frees_the_engine_for_the_next(engine, tmp_path):
    cancel = threading.Event()

    def stop_in_mid_measurement(line):
        if line.startswith("Bench iterations"):
            cancel.set()

    how = run_bench(
        latency(engine, num_iters=10_000),
        socket_path=engine.socket_path,
        env=ENV,
        on_line=stop_in_mid_measurement,
        log_path=tmp_path / "bench.log",
        limit_s=LIMIT_S,
        cancel=cancel,
    )
    assert how.exit_code < 0
    how, _, raw = run(latency(engine), tmp_path, engine.socket_path)
    assert (how.exit_code, len(raw["latencies"])) == (0, 3)
    assert how.wall_s < 30.0


@pytest.mark.skipif(not IS_FULL, reason="make test-full; of the fake vllm in test_tasks.py")
def test_a_task_with_other_engine_arguments_goes_by_the_command_line(engine, tmp_path, monkeypatch):
    for name, value in ONE_PROCESS_ENV.items():  # of the command line's process: the task says nothing of them
        monkeypatch.setenv(name, value)
    others = [*FLAGS[:-1], "--enable-prefix-caching", "--distributed-executor-backend", "uni"]
    how, lines, raw = run(latency(engine, *others), tmp_path, engine.socket_path)
    assert (how.exit_code, how.way) == (0, COMMAND_LINE)
    assert "enable_prefix_caching: False, True" in how.reason
    assert lines[0] == f"benchbook: by the plain command line, since {how.reason}"
    assert len(raw["latencies"]) == 3
