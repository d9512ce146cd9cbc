"""vLLM's own client trusts the proxies of a shell; measured by benchbook, nothing of it comes to one."""

from __future__ import annotations

import json

import pytest
from benchbook.hosts.model.files import resolve_model
from benchbook.measure.client.tasks import COMMAND_LINE, WARM, run_bench
from benchbook.measure.client.warm import WarmClient
from benchbook.measure.serve import bench_serve
from benchbook.measure.servers import open_server
from benchbook.plan.workloads import ServeWorkload
from benchbook.records.handover import Handover
from benchbook.records.record import Identity
from odd_server import odd_server
from rows import IS_FULL, rows
from sweeps import ALL_MEASURED, ONE_PROCESS_ARGS, ONE_PROCESS_ENV, benchbook

pytestmark = pytest.mark.integration

WORKLOAD = ServeWorkload(
    input_len_tokens=5, output_len_tokens=6, max_concurrency=2, num_prompts=6, num_warmup_prompts=0
)
SWEEP = {
    "question": "Does anything go through the proxy?",
    "model": {"path": "tiny"},
    "launches": {"tiny": {"args": ONE_PROCESS_ARGS, "env": ONE_PROCESS_ENV}},
    "benchmarks": [
        {"first_request": {"max_tokens": 8}},
        {"serve": {"max_concurrency": [2], "lengths": [[16, 8]], "num_prompts": 8}},
        {"latency": {"batch_size": 1, "lengths": [[16, 8]], "num_iters": 3}},
    ],
    "repeats": 1,
    "again": 0,
}


# This machine by an address that no shell excepts, and by the usual one.
@pytest.mark.parametrize("host", rows(["127.0.0.2", "127.0.0.1"], quick=1))
def test_vllms_client_goes_past_the_proxy_which_by_itself_it_would_use(proxy, host, tmp_path):
    with odd_server(root=resolve_model("tiny").path, host=host) as url, WarmClient(log_dir=tmp_path) as client:
        server = open_server(url)
        ways = {
            WARM: Handover(client_socket=client.socket_path),
            COMMAND_LINE: Handover(identity=Identity(case_id="a")),
        }
        for way, repeat in ways.items():
            record = bench_serve(server, WORKLOAD, record_path=tmp_path / way / "record.json", repeat=repeat).record
            assert record.way == way and record.values["completed"] == WORKLOAD.num_prompts
            assert proxy.asked == []
        by_itself = {"HF_HUB_OFFLINE": "1", "no_proxy": "", "NO_PROXY": ""}
        told = {"on_line": None, "log_path": tmp_path / "own.log", "limit_s": 120}
        run_bench(record.argv[2:], socket_path=client.socket_path, env=by_itself, **told)
    assert sum(line.startswith(f"POST {url}/v1/completions") for line in proxy.asked) >= WORKLOAD.num_prompts


# Of the quickstart, in a shell whose proxies speak HTTP, see test_readme.py.
@pytest.mark.skipif(not IS_FULL, reason="make test-full")
@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_sweep_of_the_real_vllm_sends_nothing_to_the_proxy(proxy, scheme, tmp_path):
    (tmp_path / "sweep.yaml").write_text(json.dumps(SWEEP))
    process = benchbook(tmp_path, "run", "sweep.yaml", **proxy.variables(scheme))
    text, _ = process.communicate(timeout=240)
    assert process.returncode in ALL_MEASURED, text
    assert proxy.asked == []
    assert ("ALL_PROXY of your shell is left out" in text) == (scheme == "socks5")
