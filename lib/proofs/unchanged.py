"""Does the code still say the same? Tables, reports and comparisons of kept runs, as text, for two states of the code.

    python lib/proofs/unchanged.py before                        # the reference runs, with the code as it is
    python lib/proofs/unchanged.py after && diff -r before after # after a change: nothing, or what was meant
    python lib/proofs/unchanged.py before results/quickstart/*/  # and any other runs

Each run is copied, and its report built anew by the command line alone, so that both states may differ inside in all.
For a run there are table.csv, report.txt (the page's text, and that of its figures, without markup), show.txt, and what
`compare` says of the first launch and each other one: compare_*.txt, and the claims with all digits, compare_*.csv.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
OK, BAD_INPUT = 0, 2  # not imported from what may be anywhere in one of the two states
_SILENT = ("script", "style")
_BLOCKS = ("p", "div", "li", "tr", "td", "th", "h1", "h2", "h3", "br", "pre", "summary", "text", "figcaption")


class _Text(HTMLParser):
    """The text between the tags, a line a block; of an image what stands in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        self.parts += ["\n"] * (tag in _BLOCKS) + [text for name, text in attrs if name in ("alt", "title") and text]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in _SILENT
        self.parts += ["\n"] * (tag in _BLOCKS)

    def handle_data(self, data: str) -> None:
        self.parts += [data] * (not self._silent)


def text_of(html: str) -> str:
    """Return the text of a page, without markup and empty lines."""
    parser = _Text()
    parser.feed(html)
    lines = (" ".join(line.split()) for line in "".join(parser.parts).splitlines())
    return "".join(f"{line}\n" for line in lines if line)


def write_run(run_dir: Path, out: Path) -> None:
    """Write what the code says of the run in `run_dir` into the folder `out`."""
    with tempfile.TemporaryDirectory(prefix="benchbook-unchanged-") as name:
        copy = Path(name) / "kept" / run_dir.name
        shutil.copytree(run_dir, copy, symlinks=True)
        run = f"{copy.parent.name}/{copy.name}"
        out.mkdir(parents=True, exist_ok=True)
        benchbook(copy, "report", run)
        shutil.copy(copy / "table.csv", out)
        (out / "report.txt").write_text(text_of((copy / "report.html").read_text()).replace(name, "…"))
        (out / "show.txt").write_text(benchbook(copy, "show", run).replace(name, "…"))
        base, *others = json.loads((copy / "run.json").read_text())["launches"]
        for other in others:
            for suffix, text_format in (("txt", "text"), ("csv", "csv")):
                said = benchbook(copy, "compare", run, base, other, "--format", text_format)
                (out / f"compare_{re.sub(r'[^a-zA-Z0-9_.-]', '_', other)}.{suffix}").write_text(said)


def benchbook(run_dir: Path, *words: str) -> str:
    """Return what the command line prints, or its refusal; end this program where it fails."""
    argv = [sys.executable, "-m", "benchbook", *words, "--results", str(run_dir.parents[1])]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode not in (OK, BAD_INPUT):
        raise SystemExit(f"benchbook {' '.join(words)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout or done.stderr


def main() -> None:
    """Write all, a folder a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder to write to")
    parser.add_argument("runs", type=Path, nargs="*", help="folders of runs; without any, the reference runs")
    options = parser.parse_args()
    for run_dir in options.runs or sorted(path.parent for path in REFERENCE.glob("*/run.json")):
        write_run(run_dir.resolve(), options.out / run_dir.resolve().parent.name / run_dir.resolve().name)
        print(run_dir, flush=True)


if __name__ == "__main__":
    main()
