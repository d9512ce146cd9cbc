"""A server that somebody else owns is looked at before it is measured."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from benchbook.hosts import http as questions
from benchbook.hosts.attached import attach
from benchbook.hosts.network import round_trip_ms
from benchbook.hosts.process.address import server_url
from benchbook.hosts.scrape import engine_tokens, parse_counters
from benchbook.hosts.server import VllmServer, find_server
from benchbook.hosts.telemetry import Sampler
from benchbook.hosts.vllm.counters import COUNTERS
from benchbook.hosts.watch import StallWatch
from benchbook.measure.client.tasks import run_bench
from benchbook.measure.servers import attached_facts, host_facts, open_server
from benchbook.terms.attached import Reach
from benchbook.terms.errors import ExperimentError, HostDiedError, IdentityError, MeasureError
from benchbook.terms.redaction import known_secrets
from odd_server import odd_server
from recording_proxy import recording_proxy

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


# ---- ways


def test_the_servers_behind_a_router_tell_its_counters_and_versions(tmp_path):
    with odd_server("router") as router, odd_server() as one, odd_server("no_version") as other:
        server = attach(router, reach=Reach(behind=(one, other)))
        for url in (one, other, other):
            questions.ask("POST", url, "/v1/completions", timeout_s=5, payload={"prompt": "a b c", "max_tokens": 4})
        page = server.metrics_text()
        counts = parse_counters(page, COUNTERS)
        assert (counts["prompt_tokens"], counts["generation_tokens"], counts["kv_use_ratio"]) == (9.0, 12.0, 0.6)
        assert engine_tokens(page, COUNTERS) == {f"{one} 0": 4.0, f"{other} 0": 8.0}
        assert server.version == "0.32.0" and attach(router).version is None
        with Sampler(router, COUNTERS, pages=server.counter_urls, period_s=0.05) as sampler:
            pass
        assert sampler.result()["server"]["generation_tokens"][-1] == 12.0
        facts = attached_facts(server)
        assert facts.behind == (one, other) and not facts.is_elsewhere


def test_a_service_of_several_addresses_is_asked_at_each_and_its_counters_are_added_up():
    with odd_server() as one, odd_server() as other, odd_server("other_model") as stranger:
        server = attach(one, reach=Reach(also=(other,)))
        for url in (one, other, other):
            questions.ask("POST", url, "/v1/completions", timeout_s=5, payload={"prompt": "a b c", "max_tokens": 4})
        page = server.metrics_text()
        assert parse_counters(page, COUNTERS)["generation_tokens"] == 12.0
        assert engine_tokens(page, COUNTERS) == {f"{one} 0": 4.0, f"{other} 0": 8.0}
        assert server.version == "0.32.0" and server.is_engine and server.health() == 200
        assert attached_facts(server).also == (other,)
        with pytest.raises(
            IdentityError, match=f"no model in common: {one} serves odd-model; {stranger} serves another"
        ):
            attach(one, reach=Reach(also=(stranger,)))
        with pytest.raises(IdentityError, match="no vLLM server answers at http://127.0.0.1:9: "):
            attach(one, reach=Reach(also=("127.0.0.1:9",)))
    with odd_server() as one:
        with odd_server() as other:
            server = attach(one, reach=Reach(also=(other,)))
        with pytest.raises(HostDiedError, match=f"the server at {other} died"):
            server.check_alive()


def test_a_proxy_is_in_between_where_it_is_asked_for_and_nowhere_else(proxy, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with odd_server(host="127.0.0.2") as url:
        assert attach(url).served_name == "odd-model" and proxy.asked == []
        with pytest.raises(IdentityError, match="no vLLM server answers"):  # the listener hands nothing on
            attach(url, reach=Reach(proxy=True))
    assert any(line.startswith(f"GET {url}/v1/models") for line in proxy.asked)


def test_headers_and_the_key_of_a_named_variable_go_with_each_question_and_are_secrets_from_then_on(monkeypatch):
    monkeypatch.setenv("WHOSE", "a-team-of-theirs-42")
    monkeypatch.setenv("HOW", "a-word-that-opens-42")
    monkeypatch.setenv("OPENAI_API_KEY", "of another service")
    with odd_server() as url, recording_proxy(int(url.rpartition(":")[2])) as recorded:
        server = attach(f"127.0.0.1:{recorded.port}", reach=Reach(api_key_env="HOW", headers_env={"X-Whose": "WHOSE"}))
        server.check_alive()
        sent = b"".join(recorded.seen)
    assert sent.count(b"X-Whose: a-team-of-theirs-42") == sent.count(b"Bearer a-word-that-opens-42") == 3
    assert {"a-team-of-theirs-42", "a-word-that-opens-42"} <= set(known_secrets())
    assert "42" not in repr(server.way) and attached_facts(server).headers == ("X-Whose",)


@pytest.mark.parametrize(
    ("reach", "why"),
    [
        (Reach(api_key_env="NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE is not set in the environment"),
        (Reach(headers_env={"X-A": "TWO_LINES"}), "TWO_LINES holds what no header can carry"),
        (Reach(ca_file="/no/such/ca.pem"), "there is no file /no/such/ca.pem"),
        (Reach(ca_file=__file__), "holds no certificate in PEM"),
    ],
)
def test_a_way_that_there_is_not_is_refused_before_anybody_is_asked(reach, why, monkeypatch):
    monkeypatch.setenv("TWO_LINES", "a\nb")
    with pytest.raises(ExperimentError, match=f"^[^\n]*{why}"):
        attach("127.0.0.1:9", reach=reach)


def test_a_prefix_cache_that_is_not_ours_is_emptied_only_by_leave():
    with odd_server() as url, recording_proxy(int(url.rpartition(":")[2])) as recorded:
        server = attach(f"http://0.0.0.0:{recorded.port}")
        with pytest.raises(MeasureError, match="is not on this machine"):
            server.reset_prefix_cache()
        assert not [request for request in recorded.requests if request[0] == "POST"]
        server.may_reset = True
        with pytest.raises(MeasureError, match="answered 404"):  # it was asked, and has no such way
            server.reset_prefix_cache()
        assert ("POST", "/reset_prefix_cache") in recorded.requests


def test_headers_are_sent_by_nothing_whose_words_others_see(tmp_path):
    how = {"env": {}, "on_line": None, "log_path": tmp_path / "log", "limit_s": 5.0}
    with pytest.raises(MeasureError, match="nothing was sent: only the warm client could send the headers unseen"):
        run_bench(["serve"], socket_path=None, private_words=["--header", "X-A=b"], **how)


def test_a_round_trip_to_a_server_is_timed_and_to_nobody_it_is_none():
    with odd_server() as url:
        assert 0 < round_trip_ms(url) < 2000
    assert round_trip_ms("http://127.0.0.1:9") is None and round_trip_ms("http://no-such-host.invalid") is None


def test_a_router_is_not_asked_for_its_health_which_some_have_an_engine_compute():
    for odd, path in (("router", "/v1/models"), ("no_version", "/v1/models"), ("", "/health")):
        with odd_server(odd) as url, recording_proxy(int(url.rpartition(":")[2])) as recorded:
            server = attach(f"127.0.0.1:{recorded.port}")
            with StallWatch(server, limit_s=0.4):
                time.sleep(0.3)
            server.check_alive()
            asked = {asked.partition("?")[0] for _, asked in recorded.requests}
            assert ("/health" in asked) == (path == "/health") and server.health_url.endswith(path), odd
