"""The known ways in which a serving number goes wrong: the tests that are named for each are run.

What the session has anyway runs there and fails there, so it is not run twice; anything else, and with
BENCHBOOK_TEST_FULL all of it, is run here and now in a process of its own.
"""

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchbook.judge.catalogue import BY_CODE
from pitfalls import PITFALLS
from rows import IS_FULL
from test_checks import PAIRS

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parents[1] / "docs" / "pitfalls.md").read_text()
PAIR = "test_checks.py::test_a_fault_is_found_and_its_twin_without_it_is_not_accused"


def shown_by(pitfall):
    """Return the tests that show what becomes of it, those of its codes among them."""
    return [*pitfall.tests, *(f"{PAIR}[{code}]" for code in pitfall.codes if code in PAIRS)]


def is_slow(test):
    return test.startswith("integration/")


def located(test):
    """Return the path of a test whose file is named without its folder, or in full; no two files have one name."""
    file, colons, function = test.partition("::")
    paths = [file] if os.path.isabs(file) else TESTS.rglob(os.path.basename(file))
    return f"{next(iter(paths), file)}{colons}{function}"


def run(tests, folder):
    """Run these tests in a process of their own; return how each of their cases ended, by the test that they are of."""
    names = sorted(set(tests))
    options = ["-q", "-p", "no:cacheprovider", f"--junitxml={folder}/ended.xml"]
    command = [sys.executable, "-m", "pytest", *options, *map(located, names)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert (folder / "ended.xml").exists(), done.stdout + done.stderr
    ended = defaultdict(list)
    for case in ElementTree.parse(folder / "ended.xml").iter("testcase"):
        file, name = case.attrib["classname"].rpartition(".")[2], case.attrib["name"]
        for test in names:
            path, _, function = test.partition("::")
            if Path(path).stem == file and function in (name, name.partition("[")[0]):
                ended[test].append([child.tag for child in case if child.tag in ("failure", "error", "skipped")])
    return ended


def run_once(tests, session, folder):
    """Return how each case of these tests ended; those that `session` runs by itself count as passed, or as skipped."""
    there = {} if IS_FULL else in_session(tests, session)
    others = set(tests) - there.keys()
    return {**(run(others, folder) if others else {}), **there}


def in_session(tests, session):
    """Return the cases of these tests that `session` runs, each with whether it is marked to be skipped."""
    named, found = {}, defaultdict(list)
    for test in tests:
        file, _, function = test.partition("::")
        named[os.path.basename(file), function] = test
    for item in session.items:
        for function in {item.name, item.originalname}:
            if test := named.get((item.path.name, function)):
                found[test].append(["skipped"] if is_left_out(item) else [])
    return found


def is_left_out(item):
    return any(mark.name == "skip" or mark.name == "skipif" and mark.args[0] for mark in item.iter_markers())


@pytest.fixture(scope="module")
def quick(request, tmp_path_factory):
    tests = [test for pitfall in PITFALLS for test in shown_by(pitfall) if not is_slow(test)]
    return run_once(tests, request.session, tmp_path_factory.mktemp("quick"))


@pytest.fixture(scope="module")
def slow(request, tmp_path_factory):
    tests = [test for pitfall in PITFALLS for test in pitfall.tests if is_slow(test)]
    return run_once(tests, request.session, tmp_path_factory.mktemp("slow"))


def not_passed(tests, ended):
    """Return those that failed, were skipped or are not there, with how their cases ended."""
    return {test: ended.get(test) for test in tests if not ended.get(test) or any(ended[test])}


@pytest.mark.parametrize("pitfall", PITFALLS, ids=lambda pitfall: pitfall.what)
def test_what_is_named_for_a_pitfall_was_run_and_passed(pitfall, quick):
    assert not_passed([test for test in shown_by(pitfall) if not is_slow(test)], quick) == {}
    assert shown_by(pitfall), "nothing shows what becomes of it"
    assert set(pitfall.codes) <= set(BY_CODE)


NEED_A_SWEEP = [pitfall for pitfall in PITFALLS if any(map(is_slow, pitfall.tests))]


@pytest.mark.integration
@pytest.mark.parametrize("pitfall", NEED_A_SWEEP, ids=lambda pitfall: pitfall.what)
def test_what_needs_a_sweep_was_run_and_passed(pitfall, slow):
    assert not_passed(filter(is_slow, pitfall.tests), slow) == {}


def test_a_test_that_fails_or_is_not_there_is_seen(tmp_path):
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_sound(): pass\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_half(n): assert n == 1\n"
        "@pytest.mark.skip\ndef test_left_out(): pass\n"
    )
    named = [f"{tmp_path}/test_some.py::{name}" for name in ("test_sound", "test_half", "test_left_out")]
    ended = run(named, tmp_path)
    assert set(not_passed([*named, "test_some.py::test_gone"], ended)) == {*named[1:], "test_some.py::test_gone"}


def test_no_pitfall_is_told_twice():
    assert len({pitfall.what for pitfall in PITFALLS}) == len(PITFALLS)


def rows():
    """Return the rows of the page's table."""
    codes = [", ".join(f"`{code}`" for code in pitfall.codes) for pitfall in PITFALLS]
    return [f"| {pitfall.what} | {pitfall.here} | {said} |" for pitfall, said in zip(PITFALLS, codes, strict=True)]


def test_the_page_says_what_becomes_of_each():
    assert "\n".join(rows()) in PAGE
