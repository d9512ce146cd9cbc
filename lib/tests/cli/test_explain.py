"""`benchbook explain`: every code, metric and column by its name, near ones for a slip, all of them without a name."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from benchbook.cli import app
from benchbook.judge.catalogue import BY_CODE, CODES
from benchbook.judge.columns import COLUMNS
from benchbook.judge.price import PRICED
from benchbook.records.record import Verdict
from benchbook.terms.errors import ExperimentError
from benchbook.terms.exit_codes import BAD_INPUT, OK
from benchbook.terms.metrics import METRICS
from rich.cells import cell_len
from terminal import on_terminal
from typer.testing import CliRunner

PROGRAM = [sys.executable, "-m", "benchbook", "explain"]


def explained(*words: str) -> str:
    return CliRunner().invoke(app, ["explain", *words], catch_exceptions=False).stdout


def refusal(name: str) -> str:
    with pytest.raises(ExperimentError) as refused:
        CliRunner().invoke(app, ["explain", "--", name], catch_exceptions=False)
    (line,) = str(refused.value).splitlines()
    return line


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.code)
def test_a_code_is_told_with_its_meaning_its_threshold_and_what_to_do(code):
    text = explained(code.code)
    assert text.startswith(f"{code.code}\n")
    assert all(f" {fact}\n" in text for fact in (code.meaning, code.threshold, code.remedy))
    assert ("measured again" in text) == code.is_outside


@pytest.mark.parametrize("verdict", Verdict)
def test_a_verdict_is_told_however_it_is_written_with_what_becomes_of_the_number(verdict):
    text = explained(verdict.lower())
    assert text == explained(verdict) and text.startswith(f"{verdict}\n") and f" {verdict.meaning}\n" in text
    assert ("benchbook explain machine_busy" in text) == (verdict is not Verdict.VALID)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.key)
def test_a_metric_is_told_by_its_name_and_by_its_heading_in_a_report_alike(metric):
    text = explained(metric.key)
    assert f"{metric.key}: {metric.heading}\n" in text and f" {metric.formula}\n" in text
    assert (metric.unit or "a count") in text and ", ".join(metric.benchmarks) in text
    if sum(each.heading == metric.heading for each in METRICS) == 1 and metric.heading not in (
        "TTFT (ms)",
        "E2EL (ms)",
    ):
        assert explained(metric.heading) == text


@pytest.mark.parametrize("key", COLUMNS)
def test_a_column_that_is_judged_is_told_as_well(key):
    assert COLUMNS[key] in explained(key)


@pytest.mark.parametrize("name", ["Too_Short", "too-short", " too short "])
def test_what_is_spelt_otherwise_is_the_same_name(name):
    assert explained(name) == explained("too_short")


@pytest.mark.parametrize("name", ["TTFT", "tpot", "ITL", "e2el"])
def test_a_latency_without_a_statistic_is_told_by_its_median(name):
    assert explained(name) == explained(f"median_{name.lower()}_ms")


@pytest.mark.parametrize(
    ("slip", "near"),
    [
        ("to_short", "too_short"),
        ("machine_bussy", "machine_busy"),
        ("kv_exausted", "kv_exhausted"),
        ("p99_tfft_ms", "p99_ttft_ms"),
        ("throughput", "output_throughput_tok_s"),
        ("step_share_limit", "step_share_of_limit"),
    ],
)
def test_a_slip_is_refused_with_the_near_names(slip, near):
    assert repr(near) in refusal(slip)


@pytest.mark.parametrize("name", ["nonsense", "-", "%", "ü", "x" * 10_000, "\x1b[31mred"])
def test_a_name_that_is_near_to_none_is_told_where_all_are(name):
    line = refusal(name)
    assert line.endswith("`benchbook explain` lists all") and "\x1b" not in line


def test_without_a_name_each_one_has_a_line_fit_for_a_pipe():
    lines = explained().splitlines()
    names = [line.split()[0] for line in lines[1:]]
    assert len(names) == len(set(names)) and set(names) == {
        *Verdict,
        *BY_CODE,
        *COLUMNS,
        *PRICED,
        *(one.key for one in METRICS),
    }
    assert BY_CODE["littles_law"].meaning in "\n".join(lines)


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("words", [[], ["machine_busy"], ["output_throughput_tok_s"]], ids=["all", "code", "metric"])
def test_on_a_terminal_no_line_is_wider_than_it_but_for_a_name(words, columns, tmp_path):
    with on_terminal([*PROGRAM, *words], cwd=tmp_path, columns=columns) as terminal:
        terminal.read_to_end()
    assert terminal.process.returncode == OK
    name_and_kind = 2 + max(map(len, (*BY_CODE, *COLUMNS))) + 2 + len("what it is") + 12
    widest = max(columns, name_and_kind if not words else 0)
    assert max(cell_len(line) for line in terminal.text.splitlines()) <= widest


@pytest.mark.parametrize(("begun", "names"), [("littles", ["littles_law"]), ("p99_t", ["p99_ttft_ms", "p99_tpot_ms"])])
def test_a_shell_completes_a_name_that_is_begun(begun, names):
    env = {"_BENCHBOOK_COMPLETE": "complete_bash", "COMP_WORDS": f"benchbook explain {begun}", "COMP_CWORD": "2"}
    asked = [sys.executable, "-c", "from benchbook.cli import app; app(prog_name='benchbook')"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, env={**os.environ, **env})
    assert done.stdout.split() == names


def test_a_slip_ends_with_the_code_of_bad_input_and_a_reader_that_goes_is_no_error():
    slip = subprocess.run([*PROGRAM, "to_short"], capture_output=True, text=True, timeout=60)
    assert (slip.returncode, slip.stdout) == (BAD_INPUT, "")
    assert slip.stderr.startswith("benchbook: 'to_short' is no code") and slip.stderr.count("\n") == 1
    piped = " ".join(PROGRAM) + " | head -n 1; echo ${PIPESTATUS[0]}"
    done = subprocess.run(["bash", "-c", piped], capture_output=True, text=True, timeout=60)
    assert done.stderr == "" and done.stdout.splitlines()[1] == str(OK)
