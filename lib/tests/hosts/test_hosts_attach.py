"""A server that somebody else owns is looked at before it is measured."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from benchbook.hosts.attached import attach
from benchbook.hosts.process.address import server_url
from benchbook.hosts.server import VllmServer, find_server
from benchbook.hosts.vllm.counters import COUNTERS
from benchbook.measure.servers import host_facts, open_server
from benchbook.terms.errors import ExperimentError, HostDiedError, IdentityError

Make = Callable[..., VllmServer]


def elsewhere(server: VllmServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make `server` one that benchbook did not start: its registry is another."""
    monkeypatch.setenv("BENCHBOOK_STATE_DIR", str(tmp_path / "of somebody else"))


def test_attaching_takes_the_key_from_the_environment_and_the_first_name(
    fake_server: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with fake_server() as server:
        with monkeypatch.context() as patch:
            elsewhere(server, patch, tmp_path)
            patch.setenv("OPENAI_API_KEY", server.api_key)
            attached = attach(server.base_url + "/v1/")
            assert attached.base_url == server.base_url
            assert attached.served_name == server.model_files.path
            assert COUNTERS.names["generation_tokens"] in attached.metrics_text()
            attached.check_alive()
        assert server.is_alive()


@pytest.mark.parametrize("model", [None, "", "the path", "the name"])
def test_a_server_of_ours_needs_an_address_and_nothing_else(
    fake_server: Make, monkeypatch: pytest.MonkeyPatch, model: str | None
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of another service")
    with fake_server() as server:
        model = {"the path": server.model_files.path, "the name": server.model_files.name}.get(model, model)
        for address in (server.base_url, f"127.0.0.1:{server.port}", f"localhost:{server.port}/v1"):
            attached = attach(address, model)
            assert (attached.base_url, attached.api_key) == (server.base_url, server.api_key)
            assert attached.served_name == (model or server.served_name)


def test_the_record_of_a_server_of_ours_that_is_named_by_its_address_has_its_command(fake_server: Make) -> None:
    with fake_server({"args": {"max_num_seqs": 1}}) as server:
        assert list(host_facts(open_server(server.base_url)).argv) == list(server.argv)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("127.0.0.1:9999", "http://127.0.0.1:9999"),
        ("localhost:8000", "http://localhost:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        (" http://localhost:8000/v1/ ", "http://localhost:8000"),
        ("https://llm.example/team/v1", "https://llm.example/team"),
        ("127.0.0.1:8000/v1/chat/completions", "http://127.0.0.1:8000"),
        ("https://llm.example/team/v1/completions/", "https://llm.example/team"),
        ("http://h:1/v1/models", "http://h:1"),
        ("http://h:1/#f", "http://h:1"),
        ("h:1/docs#/default/create_completion", "http://h:1"),
        ("http://h:1/health", "http://h:1"),
        ("https://h/team/metrics/", "https://h/team"),
        ("h:1/openapi.json", "http://h:1"),
        ("h:1/v1/responses#x", "http://h:1"),
    ],
)
def test_an_address_is_taken_as_people_write_it(written: str, meant: str) -> None:
    assert server_url(written) == meant


@pytest.mark.parametrize("written", ["8000", "ftp://host:1", "http://", "", "http://host:port", "::1:8000:", "a b:80"])
def test_what_is_no_address_is_refused_in_one_line_that_shows_the_form(written: str) -> None:
    with pytest.raises(ExperimentError, match="^.*is no address of a server: .*http://127.0.0.1:8000$"):
        server_url(written)


def test_a_host_says_in_a_cell_who_it_is_and_where(fake_server: Make) -> None:
    server = fake_server()
    assert repr(server) == "<VllmServer 'model' not started>"
    with server:
        assert repr(server) == f"<VllmServer 'model' at {server.base_url}>"
        assert repr(attach(server.base_url)) == f"<AttachedServer {server.served_name!r} at {server.base_url}>"
        assert repr(find_server(str(server.port))) == f"<KeptServer {server.served_name!r} at {server.base_url}>"


def test_a_model_that_is_not_served_is_refused_with_the_names_there_are_and_the_nearest(fake_server: Make) -> None:
    server = fake_server(served_names=["Qwen/Qwen3-0.6B", "other"])
    server.start()
    while not server.is_healthy():
        time.sleep(0.02)
    with pytest.raises(IdentityError, match="serves Qwen/Qwen3-0.6B, other") as refusal:
        attach(server.base_url, "Qwen/Qwen3-0.6", api_key=server.api_key)
    assert refusal.value.cause.hint == "did you mean 'Qwen/Qwen3-0.6B'?"


def test_a_server_that_wants_a_key_is_told_from_no_server_and_says_what_to_set(
    fake_server: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with fake_server() as server:
        with pytest.raises(IdentityError, match="does not take the key that was given: set OPENAI_API_KEY"):
            attach(server.base_url, api_key="wrong")
        with monkeypatch.context() as patch:
            elsewhere(server, patch, tmp_path)
            with pytest.raises(IdentityError, match="a server is there .* but wants a key: set OPENAI_API_KEY"):
                attach(server.base_url)
            patch.setenv("VLLM_API_KEY", "wrong")
            with pytest.raises(IdentityError, match="does not take the key in VLLM_API_KEY"):
                attach(server.base_url)


def test_nobody_at_the_address_is_a_clear_error() -> None:
    with pytest.raises(IdentityError, match="no vLLM server answers at http://127.0.0.1:9"):
        attach("http://127.0.0.1:9")


def test_another_kind_of_web_server_is_not_taken_for_vllm() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(IdentityError, match="no vLLM server answers"):
            attach(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def test_an_attached_server_that_is_gone_is_reported_dead(fake_server: Make) -> None:
    with fake_server() as server:
        attached = attach(server.base_url, api_key=server.api_key)
    with pytest.raises(HostDiedError) as death:
        attached.check_alive()
    assert death.value.cause.code == "crashed"


@pytest.mark.parametrize(
    ("options", "named"),
    [({"args": {"max_model_len": 2048}}, "engine_args"), ({"env": {"A": "1"}, "keep": True}, "engine_env and keep")],
)
def test_what_is_for_a_server_started_here_is_refused_beside_the_address_of_another(options, named):
    with pytest.raises(ExperimentError, match=f"^{named} are for a server started here; the one at 127.0.0.1:9 runs"):
        open_server("127.0.0.1:9", **options)
