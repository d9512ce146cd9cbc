"""vLLM itself refuses each of the launches that are refused before a start, takes their twins, and chooses as is said here.

All of it is asked of a fork of this process: importing vLLM takes seconds, and what it is asked changes its environment.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchbook.hosts.machine.cpu_cores import host_threads
from benchbook.hosts.model.files import build_embedded
from benchbook.hosts.vllm.forms import installed_forms, words_of
from benchbook.hosts.vllm.parser_dump import serve_parser
from benchbook.judge import batch
from contradictory import MISFITS, PAIRS, Pair

pytestmark = pytest.mark.integration

CHOICES = (
    {},
    {"VLLM_CPU_OMP_THREADS_BIND": "0"},
    {"VLLM_CPU_OMP_THREADS_BIND": "nobind"},
    {"VLLM_CPU_NUM_OF_RESERVED_CPU": "0"},
)


def tell(launches: list[tuple[list[str], dict]], env: dict[str, str], path: Path) -> None:
    """Make the config of each launch as the server does, some hundredths of a second each, then let vLLM choose; write it."""
    os.environ.clear()
    os.environ.update(env)
    from huggingface_hub import constants
    from vllm.engine.arg_utils import AsyncEngineArgs, EngineArgs
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.usage.usage_lib import UsageContext
    from vllm.utils.argparse_utils import FlexibleArgumentParser
    from vllm.utils.ompmultiprocessing import OMPProcessManager

    constants.HF_HUB_OFFLINE = True  # which was imported before this environment was there
    refusals = []
    for words, its_env in launches:
        os.environ.update(its_env)
        try:
            args = make_arg_parser(FlexibleArgumentParser()).parse_args(words)
            validate_parsed_serve_args(args)
            AsyncEngineArgs.from_cli_args(args).create_engine_config(UsageContext.OPENAI_API_SERVER)
            refusals.append("")
        except (SystemExit, Exception) as error:
            refusals.append(f"{type(error).__name__}: {error}")
        for name in its_env:
            del os.environ[name]

    ranks = SimpleNamespace(local_world_size=1, data_parallel_rank_local=None, _api_process_count=1)
    cores = []
    for chosen in CHOICES:
        os.environ.clear()
        os.environ.update(env | chosen)
        cores.append(OMPProcessManager(SimpleNamespace(parallel_config=ranks, kv_transfer_config=None)).cpu_lists)
    _, numbers = EngineArgs.get_batch_defaults(1)
    sequences = [numbers[kind] for kind in (UsageContext.OPENAI_API_SERVER, UsageContext.LLM_CLASS)]
    path.write_text(json.dumps({"refusals": refusals, "cores": cores, "sequences": sequences}))


def launch_of(pair: Pair, args: dict, env: dict) -> tuple[list[str], dict]:
    """Return the words and the environment of a launch."""
    forms = installed_forms()
    words = [word for name, value in args.items() for word in words_of(name, value, forms)]
    return ["--model", str(build_embedded(pair.model)), *words], env


REFUSED = [pair for pair in (*PAIRS, *MISFITS) if not pair.is_late]
WITH_TWIN = [pair for pair in REFUSED if pair.twin is not None]


@pytest.fixture(scope="module")
def plain() -> dict[str, str]:
    """Return an environment that chooses nothing for vLLM and asks no hub."""
    left = {name: value for name, value in os.environ.items() if not name.startswith(("VLLM_", "OMP_"))}
    return {**left, "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def told(plain: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    """Return why vLLM refuses each launch, and then each twin, "" where it does not; and what it chooses by itself."""
    launches = [launch_of(pair, pair.args, pair.env) for pair in REFUSED]
    launches += [launch_of(pair, pair.twin, pair.twin_env) for pair in WITH_TWIN]
    path = tmp_path_factory.mktemp("told") / "told.json"
    serve_parser()  # imports vLLM, which other files of this process need as well
    asked = multiprocessing.get_context("fork").Process(target=tell, args=(launches, plain, path))
    asked.start()
    asked.join(300)
    assert asked.exitcode == 0
    return json.loads(path.read_text())


def test_vllm_refuses_each_contradiction_and_takes_its_twin(told) -> None:
    refusals = told["refusals"]
    assert [pair for pair, why in zip(REFUSED, refusals, strict=False) if not why] == []
    assert [(pair, why) for pair, why in zip(WITH_TWIN, refusals[len(REFUSED) :], strict=True) if why] == []


def test_cores_and_sequences_of_a_step_are_those_of_the_installed_vllm(told, plain) -> None:
    ours = [host_threads(plain | chosen).cores for chosen in CHOICES]
    assert [[list(cores)] if cores else [] for cores in ours] == told["cores"]
    assert told["sequences"] == [batch.CPU_SERVER, batch.CPU_ENGINE]
