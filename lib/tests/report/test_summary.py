"""The summary of a run: what it says at its end, and the exit code that goes with it."""

import io

import pytest
from benchbook.records.record import Verdict
from benchbook.report.caveats import caveats
from benchbook.report.run import load_run
from benchbook.report.summary import ending, print_summary
from benchbook.terms import exit_codes
from report_runs import failed, judged, make_run
from rich.console import Console

ALL_SUSPECT = {"change": lambda record: judged(record, "suspect", "machine_busy", "45 % of all processors")}
ALL_FAILED = {"change": lambda record: failed(record, "RuntimeError: said in full. " * 20)}


def one_in_four(record):
    return judged(record, "suspect", "machine_busy", "45 %") if record.workload.get("max_concurrency") == 1 else record


def factor_two(record):
    """Return the second repeat of a case with values twice as large: together they are in doubt."""
    if record.benchmark != "serve" or record.identity.repeat == 0:
        return record
    return record.model_copy(update={"values": {key: value and 2 * value for key, value in record.values.items()}})


def lines_of(run_dir, width=80, **options):
    console = Console(file=io.StringIO(), width=width, **options)
    print_summary(load_run(run_dir), console)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("run", "code"),
    [
        ({}, exit_codes.OK),
        ({"change": one_in_four}, exit_codes.OK),
        (ALL_SUSPECT, exit_codes.NO_ANSWER),
        ({"change": factor_two}, exit_codes.NO_ANSWER),
        (ALL_FAILED, exit_codes.FAILED),
        ({"change": lambda record: record if record.benchmark == "serve" else failed(record)}, exit_codes.FAILED),
        ({"change": lambda record: judged(record, "invalid", "requests_failed", "1 of 40")}, exit_codes.FAILED),
        ({"change": lambda record: None if record.identity.repeat else record}, exit_codes.FAILED),
        ({"state": "interrupted"}, exit_codes.INTERRUPTED),
    ],
)
def test_the_exit_code_says_what_the_summary_says(tmp_path, run, code):
    run_dir = make_run(tmp_path, **run)
    assert ending(load_run(run_dir)) == (code, exit_codes.MEANINGS[code])
    if code in (exit_codes.OK, exit_codes.NO_ANSWER):
        assert any("This run cannot answer" in line for line in lines_of(run_dir)) is (code == exit_codes.NO_ANSWER)


def test_a_run_without_doubt_is_four_lines_and_where_things_lie(tmp_path, monkeypatch):
    run_dir = make_run(tmp_path)
    (run_dir / "report.html").touch()
    monkeypatch.chdir(tmp_path)
    lines = lines_of(run_dir)
    assert [line[:9].strip() for line in lines] == ["Verdicts", "Answer", "", "Report", "Logs"]
    assert lines[0].startswith("Verdicts ✓ ") and "VALID, of " in lines[0]
    assert lines[2].strip().startswith("All repeats of a case share one start: ± and intervals tell of that")
    assert lines[3:] == [
        "Report   quickstart/20261123-201500/report.html",
        "Logs     launches/ (hosts) and cases/ (repeats) in quickstart/20261123-201500",
    ]


def test_who_was_valid_when_measured_and_is_not_now_is_said(tmp_path):
    run_dir = make_run(tmp_path, change=factor_two)
    assert {record.verdict for record in load_run(run_dir).records if record.benchmark == "serve"} == {Verdict.SUSPECT}
    (line,) = [line for line in lines_of(run_dir) if "VALID when measured" in line]
    assert "judged together: 16 repeats" in line and "repeats_disagree 16" in line


@pytest.mark.parametrize(
    ("unseen", "said"),
    [
        ({"preempted": "/metrics answered 404"}, "16 measured repeats are judged without all checks, 16 of them VALID. Not looked"),
        ({"preempted": "no page", "server_disagrees": "no page"}, "preempted, server_disagrees (no page)."),
        ({f"check_{number}": f"reason {number}" for number in range(9)}, "; and 6 reasons more."),
    ],
)  # fmt: skip
def test_what_nobody_could_look_at_is_counted_so_that_valid_is_not_silent_on_it(tmp_path, unseen, said):
    def blind(record):
        return record.model_copy(update={"not_looked": unseen if record.benchmark == "serve" else {}})

    run_dir = make_run(tmp_path, change=blind)
    assert said in " ".join(" ".join(lines_of(run_dir)).split())
    assert sum("judged without all checks" in sentence for sentence in caveats(load_run(run_dir))) == 1


@pytest.mark.parametrize("unseen", [None, {}])
def test_of_a_run_that_all_checks_could_look_at_nothing_is_said(tmp_path, unseen):
    run_dir = make_run(tmp_path, change=lambda record: record.model_copy(update={"not_looked": unseen}))
    assert not any("all checks" in line for line in lines_of(run_dir))


def test_a_cause_is_said_whole_and_once(tmp_path):
    text = "\n".join(lines_of(make_run(tmp_path, **ALL_FAILED)))
    assert text.count(("RuntimeError: said in full. " * 20).strip()) == 1
    assert text.count("What to do: lower gpu_memory_utilization") == 1


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("run", [{}, ALL_SUSPECT, ALL_FAILED, {"change": factor_two}])
def test_on_a_terminal_no_line_but_that_of_a_long_word_is_wider_than_it(tmp_path, monkeypatch, width, run):
    run_dir = make_run(tmp_path, **run)
    monkeypatch.chdir(tmp_path)
    for line in lines_of(run_dir, width, force_terminal=True, no_color=True, color_system=None):
        assert len(line) <= width or len(line.split()) == 1


def test_the_answer_of_a_run_in_which_a_launch_failed_opens_with_that_launch(tmp_path):
    def change(record):
        return failed(record) if record.identity.launch == "compiled" else ALL_SUSPECT["change"](record)

    lines = lines_of(make_run(tmp_path, launches=("eager", "compiled"), change=change), 400)
    start = next(place for place, line in enumerate(lines) if line.startswith("Answer"))
    assert "! This run cannot answer: launch 'compiled' gave no number: torch.OutOfMemoryError" in lines[start]
    assert "Of what was measured, " in lines[start + 1] and "Seen all the same" in lines[start + 2]
