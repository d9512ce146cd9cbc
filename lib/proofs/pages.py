"""Reports in a real browser that can reach nothing: wide and narrow, light and dark, with scripts and without, and printed.

    python lib/proofs/pages.py                                   # the reports of the reference runs
    python lib/proofs/pages.py results/x/y/report.html --axe node_modules/axe-core/axe.min.js --shots /tmp/shots

Of each page: it says nothing to the console, asks for nothing, is nowhere wider than its window, its first screen holds
question and answer, all that is folded is printed, and its marks, legends, tables and links do what they should. With
axe-core, which is not ours and is given by its path, no fault that is serious.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Iterator
from pathlib import Path

from browser import Tab, browser_tab

WIDTHS = (400, 900, 1600)
REFERENCE = Path(__file__).parents[2] / "results" / "reference"
_SERIOUS = ("serious", "critical")

_TOO_WIDE = """(() => {
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide) return [`the page is ${document.documentElement.scrollWidth} wide`];
  const out = [...document.querySelectorAll("main *")].filter((one) =>
    !one.closest(".scroll, svg, details:not([open])") && one.getBoundingClientRect().right > wide + 1);
  return out.map((one) => `${one.tagName} ${one.className} ends at ${one.getBoundingClientRect().right}`).slice(0, 5);
})()"""
_FIRST_SCREEN = """(() => {
  const answer = document.querySelector(".headline") ?? document.querySelector(".answer");
  return document.querySelector("h1") && (!answer || answer.getBoundingClientRect().bottom <= innerHeight);
})()"""
_FOLDED_IN_PRINT = """[...document.querySelectorAll("details > :not(summary)")]
  .filter((one) => !one.getClientRects().length && one.textContent.trim()).length"""
_DONE = """(async () => {
  const faults = [], at = (query) => document.querySelector(query);
  const mark = at("figure svg use[data-more]");
  if (mark) {
    mark.dispatchEvent(new PointerEvent("pointerover", { bubbles: true, pointerType: "mouse" }));
    const tip = at(".tip");
    if (tip.hidden || !/repeat|FLOP/.test(tip.textContent)) faults.push("a mark says nothing");
    if (tip.getBoundingClientRect().right > document.documentElement.clientWidth) faults.push("a tip is cut off");
    mark.dispatchEvent(new PointerEvent("click", { bubbles: true, pointerType: "mouse" }));
    if (document.getElementById(mark.dataset.more)?.open !== true) faults.push("a mark does not open its case");
    const box = mark.closest(".scroll");
    box.focus();
    box.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    if (tip.hidden) faults.push("the arrow keys do not walk the marks");
    dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
    if (!tip.hidden) faults.push("Escape leaves a tip");
  }
  const line = at(".switches button");
  if (line) {
    line.click();
    const hidden = line.closest("figure").querySelectorAll("[data-line].off").length;
    line.click();
    if (!hidden || at("[data-line].off")) faults.push("a legend does not hide its line, or not show it again");
  }
  const number = at("table.results th.number .sort");
  if (number) {
    const cells = () => [...number.closest("table").tBodies[0].rows].map((row) => row.cells[number.closest("th").cellIndex]);
    number.click();
    const values = cells().map((cell) => parseFloat(cell.textContent.replaceAll(",", ""))).filter((one) => !isNaN(one));
    if (values.some((one, place) => place && one < values[place - 1])) faults.push("a table is not sorted");
    number.click(); number.click();
  }
  const words = at(".filter input");
  if (words) {
    const rows = [...words.closest("label").nextElementSibling.querySelectorAll("tbody tr")];
    const typed = (text) => (words.value = text, words.dispatchEvent(new Event("input")), rows.filter((row) => !row.hidden));
    if (typed("no such words").length || typed(rows[0].cells[0].textContent).length < 1 || typed("").length < rows.length)
      faults.push("words do not filter a table");
  }
  return faults;
})()"""


def main() -> int:
    """Look at every page in every way; print what is wrong; exit 1 where anything is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="*", help="default: the reports of the reference runs")
    parser.add_argument("--axe", type=Path, help="axe.min.js of axe-core")
    parser.add_argument("--shots", type=Path, help="a folder for pictures and prints")
    options = parser.parse_args()
    pages = options.pages or sorted(REFERENCE.glob("*/report.html"))
    if options.shots:
        options.shots.mkdir(parents=True, exist_ok=True)
    found = 0
    with browser_tab() as tab:
        for page in pages:
            faults = list(dict.fromkeys(faults_of(tab, page, options.axe, options.shots)))
            found += len(faults)
            print(f"{page}: {len(faults)} faults, {page.stat().st_size / 2**20:.2f} MiB", flush=True)
            for fault in faults:
                print(f"  {fault}", flush=True)
    return 1 if found else 0


def faults_of(tab: Tab, page: Path, axe: Path | None, shots: Path | None) -> Iterator[str]:
    """Yield what is wrong with `page`, a sentence each."""
    for width in WIDTHS:
        for dark in (False, True):
            for scripts in (True, False):
                how = f"{width} px, {'dark' if dark else 'light'}{'' if scripts else ', no scripts'}"
                tab.open(page, width=width, dark=dark, scripts=scripts)
                yield from (f"{how}: {fault}" for fault in _seen(tab, width))
                if shots and scripts:
                    name = f"{page.parent.name}-{width}-{'dark' if dark else 'light'}"
                    tab.shot(shots / f"{name}.png")
                    tab.shot(shots / f"{name}-whole.png", whole=True)
                if scripts:
                    yield from (f"{how}: {fault}" for fault in _axe(tab, axe))
                    yield from (f"{how}: {fault}" for fault in tab.value(_DONE))
                yield from (f"{how}: {complaint}" for complaint in tab.complaints)
    yield from _printed(tab, page, shots)


def _seen(tab: Tab, width: int) -> Iterator[str]:
    yield from tab.value(_TOO_WIDE)
    if width >= 900 and not tab.value(_FIRST_SCREEN):
        yield "the answer is not in the first screen"


def _axe(tab: Tab, axe: Path | None) -> Iterator[str]:
    """Yield the serious faults that axe-core finds, each rule with the first of what breaks it."""
    if axe is None:
        return
    tab.value(axe.read_text(encoding="utf-8") + ";0")
    results = tab.value("axe.run(document, {resultTypes: ['violations']})")
    for rule in results["violations"]:
        if rule["impact"] in _SERIOUS:
            yield f"axe: {rule['id']} ({len(rule['nodes'])} times): {rule['nodes'][0]['html'][:200]}"


def _printed(tab: Tab, page: Path, shots: Path | None) -> Iterator[str]:
    """Yield what paper lacks, printed without scripts."""
    tab.open(page, width=900, scripts=False)
    tab.call("Emulation.setEmulatedMedia", media="print")
    if folded := tab.value(_FOLDED_IN_PRINT):
        yield f"print: {folded} parts stay folded"
    if shots:
        path = shots / f"{page.parent.name}.pdf"
        tab.pdf(path)
        subprocess.run(["pdftoppm", "-r", "50", "-png", path, path.with_suffix("")], check=False)


if __name__ == "__main__":
    raise SystemExit(main())
