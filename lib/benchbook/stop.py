"""`benchbook stop`: live hosts are ended, those that a person names and those whose guardian was killed."""

from __future__ import annotations

from rich.console import Console

from benchbook.hosts.process import scratch
from benchbook.hosts.process.registry import end_host, live_hosts, sweep_orphans
from benchbook.terminal import say
from benchbook.terms.errors import ExperimentError


def stop_hosts(host_id: str, all_hosts: bool, console: Console) -> None:
    """End the live host that `host_id` is the id of, its beginning, or the name; or all of them.

    Raises ExperimentError where none is meant, or one of several.
    """
    if not host_id and not all_hosts:
        raise ExperimentError("say which host: an id from `benchbook ps`, or --all")
    chosen = [
        entry for entry in live_hosts() if all_hosts or entry.host_id.startswith(host_id) or entry.name == host_id
    ]
    if not chosen and not all_hosts:
        raise ExperimentError(f"no live host {host_id!r}; see `benchbook ps`")
    if len(chosen) > 1 and not all_hosts:
        several = ", ".join(f"{entry.host_id} ({entry.kind})" for entry in chosen)
        raise ExperimentError(f"{host_id!r} may be any of {len(chosen)}: {several}; give the beginning of one id")
    for entry in chosen:
        end_host(entry.host_id)
        say(console, f"ended {entry.kind} {entry.name} ({entry.host_id})")


def end_orphans(console: Console) -> None:
    """End hosts whose guardian was killed, and remove what killed commands have left, before anything else is started."""
    scratch.sweep()
    for entry, pids in sweep_orphans():
        said = f"ended an orphan: {entry.kind} {entry.name} with {len(pids)} processes; its guardian had been killed"
        say(console, said)
