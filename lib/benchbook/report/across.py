"""Runs side by side, wherever their figures are from: what differs between them, what may be compared, and what not and why.

A case of one run is compared with that of another of the same benchmark, lengths and load. Where a run has several of
these, as with two temperatures, all that they ask must be the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchbook.judge.compare import Comparison, compare
from benchbook.judge.loads import case_name, load_text
from benchbook.launch_differences import difference_text
from benchbook.records.fingerprint import digest
from benchbook.records.record import Record
from benchbook.report.sides import Side
from benchbook.terms.errors import ExperimentError

_SHOWN_CHARS = 80


@dataclass(frozen=True)
class Across:
    """One side against another."""

    base: Side
    other: Side
    comparison: Comparison  # without rows where there is nothing to compare
    differences: tuple[tuple[str, str, str], ...]  # what, there, here
    apart: tuple[str, ...]  # why what is not compared cannot be, a sentence each


def across(ours: Sequence[Side], theirs: Sequence[Side]) -> list[Across]:
    """Return each launch of one run against that of another: of the same name, else the only ones that they have."""
    by_name = {side.launch: side for side in theirs}
    pairs = [(side, by_name[side.launch]) for side in ours if side.launch in by_name]
    if not pairs and len(ours) == len(theirs) == 1:
        pairs = [(ours[0], theirs[0])]
    if not pairs:
        names = [" and ".join(f"{side.run}:{side.launch}" for side in sides) for sides in (ours, theirs)]
        raise ExperimentError(f"no launches of one name: say which, of {names[0]}, and {names[1]}")
    return [_compared(*pair) for pair in pairs]


def _compared(base: Side, other: Side) -> Across:
    ours, theirs = _by_key(base.records), _by_key(other.records)
    several = {key for found in (ours, theirs) for key, workloads in found.items() if len(workloads) > 1}
    shared = [list(_comparable(side.records, several)) for side in (base, other)]
    names = (
        (base.launch, other.launch)
        if base.launch and other.launch and base.launch != other.launch
        else (base.short, other.short)
    )
    comparison = compare(*shared, names, is_paired=False)
    remarks = [f"A remark on {side.run}: {side.remark}" for side in (base, other) if side.remark]
    remarks += [
        f"The figures of {side.name} are others': nobody here watched how they were measured."
        for side in (base, other)
        if side.is_others
    ]
    settings = difference_text(base.settings, other.settings, names) if base.settings and other.settings else ""
    differences = tuple(
        (what, value, other.facts[what]) for what, value in base.facts.items() if other.facts[what] != value
    )
    return Across(
        base,
        other,
        replace(comparison, remarks=tuple(remarks), difference=settings),
        (*differences, *_asked(comparison, base, other, several)),
        tuple(_apart(base, other, comparison)),
    )


def _key(record: Record) -> tuple[Any, ...]:
    """Return what two cases must share to be compared: benchmark, lengths and load."""
    return record.benchmark, record.curve, record.load.model_dump_json() if record.load else ""


def _by_key(records: Sequence[Record]) -> dict[tuple[Any, ...], set[str]]:
    found: dict[tuple[Any, ...], set[str]] = {}
    for record in records:
        found.setdefault(_key(record), set()).add(digest(record.workload))
    return found


def _comparable(records: Sequence[Record], several: set[tuple[Any, ...]]) -> Iterator[Record]:
    """Yield the records that can be compared, their workloads as far as they must be the same."""
    for record in records:
        key = _key(record)
        if record.row.is_load and not record.curve:
            continue  # nobody knows of what lengths it is
        same = {"same": digest([key, record.workload if key in several else None])}
        identity = record.identity.model_copy(
            update={"case_id": f"{record.identity.launch},{case_name(record)}", "fingerprint_parts": {}}
        )
        yield record.model_copy(update={"workload": same, "identity": identity})


def _asked(
    comparison: Comparison, base: Side, other: Side, several: set[tuple[Any, ...]]
) -> Iterator[tuple[str, str, str]]:
    """Yield the settings of workloads that are compared and are not the same: more prompts, another spread of arrivals."""
    ours, theirs = ({_key(record): record.workload for record in side.records} for side in (base, other))
    found: dict[str, tuple[set[str], set[str]]] = {}
    for key in ours.keys() & theirs.keys() - several:
        for name in {**ours[key], **theirs[key]}:
            values = [workload.get(name) for workload in (ours[key], theirs[key])]
            if None not in values and values[0] != values[1]:
                for place, value in zip(found.setdefault(name, (set(), set())), values):
                    place.add(str(value))
    for name, values in found.items():
        yield name, *(", ".join(sorted(each))[:_SHOWN_CHARS] for each in values)


def _apart(base: Side, other: Side, comparison: Comparison) -> Iterator[str]:
    """Yield why cases of either side are in no row."""
    for side in (base, other):
        if unknown := {case_name(record) for record in side.records if record.row.is_load and not record.curve}:
            yield f"{_some(unknown)} of {side.name}: the lengths of its requests are not told"
        refused: dict[str, set[str]] = {}
        for record in side.records:
            if record.is_measured and not record.is_believed:
                codes = ", ".join(why.code for why in record.reasons if why.severity == "invalid")
                refused.setdefault(codes, set()).add(case_name(record))
        for codes, names in refused.items():
            yield f"{_some(names)} of {side.name}: INVALID by {codes}"
    curves = [{(record.benchmark, record.curve) for record in side.records if record.curve} for side in (base, other)]
    for side, own, others in ((base, *curves), (other, *reversed(curves))):
        if alone := own - others:
            said = {f"{benchmark}, {curve}" for benchmark, curve in alone}
            yield f"{_some(said)}: measured in {side.name} alone"
    for curve in sorted(curves[0] & curves[1]):
        loads = [
            {load_text(record) for record in side.records if (record.benchmark, record.curve) == curve}
            for side in (base, other)
        ]
        for side, own, others in ((base, *loads), (other, *reversed(loads))):
            if alone := own - others:
                yield f"{curve[0]}, {curve[1]}, {_some(alone)}: this load was measured in {side.name} alone"
    if comparison.cases and not comparison.rows:
        yield "the cases that both have tell no metric that both tell"


def _some(names: set[str]) -> str:
    shown = sorted(name or "without a load" for name in names)
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return "; ".join(shown[:3]) + more
