"""The report as a file: 06_compare.ipynb executed on a synthetic run and rendered, then read as a browser would."""

import os
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import nbformat
import pytest
from benchbook.errors import StoreError
from benchbook.measure import comparison
from benchbook.measure.notebook import execute, notebooks_dir
from benchbook.records.files import write_json
from benchbook.records.store import RUN_FILE
from benchbook.report.html import render_report
from benchbook.report.results import MAX_ROWS
from report_runs import QUESTION, failed, judged, make_run

LOG = "\x1b[31mERROR\x1b[0m <script>alert(1)</script>"
EXTERNAL = re.compile(
    r"""(?:src|href|action|data|poster)\s*=\s*["']?\s*(?:https?:)?//|@import|url\(\s*["']?(?!data:)"""
)
FAKE_SECRET = "hf_" + "a" * 30


class Page(HTMLParser):
    """The tags of a page, its links and its title."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.title, self._in_title = [], "", False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._in_title = tag == "title"

    def handle_data(self, data):
        self.title += data if self._in_title else ""
        self._in_title = False

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def change(record):
    if record.benchmark == "throughput" and record.identity.repeat == 1:
        return failed(record, evidence=LOG, log_tail=LOG)
    if record.benchmark == "latency" and record.identity.repeat == 1:
        return None
    return judged(record, "suspect", "cold_start", LOG) if record.benchmark == "first_request" else record


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("run"), change=change, question=f"{QUESTION} <b>&</b>")
    execute(notebooks_dir() / "06_compare.ipynb", folder / "compare.ipynb", {"run_dir": str(folder)})
    render_report(folder / "compare.ipynb", folder / "report.html")
    return folder


@pytest.fixture(scope="module")
def html(run_dir):
    return (run_dir / "report.html").read_text()


def notebook_with(tmp_path, source, output):
    cell = nbformat.v4.new_code_cell(source, outputs=[nbformat.v4.new_output("stream", text=output)])
    path = tmp_path / "compare.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


def test_nothing_is_loaded_from_anywhere(html):
    page = Page(html)
    assert EXTERNAL.findall(html) == []
    assert page.all("script") == page.all("iframe") == []
    assert all(attributes["href"] == "data:," for attributes in page.all("link"))
    assert all(attributes["src"].startswith("data:image/png") for attributes in page.all("img"))
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_the_page_has_a_language_a_title_and_a_viewport(html):
    page = Page(html)
    assert page.all("html")[0]["lang"] == "en"
    assert page.title == f"{QUESTION} <b>&</b>"
    assert any(attributes.get("name") == "viewport" for attributes in page.all("meta"))


def test_every_figure_has_an_alternative_text_and_there_are_at_most_four(html):
    images = Page(html).all("img")
    assert len(images) == 4
    assert all(len(attributes["alt"]) > 30 for attributes in images)


def test_links_are_relative_and_lead_to_files_of_the_run(html, run_dir):
    links = [unquote(attributes["href"]) for attributes in Page(html).all("a")]
    assert len(links) > 20
    assert all((run_dir / link).is_file() for link in links)


def test_the_report_opens_with_question_answer_and_counts(html):
    question, peak = html.index("<h1>"), html.index("Output throughput peaks at")
    counts = html.index("21 measured, 1 failed, 2 missing.")
    assert question < peak < counts < html.index("<h2>")


def test_code_is_hidden_and_setup_left_out(html):
    assert "show_answer" not in html
    assert "load_run" not in html


def test_text_of_logs_is_shown_and_never_becomes_markup(html):
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "\x1b" not in html


def test_the_table_of_all_repeats_lies_beside_the_report(run_dir):
    assert len((run_dir / "table.csv").read_text().splitlines()) == 1 + 22


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
    assert "<script" not in (tmp_path / "report.html").read_text()


def test_a_question_cannot_break_out_of_the_title(tmp_path):
    write_json(tmp_path / RUN_FILE, {"question": "</title><script>alert(1)</script>"})
    render_report(notebook_with(tmp_path, "1", "text"), tmp_path / "report.html")
    assert "<script" not in (tmp_path / "report.html").read_text()


def test_the_comparison_notebook_is_mostly_prose_and_one_call_a_cell():
    notebook = nbformat.read(notebooks_dir() / "06_compare.ipynb", as_version=4)
    lines = {kind: sum(len(cell.source.splitlines()) for cell in notebook.cells if cell.cell_type == kind)
             for kind in ("markdown", "code")}  # fmt: skip
    assert lines["markdown"] >= 2 * lines["code"]
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")


def test_a_comparison_whose_kernel_dies_is_one_line_and_leaves_no_report(tmp_path, monkeypatch):
    deadly = nbformat.read(notebooks_dir() / "06_compare.ipynb", as_version=4)
    deadly.cells[-1].source = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    nbformat.write(deadly, tmp_path / "06_compare.ipynb")
    monkeypatch.setattr(comparison, "notebooks_dir", lambda: tmp_path)
    run_dir = make_run(tmp_path, benchmarks=("throughput",))
    with pytest.raises(StoreError, match="Kernel died; did the machine run out of memory"):
        comparison.execute_comparison(run_dir)
    assert not (run_dir / "report.html").exists()


def test_long_tables_are_cut_with_a_note_and_the_rest_is_in_the_csv(tmp_path):
    from benchbook.report.results import results_html
    from benchbook.report.run import load_run

    launches = tuple(f"launch{number}" for number in range(12))
    run = load_run(make_run(tmp_path, launches=launches, repeats=1, benchmarks=("serve",)))
    html = results_html(run)
    assert html.count("<tr>") == 1 + MAX_ROWS
    assert f"The first {MAX_ROWS} of 96 cases are shown; all are in table.csv." in html


def test_a_folder_that_cannot_be_written_still_gives_the_tables(tmp_path):
    from benchbook.report.results import save_table_html
    from benchbook.report.run import load_run

    run_dir = make_run(tmp_path, benchmarks=("throughput",))
    run = load_run(run_dir)
    os.rename(run_dir, tmp_path / "moved")
    assert "was not written" in save_table_html(run)
