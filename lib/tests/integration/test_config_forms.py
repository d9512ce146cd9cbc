"""Whatever a launch may say inside a mapping, vLLM's own parser hears the same, however it is written.

Every option of every config, and the flags that take any mapping: as a mapping in YAML, with dots, as JSON in quotes, in
parts under the flag's short name. Values are drawn by the types of vLLM's own classes, which also say what is meant.
How to run it on another version: environment/README.md, "Another vLLM".
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import enum
import itertools
import json
import pathlib
import types
import typing

import pytest
import yaml
from benchbook.hosts.vllm.command import flags
from benchbook.hosts.vllm.config_fields import refuses
from benchbook.hosts.vllm.forms import installed_forms
from benchbook.hosts.vllm.kinds import option_problem
from benchbook.hosts.vllm.parser_dump import config_of, serve_parser
from benchbook.measure import launch_check, names
from benchbook.sweep.preflight import preflight_of
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from rows import IS_FULL, rows

pytestmark = pytest.mark.integration

EXTRA_OF_KV = '{"engine_id": "1", "kv_connector_extra_config": {"bytes": 1.5g, "name": "1.5g"}}'
ANY = ""  # in an option's place: the flag takes any mapping
FILLED_IN = {"target_model_config", "target_parallel_config", "draft_model_config", "draft_parallel_config"}  # by vLLM
OPTIONS = [
    (flag, option)
    for flag, form in installed_forms().items()
    if "object" in form.takes and not form.takes_several
    for option in form.options or [ANY]
    if option not in FILLED_IN
]
NEEDED = {  # beside an option, by vLLM's own checks
    "kv_connector": {"kv_role": "kv_both"},
    "ec_connector": {"ec_role": "ec_both"},
    "manager_config": {"encoder_cache_manager_cls": "a.Manager"},
    "disable_a": {"backend": "guidance"},
    "capture_torch_profiler": {"profiler": "torch", "torch_profiler_dir": "/traces"},
    "torch_profiler": {"profiler": "torch", "torch_profiler_dir": "/traces"},
    "proton": {"profiler": "proton", "proton_profiler_dir": "/traces"},
}

TEXT = st.text("abzAZ019 _-./:,+*#'\"{}[]é中", min_size=1, max_size=10).filter(lambda text: text.strip() == text)
TEXT |= st.sampled_from(["80m", "1k", "null", "true", "1.5", "[1]", "{}", "-1", "yes", "0x1F"])  # which YAML must quote
REAL = st.floats(-1e3, 1e3).map(lambda number: round(number, 6))  # as people write them
SCALAR = st.none() | st.booleans() | st.integers(-9, 10**9) | REAL | TEXT
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=5
)
PLAIN = {
    bool: st.booleans(),
    int: st.sampled_from([1, 2, 0, 8, 64]) | st.integers(-1, 10**6),
    float: st.sampled_from([0.5, 1.0, 1]) | REAL,
    str: TEXT,
    types.NoneType: st.none(),
    pathlib.Path: TEXT,
    dict: st.dictionaries(TEXT, JSON, max_size=3),
    typing.Any: JSON,
}
BY_NAME = {
    "default_mm_loras": st.dictionaries(TEXT, st.just(__file__), max_size=2),  # a path must be there
    "engine_id": TEXT,  # in a null's place vLLM draws one
    "backend_per_kind": st.dictionaries(st.sampled_from(["full_attention", "mamba"]), st.sampled_from(["FLASH_ATTN"])),
    "custom_ops": st.lists(st.sampled_from(["+rms_norm", "-silu_and_mul", "+rotary_embedding"]), max_size=3),
    "inductor_passes": st.just({}),  # their names become objects, of which no two are equal
    "model": st.sampled_from(["org/model", __file__]),
    "pylogging_config_file": st.just(__file__),
    "reasoning_parser": st.sampled_from(["deepseek_r1", "qwen3", "openai_gptoss"]),  # a name that is none is refused
    "reasoning_parser_plugin": st.just(__file__),
}


@pytest.fixture(scope="module", autouse=True)
def words_alone():
    """Ask of a launch its words alone: what contradicts something, or is registered nowhere, would be refused."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch_check, "contradictions", lambda *_: ())
        patch.setattr(names, "_check_registered", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def parser():
    return serve_parser()


def test_there_are_options_and_they_are_those_of_vllms_own_classes(parser):
    assert len(OPTIONS) >= 100
    for flag in {flag for flag, option in OPTIONS if option != ANY}:
        fields = fields_of(config_of(parser._option_string_actions[flag]))
        assert [option for with_option, option in OPTIONS if with_option == flag] == [*fields]


# Every second option, so that each config has some.
@pytest.mark.parametrize("named", rows(OPTIONS, quick=OPTIONS[::2]), ids=".".join)
def test_a_mapping_is_heard_as_it_was_said_however_it_is_written(parser, tmp_path, named):
    flag, option = named
    action = parser._option_string_actions[flag]
    alone, beside = sayings(action, option)

    @settings(
        max_examples=5 if IS_FULL else 2,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(alone.filter(lambda said: meant(action, said) is not None), beside)
    def is_heard(said, others):
        both = {**others, **said}
        said = said if meant(action, both) is None else both
        heard = heard_of(tmp_path / "launches.yaml", dict(writings(flag, said, texts_of(action))))
        for way, words in heard.items():
            assert is_same(getattr(parser.parse_args(words), action.dest), meant(action, said), said), (way, words)

    is_heard()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"cc.custom_ops+": "none,+rms_norm"}, ["-cc.custom_ops+", "none,+rms_norm"]),
        (
            {"cc.custom_ops": ["none"], "compilation_config.custom_ops+": ["+rms_norm"]},
            ["--compilation-config.custom_ops", '["none"]', "--compilation-config.custom_ops+", "+rms_norm"],
        ),
        ({"compilation_config.max_cudagraph_capture_size": "1k"}, ["-cc.max_cudagraph_capture_size", "1k"]),
        ({"cc": '{"max_cudagraph_capture_size": 1K}'}, ["-cc", '{"max_cudagraph_capture_size": 1K}']),
        ({"kv_transfer_config": EXTRA_OF_KV}, ["--kv-transfer-config", EXTRA_OF_KV]),
        ({"hf_overrides.textConfig.ropeTheta": 1.5}, ["--hf-overrides.textConfig.ropeTheta", "1.5"]),
        ({"hf_overrides": {"quantization_config": None}}, ["--hf-overrides.quantization_config", "null"]),
    ],
)
def test_what_a_shell_may_write_may_stand_in_a_file(parser, tmp_path, args, words):
    [heard] = heard_of(tmp_path / "launches.yaml", {"a": args}).values()
    assert vars(parser.parse_args(heard)) == vars(parser.parse_args(words))


def sayings(action, option):
    """Return what may be said of an option, and of the others beside it, as YAML gives it."""
    if option == ANY:
        values = installed_forms()[action.option_strings[0]].values
        inner = JSON.filter(lambda value: not option_problem(value, values))
        return BY_NAME.get(action.dest, st.dictionaries(TEXT, inner, max_size=4)), st.just({})
    config = config_of(action)
    kinds = {
        name: BY_NAME.get(name, values_of(hint)).filter(lambda value, name=name: not refuses(config, name, value))
        for name, hint in fields_of(config).items()
    }
    needed = next((more for begin, more in NEEDED.items() if option.startswith(begin)), {})
    alone = kinds.pop(option).map(lambda value: {**needed, option: value})
    names = st.lists(st.sampled_from([*kinds]), max_size=3, unique=True) if kinds else st.just([])
    return alone, names.flatmap(lambda chosen: st.fixed_dictionaries({name: kinds[name] for name in chosen}))


def fields_of(config):
    """Return the fields that a launch can give, with their types."""
    hints = typing.get_type_hints(config, include_extras=True)
    names = [field.name for field in dataclasses.fields(config) if field.init and not field.name.startswith("_")]
    return {name: hints[name] for name in names if name not in FILLED_IN}


def values_of(hint):
    """Return what may be said of a field of this type."""
    kind, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint in PLAIN:
        return PLAIN[hint]
    if kind is typing.Annotated:
        return values_of(parts[0])
    if kind is typing.Literal:
        return st.sampled_from(parts)
    if kind in (typing.Union, types.UnionType):
        return st.one_of(map(values_of, parts))
    if kind is dict:
        return st.dictionaries(TEXT, values_of(parts[1]), max_size=3)
    if kind is tuple:
        return st.tuples(*map(values_of, parts)).map(list)
    if kind in (list, set):
        return st.lists(values_of(parts[0]), max_size=3)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from([*hint.__members__, *map(str.lower, hint.__members__)])
    if dataclasses.is_dataclass(hint):
        return st.fixed_dictionaries({}, optional={name: values_of(inner) for name, inner in fields_of(hint).items()})
    return st.nothing()


def meant(action, said):
    """Return what vLLM's own class makes of a mapping in Python; None where it refuses it."""
    if isinstance(action.type("{}"), dict):  # looked into later
        return said
    try:
        return TypeAdapter(config_of(action)).validate_python(said)
    except Exception:  # pydantic's, or one of vLLM's own
        return None


def texts_of(action):
    """Return the options that take text and nothing else."""
    config = config_of(action)
    return {name for name, hint in fields_of(config).items() if hint in (str, str | None)} if config else set()


def writings(flag, said, texts):
    """Yield the ways to write a mapping, each as the args of a launch."""
    name = flag.removeprefix("--").replace("-", "_")
    short = next((short.lstrip("-") for short in installed_forms()[flag].short), name)
    yield "mapping", {name: said}
    plain = [key for key in said if key in texts and not str(said[key]).startswith('"')]  # needs no quotes in quotes
    yield "dots", dict(_dotted(name, said)) | {f"{name}.{key}": said[key] for key in plain}
    yield "quotes", {name: json.dumps(said)}
    whole = {key: said[key] for place, key in enumerate(said) if place == 0 or not _may_stand_in_dots(key)}
    parts = [_dotted(f"{name}.{key}", said[key]) for key in said if key not in whole]
    yield "parts", {short: whole} | dict(itertools.chain(*parts))


def _dotted(way, value):
    if isinstance(value, dict) and value and all(map(_may_stand_in_dots, value)):
        for key, inner in value.items():
            yield from _dotted(f"{way}.{key}", inner)
    else:  # a text that the command line reads as something else stands in quotes, there as here
        yield way, json.dumps(value) if isinstance(value, str) and _is_more_than_text(value) else value


def _may_stand_in_dots(key):
    return not {".", "="} & {*key} and not key.endswith("+")


def _is_more_than_text(text):
    from vllm.utils.argparse_utils import human_readable_int

    for read in (json.loads, human_readable_int):
        with contextlib.suppress(ValueError, argparse.ArgumentTypeError):
            read(text)
            return True
    return False


class _Writer(yaml.SafeDumper):
    """Writes each value out, as people do, and no anchors."""

    def ignore_aliases(self, data):
        return True


def heard_of(file, ways):
    """Return the words that an experiment's launches become, checked as `run` checks them."""
    launches = {way: {"args": args} for way, args in ways.items()}
    content = {"question": "Heard?", "model": "tiny", "launches": launches, "benchmarks": [{"first_request": {}}]}
    file.write_text(yaml.dump(content, Dumper=_Writer, allow_unicode=True, width=10_000, sort_keys=False))
    return {launch.name: flags(launch.args) for launch in preflight_of(file).experiment.launches}


def is_same(heard, expected, said):
    """Return whether what was said of a config is in it."""
    if dataclasses.is_dataclass(expected) and isinstance(said, dict):
        return all(is_same(getattr(heard, key), getattr(expected, key), value) for key, value in said.items())
    return heard == expected
