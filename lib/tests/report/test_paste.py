"""A run summed up to be pasted, and the page that lists all runs."""

import io
import re

import pytest
from benchbook.cli import app
from benchbook.records.files import write_text
from benchbook.report.answer import answer
from benchbook.report.index import INDEX_FILE, write_index
from benchbook.report.markup import text
from benchbook.report.paste import SUMMARY_FILE, as_markdown, as_png
from benchbook.report.run import REMARK_FILE, load_run
from PIL import Image
from report_runs import QUESTION, failed, judged, make_run
from typer.testing import CliRunner


def ran(*words):
    done = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_markdown_has_question_answer_verdicts_and_a_row_a_case(tmp_path):
    run_dir = make_run(tmp_path, benchmarks=("serve",))
    told = ran("report", run_dir, "--format", "md", "--results", tmp_path)
    lines = told.splitlines()
    assert lines[0] == f"### {QUESTION}"
    assert f"**{answer(load_run(run_dir))[0]}**" in lines
    assert "- Of 16 measured repeats: 16 VALID." in lines
    assert sum(line.startswith("| ") for line in lines) == 2 + 8
    assert not (run_dir / "report.html").exists()


def test_many_cases_are_folded_and_doubt_and_remark_stand_above_the_answer(tmp_path):
    run_dir = make_run(tmp_path, launches=("eager", "compiled"), benchmarks=("serve",),
                       change=lambda one: judged(one, "suspect", "machine_busy", "40%"))  # fmt: skip
    write_text(run_dir / REMARK_FILE, "The fan was off.")
    told = as_markdown(load_run(run_dir))
    assert "<details><summary>16 cases</summary>" in told
    assert told.index("⚠️ Remark: The fan was off.") < told.index("⚠️ **This run cannot answer")


@pytest.mark.parametrize(
    ("question", "shown"),
    [
        ("Is *this* `code`?", r"### Is \*this\* \`code\`?"),
        ("<script>alert(1)</script>", "### &lt;script>alert(1)&lt;/script>"),
        ("a|b [x](http://y)\n# two", r"### a\|b \[x\](http://y) # two"),
        ("kv_fp8 and _so_", r"### kv_fp8 and \_so\_"),
    ],
)
def test_nothing_in_a_question_becomes_markup(tmp_path, question, shown):
    assert as_markdown(load_run(make_run(tmp_path, benchmarks=("throughput",), question=question))).startswith(
        shown + "\n"
    )


@pytest.mark.parametrize("launches", [("eager",), ("eager", "compiled")])
def test_the_picture_has_the_words_and_a_figure(tmp_path, launches):
    run_dir = make_run(tmp_path, launches=launches, benchmarks=("serve",), question="What of $x_1$?")
    assert SUMMARY_FILE in ran("report", run_dir, "--format", "png", "--results", tmp_path)
    with Image.open(run_dir / SUMMARY_FILE) as image:
        assert image.format == "PNG" and image.width > 900 and image.height > 500


def test_a_run_without_a_number_has_a_summary_too(tmp_path):
    run = load_run(make_run(tmp_path, change=failed))
    assert "Nothing was measured" in as_markdown(run)
    with Image.open(io.BytesIO(as_png(run))) as image:
        assert image.height > 100


def listed(results):
    """Return question, answer and link of each row of the list, by the run's name."""
    page = write_index(results).read_text()
    rows = re.findall(r"<tr>(<td.*?)</tr>", page, re.DOTALL)
    return page, rows


def test_the_list_has_every_run_newest_first_with_its_answer_and_a_link_to_its_report(tmp_path):
    old = make_run(tmp_path / "a", question="Is <old> slow?", started_utc="2026-11-01T10:00:00+00:00")
    new = make_run(tmp_path / "b", benchmarks=("serve",), started_utc="2026-11-20T10:00:00+00:00")
    results = tmp_path / "results"
    for place, run_dir in (("old", old), ("new one", new)):
        (results / place).mkdir(parents=True)
        run_dir.rename(results / place / run_dir.name)
    ran("report", results / "new one" / new.name, "--results", results)
    page, rows = listed(results)
    headline = text(answer(load_run(results / "new one" / new.name))[0]).replace(" ± ", "\u00a0±\u00a0")
    assert (results / INDEX_FILE).read_text() == page and len(rows) == 2
    assert f'<a href="new%20one/{new.name}/report.html">' in rows[0] and headline in rows[0]
    assert "Is &lt;old&gt; slow?" in rows[1] and "<a " not in rows[1], "no link where there is no report"


def test_the_list_forgets_what_is_removed_and_is_a_page_without_runs(tmp_path):
    run_dir = make_run(tmp_path, benchmarks=("throughput",))
    assert len(listed(tmp_path)[1]) == 1
    ran("rm", run_dir, "--yes", "--results", tmp_path)
    assert "There are no runs yet." in (tmp_path / INDEX_FILE).read_text()


def test_a_run_elsewhere_is_in_no_list(tmp_path):
    run_dir, results = make_run(tmp_path / "elsewhere", benchmarks=("throughput",)), tmp_path / "results"
    results.mkdir()
    ran("report", run_dir, "--results", results)
    assert not (results / INDEX_FILE).exists()
