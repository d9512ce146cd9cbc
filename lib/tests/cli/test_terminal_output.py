"""What the program writes: streams that outlive readers and alphabets, lines that fit, the progress of a run."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchbook import terminal
from benchbook.records.record import Failure, Identity, Outcome, Reason, Record, Verdict
from benchbook.sweep import progress
from benchbook.sweep.progress import ConsoleProgress
from benchbook.terms import exit_codes
from benchbook.terms.asked import Asked
from benchbook.terms.estimate import Estimate
from rich.console import Console
from typer.testing import CliRunner

LEFT = Estimate(seconds=60.0, later_s=30.0)
ID = "eager,serve,lengths=128x64,max_concurrency=8,num_prompts=80"


def record(repeat=0, case_id=ID, verdict=Verdict.VALID, reasons=(), failure=None):
    return Record(
        identity=Identity(case_id=case_id, repeat=repeat),
        benchmark="serve",
        workload={},
        asked=Asked(),
        outcome=Outcome.HOST_FAILED if failure else Outcome.MEASURED,
        failure=failure,
        values={"output_throughput_tok_s": 811.1},
        verdict=Verdict.INVALID if failure else verdict,
        reasons=[Reason(code=code, severity="suspect", evidence="so") for code in reasons],
        started_utc="",
        ended_utc="",
        started_monotonic_s=0,
        ended_monotonic_s=0,
    )


def console(width=80, **options):
    return Console(file=io.StringIO(), width=width, **options)


def lines_of(shown):
    return re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", shown.file.getvalue()).splitlines()


def failed(evidence, code="crashed"):
    return Failure(code=code, evidence=evidence, hint="read the log")


LONG = "OSError: Cannot find the config file for the model, whose name ends this long sentence: " + "x/" * 60


def test_the_cause_of_a_failure_is_told_whole_and_once_with_its_log(tmp_path):
    shown = console()
    with ConsoleProgress(shown) as told:
        told.begin(5, 0, LEFT)
        for repeat in range(3):
            told.recorded(record(repeat, failure=failed(LONG)), 0.0, tmp_path / "server.log")
        told.recorded(record(3, failure=failed("another cause")), 0.0, None)
        told.recorded(record(4, failure=failed(LONG)), 0.0, tmp_path / "server.log")
    text = shown.file.getvalue()
    assert text.count(LONG) == 1 and text.count("another cause") == 1
    assert text.count(f"Log: {tmp_path}/server.log") == 1
    assert text.index(LONG) < text.index("the same for 2 more repeats") < text.index("another cause")
    assert lines_of(shown)[-1] == "  the same for 1 more repeat"


def test_a_second_attempt_is_no_second_repeat():
    shown = console()
    with ConsoleProgress(shown) as told:
        told.begin(2, 0, LEFT)
        told.recorded(record(0, failure=failed("odd")), 0.0, None)
        told.recorded(record(0, failure=failed("odd")), 0.0, None)
        told.recorded(record(1), 1.0, None)
    assert [line[:7] for line in lines_of(shown) if "[" in line] == ["  [1/2]", "  [1/2]", "  [2/2]"]
    assert "more repeat" not in shown.file.getvalue() and "by the same cause as before" in shown.file.getvalue()


@pytest.mark.parametrize(("columns", "width"), [("0", 80), ("00", 80), ("100", 100), ("", 80), ("many", 80)])
def test_a_width_of_0_is_none_and_what_is_printed_is_seen(monkeypatch, capsys, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    shown = terminal.console()
    terminal.say(shown, "a line")
    shown.print("a table")
    assert shown.width == width and capsys.readouterr().out.split("\n") == ["a line", "a table", ""]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_on_a_terminal_no_line_is_wider_than_it_and_no_id_is_broken(width):
    shown = console(width, force_terminal=True, force_interactive=False)
    with ConsoleProgress(shown) as told:
        told.begin(24, 0, LEFT)
        told.recorded(record(reasons=("machine_busy", "repeats_disagree"), verdict=Verdict.SUSPECT), 1.0, None)
        told.recorded(record(1, failure=failed("a long sentence " * 20)), 1.0, None)
    lines = lines_of(shown)
    assert max(map(len, lines)) <= width
    assert sum(ID in line for line in lines) == 2


@pytest.mark.parametrize("length", [60, 72, 79, 80])
def test_a_long_id_moves_to_the_left_and_stays_whole(length):
    shown = console(force_terminal=True, force_interactive=False)
    with ConsoleProgress(shown) as told:
        told.begin(24, 0, LEFT)
        told.recorded(record(case_id="x" * length), 1.0, None)
    lines = lines_of(shown)
    assert max(map(len, lines)) <= 80 and sum("x" * length in line for line in lines) == 1


def test_elsewhere_a_long_line_keeps_its_indentation():
    shown = console()
    terminal.say(shown, "  translated: " + "word " * 40)
    assert lines_of(shown) == ["  translated: " + ("word " * 40).rstrip()]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_an_id_wider_than_the_terminal_is_broken_after_commas_only(width):
    case_id = f"{ID},num_warmup_prompts=16,temperature=0.5,request_rate_rps=12.5"
    shown = console(width, force_terminal=True, force_interactive=False)
    with ConsoleProgress(shown) as told:
        told.begin(24, 0, LEFT)
        told.recorded(record(case_id=case_id), 1.0, None)
    lines = lines_of(shown)
    assert max(map(len, lines)) <= width
    assert case_id in "".join(line.strip() for line in lines)
    parts = [line for line in lines if "=" in line]
    assert len(parts) > 1 and all(line.endswith(",") for line in parts[:-1])


def test_elsewhere_a_record_is_one_line_whatever_its_length():
    shown = console()
    with ConsoleProgress(shown) as told:
        told.begin(24, 0, LEFT)
        told.recorded(record(reasons=("machine_busy", "repeats_disagree"), verdict=Verdict.SUSPECT), 1.0, None)
    assert lines_of(shown)[1:] == [
        f"  [ 1/24] ! SUSPECT (machine_busy, repeats_disagree) 811.1 output tok/s (1.0 s) {ID} repeat 0"
    ]


def live_text(told, shown):
    shown.print(told._display())
    return lines_of(shown)[-1]


@pytest.mark.parametrize(("passed_s", "said"), [(0, "1 min 30 s"), (60, "30 s"), (95, "10 s"), (2000, "3 min 20 s")])
def test_the_time_left_counts_down_and_is_never_0_with_work_left(monkeypatch, passed_s, said):
    shown, now_s = console(), time.monotonic()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now_s)
    told = ConsoleProgress(shown)
    told.begin(6, 2, Estimate(seconds=90.0, later_s=0.0))
    told.recorded(record(reasons=("machine_busy",), verdict=Verdict.SUSPECT), 1.0, None)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now_s + passed_s)
    assert live_text(told, shown).strip() == f"3 of 6 · ! 1 SUSPECT · about {said} to go"


def test_a_display_says_so_when_nothing_is_left_to_measure():
    shown = console()
    told = ConsoleProgress(shown)
    told.begin(1, 0, LEFT)
    told.recorded(record(), 1.0, None)
    assert live_text(told, shown).strip() == "1 of 1 · ✓ 1 VALID · nothing left to measure"


def test_ctrl_z_is_the_shells_again_after_a_run():
    before = signal.getsignal(signal.SIGTSTP)
    with ConsoleProgress(console(force_terminal=True, force_interactive=True)):
        assert signal.getsignal(signal.SIGTSTP) != before
    assert signal.getsignal(signal.SIGTSTP) == before == signal.SIG_DFL


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_no_alphabet_is_too_small(encoding):
    raw = io.BytesIO()
    stream = terminal.Output(io.TextIOWrapper(raw, encoding=encoding), is_needed=True)
    stream.write("… ▶ ± × é ✓ 漢 \udcff")
    stream.flush()
    said = raw.getvalue().decode(encoding)
    assert (
        said
        == {
            "ascii": "... > +- x e + ? ?",
            "latin-1": "... > ± × é + ? ?",
            "utf-8": "… ▶ ± × é ✓ 漢 ?",
        }[encoding]
    )


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_stream_that_is_closed_leads_nowhere_and_no_file_takes_its_number(tmp_path, closed):
    script = (
        "import os\nfrom benchbook.terminal import guard_streams\nguard_streams()\n"
        "file = open('file', 'w')\nprint('said')\nprint(file.fileno(), file=file)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: [os.close(each) for each in closed],
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("" if 1 in closed else "said\n")
    assert int((tmp_path / "file").read_text()) > 2


def test_the_readme_and_the_help_say_what_the_exit_codes_mean():
    from benchbook.cli import app
    from benchbook.project import notebooks_dir

    help_text = CliRunner().invoke(app, ["run", "--help"]).output
    readme = (notebooks_dir().parent / "README.md").read_text()
    for text in (help_text, readme):
        assert exit_codes.sentence() in " ".join(text.split())


def test_what_files_and_programs_say_is_read_as_utf_8_whatever_the_locale():
    package = Path(terminal.__file__).parent
    by_locale = re.compile(r"\b(loads|parse)\(.*\.read_text\(\)|\btext=True")
    lines = [(path.name, line) for path in package.rglob("*.py") for line in path.read_text().splitlines()]
    assert not [each for each in lines if by_locale.search(each[1])]
