"""Secrets in the shell of a whole run, which its server prints too: none is in any file, on the screen or in a list."""

import json
import os

import pytest
from planted import NAMED, PLACED, SHAPED
from sweeps import ALL_MEASURED, SMALL_SWEEP, benchbook, write_fake_sweep

pytestmark = pytest.mark.integration


def test_no_secret_of_the_shell_or_of_a_log_is_in_any_file_of_a_run(tmp_path):
    placed = {name: text for name, (text, _) in PLACED.items()}
    shell = {
        **NAMED,
        **{f"VLLM_NOTE_{name.upper()}": text for name, text in {**SHAPED, **placed}.items()},
        "HTTP_PROXY": placed["proxy"],
        "HF_ENDPOINT": placed["git"],
        "NCCL_HOME": placed["token_for_a_name"],
    }
    printed = "\n".join(f"vLLM says that {name}={value}" for name, value in shell.items())
    shell["FAKE_VLLM"] = json.dumps({"log_text": printed})
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP)
    planned = benchbook(tmp_path, "plan", file, "--commands", fake=True, **shell).communicate(timeout=60)[0]
    run = benchbook(tmp_path, "run", file, fake=True, **shell)
    told = run.communicate(timeout=180)[0]
    assert run.returncode in ALL_MEASURED, told
    texts = {"plan": planned, "run": told}
    for words in (["ps"], ["list"], ["table"], ["show"]):
        texts[words[0]] = benchbook(tmp_path, *words, fake=True, **shell).communicate(timeout=60)[0]
    texts |= {str(path): path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()}
    names = {os.path.basename(name) for name in texts}
    assert {"run.json", "record.json", "executed.ipynb", "report.html", "server.log", "experiment.yaml"} <= names
    log = next(text for name, text in texts.items() if name.endswith("server.log"))
    assert log.count("vLLM says that") == len(shell) - 1
    secrets = {**NAMED, **SHAPED, **{name: secret for name, (_, secret) in PLACED.items()}}
    assert len(secrets) >= 45
    assert [(where, name) for where, text in texts.items() for name, secret in secrets.items() if secret in text] == []
