"""The pages say what the code does: every key, file and name on them is there, every link leads somewhere."""

import re
from pathlib import Path

import pytest
from benchbook.plan.experiment import Limits, _ExperimentKeys
from benchbook.plan.repeats import AT_LEAST, _RangeKeys
from benchbook.plan.requests import RequestSet
from benchbook.plan.workloads import WORKLOADS

ROOT = Path(__file__).parents[3]
REFERENCE = (ROOT / "docs" / "experiment-file.md").read_text()
IN_ONE_KEY = {"input_len_tokens", "output_len_tokens"}  # `lengths`


def section(heading):
    """Return the text below a heading that starts so, up to the next one."""
    return REFERENCE.partition(f"{heading}")[2].partition("\n#")[0]


@pytest.mark.parametrize("benchmark", list(WORKLOADS))
def test_every_key_of_a_benchmark_stands_in_its_table(benchmark):
    keys = set(WORKLOADS[benchmark].model_fields) - IN_ONE_KEY
    text = section(f"### `{benchmark}`")
    assert [key for key in keys if f"`{key}`" not in text] == []


@pytest.mark.parametrize("benchmark", list(WORKLOADS))
def test_a_number_that_a_key_defaults_to_is_the_one_in_its_table(benchmark):
    rows = {
        cells[1].strip(" `"): cells[2].strip()
        for line in section(f"### `{benchmark}`").splitlines()
        if len(cells := line.split("|")) > 3
    }
    for name, field in WORKLOADS[benchmark].model_fields.items():
        if name in rows and type(field.default) in (int, float):
            assert rows[name] == f"{field.default:g}", name


def test_every_key_of_a_set_of_requests_stands_in_its_table():
    text = section("## Requests: what is sent")
    assert [key for key in RequestSet.model_fields if f"| `{key}` |" not in text] == []


def test_every_key_of_the_top_level_and_of_its_limits_is_there():
    assert [key for key in _ExperimentKeys.model_fields if f"| `{key}`" not in REFERENCE] == []
    assert [
        key for key in Limits.model_fields if f"`{key}` ({Limits.model_fields[key].default:g}" not in REFERENCE
    ] == []


def test_every_key_of_repeats_stands_in_its_table():
    text = section("## How many repeats")
    assert [key for key in _RangeKeys.model_fields if f"| `{key}`" not in text] == []
    assert f"| `at_least` | {AT_LEAST} |" in text


PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "environment" / "README.md",
    ROOT / "results" / "README.md",
]


def anchors(page):
    """Return the anchors of a page's headings, as they are made from them where pages are shown."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_what_is_there(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_the_readme_is_one_that_people_read_to_its_end():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 220


MAPS = [ROOT / "docs" / "design.md", ROOT / "docs" / "extending.md", ROOT / "CONTRIBUTING.md"]
PLACES = [ROOT, ROOT / "notebooks", ROOT / "lib" / "benchbook", ROOT / "lib" / "tests"]


def located(name):
    """Return the file or folder that a page calls `name`: in the checkout, the package or the tests."""
    return next((place / name for place in PLACES if (place / name).exists()), None)


@pytest.mark.parametrize("page", MAPS, ids=lambda page: page.name)
def test_every_file_that_a_map_of_the_code_names_is_there(page):
    named = set(re.findall(r"`([\w./-]+(?:\.(?:py|ipynb|md|yaml|sh|toml|txt)|/))`", page.read_text()))
    made_by_a_run = {"repeat.json", "best.yaml"}
    assert named and sorted(name for name in named - made_by_a_run if not located(name)) == []


@pytest.mark.parametrize("page", MAPS, ids=lambda page: page.name)
def test_every_name_that_a_map_of_the_code_finds_in_a_file_is_in_it(page):
    text = " ".join(page.read_text().split())
    found = [
        (name, file)
        for names, file in re.findall(r"((?:`\w+`(?:,| and)? )+)(?:of|in) `([\w./]+\.py)`", text)
        for name in re.findall(r"`(\w+)`", names)
    ]
    assert found or page.name == "CONTRIBUTING.md"
    assert [each for each in found if not re.search(rf"\b{each[0]}\b", located(each[1]).read_text())] == []
