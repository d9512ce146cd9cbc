"""What the marks of a figure say: the repeat that one is, its verdict and value, and what its case comes to."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from benchbook.judge.catalogue import BY_CODE
from benchbook.judge.spread import Spread, mean_interval, spread_text
from benchbook.report.curves import Line
from benchbook.report.svg import Mark
from benchbook.report.table import START
from benchbook.terms.metrics import BY_KEY
from benchbook.terms.wording import number_text


def case_anchor(case_id: str) -> str:
    """Return the id under which a page tells all of a case."""
    return f"case-{zlib.crc32(case_id.encode()):08x}"


def marks_of(line: Line, key: str) -> Mapping[int, Mark]:
    """Return what the mark of each repeat of `line` says of metric `key`, by its row of the tidy table."""
    metric, spreads, intervals = BY_KEY.get(key), line.points(key), _intervals(line, key)
    rows = line.repeats
    columns = (rows[line.load.key], rows[key].astype("float64"), rows["repeat"], rows["verdict"], rows["reasons"])
    label, unit = (metric.label, f" {metric.unit}".rstrip()) if metric else (key.replace("_", " "), "")
    marks = {}
    for row, case_id, number, value, repeat, verdict, reasons in zip(rows.index, rows["case_id"], *columns):
        load = line.load.value(number)
        said = [
            f"{line.where}, {line.load.text(load)}",
            f"{label} {number_text(value)}{unit}, repeat {repeat}: {verdict}{_because(reasons)}",
            _case_text(spreads.get(load), intervals.get(load), unit),
        ]
        marks[row] = Mark("\n".join(filter(None, said)), case_anchor(case_id))
    return marks


def _because(reasons: str) -> str:
    """Return ' (cold_start, machine_busy)', the codes that speak against a repeat; '' where only notes are said of it."""
    codes = [code for code in reasons.split() if code not in BY_CODE or BY_CODE[code].severity != "note"]
    return f" ({', '.join(codes)})" if codes else ""


def _intervals(line: Line, key: str) -> dict[float, tuple[float, float]]:
    """Return the 95 % interval of the mean by load, where there are enough repeats or starts to tell one."""
    pairs: dict[float, list[tuple[float, str]]] = {}  # by hand, as `Line.points`
    for load, value, start in zip(
        line.believed[line.load.key], line.believed[key].astype("float64"), line.believed[START]
    ):
        if value > 0:
            pairs.setdefault(line.load.value(load), []).append((value, start))
    found = {load: mean_interval(*zip(*known)) for load, known in pairs.items()}
    return {load: interval for load, interval in found.items() if interval}


def _case_text(spread: Spread | None, interval: tuple[float, float] | None, unit: str) -> str:
    """Return 'The case: 512 ± 3 tok/s (3 repeats of one start), 95 % interval 505 to 519'."""
    if spread is None or spread.count < 2:
        return ""
    known = f", 95 % interval {number_text(interval[0])} to {number_text(interval[1])}" if interval else ""
    return f"The case: {spread_text(spread, unit.strip())}{known}"
