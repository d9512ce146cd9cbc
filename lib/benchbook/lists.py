"""`benchbook list` and `benchbook ps`: the runs under a results folder, and the live hosts of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console

from benchbook.hosts.process.registry import HostEntry, live_hosts
from benchbook.listing import ListFormat, aligned, for_programs, markdown
from benchbook.records.header import RunHeader
from benchbook.records.runs import no_runs_text, run_files, run_name
from benchbook.records.store import Store
from benchbook.terminal import say, tell_damage
from benchbook.terms.wording import duration_text

RUN_HEADINGS = ("run", "state", "measured", "took", "question")
_HOST_HEADINGS = ("id", "kind", "pid", "kept", "address", "up", "name")


def print_runs(results_dir: Path, list_format: ListFormat, console: Console) -> None:
    """Print the runs, newest last: name, state, how many planned repeats are measured, how long it took, the question."""
    rows, damage = _run_rows(results_dir)
    nothing = no_runs_text(results_dir) if not rows else ""
    _print(rows, RUN_HEADINGS, list(map(_run_texts, rows)), (2, 3), nothing, list_format, console)
    tell_damage(damage)


def run_texts(results_dir: Path) -> list[tuple[str, ...]]:
    """Return a row a run for people, newest last, under RUN_HEADINGS."""
    return list(map(_run_texts, _run_rows(results_dir)[0]))


def print_hosts(list_format: ListFormat, console: Console) -> None:
    """Print the live hosts, oldest first: id, kind, process, whether it is kept, address, for how long it is up, name."""
    hosts = live_hosts()
    rows, texts = [_host_row(host) for host in hosts], [_host_texts(host) for host in hosts]
    _print(rows, _HOST_HEADINGS, texts, (2, 5), "No host of benchbook is alive.", list_format, console)


def _print(
    rows: Sequence[Mapping[str, Any]],
    headings: Sequence[str],
    texts: Sequence[Sequence[str]],
    right: Sequence[int],
    nothing: str,
    list_format: ListFormat,
    console: Console,
) -> None:
    """Print `rows` for programs, or `texts` for people, of which the last column may be cut on a terminal."""
    if list_format in ("csv", "json"):
        print(for_programs(rows, list_format), end="")
    elif not rows:
        say(console, nothing[0].upper() + nothing[1:])
    elif list_format == "md":
        print(markdown(headings, texts, right), end="")
    else:
        width = console.width if console.is_terminal else None
        print(aligned(headings, texts, width, right, may_cut=len(headings) - 1), end="")


def _run_rows(results_dir: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the runs, newest last, and what of them is damaged."""
    found = [(path.parent, *Store(path.parent).read_header()) for path in run_files(results_dir)]
    found.sort(key=lambda one: one[1].started_utc)
    return [_run_row(*one, results_dir) for one in found], [line for _, _, damage in found for line in damage]


def _run_row(run_dir: Path, header: RunHeader, damage: Sequence[str], results_dir: Path) -> dict[str, Any]:
    return {
        "run": run_name(run_dir, results_dir),
        "state": header.state,
        "measured": Store(run_dir).count_measured(),
        "planned": None if damage else sum(case.repeats for case in header.plan),
        "wall_s": header.wall_s,
        "started_utc": header.started_utc,
        "question": header.question,
        "folder": str(run_dir),
    }


def _run_texts(row: Mapping[str, Any]) -> tuple[str, ...]:
    took = duration_text(row["wall_s"]) if row["wall_s"] is not None else ""
    question = " ".join(row["question"].split())
    planned = "?" if row["planned"] is None else row["planned"]
    return row["run"], row["state"], f"{row['measured']}/{planned}", took, question


def _host_row(host: HostEntry) -> dict[str, Any]:
    return {
        "id": host.host_id,
        "kind": host.kind,
        "name": host.name,
        "pid": host.host_pid,
        "kept": host.keep,
        "base_url": host.base_url,
        "model": host.model,
        "served_name": host.served_name,
        "started_utc": host.started_utc,
        "log": host.log_path,
    }


def _host_texts(host: HostEntry) -> tuple[str, ...]:
    up_s = (datetime.now(timezone.utc) - datetime.fromisoformat(host.started_utc)).total_seconds()
    pid, kept = str(host.host_pid or ""), "yes" if host.keep else ""
    return host.host_id, host.kind, pid, kept, host.base_url or "", duration_text(up_s), host.name
