"""What practice breaks and only the real vLLM shows: tokenizers, proxies, queues, logs; its start is in test_server.py."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fake_vllm
import pytest
from benchbook.hosts.engines import VLLM
from benchbook.hosts.model.files import build_embedded, resolve_model
from benchbook.hosts.process.logs import tells
from benchbook.hosts.server import VllmServer
from benchbook.measure.client.tasks import COMMAND_LINE, WARM, run_bench
from benchbook.measure.client.warm import WarmClient
from benchbook.measure.serve import bench_serve
from benchbook.measure.servers import open_server
from benchbook.plan.workloads import ServeWorkload
from benchbook.records.handover import Handover
from benchbook.records.record import Identity, Record
from crowded import MODEL, SECOND, crowded_shell
from listening_proxy import ListeningProxy
from odd_server import odd_server
from rows import IS_FULL, rows
from sweeps import ONE_PROCESS_ARGS, ONE_PROCESS_ENV

pytestmark = pytest.mark.integration
WORKLOAD = ServeWorkload(
    input_len_tokens=5, output_len_tokens=6, max_concurrency=2, num_prompts=6, num_warmup_prompts=0
)
LOG = """import json, os, sys, types
from importlib.util import find_spec
from pathlib import Path
root = Path(find_spec("vllm").origin).parent
for name, path in (("vllm", root), ("vllm.config", root / "config")):  # without what these import, which takes seconds
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [str(path)]
import torch  # which vLLM's logger imports, and which takes seconds
for name, (env, config) in json.load(sys.stdin).items():
    if os.fork():
        os.wait()
        continue
    os.environ.update(env)
    with open(f"{name}.log", "w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    from vllm.config.logging import LoggingConfig
    from vllm.logger import configure_logging, init_logger
    configure_logging(LoggingConfig(**config))  # as `vllm serve` does
    log = init_logger('vllm.x')
    log.info('hello')
    log.warning('odd')
    sys.exit()
"""
JSON_LINES = {
    "version": 1,
    "formatters": {"json": {"format": '{"level": "%(levelname)s", "message": "%(message)s"}'}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}},
    "loggers": {"vllm": {"handlers": ["out"], "level": "INFO"}},
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a copy of the embedded model whose tokenizer's class lies beside it."""
    folder = tmp_path / "model"
    shutil.copytree(build_embedded("tiny"), folder)
    (folder / "tok.py").write_text(
        "from transformers import PreTrainedTokenizerFast\n\n\nclass Tok(PreTrainedTokenizerFast):\n    pass\n"
    )
    path = folder / "tokenizer_config.json"
    own = {"tokenizer_class": "Tok", "auto_map": {"AutoTokenizer": [None, "tok.Tok"]}}
    path.write_text(json.dumps({**json.loads(path.read_text()), **own}))
    return folder


# On a server that seats one request.
COLD = {"input_len_tokens": 64, "num_warmup_prompts": 0}
CLOSED = ServeWorkload(**COLD, output_len_tokens=32, max_concurrency=8, num_prompts=24)
OPEN = ServeWorkload(**COLD, output_len_tokens=16, request_rate_rps=40, num_prompts=24)


@pytest.fixture(scope="module")
def unused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ListeningProxy]:
    """Yield the proxy of a shell that has everything in the way, in which all tests here are."""
    with crowded_shell(tmp_path_factory.mktemp("crowded")) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def crowded(
    unused: ListeningProxy, hub: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VllmServer]:
    """Yield a server that seats one request, started in that shell."""
    args = {name: value for name, value in ONE_PROCESS_ARGS.items() if name != "max_model_len"}
    with VllmServer(
        MODEL,
        args={**args, "revision": SECOND, "max_num_seqs": 1},
        env={**ONE_PROCESS_ENV, **hub},
        log_dir=tmp_path_factory.mktemp("log"),
        keep=True,  # as other tests leave nothing of ours running
    ) as server:
        yield server
        server.stop()


@pytest.fixture
def client(vllms_client: WarmClient, unused: ListeningProxy) -> WarmClient:
    """Return vLLM's own client, of another such shell, started before anything had been said of its proxy there."""
    return vllms_client


def measured(server: VllmServer, client: WarmClient, workload: ServeWorkload, folder: Path) -> Record:
    """Return the record of a load on the server, sent by vLLM's own client."""
    path, repeat = folder / "case" / "record.json", Handover(client_socket=client.socket_path)
    record = bench_serve(server, workload, record_path=path, repeat=repeat).record
    assert record.way == WARM
    return record


@pytest.mark.skipif(not IS_FULL, reason="make test-full; test_vllms_client_goes_past_the_proxy_… does, below")
def test_a_client_finds_the_tokenizer_where_the_launch_says_and_goes_past_the_proxy(
    crowded, client, unused, tmp_path
) -> None:
    record = measured(open_server(crowded.base_url), client, CLOSED, tmp_path)
    assert (record.values["completed"], record.values["failed"]) == (24, 0)
    assert record.argv[record.argv.index("--tokenizer") + 1].endswith(f"/snapshots/{SECOND}")
    assert "max_num_seqs_low" in {reason.code for reason in record.reasons}
    assert record.host.telemetry.server.mean_waiting > 1  # more wait than run, however few the samples
    assert unused.asked == [] == client.unused.asked


@pytest.mark.skipif(not IS_FULL, reason="make test-full; such servers are computed in test_belief.py")
def test_a_rate_that_a_server_does_not_hold_is_told(crowded, client, tmp_path) -> None:
    record = measured(open_server(crowded.base_url), client, OPEN, tmp_path)
    assert record.values["request_throughput_rps"] < 0.9 * OPEN.request_rate_rps
    assert "overloaded" in {reason.code for reason in record.reasons}


# This machine by an address that no shell excepts, and by the usual one.
@pytest.mark.parametrize("host", rows(["127.0.0.2", "127.0.0.1"], quick=1))
def test_vllms_client_goes_past_the_proxy_which_by_itself_it_would_use(client, unused, host, tmp_path) -> None:
    came, of_client = len(unused.asked), len(client.unused.asked)
    with odd_server(root=resolve_model("tiny").path, host=host) as url:
        server = open_server(url)
        ways = {WARM: Handover(client_socket=client.socket_path)}
        if IS_FULL:  # the command line takes seconds to import vLLM
            ways[COMMAND_LINE] = Handover(identity=Identity(case_id="a"))
        for way, repeat in ways.items():
            record = bench_serve(server, WORKLOAD, record_path=tmp_path / way / "record.json", repeat=repeat).record
            assert record.way == way and record.values["completed"] == WORKLOAD.num_prompts
            assert unused.asked[came:] == client.unused.asked[of_client:] == []
        by_itself = {"HF_HUB_OFFLINE": "1", "no_proxy": "", "NO_PROXY": ""}
        told = {"on_line": None, "log_path": tmp_path / "own.log", "limit_s": 120}
        run_bench(record.argv[2:], socket_path=client.socket_path, env=by_itself, **told)
    asked = [line for line in client.unused.asked[of_client:] if line.startswith(f"POST {url}/v1/completions")]
    assert len(asked) >= WORKLOAD.num_prompts


def test_a_tokenizer_with_code_of_its_own_is_loaded_by_the_client(model, client, tmp_path, state_dir) -> None:
    settings = {"log_dir": tmp_path / "log", "ready_timeout_s": 10.0, "args": {"trust_remote_code": True}}
    with VllmServer(str(model), env=fake_vllm.scripted(), program=fake_vllm.PROGRAM, **settings) as server:
        record = measured(server, client, WORKLOAD, tmp_path)
    assert record.outcome == "measured" and record.values["completed"] == 6
    assert "--trust-remote-code" in record.argv and str(model) in record.argv


LOGS = {  # the environment of a server, its config of logging, and whether its log then tells of the start
    "as it is": ({}, {}, True),
    "level ERROR": ({"VLLM_LOGGING_LEVEL": "ERROR"}, {}, False),
    "not configured": ({"VLLM_CONFIGURE_LOGGING": "0"}, {}, False),
    "a form of its own": ({"VLLM_LOGGING_CONFIG_PATH": "log.json"}, {}, False),
    "level WARNING by its flag": ({}, {"log_level": "WARNING"}, False),
}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a log each, written by vLLM's own logger in a process of its own."""
    folder = tmp_path_factory.mktemp("logs")
    (folder / "log.json").write_text(json.dumps(JSON_LINES))
    told = json.dumps({name: (env, config) for name, (env, config, _) in LOGS.items()})
    subprocess.run([sys.executable, "-c", LOG], cwd=folder, input=told, text=True, check=True)
    return folder


@pytest.mark.skipif(not IS_FULL, reason="make test-full; logs that are silenced are written out in test_odd_servers.py")
@pytest.mark.parametrize("name", LOGS)
def test_vllms_own_log_tells_where_it_is_not_silenced(logs, name) -> None:
    path = logs / f"{name}.log"
    assert tells(path, VLLM.log.telling) is LOGS[name][2], path.read_text()
