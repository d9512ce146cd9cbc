"""Whether a written answer is the very one that was to come: lm-eval's `exact_match`, behind the filters of its task.

    {"question": "…", "answer": "42", "match": {"until": ["\\n"], "filters": [{"function": "remove_whitespace"}]}}

An item with such a `match` is judged letter by letter, so that it can be asked again where no lm-eval is installed. The
words are those of lm-eval's task files, and each does what it does there.
"""

from __future__ import annotations

import re
import string
from typing import Annotated, Literal

from pydantic import AfterValidator

from benchbook.plan.strict import StrictModel


def _compiled(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return pattern


Pattern = Annotated[str, AfterValidator(_compiled)]


class Filter(StrictModel):
    """What is taken of a written answer before it is compared."""

    function: Literal["regex", "remove_whitespace"]
    regex_pattern: Pattern = r"#### (\-?[0-9\.\,]+)"
    group_select: int = 0  # which of the places that the pattern finds
    fallback: str = "[invalid]"  # where it finds none

    def taken(self, text: str) -> str:
        """Return what is taken of `text`."""
        if self.function == "remove_whitespace":
            return text.strip()
        found = re.findall(self.regex_pattern, text)
        if not found or not -len(found) <= self.group_select < len(found):
            return self.fallback
        one = found[self.group_select]
        return (next(filter(None, one), self.fallback) if isinstance(one, tuple) else one).strip()


class ExactMatch(StrictModel):
    """How a written answer is cut, and compared with the right one."""

    until: list[str] = []  # it ends before the first of these
    filters: list[Filter] = []
    regexes_to_ignore: list[Pattern] = []
    ignore_case: bool = False
    ignore_punctuation: bool = False
    ignore_numbers: bool = False

    def is_right(self, text: str, answer: str) -> bool:
        """Return whether `text`, as the server ended it, is the `answer`."""
        for each in self.filters:
            text = each.taken(text)
        return self._compared(text) == self._compared(answer)

    def _compared(self, text: str) -> str:
        for pattern in self.regexes_to_ignore:
            text = re.sub(pattern, "", text)
        if self.ignore_case:
            text = text.lower()
        ignored = string.punctuation * self.ignore_punctuation + string.digits * self.ignore_numbers
        return text.translate(str.maketrans("", "", ignored))
