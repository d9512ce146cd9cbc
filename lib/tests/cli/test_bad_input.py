"""Mutated experiment files: each is loaded, or refused by one ExperimentError of a line for each fault, and quickly."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from benchbook.plan.experiment import load_experiment
from benchbook.plan.faults import MAX_FAULTS
from benchbook.plan.order import rounds
from benchbook.terms.errors import ExperimentError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rows import IS_FULL

QUICKSTART = (Path(__file__).parents[3] / "experiments" / "quickstart.yaml").read_text()
DATA = yaml.safe_load(QUICKSTART)
LIMIT_S = 3.0  # of processor time, which neighbours may double: a sound one takes a tenth of it

fuzz = settings(
    max_examples=150 if IS_FULL else 60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.integers(-2, 70),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["8", "../x", "", "10 per concurrency", "99999999 per concurrency", "tiny", "auto", "\x1b[31m", "eager"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.just("lengths"), inner, max_size=4)
    ),
    max_leaves=12,
)


def check(folder: Path, text: str | bytes) -> str | None:
    """Return the refusal of the file, or None if it was loaded; fails on anything else, or if it takes long."""
    path = folder / "exp.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    start_s = time.process_time()  # the time of this process: the machine may be busy with other things
    try:
        experiment = load_experiment(path)
    except ExperimentError as error:
        message = str(error)
        *lines, last = message.splitlines()
        assert len(lines) <= MAX_FAULTS
        for line in [*lines, last] if len(lines) < MAX_FAULTS else lines:
            assert line.startswith(f"{path}:")
            assert line.isprintable()
            assert len(line) < 1500
    else:
        message = None
        rounds(experiment.cases, min(experiment.repeats, 2), experiment.seed)
        assert all(len(case.case_id) <= 150 and "/" not in case.case_id for case in experiment.cases)
    assert time.process_time() - start_s < LIMIT_S
    return message


def places(value: Any, here: tuple = ()) -> list[tuple]:
    """Return the ways to every value below `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way for step, item in items for way in ((*here, step), *places(item, (*here, step)))]


def parent_of(data: Any, place: tuple) -> Any:
    for step in place[:-1]:
        data = data[step]
    return data


PLACES = st.sampled_from(places(DATA))


def test_the_unchanged_file_is_loaded(tmp_path):
    assert check(tmp_path, QUICKSTART) is None
    assert check(tmp_path, yaml.safe_dump(DATA)) is None


@pytest.mark.parametrize("place", places(DATA), ids=str)
def test_dropping_any_value_is_harmless(tmp_path, place):
    data = copy.deepcopy(DATA)
    del parent_of(data, place)[place[-1]]
    check(tmp_path, yaml.safe_dump(data))


@fuzz
@given(place=PLACES, value=VALUES)
def test_retyping_any_value_is_harmless(tmp_path, place, value):
    data = copy.deepcopy(DATA)
    parent_of(data, place)[place[-1]] = value
    check(tmp_path, yaml.safe_dump(data))


@fuzz
@given(place=PLACES.filter(lambda place: isinstance(place[-1], str)), name=st.text(max_size=30) | SCALARS)
def test_renaming_any_key_is_harmless(tmp_path, place, name):
    data = copy.deepcopy(DATA)
    parent = parent_of(data, place)
    parent[name] = parent.pop(place[-1])
    check(tmp_path, yaml.safe_dump(data))


@fuzz
@given(place=PLACES, value=VALUES, name=st.text(max_size=10))
def test_adding_a_value_anywhere_is_harmless(tmp_path, place, value, name):
    data = copy.deepcopy(DATA)
    parent = parent_of(data, place)
    parent.append(value) if isinstance(parent, list) else parent.update({name: value})
    check(tmp_path, yaml.safe_dump(data))


@fuzz
@given(cut=st.integers(0, len(QUICKSTART)), length=st.integers(0, 200))
def test_cutting_text_out_is_harmless(tmp_path, cut, length):
    check(tmp_path, QUICKSTART[:cut] + QUICKSTART[cut + length :])
    check(tmp_path, QUICKSTART[:cut])


@fuzz
@given(line=st.integers(0, QUICKSTART.count("\n")), copies=st.integers(1, 3))
def test_repeating_a_line_is_harmless(tmp_path, line, copies):
    lines = QUICKSTART.splitlines(keepends=True)
    check(tmp_path, "".join(lines[:line] + lines[line : line + 1] * copies + lines[line:]))


@fuzz
@given(
    at=st.integers(0, len(QUICKSTART)),
    junk=st.text(max_size=20) | st.text("[]{}:,&*!|>'\"%@`-?#\t\n 0123", max_size=12),
)
def test_inserting_text_is_harmless(tmp_path, at, junk):
    check(tmp_path, (QUICKSTART[:at] + junk + QUICKSTART[at:]))


@fuzz
@given(at=st.integers(0, len(QUICKSTART)), junk=st.binary(max_size=300))
def test_binary_junk_is_harmless(tmp_path, at, junk):
    check(tmp_path, QUICKSTART[:at].encode() + junk + QUICKSTART[at:].encode())
    check(tmp_path, junk)


BOMBS = {
    "deep lists": "a: " + "[" * 30_000,
    "deep mappings": "{a: " * 15_000,
    "deep blocks": "\n".join(" " * depth + "a:" for depth in range(300)),
    "complex keys": "? " * 30_000,
    "a wide list": "a: [" + "1," * 30_000 + "]",
    "a long number": f"seed: {'9' * 60_000}",
    "a long hexadecimal number": f"seed: 0x{'f' * 60_000}",
    "a long sexagesimal number": "seed: 1" + ":1" * 30_000,
    "a long fraction": f"seed: {'1' * 30_000}.{'1' * 30_000}",
    "a long key": f"{'a' * 60_000}: 1",
    "a long quoted key": f"'{'a b ' * 15_000}': 1",
    "many keys": "\n".join(f"key{index}: 1" for index in range(4_000)),
    "many anchors": "a: [" + "&a 1, " * 10_000 + "]",
    "a billion laughs": "a: &a [1]\n"
    + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)),
    "a value that holds itself": "a: &a [*a]",
    "a merge": "a: {<<: {b: 1}}",
    "many documents": "---\n" * 20_000,
    "a directive": "%YAML 9.9\n---\na: 1",
    "tags": "a: !!float ''\nb: !!int ''\nc: !!bool x\nd: !!null x",
    "an unending quote": "a: '" + "b\n" * 30_000,
}
BATCHES = "batch_size: [1, 8]"
WIDE = list(range(1, 2_001))
EXTREMES = {
    "many cases": (BATCHES, f"batch_size: {list(range(1, 4_900))}"),
    "a matrix of millions": (BATCHES, f"batch_size: {WIDE}\n      num_iters_warmup: {WIDE}"),
    "many excludes": (BATCHES, f"batch_size: {WIDE}\n      exclude: {[{'batch_size': size} for size in WIDE[:100]]}"),
    "long lists to be compared": (BATCHES, f"batch_size: {['x' * 20] * 2_000}"),
    "many benchmarks": ("benchmarks:", "benchmarks:\n" + "  - first_request: {}\n" * 1_500),
    "many launches": ("launches:", "launches:\n" + "".join(f"  l{index}: {{}}\n" for index in WIDE)),
    "many limits": ("repeats:", f"slo: { {f'p99_{index}': 1 for index in WIDE} }\nrepeats:"),
    "many repeats": ("repeats: 2", "repeats: 1000"),
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_in_no_time(tmp_path, text):
    assert check(tmp_path, text) is not None


@pytest.mark.parametrize(("old", "new"), EXTREMES.values(), ids=EXTREMES)
def test_an_extreme_but_well_formed_file_is_quick(tmp_path, old, new):
    assert old in QUICKSTART
    check(tmp_path, QUICKSTART.replace(old, new, 1))
