"""The door before a server's endpoints: who is let in, what stays open, and where a server without one may listen."""

from __future__ import annotations

import asyncio
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_vllm
import pytest
from benchbook.hosts import http
from benchbook.hosts.access import check_door
from benchbook.hosts.engines import VLLM
from benchbook.hosts.server import VllmServer
from benchbook.hosts.vllm.door import OPEN, Door
from benchbook.hosts.vllm.wing import DOOR_WORDS
from benchbook.hosts.way import Way
from benchbook.terms.errors import ExperimentError, HostStartError

Make = Callable[..., VllmServer]
INSIDE = "inside"


@pytest.fixture
def knock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that asks a door for a path; it returns INSIDE, or the messages of its answer."""
    monkeypatch.setenv("BENCHBOOK_API_KEY", "the-key")

    async def app(scope: dict[str, Any], receive: object, send: Callable) -> None:
        await send(INSIDE)

    door = Door(app)

    def ask(path: str, authorization: str = "", kind: str = "http", root: str = "", **more: Any) -> Any:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", b"x"), *([(b"authorization", authorization.encode())] if authorization else [])]
        headers += [(name.encode(), value.encode()) for name, value in more.pop("headers", {}).items()]
        scope = {"type": kind, "path": path, "root_path": root, "headers": headers, "method": "GET", **more}
        asyncio.run(door(scope, None, send))
        return INSIDE if sent == [INSIDE] else sent

    return ask


SHUT = ("/v1/models", "/invocations", "/", "", "/docs", "/health/", "//health", "/healthz", "/metrics/x", "/Health")
NO_KEYS = ("", "Bearer ", "Bearer the-ke", "Bearer the-keyy", "the-key", "Basic the-key")


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_without_the_key_every_path_but_the_open_ones_is_answered_401(knock: Callable[..., Any], kind: str) -> None:
    prefix = "websocket.http.response" if kind == "websocket" else "http.response"
    for path, authorization in itertools.product(SHUT, NO_KEYS):
        start, body = knock(path, authorization, kind)
        said = (start["type"], start["status"], body["type"])
        assert said == (f"{prefix}.start", 401, f"{prefix}.body"), (path, authorization)


@pytest.mark.parametrize("authorization", ["Bearer the-key", "bearer the-key", "BEARER the-key"])
def test_with_the_key_everything_is_let_in(knock: Callable[..., Any], authorization: str) -> None:
    for path in ("/v1/models", "/invocations", "/health", "/of-a-plugin"):
        assert knock(path, authorization) == INSIDE
        assert knock(path, authorization, "websocket") == INSIDE


def test_the_open_paths_are_open_below_a_root_path_too_and_nothing_else_is(knock: Callable[..., Any]) -> None:
    for path in OPEN:
        assert knock(path) == knock(f"/llm{path}", root="/llm") == knock(path, root="/llm") == INSIDE
    for path in ("/llm/v1/models", "/llm", "/other/health", "/llm/llm/health"):
        assert knock(path, root="/llm")[0]["status"] == 401


def test_a_browsers_question_what_it_may_ask_is_left_to_vllm_and_a_bare_options_is_not(
    knock: Callable[..., Any],
) -> None:
    asked = {"origin": "http://page", "access-control-request-method": "POST"}
    assert knock("/invocations", method="OPTIONS", headers=asked) == INSIDE
    for headers in ({}, {"origin": "http://page"}, {"access-control-request-method": "POST"}):
        assert knock("/invocations", method="OPTIONS", headers=headers)[0]["status"] == 401
    assert knock("/invocations", method="POST", headers=asked)[0]["status"] == 401


def test_a_door_without_a_key_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (None, ""):
        monkeypatch.setenv("BENCHBOOK_API_KEY", key) if key is not None else monkeypatch.delenv(
            "BENCHBOOK_API_KEY", raising=False
        )
        with pytest.raises(RuntimeError, match="BENCHBOOK_API_KEY is not set"):
            Door(lambda *_: None)


def test_our_door_stands_behind_what_the_launch_says_of_middleware_and_so_before_it(fake_server: Make) -> None:
    server = fake_server({"args": {"middleware": ["theirs.One", "theirs.Two"]}})
    words = ["--middleware", "theirs.One", "--middleware", "theirs.Two"]
    assert server.argv[-6:] == [*words, *DOOR_WORDS]


def test_a_started_server_answers_nobody_without_its_key_but_for_what_is_open(fake_server: Make) -> None:
    assert fake_vllm.OPEN == OPEN
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fake_server() as server:
            for path in ("/invocations", "/docs", "/scale_elastic_ep"):
                assert http.ask("POST", server.base_url, path, timeout_s=5)[0] == 401
            assert http.get(server.base_url, "/health", timeout_s=5)[0] == 200


def test_a_front_end_that_takes_no_middleware_is_told_of_on_loopback_and_any_other_without_a_door_is_ended(
    fake_server: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_USE_RUST_FRONTEND", "1")
    warned = pytest.warns(UserWarning, match="guards /v1 alone.*answered 404 without the key")
    with warned, fake_server(has_door=False) as server:
        assert http.get(server.base_url, "/v1/models", timeout_s=5)[0] == 401
        assert http.get(server.base_url, "/v1/models", timeout_s=5, way=server.way)[0] == 200
    monkeypatch.delenv("VLLM_USE_RUST_FRONTEND")
    with (
        pytest.raises(HostStartError, match=r"on host '127\.0\.0\.1' was ended"),
        fake_server(has_door=False) as server,
    ):
        pytest.fail(f"{server} serves everybody")
    monkeypatch.setenv("VLLM_API_KEY", "mine")
    with (
        pytest.warns(UserWarning, match="without the key"),
        pytest.raises(HostStartError, match=r"on host '0\.0\.0\.0' was ended") as failure,
        fake_server({"host": "0.0.0.0"}, has_door=False) as server,
    ):
        pytest.fail(f"{server} serves others")
    assert failure.value.cause.code == "unguarded"


def test_a_server_that_others_can_reach_and_that_has_a_door_serves_them(
    fake_server: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "mine")
    with pytest.warns(UserWarning, match="without the key"), fake_server({"host": "0.0.0.0"}) as server:
        assert http.get(server.base_url, "/v1/models", timeout_s=5, way=Way("mine"))[0] == 200


def test_silence_of_what_should_be_a_door_is_no_door() -> None:
    with pytest.raises(HostStartError, match="refused without the key"):
        check_door(VLLM.access, "http://127.0.0.1:9", "0.0.0.0", {})


def test_an_address_that_others_can_reach_demands_a_key_and_says_what_stays_open(
    fake_model: str, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    with pytest.raises(ExperimentError, match="set VLLM_API_KEY.*/health, .*/metrics, .* stay open"):
        VllmServer(fake_model, host="0.0.0.0")
    monkeypatch.setenv("VLLM_API_KEY", "mine")
    for host in ("0.0.0.0", "::", "10.1.2.3", "a-name"):
        with pytest.warns(UserWarning, match="others can reach .*/metrics.*/detokenize without the key"):
            assert VllmServer(fake_model, host=host).api_key == "mine"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"env": {"VLLM_SERVER_DEV_MODE": 1}}, "VLLM_SERVER_DEV_MODE is set"),
        ({"env": {"VLLM_USE_RUST_FRONTEND": "1"}}, "VLLM_USE_RUST_FRONTEND is set: that front end takes no middleware"),
        ({"args": {"grpc_port": 5001}}, "grpc_port is set: gRPC has no key"),
    ],
)
def test_what_gets_past_the_door_is_refused_where_others_can_reach_it_and_nowhere_else(
    fake_model: str, state_dir: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], told: str
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "mine")
    with pytest.raises(ExperimentError, match=f"can be reached by others, and {told}"):
        VllmServer(fake_model, host="0.0.0.0", **asked)
    assert VllmServer(fake_model, **asked).api_key != "mine"


def test_a_front_end_of_the_shell_counts_and_a_developer_mode_of_the_shell_does_not(
    fake_model: str, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "mine")
    monkeypatch.setenv("VLLM_SERVER_DEV_MODE", "1")  # servers are given a 0, unless their launch asks
    with pytest.warns(UserWarning, match="without the key"):
        VllmServer(fake_model, host="0.0.0.0")
    monkeypatch.setenv("VLLM_USE_RUST_FRONTEND", "1")
    with pytest.raises(ExperimentError, match="VLLM_USE_RUST_FRONTEND is set"):
        VllmServer(fake_model, host="0.0.0.0")
