"""The JSON Schemas of record.json and run.json, made from the models. To write them: python -m benchbook.records.schema"""

from __future__ import annotations

import json

from pydantic import BaseModel

from benchbook.project import ROOT
from benchbook.records.header import RunHeader
from benchbook.records.record import Record

FOLDER = ROOT / "docs" / "schemas"
MODELS: dict[str, type[BaseModel]] = {"record.schema.json": Record, "run.schema.json": RunHeader}


def schema_text(model: type[BaseModel]) -> str:
    """Return the JSON Schema of what `model` writes, sorted and indented, as it is committed."""
    return json.dumps(model.model_json_schema(mode="serialization"), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    for name, model in MODELS.items():
        (FOLDER / name).write_text(schema_text(model), encoding="utf-8")
