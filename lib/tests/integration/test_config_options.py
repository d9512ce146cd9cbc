"""What the installed vLLM's configs accept is never refused: each option is asked of the config class itself."""

from __future__ import annotations

import dataclasses
import enum

import pytest
from benchbook.hosts.vllm.config_fields import fields_of, refuses
from benchbook.hosts.vllm.kinds import option_problem

pytestmark = pytest.mark.integration

PROBES = (
    "some-text", "7", "0.5", "true", "off", "", 0, 1, -1, 7, 8192, 0.5, 2.0, True, False, [], [7], [0.5], ["7"],
    ["some-text"], [True], [[7]], [{}], {}, {"a": 1}, {"a": "b"}, None,
)  # fmt: skip


@pytest.fixture(scope="module")
def configs() -> list[type]:
    """Return every class of configs that a flag, or a config in one, takes options of."""
    import vllm.config  # here, since collecting tests must not import it

    found = [there for there in vars(vllm.config).values() if isinstance(there, type)]
    return [there for there in found if dataclasses.is_dataclass(there) and there.__name__ != "VllmConfig"]


def plain_default(field: dataclasses.Field) -> object:
    """Return a field's default as a file would say it; None where it has none, or none that a file can say."""
    default = getattr(field.default, "default", field.default)  # of pydantic's Field
    default = default.name if isinstance(default, enum.Enum) else default
    return default if isinstance(default, str | int | float | bool | list | dict) else None


def test_every_default_of_a_config_is_taken(configs) -> None:
    refused = [
        (config.__name__, field.name, why)
        for config in configs
        for field in dataclasses.fields(config)
        if (option := fields_of(config, 0).get(field.name))
        and (default := plain_default(field)) is not None
        and (why := option_problem(default, option))
    ]
    assert refused == []


def test_a_bound_is_the_configs_own(configs) -> None:
    inside = {"gt": 1, "lt": -1}
    bounds = [
        (config, name, limit + inside.get(kind, 0))
        for config in configs
        for name, option in fields_of(config, 0).items()
        for kind, limit in option.bounds
    ]
    assert len(bounds) > 30 and [bound for bound in bounds if refuses(*bound)] == []


def test_what_a_config_takes_is_not_refused(configs) -> None:
    wrong = [
        (config.__name__, name, value, option)
        for config in configs
        for name, option in fields_of(config, 0).items()
        for value in PROBES
        if option_problem(value, option) and option.kinds and not refuses(config, name, value)
    ]
    assert wrong == []


def test_most_options_are_known_by_kind(configs) -> None:
    options = [option for found in configs for option in fields_of(found, 0).values()]
    known = [option for option in options if option.kinds]
    assert len(options) > 300 and len(known) > 0.8 * len(options)
