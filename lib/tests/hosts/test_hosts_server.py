"""A server is started, waited for, identified, watched and ended; the fake stands in for vLLM."""

from __future__ import annotations

import http.server
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from benchbook.cli import app
from benchbook.hosts import http as questions
from benchbook.hosts.process import ports, processes, registry
from benchbook.hosts.server import VllmServer, find_server
from benchbook.terms.errors import ExperimentError, HostDiedError, HostStartError, IdentityError

Make = Callable[..., VllmServer]


@pytest.fixture
def stranger() -> Iterator[int]:
    """Yield the port of a server that says it is healthy, and that nobody asked for."""

    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_server_is_ready_inside_the_with_and_gone_after_it(fake_server: Make) -> None:
    with fake_server(helpers=2) as server:
        server.check_alive()
        assert server.pid in server.process.tree_pids()
        assert len(processes.marked_pids(server.process.host_id)) == 4  # API server, two helpers, guardian
        assert 0 < server.ready_s < 10
    assert not server.is_alive()
    assert processes.marked_pids(server.process.host_id) == []


def test_the_facts_of_the_start_come_from_the_log(fake_server: Make) -> None:
    with fake_server() as server:
        assert server.facts.kv_cache_tokens == 65536
        assert server.facts.dtype == "bfloat16"


def test_progress_tells_what_the_start_is_doing(fake_server: Make) -> None:
    told: list[tuple[float, str]] = []
    with fake_server({"on_progress": lambda elapsed_s, phase: told.append((elapsed_s, phase))}, ready_after_s=0.2):
        pass
    assert told and told[-1][0] < 10
    assert {phase for _, phase in told} & {
        "importing vLLM",
        "starting the engine",
        "loading weights",
        "opening its port",
    }


def test_a_server_that_exits_early_reports_its_last_log_lines_and_the_cause(fake_server: Make) -> None:
    text = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    with pytest.raises(HostStartError, match="exited with code 1") as failure, fake_server(log_text=text, exit_code=1):
        pass
    assert failure.value.cause.code == "out_of_memory"
    assert text in str(failure.value)


def test_a_server_that_never_answers_is_late_and_is_ended(fake_server: Make) -> None:
    server = fake_server({"ready_timeout_s": 0.3}, never_ready=True)
    with pytest.raises(HostStartError, match="is late") as failure, server:
        pass
    assert failure.value.cause.code == "hung"
    assert "0.3 s" in failure.value.cause.evidence
    assert processes.marked_pids(server.process.host_id) == []


def test_a_start_that_is_interrupted_while_waiting_ends_the_server(fake_server: Make) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    server = fake_server({"on_progress": interrupt}, ready_after_s=5.0, helpers=1)
    server.start()
    with pytest.raises(KeyboardInterrupt):
        server.wait_ready()
    assert processes.marked_pids(server.process.host_id) == []


def test_a_program_that_does_not_exist_is_a_start_error_and_leaves_no_entry(fake_model: str, state_dir: Path) -> None:
    server = VllmServer(fake_model, program=["/no/such/vllm"])
    with pytest.raises(HostStartError, match="/no/such/vllm"), server:
        pass
    assert registry.read_entries() == []


def test_an_exception_in_the_with_block_ends_the_server(fake_server: Make) -> None:
    with pytest.raises(ZeroDivisionError), fake_server(helpers=1) as server:
        raise ZeroDivisionError
    assert processes.marked_pids(server.process.host_id) == []


def test_stopping_ends_an_engine_that_ignores_sigterm(fake_server: Make) -> None:
    server = fake_server(helpers=2, ignore_sigterm=True)
    server.start()
    server.wait_ready()
    server.stop(grace_s=0.1)
    assert processes.marked_pids(server.process.host_id) == []
    assert not server.is_alive()


def test_stopping_twice_or_before_the_start_does_nothing(fake_server: Make) -> None:
    server = fake_server()
    server.stop()
    with server:
        pass
    server.stop()


def test_a_server_killed_from_outside_is_reported_with_the_signal_and_its_helpers_are_gone(fake_server: Make) -> None:
    with fake_server(helpers=2) as server:
        os.kill(server.pid, signal.SIGKILL)
        assert server.process.wait(10.0) == -signal.SIGKILL
        assert processes.marked_pids(server.process.host_id) == []
        with pytest.raises(HostDiedError) as death:
            server.check_alive()
    assert death.value.cause.code == "killed_by_signal"
    assert "SIGKILL" in death.value.cause.evidence


def test_a_started_server_can_be_started_again_and_its_log_is_kept(fake_server: Make) -> None:
    server = fake_server()
    for _ in range(2):
        server.start()
        server.wait_ready()
        server.stop()
    assert server.log_path.read_text().count("Initializing a V1") == 2
    assert server._log.text().count("Initializing a V1") == 1


def test_the_api_key_is_random_and_stands_neither_in_argv_nor_log_nor_registry(
    fake_server: Make, state_dir: Path
) -> None:
    with fake_server() as server, fake_server() as other:
        assert server.api_key != other.api_key
        assert questions.get(server.base_url, "/v1/models", timeout_s=5)[0] == 401
        assert server.api_key not in str(server.argv) + str(server.env_overrides) + server.log_path.read_text()
        written = [path.read_text() for path in state_dir.rglob("*") if path.is_file()]
        assert written and not any(server.api_key in text for text in written)
        assert not any("_API_KEY" in text for text in written)


def test_the_registry_entry_is_closed_to_other_users(fake_server: Make) -> None:
    with fake_server() as server:
        path = registry.entry_path(server.process.host_id)
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_stranger_on_the_port_is_refused_and_named(fake_server: Make, stranger: int) -> None:
    with fake_server() as server:
        server.port = stranger
        with pytest.raises(IdentityError, match=f"port {stranger} is held by pid {os.getpid()}") as refusal:
            server.check_identity()
    assert "pytest" in str(refusal.value)


def test_a_server_whose_port_was_taken_starts_on_another_one(
    fake_server: Make, stranger: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Taken:
        def getsockname(self) -> tuple[str, int]:
            return "127.0.0.1", stranger

        def close(self) -> None:
            """Hold nothing."""

    reserve = ports.reserve_port
    answers = iter([Taken(), Taken()])
    monkeypatch.setattr(ports, "reserve_port", lambda host: next(answers, None) or reserve(host))
    with fake_server() as server:
        assert server.port != stranger


def test_a_port_taken_three_times_is_given_up(
    fake_server: Make, stranger: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Taken:
        def getsockname(self) -> tuple[str, int]:
            return "127.0.0.1", stranger

        def close(self) -> None:
            """Hold nothing."""

    monkeypatch.setattr(ports, "reserve_port", lambda host: Taken())
    with pytest.raises((IdentityError, HostStartError)) as failure, fake_server():
        pass
    assert failure.value.cause.code == "port_taken"


def test_a_reserved_port_is_given_to_nobody_else_and_can_be_listened_on() -> None:
    reservation = ports.reserve_port("127.0.0.1")
    port = reservation.getsockname()[1]
    with socket.socket() as plain, pytest.raises(OSError, match="in use"):
        plain.bind(("127.0.0.1", port))
    with reservation, socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()


def test_a_server_without_our_nonce_is_refused(fake_server: Make) -> None:
    with (
        pytest.raises(IdentityError, match="does not serve 'benchbook-") as refusal,
        fake_server(served_names=["gpt2"]),
    ):
        pass
    assert refusal.value.cause.code == "wrong_model"


@pytest.mark.skipif(not find_spec("vllm"), reason="there is no installed version to compare with")
def test_a_server_of_another_version_is_refused(fake_server: Make) -> None:
    with pytest.raises(IdentityError, match="answers as vLLM 0.1.0") as refusal, fake_server(version="0.1.0"):
        pass
    assert refusal.value.cause.code == "wrong_version"


def test_a_server_whose_engine_is_dead_is_not_healthy(fake_server: Make, complete: Callable[[VllmServer], int]) -> None:
    with fake_server(engine_dead_at_request=1) as server:
        assert complete(server) == 500
        with pytest.raises(HostDiedError, match="not healthy"):
            server.check_alive()


def test_a_kept_server_outlives_the_with_and_is_found_by_its_name_with_its_key(fake_server: Make) -> None:
    with fake_server({"keep": True, "name": "mine"}) as server:
        pass
    assert server.is_alive()
    found = find_server("mine")
    assert find_server(str(server.port)).host_id == find_server(server.base_url).host_id == found.host_id
    assert (found.base_url, found.served_name, found.api_key) == (server.base_url, server.served_name, server.api_key)
    assert found.facts.kv_cache_tokens == 65536
    found.check_alive()
    found.stop()
    assert processes.marked_pids(found.host_id) == []


def test_a_name_that_no_server_has_is_refused_with_the_names_there_are(fake_server: Make) -> None:
    with (
        fake_server({"name": "mine"}),
        pytest.raises(ExperimentError, match="no live server is called 'yours'; there is 'mine' at http"),
    ):
        find_server("yours")


def test_the_argv_of_a_started_server_is_what_its_process_has(fake_server: Make) -> None:
    with fake_server({"args": {"max_model_len": 4096}}) as server:
        assert processes.command_of(server.pid) == " ".join(server.argv)
        assert json.loads(registry.entry_path(server.process.host_id).read_text())["argv"] == server.argv
        assert "--max-model-len 4096 " in " ".join(server.argv)


def test_the_key_of_a_live_server_is_printed_when_it_is_asked_for_and_nowhere_else(
    fake_server: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    with fake_server({"name": "mine"}) as server:
        for which in ("mine", str(server.port), f"localhost:{server.port}"):
            with pytest.raises(SystemExit):
                app(["key", which])
            assert capsys.readouterr().out == server.api_key + "\n"
        assert server.api_key not in " ".join([*server.argv, repr(server), server.log_path.read_text()])


def test_a_server_keeps_idle_connections_longer_than_the_client_that_measures_it(
    fake_model: str, tmp_path: Path
) -> None:
    """Else, at low rates, it would close one at the very moment at which the next request is sent on it."""
    source = (Path(find_spec("vllm").origin).parent / "benchmarks" / "serve.py").read_text()  # without importing vLLM
    (of_the_client,) = set(re.findall(r"keepalive_timeout=(\d+)", source))
    kept_s = [
        VllmServer(fake_model, env=env, log_dir=tmp_path).env_overrides["VLLM_HTTP_TIMEOUT_KEEP_ALIVE"]
        for env in ({}, {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "7"})
    ]
    assert int(kept_s[0]) > int(of_the_client) and kept_s[1] == "7"


def test_a_server_of_ours_is_reached_over_loopback_and_nothing_lies_between(fake_model: str, tmp_path: Path) -> None:
    server = VllmServer(fake_model, log_dir=tmp_path)
    assert server.base_url.startswith("http://127.0.0.1:")
    assert server.argv[server.argv.index("--host") + 1] == "127.0.0.1"
