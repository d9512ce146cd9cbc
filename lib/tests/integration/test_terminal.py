"""The command line as a person meets it: on a terminal, whatever its width, colours and alphabet; and in a pipe."""

import fcntl
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import termios
import time
from types import SimpleNamespace

import pytest
from benchbook.records.store import Store
from benchbook.terms import exit_codes
from rows import IS_FULL, rows
from sweeps import ALL_MEASURED, FAKE_PACKAGE, SMALL_SWEEP, wait_nothing_left, write_fake_sweep
from terminal import CTRL_C, CTRL_Z, on_terminal

pytestmark = pytest.mark.integration

BENCHBOOK = [sys.executable, "-m", "benchbook"]
COLUMNS = [80, 100, 160]
COLOURS = {"colours": {}, "NO_COLOR": {"NO_COLOR": "1"}}
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LATIN_1 = {"PYTHONIOENCODING": "latin-1"}
DEAD = """
  dead: {{env: {{FAKE_VLLM: '{{"exit_code": 1, "log_text": "OSError: Cannot find the config file of the model, as this \
sentence tells that is longer than any terminal is wide"}}'}}}}"""
CASE_ID = "fake,serve,lengths=16x8,max_concurrency=2,num_prompts=4"


def environment(folder):
    return {
        "BENCHBOOK_TEST": str(folder),
        "BENCHBOOK_STATE_DIR": str(folder / "state"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(FAKE_PACKAGE), os.environ.get("PYTHONPATH")])),
    }


def benchbook_on_terminal(folder, *words, columns=80, env=None):
    return on_terminal([*BENCHBOOK, *words], cwd=folder, columns=columns, env={**environment(folder), **(env or {})})


def benchbook_in_shell(folder, line, **env):
    """Run a shell's line in which $BENCHBOOK is the program; return its last line of output and its errors."""
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, **environment(folder), "BENCHBOOK": shlex.join(BENCHBOOK), **env},
        capture_output=True,
        text=True,
        timeout=120,
    )


def assert_ends_as_it_says(terminal):
    """The exit code and the last lines on the screen agree, and the cursor is there again."""
    lines = [line for line in terminal.lines() if line]
    code = terminal.process.returncode
    said = re.findall(r"Exit code (\d+): ", " ".join(lines))
    assert said == ([str(code)] if code else []), lines
    if code in ALL_MEASURED:
        assert ("This run cannot answer" in " ".join(lines)) is (code == exit_codes.NO_ANSWER), lines
    assert terminal.text.rfind("\x1b[?25l") <= terminal.text.rfind("\x1b[?25h")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Return a folder, and the terminal that showed its run of three launches, one of which never started."""
    folder = tmp_path_factory.mktemp("measured")
    template = SMALL_SWEEP.replace("}}{more}}}}}", "}}}}\n  again: {{args: {{max_model_len: 2048}}}}{more}").replace(
        "launches: {{fake", "launches:\n  fake"
    )
    file = write_fake_sweep(folder, template=template, more=DEAD.replace("{{", "{").replace("}}", "}"))
    with benchbook_on_terminal(folder, "run", file) as terminal:
        terminal.read_to_end(limit_s=120)
    return folder, terminal


@pytest.fixture(scope="module")
def measured(compared):
    return compared[0]


def assert_sums_itself_up(terminal, columns, is_coloured):
    """A run on a terminal of this width is told to its end, each measured repeat in one line."""
    lines, text = terminal.lines(), terminal.text
    assert "Traceback" not in text and " to go" in text and terminal.widest() <= columns
    assert sum(CASE_ID in line for line in lines) == 2, lines
    for lead in ("Verdicts ", "Answer ", "Report   results/machinery/", "Logs "):
        assert sum(line.startswith(lead) for line in lines) == 1, lines
    assert not any("▶" in line for line in lines), "the live display is gone"
    assert ("\x1b[33m" in text or "\x1b[32m" in text) is is_coloured
    assert_ends_as_it_says(terminal)


def test_a_run_on_a_terminal_goes_to_its_end_and_sums_itself_up(compared):
    folder, terminal = compared
    assert_sums_itself_up(terminal, 80, True)
    assert wait_nothing_left(folder) == []


@pytest.mark.skipif(not IS_FULL, reason="make test-full; the run of three launches is looked at in the same way")
@pytest.mark.parametrize(("columns", "colours"), [*itertools.product(COLUMNS, COLOURS)])
def test_a_run_goes_to_its_end_on_any_terminal(tmp_path, columns, colours):
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP)
    with benchbook_on_terminal(tmp_path, "run", file, columns=columns, env=COLOURS[colours]) as terminal:
        terminal.read_to_end(limit_s=120)
    assert terminal.process.returncode in ALL_MEASURED
    assert_sums_itself_up(terminal, columns, colours == "colours")
    assert wait_nothing_left(tmp_path) == []


def test_a_dead_launch_is_told_once_with_its_whole_reason_and_its_log(compared):
    _, terminal = compared
    progress, summary = " ".join(line.strip() for line in terminal.lines()).split("Verdicts ")
    reason = "Cannot find the config file of the model, as this sentence tells that is longer than any terminal is wide"
    for text in (progress, summary):
        assert text.count(reason) == 1, text
        assert len(re.findall(r"Log: results/machinery/\S+/dead/server.log", text)) == 1, text
    assert "the same for 3 more repeats" in progress and "4 failed" in summary
    assert terminal.process.returncode == exit_codes.FAILED
    assert_ends_as_it_says(terminal)


COMMANDS = {
    "--help": 0,
    "--version": 0,
    "run --help": 0,
    "plan machinery.yaml": 0,
    "plan nothing.yaml": 2,
    "list": 0,
    "ps": 0,
    "stop": 2,
    "stop nobody": 2,
    "key nobody": 2,
    "table machinery": 0,
    "table nothing": 2,
    "compare machinery fake again": 0,
    "compare machinery fake nobody": 2,
    "report machinery": 0,
    "open machinery": 0,
    "watch machinery": 0,
    "watch machinery --stop": 2,
    "rm nothing": 2,
    "nonsense": 2,
}
MAY_BE_WIDE = ("table", "report", "plan")  # for programs; one path; commands to copy


TERMINALS = {
    **{f"{columns} columns": (columns, {}) for columns in COLUMNS},
    "no colour": (80, {"NO_COLOR": "1"}),
    "dumb": (80, {"TERM": "dumb"}),
    "ascii": (80, ASCII),
    "latin-1": (80, LATIN_1),
}


# Each command on one kind of terminal, of those that are refused some, and the one that has most to show where there is
# least room or fewest letters.
SMALL = ("80 columns", "ascii")
REFUSED = ("plan nothing.yaml", "stop", "watch machinery --stop", "nonsense")
ON_ONE = [pair for pair in zip(COMMANDS, itertools.cycle(TERMINALS)) if COMMANDS[pair[0]] == 0 or pair[0] in REFUSED]
ON_ONE += [("compare machinery fake again", kind) for kind in SMALL]


@pytest.mark.parametrize(("command", "terminal"), rows(itertools.product(COMMANDS, TERMINALS), quick={*ON_ONE}))
def test_every_command_fits_its_terminal(measured, command, terminal):
    columns, env = TERMINALS[terminal]
    with benchbook_on_terminal(measured, *command.split(), columns=columns, env=env) as terminal:
        text = terminal.read_to_end()
    assert terminal.process.returncode == COMMANDS[command], text
    assert "Traceback" not in text
    if COMMANDS[command] == 0 and not command.startswith(MAY_BE_WIDE):
        assert terminal.widest() <= columns, text
    if "NO_COLOR" in env or "TERM" in env:
        assert not re.search(r"\x1b\[[\d;]*3\d", text), "a colour"
    if env == ASCII:
        assert text.isascii()


def test_the_ids_that_list_prints_are_whole_at_any_width(measured):
    with benchbook_on_terminal(measured, "list", columns=40) as terminal:
        terminal.read_to_end()
    run_id = (measured / "results/machinery/latest").resolve().name
    assert f"machinery/{run_id}" in terminal.text


QUESTION = "Does the Prüfstand halten … ± ▶ 漢?"
QUESTION_SWEEP = SMALL_SWEEP.replace("Does the machinery hold?", QUESTION)


PLAIN = {"dumb": {"TERM": "dumb"}, "ascii": ASCII, "latin-1": LATIN_1, "dumb and ascii": {"TERM": "dumb", **ASCII}}


def assert_is_told_plainly(terminal, env):
    """A run is told in the lines and letters that its terminal has."""
    text = terminal.text
    assert terminal.process.returncode in ALL_MEASURED and "Traceback" not in text
    if "LC_ALL" in env:
        assert text.isascii()
    if "TERM" in env:
        assert "\x1b" not in text and " starting the server of launch 'fake'" in text
    assert_ends_as_it_says(terminal)


@pytest.mark.skipif(not IS_FULL, reason="make test-full; of two of them the run in two sittings is told, below")
@pytest.mark.parametrize("name", PLAIN)
def test_a_run_is_told_in_plain_lines_or_plain_letters_where_there_is_no_more(tmp_path, name):
    file = write_fake_sweep(tmp_path, template=QUESTION_SWEEP)
    with benchbook_on_terminal(tmp_path, "run", file, env=PLAIN[name]) as terminal:
        terminal.read_to_end(limit_s=120)
    assert_is_told_plainly(terminal, PLAIN[name])
    assert_asks_the_question(tmp_path)


def assert_asks_the_question(folder):
    """The report has every letter, whatever the terminal."""
    assert QUESTION in (folder / "results/machinery/latest/report.html").read_text(encoding="utf-8")


def test_ctrl_c_typed_at_a_terminal_ends_the_run_with_130_and_says_how_to_continue(tmp_path):
    file = write_fake_sweep(tmp_path)
    with benchbook_on_terminal(tmp_path, "run", file) as terminal:
        terminal.read_until(lambda text: "[ 2/24]" in text)
        terminal.press(CTRL_C)
        text = terminal.read_to_end()
    assert terminal.process.returncode == exit_codes.INTERRUPTED
    assert "stopping in order; Ctrl-C again ends at once" in text
    assert "2 measured repeats are kept" in text and f"to continue: benchbook run {file}" in " ".join(text.split())
    assert "Traceback" not in text and wait_nothing_left(tmp_path) == []


@pytest.mark.skipif(not IS_FULL, reason="make test-full; second signals are sent in test_interrupts.py")
def test_ctrl_c_typed_twice_ends_the_run_at_once(tmp_path):
    file = write_fake_sweep(tmp_path)
    with benchbook_on_terminal(tmp_path, "run", file) as terminal:
        terminal.read_until(lambda text: "[ 1/24]" in text)
        terminal.press(CTRL_C)
        time.sleep(0.05)
        terminal.press(CTRL_C)
        text = terminal.read_to_end(limit_s=10)
    assert terminal.process.returncode == exit_codes.INTERRUPTED
    assert "Traceback" not in text and wait_nothing_left(tmp_path) == []


# Runs the program, and presses Ctrl-C when it comes to import the module that is its last argument.
PRESSED_WHILE_IMPORTING = """
import os, signal, sys
from benchbook.__main__ import main
awaited = {sys.argv.pop()}
def press(event, args):
    if event == "import" and args[0] in awaited:
        awaited.clear()
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(press)
main()
"""
# In the order in which a run gets there; the last ones are imported by a thread, while a server starts.
IMPORTED = (
    "benchbook.terms.errors rich.console benchbook.cli typer.core benchbook.hosts.process.registry pydantic yaml "
    "benchbook.sweep.session benchbook.judge.catalogue papermill.execute zmq nbconvert.exporters.html pandas"
).split()


@pytest.mark.parametrize("module", rows(IMPORTED, quick=4))
def test_ctrl_c_in_the_first_second_ends_in_order_whatever_is_being_imported(tmp_path, module):
    file = write_fake_sweep(tmp_path)
    words = [sys.executable, "-c", PRESSED_WHILE_IMPORTING, "run", file, module]
    with on_terminal(words, cwd=tmp_path, env=environment(tmp_path)) as terminal:
        text = terminal.read_to_end()
    assert terminal.process.returncode == exit_codes.INTERRUPTED, text
    assert "Traceback" not in text and "Report " not in text
    assert wait_nothing_left(tmp_path) == []


def run_halted(folder, line, env=None):
    """Run a shell's line on a terminal of 120 columns, halt it after a repeat, go on with it at 60; return the terminal."""
    env = {**environment(folder), "PS1": "ready$ ", "BENCHBOOK": shlex.join(BENCHBOOK), **(env or {})}
    shell = ["bash", "--norc", "--noprofile", "-i", "-o", "pipefail"]
    with on_terminal(shell, cwd=folder, columns=120, env=env) as terminal:
        terminal.press(f"{line}\n".encode())
        terminal.read_until(lambda text: re.search(r"\[\d/4\]", text))
        terminal.press(CTRL_Z)
        terminal.read_until(lambda text: "Stopped  " in text)
        assert terminal.text.rfind("\x1b[?25l") <= terminal.text.rfind("\x1b[?25h"), "the shell has a cursor"
        terminal.resize(60)
        time.sleep(1.5)
        terminal.press(b"fg\n")
        terminal.read_until(lambda text: "[4/4]" in text)
        terminal.resize(160)
        terminal.read_until(lambda text: "Logs  " in text)
        terminal.press(b"echo code=$?; exit\n")
        terminal.read_to_end()
    return terminal


def assert_says_that_it_was_halted(terminal):
    text = words_of(terminal.text)
    assert re.search(r"Halted for \d s\. Servers and the repeat under way", text) and "Traceback" not in text
    assert int(re.findall(r"code=(\d+)", text)[-1]) in ALL_MEASURED


@pytest.mark.skipif(not IS_FULL, reason="make test-full; the second of the two sittings below is halted")
@pytest.mark.parametrize("into", ["", " | cat"], ids=str)
def test_ctrl_z_and_fg_leave_the_terminal_to_the_shell_and_the_run_says_that_it_was_halted(tmp_path, into):
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP)
    assert_says_that_it_was_halted(run_halted(tmp_path, f"$BENCHBOOK run {file}{into}"))
    assert wait_nothing_left(tmp_path) == []


def test_a_terminal_that_is_closed_takes_the_run_along_and_what_is_measured_is_kept(tmp_path):
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP)
    with benchbook_on_terminal(tmp_path, "run", file) as terminal:
        terminal.read_until(lambda text: "[1/4]" in text)
        terminal.hang_up()
    assert terminal.process.returncode == exit_codes.INTERRUPTED and wait_nothing_left(tmp_path) == []
    store = Store.open("machinery", tmp_path / "results")
    assert store.count_measured() >= 1 and store.header().state == "interrupted"


def test_a_run_that_hang_ups_do_not_reach_outlives_its_reader_and_its_terminal(tmp_path):
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP)
    line = f"trap '' HUP; {shlex.join(BENCHBOOK)} run {file} | head -1; exit ${{PIPESTATUS[0]}}"
    with on_terminal(["bash", "-c", line], cwd=tmp_path, env=environment(tmp_path)) as terminal:
        terminal.read_until(lambda text: "the run goes on" in text)
        said = terminal.lines()
        terminal.hang_up(limit_s=120)
    assert "benchbook: standard output takes no more: Broken pipe; the run goes on" in said
    assert terminal.process.returncode in ALL_MEASURED
    assert_measured_all(tmp_path)


def assert_measured_all(folder):
    store = Store.open("machinery", folder / "results")
    assert store.count_measured() == 4 and store.report_path.is_file()
    assert wait_nothing_left(folder) == []


PRINTING = ["--help", "plan machinery.yaml", "list", "table machinery", "compare machinery fake again"]
SOME = ["--help", "table machinery"]  # printed by the library of the command line, and by ourselves


@pytest.mark.parametrize("command", rows(PRINTING, quick=SOME))
def test_a_reader_that_has_had_enough_ends_a_command_quietly(measured, command):
    done = benchbook_in_shell(measured, f"$BENCHBOOK {command} | true; echo code=${{PIPESTATUS[0]}}")
    assert (done.stdout, done.stderr) == ("code=0\n", "")


@pytest.mark.parametrize("command", rows(PRINTING, quick=SOME))
def test_a_full_disk_under_a_commands_output_is_one_line_and_code_1(measured, command):
    done = benchbook_in_shell(measured, f"$BENCHBOOK {command} > /dev/full; echo code=$?")
    assert done.stdout == "code=1\n"
    assert done.stderr == "benchbook: standard output takes no more: No space left on device\n"


LOST = [("| head -1", "Broken pipe"), ("> /dev/full", "No space left on device")]


@pytest.mark.skipif(
    not IS_FULL, reason="make test-full; commands have both, and the run whose terminal is closed the first"
)
@pytest.mark.parametrize(("into", "why"), LOST)
def test_a_run_outlives_its_output(tmp_path, into, why):
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP)
    done = benchbook_in_shell(tmp_path, f"$BENCHBOOK run {file} {into}; echo code=${{PIPESTATUS[0]}}")
    assert done.stderr == f"benchbook: standard output takes no more: {why}; the run goes on\n"
    assert int(done.stdout.rpartition("code=")[2]) in ALL_MEASURED
    assert_measured_all(tmp_path)


def test_a_run_whose_reader_has_stopped_reading_can_be_interrupted(tmp_path):
    file = write_fake_sweep(tmp_path)
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    os.write(writing, b"." * 3100)
    os.set_blocking(writing, True)
    process = subprocess.Popen(
        [*BENCHBOOK, "run", file],
        cwd=tmp_path,
        env={**os.environ, **environment(tmp_path)},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    os.close(writing)
    store, deadline = None, time.monotonic() + 60
    while store is None or store.count_measured() < 1:
        assert time.monotonic() < deadline, "nothing was measured"
        time.sleep(0.2)
        latest = tmp_path / "results/machinery/latest"
        store = Store(latest.resolve()) if latest.exists() else None
    held, since = 3100, time.monotonic()  # until its lines have filled the pipe, and no more of them comes
    while time.monotonic() < since + 5:
        time.sleep(0.2)
        now = int.from_bytes(fcntl.ioctl(reading, termios.FIONREAD, bytes(4)), sys.byteorder)
        held, since = (now, time.monotonic()) if now != held else (held, since)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    os.close(reading)
    assert process.returncode == exit_codes.INTERRUPTED and wait_nothing_left(tmp_path) == []
    assert store.count_measured() >= 1 and store.header().state == "interrupted"


def words_of(text):
    """Return what a terminal showed as words in one line, without its colours."""
    return " ".join(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).split())


KNOWN = {  # by commands between the sittings
    ("list",): "partial 2/4",
    ("show", "machinery"): "2 missing",
    ("table", "machinery"): "Serving (vllm bench serve)",
    ("plan", "machinery.yaml"): "(partial): 2 of 4 measurements are kept",
}


@pytest.fixture(scope="module")
def sittings(tmp_path_factory):
    """Measure some cases on a terminal with the fewest letters, then the rest in a shell that halts the run; return what was seen."""
    folder = tmp_path_factory.mktemp("sittings")
    file = write_fake_sweep(folder, template=QUESTION_SWEEP)
    words = ("run", file, "--only", "max_concurrency=2")
    with benchbook_on_terminal(folder, *words, env=PLAIN["dumb and ascii"]) as first:
        first.read_to_end(limit_s=120)
    between = {}
    for words in KNOWN:
        with benchbook_on_terminal(folder, *words) as terminal:
            between[words] = words_of(terminal.read_to_end()), terminal.process.returncode
    second = run_halted(folder, f"$BENCHBOOK run {file}", LATIN_1)
    return SimpleNamespace(folder=folder, first=first, between=between, second=second)


def test_some_cases_are_measured_and_told_in_plain_lines_and_letters(sittings):
    assert_is_told_plainly(sittings.first, PLAIN["dumb and ascii"])
    said = words_of(sittings.first.text)
    assert "for the rest: benchbook run" in said and "2 missing" in said


@pytest.mark.parametrize("words", KNOWN, ids=" ".join)
def test_every_command_knows_what_is_missing(sittings, words):
    said, code = sittings.between[words]
    assert KNOWN[words] in said and code == 0


def test_the_rest_is_measured_by_a_run_that_is_halted_on_a_terminal_of_changing_width(sittings):
    assert "2 measured earlier are kept" in words_of(sittings.second.text)
    assert_says_that_it_was_halted(sittings.second)
    assert_asks_the_question(sittings.folder)
    assert_measured_all(sittings.folder)
    with benchbook_on_terminal(sittings.folder, "list") as terminal:
        assert " 4/4" in terminal.read_to_end()


def test_before_a_run_is_made_again_it_is_told_what_is_not_as_it_was(measured):
    line = "$BENCHBOOK reproduce machinery --dry-run"
    equal = benchbook_in_shell(measured, line)
    assert equal.returncode == 0 and "All that the run's folder tells is here as it was there" in equal.stdout
    file = next(measured.glob("results/machinery/2*/experiment.yaml"))
    before = file.read_text()
    try:
        file.write_text(before.replace("max_model_len: 2048", "max_model_len: 1024") + "seed: 7\n")
        changed = benchbook_in_shell(measured, line, VLLM_LOG_STATS_INTERVAL="7")
    finally:
        file.write_text(before)
    said = " ".join(changed.stdout.split())
    assert changed.returncode == 0 and "3 things here as they were not there" in said, changed.stdout + changed.stderr
    assert "max_model_len 1024 (as it was measured: 2048)" in said and "seed 0 there, 7 in experiment.yaml" in said
    assert "variable VLLM_LOG_STATS_INTERVAL of the shell: not set there, 7 here" in said
