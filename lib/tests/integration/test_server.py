"""The real vLLM on the CPU, with the embedded model: started once, asked, watched and ended."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from benchbook.hosts.attached import attach
from benchbook.hosts.model.files import resolve_model
from benchbook.hosts.process import processes, registry
from benchbook.hosts.scrape import counter_delta, has_prefix_cache, parse_counters
from benchbook.hosts.server import VllmServer, find_server
from benchbook.hosts.vllm.counters import COUNTERS
from benchbook.hosts.watch import StallWatch
from benchbook.judge.group import judged_together
from benchbook.measure.client.tasks import COMMAND_LINE, WARM
from benchbook.measure.client.warm import WarmClient
from benchbook.measure.serve import bench_serve
from benchbook.measure.servers import model_card
from benchbook.plan.workloads import ServeWorkload
from benchbook.records.handover import GuardItems, Handover
from benchbook.terms.errors import HostStartError
from crowded import MODEL, SECOND, SHORTER, crowded_shell
from routes import of_sources
from rows import IS_FULL, rows
from sweeps import FORMS, IN_ONE
from test_engine import run

pytestmark = pytest.mark.integration

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
# Written out, and not read from the code under test: whoever opens one more has to say so here.
MEANT_TO_BE_OPEN = {"/health", "/ping", "/version", "/metrics", "/tokenize", "/detokenize"}


@pytest.fixture(scope="module", params=rows(FORMS, quick=[IN_ONE]))
def server(
    request: pytest.FixtureRequest, hub: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VllmServer]:
    """Yield one ready server for all tests here, started in a shell with everything in the way; they leave it as they find it."""
    (args, env), folder = FORMS[request.param], tmp_path_factory.mktemp("server")
    # Of the second of two commits, whose longest sequence is its own.
    args = {name: value for name, value in args.items() if name != "max_model_len"}
    args |= {"enable_mfu_metrics": True, "revision": SECOND}
    server = VllmServer(MODEL, args=args, env={**env, **hub}, name="shared", log_dir=folder / "log", keep=True)
    with crowded_shell(folder) as unused:
        server.__enter__()
        assert unused.asked == []
    yield server
    server.stop()


@pytest.fixture
def client(vllms_client: WarmClient) -> WarmClient:
    """Return a warm worker with vLLM's own client."""
    return vllms_client


def bearer(server: VllmServer) -> dict[str, str]:
    """Return the header that opens a server."""
    return {"Authorization": f"Bearer {server.api_key}"}


def handshake(server: VllmServer, path: str) -> int:
    """Return the status of the answer to whoever wants a websocket without a key."""
    wants = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{wants}AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode())
        return int(connection.recv(64).split()[1])


def completion(server: VllmServer, **body: object) -> requests.Response:
    """Return the answer to one request for eight tokens."""
    request = {"model": server.served_name, "prompt": "w5 w6 w7", "max_tokens": 8, "ignore_eos": True, **body}
    return requests.post(f"{server.base_url}/v1/completions", json=request, headers=bearer(server), timeout=30)


def test_the_revision_that_is_asked_for_is_served_and_recorded(server: VllmServer) -> None:
    assert model_card(server).max_model_len == server.facts.max_model_len == SHORTER
    assert server.model_files.commit == SECOND
    assert f"--revision {SECOND}" in " ".join(server.argv)


def test_both_names_answer_and_a_word_is_a_token(server: VllmServer) -> None:
    for name in (server.served_name, server.model_files.path):
        answer = completion(server, model=name).json()
        assert answer["usage"] == {**answer["usage"], "prompt_tokens": 3, "completion_tokens": 8}
        assert len(answer["choices"][0]["text"].split()) == 8


def test_without_the_key_no_endpoint_answers_but_those_that_are_meant_to_be_open(server: VllmServer) -> None:
    routes = set(of_sources())
    if IS_FULL:  # what it takes to import vLLM once more
        script = Path(__file__).with_name("routes.py")
        done = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True)
        routes |= {(path, is_websocket) for path, is_websocket in json.loads(done.stdout.splitlines()[-1])}
    told = requests.get(f"{server.base_url}/openapi.json", headers=bearer(server), timeout=10).json()
    routes |= {(path, False) for path in told["paths"]}
    assert len(routes) > 70 and ("/v1/realtime", True) in routes and ("/invocations", False) in routes
    paths = sorted({re.sub(r"{[^}]*}", "x", path) for path, _ in routes} | {"/metrics/x", "/static/x", "/", "/nobody"})
    answers = {
        (method, path): requests.request(method, server.base_url + path, timeout=10).status_code
        for path in paths
        for method in METHODS
    }
    assert {path for (_, path), status in answers.items() if status != 401} == MEANT_TO_BE_OPEN
    for path in ("/health", "/ping", "/version", "/metrics"):
        assert answers["GET", path] == 200
    assert {handshake(server, path) for path in [*paths, "/v1/realtime"] if path not in MEANT_TO_BE_OPEN} == {401}
    server.check_alive()


def test_a_guards_items_are_answered_beside_the_load_that_was_measured(
    server: VllmServer, client: WarmClient, tmp_path: Path
) -> None:
    """The model's weights are random: that it is right is luck, that each item is answered and scored is not."""
    rows = [{"question": f"w{number} w7", "answer": "w9", "max_tokens": 4} for number in range(4, 10)]
    rows += [{"question": f"w{number} w7", "choices": ["w8", "w9 w8", "w6"], "answer": 1} for number in range(4, 10)]
    (tmp_path / "items.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    items = GuardItems(path=str(tmp_path / "items.jsonl"), sha256="a" * 64, margin=0.01)
    workload = ServeWorkload(
        input_len_tokens=16, output_len_tokens=16, max_concurrency=2, num_prompts=16, num_warmup_prompts=0
    )
    repeat = Handover(client_socket=client.socket_path, guard=items)
    record = bench_serve(server, workload, record_path=tmp_path / "record.json", repeat=repeat).record
    told = record.guard
    assert told.answered == len(told.marks) == 12, told.why_not
    assert all(value is not None and value < 0 for value in told.logprobs) and told.loads >= 1
    assert record.values["completed"] == 16 and record.host.counters["requests_ended_by_length"] == 16
    assert "guard_means_nothing" in [why.code for one in judged_together([record]) for why in one.reasons]
    assert not list(tmp_path.glob("guard.*json"))


def test_what_the_key_opens_answers_with_it_and_makes_no_text_without(server: VllmServer) -> None:
    body = {"model": server.served_name, "prompt": "w5 w6", "max_tokens": 4}
    for key, statuses in ({}, (401, 401, 200)), (bearer(server), (200, 200, 200)):
        for path, status in zip(("/invocations", "/v1/completions", "/tokenize"), statuses, strict=True):
            answer = requests.post(server.base_url + path, json=body, headers=key, timeout=30)
            assert answer.status_code == status, (path, answer.text)
    assert requests.get(f"{server.base_url}/v1/models", headers={"Authorization": "Bearer x"}).status_code == 401


def test_the_key_is_not_in_the_log_the_command_line_or_the_registry(
    server: VllmServer, session_state_dir: Path
) -> None:
    texts = [server.log_path.read_text(), *map(processes.command_of, server.process.tree_pids())]
    texts += [path.read_text() for path in session_state_dir.rglob("*.json")]
    assert len(texts) > 4
    assert not any(server.api_key in text for text in texts)


def test_every_process_of_the_tree_carries_the_marker(server: VllmServer) -> None:
    tree = server.process.tree_pids()
    assert len(tree) >= 2  # API server, engine core; its worker, where that is a process, see test_engine.py
    assert set(tree) <= set(processes.marked_pids(server.process.host_id))


def test_the_listener_is_ours_and_a_kept_server_is_found_with_its_key(server: VllmServer) -> None:
    server.check_identity()
    found = find_server("shared")
    assert (found.pid, found.served_name, found.api_key) == (server.pid, server.served_name, server.api_key)
    attached = attach(server.base_url, server.model_files.path, server.api_key)
    assert attached.version == server.version


def test_the_log_tells_phases_and_capacity(server: VllmServer) -> None:
    facts = server.facts
    assert facts.kv_cache_gib == 1.0
    assert facts.kv_cache_tokens > 100_000
    assert facts.dtype == "float32"
    phases_s = [facts.imports_s, facts.config_s, facts.engine_init_s, facts.weights_s, facts.warm_up_s, facts.api_s]
    assert None not in phases_s
    assert server.ready_s / 2 < sum(phases_s) < server.ready_s * 1.5 + 3  # stamps have whole seconds


def test_the_counters_grow_by_what_was_asked_for(server: VllmServer) -> None:
    before = parse_counters(server.metrics_text(), COUNTERS)
    completion(server)
    growth = counter_delta(before, parse_counters(server.metrics_text(), COUNTERS))
    assert growth["generation_tokens"] == 8
    assert growth["prompt_tokens"] == 3
    assert growth["requests_ended_by_length"] == 1
    assert growth["estimated_flops_per_gpu"] > 0
    assert has_prefix_cache(server.metrics_text(), COUNTERS) is not None


def test_a_watch_over_real_work_raises_no_alarm_and_costs_little(server: VllmServer) -> None:
    with StallWatch(server, limit_s=12.0) as watch:
        for _ in range(4):
            completion(server, max_tokens=32)
    assert watch.cause is None


def bench_serve_argv(server: VllmServer, folder: Path, name: str) -> list[str]:
    """Return a small `vllm bench serve` on the server, with a result file of that name."""
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
        "--tokenizer",
        resolve_model("tiny").path,
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


def test_the_warm_client_writes_the_official_file_of_the_command_line(
    server: VllmServer, client: WarmClient, tmp_path: Path
) -> None:
    env = {"OPENAI_API_KEY": server.api_key, "no_proxy": "127.0.0.1"}
    results, prefixes = [], set()
    ways = [("one.json", client.socket_path), ("two.json", client.socket_path)]
    if IS_FULL:  # the command line takes seconds to import vLLM; test_sent_requests.py has it in `make test` as well
        ways.append(("three.json", None))
    for name, socket_path in ways:
        how, lines, _ = run(bench_serve_argv(server, tmp_path, name), tmp_path, socket_path, env=env)
        assert (how.exit_code, how.way) == (0, WARM if socket_path else COMMAND_LINE)
        assert "Successful requests:                     8" in lines
        prefixes.update(re.findall(r"request_id_prefix='(\S+)'", lines[0] + lines[1]))
        results.append(json.loads((tmp_path / name).read_text()))
    assert [list(result) for result in results] == [list(results[-1])] * len(ways)
    assert [
        (result["completed"], result["total_input_tokens"], result["total_output_tokens"]) for result in results
    ] == [(8, 8 * 32, 8 * 8)] * len(ways)
    assert all(result["errors"] == [""] * 8 for result in results)
    assert len(prefixes) == len(ways)  # each case names its requests anew, as a process of its own does


def test_the_warm_client_forks_from_a_process_without_threads_of_its_own(client: WarmClient) -> None:
    # OpenBLAS ends its threads before a fork; whatever else had started one would still be there.
    assert len(os.listdir(f"/proc/{client.pid}/task")) == 1


@pytest.mark.skipif(not IS_FULL, reason="make test-full; what vLLM's parser says of it is read in test_flag_forms.py")
def test_a_wrong_flag_is_a_start_error_with_the_nearest_known_one(tmp_path: Path) -> None:
    with (
        pytest.raises(HostStartError) as failure,
        VllmServer("tiny", args={"max_model_length": 4096}, log_dir=tmp_path),
    ):
        pass
    assert failure.value.cause.code == "unknown_flag"
    assert "--max-model-len" in failure.value.cause.hint


def test_stopping_leaves_nothing_alive_within_seconds(server: VllmServer) -> None:
    # The last test of this module: it ends what the others share.
    tree = server.process.tree_pids()
    start_s = time.monotonic()
    server.stop()
    assert time.monotonic() - start_s < 15
    assert not [pid for pid in tree if (stat := processes.read_stat(pid)) and stat.state != "Z"]
    assert processes.marked_pids(server.process.host_id) == []
    assert server.process.host_id not in [entry.host_id for entry in registry.read_entries()]
