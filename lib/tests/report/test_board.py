"""The board: a run as it stands, read from its folder alone, while it is measured and after; and what may be asked of it."""

import json
import os
import re
import sys
import time

import pytest
from benchbook.records.now import Left, Now, write_now
from benchbook.records.record import Record
from benchbook.records.store import Store
from benchbook.records.telemetry import TELEMETRY_FILE, write_telemetry
from benchbook.report.board import cell, look
from benchbook.report.board.cell import board_html
from benchbook.report.board.command import ask, watched_run
from benchbook.report.board.look import Looker, State
from benchbook.report.board.rows import (
    after_text,
    case_rows,
    counts_text,
    first_lines,
    hidden_text,
    new_lines,
    now_text,
    short_names,
)
from benchbook.report.board.sparks import WIDTH, spark_line, sparks_of
from benchbook.report.board.text import board_text
from benchbook.terms.errors import ExperimentError
from report_runs import failed, judged, make_run
from rich.console import Console


def half_measured(record: Record) -> Record | None:
    """Leave out second repeats but those of the latency, and have one fail and one be SUSPECT."""
    identity = record.identity
    if identity.repeat == 1 and record.benchmark != "latency":
        return None
    if "max_concurrency=2" in identity.case_id and identity.repeat == 0:
        return failed(record)
    return judged(record, "suspect", "machine_busy", "so") if record.benchmark == "latency" else record


@pytest.fixture
def run_dir(tmp_path):
    """Return a run that is half measured."""
    return make_run(tmp_path, change=half_measured, state="running", concurrencies=(1, 2), ended_utc=None)


def begin(run_dir, part):
    """Open the second repeat of the first case whose name has `part`, as its runner does; return the case's id."""
    row = next(row for row in Store(run_dir).header().plan if part in row.case_id)
    Store(run_dir).repeat_dir(row.case_key, 1).mkdir(parents=True)
    return row.case_id


def now(**facts):
    at_s = time.time()
    facts = {"what": "one repeat", "since_s": at_s - 5, **facts}
    left = Left(seconds=90.0, later_s=60.0, is_known=True, at_s=at_s)
    return Now(pid=os.getpid(), began_s=at_s - 60, left=left, **facts)


def states(board):
    return {case.case_id: case.state for case in board.cases}


def test_a_run_under_way_is_seen_case_by_case(run_dir):
    write_now(run_dir, now())
    opened = begin(run_dir, "max_concurrency=1")
    with Store(run_dir).locked():
        board = Looker(run_dir).look()
    assert board.is_running and states(board)[opened] is State.UNDER_WAY
    found = {case_id.split(",")[1]: state for case_id, state in states(board).items() if case_id != opened}
    assert found["latency"] is State.MEASURED and found["first_request"] is found["throughput"] is State.WAITING
    assert board.verdicts["failed"] == 2 and board.verdicts["SUSPECT"] == 4
    assert now_text(board) == "5 s: one repeat"
    assert counts_text(board).endswith("about 1 min 25 s to go") or "about 1 min" in counts_text(board)
    row = next(row for row in case_rows(board) if row.marks == "✓▶")
    assert row.figure.endswith("output tok/s") and row.word == "VALID"
    assert {row.word for row in case_rows(board) if row.verdict == "SUSPECT"} == {"SUSPECT (machine_busy)"}
    assert {row.word for row in case_rows(board) if row.verdict == "failed"} == {"failed (out_of_memory)"}


def test_a_run_that_nobody_measures_any_more_is_told_so_and_how_it_goes_on(run_dir):
    write_now(run_dir, now())  # its runner was killed
    begin(run_dir, "max_concurrency=1")
    board = Looker(run_dir).look()
    assert board.header.state == "interrupted" and now_text(board) == "interrupted"
    assert State.UNDER_WAY not in states(board).values() and State.WAITING not in states(board).values()
    assert after_text(board) == "to go on: benchbook run experiments/quickstart.yaml"


def test_what_an_earlier_process_left_open_is_not_under_way(run_dir):
    case_id = begin(run_dir, "max_concurrency=1")
    row = next(row for row in Store(run_dir).header().plan if row.case_id == case_id)
    os.utime(Store(run_dir).repeat_dir(row.case_key, 1), (1, 1))
    write_now(run_dir, now())
    with Store(run_dir).locked():
        assert states(Looker(run_dir).look())[case_id] is State.WAITING


def test_a_run_that_ends_while_it_is_watched_is_seen_to(run_dir):
    looker = Looker(run_dir)
    with Store(run_dir).locked():
        assert looker.look().is_running
    assert not looker.look().is_running


def test_only_what_is_new_is_read_again(run_dir, monkeypatch):
    read = []
    monkeypatch.setattr(look, "read_record", lambda path: (read.append(path), real(path))[1])
    from benchbook.records.record_file import read_record as real

    looker = Looker(run_dir)
    first = looker.look()
    number = len(read)
    assert number == first.verdicts.total() == len(Store(run_dir).records())
    looker.look()
    assert len(read) == number
    store = Store(run_dir)
    record = next(record for record in store.records() if record.benchmark == "throughput")
    store.save(record.identity.case_key, record.model_copy(update={"values": {"output_throughput_tok_s": 7.0}}))
    assert len(read) == number
    assert "7.0 output tok/s" in [row.figure for row in case_rows(looker.look())] and len(read) == number + 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 999}', "\x00" * 40])
def test_what_is_damaged_is_missing_and_breaks_no_board(run_dir, text):
    path = next(run_dir.glob("cases/*throughput*/repeat=0/record.json"))
    path.write_text(text)
    before = Looker(run_dir).look()
    assert [case.state for case in before.cases if "throughput" in case.case_id] == [State.MISSING]
    (run_dir / "run.json").write_text(text)
    assert Looker(run_dir).look().cases == ()


def test_what_was_asked_is_seen(run_dir):
    rows = Store(run_dir).header().plan
    skipped, again = rows[0], next(row for row in rows if "max_concurrency=2" in row.case_id)
    with Store(run_dir).locked():
        ask(run_dir, skip=[skipped.case_id], again=[again.case_id], stop=True)
        board = Looker(run_dir).look()
    assert states(board)[skipped.case_id] is State.SKIPPED and states(board)[again.case_id] is State.AGAIN
    assert board.is_stopping


def test_patterns_choose_cases_and_one_that_fits_none_asks_nothing(run_dir):
    control = Store(run_dir).control
    with Store(run_dir).locked():
        assert len(ask(run_dir, skip=["max_concurrency=2", "latency"])) == 4 == len(control.skipped)
        assert len(ask(run_dir, again=["latency"])) == 2 == len(control.again) == len(control.skipped)
        with pytest.raises(ExperimentError, match="no case fits 'max_concurency=2'; did you mean 'max_concurrency=2'"):
            ask(run_dir, stop=True, skip=["throughput", "max_concurency=2"])
    assert not control.is_stopping and len(control.skipped) == 2


@pytest.mark.parametrize("asked", [{"stop": True}, {"skip": ["serve"]}, {"again": ["serve"]}])
def test_of_a_run_that_nobody_measures_nothing_is_asked(run_dir, asked):
    with pytest.raises(ExperimentError, match="is interrupted: nobody measures it; to go on: benchbook run"):
        ask(run_dir, **asked)
    assert not (run_dir / "control").exists()


def test_the_run_that_is_measured_is_watched_unless_another_is_named(tmp_path):
    older = make_run(tmp_path / "a", state="running")
    results = tmp_path / "results"
    (results / "one").mkdir(parents=True)
    older.rename(results / "one" / "20261123-201500")
    newer = make_run(tmp_path / "b", started_utc="2026-11-24T20:15:00+00:00")
    (results / "two").mkdir()
    newer.rename(results / "two" / "20261124-201500")
    assert watched_run("", results).parent.name == "two"
    with Store(results / "one" / "20261123-201500").locked():
        assert watched_run("", results).parent.name == "one"
    assert watched_run("one", results).parent.name == "one"
    with pytest.raises(ExperimentError, match="no runs under"):
        watched_run("", tmp_path / "nothing")


def printed(board, width, height):
    console = Console(width=width, height=height, record=True, file=open(os.devnull, "w"))
    console.print(board_text(board, [], width, height))
    return console.export_text().splitlines()


def test_a_board_of_many_cases_fits_the_terminal_and_shows_first_what_is_under_way(tmp_path):
    change = {"change": half_measured, "state": "running", "benchmarks": ("serve", "latency")}
    run_dir = make_run(tmp_path, concurrencies=tuple(range(1, 16)), **change)
    write_now(run_dir, now())
    begin(run_dir, "max_concurrency=13")
    with Store(run_dir).locked():
        board = Looker(run_dir).look()
    for width in (80, 100, 160):
        lines = printed(board, width, 24)
        assert len(lines) <= 24 and max(map(len, lines)) <= width
        head, cases = lines[:4], lines[4:]
        (under_way,) = [line for line in cases if "▶" in line]
        assert width == 80 or "max_concurrency=13" in under_way
        assert any("failed" in line for line in head) and sum("failed" in line for line in cases) == 2
        assert re.search(r"\d+ more: \d+ waiting", "\n".join(lines)), "what is not shown is counted"
    assert hidden_text(board, 10_000) == ""


def test_what_happens_is_told_a_line_each_where_no_terminal_is(run_dir):
    write_now(run_dir, now())
    looker, store = Looker(run_dir), Store(run_dir)
    with store.locked():
        first = looker.look()
        assert list(first_lines(first))[-1] == "… one repeat"
        record = next(record for record in store.records() if record.benchmark == "throughput")
        identity = record.identity.model_copy(update={"repeat": 1})
        store.save(identity.case_key, record.model_copy(update={"identity": identity}))
        ask(run_dir, skip=["max_concurrency=1"], stop=True)
        second = looker.look()
    told = list(new_lines(first, second))
    done = first.verdicts.total() + 1
    assert told[-1] == "asked to stop after the repeat under way"
    assert [line for line in told if line.startswith("[")] == [
        f"[{done}/{first.num_planned}] VALID 1474.3 output tok/s {identity.case_id} repeat 1".replace(
            "1474.3", f"{record.values['output_throughput_tok_s']:.1f}"
        )
    ]
    assert sum(line.startswith("skipped: ") for line in told) == 2
    assert list(new_lines(second, second)) == []


def test_names_are_cut_to_what_tells_cases_apart():
    names = [f"eager,serve,lengths=128x64,max_concurrency={n},num_prompts={10 * n}" for n in (1, 8)]
    assert list(short_names(names).values()) == ["serve,max_concurrency=1", "serve,max_concurrency=8"]
    launches = [f"{launch},{name}" for launch in ("a", "b") for name in ("serve,lengths=8x8", "serve,lengths=9x9")]
    assert list(short_names(launches).values()) == launches
    assert short_names(["eager,first_request"]) == {"eager,first_request": "first_request"}
    assert short_names([]) == {} and short_names(["odd"]) == {"odd": "odd"}


def test_text_of_others_is_no_markup_of_ours(tmp_path):
    bad = "<script>alert(1)</script>\x1b[31m"
    board = Looker(make_run(tmp_path, question=bad, command=bad)).look()
    page = str(board_html(board))
    assert "<script>" not in page and "&lt;script&gt;" in page and "\x1b" not in page
    assert "\x1b" not in "\n".join(printed(board, 100, 40))


SAMPLES = {
    "period_s": 0.25,
    "zero_perf_counter_s": 0.0,
    "epoch_s": 0.0,
    "server": {"t_s": [0.0, 1.0, 2.0], "running": [0.0, 4.0, 2.0], "kv_use_ratio": [0.1, None, 0.41]},
    "missed_samples": 0,
    "gpus": [
        {"index": 1, "name": "H100", "t_s": [0.0, 1.0], "power_w": [100.0, 400.0], "energy_j": None}
        | dict.fromkeys(("sm_clock_mhz", "temperature_c", "memory_used_gib", "utilisation_pct", "throttle"))
    ],
}


def test_the_course_of_server_and_gpus_in_the_last_repeat_is_a_line_each(run_dir):
    board = Looker(run_dir).look()
    latest = next(run_dir.glob("cases/*throughput*/repeat=0"))
    assert board.latest.telemetry == "" and sparks_of("") == ()
    write_telemetry(latest / TELEMETRY_FILE, SAMPLES)
    lines = [spark.text for spark in sparks_of(str(latest / TELEMETRY_FILE))]
    assert lines == ["running  ▁█▅ at most 4.00", "KV cache ▃█ at most 41%", "GPU 1    ▃█ at most 400 W"]
    assert len(spark_line(range(1000))) == WIDTH and spark_line([0.0, 0.0]) == "▁▁" and spark_line([3]) == "█"
    (latest / TELEMETRY_FILE).write_bytes(b"cut")
    sparks_of.cache_clear()
    assert sparks_of(str(latest / TELEMETRY_FILE)) == ()


def test_run_json_of_a_plan_that_grows_is_read_anew(run_dir):
    looker = Looker(run_dir)
    before = looker.look().num_planned
    header = json.loads((run_dir / "run.json").read_text())
    header["plan"][0]["repeats"] += 5
    (run_dir / "run.json").write_text(json.dumps(header))
    assert looker.look().num_planned == before + 5


@pytest.fixture
def widgets(monkeypatch):
    """Return the boards that cells make, which look often."""
    made, make = [], cell._Widgets
    monkeypatch.setattr(cell, "PERIOD_S", 0.01)
    monkeypatch.setattr(cell, "_Widgets", lambda *given: made.append(make(*given)) or made[-1])
    monkeypatch.setattr("IPython.display.display", lambda *_: None)
    return made


def until(is_it, limit_s=30.0):
    deadline = time.monotonic() + limit_s
    while not is_it():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_cell_shows_the_run_until_it_ends_and_its_buttons_ask_what_they_say(run_dir, widgets, monkeypatch):
    monkeypatch.chdir(run_dir.parents[1])
    control = Store(run_dir).control
    with Store(run_dir).locked():
        cell.watch(str(run_dir))
        (board,) = widgets
        stop, case, skip, again = board._controls
        assert "(running)" in board._board.value and not stop.disabled
        assert case.value == case.options[0], "the first is chosen"
        case.value = case.options[-1]
        skip.click()
        assert len(control.skipped) == 1 and case.value in board._said.value
        until(lambda: "skipped" in board._board.value)
        again.click()
        assert not control.skipped and len(control.again) == 1
        stop.click()
        assert control.is_stopping
    until(lambda: "(interrupted)" in board._board.value and stop.disabled)
    stop.disabled = False
    stop.click()
    assert "nobody measures it" in board._said.value, "in a line, and no traceback"


def test_a_second_board_of_a_kernel_takes_the_place_of_the_first(run_dir, widgets, monkeypatch):
    with Store(run_dir).locked():
        cell.watch(str(run_dir))
        first = cell._closed
        cell.watch(str(run_dir))
        assert first.is_set() and not cell._closed.is_set() and len(widgets) == 2
    until(lambda: "(interrupted)" in widgets[1]._board.value)


def test_without_widgets_a_board_is_shown_once_and_it_is_said_what_shows_it_live(run_dir, monkeypatch):
    shown = []
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr("benchbook.report.markup.show", shown.append)
    with Store(run_dir).locked():
        cell.watch(str(run_dir))
    assert "(running)" in shown[0] and f"benchbook watch quickstart/{run_dir.name}" in shown[0]
