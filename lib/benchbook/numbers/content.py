"""What lies in a file, before anybody asks whose it is: one object, a list, lines of objects, or YAML."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchbook.numbers.figures import Told
from benchbook.reading import read_bytes
from benchbook.terms.errors import StoreError

_CONSTANTS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}  # Python's JSON has them, for rates
_YAML = (".yaml", ".yml")


def objects_of(path: Path) -> list[Told]:
    """Return the objects in the file at `path`, each with where it stands; StoreError for a file that is cut or has none."""
    text = _text(path)
    if path.suffix.lower() in _YAML:
        return list(_objects(_yaml(text, path), str(path)))
    try:
        return list(_objects(_json(text), str(path)))
    except (ValueError, RecursionError) as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith("{") for line in lines):
            raise StoreError(f"{path} is cut or is no JSON: {error}") from error
    return list(_lines(text, path))


def _lines(text: str, path: Path) -> Iterator[Told]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            yield from _objects(_json(line), where)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{where} is cut or is no JSON: {error}") from error


def _objects(found: Any, where: str) -> Iterator[Told]:
    if isinstance(found, dict):
        yield Told(found, where)
    elif isinstance(found, list) and found and all(isinstance(item, dict) for item in found):
        yield from (Told(item, f"{where}, item {number}") for number, item in enumerate(found, start=1))
    else:
        raise StoreError(f"{where} holds no object, which each result is")


def _text(path: Path) -> str:
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise StoreError(f"{path} is no text in UTF-8") from None


def _json(text: str) -> Any:
    return json.loads(text, parse_constant=_CONSTANTS.__getitem__)


def _yaml(text: str, path: Path) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise StoreError(f"{path} is cut or is no YAML: {str(error).splitlines()[0]}") from error
