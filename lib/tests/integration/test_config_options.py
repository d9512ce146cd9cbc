"""What the installed vLLM's configs accept is never refused: each option is asked of the config class itself."""

from __future__ import annotations

import dataclasses
import enum

import pytest
from benchbook.hosts.kinds import option_problem
from benchbook.hosts.parser_dump import _fields, _refuses

pytestmark = pytest.mark.integration

PROBES = (
    "some-text", "7", "0.5", "true", "off", "", 0, 1, -1, 7, 8192, 0.5, 2.0, True, False, [], [7], [0.5], ["7"],
    ["some-text"], [True], [[7]], [{}], {}, {"a": 1}, {"a": "b"}, None,
)  # fmt: skip


def config_classes() -> list[type]:
    """Return every class of configs that a flag, or a config in one, takes options of."""
    import vllm.config

    found = [there for there in vars(vllm.config).values() if isinstance(there, type)]
    return [there for there in found if dataclasses.is_dataclass(there) and there.__name__ != "VllmConfig"]


@pytest.fixture(scope="module", params=config_classes(), ids=lambda config: config.__name__)
def config(request) -> type:
    return request.param


def plain_default(field: dataclasses.Field) -> object:
    """Return a field's default as a file would say it; None where it has none, or none that a file can say."""
    default = getattr(field.default, "default", field.default)  # of pydantic's Field
    default = default.name if isinstance(default, enum.Enum) else default
    return default if isinstance(default, str | int | float | bool | list | dict) else None


def test_every_default_of_a_config_is_taken(config) -> None:
    options = _fields(config, 0)
    defaults = {field.name: plain_default(field) for field in dataclasses.fields(config) if field.name in options}
    refused = {name: (value, why) for name, value in defaults.items() if (why := option_problem(value, options[name]))}
    assert refused == {}


def test_what_a_config_takes_is_not_refused(config) -> None:
    options = {name: option for name, option in _fields(config, 0).items() if option.kinds}
    wrong = [
        (name, value, options[name])
        for name in options
        for value in PROBES
        if option_problem(value, options[name]) and not _refuses(config, name, value)
    ]
    assert wrong == []


def test_most_options_are_known_by_kind() -> None:
    options = [option for found in config_classes() for option in _fields(found, 0).values()]
    known = [option for option in options if option.kinds]
    assert len(options) > 300 and len(known) > 0.8 * len(options)
