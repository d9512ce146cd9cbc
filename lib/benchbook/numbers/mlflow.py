"""A run as MLflow's files of runs: an experiment a run, a run a repeat, with its metrics, settings, verdict and record.

    OUTPUT/<experiment>/<run>/ meta.yaml  metrics/<metric>  params/<setting>  tags/<fact>  artifacts/record.json

`mlflow ui --backend-store-uri OUTPUT` shows them. Written as MLflow's documentation has it, without MLflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from benchbook.records.files import make_folder, write_text
from benchbook.records.fingerprint import digest
from benchbook.records.record import Record
from benchbook.records.record_file import write_record

_FINISHED, _LOCAL = 3, 4  # MLflow's numbers of a status and of a kind of source


def write_runs(records: Sequence[Record], folder: Path, name: str) -> None:
    """Write `records` below `folder` as the experiment `name`."""
    experiment_id = str(int(digest(name)[:14], 16))
    place, times = folder / experiment_id, [_ms(record.started_utc) for record in records] or [0]
    about = {"artifact_location": place.name, "experiment_id": experiment_id, "name": name, "lifecycle_stage": "active"}
    _write_yaml(place / "meta.yaml", {**about, "creation_time": min(times), "last_update_time": max(times)})
    for record in records:
        _write_run(record, place, experiment_id)


def _write_run(record: Record, place: Path, experiment_id: str) -> None:
    identity = record.identity
    run_id = digest([identity.model_dump(), record.started_utc])[:32]
    folder, ended_ms = place / run_id, _ms(record.ended_utc)
    name = f"{identity.case_id}, repeat {identity.repeat}"
    about = {
        "run_id": run_id,
        "run_uuid": run_id,
        "run_name": name,
        "experiment_id": experiment_id,
        "user_id": "",
        "tags": [],
    }
    about |= {"artifact_uri": f"{place.name}/{run_id}/artifacts", "lifecycle_stage": "active", "status": _FINISHED}
    about |= {"source_name": "benchbook", "source_type": _LOCAL, "source_version": "", "entry_point_name": ""}
    _write_yaml(folder / "meta.yaml", {**about, "start_time": _ms(record.started_utc), "end_time": ended_ms})
    for key, value in record.values.items():
        if value is not None:
            _write(folder / "metrics" / key, f"{ended_ms} {value!r} {identity.repeat}\n")
    params = {"launch": identity.launch, "benchmark": record.benchmark, **record.workload}
    for key, value in params.items():
        _write(folder / "params" / key, str(value))
    reasons = "; ".join(f"{why.code}: {why.evidence}" for why in record.reasons)
    for key, value in {"mlflow.runName": name, "verdict": record.verdict.value, "reasons": reasons}.items():
        _write(folder / "tags" / key, value)
    write_record(make_folder(folder / "artifacts") / "record.json", record)


def _ms(time_utc: str) -> int:
    return round(datetime.fromisoformat(time_utc).timestamp() * 1000)


def _write(path: Path, text: str) -> None:
    make_folder(path.parent)
    write_text(path, text)


def _write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    _write(path, yaml.safe_dump(dict(content)))
