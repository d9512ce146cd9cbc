"""`benchbook gate`: which runs and launches are judged against each other, by how much worse they may be, and the answer."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from benchbook.judge.compare import compare
from benchbook.judge.comparison_caveats import caveats
from benchbook.judge.gate import Gate, gate
from benchbook.judge.gate_refusals import Side, refusals
from benchbook.judge.kept import FEWEST_RUNS, compare_with_kept
from benchbook.launch_differences import difference_text
from benchbook.listing import aligned
from benchbook.plan.experiment import load_experiment
from benchbook.records.header import RunState
from benchbook.records.named_runs import find_run
from benchbook.records.record import Record, Verdict
from benchbook.records.runs import CASES, run_files
from benchbook.report.compare_command import launch_names
from benchbook.report.differences import launches_of
from benchbook.report.gate_files import write_gate
from benchbook.report.gate_text import (
    HEADINGS,
    HOW,
    RIGHT,
    exit_code,
    power_sentence,
    sentences,
    spread_sentence,
    table_rows,
    title,
)
from benchbook.report.run import Run, load_run
from benchbook.terminal import say, shown, tell_damage
from benchbook.terms.errors import ExperimentError
from benchbook.terms.exit_codes import FAILED, GATE_MEANINGS, OK
from benchbook.terms.likeness import no_such
from benchbook.terms.metrics import BY_KEY, Metric, metrics_named
from benchbook.terms.wording import counted

_SHARE = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,6})?) ?%")
_SAME = ("launch", "model", "packages", "device")  # of the kept runs of one baseline


@dataclass(frozen=True)
class Asked:
    """By how much worse the new one may be, as shares."""

    allowed: float
    metrics: Mapping[str, float]  # those that are named, each with its own; empty: each benchmark's headline
    answers_may_differ: bool = False

    @property
    def named(self) -> list[Metric]:
        """Return the metrics that are named."""
        return [BY_KEY[key] for key in self.metrics]


@dataclass(frozen=True)
class Told:
    """A gate's answer, and what a reader must know beside it."""

    gate: Gate
    notes: list[str]


@dataclass(frozen=True)
class Gating:
    """What a command line asks: the shares, and the kept runs of a baseline where it names some."""

    asked: Asked
    against: Sequence[str]
    results_dir: Path

    @classmethod
    def of(
        cls, share: str, metrics: Sequence[str], may_differ: bool, against: Sequence[str], results_dir: Path
    ) -> Gating:
        """Return it as the options say it; raise ExperimentError for a share or a metric that is none."""
        return cls(read_asked(share, metrics, may_differ), against, results_dir)

    def check(self, file: Path, base: str, new: str) -> None:
        """Raise ExperimentError where the experiment in `file`, were it measured, could not be judged."""
        launches = [launch.name for launch in load_experiment(file).launches]
        if self.against:
            kept_runs(self.against, only_launch(launches, base), self.results_dir, None)
        else:
            check_launches(launches, base, new)

    def print_answer(self, run_dir: Path, base: str, new: str, console: Console, out: Path | None) -> int:
        """Print the answer for a run that is measured, write its files into `out`; return the exit code."""
        run = load_run(run_dir)
        tell_damage(run.damage)
        if not self.against:
            return print_told(gate_in_turns(run, base, new, self.asked), console, out)
        launch = only_launch(launches_of(run), base)
        kept, left_out = kept_runs(self.against, launch, self.results_dir, run_dir)
        return print_told(gate_against(run, kept, left_out, launch, self.asked), console, out)


def read_asked(not_worse_than: str, metrics: Sequence[str], answers_may_differ: bool) -> Asked:
    """Return what is asked by '3%' and by ['p99_ttft_ms=10%', 'output_throughput_tok_s']; raise ExperimentError."""
    allowed = _share("--not-worse-than", not_worse_than)
    own = {
        metric.key: _share(f"--metric {metric.key}", share) if share else allowed
        for metric, share in metrics_named(metrics)
    }
    return Asked(allowed, own, answers_may_differ)


def check_launches(launches: Sequence[str], base: str, new: str) -> None:
    """Raise ExperimentError unless `launches`, of an experiment that is to be measured, tell a baseline and a new one."""
    for name in launch_names(launches, launches, base, new, is_one_run=True):
        if name not in launches:
            raise ExperimentError(no_such("launch", name, launches))
    if base and base == new:
        raise ExperimentError(f"the baseline and the new launch are both {base!r}")


def gate_in_turns(run: Run, base: str, new: str, asked: Asked) -> Told:
    """Return the answer for two launches of a run that took turns, the first being the baseline where none is named."""
    launches = launches_of(run)
    check_launches(launches, base, new)
    base, new = launch_names(launches, launches, base, new, is_one_run=True)
    labels = run.label(base, beside=run.packages(new)), run.label(new, beside=run.packages(base))
    sides = [_side(run, name, label) for name, label in zip((base, new), labels)]
    comparison = compare(sides[0].records, sides[1].records, labels, metrics=asked.named)
    judged = gate(comparison, asked.allowed, asked.metrics)
    told, is_broken = refusals(*sides, asked.answers_may_differ)
    found = Gate(comparison, tuple(judged), tuple(told), is_broken)
    difference = difference_text(run.settings(base), run.settings(new), (base, new))
    return Told(found, [difference, *filter(None, [power_sentence(found)]), *([] if told else caveats(comparison))])


def gate_against(run: Run, kept: Sequence[Run], left_out: Sequence[str], launch: str, asked: Asked) -> Told:
    """Return the answer for a launch of a run against the same launch of `kept` runs, three at least."""
    base, new = f"{launch} ({counted(len(kept), 'kept run')})", f"{launch} ({run.name})"
    side = _side(run, launch, new)
    of_kept = [one.by_launch[launch] for one in kept]
    comparison, rows = compare_with_kept(of_kept, side.records, (base, new), asked.named)
    judged = gate(comparison, asked.allowed, asked.metrics, is_foretold=True)
    baseline = Side(base, [record for records in of_kept for record in records])
    told, is_broken = refusals(baseline, side, asked.answers_may_differ)
    found = Gate(comparison, tuple(judged), tuple(told), is_broken)
    named = f"The baseline is {', '.join(one.name for one in kept)}."
    notes = [named, spread_sentence(rows), power_sentence(found), *left_out]
    difference = difference_text(kept[-1].settings(launch), run.settings(launch), (kept[-1].name, run.name))
    notes += comparison.accuracy.sentences if comparison.accuracy else []
    return Told(found, [*filter(None, notes), difference])


def only_launch(launches: Sequence[str], launch: str) -> str:
    """Return the launch that is meant of those of the new run; raise ExperimentError where that is not clear."""
    if launch and launch not in launches:
        raise ExperimentError(no_such("launch", launch, launches))
    if not launch and len(launches) != 1:
        raise ExperimentError(f"name the launch to judge against kept runs: {', '.join(launches)}")
    return launch or launches[0]


def kept_runs(names: Sequence[str], launch: str, results_dir: Path, new: Path | None) -> tuple[list[Run], list[str]]:
    """Return the kept runs of a baseline, oldest first, and what was left out of those that are named and why.

    The name of an experiment is all its runs, that in folder `new` and later ones excepted. They are of one
    launch, model, device and set of packages, those of the newest. Raises ExperimentError with fewer than three.
    """
    found, left_out = [], []
    for folder in dict.fromkeys(folder for name in names for folder in _folders(name, results_dir)):
        if new and folder.name >= new.name and folder.parent == new.parent:
            continue
        run = load_run(folder)
        if why := _why_not_kept(run, launch):
            left_out.append(f"{run.name} is no part of the baseline: {why}.")
        else:
            found.append(run)
    found.sort(key=lambda run: run.header.started_utc)
    alike_newest = [run for run in found if _conditions(run, launch) == _conditions(found[-1], launch)]
    left_out += [
        f"{run.name} is no part of the baseline: it has another launch, model, device or version than {found[-1].name}."
        for run in found
        if run not in alike_newest
    ]
    if len(alike_newest) < FEWEST_RUNS:
        have = ", ".join(run.name for run in alike_newest) or "none"
        more = f" {' '.join(left_out)}" if left_out else ""
        raise ExperimentError(
            f"what runs of launch {launch!r} vary by from day to day takes {FEWEST_RUNS} kept runs, and here are "
            f"{len(alike_newest)} ({have}): measure more, or both launches in turns, in one experiment.{more}"
        )
    return alike_newest, left_out


def print_told(told: Told, console: Console, folder: Path | None) -> int:
    """Print the answer, what it rests on and what limits it, write its files into `folder`; return the exit code."""
    found = told.gate
    code = exit_code(found)
    colour = {OK: "bold green", FAILED: "bold red"}.get(code, "bold yellow")
    say(console, Text(title(found), colour))
    for text in sentences(found):
        say(console, f"  {text}")
    if found.judged and not found.refusals:
        say(console, "")
        width = console.width if console.is_terminal else None
        print(aligned(HEADINGS, table_rows(found), width, RIGHT, may_wrap=0), end="")
        say(console, "")
        say(console, HOW)
    for note in told.notes:
        say(console, f"! {note}")
    if folder:
        written = write_gate(found, told.notes, folder)
        say(console, f"Written: {', '.join(str(shown(path)) for path in written)}")
    say(console, f"Exit code {code}: {GATE_MEANINGS[code]}.")
    return code


def _share(what: str, text: str) -> float:
    match = _SHARE.fullmatch(text.strip())
    share = float(match[1]) / 100 if match else 0.0
    if not 0 < share < 0.5:
        raise ExperimentError(f"{what} {text}: must be a share above 0 % and below 50 %, such as 3%")
    return share


def _side(run: Run, launch: str, name: str) -> Side:
    cases = {case.case_id for case in run.plan if case.launch == launch}
    missing = sum(number for case_id, number in run.missing.items() if case_id in cases)
    return Side(name, run.comparable(launch), missing)


def _folders(name: str, results_dir: Path) -> list[Path]:
    """Return the run that is meant, or all runs of the experiment of that name."""
    if os.path.isdir(results_dir / name) and not (results_dir / name / CASES).is_dir():
        return [path.parent for path in run_files(results_dir) if path.parent.parent == results_dir / name]
    return [find_run(name, results_dir)]


def _why_not_kept(run: Run, launch: str) -> str:
    records: Sequence[Record] = run.by_launch[launch]
    if not records:
        return f"it has no record of launch {launch!r}"
    if run.header.state in (RunState.RUNNING, RunState.DAMAGED):
        return f"it is {run.header.state}"
    if any(record.verdict is Verdict.INVALID or not record.is_measured for record in records):
        return "something in it failed or is INVALID"
    return ""


def _conditions(run: Run, launch: str) -> tuple[str | None, ...]:
    parts = run.by_launch[launch][0].identity.fingerprint_parts
    return tuple(parts.get(name) for name in _SAME)
