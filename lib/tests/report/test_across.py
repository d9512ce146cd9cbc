"""Runs beside each other: what differs is listed, what has lengths and load in common is compared, the rest is told with why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchbook.cli import app
from benchbook.numbers.files import read_files
from benchbook.numbers.importing import make_run as import_run
from benchbook.records.record import Reason, Verdict
from benchbook.report.across import across
from benchbook.report.sides import sides_of
from benchbook.terms.errors import ExperimentError
from report_runs import make_run
from typer.testing import CliRunner

DATA = Path(__file__).parents[1] / "data" / "results"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a results folder with two runs of ours, and two of figures of others of the same lengths and load."""
    folder = tmp_path_factory.mktemp("results")
    first = make_run(folder, repeats=4, benchmarks=("serve", "latency"), concurrencies=(1, 4))
    first.rename(first.with_name("20261123-000001"))

    def later(record):
        machine = record.provenance.machine.model_copy(update={"cpu": "Another CPU"})
        ready = f"2026-11-24T0{record.identity.repeat}:00:00+00:00"
        return record.model_copy(update={
            "provenance": record.provenance.model_copy(update={"machine": machine}),
            "host": record.host.model_copy(update={"version": "0.33.0", "ready_utc": ready}),
        })  # fmt: skip

    make_run(folder, repeats=4, benchmarks=("serve",), concurrencies=(4, 8), change=later)
    for name, factor in (("a100", 1.0), ("h100", 2.0)):
        content = json.loads((DATA / "gemma4_a100_result-short-rate1.json").read_text())
        content |= {key: value / factor for key, value in content.items() if key.endswith("_ms")}
        (folder / f"{name}.json").write_text(json.dumps(content))
        import_run(read_files([folder / f"{name}.json"]), folder, "", name, {})
    return folder


def compare(results, *words):
    done = CliRunner().invoke(app, ["compare", *map(str, words), "--results", str(results)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


OURS = ("quickstart/20261123-000001", "quickstart/20261123-201500")


def test_runs_of_ours_are_compared_where_both_have_a_load_and_what_differs_is_listed(results):
    said = compare(results, *OURS)
    assert "engine" in said and "vLLM 0.32.0" in said and "vLLM 0.33.0" in said and "Another CPU" in said
    assert (
        "128 in / 64 out, 1 request in flight: this load was measured in eager (quickstart/20261123-000001) alone"
        in said
    )
    assert "latency, 128 in / 64 out" in said and "measured in two runs and not in turn" in said
    assert "serve, 128 in / 64 out, 4 requests in flight" in said


def test_figures_of_others_are_compared_with_others_by_what_they_tell(results):
    first, second = sorted(f"import/{path.name}" for path in results.glob("import/2*"))
    said = compare(results, first, second)
    assert "mean E2EL" not in said.partition("What differs")[0]
    assert "The figures of h100" in said and "median TTFT (ms)" in said and "-50.0 %" in said
    assert "no interval" in said and "better" not in said


def test_ours_and_others_with_nothing_in_common_are_told_apart_with_why(results):
    first, *_ = sorted(f"import/{path.name}" for path in results.glob("import/2*"))
    with pytest.raises(ExperimentError, match="nothing of .* can be compared: .*1024 in / 256 out: measured in a100"):
        compare(results, OURS[0], first, "--format", "csv")
    with pytest.raises(ExperimentError, match="no publication 'x' \\(there are: mi300x"):
        compare(results, OURS[0], "published/x")
    (one,) = across(sides_of(OURS[0], results), sides_of("published/mi300x-gpt-oss-120b", results))
    assert not one.comparison.rows and any(
        "4096 in / 1024 out: measured in published/" in reason for reason in one.apart
    )
    assert ("device", "Synthetic CPU @ 2.0 GHz, 2 cores", "one AMD Instinct MI300X") in one.differences


def test_what_is_invalid_and_what_has_no_lengths_is_not_compared_and_said(results, tmp_path):
    def invalid(record):
        broken = (Reason(code="littles_law", severity="invalid", evidence="x"),)
        return record.model_copy(update={"verdict": Verdict.INVALID, "reasons": broken})

    make_run(tmp_path, repeats=2, benchmarks=("serve",), concurrencies=(4,), change=invalid)
    path = DATA / "serve_2025-02_llama8b_ascend_qps_4.json"
    import_run(read_files([path]), tmp_path, "", "", {})
    for other, said in (
        ("quickstart", "INVALID by littles_law"),
        ("import", "the lengths of its requests are not told"),
    ):
        (one,) = across(sides_of(OURS[1], results), sides_of(other, tmp_path))
        assert not one.comparison.rows and any(said in reason for reason in one.apart)


def test_launches_go_before_runs_and_a_launch_of_a_run_can_be_named(results, tmp_path):
    make_run(tmp_path, launches=("eager", "compiled"), repeats=4, benchmarks=("serve",), concurrencies=(4,))
    assert "compiled" in compare(tmp_path, "quickstart", "eager", "compiled")
    (one,) = across(sides_of("quickstart:eager", tmp_path), sides_of("quickstart:compiled", tmp_path))
    assert one.comparison.rows and (one.comparison.base, one.comparison.other) == ("eager", "compiled")
    with pytest.raises(ExperimentError, match="no launch 'egaer'"):
        sides_of("quickstart:egaer", tmp_path)
    with pytest.raises(ExperimentError, match="no launch 'nothing'"):
        compare(tmp_path, "quickstart", "nothing", "compiled")


def test_a_page_opens_anywhere_and_tells_the_same(results, tmp_path):
    compare(results, *OURS, "--page", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    answer = page[page.index('<div class="answer">') : page.index("<h2 ")]
    assert "against" in answer and ": " in answer
    assert "What differs between them" in page and "What cannot be compared" in page and page.count("<script") == 1
    assert "vLLM 0.33.0" in page and "http://" not in page.replace("http://www.w3.org", "")
    with pytest.raises(ExperimentError, match="a page is of several runs"):
        compare(results, OURS[0], "--page", tmp_path / "other.html")
