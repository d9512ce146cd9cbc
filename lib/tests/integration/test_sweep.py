"""A small sweep from the command line to the report, on the real vLLM."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
from benchbook.records.store import Store
from sweeps import ALL_MEASURED, ONE_PROCESS_ARGS, ONE_PROCESS_ENV, benchbook, read_until, wait_nothing_left

pytestmark = pytest.mark.integration

SWEEP = f"""
question: Does serving throughput rise with concurrency on the tiny model?
model: tiny
launches:
  eager:
    args: {json.dumps(ONE_PROCESS_ARGS)}
    env: {json.dumps(ONE_PROCESS_ENV)}
benchmarks:
  - first_request: {{max_tokens: 16}}
  - serve: {{max_concurrency: [1, 8], lengths: [[64, 32]], num_prompts: 8 per concurrency}}
  - latency: {{batch_size: 1, lengths: [[64, 32]], num_iters: 5, num_iters_warmup: 2}}
  - throughput: {{num_prompts: 64, lengths: [[64, 32]]}}
repeats: 2
again: 0
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Run the sweep once, with an interrupt in its middle, and return its folder and what was printed."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "rise.yaml").write_text(SWEEP)
    first = benchbook(folder, "run", "rise.yaml")
    text = read_until(first, lambda line: "…" in line and "max_concurrency=8" in line)
    time.sleep(1.0)
    os.killpg(first.pid, signal.SIGINT)
    text += first.communicate(timeout=60)[0]
    left = wait_nothing_left(folder)
    second = benchbook(folder, "run", "rise.yaml")
    more = second.communicate(timeout=400)[0]
    return {
        "folder": folder,
        "first": text,
        "first_rc": first.returncode,
        "left": left,
        "second": more,
        "second_rc": second.returncode,
        "store": Store.open("rise", folder / "results"),
    }


def test_an_interrupt_ends_the_sweep_with_130_and_says_how_to_continue(sweep):
    assert sweep["first_rc"] == 130, sweep["first"]
    assert "to continue: benchbook run rise.yaml" in sweep["first"] and "Traceback" not in sweep["first"]


def test_an_interrupt_leaves_no_process(sweep):
    assert sweep["left"] == []


def test_the_continued_sweep_measures_every_case_once_and_is_valid(sweep):
    assert sweep["second_rc"] in ALL_MEASURED, sweep["second"]
    records = sweep["store"].records()
    assert len(records) == 10 and "INVALID" not in {record.verdict.value for record in records}


def test_asked_and_counted_tokens_agree_for_every_case(sweep):
    for record in sweep["store"].records():
        if record.benchmark in ("serve", "throughput"):
            assert record.values["total_input_tokens"] == record.workload["num_prompts"] * 64
            assert record.values["total_output_tokens"] == record.workload["num_prompts"] * 32


def test_the_server_counts_what_the_client_counts(sweep):
    for record in sweep["store"].records():
        if record.benchmark == "serve":
            counters = record.host["counters"]
            assert counters["prompt_tokens"] == record.values["total_input_tokens"]
            assert counters["generation_tokens"] == record.values["total_output_tokens"]


def test_throughput_rises_with_concurrency(sweep):
    by_concurrency = {}
    for record in sweep["store"].records():
        if record.benchmark == "serve":
            by_concurrency.setdefault(record.workload["max_concurrency"], []).append(
                record.values["output_throughput_tok_s"]
            )
    assert min(by_concurrency[8]) > max(by_concurrency[1])


def test_offline_cases_ran_on_one_loaded_engine(sweep):
    ways = {record.way for record in sweep["store"].records() if record.benchmark in ("latency", "throughput", "serve")}
    assert ways == {"warm"}


def test_the_report_loads_nothing_and_links_only_what_is_in_it(sweep):
    report = sweep["store"].report_path
    html = report.read_text()
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", html) and "@import" not in html
    targets = re.findall(r'href="([^"]+)"', html)
    assert any(target.startswith("#") for target in targets)
    assert [target for target in targets if not target.startswith(("#", "data:"))] == []
    anchors = set(re.findall(r'id="([^"]+)"', html))
    assert [target for target in targets if target.startswith("#") and target[1:] not in anchors] == []
    assert "random weights" in html.lower() and "Does serving throughput rise" in html


def test_no_key_stands_in_any_file_of_the_run(sweep):
    """The key is random, so its shape is looked for where it would be: after Bearer, or as the value of *_API_KEY."""
    for path in sweep["store"].run_dir.rglob("*"):
        if path.is_file():
            text = path.read_text(errors="replace")
            assert not re.search(r"Bearer [A-Za-z0-9_-]{16,}|API_KEY['\"]?\s*[:=]\s*['\"]?[A-Za-z0-9_-]{16,}", text), (
                path
            )


@pytest.mark.parametrize("form", ["csv", "json"])
def test_the_table_for_programs_has_one_row_a_repeat(sweep, form):
    text = benchbook(sweep["folder"], "table", "rise", "--format", form).communicate(timeout=60)[0]
    assert (len(json.loads(text)) if form == "json" else len(text.strip().splitlines()) - 1) == 10


def test_the_table_for_people_has_one_row_a_case(sweep):
    text = benchbook(sweep["folder"], "table", "rise", "--format", "md").communicate(timeout=60)[0]
    assert len([line for line in text.splitlines() if "VALID" in line or "SUSPECT" in line]) == 5


def test_the_report_can_be_built_again_and_the_run_is_listed(sweep):
    before = sweep["store"].report_path.stat().st_mtime_ns
    assert "report.html" in benchbook(sweep["folder"], "report", "rise").communicate(timeout=120)[0]
    assert sweep["store"].report_path.stat().st_mtime_ns > before
    assert "rise/" in benchbook(sweep["folder"], "list").communicate(timeout=60)[0]


def test_nothing_lives_after_the_sweep(sweep):
    assert wait_nothing_left(sweep["folder"]) == []
    assert not list(Path(sweep["folder"] / "state" / "hosts").glob("*.json"))
