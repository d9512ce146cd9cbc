"""vLLM's own data sets: their files looked at before anything starts, their rows drawn by vLLM's own loader."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from benchbook.measure.drawing.json_array import json_items
from benchbook.measure.drawing.rows import Row, json_lines, some, table
from benchbook.terms.errors import ExperimentError

MOST_LOADED_BYTES = 64 * 1024**2  # vLLM's loaders hold a file whole, and several times over
_BURSTGPT_COLUMNS = ("Timestamp", "Model", "Request tokens", "Response tokens")  # in this order: vLLM reads by place

Options = Mapping[str, Any]


def usable_rows(name: str, path: str, options: Options) -> int | None:
    """Return how many requests a file has at most; None for a data set whose files are not looked at, such as a hub's.

    Raises ExperimentError, with its line, for a row that vLLM's loader would fall over, or read as something else.
    """
    if name not in _CHECKS:
        return None
    if not path:
        raise ExperimentError(f"vLLM's data set {name} is drawn from a file: name it with path")
    if name.startswith("custom") and not path.endswith(".jsonl"):
        raise ExperimentError(f"{path}: vLLM's data set {name} takes files whose name ends in .jsonl")
    read, check = _CHECKS[name]
    return sum(check(row, options) for row in some(read(path), path, "rows"))


def words_of(name: str, path: str, options: Options, number: int, *, is_chat: bool) -> list[str]:
    """Return the words of `vllm bench serve` that load so many requests of this data set, fewer where it is smaller."""
    if name == "prefix_repetition":
        number += int(options.get("prefix_repetition_num_prefixes", 10)) - 1  # as many of each prefix, rounded down
    most = usable_rows(name, path, options)
    number = number if most is None else min(number, most)  # burstgpt would draw rows twice
    words = ["--dataset-name", name, "--num-prompts", str(number), "--no-oversample"]
    words += ["--dataset-path", path] if path else []
    if is_chat and "skip_chat_template" not in options:
        words.append("--skip-chat-template")  # the server puts it around
    for key, value in options.items():
        flag = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            words += [flag] if value else []
        else:
            words += [flag, json.dumps(value) if isinstance(value, dict | list) else str(value)]
    return words


@contextlib.contextmanager
def loadable(name: str, path: str) -> Iterator[str]:
    """Inside, a file is at the returned path that vLLM's loader can hold: of a very large one every so many rows."""
    size = Path(path).stat().st_size if os.path.isfile(path) else 0
    if name not in _CHECKS or size <= MOST_LOADED_BYTES:
        yield path
        return
    step = math.ceil(size / MOST_LOADED_BYTES)
    with tempfile.TemporaryDirectory() as folder:
        thin = Path(folder, f"rows{Path(path).suffix}")
        with thin.open("w") as stream:
            _write_thinned(name, path, step, stream)
        yield str(thin)


def _write_thinned(name: str, path: str, step: int, stream: TextIO) -> None:
    read, _ = _CHECKS[name]
    rows = itertools.islice(read(path), 0, None, step)
    if read is table:
        writer = csv.writer(stream)
        for number, row in enumerate(rows):
            writer.writerows([[*row.fields], [*row.fields.values()]] if not number else [[*row.fields.values()]])
        return
    texts = (json.dumps(row.fields) for row in rows)
    if read is json_items:
        stream.write("[" + next(texts))
        stream.writelines(f",\n{text}" for text in texts)
        stream.write("]\n")
    else:
        stream.writelines(f"{text}\n" for text in texts)


def _custom(row: Row, options: Options) -> bool:
    row.text("prompt")
    if options.get("custom_output_len") == -1 and not row.count("output_tokens"):
        row.refuse("output_tokens must be 1 or more")
    return True


def _spec_bench(row: Row, options: Options) -> bool:
    turns = row.get("turns", list, "a list of texts")
    if not turns or not isinstance(turns[0], str) or not turns[0].strip():
        row.refuse("turns must begin with a text")
    wanted = options.get("spec_bench_category")
    return not wanted or row.text("category") == wanted


def _sharegpt(row: Row, options: Options) -> bool:
    if "conversations" not in row.fields:
        return False  # vLLM leaves it out as well
    turns = row.get("conversations", list, "a list of messages")
    for number, turn in enumerate(turns[:2]):
        if not isinstance(turn, dict) or not isinstance(turn.get("value"), str):
            row.refuse(f"conversations[{number}] must be a message with a value that is text")
    return len(turns) >= 2


def _burstgpt(row: Row, options: Options) -> bool:
    if (names := tuple(row.fields)[:4]) != _BURSTGPT_COLUMNS:
        row.refuse(f"columns must begin with {', '.join(_BURSTGPT_COLUMNS)}, not {', '.join(names)}")
    row.count("Request tokens")
    return row.count("Response tokens") > 0 and row.fields["Model"] == "GPT-4"


def _timed_trace(row: Row, options: Options) -> bool:
    label = "timed_trace_label_"
    row.number(options.get(f"{label}timestamp", "timestamp"))
    row.count(options.get(f"{label}input_length", "input_length"))
    row.count(options.get(f"{label}output_length", "output_length"))
    row.get(options.get(f"{label}hash_ids", "hash_ids"), list, "a list of whole numbers")
    return True


_CHECKS: Mapping[str, tuple[Callable[[str], Iterator[Row]], Callable[[Row, Options], bool]]] = {
    "custom": (json_lines, _custom),
    "custom_image": (json_lines, lambda row, options: bool(row.fields)),
    "custom_audio": (json_lines, _custom),
    "spec_bench": (json_lines, _spec_bench),
    "sharegpt": (json_items, _sharegpt),
    "burstgpt": (table, _burstgpt),
    "timed_trace": (json_lines, _timed_trace),
}
