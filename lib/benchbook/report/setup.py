"""Under which conditions a run was measured: what varied, launches, hardware and versions, and how to repeat it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchbook.judge.gpus import num_gpus
from benchbook.reading import MOST_WRITTEN_BYTES, read_bytes
from benchbook.records.header import LaunchFacts
from benchbook.records.host import HostFacts
from benchbook.records.parts import MachineFacts, gpus_text
from benchbook.records.record import Record
from benchbook.records.runs import CASES, RUN_FILE
from benchbook.records.store import EXPERIMENT_FILE
from benchbook.report.markup import Html, element, facts, folded, join, table
from benchbook.report.places import place_rows
from benchbook.report.results import MAX_ROWS, cut_note
from benchbook.report.run import Run
from benchbook.report.settings import settings_of, settings_text, value_text
from benchbook.terms.errors import StoreError
from benchbook.terms.redaction import redacted
from benchbook.terms.wording import listed, number_text, time_text

_MAX_COMMANDS = 12
_OUR_DOOR = re.compile(r" --middleware benchbook\.[\w.]+")  # a server of one's own needs none
_CLOCK = "A start is timed from that of its process; what a run prints meanwhile counts the preparation before it too."


def subtitle(run: Run) -> str:
    """Return model, device, run and date in one line."""
    models = dict.fromkeys(_model_name(launch) for launch in _launches(run).values())
    machine = run.header.provenance.machine
    parts = [
        " and ".join(models),
        _device_text(machine, _used_gpus(run)),
        f"run {run.name}",
        run.header.started_utc[:10],
    ]
    return " · ".join(part for part in parts if part)


def setup_html(run: Run) -> Html:
    """Return what varied and what was fixed, the launches and their hosts, the machine and its packages."""
    workloads: dict[str, list[Mapping[str, Any]]] = {}
    for case in run.plan:
        workloads.setdefault(case.benchmark, []).append(case.workload)
    rows = [
        (benchmark, len(settings), *map(settings_text, settings_of(settings)))
        for benchmark, settings in workloads.items()
    ]
    varied = table(("Benchmark", "Cases", "What varied", "What was fixed"), rows, numeric=[1])
    return join([varied, *_launches_html(run), facts(_machine_rows(run))])


def provenance_html(run: Run) -> Html:
    """Return what is needed to repeat the run: its command, times, commit, experiment file, and vLLM's commands."""
    git = run.header.provenance.git
    commit = str(git.commit or "not in a git repository")
    wall_s = run.header.wall_s
    rows = [
        ("Run", run.name),
        ("State", run.header.state),
        ("Started (UTC)", time_text(run.header.started_utc)),
        ("Ended (UTC)", time_text(run.header.ended_utc or "")),
        ("Wall time", None if wall_s is None else f"{wall_s:,.0f} s"),
        ("Seed", run.header.seed),
        ("Seed of the order", run.header.order_seed),
        ("Commit", commit + (" with uncommitted changes" if git.dirty else "")),
    ]
    command = element("pre", redacted(run.header.command or "not recorded"))
    return join(
        [command, *_changed_since(run), facts(rows), _experiment_html(run), _commands_html(run), _files_html(run)]
    )


def _launches_html(run: Run) -> list[Html]:
    """Return a table of the launches and one of every start of their hosts."""
    launches = _launches(run)
    rows = [
        (name, _model_name(launch), element("code", redacted(_arguments_text(launch))))
        for name, launch in launches.items()
    ]
    hosts = [(name, host.kind, *_host_values(host)) for name, launch in launches.items() for host in launch.hosts]
    host_headings = ("Launch", "Host", "Process ready after (s)", "Weights (GiB)", "KV cache (tokens)")
    return [
        table(("Launch", "Model", "Arguments and environment"), rows[:MAX_ROWS]),
        cut_note(len(rows), "launches", RUN_FILE),
        table(host_headings, hosts[:MAX_ROWS], numeric=[2, 3, 4]),
        cut_note(len(hosts), "starts of a host", RUN_FILE),
        element("p", _CLOCK, "note") if hosts else Html(""),
    ]


def _arguments_text(launch: LaunchFacts) -> str:
    named = {"engine": launch.engine, "python": launch.python, "program": launch.program, "command": launch.command}
    said = {**{name: text for name, text in named.items() if text}, **launch.attached, **launch.args, **launch.env}
    return ", ".join(f"{name}={value_text(value)}" for name, value in said.items())


def _host_values(host: HostFacts) -> list[str]:
    """Return time to ready, weights and KV cache of one start; an en dash where the log does not say."""
    return [number_text(value) for value in (host.ready_s, host.facts.weights_gib, host.facts.kv_cache_tokens)]


def _machine_rows(run: Run) -> list[tuple[str, Any]]:
    machine, packages = run.header.provenance.machine, run.header.provenance.packages
    elsewhere = [name for name, launch in _launches(run).items() if launch.python]
    return [
        ("Device", _device_text(machine, _used_gpus(run))),
        *place_rows(run.header),
        ("Memory", None if machine.memory_gib is None else f"{machine.memory_gib} GiB"),
        ("Kernel", machine.kernel),
        ("Python", machine.python),
        ("Packages", _packages_text(packages)),
        *((f"Packages of launch {name}", _packages_text(run.packages(name))) for name in elsewhere),
        *(
            (f"Server of launch {name}", _server_text(launch))
            for name, launch in _launches(run).items()
            if launch.attached
        ),
    ]


def _server_text(launch: LaunchFacts) -> str:
    """Return what is known of a server of somebody else: all else that is said of a machine is the client's."""
    said = launch.attached.get("attach")
    address = listed(said) if isinstance(said, list) else said
    versions = dict.fromkeys(host.version for host in launch.hosts if host.version)
    told = f"tells vLLM {' and '.join(versions)}" if versions else "tells no version"
    away = any(host.attached and host.attached.is_elsewhere for host in launch.hosts)
    where = "another machine, of which nothing is known" if away else "this machine"
    return f"at {address}, on {where}; it {told}. What else stands here is of the client."


def _packages_text(packages: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in packages.items())


def _commands_html(run: Run) -> Html:
    """Return the command of each launch's server and of its first case of each benchmark, as a shell takes it, folded.

    An engine that is kept loaded has no command that anybody could repeat; the offline benchmarks' own load one.
    """
    launches, commands = _launches(run), {}
    for name, launch in launches.items():
        for host in launch.hosts:
            if host.argv and host.kind != "engine":
                commands.setdefault(f"{host.kind or 'host'} of launch {name}", _command_text(launch.env, host.argv))
    firsts: dict[tuple[str, str], Record] = {}
    for record in run.records:
        if record.argv:
            firsts.setdefault((record.benchmark, record.identity.launch), record)
    for (benchmark, name), record in firsts.items():
        # A client of a server needs nothing of the launch's environment.
        launch = launches.get(name)
        env = {} if launch is None or record.row.host_kind == "server" else launch.env
        commands.setdefault(f"{benchmark}, launch {name}", _command_text(env, record.argv))
    if not commands:
        return Html("")
    parts = [
        join([element("p", heading), element("pre", command)])
        for heading, command in list(commands.items())[:_MAX_COMMANDS]
    ]
    if (further := len(commands) - _MAX_COMMANDS) > 0:
        parts.append(element("p", f"{further} further are in {RUN_FILE} and the records.", "note"))
    return folded("The exact vLLM commands: each server, and the first case of each benchmark", join(parts))


def _command_text(env: Mapping[str, str], argv: Sequence[str]) -> str:
    """Return a command with the environment of its launch before it, secrets and our own middleware left out."""
    variables = (f"{name}={shlex.quote(value)}" for name, value in env.items())
    return redacted(" ".join([*variables, _OUR_DOOR.sub("", shlex.join(argv))]))


def _changed_since(run: Run) -> list[Html]:
    """Return a remark where the file that the command names is not the one that ran any more."""
    ran = run.run_dir / EXPERIMENT_FILE
    named = next((word for word in run.header.command.split() if word.endswith((".yaml", ".yml"))), None)
    if not named or not ran.is_file() or Path(named).is_absolute():
        return []
    there = next((path for parent in run.run_dir.resolve().parents if (path := parent / named).is_file()), None)
    try:
        if there is None or read_bytes(there, MOST_WRITTEN_BYTES) == read_bytes(ran, MOST_WRITTEN_BYTES):
            return []
    except StoreError:  # the one that ran is told of where it would stand; the other is not of this run
        return []
    text = f"{named} has changed since then, and asks for something else now: what ran is {EXPERIMENT_FILE}, below."
    return [element("p", redacted(text), "note")]


def _experiment_html(run: Run) -> Html:
    """Return the experiment file as it was when the run was made, folded."""
    path = run.run_dir / EXPERIMENT_FILE
    if not path.is_file():
        return Html("")
    try:
        source = redacted(read_bytes(path, MOST_WRITTEN_BYTES).decode(errors="replace"))
    except StoreError as error:
        return element("p", f"The experiment file cannot be shown: {error}.")
    return folded(f"The experiment file, {EXPERIMENT_FILE}", element("pre", source))


def _files_html(run: Run) -> Html:
    """Return the folder of every case with what is in it, folded; the paths are text, which no mail can break."""
    found = []
    for case in run.plan[:MAX_ROWS]:
        folder = run.run_dir / CASES / case.case_key
        if names := sorted({path.name for path in folder.glob("repeat=*/*")}):
            found.append((element("code", f"cases/{case.case_key}/"), ", ".join(names)))
    if not found:
        return Html("")
    shown = table(("Folder of a case, with one for each repeat", "Files"), found)
    note = cut_note(len(run.plan), "cases", RUN_FILE)
    return folded("Where the files of each case lie, in the run's folder", join([shown, note]))


def _launches(run: Run) -> Mapping[str, LaunchFacts]:
    """Return the launches of run.json in the order of the plan, which JSON's sorted keys have lost."""
    launches = run.header.launches
    planned = [case.launch for case in run.plan if case.launch in launches]
    return {name: launches[name] for name in dict.fromkeys([*planned, *launches])}


def _model_name(launch: LaunchFacts) -> str:
    """Return the model's name, and that its weights are random where they are."""
    name = launch.model.name or launch.model.ref or "unknown model"
    return f"{name} (random weights)" if launch.model.random_weights else name


def _used_gpus(run: Run) -> int | None:
    """Return on how many GPUs at most a launch of this run was measured; None where that is not known."""
    return max((number for record in run.records if (number := num_gpus(record))), default=None)


def _device_text(machine: MachineFacts, used: int | None) -> str:
    """Return the GPUs of a machine, and how many of them were used where that is known, or its processor."""
    if there := gpus_text(machine.gpus):
        return there if used in (None, len(machine.gpus)) else f"{used} of {there}"
    return (machine.cpu or "") + (f", {machine.cpu_cores} cores" if machine.cpu_cores else "")
