"""A sweep measures a server that somebody else runs beside launches of its own, and does nothing to it but ask."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from benchbook.hosts import http
from benchbook.hosts.process.ports import reserve_port
from benchbook.hosts.way import Way
from benchbook.records.store import Store
from benchbook.terms.exit_codes import BAD_INPUT, INTERRUPTED
from fake_vllm import PROGRAM
from integration.sweeps import ALL_MEASURED, benchbook, read_until
from recording_proxy import recording_proxy

KEY, TEAM = "a-key-of-theirs-1234", "the-team-that-asks-99"
FILE = """
question: Is theirs as fast as ours?
model: {model}
launches:
  theirs: {{attach: 127.0.0.1:{port}, api_key_env: THEIRS, headers_env: {{X-Team: TEAM}}{more}}}
{launches}benchmarks:
  - first_request: {{max_tokens: 4}}
  - serve: {{max_concurrency: 2, lengths: [[16, 8]], num_prompts: 4}}
repeats: {repeats}
again: 0
"""
OURS = "  ours: {args: {max_model_len: 4096}}\n"
ASKED = {"/v1/models", "/version", "/health", "/metrics"}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Yield the port of a server that benchbook did not start; its process; its model's folder."""
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "config.json").write_text("{}")
    reservation = reserve_port("127.0.0.1")
    port = reservation.getsockname()[1]
    words = ["serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--served-model-name", "theirs"]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen([*PROGRAM, *words], env={"BENCHBOOK_API_KEY": KEY, "PATH": ""}, stdout=log)
    try:
        wait_for(port)
        reservation.close()
        yield port, process, folder
    finally:
        process.kill()
        process.wait()


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            return http.get(f"http://127.0.0.1:{port}", "/health", timeout_s=5)
        except OSError:
            time.sleep(0.1)
    raise AssertionError("it never came")


def write(folder: Path, port: int, model: Path, *, more: str = "", launches: str = "", repeats: int = 1) -> str:
    (folder / "theirs.yaml").write_text(
        FILE.format(port=port, model=model, more=more, launches=launches, repeats=repeats)
    )
    return "theirs.yaml"


def run(folder: Path, *words: str, **environment: str) -> tuple[int, str]:
    process = benchbook(folder, *words, fake=True, **{"THEIRS": KEY, "TEAM": TEAM, **environment})
    output = process.communicate(timeout=300)[0]
    return process.returncode, output


def test_an_attached_server_takes_turns_with_one_of_ours_and_is_only_asked(theirs, tmp_path):
    port, process, model = theirs
    with recording_proxy(port) as proxy:
        file = write(tmp_path, proxy.port, model, launches=OURS, repeats=2)
        code, output = run(tmp_path, "run", file)
        assert code in ALL_MEASURED, output
        seen, sent = proxy.requests, b"".join(proxy.seen)
    assert process.poll() is None
    assert {path.partition("?")[0] for method, path in seen if method == "GET"} <= ASKED
    assert {request for request in seen if request[0] != "GET"} == {("POST", "/v1/completions")}
    posts = sum(method == "POST" for method, _ in seen)
    assert sent.count(f"X-Team: {TEAM}".encode()) >= posts > 0
    store = Store(tmp_path / "results" / "theirs" / "latest")
    records = [record for record in store.records() if record.identity.launch == "theirs"]
    assert len(records) == 4 and all(record.is_measured for record in records)
    for record in records:
        assert record.host.attached.address == f"http://127.0.0.1:{proxy.port}" and not record.host.argv
        assert record.host.attached.headers == ("X-Team",) and record.host.model == "theirs"
    serve = next(record for record in records if record.benchmark == "serve")
    assert "not ours to read" in serve.not_looked["compiled_while_measuring"], "the client's own log is no server's"
    assert serve.host.counters["requests_ended_by_length"] == serve.values["completed"] == 4
    texts = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(secret in text for secret in (KEY, TEAM) for text in texts)
    assert "theirs" in (store.run_dir / "report.html").read_text()
    facts = json.loads((store.run_dir / "run.json").read_text())["launches"]["theirs"]
    assert facts["attached"]["attach"] == f"http://127.0.0.1:{proxy.port}"


def test_what_keeps_it_from_being_measured_is_told_before_anything_starts(theirs, tmp_path):
    port, _, model = theirs
    offline = "launches: {a: {attach: h, model: m}}\nbenchmarks: [{latency: {batch_size: 1, lengths: [8, 4]}}]\n"
    for number, (text, environment, why) in enumerate(
        [
            (f"question: q\n{offline}", {}, "latency and throughput load an engine of their own"),
            (None, {"THEIRS": ""}, "THEIRS is not set in the environment"),
            (None, {"THEIRS": "another-key-1234"}, "does not take the key in THEIRS: set THEIRS to its key"),
        ]
    ):
        file = write(tmp_path, port, model)
        if text:
            (tmp_path / file).write_text(text)
        code, output = run(tmp_path, "run", file, **environment)
        assert (code, why in output) == (BAD_INPUT, True), output
        assert len([line for line in output.splitlines() if ".yaml:" in line]) == 1, output
        assert not (tmp_path / "results").exists(), number
    assert "another-key-1234" not in output


def test_a_plan_says_how_much_is_sent_where_and_asks_nobody(theirs, tmp_path):
    port, _, model = theirs
    with recording_proxy(port) as proxy:
        code, output = run(tmp_path, "plan", write(tmp_path, proxy.port, model, launches=OURS, repeats=2))
        assert code == 0 and proxy.seen == []
    said = f"http://127.0.0.1:{proxy.port} gets 14 requests (128 prompt and 64 output tokens), up to 2 in flight; besides, 8"
    assert said in output and "'theirs' runs already, on this machine" in output
    assert "(theirs runs all the time)" in output


def test_load_for_another_machine_is_sent_only_to_whom_somebody_agreed_and_an_interrupted_run_leaves_it_as_it_was(
    theirs, tmp_path
):
    port, process, model = theirs
    file = write(tmp_path, port, model, repeats=20)
    (tmp_path / file).write_text((tmp_path / file).read_text().replace("127.0.0.1:", "0.0.0.0:"))
    code, output = run(tmp_path, "run", file)
    assert code == BAD_INPUT and f"add --yes to do it: http://0.0.0.0:{port} gets 140 requests" in output
    assert not (tmp_path / "results").exists()
    ours = benchbook(tmp_path, "run", file, "--yes", fake=True, THEIRS=KEY, TEAM=TEAM)
    read_until(ours, lambda line: "[ 2/40]" in line)
    ours.send_signal(signal.SIGINT)
    output = ours.communicate(timeout=120)[0]
    assert ours.returncode == INTERRUPTED, output
    assert process.poll() is None
    assert http.get(f"http://127.0.0.1:{port}", "/v1/models", timeout_s=5, way=Way(KEY))[0] == 200
    assert "--yes" in json.loads((tmp_path / "results" / "theirs" / "latest" / "run.json").read_text())["command"]
