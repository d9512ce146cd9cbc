"""An exact match of a written answer: what its filters take, what is left out of the comparison, and what cannot be one."""

import pytest
from benchbook.measure.exact_match import ExactMatch
from benchbook.terms.errors import ExperimentError

STRIP = {"function": "remove_whitespace"}
LAST_NUMBER = {"function": "regex", "regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)", "group_select": -1}
HASHES = {"function": "regex", "regex_pattern": r"#### (\-?[0-9\.\,]+)"}


@pytest.mark.parametrize(
    ("said", "text", "answer", "is_right"),
    [
        ({}, "42", "42", True),
        ({}, " 42", "42", False),  # lm-eval strips nothing by itself
        ({}, "42 apples", "42", False),
        ({"filters": [STRIP]}, " 42\n", "42", True),
        ({"filters": [STRIP]}, " 42.", "42", False),
        ({"filters": [HASHES]}, "6 * 7 = 42\n#### 42", "42", True),
        ({"filters": [HASHES]}, "it is 42", "42", False),
        ({"filters": [HASHES]}, "it is 42", "[invalid]", True),  # as it is there: the fallback is an answer
        ({"filters": [LAST_NUMBER]}, "of 12, 30 remain: 7", "7", True),
        ({"filters": [LAST_NUMBER]}, "of 12, 30 remain: 7", "12,", False),
        ({"filters": [{**HASHES, "group_select": 1}]}, "#### 1", "1", False),
        ({"ignore_case": True}, "Blue", "bLUE", True),
        ({"ignore_punctuation": True}, "blue!", "blue", True),
        ({"ignore_numbers": True}, "blue 7", "blue ", True),
        ({"regexes_to_ignore": [",", r"(?s).*#### "]}, "1,000", "so many:\n#### 1000", True),
    ],
)
def test_a_written_answer_matches_letter_by_letter_behind_its_filters(said, text, answer, is_right):
    assert ExactMatch(**said).is_right(text, answer) is is_right


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"filters": [{"function": "majority_vote"}]}, "function: 'majority_vote': must be 'regex' or"),
        ({"filters": [{"function": "regex", "regex_pattern": "("}]}, "is no regular expression"),
        ({"regexes_to_ignore": ["["]}, "is no regular expression"),
        ({"ignore_cases": True}, "did you mean 'ignore_case'"),
    ],
)
def test_what_is_no_match_is_refused_in_a_line(said, problem):
    with pytest.raises(ExperimentError) as refused:
        ExactMatch(**said)
    assert problem in str(refused.value) and "\n" not in str(refused.value)
