"""What tests share: a state folder apart from the user's own, fake servers that are gone when the test is, and an end."""

from __future__ import annotations

import functools
import gc
import http.client
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import fake_vllm
import pytest
import typer.testing
from benchbook import collector
from benchbook.hosts.process import registry
from benchbook.hosts.server import VllmServer
from benchbook.hosts.vllm.forms import dataset_forms, installed_forms
from benchbook.measure.client.warm import WarmClient
from benchbook.notebooks.kernels.source import warm_kernels
from crowded import crowded_shell, hub_of_two_commits
from ender import ended_with_us
from listening_proxy import ListeningProxy, listening_proxy

sys.modules.setdefault(
    "rfc3987_syntax", None
)  # a grammar that jsonschema compiles to check URIs, which no notebook has

# A shell's background job ignores SIGINT, and nohup's child SIGHUP; what tests start would inherit it and never stop.
for _signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(_signum) is signal.SIG_IGN:
        signal.signal(_signum, signal.default_int_handler if _signum is signal.SIGINT else signal.SIG_DFL)


# The files that take longest, in `make test` or in `make test-full`, the longest first, so that none of them is left for
# the end.
LONGEST = (
    "test_readme.py",
    "test_damaged_results.py",
    "test_server.py",  # and those of its line below
    "test_terminal.py",
    "test_kill_matrix_notebooks.py",
    "test_kill_storm.py",
    "test_practice_starts.py",
    "test_config_forms.py",  # as well
    "test_killed_sweeps.py",
    "test_faults.py",
    "test_engine.py",
    "test_soak.py",
    "test_loaded_weights.py",
    "test_notebooks_by_hand.py",
    "test_mutated_experiments.py",
    "test_kill_matrix.py",
    "test_guardian.py",
    "test_clusters.py",
    "test_past_proxies.py",
    "test_placed_sweeps.py",
    "test_another_environment.py",
    "test_watch.py",
    "test_command_sweeps.py",
    "test_attached_sweeps.py",
    "test_measured_again.py",
    "test_runner.py",
    "test_kernels.py",
    "test_measure_warmth.py",
    "test_another_executor.py",
    "test_notebook_kernels.py",
    "test_finding.py",
    "test_report_figures.py",
)

# Each of a line imports vLLM, by itself or as one client, which takes seconds.
IN_ONE_PROCESS = (
    (
        "test_config_forms.py",
        "test_flag_forms.py",
        "test_config_options.py",
        "test_refused_by_vllm.py",
        "test_searching.py",
        "test_loaded_weights.py",
        "test_shapes.py",  # and these two import what vLLM does, and no vLLM
        "test_random_weights.py",
    ),
    (
        "test_server.py",
        "test_hostile_benchmarks.py",
        "test_sent_requests.py",
        "test_ground_truth.py",
        "test_practice_starts.py",
        "test_drawing.py",
    ),
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the thousands of tests out of the way of Python's collector, which would walk through them again and again."""
    with collector.at_rest():
        result = yield
        gc.freeze()
    return result


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Have the tables of vLLM's flags made once, and not by each worker that comes to need one; they take seconds."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda table: table(), (installed_forms, dataset_forms)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """Give a worker file after file, as `--dist loadfile` does, and those of a line of `IN_ONE_PROCESS` as one."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return next((files[0] for files in IN_ONE_PROCESS if file.rpartition("/")[2] in files), file)

    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; whoever runs several files at a time begins them in this order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session", autouse=True)
def nothing_outlives_the_tests() -> Iterator[None]:
    """Have all that tests start ended with this process, hosts that are to be kept as well, should it be killed."""
    with pytest.MonkeyPatch.context() as patch:
        for name, mark in ended_with_us().items():
            patch.setenv(name, mark)
        yield


@pytest.fixture(scope="session", autouse=True)
def session_state_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the registry of the tests apart from the user's live hosts, for hosts that outlive one test too."""
    state = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHBOOK_STATE_DIR", str(state))
        yield state


@pytest.fixture(scope="session", autouse=True)
def no_disk_is_waited_for() -> Iterator[None]:
    """Leave it to the system when this process's files reach the disk: nobody pulls the plug of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def commands_are_made_once() -> Iterator[None]:
    """Have Typer make the program's commands once a process, and not for each that a test gives: it takes 20 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", functools.cache(typer.testing._get_command))
        yield


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment that names a model hub, of crowded.MODEL."""
    return hub_of_two_commits(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="session")
def vllms_client(hub: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmClient]:
    """Yield vLLM's own client, started once for all files of a process that ask for it, with what is in its shell's way.

    `client.unused` is the proxy of that shell, in which the tests are not.
    """
    folder, outside, temporary = tmp_path_factory.mktemp("client"), dict(os.environ), tempfile.tempdir
    with crowded_shell(folder) as unused, WarmClient(log_dir=folder / "log", env=hub) as client:
        client.unused = unused
        with mock.patch.dict(os.environ, outside, clear=True), mock.patch.object(tempfile, "tempdir", temporary):
            yield client


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have the notebooks of a module's tests executed in forks of one process, as those of one run are."""
    with warm_kernels(tmp_path_factory.mktemp("kernels")):
        yield


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give one test an empty registry."""
    monkeypatch.setenv("BENCHBOOK_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def fake_model(tmp_path: Path) -> str:
    """Return a folder that counts as a model; no test of a fake server builds the real "tiny"."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return str(folder)


@pytest.fixture
def fake_server(fake_model: str, tmp_path: Path, state_dir: Path) -> Iterator[Callable[..., VllmServer]]:
    """Return a maker of servers that run fake_vllm: keywords of its `Script`, and `options` for VllmServer."""
    made: list[VllmServer] = []

    def make(options: dict[str, object] | None = None, **script: object) -> VllmServer:
        settings = {"log_dir": tmp_path / f"log-{len(made)}", "ready_timeout_s": 10.0, **(options or {})}
        made.append(VllmServer(fake_model, env=fake_vllm.scripted(**script), program=fake_vllm.PROGRAM, **settings))
        return made[-1]

    yield make
    for server in made:
        server.stop(grace_s=0.5)
    assert registry.read_entries() == []


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ListeningProxy]:
    """Return a proxy that this process's environment names for all there is, and that counts who comes."""
    with listening_proxy(monkeypatch) as proxy:
        yield proxy


@pytest.fixture
def complete() -> Callable[[VllmServer], int]:
    """Return a function that asks a server for four tokens and returns the status; raises OSError when it is cut."""

    def ask(server: VllmServer) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        body = {"model": server.served_name, "prompt": "w4 w5", "max_tokens": 4}
        headers = {"Authorization": f"Bearer {server.api_key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", "/v1/completions", json.dumps(body), headers)
            return connection.getresponse().status
        finally:
            connection.close()

    return ask
