"""A server that somebody else owns is looked at before it is measured."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable

import pytest
from benchbook.errors import HostDiedError, IdentityError
from benchbook.hosts.served import attach
from benchbook.hosts.server import VllmServer

Make = Callable[..., VllmServer]


def test_attaching_takes_the_key_from_the_environment_and_the_first_name(
    fake_server: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_server() as server:
        monkeypatch.setenv("OPENAI_API_KEY", server.api_key)
        attached = attach(server.base_url + "/v1/")
        assert attached.base_url == server.base_url
        assert attached.served_name == server.model_files.path
        assert "vllm:generation_tokens_total" in attached.metrics_text()
        attached.check_alive()
        assert server.is_alive()


def test_a_model_that_is_not_served_is_refused_with_the_names_there_are_and_the_nearest(fake_server: Make) -> None:
    server = fake_server(served_names=["Qwen/Qwen3-0.6B", "other"])
    server.start()
    while not server.is_healthy():
        time.sleep(0.02)
    with pytest.raises(IdentityError, match="serves Qwen/Qwen3-0.6B, other") as refusal:
        attach(server.base_url, "Qwen/Qwen3-0.6", api_key=server.api_key)
    assert refusal.value.cause.hint == "did you mean 'Qwen/Qwen3-0.6B'?"


def test_a_wrong_key_is_named_as_the_likely_reason(fake_server: Make) -> None:
    with fake_server() as server, pytest.raises(IdentityError, match="401") as refusal:
        attach(server.base_url, api_key="wrong")
    assert "OPENAI_API_KEY" in refusal.value.cause.hint


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
