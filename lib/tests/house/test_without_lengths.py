"""A workload whose lengths nobody knows beforehand, as of a data set, goes through all: checks, groups, tables, figures, report."""

import json
from dataclasses import replace

import pytest
from benchbook.judge.accounting import accounting_rows
from benchbook.judge.checks import CHECKS, VALUE_CHECKS, record_reasons
from benchbook.judge.evidence import Measured
from benchbook.judge.group import judged_together
from benchbook.judge.loads import case_name
from benchbook.judge.unseen import not_looked
from benchbook.notebooks.execute import execute
from benchbook.project import notebooks_dir
from benchbook.records.record_file import read_record, write_record
from benchbook.report.differences import comparisons_of
from benchbook.report.figures import floor_figure, latency_figure, tradeoff_figure
from benchbook.report.figures import throughput_figure as of_run
from benchbook.report.html import render_report
from benchbook.report.roofline_sentences import roofline_sentences
from benchbook.report.run import load_run
from benchbook.report.shown import FIGURES, READINGS
from benchbook.report.summary import print_summary
from benchbook.report.table import render_table
from benchbook.report.table_command import print_table
from benchbook.terms.asked import Asked
from measured import latency, serve, throughput
from report_runs import make_run
from rich.console import Console
from rows import rows

FORGOTTEN = ("input_len_tokens", "output_len_tokens", "range_ratio")
NAMES = ("talks", "code and talks", "")  # of the data set, which is what its curve is called; none has to have one
UNKNOWN = {
    "nothing of lengths, answers that end by themselves, prompts that begin alike": {"shares_prefix": True},
    "nothing of lengths, answers of a length each": {"ends_by": "length"},
    "prompts of a mean length": {"input_tokens_each": 128.25},
    "answers of a mean length each": {"output_tokens_each": 63.5, "ends_by": "length"},
}  # fmt: skip
STOPPED = {"requests_ended_by_stop": 30.0, "requests_ended_by_length": 10.0, "prefix_cache_hits": 2560.0}


def without_lengths(thing, requests, **known):
    """Return a measurement or record of a workload that tells of its lengths what is `known` and no more."""
    workload = {key: value for key, value in thing.workload.items() if key not in FORGOTTEN}
    changes = {"workload": workload, "asked": Asked(requests=requests, **known)}
    return replace(thing, **changes) if isinstance(thing, Measured) else thing.model_copy(update=changes)


@pytest.mark.parametrize("known", UNKNOWN.values(), ids=UNKNOWN)
@pytest.mark.parametrize("sound", [serve(), serve(cap=None, rate=50.0), serve(cap=1), latency(), throughput()])
def test_no_check_raises_or_accuses_what_nobody_asked(sound, known):
    measured = without_lengths(sound, sound.asked.requests, **known)
    for checks, raw in ((CHECKS, sound.raw), (VALUE_CHECKS, {})):
        found, of_sound = (
            {why.code for why in record_reasons(replace(one, raw=raw), checks)} for one in (measured, sound)
        )
        assert found <= of_sound
    assert set(not_looked(measured)) <= {
        *not_looked(sound),
        "kv_exhausted",
        "preempted",
        "outputs_short",
        "prefix_hits_differ",
    }


@pytest.mark.parametrize("batch_size", [1, 8, 500])
def test_whether_requests_of_unknown_lengths_fit_into_the_cache_could_not_be_looked_at(batch_size):
    measured = without_lengths(latency(batch_size=batch_size), batch_size)
    assert not_looked(measured)["kv_exhausted"] == "how long requests are is not known beforehand"
    assert "kv_exhausted" not in not_looked(latency(batch_size=batch_size))


def test_answers_that_end_by_themselves_and_prompts_that_begin_alike_are_no_fault_and_not_looked_at():
    lens = [1, 64, 7, 23] * 10
    bent = serve(raw={"output_lens": lens}, host={"counters": STOPPED})
    assert {"outputs_short", "finish_not_length", "cache_warm"} <= {why.code for why in record_reasons(bent)}
    free = without_lengths(bent, 40, shares_prefix=True)
    found = {why.code for why in record_reasons(free)}
    assert not {"outputs_short", "finish_not_length", "cache_warm", "asked_not_counted", "check_failed"} & found
    assert not {"outputs_short", "finish_not_length", "cache_warm"} & set(not_looked(free))


@pytest.mark.parametrize("count", [39, 41, 0])
def test_requests_are_counted_all_the_same(count):
    measured = without_lengths(serve(raw={"completed": count}), 40)
    assert "asked_not_counted" in {why.code for why in record_reasons(measured)}


def test_totals_that_are_known_are_counted_to_the_token_and_a_cut_answer_is_found_by_the_clients_notes():
    measured = without_lengths(serve(), 40, input_tokens=5121, ends_by="length")
    (found,) = [why for why in record_reasons(measured) if why.code == "asked_not_counted"]
    assert found.evidence == "input tokens: asked 5121, counted 5120"
    cut = serve(conditions={"client": {"cpu_cores": 0.3, "cut_answers": [(64, 3)]}})
    assert "outputs_short" in {why.code for why in record_reasons(without_lengths(cut, 40, ends_by="length"))}


def forget_lengths(run_dir, curve, of=lambda workload: True):
    """Take the lengths of the workloads of a run out of its records and its plan, and put their curve in their place."""
    for path in run_dir.rglob("record.json"):
        record = read_record(path)
        if "prompt" not in record.workload and of(record.workload):
            bare = without_lengths(record, record.asked.requests)
            write_record(path, bare.model_copy(update={"curve": curve}))
    header = json.loads((run_dir / "run.json").read_text())
    for row in header["plan"]:
        if of(row["workload"]):
            row["workload"] = {name: row["workload"][name] for name in row["workload"] if name not in FORGOTTEN}
    (run_dir / "run.json").write_text(json.dumps(header))


@pytest.fixture(scope="module", params=NAMES)
def run_dir(request, tmp_path_factory):
    """Return a run of two launches of which no record and no plan tells lengths."""
    run_dir = make_run(
        tmp_path_factory.mktemp("run"),
        launches=("eager", "compiled"),
        repeats=3,
        rates=(2.0, 8.0),
        vary=lambda benchmark, workload: [workload] if workload.get("input_len_tokens") != 512 else [],
    )
    forget_lengths(run_dir, request.param)
    return run_dir


def test_a_run_without_lengths_has_curves_tables_figures_and_claims(run_dir, capsys):
    run = load_run(run_dir)
    assert not run.damage and not run.num_stale
    assert {line.launch for line in run.lines} == {"eager", "compiled"}
    assert all("None" not in line.where and "nan" not in line.where for line in run.lines)
    for curves in run.curves:
        for draw in (of_run, latency_figure, tradeoff_figure, floor_figure):
            drawn = draw(run, curves)
            assert drawn is None or ("None" not in drawn[1] and "nan" not in drawn[1])
    for text_format in ("csv", "json", "md"):
        assert render_table(run.table, text_format)
    assert any(comparison.rows for comparison in comparisons_of(run))
    print_table(run, "text", Console())
    print_summary(run, Console())
    said = capsys.readouterr().out
    assert "None" not in said and "nan" not in said and "none / none" not in said


def test_records_without_lengths_are_judged_together_named_and_have_no_limit(run_dir):
    records = judged_together(load_run(run_dir).records)
    assert not any(why.code == "check_failed" for record in records for why in record.reasons)
    for record in records:
        assert "None" not in case_name(record)
        if record.benchmark != "first_request":
            assert roofline_sentences(record) == [
                "No limit can be computed: the length of the prompt is not known beforehand."
            ]


def test_cases_with_and_without_lengths_stand_side_by_side(tmp_path, capsys):
    run_dir = make_run(tmp_path, benchmarks=("serve",), concurrencies=(1, 4))
    forget_lengths(run_dir, "talks", of=lambda workload: workload["input_len_tokens"] == 512)
    run = load_run(run_dir)
    assert [line.label for line in run.lines] == ["128 in / 64 out", "talks"]
    assert [len(line.loads) for line in run.lines] == [2, 2]
    print_table(run, "md", Console())
    said = capsys.readouterr().out
    assert said.count("128 / 64") == 2 and said.count("| – |") == 2 and "none / none" not in said


RAW = {
    "serve": serve().raw,
    "latency": {"latencies": [0.2, 0.21], "percentiles": {"50": 0.2}},
    "throughput": throughput().raw,
}


@pytest.mark.parametrize("benchmark", RAW)
def test_one_measurement_without_lengths_is_shown_and_read(run_dir, benchmark):
    record = next(record for record in load_run(run_dir).records if record.benchmark == benchmark)
    _, caption = FIGURES[benchmark](record, RAW[benchmark])
    named = record.curve or "lengths not known beforehand"
    assert named in caption and "None" not in caption
    assert not any("None" in sentence for sentence in READINGS[benchmark](record, RAW[benchmark]))
    assert all("tokens" not in row["what"] for row in accounting_rows(record, RAW[benchmark]))


@pytest.mark.parametrize("run_dir", rows(NAMES, quick=1), indirect=True)
def test_the_whole_report_is_built(kernels, run_dir):
    execute(notebooks_dir() / "06_compare.ipynb", run_dir / "compare.ipynb", {"run_dir": str(run_dir)})
    render_report(run_dir / "compare.ipynb", run_dir / "report.html")
    page = (run_dir / "report.html").read_text()
    assert page.count("<figure>") >= 3 and "Traceback" not in page and "None in / None out" not in page
