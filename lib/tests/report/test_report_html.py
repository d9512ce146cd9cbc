"""The report as a file: 06_compare.ipynb executed on a synthetic run and rendered, then read as a browser would."""

import base64
import hashlib
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from benchbook.notebooks import comparison
from benchbook.notebooks.execute import execute
from benchbook.project import notebooks_dir
from benchbook.records.files import write_json
from benchbook.records.store import EXPERIMENT_FILE, RUN_FILE
from benchbook.report.answer import answer
from benchbook.report.html import rehearse, render_report, report_html
from benchbook.report.run import REMARK_FILE, load_run
from benchbook.terms.errors import StoreError
from report_runs import QUESTION, failed, judged, make_run

pytestmark = pytest.mark.usefixtures("kernels")

LOG = "\x1b[31mERROR\x1b[0m <script>alert(1)</script>"
EXTERNAL = re.compile(
    r"""(?:src|href|action|data|poster)\s*=\s*["']?\s*(?:https?:)?//|@import|url\(\s*["']?(?!data:|#)"""
)
FAKE_SECRET = "hf_" + "a" * 30
YAML = "question: who <b>reads</b> this?  # & why\n"


class Page(HTMLParser):
    """The tags of a page, its title, its chapters and what each fold says of what is inside."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.title, self.chapters, self.folds, self._last = [], "", [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._last = tag

    def handle_data(self, data):
        if self._last == "title" and not self.title:  # of the page, and not of a mark in a figure
            self.title += data
        elif self._last == "h2":
            self.chapters.append(data)
        elif self._last == "summary":
            self.folds.append(data)
        self._last = ""

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def change(record):
    if record.benchmark == "throughput" and record.identity.repeat == 1:
        return failed(record, evidence=LOG, log_tail=LOG)
    if record.benchmark == "latency" and record.identity.repeat == 1:
        return None
    return judged(record, "suspect", "cold_start", LOG) if record.benchmark == "first_request" else record


def rendered(run_dir):
    """Return the report of a run as HTML."""
    execute(notebooks_dir() / "06_compare.ipynb", run_dir / "compare.ipynb", {"run_dir": str(run_dir)})
    render_report(run_dir / "compare.ipynb", run_dir / "report.html")
    return (run_dir / "report.html").read_text()


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("run"), change=change, question=f"{QUESTION} <b>&</b>")
    (folder / EXPERIMENT_FILE).write_text(YAML)
    (folder / REMARK_FILE).write_text("The fan was <i>off</i>.\nDo not cite.\n")
    (folder / "launches" / "eager").mkdir(parents=True)
    (folder / "launches" / "eager" / "engine.log").write_text(LOG)
    rendered(folder)
    return folder


@pytest.fixture(scope="module")
def html(run_dir):
    return (run_dir / "report.html").read_text()


@pytest.fixture(scope="module")
def two_launches(tmp_path_factory):
    """The report of two launches that were only served, with nothing to say against any repeat."""
    folder = make_run(tmp_path_factory.mktemp("two"), launches=("eager", "compiled"), benchmarks=("serve",))
    return rendered(folder)


def policy_of(page):
    return next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")


def drawings(html):
    """Return the attributes of each drawing of the figures, those of single cases left out."""
    return [attributes for attributes in Page(html).all("svg") if attributes.get("class") != "course"]


def notebook_with(tmp_path, source, output):
    cell = nbformat.v4.new_code_cell(source, outputs=[nbformat.v4.new_output("stream", text=output)])
    path = tmp_path / "compare.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


def test_nothing_is_loaded_from_anywhere(html):
    page = Page(html)
    assert EXTERNAL.findall(html) == []
    assert page.all("img") == page.all("iframe") == []
    assert all(attributes["href"] == "data:," for attributes in page.all("link"))
    assert "default-src 'none'" in policy_of(page)


def test_the_only_script_that_may_run_is_ours(html):
    page = Page(html)
    (source,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert (
        page.all("script") == [{}]
        and source == Path(report_html.__code__.co_filename).with_name("report.js").read_text()
    )
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    assert re.findall(r"script-src [^;]*", policy_of(page)) == [f"script-src 'sha256-{digest}'"]
    assert not re.search(r"<[^>]*\son\w+=", html), "no script in an attribute"


def test_a_page_says_at_its_head_what_its_answer_is(html, run_dir):
    described = next(a["content"] for a in Page(html).all("meta") if a.get("name") == "description")
    assert described == answer(load_run(run_dir))[0]


def test_the_page_has_a_language_a_title_and_a_viewport(html):
    page = Page(html)
    assert page.all("html")[0]["lang"] == "en"
    assert page.title == f"{QUESTION} <b>&</b>"
    assert any(attributes.get("name") == "viewport" for attributes in page.all("meta"))


def test_every_figure_has_an_alternative_text_and_there_are_at_most_four(html):
    assert len(drawings(html)) == 4
    assert all(len(attributes["aria-label"]) > 30 for attributes in drawings(html))


def test_no_link_leaves_the_page_so_none_is_dead_when_it_is_mailed(html):
    ids = {attributes["id"] for _, attributes in Page(html).tags if "id" in attributes}
    links = [attributes["href"] for attributes in Page(html).all("a")]
    inside = [link for link in links if link.startswith("#")]
    assert {link.removeprefix("#") for link in inside} <= ids and len(inside) > 5
    assert all(link.startswith("data:") for link in links if link not in inside)


def test_the_contents_list_the_chapters_in_their_order(html):
    contents = html[html.index('<nav class="contents"') : html.index("</nav>")]
    assert re.findall(r'<a href="#[^"]+">([^<]+)</a>', contents) == Page(html).chapters
    assert html.index("<h1>") < html.index('<div class="answer">') < html.index("</nav>") < html.index("<h2 ")


def test_figures_and_results_come_before_method(html):
    first_figure = html.index("<figure>")
    results, method = (html.index(f">{title}</h2>") for title in ("Results", "How it was measured"))
    assert first_figure < results < method


def test_explanations_are_folded_behind_a_line_that_says_what_is_inside(html):
    page = Page(html)
    assert "What a row and its verdicts mean" in page.folds and "Cases, repeats, rounds and starts" in page.folds
    assert len(page.folds) == len(page.all("details"))
    assert not any("open" in attributes for attributes in page.all("details"))


def test_what_is_folded_is_printed(html):
    printed = html[html.index("@media print") :]
    assert re.search(r"details::details-content \{[^}]*content-visibility: visible", printed)


def test_no_heading_is_printed_alone_at_the_foot_of_a_page(html):
    (selectors,) = re.findall(r"^ *(.*) \{ break-after: avoid; \}", html, re.MULTILINE)
    headings = {"h2", "h3", "summary", "thead", "p:has(+ pre)", "p:has(+ .course)"}  # the last is what a command is
    assert {selector.strip() for selector in selectors.split(",")} == headings


def test_a_run_of_one_launch_says_nothing_about_comparing_nor_of_what_else_it_has_not(html):
    assert "Do the launches differ?" not in html and "nothing to compare" not in html
    assert "Published figures" not in html
    assert "SLO" not in re.sub(r'"data:[^"]*"', "", html)


def test_chapters_without_anything_to_show_are_left_out(two_launches):
    chapters = Page(two_launches).chapters
    assert "Do the launches differ?" in chapters and "Results" in chapters
    absent = {"What failed or is missing", "Floor and ceiling", "Published figures of the same workload"}
    assert not absent & set(chapters)


def test_of_a_run_that_measured_nothing_what_failed_comes_first(tmp_path):
    assert Page(rendered(make_run(tmp_path, change=failed))).chapters[0] == "What failed or is missing"


def test_a_run_that_cannot_answer_is_marked_as_such(tmp_path, html):
    busy = make_run(tmp_path, change=lambda record: judged(record, "suspect", "machine_busy", "40%"))
    assert 'class="answer doubted"' in rendered(busy) and 'class="answer doubted"' not in html


def test_every_box_that_scrolls_is_reached_by_the_keyboard_and_named(html):
    boxes = [attributes for _, attributes in Page(html).tags if attributes.get("class") == "scroll"]
    assert len(boxes) >= len(Page(html).all("table")) + len(drawings(html))
    assert all((box["tabindex"], box["role"]) == ("0", "region") and box["aria-label"] for box in boxes)
    assert len({box["aria-label"] for box in boxes}) == len(boxes), "each by a name of its own"


def test_every_figure_is_described_by_what_is_seen_in_it(html):
    seen = ("output throughput goes from", "median TTFT goes from", "a user sees", "one batch of one takes")
    for drawing, what in zip(drawings(html), seen, strict=True):
        assert what in drawing["aria-label"]


def test_a_remark_on_the_run_stands_first_in_the_answer_and_is_escaped(html):
    box = html[html.index('<div class="answer">') :]
    remark = '<p class="remark"><strong>Remark.</strong> The fan was &lt;i&gt;off&lt;/i&gt;. Do not cite.</p>'
    assert box.removeprefix('<div class="answer">').startswith(remark)


def test_the_experiment_file_is_inside_and_escaped(html):
    assert "question: who &lt;b&gt;reads&lt;/b&gt; this?  # &amp; why" in html
    assert "The experiment file, experiment.yaml" in Page(html).folds


def test_the_table_of_all_repeats_is_inside_as_a_file_to_save(html, run_dir):
    (saved,) = [attributes for attributes in Page(html).all("a") if "download" in attributes]
    head, _, content = saved["href"].partition(",")
    assert (saved["download"], head) == ("table.csv", "data:text/plain;charset=utf-8")
    assert unquote(content) == (run_dir / "table.csv").read_text()


def test_a_failure_is_told_once_with_the_end_of_its_log_and_where_the_log_lies(html):
    assert html.count("The end of its log") == 1
    assert "launches/eager/engine.log" in html


def test_the_report_opens_with_question_answer_and_counts(html):
    question, peak = html.index("<h1>"), html.index("output throughput rises from ", html.index("<h1>"))
    counts = html.index("21 measured, 1 failed, 2 missing.")
    assert question < peak < counts < html.index("<h2 ")


def test_code_is_hidden_and_setup_left_out(html):
    assert "show_answer" not in html
    assert "load_run" not in html


def test_text_of_logs_is_shown_and_never_becomes_markup(html):
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "\x1b" not in html


def test_the_table_of_all_repeats_lies_beside_the_report(run_dir):
    assert len((run_dir / "table.csv").read_text().splitlines()) == 1 + 22


def test_a_report_is_the_same_whatever_was_rendered_before_it(run_dir, two_launches, html, tmp_path):
    rehearse()
    assert report_html(notebook_with(tmp_path, "print(1)", "one")) != html
    rehearse()
    assert report_html(run_dir / "compare.ipynb") == html


def test_a_secret_in_an_output_stops_the_report(tmp_path):
    notebook = notebook_with(tmp_path, "1", f"token {FAKE_SECRET}\n")
    with pytest.raises(StoreError, match=r"hf_a…\(33 characters\)"):
        render_report(notebook, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_secret_of_the_environment_stops_the_report(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "plain-looking-value")
    notebook = notebook_with(tmp_path, "1", "the key is plain-looking-value\n")
    with pytest.raises(StoreError, match="secret") as error:
        render_report(notebook, tmp_path / "report.html")
    assert "plain-looking-value" not in str(error.value)


def test_printed_text_is_escaped(tmp_path):
    render_report(notebook_with(tmp_path, "1", LOG), tmp_path / "report.html")
    assert "<script>alert" not in (tmp_path / "report.html").read_text()


def test_a_question_cannot_break_out_of_the_title(tmp_path):
    write_json(tmp_path / RUN_FILE, {"question": "</title><script>alert(1)</script>"})
    render_report(notebook_with(tmp_path, "1", "text"), tmp_path / "report.html")
    assert "<script>alert" not in (tmp_path / "report.html").read_text()


def test_the_comparison_notebook_is_mostly_prose_and_one_call_a_cell():
    notebook = nbformat.read(notebooks_dir() / "06_compare.ipynb", as_version=4)
    lines = {kind: sum(len(cell.source.splitlines()) for cell in notebook.cells if cell.cell_type == kind)
             for kind in ("markdown", "code")}  # fmt: skip
    assert lines["markdown"] >= 2 * lines["code"]
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")


def test_a_run_that_is_not_there_is_one_line_in_the_notebook(tmp_path):
    import papermill

    with pytest.raises(papermill.PapermillExecutionError, match="no run 'nowhere'"):
        execute(notebooks_dir() / "06_compare.ipynb", tmp_path / "out.ipynb", {"run_dir": "nowhere"})
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    (error,) = [output for cell in cells for output in cell.get("outputs", ()) if output.output_type == "error"]
    assert len(error.traceback) == 1 and len(error.traceback[0].splitlines()) == 1


def test_a_comparison_whose_kernel_dies_is_one_line_and_leaves_no_report(tmp_path, monkeypatch):
    deadly = nbformat.read(notebooks_dir() / "06_compare.ipynb", as_version=4)
    deadly.cells[-1].source = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    nbformat.write(deadly, tmp_path / "06_compare.ipynb")
    monkeypatch.setattr(comparison, "notebooks_dir", lambda: tmp_path)
    run_dir = make_run(tmp_path, benchmarks=("throughput",))
    with pytest.raises(StoreError, match="Kernel died; did the machine run out of memory"):
        comparison.execute_comparison(run_dir)
    assert not (run_dir / "report.html").exists()


def test_long_tables_are_cut_with_a_note_and_the_rest_is_in_the_csv(tmp_path, monkeypatch):
    from benchbook.report import results
    from benchbook.report.results import results_html

    monkeypatch.setattr(results, "MAX_CASES", 50)

    launches = tuple(f"launch{number}" for number in range(12))
    run = load_run(make_run(tmp_path, launches=launches, repeats=1, benchmarks=("serve",)))
    html = results_html(run)
    assert html.count("<tr>") == 1 + 50
    assert "The first 50 of 96 cases are shown; all are in table.csv." in html
    assert 'class="scroll long"' in html


def test_a_folder_that_cannot_be_written_still_gives_the_tables(tmp_path):
    from benchbook.report.results import save_table_html

    run_dir = make_run(tmp_path, benchmarks=("throughput",))
    run = load_run(run_dir)
    os.rename(run_dir, tmp_path / "moved")
    assert "was not written" in save_table_html(run)
