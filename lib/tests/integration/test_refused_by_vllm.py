"""vLLM itself refuses each of the launches that are refused before a start, and takes their twins."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from benchbook.hosts.model.files import build_embedded
from benchbook.hosts.vllm.forms import installed_forms, words_of
from contradictory import MISFITS, PAIRS, Pair

pytestmark = pytest.mark.integration

# Makes the config of each launch as the server does; importing vLLM takes seconds, a config some hundredths.
SCRIPT = """
import json, os, sys
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser
told = []
for words, env in json.load(sys.stdin):
    os.environ.update(env)
    try:
        args = make_arg_parser(FlexibleArgumentParser()).parse_args(words)
        validate_parsed_serve_args(args)
        AsyncEngineArgs.from_cli_args(args).create_engine_config(UsageContext.OPENAI_API_SERVER)
        told.append("")
    except (SystemExit, Exception) as error:
        told.append(f"{type(error).__name__}: {error}")
    for name in env:
        del os.environ[name]
open(sys.argv[1], "w").write(json.dumps(told))
"""


def launch_of(pair: Pair, args: dict, env: dict) -> tuple[list[str], dict]:
    """Return the words and the environment of a launch."""
    forms = installed_forms()
    words = [word for name, value in args.items() for word in words_of(name, value, forms)]
    return ["--model", str(build_embedded(pair.model)), *words], env


def test_vllm_refuses_each_contradiction_and_takes_its_twin(tmp_path) -> None:
    pairs = [pair for pair in (*PAIRS, *MISFITS) if not pair.is_late]
    twins = [pair for pair in pairs if pair.twin is not None]
    launches = [launch_of(pair, pair.args, pair.env) for pair in pairs]
    launches += [launch_of(pair, pair.twin, pair.twin_env) for pair in twins]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    command = [sys.executable, "-P", "-c", SCRIPT, str(tmp_path / "told.json")]
    subprocess.run(
        command, input=json.dumps(launches), env=env, text=True, check=True, timeout=300, capture_output=True
    )
    told = json.loads((tmp_path / "told.json").read_text())
    assert [pair for pair, why in zip(pairs, told, strict=False) if not why] == []
    assert [(pair, why) for pair, why in zip(twins, told[len(pairs) :], strict=True) if why] == []
