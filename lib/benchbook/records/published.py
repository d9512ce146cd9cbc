"""Published figures: numbers of others, kept as data with their source and never among what was measured here.

They lie in results/published/*.json, a folder that holds no run: nothing that lists, loads or averages runs finds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbook.project import ROOT
from benchbook.reading import read_json
from benchbook.records.described import described
from benchbook.records.host import HostFacts
from benchbook.records.record import Identity, Outcome, Record, Verdict
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.errors import StoreError
from benchbook.terms.metrics import BY_KEY

WAY = "published"  # how the numbers came here; a record of ours says "warm" or "command line"


@dataclass(frozen=True)
class Published:
    """One publication: its source, its figures as records, and what had to be assumed for each."""

    name: str
    source: Mapping[str, Any]
    records: tuple[Record, ...]
    assumed: tuple[str, ...]  # beside `records`, '' where nothing was


def load_published(path: Path) -> Published:
    """Return the figures in `path`; raise StoreError for a file that is cut or names a metric that there is not."""
    content = read_json(path)
    try:
        name, rows = content["name"], content["records"]
        records = tuple(_record(name, content["source"], row) for row in rows)
        return Published(name, content["source"], records, tuple(row.get("assumed", "") for row in rows))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is not a file of published figures: {error!r}") from error


def all_published(folder: Path | None = None) -> tuple[list[Published], list[str]]:
    """Return what lies in `folder`, by default results/published of the checkout, and what of it is damaged."""
    place = folder or ROOT / "results" / "published"
    found, damage = [], []
    for path in sorted(place.glob("*.json")):
        try:
            found.append(load_published(path))
        except StoreError as error:
            damage.append(str(error))
    return found, damage


def _record(name: str, source: Mapping[str, Any], row: Mapping[str, Any]) -> Record:
    unknown = sorted(set(row["values"]) - set(BY_KEY))
    if unknown:
        raise ValueError(f"unknown metric {unknown[0]!r}")
    return Record(
        identity=Identity(experiment=f"published/{name}", launch=name, case_id=f"{name},{row['benchmark']}"),
        benchmark=row["benchmark"],
        workload=dict(row["workload"]),
        **described(row["benchmark"], row["workload"])._asdict(),
        outcome=Outcome.MEASURED,
        values={
            key: None if value == 0 and BY_KEY[key].zero_is_absent else value for key, value in row["values"].items()
        },
        verdict=Verdict.VALID,  # until the checks have seen it
        started_utc=source["published"],
        ended_utc=source["published"],
        started_monotonic_s=0.0,
        ended_monotonic_s=0.0,
        way=WAY,
        host=HostFacts(kind=BENCHMARKS[row["benchmark"]].host_kind, model=source["model"]),
    )
