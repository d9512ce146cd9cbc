"""Situations of practice that are no launch line: figures of others, streams, servers elsewhere, alphabets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests.utils
from benchbook.hosts.process.shell import certificates, no_proxy
from benchbook.hosts.vllm.tokenizers import check_here
from benchbook.judge.checks import record_reasons
from benchbook.judge.group import judged_alone_and_together
from benchbook.records.published import load_published
from benchbook.records.record import Record
from benchbook.terms.errors import ExperimentError
from measured import serve

# ---- figures of others, of which nothing is known but what they tell

MEANS = {"mean_ttft_ms": 267.0, "mean_tpot_ms": 33.9}
COUNTS = {"completed": 1000, "failed": 0}
PUBLISHED = {
    "nothing completed": (
        {"completed": 0, "failed": 8, "mean_ttft_ms": 0.0, "mean_tpot_ms": 0.0, "mean_e2el_ms": 0.0},
        {"num_prompts": 8, "max_concurrency": 2},
        {"nothing_completed": "INVALID", "requests_failed": "INVALID"},
    ),
    "0.381 of 1": (
        {"request_throughput_rps": 0.381, "mean_ttft_ms": 781_818.0, "mean_tpot_ms": 127.0},
        {"num_prompts": 1000, "request_rate_rps": 1.0, "output_len_tokens": 1000},
        {"overloaded": "SUSPECT"},
    ),
    "a sum of means": (
        {"mean_ttft_ms": 33.3, "mean_tpot_ms": 3.48, "mean_e2el_ms": 483.0},
        {"request_rate_rps": 1.0, "output_len_tokens": 62},
        {"latency_sum_broken": "INVALID"},
    ),
    "0.993 of 1": (
        {"request_throughput_rps": 0.993, **MEANS, **COUNTS},
        {"num_prompts": 1000, "request_rate_rps": 1.0, "output_len_tokens": 256},
        {},
    ),
    "own: 12 are missing": (
        {"completed": 988, **MEANS},
        {"num_prompts": 1000, "max_concurrency": 4},
        {"requests_failed": "INVALID"},
    ),
    "own: 0.85 of 1": (
        {"request_throughput_rps": 0.85, **COUNTS},
        {"num_prompts": 1000, "request_rate_rps": 1.0},
        {"overloaded": "SUSPECT"},
    ),
    "own: tokens are told": (
        {"mean_ttft_ms": 100.0, "mean_tpot_ms": 10.0, "mean_e2el_ms": 2100.0, "total_output_tokens": 100_000, **COUNTS},
        {"num_prompts": 1000, "max_concurrency": 4, "output_len_tokens": 201},
        {"latency_sum_broken": "INVALID"},
    ),
    "own: means that add up": (
        {"mean_ttft_ms": 100.0, "mean_tpot_ms": 10.0, "mean_e2el_ms": 2100.0, **COUNTS},
        {"num_prompts": 1000, "max_concurrency": 4, "output_len_tokens": 201},
        {},
    ),
    "own: medians do not add": (
        {"median_ttft_ms": 33.3, "median_tpot_ms": 3.48, "median_e2el_ms": 483.0, **COUNTS},
        {"num_prompts": 1000, "max_concurrency": 4, "output_len_tokens": 62},
        {},
    ),
}


RATES = {"duration_s": 50.0, "completed": 100, "request_throughput_rps": 2.0}
ASKED = {"num_prompts": 100, "max_concurrency": 8, "output_len_tokens": 50}
SENT = {"num_prompts": 100, "request_rate_rps": 4.0}
# What cannot all be true, each with a twin that can: (values, workload, values of the twin).
IMPOSSIBLE = {
    "a negative time": ({"mean_ttft_ms": -5.0}, ASKED, {"mean_ttft_ms": 5.0}),
    "a negative rate": ({"output_throughput_tok_s": -1.0}, {}, {"output_throughput_tok_s": 1.0}),
    "a negative count": ({"failed": -3, "completed": 100}, ASKED, {"failed": 0, "completed": 100}),
    "p99 below the median": (
        {"median_ttft_ms": 30.0, "p99_ttft_ms": 20.0},
        {},
        {"median_ttft_ms": 30.0, "p99_ttft_ms": 30.0},
    ),
    "p95 below p90": ({"p90_itl_ms": 9.0, "p95_itl_ms": 8.0}, {}, {"p90_itl_ms": 9.0, "p95_tpot_ms": 8.0}),
    "p99 below p95": ({"p95_e2el_ms": 900.0, "p99_e2el_ms": 800.0}, {}, {"p95_e2el_ms": 900.0, "p99_e2el_ms": 900.0}),
    "a part longer than the whole": (
        {"mean_ttft_ms": 90.0, "mean_e2el_ms": 80.0},
        {},
        {"mean_ttft_ms": 70.0, "mean_e2el_ms": 80.0},
    ),
    "the same at p99": ({"p99_ttft_ms": 90.0, "p99_e2el_ms": 80.0}, {}, {"p99_ttft_ms": 90.0, "median_e2el_ms": 80.0}),
    "120 of 100": ({"completed": 120}, ASKED, {"completed": 100}),
    "with failed ones 101 of 100": ({"completed": 100, "failed": 1}, ASKED, {"completed": 100, "failed": 0}),
    "6 answered of 4 sent": ({"request_throughput_rps": 6.0}, SENT, {"request_throughput_rps": 4.3}),
    "1.3 of 1, by many": (
        {"request_throughput_rps": 1.3},
        {"num_prompts": 2000, "request_rate_rps": 1.0},
        {"request_throughput_rps": 1.02},
    ),
    "tokens that nobody asked for": (
        {**RATES, "output_throughput_tok_s": 1000.0},
        ASKED,
        {**RATES, "output_throughput_tok_s": 100.0},
    ),
    "fewer than were counted": (
        {**RATES, "total_output_tokens": 5000, "output_throughput_tok_s": 50.0},
        {},
        {**RATES, "total_output_tokens": 5000, "output_throughput_tok_s": 99.0},
    ),
    "a rate of another duration": ({**RATES, "duration_s": 500.0}, {}, {**RATES, "duration_s": 50.4}),
    "a total of the prompts alone": (
        {**RATES, "total_output_tokens": 5000, "total_input_tokens": 9000, "total_throughput_tok_s": 180.0},
        {},
        {**RATES, "total_output_tokens": 5000, "total_input_tokens": 9000, "total_throughput_tok_s": 280.0},
    ),
}


def published(folder: Path, values: dict, workload: dict) -> Record:
    """Return the record of one published row, judged."""
    row = {"benchmark": "serve", "workload": {"input_len_tokens": 1000, **workload}, "values": values}
    source = {"published": "2026-01-01", "model": "m"}
    path = folder / "figures.json"
    path.write_text(repr({"name": "x", "source": source, "records": [row]}).replace("'", '"'))
    (record,) = judged_alone_and_together(load_published(path).records)
    return record


@pytest.mark.parametrize("row", PUBLISHED)
def test_figures_of_others_are_judged_by_what_they_tell(tmp_path, row) -> None:
    values, workload, codes = PUBLISHED[row]
    record = published(tmp_path, values, workload)
    found = {reason.code: reason.severity.upper() for reason in record.reasons if reason.severity != "note"}
    assert found == codes
    assert record.verdict.value == ("INVALID" if "INVALID" in codes.values() else "SUSPECT" if codes else "VALID")
    assert 0.0 not in [record.values.get(key) for key in ("mean_ttft_ms", "mean_e2el_ms")], "absent, and not 0"


@pytest.mark.parametrize("row", IMPOSSIBLE)
def test_figures_that_cannot_all_be_true_are_invalid_and_their_twins_are_not(tmp_path, row) -> None:
    values, workload, twin = IMPOSSIBLE[row]
    found = {why.code: why.severity for why in published(tmp_path, values, workload).reasons}
    assert found.get("figures_contradict") == "invalid"
    assert "figures_contradict" not in {why.code for why in published(tmp_path, twin, workload).reasons}


@pytest.mark.parametrize(
    ("counts", "unseen"),
    [
        ({}, {"requests_failed", "nothing_completed"}),
        ({"completed": 1000}, set()),
        ({"failed": 0}, {"nothing_completed"}),
        (COUNTS, set()),
    ],
    ids=["neither", "completed", "failed", "both"],
)
def test_a_count_that_is_missing_is_named_and_not_read_as_0(tmp_path, counts, unseen) -> None:
    record = published(tmp_path, {**MEANS, **counts}, {"num_prompts": 1000, "max_concurrency": 4})
    assert record.reasons == () and set(record.not_looked) == unseen


# ---- first events without text, and how many of them are an accusation


@pytest.mark.parametrize(
    ("itls", "is_accused"),
    [
        ([[0.01, 0.3] + [0.002] * 63] * 40, True),  # two of them
        ([[0.3] + [0.002] * 63] * 20 + [[0.002] * 63] * 20, True),  # half of the answers
        ([[0.3] + [0.002] * 63] * 2 + [[0.002] * 63] * 38, False),  # of 40 two
        ([[0.3] + [0.002] * 63] * 3 + [[0.002] * 63] * 37, True),
        ([[0.002] * 63 + [0.3]] * 40, True),  # one at the end
        ([[0.0] * 9 + [0.002] * 63] * 40, True),
        ([[0.002] * 62] * 40, False),  # fewer chunks than tokens is another matter
    ],
    ids=[
        "two",
        "of half of the answers",
        "of two answers",
        "of three answers",
        "at the end",
        "nine at once",
        "one fewer",
    ],
)
def test_more_chunks_than_tokens_are_told(itls, is_accused) -> None:
    found = {reason.code: reason for reason in record_reasons(serve(raw={"itls": itls}))}
    assert ("empty_first_chunk" in found) == is_accused
    if is_accused:
        assert "more chunks than tokens" in found["empty_first_chunk"].evidence


# ---- servers elsewhere


@pytest.mark.parametrize(
    "root",
    [
        "s3://bucket/llama",
        "/mnt/nfs/llama/",
        "C:\\models\\llama",
        "gs://b/m",
        "/opt/ml/model",
        "hf://org/name",
        "az://blob/models/m",
        "//nas/models/m",
    ],
)
def test_files_of_another_machine_are_asked_for_in_one_sentence(root) -> None:
    with pytest.raises(ExperimentError, match="^[^\n]*the parameter `tokenizer`"):
        check_here(root)


@pytest.mark.parametrize(
    "shell",
    [
        {"REQUESTS_CA_BUNDLE": "/bundle.pem"},
        {"SSL_CERT_DIR": "/certs"},
        {"SSL_CERT_FILE": "/cert.pem", "REQUESTS_CA_BUNDLE": "/bundle.pem"},
        {"SSL_CERT_DIR": "/certs", "REQUESTS_CA_BUNDLE": "/bundle.pem"},
        {"SSL_CERT_FILE": "/cert.pem", "SSL_CERT_DIR": "/certs", "REQUESTS_CA_BUNDLE": "/cert.pem"},
        {"SSL_CERT_FILE": "", "REQUESTS_CA_BUNDLE": "/bundle.pem"},
        {},
    ],
    ids=["requests' own", "a folder", "both", "a folder and requests' own", "all three", "an empty one", "none"],
)
def test_whom_the_shell_trusts_the_client_trusts(monkeypatch, shell) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in shell.items():
        monkeypatch.setenv(name, value)
    assert certificates() == shell


@pytest.mark.parametrize(
    "excepted",
    [
        {"no_proxy": ".corp,10.0.0.0/8"},
        {"NO_PROXY": "registry.corp:5000"},
        {"no_proxy": "a.corp", "NO_PROXY": "b.corp"},
        {"no_proxy": "", "NO_PROXY": "127.0.0.1"},
        {"NO_PROXY": "*"},
    ],
    ids=["a domain", "a port", "two spellings", "loopback already", "all"],
)
def test_what_the_shell_excepts_from_its_proxy_stays_excepted_beside_this_machine(monkeypatch, excepted) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in excepted.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    found = no_proxy(["10.1.2.3"])
    assert found["no_proxy"] == found["NO_PROXY"]
    hosts = found["no_proxy"].split(",")
    wanted = [host for value in excepted.values() for host in value.split(",") if host]
    assert hosts[: len(set(wanted))] == list(dict.fromkeys(wanted)) and len(hosts) == len(set(hosts))
    monkeypatch.setenv("no_proxy", found["no_proxy"])
    for address in ("http://127.0.0.1:8000", "http://localhost:8000", "http://10.1.2.3:8000"):
        assert requests.utils.get_environ_proxies(address) == {}, "by the rules of a client that trusts the shell"


# ---- the program's own surroundings

FILE = """question: Wie schnell … ± ▶ 漢?
model: {model}
launches:
  d: {{args: {{swap_space: 4}}}}
benchmarks:
  - serve: {{max_concurrency: 1, lengths: [[64, 16]], num_prompts: 4}}
"""


def benchbook(folder: Path, *words: str, model: str = "tiny", **env: str) -> subprocess.CompletedProcess:
    """Run the program on a file in `folder`."""
    (folder / "exp.yaml").write_text(FILE.format(model=model))
    command = [sys.executable, "-m", "benchbook", *words, "exp.yaml"]
    return subprocess.run(command, cwd=folder, env={**os.environ, **env}, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    ("env", "encoding"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "ascii"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}, "ascii"),
        ({"PYTHONIOENCODING": "latin-1"}, "latin-1"),
        ({"PYTHONIOENCODING": "cp437"}, "cp437"),
        ({"PYTHONIOENCODING": "koi8-r:strict"}, "koi8-r"),
        ({"PYTHONIOENCODING": "shift_jis"}, "shift_jis"),
    ],
    ids=["ascii", "C", "latin-1", "cp437", "koi8-r", "shift_jis"],
)
def test_a_plan_is_told_in_the_letters_that_there_are(tmp_path, env, encoding) -> None:
    done = benchbook(tmp_path, "plan", **env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "left out; gone since 0.18" in " ".join(done.stdout.decode(encoding).split())


@pytest.mark.parametrize("model", ["{hub: Qwen/Qwen3-0.6B}", "{hub: a/b, revision: v1.0}"], ids=["main", "a revision"])
def test_a_run_off_line_of_a_model_that_is_not_here_starts_nothing(tmp_path, model) -> None:
    done = benchbook(tmp_path, "run", model=model, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "empty"))
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 2 and "hf download" in line and ("--revision v1.0" in line) == ("v1.0" in model)
    assert not (tmp_path / "results").exists()
