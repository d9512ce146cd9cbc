"""What may become of a record on a disk, under other hands and other versions: functions of its path and of another's."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Damage = Callable[[Path, Path], object]


def edit(path: Path, **fields: Any) -> None:
    """Write the JSON object at `path` again with these fields in place of its own."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def edit_part(path: Path, part: str, **fields: Any) -> None:
    """Write the record at `path` again with these fields in `part`, such as identity or host."""
    edit(path, **{part: {**json.loads(path.read_text())[part], **fields}})


def without(path: Path, *way: str) -> None:
    """Write the JSON object at `path` again without the key at the end of `way`."""
    content = json.loads(path.read_text())
    holder = content
    for step in way[:-1]:
        holder = holder[step]
    del holder[way[-1]]
    path.write_text(json.dumps(content))


def instead(path: Path, make: Callable[[Path], object]) -> None:
    """Put what `make` makes in the place of the file at `path`."""
    path.unlink()
    make(path)


def _value(text: str) -> Damage:
    """Return the damage that lets the record's first value be `text`, which need not be JSON."""

    def damage(record: Path, _: Path) -> None:
        content = json.loads(record.read_text())
        content["values"] = {**content["values"], next(iter(content["values"])): "VALUE"}
        record.write_text(json.dumps(content).replace('"VALUE"', text))

    return damage


def _raw(record: Path) -> Path:
    return record.with_name("raw.json")


# Each makes a record one that may not be kept; those of RAW leave the record and damage what it comes from.
DAMAGES: dict[str, Damage] = {
    "cut": lambda record, other: record.write_text(record.read_text()[:100]),
    "cut by its last brace": lambda record, other: record.write_text(record.read_text().rstrip()[:-1]),
    "empty": lambda record, other: record.write_text(""),
    "of zero bytes": lambda record, other: record.write_bytes(bytes(record.stat().st_size)),
    "followed by another": lambda record, other: record.write_text(record.read_text() * 2),
    "no object": lambda record, other: record.write_text("[]"),
    "a number": lambda record, other: record.write_text("7"),
    "deep": lambda record, other: record.write_text('{"host": ' * 20_000 + "1" + "}" * 20_000),
    "deep inside": lambda record, other: record.write_text(
        record.read_text().replace('"host": {', '"host": {"deep": ' + "[" * 5_000 + "]" * 5_000 + ", ", 1)
    ),
    "not UTF-8": lambda record, other: record.write_bytes(record.read_bytes().replace(b"serve", b"s\xe9rve")),
    "UTF-16": lambda record, other: record.write_bytes(record.read_text().encode("utf-16")),
    "another case's": lambda record, other: shutil.copy(other, record),
    "a link to another case's": lambda record, other: instead(record, lambda path: path.symlink_to(other)),
    "another repeat's": lambda record, other: edit_part(record, "identity", repeat=7),
    "of a repeat below 0": lambda record, other: edit_part(record, "identity", repeat=-1),
    "of another launch": lambda record, other: edit_part(record, "identity", launch="other"),
    "of another fingerprint": lambda record, other: edit_part(record, "identity", fingerprint="b" * 64),
    "of other parts of its fingerprint": lambda record, other: edit_part(record, "identity", fingerprint_parts={}),
    "of a fingerprint that begins alike": lambda record, other: edit_part(
        record, "identity", fingerprint=json.loads(record.read_text())["identity"]["fingerprint"][:8] + "0" * 56
    ),
    "of another benchmark": lambda record, other: edit(record, benchmark="throughput"),
    "of an unknown benchmark": lambda record, other: edit(record, benchmark="agents"),
    "of a format to come": lambda record, other: edit(record, schema_version=99),
    "of no format": lambda record, other: edit(record, schema_version=0),
    "of a format in words": lambda record, other: edit(record, schema_version="2"),
    "of a field to come": lambda record, other: edit(record, tokens_of_thought=7),
    "without its outcome": lambda record, other: without(record, "outcome"),
    "of an unknown outcome": lambda record, other: edit(record, outcome="aborted"),
    "of a verdict that its reasons do not give": lambda record, other: edit(record, verdict="INVALID"),
    "of an unknown verdict": lambda record, other: edit(record, verdict="FINE"),
    "without values": lambda record, other: edit(record, values={}),
    "of values in a list": lambda record, other: edit(record, values=[1, 2]),
    "of a value that is no number": _value("NaN"),
    "of an infinite value": _value("-Infinity"),
    "of a value beyond all numbers": _value("1e999"),
    "of a value that no sum holds": _value("1.7e308"),
    "of a value that no quotient holds": _value("5e-324"),
    "of a value in words": _value('"12.5"'),
    "of a value that is true": _value("true"),
    "of an unknown metric": lambda record, other: edit_part(record, "values", joy_per_token=1.0),
    "of other values than its raw file": lambda record, other: edit_part(record, "values", output_throughput_tok_s=1.0),
    "without a workload": lambda record, other: edit(record, workload={}),
    "of a workload of nothing": lambda record, other: edit_part(record, "workload", num_prompts=0),
    "of a workload that asks for nothing": lambda record, other: edit_part(record, "asked", requests=0),
    "under a load in words": lambda record, other: edit_part(record, "load", value="much"),
    "of a workload in words": lambda record, other: edit_part(record, "workload", input_len_tokens="many"),
    "of another workload": lambda record, other: edit_part(record, "workload", output_len_tokens=7),
    "of another workload beside its axes": lambda record, other: edit_part(record, "workload", temperature=0.7),
    "of yesterday": lambda record, other: edit(record, started_utc="yesterday"),
    "of a time without a zone": lambda record, other: edit(record, started_utc="2026-11-23T20:15:00"),
    "of telemetry in a list": lambda record, other: edit_part(record, "host", telemetry=[1]),
    "of a GPU without a name": lambda record, other: edit_part(record, "host", telemetry={"gpus": [{"index": 0}]}),
    "of facts in words": lambda record, other: edit_part(record, "host", facts={"kv_cache_tokens": "16k"}),
    "of infinite counters": lambda record, other: edit_part(record, "host", counters={"prompt_tokens": float("inf")}),
    "of a host that is none": lambda record, other: edit(record, host=None),
    "of conditions that are none": lambda record, other: edit(record, conditions="fine"),
    "of a client in words": lambda record, other: edit(record, conditions={"client": {"cpu_cores": "one"}}),
    "of packages in a list": lambda record, other: edit(record, provenance={"packages": ["vllm"]}),
    "a FIFO": lambda record, other: instead(record, os.mkfifo),
    "a folder": lambda record, other: instead(record, Path.mkdir),
    "a link to nothing": lambda record, other: instead(record, lambda path: path.symlink_to("gone")),
    "a link to itself": lambda record, other: instead(record, lambda path: path.symlink_to(path)),
    "a device": lambda record, other: instead(record, lambda path: path.symlink_to("/dev/zero")),
}
RAW: dict[str, Damage] = {
    "without a raw file": lambda record, other: _raw(record).unlink(),
    "with an empty raw file": lambda record, other: _raw(record).write_text(""),
    "with a cut raw file": lambda record, other: _raw(record).write_text(_raw(record).read_text()[:-3]),
    "with a raw file of a list": lambda record, other: _raw(record).write_text("[]"),
    "with a raw file of NaN": lambda record, other: _raw(record).write_text('{"duration": NaN}'),
    "with a deep raw file": lambda record, other: _raw(record).write_text('{"a": ' * 20_000),
    "with another's raw file": lambda record, other: _raw(record).write_text('{"duration": 4711.0}'),
    "with a FIFO as raw file": lambda record, other: instead(_raw(record), os.mkfifo),
    "with a folder as raw file": lambda record, other: instead(_raw(record), Path.mkdir),
    "with a device as raw file": lambda record, other: instead(_raw(record), lambda path: path.symlink_to("/dev/zero")),
    "with a raw file that it does not name": lambda record, other: edit(record, raw_file=None),
    "with a raw file elsewhere": lambda record, other: edit(record, raw_file="../../../../../etc/passwd"),
}
# What may become of a run.json.
HEADERS: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "cut": lambda path: path.write_text(path.read_text()[:300]),
    "empty": lambda path: path.write_text(""),
    "{}": lambda path: path.write_text("{}"),
    "[]": lambda path: path.write_text("[]"),
    "deep": lambda path: path.write_text('{"plan": ' + "[" * 30_000),
    "a FIFO": lambda path: instead(path, os.mkfifo),
    "a folder": lambda path: instead(path, Path.mkdir),
    "a device": lambda path: instead(path, lambda place: place.symlink_to("/dev/zero")),
    "without plan": lambda path: without(path, "plan"),
    "without state": lambda path: without(path, "state"),
    "without launches": lambda path: without(path, "launches"),
    "without experiment": lambda path: without(path, "experiment"),
    "a plan of nothing": lambda path: edit(path, plan=None),
    "a plan in words": lambda path: edit(path, plan="all of it"),
    "a plan of words": lambda path: edit(path, plan=["serve", 7]),
    "rows without repeats": lambda path: edit(path, plan=[
        {key: value for key, value in row.items() if key != "repeats"} for row in json.loads(path.read_text())["plan"]
    ]),
    **{f"a case's folder {folder[:9]!r}": lambda path, folder=folder: edit(path, plan=[
        {**row, "case_key": folder} for row in json.loads(path.read_text())["plan"]
    ]) for folder in ("", "/etc", "../../..", "x" * 5_000, "a\0b")},
    "launches of nothing": lambda path: edit(path, launches=None),
    "a launch in words": lambda path: edit(path, launches={"eager": "fast"}),
    "hosts in words": lambda path: edit(path, launches={"eager": {"hosts": "two"}}),
    "a time in words": lambda path: edit(path, started_utc="yesterday", wall_s="x"),
    "an endless time": lambda path: edit(path, wall_s=float("inf")),
    "an unknown state": lambda path: edit(path, state="aborted"),
    "a format to come": lambda path: edit(path, schema_version=99),
    **{f"a format of {version!r}": lambda path, version=version: edit(path, schema_version=version)
       for version in (0, "1", True, [1], None)},
    "a question of nothing": lambda path: edit(path, question=None),
    "an SLO in words": lambda path: edit(path, slo={"p99_ttft_ms": "half a second"}),
    "provenance in words": lambda path: edit(path, provenance={"machine": "this one"}),
    "targets in words": lambda path: edit(path, until={"at_most": 3, "targets": "2 %"}),
}  # fmt: skip
