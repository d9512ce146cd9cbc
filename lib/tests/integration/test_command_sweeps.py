"""A sweep on a server that a command of its own starts: measured with less known, and nothing left by any kill."""

import os
import signal
import time

import pytest
from benchbook.records.files import read_json
from benchbook.records.store import Store
from dialects import PROGRAM
from rows import rows
from storm import by_role
from sweeps import ALL_MEASURED, benchbook, read_until, wait_nothing_left, write_fake_sweep

pytestmark = pytest.mark.integration

SWEEP = """
question: Does any server do?
model: {{model}}
launches:
  mine: {{{{command: {command}, env: {{{{FAKE_VLLM: '{{{{\"itl_s\": [0.05], \"helpers\": 2, \"ignore_sigterm\": true}}}}'}}}}}}}}
benchmarks:
  - first_request: {{{{max_tokens: 8}}}}
  - serve: {{{{max_concurrency: [1, 2], lengths: [[16, 8]], num_prompts: 4 per concurrency}}}}
repeats: 1
again: 0
"""


def test_a_sweep_on_any_command_says_what_it_could_not_look_at_and_leaves_nothing_whoever_is_killed(tmp_path):
    words = [*PROGRAM, "plain", "{{model}}", "--port", "{{port}}"]
    file = write_fake_sweep(tmp_path, template=SWEEP.format(command=[*map(str, words)]))
    for role in rows(("runner", "kernel", "guardian of server"), quick=["guardian of server"]):
        process = benchbook(tmp_path, "run", file, fake=True)
        read_until(process, lambda line: "… mine,serve" in line)
        deadline = time.monotonic() + 20
        while not (found := by_role(tmp_path).get(role)) and role != "runner" and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(process.pid if role == "runner" else found[0].pid, signal.SIGKILL)
        if role != "runner":  # it goes on, and is then interrupted
            time.sleep(1)
            os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        assert wait_nothing_left(tmp_path) == [], role
    last = benchbook(tmp_path, "run", file, fake=True)
    output = last.communicate(timeout=120)[0]
    assert last.returncode in ALL_MEASURED, output
    run = tmp_path / "results" / "machinery" / "latest"
    records = [record for record in Store(run).records() if record.is_measured]
    assert len(records) == 3
    for record in (record for record in records if record.benchmark == "serve"):
        reasons = record.not_looked
        assert "404" in reasons["server_disagrees"] and "log" in reasons["compiled_while_measuring"]
        assert record.host.version is None and record.host.engine == "the command's server"
    assert read_json(run / "run.json")["launches"]["mine"]["engine"] == "command"
    assert wait_nothing_left(tmp_path) == []
