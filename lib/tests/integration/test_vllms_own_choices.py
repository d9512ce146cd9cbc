"""What vLLM chooses by itself is what is taken for it here: the threads of a CPU, and the sequences of a step."""

import json
import os
import subprocess
import sys

import pytest
from benchbook.hosts.machine.cpu_cores import host_threads
from benchbook.judge import batch

pytestmark = pytest.mark.integration

CHOICES = (
    {},
    {"VLLM_CPU_OMP_THREADS_BIND": "0"},
    {"VLLM_CPU_OMP_THREADS_BIND": "nobind"},
    {"VLLM_CPU_NUM_OF_RESERVED_CPU": "0"},
)
ASK = """
import json, os, sys
from types import SimpleNamespace
from vllm.engine.arg_utils import EngineArgs
from vllm.usage.usage_lib import UsageContext
from vllm.utils.ompmultiprocessing import OMPProcessManager

ranks = SimpleNamespace(local_world_size=1, data_parallel_rank_local=None, _api_process_count=1)
cores, plain = [], dict(os.environ)
for chosen in json.loads(sys.argv[1]):
    os.environ.clear()
    os.environ.update(plain | chosen)
    cores.append(OMPProcessManager(SimpleNamespace(parallel_config=ranks, kv_transfer_config=None)).cpu_lists)
_, sequences = EngineArgs.get_batch_defaults(1)
kinds = UsageContext.OPENAI_API_SERVER, UsageContext.LLM_CLASS
print("\\n" + json.dumps({"cores": cores, "sequences": [sequences[kind] for kind in kinds]}))
"""


def test_cores_and_sequences_of_a_step_are_those_of_the_installed_vllm():
    env = {name: value for name, value in os.environ.items() if not name.startswith(("VLLM_", "OMP_"))}
    command = [sys.executable, "-c", ASK, json.dumps(CHOICES)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    ours = [host_threads(env | chosen).cores for chosen in CHOICES]
    assert [[list(cores)] if cores else [] for cores in ours] == told["cores"]
    assert told["sequences"] == [batch.CPU_SERVER, batch.CPU_ENGINE]
