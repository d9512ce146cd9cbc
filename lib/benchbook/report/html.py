"""An executed comparison notebook becomes one HTML file that opens anywhere and loads nothing from anywhere.

nbconvert's own templates link MathJax, RequireJS and Mermaid on a CDN; ours (report.html.j2) has what `frame` puts around
a page, and with it a policy that forbids the browser to fetch what might slip through.

A chapter begins with a heading of second order. One that has nothing to show is left out, and what a cell tagged
`folded` explains stands behind its first line.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchbook.records.files import write_bytes
from benchbook.records.header import read_header
from benchbook.records.runs import RUN_FILE
from benchbook.records.store import REPORT_FILE
from benchbook.report import frame
from benchbook.report.markup import Html, element, is_absent, join, text, with_drawings
from benchbook.terms.errors import StoreError
from benchbook.terms.redaction import find_secrets, known_secrets

if TYPE_CHECKING:
    from nbconvert import HTMLExporter
    from nbformat import NotebookNode

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_CHAPTER = re.compile(r"<h2>(.*?)</h2>")
_FIRST_CHAPTER = re.compile(r'(<section(?: class="\w+")?>\s*)?<h2 ')
_HEADLINE = re.compile(r'<p class="headline">(.*?)</p>', re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


def render_report(notebook_path: Path, html_path: Path) -> None:
    """Write the executed notebook as a report; raise StoreError, and write nothing, where it holds a secret.

    Code is hidden; cells tagged `remove-cell` are left out. The title is the question in the run.json beside
    the notebook.
    """
    _write_without_secrets(html_path, report_html(notebook_path))


def _write_without_secrets(html_path: Path, page: str) -> None:
    found = find_secrets(page, known_secrets())
    if found:
        raise StoreError(
            f"{html_path} was not written: the report would hold what looks like a secret ({', '.join(found)}); "
            "remove it from the experiment or the environment and measure again"
        )
    write_bytes(html_path, page.encode(errors="replace"))  # not `write_text`, which would look through all of it again


def report_html(notebook_path: Path) -> str:
    """Return the HTML of an executed notebook."""
    import nbformat

    notebook = nbformat.read(notebook_path, as_version=4)
    notebook.cells = _told(notebook.cells)
    return with_drawings(_with_contents(_page(notebook, _title(notebook_path), _place(notebook_path.parent))))


def write_page(path: Path, title: str, parts: Sequence[Html]) -> None:
    """Write a page of `parts` under `title`, with links to its chapters; raise StoreError, and write nothing, where it
    holds a secret.
    """
    sections = (element("section", part) for part in (element("h1", title), *parts))
    _write_without_secrets(path, _with_contents(frame.page(title, join(sections))))


def rehearse() -> None:
    """Have all compiled that a report takes, the notebook's schema and the page's templates, by rendering an empty one."""
    import nbformat

    _page(nbformat.reads(nbformat.writes(nbformat.v4.new_notebook()), as_version=4), "", "")


def _page(notebook: NotebookNode, title: str, place: str) -> str:
    from nbconvert import TemplateExporter

    about = {"head": frame.head(title, _headline(notebook)), "script": frame.script(), "place": text(place)}
    resources = {"metadata": {"name": title}, **about}
    # HTMLExporter's own would parse the finished page, to describe figures and mark code cells: ours needs neither.
    body, _ = TemplateExporter.from_notebook_node(_exporter(), notebook, resources)
    return body


@functools.cache
def _exporter() -> HTMLExporter:
    """Return what turns notebooks into pages; it keeps the templates that it has compiled."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = {"remove-cell"}
    config.TagRemovePreprocessor.remove_input_tags = {"remove-input"}
    return HTMLExporter(
        config=config,
        template_name="basic",
        template_file=str(_TEMPLATE),
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        embed_images=True,
        optimistic_validation=True,  # once, not after each of twelve preprocessors
    )


def _told(cells: Sequence[NotebookNode]) -> list[NotebookNode]:
    """Return the cells without the chapters that have nothing to show."""
    chapters: list[list[NotebookNode]] = [[]]
    for cell in cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            chapters.append([])
        chapters[-1].append(cell)
    kept = [chapter for place, chapter in enumerate(chapters) if place == 0 or _has_content(chapter)]
    return [cell for chapter in kept for cell in chapter]


def _has_content(chapter: Sequence[NotebookNode]) -> bool:
    """Return whether a cell of `chapter` displays more than that there is nothing."""
    outputs = [output for cell in chapter for output in cell.get("outputs", ())]
    return any(not is_absent(output.get("data", {}).get("text/html", "text")) for output in outputs)


def _with_contents(body: str) -> str:
    """Return a page with an id on every chapter and, above the first, links to them: question and answer come before."""
    titles = _CHAPTER.findall(body)
    if not titles:
        return body
    links = join(Html(f'<li><a href="#{_anchor(title)}">{title}</a></li>') for title in titles)
    contents = f'<nav class="contents" aria-label="Contents">{element("ul", links)}</nav>'
    body = _CHAPTER.sub(lambda found: f'<h2 id="{_anchor(found[1])}">{found[1]}</h2>', body)
    return _FIRST_CHAPTER.sub(lambda found: f"{contents}\n{found[0]}", body, count=1)


def _headline(notebook: NotebookNode) -> str:
    """Return the first sentence of the answer that the notebook gives; '' where it gives none."""
    shown = (
        output.get("data", {}).get("text/html", "") for cell in notebook.cells for output in cell.get("outputs", ())
    )
    found = next((found for markup in shown if (found := _HEADLINE.search(markup))), None)
    return html.unescape(_TAG.sub("", found[1])) if found else ""


def _place(run_dir: Path) -> str:
    """Return where the report lies in the folders of its run: there, and only there, are files beside it."""
    folder = run_dir.resolve()
    return f"{folder.parent.name}/{folder.name}/{REPORT_FILE}"


def _anchor(title: str) -> str:
    """Return 'what-a-user-waits' for 'What a user waits'."""
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def _title(notebook_path: Path) -> str:
    """Return the run's question, or the notebook's name where no run lies beside it."""
    header, _ = read_header(notebook_path.with_name(RUN_FILE))
    return header.question or notebook_path.stem
