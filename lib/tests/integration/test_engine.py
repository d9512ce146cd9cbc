"""The warm workers with the real vLLM on the CPU and the embedded model."""

import json
import os
import re
import threading
from pathlib import Path

import pytest
from benchbook.hosts.engine import VllmEngine
from benchbook.hosts.server import VllmServer
from benchbook.hosts.vllm.command import flags
from benchbook.measure.client.tasks import COMMAND_LINE, WARM, run_bench
from benchbook.measure.client.warm import WarmClient
from sweeps import ARGS, ENV

pytestmark = pytest.mark.integration

FLAGS = flags(ARGS)
LIMIT_S = 180.0


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with VllmEngine("tiny", args=ARGS, env=ENV, log_dir=tmp_path_factory.mktemp("engine")) as engine:
        assert len(loaded := engine.tree_pids()) >= 3  # the program, the engine core, its worker
        yield engine
        at_the_end = engine.tree_pids()
    assert not [pid for pid in (*loaded, *at_the_end) if Path(f"/proc/{pid}").exists()]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with WarmClient(log_dir=folder) as client, VllmServer("tiny", args=ARGS, env=ENV, log_dir=folder) as server:
        yield server, client


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


def throughput(engine, seed):
    return [
        "throughput",
        "--model",
        engine.model_files.path,
        "--dataset-name",
        "random",
        "--random-input-len",
        "32",
        "--random-output-len",
        "8",
        "--num-prompts",
        "16",
        "--seed",
        str(seed),
        *FLAGS,
    ]


def test_official_benchmarks_run_task_after_task_on_one_engine(engine, tmp_path):
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


def test_the_prefix_cache_is_reset_after_each_task(engine, tmp_path):
    before = engine.log_text().count("Successfully reset prefix cache")
    for _ in range(2):
        run(throughput(engine, seed=3), tmp_path, engine.socket_path)
    run(latency(engine), tmp_path, engine.socket_path)  # takes its turn after the reset of the last one
    assert engine.log_text().count("Successfully reset prefix cache") >= before + 2


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


def test_a_task_with_other_engine_arguments_goes_by_the_command_line(engine, tmp_path):
    how, lines, raw = run(latency(engine, *FLAGS[:-1], "--enable-prefix-caching"), tmp_path, engine.socket_path)
    assert (how.exit_code, how.way) == (0, COMMAND_LINE)
    assert how.reason.endswith("enable_prefix_caching: False, True")
    assert lines[0] == f"benchbook: by the plain command line, since {how.reason}"
    assert len(raw["latencies"]) == 3


def serve(server, folder, name):
    return [
        "serve",
        "--backend",
        "openai",
        "--base-url",
        server.base_url,
        "--model",
        server.model_files.path,
        "--served-model-name",
        server.served_name,
        "--dataset-name",
        "random",
        "--random-input-len",
        "32",
        "--random-output-len",
        "8",
        "--num-prompts",
        "8",
        "--max-concurrency",
        "2",
        "--seed",
        "5",
        "--save-result",
        "--save-detailed",
        "--result-dir",
        str(folder),
        "--result-filename",
        name,
    ]


def test_the_warm_client_writes_the_official_file_of_the_command_line(server, tmp_path):
    server, client = server
    env = {"OPENAI_API_KEY": server.api_key}
    results, prefixes = [], set()
    for name, socket_path in (("one.json", client.socket_path), ("two.json", client.socket_path), ("three.json", None)):
        how, lines, _ = run(serve(server, tmp_path, name), tmp_path, socket_path, env=env)
        assert (how.exit_code, how.way) == (0, WARM if socket_path else COMMAND_LINE)
        assert "Successful requests:                     8" in lines
        prefixes.update(re.findall(r"request_id_prefix='(\S+)'", lines[0] + lines[1]))
        results.append(json.loads((tmp_path / name).read_text()))
    assert [list(result) for result in results] == [list(results[2])] * 3
    assert [
        (result["completed"], result["total_input_tokens"], result["total_output_tokens"]) for result in results
    ] == [(8, 8 * 32, 8 * 8)] * 3
    assert all(result["errors"] == [""] * 8 for result in results)
    assert len(prefixes) == 3  # each case names its requests anew, as a process of its own does


def test_the_warm_client_forks_from_a_process_without_threads_of_its_own(server):
    _, client = server
    # OpenBLAS ends its threads before a fork; whatever else had started one would still be there.
    assert len(os.listdir(f"/proc/{client.pid}/task")) == 1
