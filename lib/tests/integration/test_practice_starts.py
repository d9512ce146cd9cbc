"""What practice breaks and only the real vLLM shows: a tokenizer with code of its own, and a log that was silenced."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fake_vllm
import pytest
from benchbook.hosts.logs import tells
from benchbook.hosts.models import build_embedded
from benchbook.hosts.server import VllmServer
from benchbook.measure.serve import bench_serve
from benchbook.plan.workloads import ServeWorkload

pytestmark = pytest.mark.integration
WORKLOAD = ServeWorkload(input_len_tokens=5, output_len_tokens=6, max_concurrency=2, num_prompts=6)
LOG = """import json, sys
from vllm.config.logging import LoggingConfig
from vllm.logger import configure_logging, init_logger
configure_logging(LoggingConfig(**json.loads(sys.argv[1])))  # as `vllm serve` does
log = init_logger('vllm.x')
log.info('hello')
log.warning('odd')
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


def test_a_tokenizer_with_code_of_its_own_is_loaded_by_the_client(model, tmp_path, state_dir) -> None:
    settings = {"log_dir": tmp_path / "log", "ready_timeout_s": 10.0, "args": {"trust_remote_code": True}}
    with VllmServer(str(model), env=fake_vllm.scripted(), program=fake_vllm.PROGRAM, **settings) as server:
        record = bench_serve(server, WORKLOAD, record_path=tmp_path / "case" / "record.json").record
    assert record.outcome == "measured" and record.values["completed"] == 6
    assert "--trust-remote-code" in record.argv and str(model) in record.argv


@pytest.mark.parametrize(
    ("env", "config", "is_told"),
    [
        ({}, {}, True),
        ({"VLLM_LOGGING_LEVEL": "ERROR"}, {}, False),
        ({"VLLM_CONFIGURE_LOGGING": "0"}, {}, False),
        ({"VLLM_LOGGING_CONFIG_PATH": "log.json"}, {}, False),
        ({}, {"log_level": "WARNING"}, False),
    ],
    ids=["as it is", "level ERROR", "not configured", "a form of its own", "level WARNING by its flag"],
)
def test_vllms_own_log_tells_where_it_is_not_silenced(tmp_path, env, config, is_told) -> None:
    (tmp_path / "log.json").write_text(json.dumps(JSON_LINES))
    command = [sys.executable, "-c", LOG, json.dumps(config)]
    env = {**os.environ, **env}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    path = tmp_path / "server.log"
    path.write_text(done.stdout + done.stderr)
    assert tells(path) is is_told, path.read_text()
