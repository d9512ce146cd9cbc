"""The committed JSON Schemas are those of the models, and what is written keeps to them."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import jsonschema
import pytest
from benchbook.records.record import Record
from benchbook.records.record_file import read_record
from benchbook.records.schema import FOLDER, MODELS, schema_text
from benchbook.records.store import Store
from report_runs import make_run

REFERENCE = sorted((Path(__file__).parents[3] / "results" / "reference").glob("*"))


@pytest.mark.parametrize("name", MODELS)
def test_a_committed_schema_is_that_of_its_model(name):
    assert (FOLDER / name).read_text() == schema_text(MODELS[name]), "python -m benchbook.records.schema writes it anew"


@functools.cache
def validator(name):
    """Return what validates against the schema, which is itself looked at once: that takes a second."""
    schema = json.loads((FOLDER / name).read_text())
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def test_what_is_written_keeps_to_its_schema(tmp_path):
    run_dir = make_run(tmp_path, concurrencies=(1, 4), repeats=1)
    store = Store(run_dir)
    store.write_header(store.header())
    validator("run.schema.json").validate(json.loads((run_dir / "run.json").read_text()))
    paths = list(run_dir.glob("cases/*/*/record.json"))
    for path in paths:
        validator("record.schema.json").validate(json.loads(path.read_text()))
    assert len(paths) > 5


@pytest.mark.parametrize("folder", REFERENCE, ids=lambda folder: folder.name)
def test_what_is_read_of_an_earlier_format_keeps_to_the_schema_of_today(folder):
    store = Store(folder)
    validator("run.schema.json").validate(store.header().model_dump(mode="json"))
    for path in folder.glob("cases/*/*/record.json"):
        validator("record.schema.json").validate(read_record(path).model_dump(mode="json"))


@pytest.mark.parametrize(
    ("key", "value"),
    [("outcome", "aborted"), ("host", None), ("values", [1]), ("schema_version", 99), ("argv", "vllm")],
)
def test_a_schema_refuses_what_a_reader_refuses(tmp_path, key, value):
    path = next(make_run(tmp_path, concurrencies=(1,), repeats=1).glob("cases/*/*/record.json"))
    with pytest.raises(jsonschema.ValidationError):
        validator("record.schema.json").validate({**json.loads(path.read_text()), key: value})
    with pytest.raises(ValueError, match=key):
        Record.model_validate_json(json.dumps({**json.loads(path.read_text()), key: value}), strict=True)
