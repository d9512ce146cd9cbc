"""Whether a number may be believed is the first thing a report shows, and a tail that is none is greyed."""

import html
import re

import pytest
from benchbook.judge.catalogue import BY_CODE
from benchbook.judge.evidence import Measured
from benchbook.judge.unseen import num_concerned
from benchbook.records.host import AttachedFacts
from benchbook.records.record import Verdict
from benchbook.report.answer import verdict_sentence
from benchbook.report.caveats import unseen_sentence
from benchbook.report.curves import USER_SPEED
from benchbook.report.failures import reasons_html, with_meanings
from benchbook.report.figures import floor_figure, latency_figure, throughput_figure
from benchbook.report.published import published_html
from benchbook.report.results import results_html
from benchbook.report.run import load_run
from benchbook.report.table import tidy_table
from report_runs import LENGTHS, judged, make_run

ARTICLE_WORKLOAD = {"input_len_tokens": 4096, "output_len_tokens": 1024}


def with_completed(number):
    def change(record):
        if record.benchmark != "serve":
            return record
        return record.model_copy(update={"values": {**record.values, "completed": number}})

    return change


def as_article(benchmark, workload):
    """Return the workload with the article's lengths, once each."""
    return [] if workload.get("input_len_tokens") != LENGTHS[0][0] else [{**workload, **ARTICLE_WORKLOAD}]


def one_suspect(record):
    is_first = record.benchmark == "serve" and record.identity.repeat == 0
    return judged(record, "suspect", "machine_busy", "other processes used 40%") if is_first else record


def cells_of(html):
    """Return what a reader sees in each cell of a table."""
    cells = re.findall(r"<td>(.*?)</td>", html)
    return [re.sub(r"<[^>]*>", "", cell).replace("\u00a0", " ") for cell in cells]


def test_the_verdict_is_the_first_column_of_table_and_report(tmp_path):
    run = load_run(make_run(tmp_path, change=one_suspect))
    assert tuple(run.table.columns[:2]) == ("verdict", "reasons")
    html = results_html(run)
    assert re.findall(r"<thead><tr><th>(.*?)</th>", html) == ["Verdict"] * 4
    assert {"✓ 1 VALID, ! 1 SUSPECT", "✓ 2 VALID"} <= set(cells_of(html))


def test_a_code_in_the_answer_says_what_it_means_and_leads_to_its_row(tmp_path):
    run = load_run(make_run(tmp_path / "busy", change=one_suspect))
    busy, quiet = with_meanings(run, [verdict_sentence(run), "no <code> here, nor compiled_while_measuring"])
    meaning = html.escape(BY_CODE["machine_busy"].meaning)
    assert f'(<a href="#code-machine_busy" title="{meaning}">machine_busy</a> 8)' in busy
    assert 'id="code-machine_busy"' in reasons_html(run)
    assert quiet == "no &lt;code&gt; here, nor compiled_while_measuring"


def test_the_answer_opens_with_what_may_be_believed(tmp_path):
    run = load_run(make_run(tmp_path, change=one_suspect))
    assert verdict_sentence(run) == "Of 24 measured repeats: 16 VALID, 8 SUSPECT (machine_busy 8)."
    assert verdict_sentence(load_run(make_run(tmp_path / "twin"))) == "Of 24 measured repeats: 24 VALID."


def test_repeats_that_disagree_are_suspect_in_the_table_though_their_records_are_not(tmp_path):
    def change(record):
        if record.benchmark != "throughput" or record.identity.repeat:
            return record
        return record.model_copy(update={"values": {**record.values, "output_throughput_tok_s": 400.0}})

    run = load_run(make_run(tmp_path, change=change))
    rows = run.table[run.table["benchmark"] == "throughput"]
    assert list(rows["verdict"]) == [Verdict.SUSPECT.value] * 2
    assert all("repeats_disagree" in reasons for reasons in rows["reasons"])
    assert run.verdicts[Verdict.SUSPECT] == 2
    written = load_run(make_run(tmp_path / "twin"))
    assert "repeats_disagree" not in " ".join(tidy_table(written.records)["reasons"])


@pytest.mark.parametrize(("completed", "is_grey"), [(661, True), (662, False)])
def test_a_p99_is_greyed_until_it_is_earned(tmp_path, completed, is_grey):
    run = load_run(make_run(tmp_path, change=with_completed(completed), benchmarks=("serve",)))
    assert (f"not earned: {completed} samples, p99 needs 662" in results_html(run)) is is_grey
    figure, caption = latency_figure(run, run.curves[0])
    greys = [axes.get_facecolor()[:3] != (1.0, 1.0, 1.0) for axes in figure.axes]
    assert greys == [False, is_grey, False, is_grey]  # median TTFT, p99 TTFT, median TPOT, p99 TPOT
    assert ("only from 662 on does" in caption) is is_grey


def test_a_level_that_rests_on_suspect_repeats_says_so_in_its_caption_and_ends_in_a_hollow_mark(tmp_path):
    def change(record):
        slow = {"throughput": {"output_throughput_tok_s": 100.0}, "latency": {"avg_batch_latency_s": 9.0}}
        return record.model_copy(update={"values": {**record.values, **slow.get(record.benchmark, {})}})

    for name, draw, said in (
        ("doubted", throughput_figure, "2 of 2 repeats of throughput mode are SUSPECT (ceiling_below_serving)"),
        ("doubted", floor_figure, "2 of 4 repeats of latency mode are SUSPECT (floor_above_load)"),
        ("sound", throughput_figure, None),
        ("sound", floor_figure, None),
    ):
        folder = tmp_path / f"{name}-{draw.__name__}"
        run = load_run(make_run(folder, **({"change": change} if said else {})))
        figure, caption = draw(run, run.curves[0])
        assert said in caption if said else "SUSPECT" not in caption
        # The marks at the ends of the levels: those of 128 in, of which alone there is an offline reference.
        ends = [mark for mark in figure.axes[0].lines if not mark.get_clip_on()]
        assert ends and {mark.get_markerfacecolor() == "white" for mark in ends} == {bool(said)}


def test_every_reason_comes_with_its_meaning_threshold_and_remedy(tmp_path):
    html = reasons_html(load_run(make_run(tmp_path, change=one_suspect)))
    code = BY_CODE["machine_busy"]
    assert code.meaning in html and code.threshold in html and code.remedy in html
    assert "other processes used 40%" in html


def test_a_code_that_is_no_longer_known_is_shown_all_the_same(tmp_path):
    def change(record):
        return judged(record, "suspect", "cold_start", "an older benchbook said so")

    assert "cold_start" in reasons_html(load_run(make_run(tmp_path, change=change)))


def test_published_figures_stand_beside_a_run_of_the_same_workload_with_their_own_verdict(tmp_path):
    html = published_html(load_run(make_run(tmp_path, vary=as_article)))
    assert "AMD MI300X" in html and "479" in html and "SUSPECT" in html
    assert "floor_above_load" in html and "ceiling_below_serving" in html and "percentile_not_earned" in html
    assert "batch size and lengths are not stated" in html


def test_they_stay_away_from_a_run_of_another_workload(tmp_path):
    assert published_html(load_run(make_run(tmp_path))) == ""


def test_the_speed_of_one_user_comes_from_tpot_and_not_from_the_nominal_concurrency(tmp_path):
    def change(record):
        if record.benchmark != "serve":
            return record
        return record.model_copy(update={"values": {**record.values, "median_tpot_ms": 5.0}})

    (line, *_) = load_run(make_run(tmp_path, change=change)).lines
    assert set(line.means(USER_SPEED).values()) == {200.0}


def test_what_could_not_look_at_a_server_of_somebody_else_is_counted_and_said_with_why(tmp_path):
    why = "the server's log is not ours to read"

    def change(record):
        if record.identity.launch == "own":
            return record
        host = record.host.model_copy(update={"attached": AttachedFacts(address="http://h")})
        unseen = {"compiled_while_measuring": why, "kv_exhausted": why, "guards_down": "its command is not known"}
        return record.model_copy(update={"host": host, "not_looked": unseen})

    run = load_run(make_run(tmp_path, launches=("own", "a", "b"), change=change, benchmarks=("serve",)))
    total = num_concerned(Measured.of(run.by_launch["a"][0]))
    said = unseen_sentence(run)
    assert said.startswith(
        f"a and b: 3 of {total} checks could not look at this server: {why} (compiled_while_measuring, kv_ex"
    )
    assert total > 50 and "its command is not known (guards_down)" in said
