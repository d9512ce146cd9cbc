"""Nothing of ours goes through a proxy of the shell, whatever the server's address is; a listener counts who comes."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from benchbook.hosts.attached import attach
from benchbook.hosts.machine.cpu import server_pids
from benchbook.hosts.process import shell
from benchbook.hosts.telemetry import Sampler
from benchbook.hosts.vllm.counters import COUNTERS
from benchbook.hosts.watch import StallWatch
from benchbook.measure.first_request import first_request
from benchbook.measure.outputs import fixed_prompts, greedy_outputs
from benchbook.measure.servers import host_facts, open_server
from benchbook.plan.workloads import FirstRequestWorkload
from benchbook.project import notebooks_dir
from odd_server import odd_server

PACKAGE = Path(__file__).parents[2] / "benchbook"
# This machine by its usual address, by one that no shell excepts, and by a name.
HOSTS = ("127.0.0.1", "127.0.0.2", "localhost")


# ---- the listener counts: clients that trust the shell come to it


def by_requests(url: str) -> None:
    import requests

    requests.get(url, timeout=5)


def by_httpx(url: str) -> None:
    import httpx

    httpx.get(url, timeout=5)


def by_urllib(url: str) -> None:
    urllib.request.build_opener().open(url, timeout=5).close()  # urlopen would remember the first proxy


def by_aiohttp(url: str) -> None:
    import aiohttp

    async def ask() -> None:
        async with aiohttp.ClientSession(trust_env=True) as session:
            await session.get(url, timeout=aiohttp.ClientTimeout(5))

    asyncio.run(ask())


@pytest.mark.parametrize("ask", [by_requests, by_httpx, by_urllib, by_aiohttp])
@pytest.mark.parametrize("host", HOSTS)
def test_a_client_that_trusts_the_shell_comes_to_the_proxy(ask: Callable[[str], None], host, proxy) -> None:
    with odd_server(host=host) as url, pytest.raises(Exception):  # noqa: B017
        ask(f"{url}/v1/models")
    assert any(line.startswith(f"GET {url}/v1/models") for line in proxy.asked)


# ---- and none of ours does


@pytest.mark.parametrize("host", HOSTS)
def test_a_first_request_goes_past_the_proxy(host, proxy, tmp_path) -> None:
    workload = FirstRequestWorkload(prompt="w1 w2 w3", max_tokens=4)
    with odd_server(host=host) as url:
        record = first_request(open_server(url), workload, record_path=tmp_path / "r.json").record
    assert record.is_measured and proxy.asked == []


@pytest.mark.parametrize("host", HOSTS)
def test_what_asks_and_watches_a_server_goes_past_the_proxy(host, proxy) -> None:
    with odd_server(host=host) as url:
        server = attach(url)
        assert server.is_healthy() and server.version == "0.32.0" and host_facts(server).max_model_len == 4096
        server.check_alive()
        assert COUNTERS.names["running"] in server.metrics_text()
        with StallWatch(server, limit_s=0.4) as watch, Sampler(url, COUNTERS, period_s=0.05) as sampler:
            assert not watch.event.wait(0.6)
        assert sampler.result()["server"] and server_pids(url)
    assert proxy.asked == []


def test_a_start_and_the_fixed_prompts_go_past_the_proxy(fake_server, proxy) -> None:
    server = fake_server(ready_after_s=0.3)
    server.start()
    server.wait_ready()
    assert len(greedy_outputs(server, fixed_prompts()[:3])) == 3
    assert proxy.asked == []


# ---- the shell's variables


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("url", ["socks5://127.0.0.1:1080", "socks://10.0.0.1:9", "ftp://x:21", "http://u:pa55@x:port"])
def test_a_proxy_on_which_python_clients_fail_is_left_out_and_named_without_its_value(monkeypatch, name, url) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv(name, url)
    assert name not in shell.child_environment()
    (line,) = [line for line in shell.left_out() if line.startswith(f"{name} ")]
    assert "clients in Python would fail on it" in line and "pa55" not in line and "port" not in line
    shell.go_past_proxies(["10.0.0.5"])
    assert name not in os.environ and os.environ["NO_PROXY"].endswith(",10.0.0.5")


@pytest.mark.parametrize("url", ["http://proxy:3128", "proxy:3128", "https://u:p@proxy", "http://[fd00::1]:3128", ""])
def test_a_proxy_that_clients_can_speak_to_stays_for_the_model_hub(monkeypatch, url) -> None:
    monkeypatch.setenv("https_proxy", url)
    shell.go_past_proxies()
    assert shell.child_environment()["https_proxy"] == url == os.environ["https_proxy"]


def test_a_socks_proxy_stays_where_clients_speak_socks(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "socksio")
    for scheme in ("socks5", "socks5h"):
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:1080")
        assert "ALL_PROXY" in shell.child_environment()


# ---- one door: nothing else of ours opens a connection

# What can, each with the files that may.
OPENERS = {
    "http.client": {"hosts/http.py"},  # the door; it knows a proxy where one is asked for
    "aiohttp": {
        "measure/client/ceiling.py"
    },  # between two children of its own, and it trusts the shell only if told to
    "prometheus_client": {"hosts/scrape.py"},  # its parser
    "create_connection": {
        "hosts/model/hub.py",  # to the model hub, or to the proxy before it
        "hosts/network.py",  # to the server, to time the way
    },
    "urllib.request": {
        "hosts/http.py"
    },  # which reads there which proxy a shell names, for a server that is to be asked by it
    **dict.fromkeys(("open_connection", "trust_env"), set()),
    **dict.fromkeys(("requests", "httpx", "httpx2", "openai", "urllib3", "websocket"), set()),
    **dict.fromkeys(("websockets", "grpc", "xmlrpc", "ftplib", "smtplib", "pycurl"), set()),
}


def openers_in(source: str) -> set[str]:
    """Return what a program imports, calls or says by keyword that opens connections."""
    imported, said = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            said.update([getattr(node.func, "attr", None), *(word.arg for word in node.keywords)])
    names = imported | (said & {"create_connection", "open_connection", "trust_env"})
    return {opener for opener in OPENERS for name in names if f"{name}.".startswith(f"{opener}.")}


def test_nothing_but_the_door_opens_connections() -> None:
    seen = {path.relative_to(PACKAGE).as_posix(): openers_in(path.read_text()) for path in PACKAGE.rglob("*.py")}
    found = {opener: {path for path, openers in seen.items() if opener in openers} for opener in OPENERS}
    assert found == OPENERS


@pytest.mark.parametrize(
    ("source", "opener"),
    [
        ("import requests", "requests"),
        ("from urllib import request", "urllib.request"),
        ("from httpx import get", "httpx"),
        ("import aiohttp\naiohttp.ClientSession(trust_env=True)", "trust_env"),
        ("import socket\nsocket.create_connection(('x', 1))", "create_connection"),
        ("import asyncio\nasyncio.open_connection('x', 1)", "open_connection"),
    ],
)
def test_another_way_to_a_server_would_be_seen(source, opener) -> None:
    assert opener in openers_in(source)


def test_only_the_notebook_of_the_first_request_sends_by_other_clients_and_after_its_server_is_opened() -> None:
    for path in notebooks_dir().glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        assert openers_in(code) == ({"requests", "openai"} if path.name == "02_first_request.ipynb" else set())
        if path.name == "02_first_request.ipynb":
            assert (
                code.index("open_server(base_url") < code.index("requests.post(") < code.index("OpenAI(\n    base_url")
            )
