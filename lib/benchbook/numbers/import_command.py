"""`benchbook import`: files of others read, judged and kept as a run; a line a measurement, and what was not read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from benchbook.numbers import bundle
from benchbook.numbers.files import Read, read_files
from benchbook.numbers.importing import Imported, make_run
from benchbook.records.record import Record, Verdict
from benchbook.records.runs import run_name
from benchbook.terminal import badge, say
from benchbook.terms.errors import ExperimentError, StoreError
from benchbook.terms.exit_codes import FAILED, OK
from benchbook.terms.likeness import alike, did_you_mean
from benchbook.terms.wording import counted

_WHOLE = ("batch_size", "input_len_tokens", "output_len_tokens", "max_concurrency", "num_prompts")
_SETTINGS = (*_WHOLE, "request_rate_rps", "range_ratio")


def import_files(
    paths: Sequence[Path], results: Path, launch: str, told: Sequence[str], command: str, console: Console
) -> int:
    """Read `paths`, write the run, print what came of it and return the exit code; ExperimentError where nothing was read.

    A packed run becomes again the run that it was.
    """
    settings = _settings(told)
    if packed := [path for path in paths if bundle.is_packed(path)]:
        return _unpack(packed, [path for path in paths if path not in packed], results, console)
    read = read_files(paths)
    imported = make_run(read, results, command, launch, settings) if read.figures else None
    if imported is None:
        lines = read.refused or read.left_out or [f"{', '.join(map(str, paths))}: no file that could hold a result"]
        raise ExperimentError("\n".join(lines))
    _print(imported, read, results, console)
    is_faulty = read.refused or any(record.verdict is Verdict.INVALID for record in imported.records)
    return FAILED if is_faulty else OK


def _unpack(packed: Sequence[Path], others: Sequence[Path], results: Path, console: Console) -> int:
    if others:
        raise ExperimentError(f"{others[0]}: packed runs are imported by themselves")
    for path in packed:
        try:
            store = bundle.unpack(path, results)
        except StoreError as error:
            raise ExperimentError(str(error)) from error
        name = run_name(store.run_dir, results)
        say(console, f"Unpacked {path}: {name}, each file as it was packed.")
        say(console, f"To go on: benchbook show {name}, benchbook table {name}, benchbook reproduce {name}")
    return OK


def _settings(told: Sequence[str]) -> Mapping[str, int | float]:
    """Return what --set says; ExperimentError for a setting that there is none of, or no number above 0."""
    found: dict[str, int | float] = {}
    for text in told:
        key, is_set, value = text.partition("=")
        if key not in _SETTINGS or not is_set:
            hint = did_you_mean(alike(key, _SETTINGS)) or f"it takes {', '.join(f'{name}=…' for name in _SETTINGS)}"
            raise ExperimentError(f"--set {text}: no such setting; {hint}")
        try:
            found[key] = int(value) if key in _WHOLE else float(value)
            if not 0 < found[key] < 1e9:
                raise ValueError
        except ValueError:
            kind = "a whole number" if key in _WHOLE else "a number"
            raise ExperimentError(f"--set {text}: must be {kind} above 0") from None
    return found


def _print(imported: Imported, read: Read, results: Path, console: Console) -> None:
    for record in imported.records:
        say(console, Text.assemble(badge(record.verdict, record.verdict.value), f"  {_place(record)}: {_case(record)}"))
        for why in record.reasons:
            say(console, f"{why.code}: {why.evidence}", "    ")
    for line in read.left_out:
        say(console, f"Left out: {line}")
    for line in read.refused:
        say(console, f"Refused: {line}")
    name = run_name(imported.store.run_dir, results)
    by_verdict = [sum(record.verdict is verdict for record in imported.records) for verdict in Verdict]
    verdicts = ", ".join(f"{number} {verdict}" for number, verdict in zip(by_verdict, Verdict) if number)
    unseen = sum(len(record.not_looked or {}) for record in imported.records) / len(imported.records)
    say(
        console,
        f"{counted(len(imported.records), 'record')} ({verdicts}) in {name}; {unseen:.0f} checks a record had nothing to look at.",
    )
    say(console, f"To go on: benchbook table {name}, benchbook report {name}")


def _place(record: Record) -> str:
    source = record.provenance.source
    if source is None:
        return "a record of benchbook"
    return ", ".join(filter(None, (source.file.partition("/")[2], source.where)))


def _case(record: Record) -> str:
    repeat = f", repeat {record.identity.repeat}" if record.identity.repeat else ""
    return f"{record.identity.case_id}{repeat}"
