"""Whatever a launch may say of a flag of the installed vLLM, its own parser hears the same: all flags, many values.

What stands inside a mapping is in test_config_forms.py. How to run both on another version: environment/README.md.
"""

from __future__ import annotations

import dataclasses
import json

import pytest
from benchbook.hosts.vllm.causes import classify
from benchbook.hosts.vllm.flags import known
from benchbook.hosts.vllm.form_problems import problem_of
from benchbook.hosts.vllm.forms import installed_forms, words_of
from benchbook.hosts.vllm.kinds import option_problem
from benchbook.hosts.vllm.parser_dump import serve_parser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rows import IS_FULL

pytestmark = pytest.mark.integration

# --config reads a file before anything else is parsed, and benchbook refuses it; the other is an action with an effect.
LEFT_OUT = {"--config", "--log-config-file"}
FLAGS = sorted(set(installed_forms()) - LEFT_OUT)
TEXT = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=12).filter(
    lambda text: text not in ("None", "none", "--") and text.strip() == text  # argparse itself takes a -- away
)
PLAIN = st.none() | st.booleans() | st.integers(-9, 10**9) | st.floats(-1e3, 1e3) | TEXT
NAME = st.text("abcxyz/-_0123456789", min_size=1, max_size=8).filter(lambda text: not text.startswith("-"))
JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)


@pytest.fixture(scope="module")
def parser():
    return serve_parser()


def test_the_table_has_the_flags_that_the_source_has():
    forms = installed_forms()
    others = {name for form in forms.values() for name in form.short if name.startswith("--")}
    assert set(forms) | others == set(known().flags)
    assert len(FLAGS) >= 100


def test_what_the_parser_says_of_a_flag_that_it_does_not_know_is_told_with_the_nearest_known_one(parser, capsys):
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--max-model-length", "4096"])
    cause = classify(capsys.readouterr().err, ended.value.code)
    assert cause.code == "unknown_flag" and "--max-model-len" in cause.hint


def values_of(form):
    """Return values that the flag takes, as YAML gives them, with what the parser should make of each."""
    if form.is_switch:
        on, off = st.sampled_from([True, 1, "true", "1"]), st.sampled_from([False, 0, "false", "0"])
        return on.map(lambda value: (value, True)) | off.map(lambda value: (value, False))
    one = _one(form) | st.just((True, True)) if form.may_stand_alone else _one(form)
    if form.takes_several or form.repeats:
        several = st.lists(one, min_size=1, max_size=3).map(lambda pairs: tuple(map(list, zip(*pairs, strict=True))))
        return several | one.map(lambda pair: (pair[0], [pair[1]]))
    return one


def _one(form):
    kinds = set(form.takes)
    if form.choices or form.members:
        typed = (lambda choice: int(choice)) if kinds == {"int"} else (lambda choice: choice)
        return st.sampled_from(form.choices or form.members).map(lambda choice: (typed(choice), typed(choice)))
    ways = []
    if kinds == {"object", "text"} and form.takes_several:  # --lora-modules
        adapter = st.fixed_dictionaries({"name": NAME, "path": NAME})
        return adapter.map(lambda value: (value, (value["name"], value["path"]))) | st.tuples(NAME, NAME).map(
            lambda pair: ("=".join(pair), pair)
        )
    if "int" in kinds:
        least = 0 if form.takes_several else -5
        ways.append(st.integers(least, 10**6).map(lambda value: (value, value)))
    if "size" in kinds:
        ways.append(st.sampled_from([("64K", 65_536), ("128k", 128_000), ("25.6k", 25_600), ("1M", 2**20)]))
    if "auto" in kinds:
        ways.append(st.just(("auto", -1)))
    if "float" in kinds:
        ways.append(st.floats(-10, 10).map(lambda value: (value, value)))
    if "object" in kinds and form.options is None:
        inner = JSON.filter(lambda value: not option_problem(value, form.values))
        ways.append(st.dictionaries(TEXT, inner, max_size=3).map(lambda value: (value, value)))
    if "array" in kinds and "commas" not in kinds:
        ways.append(st.lists(JSON, max_size=3).map(lambda value: (value, value)))
    if "commas" in kinds:
        items = st.integers(0, 9) | NAME.map("GPU-{}".format)  # by number or by UUID
        ways.append(st.lists(items, min_size=1, max_size=3, unique=True).map(lambda value: (value, value)))
    if "text" in kinds:
        ways.append(
            TEXT.filter(lambda text: not (form.takes_several and text.startswith("-"))).map(lambda text: (text, text))
        )
    return st.one_of(ways or [st.just(({}, {}))])


@pytest.mark.parametrize("flag", FLAGS)
def test_every_flag_is_heard_as_it_was_said(parser, flag):
    form = installed_forms()[flag]
    action = parser._option_string_actions[flag]
    name = flag.removeprefix("--").replace("-", "_")

    @settings(max_examples=25 if IS_FULL else 6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(values_of(form))
    def is_heard(pair):
        value, expected = pair
        if problem_of(name, value, {flag: form}):
            pytest.fail(f"{name}: {value!r} is refused")
        heard = getattr(parser.parse_args(words_of(name, value, {flag: form})), action.dest)
        assert same(heard, expected), (value, words_of(name, value, {flag: form}), heard)

    is_heard()


def same(heard, expected):
    """Return whether the parser's value is what was said: configs by their fields, collections by their items."""
    if dataclasses.is_dataclass(heard):
        return expected == {}
    if isinstance(heard, list | tuple | set) and isinstance(expected, list | tuple):
        return sorted(map(_text, heard)) == sorted(map(_text, expected))
    return _text(heard) == _text(expected)


def _text(value):
    value = getattr(value, "value", value)  # of an enum
    value = (value.name, value.path) if hasattr(value, "path") else value  # of an adapter
    return json.dumps(value, sort_keys=True, default=str).replace(": -0.0", ": 0.0")
