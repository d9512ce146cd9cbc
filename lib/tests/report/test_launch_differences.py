"""A comparison names every setting in which its launches differ, those that nobody thought of as well."""

import pytest
from benchbook.launch_differences import difference_text

EAGER = {"model": "tiny", "enforce_eager": True, "max_model_len": 4096, "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (EAGER, "B and A have the same model, flags and variables."),
        ({**EAGER, "enforce_eager": False}, "B differs from A in enforce_eager false (A: true)."),
        (
            {"model": "tiny", "max_model_len": 4096, "OMP_NUM_THREADS": "1"},
            "B differs from A in enforce_eager not set (A: true).",
        ),
        (
            {**EAGER, "model": "other", "VLLM_X": "2"},
            "B differs from A in 2 settings, any of which may be the cause: model other (A: tiny); "
            "VLLM_X 2 (A: not set).",
        ),
        (
            {**EAGER, "compilation_config": {"mode": 3}},
            'B differs from A in compilation_config {"mode": 3} (A: not set).',
        ),
    ],
)
def test_each_setting_that_differs_is_named(other, told):
    assert difference_text(EAGER, other, ("A", "B")) == told


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (8, "8", True),
        (32_000, "32k", True),
        ("0.90", 0.9, True),
        (8, "9", False),
        (True, "1", False),
        ("1k", "1000", False),  # texts, which a flag may take as such
    ],
)
def test_a_number_and_its_text_are_one_setting(one, other, is_same):
    told = difference_text({"max": one}, {"max": other}, ("A", "B"))
    assert (told == "B and A have the same model, flags and variables.") is is_same


def test_a_long_value_is_cut_and_a_secret_is_not_told():
    told = difference_text(EAGER, {**EAGER, "SOME_TOKEN": "hunter2hunter2", "sizes": list(range(99))}, ("A", "B"))
    assert "hunter2" not in told and "SOME_TOKEN …" in told and len(told) < 300


def test_versions_of_packages_are_compared_where_both_sides_tell_them() -> None:
    ours = {"model": "tiny", "vllm": "0.32.0", "torch": "2.13.0", "numpy": "2.3.5"}
    theirs = {"model": "tiny", "vllm": "0.33.0", "numpy": "2.3.5"}
    assert difference_text(ours, theirs, ("a", "b")) == "b differs from a in vllm 0.33.0 (a: 0.32.0)."
    untold = {"model": "other"}
    assert difference_text(ours, untold, ("a", "b")) == "b differs from a in model other (a: tiny)."


def test_what_an_attached_server_was_started_with_is_not_made_up():
    theirs = {"attach": "http://h", "model": "tiny", "api_key_env": "K"}
    said = difference_text(theirs, EAGER, ("A", "B"))
    assert said == "A is the server that runs at http://h: in which settings B differs from A is not known here."
    said = difference_text(theirs, {"attach": "http://i"}, ("A", "B"))
    assert said.startswith("A is the server that runs at http://h and B is the server that runs at http://i: in which")
