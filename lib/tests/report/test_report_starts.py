"""What a report says of starts: of how many its numbers are, and how much starts are known to vary."""

import io
import math
import shutil
import statistics

import pytest
from benchbook.judge.spread import Spread, spread_of, spread_text
from benchbook.records.handover import RECORD_FILE
from benchbook.report.caveats import caveats
from benchbook.report.run import load_run
from benchbook.report.starts import one_start_sentence, start_spread, starts_sentence
from benchbook.report.summary import print_summary
from benchbook.report.table import START
from parts import having
from report_runs import failed, make_run
from rich.console import Console

KEY = "output_throughput_tok_s"
SMALL = {"concurrencies": (4,), "benchmarks": ("serve", "latency")}


def on_starts(start_of_repeat, factor_of_start=lambda start: 1.0):
    """Return a change that gives each repeat a start of its host, and each start a speed."""

    def change(record):
        start = start_of_repeat(record.identity.repeat)
        host = having(record.host, ready_utc=start and f"2026-11-23T20:{start:02d}:00+00:00")
        values = {
            key: value * factor_of_start(start) if key in (KEY, "avg_batch_latency_s") else value
            for key, value in record.values.items()
        }
        return record.model_copy(update={"host": host, "values": values})

    return change


@pytest.mark.parametrize(
    ("starts", "mean", "deviation", "num_starts"),
    [
        (["a", "a", "a"], 12.0, 2.0, 1),
        (["a", "b", "c"], 12.0, 2.0, 3),
        (["a", "b", "b"], 11.5, statistics.stdev([10, 13]), 2),
        (["", "", ""], 12.0, 2.0, None),
        (None, 12.0, 2.0, None),
    ],
)
def test_mean_and_spread_are_of_starts_where_there_are_several(starts, mean, deviation, num_starts):
    spread = spread_of([10.0, 12.0, 14.0], starts)
    assert (spread.mean, spread.stdev, spread.count) == (pytest.approx(mean), pytest.approx(deviation), 3)
    assert spread.num_starts == num_starts


@pytest.mark.parametrize(
    ("count", "num_starts", "said"),
    [
        (3, 1, "3 repeats of one start"),
        (6, 3, "6 repeats on 3 starts"),
        (8, 8, "8 repeats on 8 starts"),
        (2, None, "2 repeats"),
    ],
)
def test_a_spread_says_of_how_many_starts_it_is(count, num_starts, said):
    assert spread_text(Spread(12.3, 0.4, count, 12.0, 12.6, num_starts), "ms") == f"12.3 ± 0.4 ms ({said})"


def test_the_table_of_cases_has_the_means_of_starts(tmp_path):
    change = on_starts(lambda repeat: 1 + (repeat > 2), lambda start: {1: 1.0, 2: 1.5}[start])  # three repeats, and one
    run = load_run(make_run(tmp_path, repeats=4, change=change, **SMALL))
    for case in run.cases.to_dict("records"):
        rows = run.table[run.table["case_id"] == case["case_id"]]
        key = KEY if case["benchmark"] == "serve" else "avg_batch_latency_s"
        means = [statistics.fmean(group) for _, group in rows.groupby(START)[key]]
        assert len(means) == 2
        assert case[f"{key}_mean"] == pytest.approx(statistics.fmean(means))
        assert case[f"{key}_stdev"] == pytest.approx(statistics.stdev(means))
    (line, *_) = run.lines
    (spread,) = line.points(KEY).values()
    (case,) = [case for case in run.cases.to_dict("records") if case["case_id"] == line.repeats["case_id"].iloc[0]]
    assert (spread.mean, spread.stdev) == (pytest.approx(case[f"{KEY}_mean"]), pytest.approx(case[f"{KEY}_stdev"]))


def test_a_repeat_without_a_number_to_believe_is_no_start(tmp_path):
    def change(record):
        record = on_starts(lambda repeat: 1 + repeat)(record)
        return failed(record) if record.identity.repeat else record

    run = load_run(make_run(tmp_path, repeats=3, change=change, **SMALL))
    assert one_start_sentence(run) and run.cases[f"{KEY}_stdev"].isna().all()


@pytest.mark.parametrize("launches", [("eager",), ("eager", "compiled")])
def test_a_run_of_one_start_says_so_wherever_it_is_summed_up(tmp_path, launches):
    run = load_run(make_run(tmp_path, launches=launches, **SMALL))
    said = one_start_sentence(run)
    assert (
        "All repeats of a case share one start" in said and "not known here (repeats: {starts: 3} measures it)" in said
    )
    out = io.StringIO()
    print_summary(run, Console(file=out, width=400))
    assert said in out.getvalue() and said in caveats(run)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (lambda repeat: 1 + repeat, "Each case was measured on 3 starts of its launch, and ± is of their means."),
        (lambda repeat: 1 + repeat // 2, "Each case was measured on 2 starts of its launch"),
        (lambda repeat: None, ""),
    ],
)
def test_a_run_of_several_starts_or_of_unknown_ones_says_nothing_of_one(tmp_path, start, said):
    run = load_run(make_run(tmp_path, repeats=3, change=on_starts(start), **SMALL))
    assert one_start_sentence(run) == "" and starts_sentence(run).startswith(said)
    assert bool(starts_sentence(run)) == bool(said) and "One start" not in " ".join(caveats(run))


def test_cases_on_unequally_many_starts_are_counted_from_the_least_to_the_most(tmp_path):
    def change(record):
        return on_starts(lambda repeat: 1 + repeat if record.benchmark == "serve" else 1)(record)

    run = load_run(make_run(tmp_path, repeats=3, change=change, **SMALL))
    assert starts_sentence(run).startswith(
        "Each case was measured on 1 to 3 starts of its launch, and where there are several, ±"
    )


def test_how_much_starts_vary_is_told_by_other_runs_of_the_same_cases(tmp_path):
    options = {"concurrencies": (4,), "benchmarks": ("latency",)}
    folders = []
    for number, speed in enumerate((1.0, 1.2, 0.9), start=1):
        one = tmp_path / str(number)
        run_dir = make_run(
            one, change=on_starts(lambda repeat, at=number: at, lambda start, speed=speed: speed), **options
        )
        folders.append(run_dir.rename(run_dir.with_name(f"2026112{number}-000000")))
    for other in folders[1:]:
        shutil.move(other, folders[0].parent)
    run = load_run(folders[0])
    known = start_spread(run)
    assert (known.num_starts, known.num_others) == (3, 2)
    assert known.relative == pytest.approx(statistics.stdev(map(math.log, (1.0, 1.2, 0.9))), rel=0.2)
    assert "over this run and 2 others of the experiment, the means of 3 starts vary by 1" in one_start_sentence(run)


def test_a_run_of_other_cases_or_with_damaged_records_tells_nothing_of_starts(tmp_path):
    run_dir = make_run(tmp_path, concurrencies=(4,), benchmarks=("latency",))
    later = on_starts(lambda _: 2)
    other = make_run(tmp_path / "other", concurrencies=(4,), benchmarks=("throughput",), change=later)
    same = make_run(tmp_path / "same", concurrencies=(4,), benchmarks=("latency",), change=later)
    shutil.move(other, run_dir.with_name("20261124-000000"))
    assert start_spread(load_run(run_dir)) is None
    same = shutil.move(same, run_dir.with_name("20261125-000000"))
    assert start_spread(load_run(run_dir)).num_others == 1
    for path in same.glob(f"cases/*/*/{RECORD_FILE}"):
        path.write_text("{")
    assert start_spread(load_run(run_dir)) is None


@pytest.mark.parametrize(
    ("start", "of_what"),
    [
        (lambda repeat: 1, ", for this start,"),
        (lambda repeat: 1 + repeat, ""),
        (lambda repeat: 1 + (repeat > 0), ", for the very starts that each case was measured on,"),  # went on once
        (lambda repeat: 1 + repeat % 2, ", for the very starts that each case was measured on,"),
    ],
)
def test_a_target_that_was_met_is_said_to_be_of_the_starts_that_it_was_met_on(tmp_path, start, of_what):
    until, options = {"at_most": 9, "targets": {KEY: 0.02}}, {**SMALL, "repeats": 3}
    run = load_run(make_run(tmp_path, change=on_starts(start), until=until, reached={"a": {KEY: 0.01}}, **options))
    assert f"as wanted{of_what} (" in " ".join(caveats(run))


def test_of_cases_of_which_some_went_on_after_an_interruption_no_target_is_of_one_start(tmp_path):
    until, options = {"at_most": 9, "targets": {KEY: 0.02}}, {**SMALL, "concurrencies": (4, 8), "repeats": 2}

    def change(record):
        is_later = record.workload.get("max_concurrency") == 8 and record.identity.repeat == 1
        return on_starts(lambda _: 1 + is_later)(record)

    run = load_run(make_run(tmp_path, change=change, until=until, reached={"a": {KEY: 0.01}}, **options))
    assert "as wanted, for the very starts that each case was measured on, (" in " ".join(caveats(run))
