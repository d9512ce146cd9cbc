"""`benchbook gate`: worse, not worse, cannot tell, or refused; in words, in files and as an exit code."""

import json
import random
import shutil
from xml.etree import ElementTree

import pytest
from benchbook.cli import app
from benchbook.gate import kept_runs, read_asked
from benchbook.judge.gate import Answer
from benchbook.records.record import Reason, Verdict
from benchbook.report.run import load_run
from benchbook.terms.errors import ExperimentError
from report_runs import make_run
from typer.testing import CliRunner

RUN, QUIET = "quickstart/20261123-201500", 0.2  # of what repeats vary by in these synthetic runs: 2 %


def speeds(factor, quiet=QUIET):
    """Return what makes launch 'new' `factor` times as fast, and all vary by a fifth of what they would."""
    draw = random.Random(1)

    def change(record):
        speed = (factor if record.identity.launch == "new" else 1.0) * (1 + draw.gauss(0, 0.02 * quiet))
        values = dict(record.values)
        for key, value in values.items():
            if value and key.endswith(("_tok_s", "_rps")):
                values[key] = STEADY[key.split("_")[0]] * speed
            elif value and key.endswith("_ms"):
                values[key] = 50.0 / speed
        return record.model_copy(update={"values": values})

    return change


STEADY = {"output": 1000.0, "total": 2000.0, "request": 10.0}


def run_of(folder, factor, **options):
    settings = {"launches": ("now", "new"), "benchmarks": ("serve",), "concurrencies": (4,), "repeats": 8}
    return make_run(folder, **settings | {"change": speeds(factor)} | options)


def gate(folder, *words, code):
    done = CliRunner().invoke(app, ["gate", *words, "--results", str(folder)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


@pytest.mark.parametrize(
    ("factor", "options", "code", "said"),
    [
        (1.0, {}, 0, "not worse: new is not worse than now by more than 3 % in output throughput"),
        (0.98, {"repeats": 20}, 0, "for sure; 3 % are allowed"),
        (1.1, {}, 0, "% better; 3 % are allowed"),
        (0.9, {}, 1, "worse: new is worse than now in output throughput"),
        (0.959, {"change": speeds(0.959, 1)}, 3, "so near what is allowed"),
        (1.0, {"repeats": 2}, 3, "two repeats are too few"),
        (1.0, {"repeats": 3, "change": speeds(1.0, 2)}, 3, "more rounds"),
    ],
)
def test_each_answer_has_a_sentence_and_an_exit_code(tmp_path, factor, options, code, said):
    run_of(tmp_path, factor, **options)
    assert said in gate(tmp_path, RUN, code=code)


def test_a_gate_says_from_which_loss_on_its_like_find_it_and_where_none_is_known_it_does_not(tmp_path):
    run_of(tmp_path, 1.0)
    (said,) = (line for line in gate(tmp_path, RUN, code=0).splitlines() if "nine of ten gates" in line)
    assert "find a loss from so much on: 3." in said and "% in output throughput (2 serve cases together)" in said
    shutil.rmtree(tmp_path / "quickstart")
    run_of(tmp_path, 1.0, repeats=2)
    assert "nine of ten gates" not in gate(tmp_path, RUN, code=3)


def test_the_baseline_is_the_first_launch_unless_it_is_named(tmp_path):
    run_of(tmp_path, 0.9)
    assert "now is not worse than new" in gate(tmp_path, RUN, "new", "now", code=0)


def test_a_latency_is_worse_where_it_is_longer_and_has_a_share_of_its_own(tmp_path):
    run_of(tmp_path, 0.95)
    said = gate(tmp_path, RUN, "--metric", "median_ttft_ms=10%", "--metric", "p99_tpot_ms", code=1)
    assert "median TTFT" in said and "10 % are allowed" in said and "worse than now in p99 TPOT" in said
    assert "output throughput" not in said


def test_one_case_that_is_worse_fails_a_gate_whose_cases_together_are_not(tmp_path):
    slow = speeds(0.8)

    def change(record):
        return slow(record) if record.workload.get("max_concurrency") == 4 else speeds(1.05)(record)

    run_of(tmp_path, 1.0, concurrencies=(1, 2, 4, 8), change=change)
    told = json.loads((_files(tmp_path, code=1) / "gate.json").read_text())
    worse = {one["case"] for one in told["judged"] if one["answer"] == "worse"}
    assert worse and all("max_concurrency=4" in case for case in worse)


def _with(*reasons):
    def change(record):
        if record.identity.launch == "new":
            severity = {one.severity for one in reasons}
            verdict = Verdict.INVALID if "invalid" in severity else Verdict.SUSPECT
            record = record.model_copy(update={"reasons": reasons, "verdict": verdict})
        return speeds(1.0)(record)

    return change


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (_with(Reason(code="requests_failed", severity="invalid", evidence="e")), 1, "16 are INVALID"),
        (lambda record: None if record.identity.repeat == 7 else speeds(1.0)(record), 1, "2 are missing"),
        (
            lambda record: speeds(1.0)(
                record.model_copy(
                    update={
                        "host": record.host.model_copy(update={"greedy_outputs": ("a",) * 32, "distinct_prompts": 32})
                    }
                )
            ),
            3,
            "degenerates",
        ),
        (
            lambda record: speeds(1.0)(
                record.model_copy(
                    update={
                        "host": record.host.model_copy(
                            update={"greedy_outputs": tuple(f"{record.identity.launch}{n}" for n in range(32))}
                        )
                    }
                )
            ),
            3,
            "other answers is none",
        ),
    ],
)
def test_what_is_refused_is_no_answer(tmp_path, change, code, said):
    run_of(tmp_path, 1.0, change=change)
    told = gate(tmp_path, RUN, code=code)
    assert told.startswith("refused") and said in told


def _files(folder, code):
    out = folder / "out" / "gate"
    gate(folder, RUN, "--out", str(out), code=code)
    return out


@pytest.mark.parametrize(("factor", "code", "counted"), [(1.0, 0, None), (0.9, 1, "failures"), (0.959, 3, "skipped")])
def test_the_files_say_what_the_exit_code_says(tmp_path, factor, code, counted):
    run_of(tmp_path, factor, change=speeds(factor, 1))
    out = _files(tmp_path, code)
    told = json.loads((out / "gate.json").read_text())
    suite = ElementTree.parse(out / "gate.junit.xml").getroot()
    assert told["exit_code"] == code and told["title"] in (out / "gate.md").read_text()
    assert {key for key in ("failures", "skipped", "errors") if suite.get(key) != "0"} == ({counted} - {None})


@pytest.mark.parametrize("share", ["3", "0%", "60%", "-3%", "a few"])
def test_a_share_that_is_none_is_refused_with_an_example(share):
    with pytest.raises(ExperimentError, match="such as 3%"):
        read_asked(share, (), False)


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (["p99_tft_ms"], "did you mean 'p99_ttft_ms'"),
        (["p99_ttft_ms", "p99_ttft_ms=5%"], "twice"),
        (["completed"], "no metric"),
        (["std_ttft_ms"], "no metric"),
    ],
)
def test_a_metric_that_cannot_be_better_or_worse_is_refused(metrics, said):
    with pytest.raises(ExperimentError, match=said):
        read_asked("3%", metrics, False)


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Return a folder with five kept runs of one launch on five days, which vary by 1 %, and a sixth that is new."""
    folder = tmp_path_factory.mktemp("days")
    for number, day in enumerate((1.0, 1.01, 0.99, 1.005, 0.995, 1.0)):
        scale = speeds(day)

        def change(record, scale=scale, number=number, day=day):
            host = record.host.model_copy(
                update={"ready_utc": f"2026-11-{number + 1:02}T0{record.identity.repeat}:00:00"}
            )
            record = scale(record.model_copy(update={"host": host}))
            values = {key: value and value * day for key, value in record.values.items() if key.endswith("_tok_s")}
            run_id = f"2026110{number + 1}-000000"
            identity = record.identity.model_copy(update={"run_id": run_id})
            return record.model_copy(update={"values": {**record.values, **values}, "identity": identity})

        stamp = f"2026110{number + 1}-000000"
        made = run_of(folder / "made", 1.0, launches=("now",), repeats=3, change=change, run_id=stamp,
                      started_utc=f"2026-11-0{number + 1}T00:00:00+00:00")  # fmt: skip
        target = folder / "quickstart" / stamp
        target.parent.mkdir(exist_ok=True)
        shutil.move(made, target)
        shutil.rmtree(folder / "made")
    return folder


def test_a_new_run_is_judged_against_kept_ones_by_what_they_vary_by_from_day_to_day(days):
    said = gate(days, "quickstart/20261106-000000", "--against", "quickstart", "--not-worse-than", "5%", code=0)
    assert "now (5 kept runs)" in said and "from run to run" in said
    assert "rounds would" not in said


def test_kept_runs_of_an_experiment_are_those_before_the_new_one(days):
    new = days / "quickstart" / "20261105-000000"
    kept, _ = kept_runs(["quickstart"], "now", days, new)
    assert [run.run_dir.name[:8] for run in kept] == ["20261101", "20261102", "20261103", "20261104"]


def test_two_kept_runs_are_too_few_and_so_are_those_of_another_launch(days):
    two = ["quickstart/20261101-000000", "quickstart/20261102-000000"]
    with pytest.raises(ExperimentError, match="takes 3 kept runs, and here are 2"):
        kept_runs(two, "now", days, None)
    with pytest.raises(ExperimentError, match="no record of launch 'new'"):
        kept_runs(["quickstart"], "new", days, None)


def test_an_experiment_that_cannot_be_judged_is_refused_before_it_is_measured(tmp_path):
    file = tmp_path / "one.yaml"
    file.write_text(
        "question: q\nmodel: tiny\nlaunches: {a: {}}\nbenchmarks:\n"
        "  - serve: {max_concurrency: 1, lengths: [[8, 8]], num_prompts: 1}\n"
    )
    for words, said in (((), "name the launches"), (("a", "b"), "no launch 'b'"), (("--against", "none"), "no run")):
        done = CliRunner().invoke(app, ["gate", str(file), *words, "--results", str(tmp_path)])
        assert isinstance(done.exception, ExperimentError) and said in str(done.exception)


def test_the_answer_is_the_worst_of_its_parts(tmp_path):
    run_of(tmp_path, 0.95, benchmarks=("serve", "throughput"))
    told = json.loads((_files(tmp_path, code=1) / "gate.json").read_text())
    assert {one["answer"] for one in told["judged"]} == {Answer.WORSE} and told["answer"] == "worse"


TWO_LAUNCHES = """question: q
model: tiny
launches: {now: {}, new: {args: {max_num_seqs: 8}}}
benchmarks:
  - serve: {max_concurrency: 1, lengths: [[8, 8]], num_prompts: 1}
"""


@pytest.mark.parametrize(("factor", "code"), [(1.0, 0), (0.9, 1)])
def test_an_experiment_is_measured_first_and_its_run_is_judged(tmp_path, monkeypatch, factor, code):
    measured, file = [], tmp_path / "two.yaml"
    file.write_text(TWO_LAUNCHES)

    def measure(asked, results, **_):
        measured.append(asked)
        return load_run(run_of(tmp_path / "results", factor))

    monkeypatch.setattr("benchbook.commands.judged.measured", measure)
    assert ("not worse:" in gate(tmp_path / "results", str(file), code=code)) == (code == 0)
    assert measured == [file]


def test_what_kept_runs_cannot_tell_is_refused_before_an_experiment_is_measured(days, tmp_path, monkeypatch):
    file = tmp_path / "one.yaml"
    file.write_text(TWO_LAUNCHES)
    monkeypatch.setattr("benchbook.commands.judged.measured", lambda *_, **__: pytest.fail("was measured"))
    for words, said in (
        (("now", "--against", "quickstart/20261101-000000"), "takes 3 kept runs"),
        ((), "name the launch"),
    ):
        against = words or ("--against", "quickstart")
        done = CliRunner().invoke(app, ["gate", str(file), *against, "--results", str(days)])
        assert isinstance(done.exception, ExperimentError) and said in str(done.exception)
