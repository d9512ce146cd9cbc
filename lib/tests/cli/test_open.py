"""`benchbook open`: where the report lies, and a browser where there is a display."""

import webbrowser

import pytest
from benchbook.cli import app
from benchbook.records.header import RunState
from report_runs import make_run
from typer.testing import CliRunner


@pytest.fixture
def opened(monkeypatch):
    found = []
    monkeypatch.setattr(webbrowser, "open", lambda address: found.append(address))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return found


@pytest.mark.parametrize(("display", "number"), [("", 0), ("DISPLAY", 1), ("WAYLAND_DISPLAY", 1)])
def test_the_path_is_printed_and_a_browser_opened_where_there_is_a_display(
    tmp_path, monkeypatch, opened, display, number
):
    run_dir = make_run(tmp_path)
    (run_dir / "report.html").write_text("<p>")
    if display:
        monkeypatch.setenv(display, ":0")
    done = CliRunner().invoke(app, ["open", "quickstart", "--results", str(tmp_path)])
    assert done.exit_code == 0 and done.stdout.strip() == str(run_dir / "report.html")
    assert opened == [f"file://{run_dir}/report.html"] * number


def test_without_a_name_it_is_the_newest_run(tmp_path, opened):
    (make_run(tmp_path) / "report.html").write_text("<p>")
    newer = make_run(tmp_path / "later", started_utc="2026-12-01T10:00:00+00:00")
    (newer / "report.html").write_text("<p>")
    newer.parent.rename(tmp_path / "newer")
    done = CliRunner().invoke(app, ["open", "--results", str(tmp_path)])
    assert done.exit_code == 0 and done.stdout.strip() == str(tmp_path / "newer" / newer.name / "report.html")
    assert done.stderr == ""


def test_a_run_that_is_newer_and_has_not_finished_is_named_beside_the_one_that_has(tmp_path, opened):
    finished = make_run(tmp_path / "earlier")
    (finished / "report.html").write_text("<p>")
    newer = make_run(tmp_path, started_utc="2026-12-01T10:00:00+00:00", state=RunState.INTERRUPTED)
    finished.parent.rename(tmp_path / "older")
    done = CliRunner().invoke(app, ["open", "--results", str(tmp_path)])
    assert done.stdout.strip() == str(tmp_path / "older" / finished.name / "report.html")
    name = f"{newer.parent.name}/{newer.name}"
    assert done.stderr.strip() == f"{name} is newer, but interrupted; what it has so far: benchbook report {name}"


def test_a_run_without_a_report_says_what_writes_it(tmp_path, opened):
    make_run(tmp_path)
    done = CliRunner().invoke(app, ["open", "quickstart", "--results", str(tmp_path)])
    assert "has no report yet; to write it: benchbook report" in str(done.exception) and not opened
