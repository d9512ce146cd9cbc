"""`benchbook history`: points, versions, steps and what changed with them; a page that loads nothing."""

import csv
import io
import json
import math
import random
import re
import shutil
import sys

import pytest
from benchbook.cli import app
from benchbook.history import PAGE
from benchbook.records.record import Reason, Verdict
from benchbook.terms.errors import ExperimentError
from report_runs import make_run
from terminal import on_terminal
from typer.testing import CliRunner

BUSY = Reason(code="machine_busy", severity="suspect", evidence="e")
DOUBTED = {"verdict": Verdict.SUSPECT, "reasons": (BUSY,)}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a folder with twelve nightly runs, of which the last four have another version and are 7 % slower."""
    folder, draw = tmp_path_factory.mktemp("results"), random.Random(3)
    for night in range(1, 13):
        is_new = night > 8
        level = (0.93 if is_new else 1.0) * math.exp(draw.gauss(0, 0.006))

        def change(record, night=night, is_new=is_new, level=level):
            values = {
                key: value and value * (level if key.endswith("_tok_s") else 1) for key, value in record.values.items()
            }
            ready = f"2026-11-{night:02}T0{record.identity.repeat}:00:00+00:00"
            host = record.host.model_copy(update={"version": "0.33.0" if is_new else "0.32.0", "ready_utc": ready})
            parts = {"packages": "b" if is_new else "a", "launch": "x", "seed": str(night)}
            identity = record.identity.model_copy(update={"fingerprint_parts": parts})
            update = {"values": values, "host": host, "identity": identity, "started_utc": ready}
            return record.model_copy(update=update | (DOUBTED if night == 2 else {}))

        run_id = f"202611{night:02}-000000"
        made = make_run(folder / "made", benchmarks=("serve",), concurrencies=(4,), repeats=3, change=change, run_id=run_id,
                        started_utc=f"2026-11-{night:02}T00:00:00+00:00")  # fmt: skip
        (folder / "nightly").mkdir(exist_ok=True)
        shutil.move(made, folder / "nightly" / run_id)
        shutil.rmtree(folder / "made")
    return folder


def history(results, *words):
    return CliRunner().invoke(app, ["history", *words, "--results", str(results)], catch_exceptions=False).stdout


def test_a_step_is_said_with_its_size_its_run_and_what_changed_with_it(results):
    first = history(results, "nightly").splitlines()[0]
    assert (
        "Output throughput of eager" in first and "at 20261109-000000" in first and "changed with it: packages" in first
    )
    assert 5.5 < abs(float(re.search(r"steps by (-[\d.]+) %", first)[1])) < 8.5


def test_the_page_has_a_figure_a_series_and_loads_nothing(results):
    history(results, "nightly")
    page = (results / "nightly" / PAGE).read_text()
    assert page.count("<figure>") == 2 and "0.33.0" in page and "steps by" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page) and page.count("<script") == 1


def test_rows_for_programs_have_values_intervals_and_what_changed(results):
    rows = json.loads(history(results, "nightly", "--format", "json"))
    assert len(rows) == 24 and all(row["low_95"] < row["mean"] < row["high_95"] for row in rows)
    assert {row["run"]: row["suspect"] for row in rows}["20261102-000000"] == 3
    steps = [row["run"] for row in rows if row["step_ratio"]]
    assert steps == ["20261109-000000"] * 2 and {row["changed"] for row in rows} == {"", "packages"}
    assert len(list(csv.DictReader(io.StringIO(history(results, "nightly", "--format", "csv"))))) == 24
    assert history(results, "nightly", "--format", "md").startswith("| run |")


def test_metrics_that_are_named_are_shown_in_place_of_the_headline(results):
    rows = json.loads(
        history(results, "nightly", "--metric", "p99_ttft_ms", "--metric", "median_tpot_ms", "--format", "json")
    )
    assert {row["metric"] for row in rows} == {"p99_ttft_ms", "median_tpot_ms"}


def test_too_few_runs_tell_no_step_and_say_so(tmp_path, results):
    (tmp_path / "nightly").mkdir()
    for night in ("20261101-000000", "20261109-000000"):
        shutil.copytree(results / "nightly" / night, tmp_path / "nightly" / night)
    assert "has 2 runs, and 5 are the fewest" in history(tmp_path, "nightly")


@pytest.mark.parametrize(
    ("words", "said"),
    [(("nihgtly",), "did you mean 'nightly'"), (("nightly", "--metric", "ttft"), "no metric 'ttft'")],
)
def test_a_name_that_is_none_is_refused_with_the_near_one(results, words, said):
    done = CliRunner().invoke(app, ["history", *words, "--results", str(results)])
    assert isinstance(done.exception, ExperimentError) and said in str(done.exception)


def test_on_a_terminal_its_tables_fit_and_nothing_is_lost_elsewhere(results, tmp_path):
    words = [sys.executable, "-m", "benchbook", "history", "nightly", "--results", str(results)]
    with on_terminal(words, cwd=tmp_path, columns=100) as terminal:
        terminal.read_to_end()
    assert terminal.process.returncode == 0 and terminal.widest() <= 100
    assert "20261112-000000" in terminal.text and "eager, serve, 128 in / 64 out" in terminal.text
