"""The commands of the README and of the pages, executed as they stand, in the checkout; first of all the quickstart.

It is a whole sweep on the real vLLM, from the command line to the report.
"""

import json
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from benchbook.records.store import Store
from benchbook.terms import exit_codes
from listening_proxy import listening_proxy
from rows import IS_FULL
from sweeps import FAKE_PACKAGE, assert_values_equal_the_raw_file, wait_nothing_left
from terminal import CTRL_C, on_terminal

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
NOT_HERE = {
    "make quickstart": "has tests of its own above",
    "make test": "this test is part of it",
    "make lab": "opens JupyterLab and stays; see the test of its own below",
}
LIMIT_S = 900
SECRET = "hf_" + "Zq7" * 12
# In `make test` the quickstart has two of its four numbers in flight and one pair of lengths, and each repeat has a tenth
# of its tokens, or fewer; it is measured once, though the other tests disturb it.
SHORTER = (
    "--set=benchmarks.serve.max_concurrency=[1, 8]",
    "--set=benchmarks.serve.lengths=[[32, 16]]",
    "--set=benchmarks.serve.num_prompts=3 per concurrency",
    "--set=benchmarks.latency.lengths=[[32, 16]]",
    "--set=benchmarks.latency.num_iters=3",
    "--set=benchmarks.latency.num_iters_warmup=1",
    "--set=benchmarks.throughput.lengths=[[32, 16]]",
    "--set=benchmarks.throughput.num_prompts=32",
    "--set=again=0",
)
OPTIONS, NUM_CASES = ((), 12) if IS_FULL else (SHORTER, 6)
NUM_REPEATS = 2 * NUM_CASES
QUICKSTART = ["make", "quickstart", f"OPTIONS={shlex.join(OPTIONS)}"]


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands():
    """Return the lines after '$ ' in the console blocks of the README and the pages, in order, each once."""
    blocks = [block for page in PAGES for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)]
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return list(dict.fromkeys(line.removeprefix("$ ") for line in lines))


def environment(marker):
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": search, "BENCHBOOK_TEST": marker, "BENCHBOOK_VENV": sys.prefix, "HF_TOKEN": SECRET}


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """Type `make quickstart`, stop it by Ctrl-C as vLLM starts, type it again in a shell full of proxies; return what was seen."""
    marker = str(tmp_path_factory.mktemp("quickstart"))
    with on_terminal(QUICKSTART, cwd=ROOT, env=environment(marker)) as stopped:
        stopped.read_until(lambda text: "starting the server" in text, limit_s=LIMIT_S)
        time.sleep(1)  # into the start, whose processes are then importing
        stopped.press(CTRL_C)
        stopped.read_to_end()
    left = wait_nothing_left(marker)
    with pytest.MonkeyPatch.context() as patch, listening_proxy(patch) as proxy:
        with on_terminal(QUICKSTART, cwd=ROOT, env=environment(marker)) as terminal:
            terminal.read_to_end(limit_s=LIMIT_S)
    store = Store.open("quickstart", ROOT / "results")
    return SimpleNamespace(
        stopped=stopped, left=left, terminal=terminal, asked=proxy.asked, left_at_the_end=wait_nothing_left(marker),
        store=store, records=store.records(), of=lambda *names: [each for each in store.records() if each.benchmark in names],
    )  # fmt: skip


def shown(terminal):
    return " ".join(line.strip() for line in terminal.lines())


def test_ctrl_c_in_make_quickstart_says_how_to_continue_and_leaves_nothing_alive(quickstart):
    text = shown(quickstart.stopped)
    assert "to continue: " + shlex.join(["benchbook", "run", "experiments/quickstart.yaml", *OPTIONS]) in text
    assert "Traceback" not in text and f"Error {exit_codes.INTERRUPTED}" in text
    assert quickstart.left == []


def test_make_quickstart_ends_as_its_summary_says_and_leaves_nothing_alive(quickstart):
    """A quiet machine answers the question. One that runs other tests meanwhile may not; then the run says so."""
    text, code = shown(quickstart.terminal), quickstart.terminal.process.returncode
    assert "Traceback" not in text and "Continuing results/quickstart/" in text
    assert re.search(
        rf"Verdicts .* of {NUM_REPEATS} repeats .*Answer .*Report +results/quickstart/\S+/report.html", text
    )
    error = re.search(r"make(?:\[\d+\])?: .* Error (\d+)", text)
    if error:
        assert code and int(error[1]) == exit_codes.NO_ANSWER, text
        assert f"Exit code {exit_codes.NO_ANSWER}: " in text and "This run cannot answer: " in text
    else:
        assert code == exit_codes.OK, text
        assert "Exit code" not in text and "This run cannot answer: " not in text
    assert quickstart.left_at_the_end == []


def test_nothing_of_the_quickstart_goes_through_the_proxies_of_its_shell(quickstart):
    assert quickstart.asked == []


def test_the_continued_quickstart_has_measured_every_case_once(quickstart):
    assert len(quickstart.records) == NUM_REPEATS
    assert "INVALID" not in {record.verdict.value for record in quickstart.records}


def test_asked_and_counted_tokens_agree_for_every_case(quickstart):
    for record in quickstart.of("serve", "throughput"):
        asked, values = record.workload, record.values
        assert values["total_input_tokens"] == asked["num_prompts"] * asked["input_len_tokens"]
        assert values["total_output_tokens"] == asked["num_prompts"] * asked["output_len_tokens"]


def test_the_server_counts_what_the_client_counts(quickstart):
    for record in quickstart.of("serve"):
        counters = record.host.counters
        assert counters["prompt_tokens"] == record.values["total_input_tokens"]
        assert counters["generation_tokens"] == record.values["total_output_tokens"]


def test_throughput_rises_with_concurrency(quickstart):
    by_concurrency = defaultdict(list)
    for record in quickstart.of("serve"):
        by_concurrency[record.workload["max_concurrency"]].append(record.values["output_throughput_tok_s"])
    assert statistics.fmean(by_concurrency[8]) > statistics.fmean(by_concurrency[1])


def test_all_cases_ran_on_one_loaded_host(quickstart):
    assert {record.way for record in quickstart.of("latency", "throughput", "serve")} == {"warm"}


def test_the_report_loads_nothing_and_links_only_what_is_in_it(quickstart):
    report = quickstart.store.report_path
    html = report.read_text()
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", html) and "@import" not in html
    targets = re.findall(r'href="([^"]+)"', html)
    assert any(target.startswith("#") for target in targets)
    assert [target for target in targets if not target.startswith(("#", "data:"))] == []
    anchors = set(re.findall(r'id="([^"]+)"', html))
    assert [target for target in targets if target.startswith("#") and target[1:] not in anchors] == []
    assert "random weights" in html.lower() and "How do latency and throughput trade off" in html


def test_the_values_of_a_record_are_those_of_its_raw_file(quickstart):
    folders = [path.parent for path in quickstart.store.run_dir.glob("cases/*/repeat=*/raw.json")]
    assert len(folders) >= len(quickstart.of("serve", "latency", "throughput"))
    for folder in folders:
        assert_values_equal_the_raw_file(folder)


def test_no_key_stands_in_any_file_of_the_run(quickstart):
    """The key is random, so its shape is looked for where it would be: after Bearer, or as the value of *_API_KEY."""
    for path in quickstart.store.run_dir.rglob("*"):
        if path.is_file():
            text = path.read_text(errors="replace")
            assert SECRET not in text, path
            assert not re.search(r"Bearer [A-Za-z0-9_-]{16,}|API_KEY['\"]?\s*[:=]\s*['\"]?[A-Za-z0-9_-]{16,}", text), (
                path
            )


@pytest.mark.parametrize(("form", "num_rows"), [("csv", NUM_REPEATS + 1), ("json", NUM_REPEATS), ("md", NUM_CASES)])
def test_a_table_has_one_row_a_repeat_for_programs_and_one_a_case_for_people(quickstart, form, num_rows):
    text = command_line("table", "quickstart", "--format", form)
    lines = text.strip().splitlines()
    found = {"csv": lines, "md": [line for line in lines if "VALID" in line or "SUSPECT" in line]}
    assert len(json.loads(text) if form == "json" else found[form]) == num_rows


def command_line(*words):
    command = [sys.executable, "-m", "benchbook", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=LIMIT_S).stdout


SAID = {"benchbook report quickstart": "report.html", "benchbook list": "quickstart/"}
# A notebook that is executed by hand starts a vLLM of its own: in `make test` the scripted one, since the sweep's has shown
# the real one already.
SCRIPTED = {} if IS_FULL else {"PYTHONPATH": f"{FAKE_PACKAGE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


@pytest.mark.parametrize("command", [command for command in commands() if command not in NOT_HERE])
def test_a_command_of_the_readme_or_a_page_works_and_leaves_nothing_alive(quickstart, command, tmp_path):
    before = quickstart.store.report_path.stat().st_mtime_ns
    env = {**environment(str(tmp_path)), **(SCRIPTED if command.startswith("papermill") else {})}
    done = subprocess.run(command, shell=True, cwd=ROOT, env=env, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert SAID.get(command, "") in done.stdout and SECRET not in done.stdout + done.stderr
    is_built_again = quickstart.store.report_path.stat().st_mtime_ns > before
    assert is_built_again is (command == "benchbook report quickstart")
    assert wait_nothing_left(tmp_path) == []


def test_the_two_commands_of_the_readme_are_there():
    assert {"make quickstart", "make test", "make lab"} <= set(commands())


def answers(url, limit_s=30.0):
    """Return the status of `url` as soon as somebody listens; Jupyter prints its address a moment earlier."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=limit_s) as answer:
                return answer.status
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_make_lab_opens_jupyterlab_on_this_machine_only(tmp_path):
    process = subprocess.Popen(
        ["make", "lab"],
        cwd=ROOT,
        env=environment(str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        url = next(
            match[0] for line in process.stdout if (match := re.search(r"http://127\.0\.0\.1:\d+/\S*token=\S+", line))
        )
        assert answers(url) == 200
        port = int(re.search(r":(\d+)/", url)[1])
        listening = [
            each.laddr.ip
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port
        ]
        assert set(listening) == {"127.0.0.1"}
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
    assert wait_nothing_left(tmp_path) == []
