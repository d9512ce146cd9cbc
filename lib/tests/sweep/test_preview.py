"""`benchbook plan`: what would be started, how often, and in which order."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from benchbook.records.files import write_json
from benchbook.records.header import RunHeader, RunState
from benchbook.records.record import Identity
from benchbook.records.store import EXPERIMENT_FILE, Store
from benchbook.sweep.earlier_runs import unreported_run
from benchbook.sweep.planning import RunPlan
from benchbook.sweep.preflight import preflight_of
from benchbook.sweep.preview import preview
from benchbook.sweep.run_command import run_command
from report_runs import make_record
from rich.console import Console

TEXT = """
question: Is the second launch faster?
model: {model}
launches: {launches}
benchmarks: {benchmarks}
repeats: 3
"""
BENCHMARKS = "[serve: {max_concurrency: [1, 2], lengths: [[8, 4]], num_prompts: 4}]"


@pytest.fixture
def write(tmp_path, fake_model):
    """Return a function that writes an experiment with these launches and returns its path."""

    def written(launches: str = "{a: {}}", benchmarks: str = BENCHMARKS) -> Path:
        path = tmp_path / "exp.yaml"
        path.write_text(TEXT.format(model=fake_model, launches=launches, benchmarks=benchmarks))
        return path

    return written


@pytest.fixture
def preview_text(tmp_path, write):
    """Return a function that returns what is printed for an experiment with these launches."""

    def printed(*texts: str, with_commands: bool = False, **console: Any) -> str:
        out = io.StringIO()
        preview(write(*texts), tmp_path / "results", Console(file=out, **{"width": 200, **console}), with_commands)
        return out.getvalue()

    return printed


def test_a_single_launch_is_started_once(preview_text):
    text = preview_text("{a: {}}")
    assert "1 launch, 2 cases, 3 repeats each: 6 measurements on 1 start," in text and "take turns" not in text


def test_launches_that_are_compared_are_shown_once_with_their_turns(preview_text):
    text = preview_text("{a: {}, b: {}}", with_commands=True)
    assert "2 launches, 4 cases, 3 repeats each: 12 measurements on 6 starts" in text
    assert text.count("server of launch 'a'") == 1 and "3 starts" in text
    assert "each round with a fresh start: a server, b server, b server, a server, a server, b server" in text


def test_a_comparison_of_few_rounds_is_told_what_it_can_see_before_its_time_is_spent(preview_text, write, tmp_path):
    said = "3 rounds see large differences between launches only: leave repeats out for 8"
    assert said in preview_text("{a: {}, b: {}}") and said not in preview_text("{a: {}}")
    path = write("{a: {}, b: {}}")
    path.write_text(path.read_text().replace("repeats: 3\n", ""))
    out = io.StringIO()
    preview(path, tmp_path / "results", Console(file=out, width=200), False)
    assert "8 repeats each" in out.getvalue() and "large differences" not in out.getvalue()
    path.write_text(path.read_text() + "repeats: 2\n")
    preview(path, tmp_path / "results", Console(file=out, width=200), False)
    assert "2 rounds can claim no difference between launches, however large (3 are the least)" in out.getvalue()


@pytest.mark.parametrize(
    ("launches", "is_said"),
    [
        ("{a: {}, b: {}}", True),
        ("{a: {args: {enforce_eager: true}}, b: {}}", True),
        ("{a: {args: {enforce_eager: true}}, b: {args: {enforce_eager: true, max_num_seqs: 4}}}", False),
        ("{a: {}}", False),
    ],
)
def test_that_starts_share_what_is_compiled_is_told_beforehand(preview_text, launches, is_said):
    assert ("Starts share caches on disk: what was compiled" in preview_text(launches)) is is_said


def test_what_two_launches_differ_in_is_told_before_anything_starts(preview_text):
    text = preview_text("{a: {args: {max_num_seqs: 8}}, b: {env: {OMP_NUM_THREADS: 1}}}")
    assert "b differs from a in 2 settings, any of which may be the cause: max_num_seqs not set (a: 8); OMP_" in text


MIXED = """
  - latency: {batch_size: [8, 1], lengths: [8, 4], num_iters: 5}
  - serve: {request_rate_rps: [10, 2.5], lengths: [8, 4], num_prompts: 4, burstiness: [1.0, 0.5]}
  - serve: {max_concurrency: [16, 2, 1], lengths: [8, 4], num_prompts: 10 per concurrency, num_warmup_prompts: 0}
  - first_request: {}
"""


def rows_of(text: str, heading: str) -> list[list[str]]:
    lines = text.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith(heading)) + 1
    return [re.split(r"  +", line.strip()) for line in lines[first : lines.index("", first)]]


def test_the_cases_are_a_table_sorted_by_benchmark_and_rising_load(preview_text):
    rows = rows_of(preview_text("{a: {}}", MIXED), "benchmark")
    assert [row[2] for row in rows] == [
        *("a batch of 1", "a batch of 8"),
        *("2.5 req/s", "2.5 req/s, burstiness 0.5", "10 req/s", "10 req/s, burstiness 0.5"),
        *("1 in flight", "2 in flight", "16 in flight"),
        "3",  # the first request has no tokens, and its load stands in their place
    ]
    assert rows[-2] == ["serve", "8/4", "16 in flight", "3", "160", "10 for each in flight; no warm-up, as asked"]
    assert rows[0][-1] == "5 batches after 10 to warm up" and rows[-1][:2] == ["first_request", "one request"]


@pytest.mark.parametrize("columns", [80, 100])
def test_on_a_terminal_the_reasons_go_on_below_and_nothing_is_cut(preview_text, columns):
    text = preview_text("{a: {}, b: {}}", MIXED, width=columns, force_terminal=True, color_system=None)
    lines = text.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("launch "))
    table = lines[first : lines.index("", first)]
    assert all(len(line) <= max(columns, 95) for line in table) and "…" not in text
    assert sum(line.startswith(("a ", "b ")) for line in table) == 20
    why = lines[first].index("why")
    reasons = " ".join(line[why:].strip() for line in table)
    assert reasons.count("10 for each in flight; no warm-up, as asked") == 6


def test_a_share_of_throughput_says_what_it_is_of_and_shows_no_rate_before_that_is_known(preview_text):
    share = "[serve: {request_rate_rps: 80 % of throughput, lengths: [[8, 4]], num_prompts: 4}]"
    text = preview_text("{a: {}}", share)
    assert "what 0.8 of throughput is of, first in each round" in text and "answers in its first repeat" in text
    assert "1 launch, 2 cases" in text
    commands = preview_text("{a: {}}", share, with_commands=True)
    assert "--request-rate RATE" in commands and "RATE is a share of the throughput" in commands
    assert commands.count("--request-rate inf") == 1


def test_beside_a_command_that_the_clock_ends_it_says_that_the_command_by_itself_sends_all(preview_text):
    serve = "serve: {lengths: [[8, 4]], max_concurrency: 1, num_prompts: 4, ends_after_s: 2.5}"
    text = preview_text("{a: {}}", f"[{serve}]", with_commands=True)
    assert "(the warm client ends it after 2.5 s: by itself this command sends all)" in text


def test_of_a_set_it_says_how_a_server_is_sent_it_or_an_engine_given_it(preview_text):
    sets = "\nrequests: {sent: {lengths: [8, 4]}, both: {lengths: [8, 4]}, given: {lengths: [8, 4]}}"
    serve = "serve: {requests: [sent, both], max_concurrency: 1, num_prompts: 4}"
    text = preview_text("{a: {}}" + sets, f"[{serve}, throughput: {{requests: [both, given], num_prompts: 4}}]")
    lines = {line.split("'")[1]: line for line in text.splitlines() if line.startswith("Requests ")}
    assert all("sent to completions" in lines[name] and "temperature 0" in lines[name] for name in ("sent", "both"))
    assert "given to an engine all at once" in lines["given"] and "temperature 1" in lines["given"]


def test_commands_are_shown_when_asked_for_and_only_then(preview_text):
    assert "vllm serve" not in preview_text() and "--commands" in preview_text()
    text = preview_text(with_commands=True)
    assert text.count("$ vllm serve") == 1 and text.count("$ vllm bench serve") == 2


@pytest.fixture
def unfinished(tmp_path, write):
    """Return a run of the experiment of which four of six repeats are measured."""
    plan = RunPlan.of(preflight_of(write()).experiment)
    store = Store.create(tmp_path / "results", "exp")
    for planned in plan.cases.values():
        for repeat in range(2):
            identity = Identity(
                launch=planned.case.launch,
                case_id=planned.case.case_id,
                fingerprint=planned.fingerprint,
                fingerprint_parts=planned.parts,
                repeat=repeat,
            )
            record = make_record(identity, "serve", planned.case.workload.model_dump())
            store.save(planned.key, record)
            raw = {"output_throughput": record.values["output_throughput_tok_s"]}
            write_json(store.repeat_dir(planned.key, repeat) / record.raw_file, raw)
    store.write_header(
        RunHeader(run_id=store.run_id, experiment="exp", state=RunState.INTERRUPTED, plan=plan.for_header())
    )
    return store


def test_it_says_which_run_would_be_continued_and_what_of_it_is_kept(preview_text, unfinished):
    text = preview_text()
    assert f"would continue exp/{unfinished.run_id} (interrupted): 4 of 6 measurements are kept" in text
    assert "--new starts afresh" in text


def test_a_target_of_a_run_that_goes_on_is_not_said_to_be_of_one_start(preview_text, unfinished, monkeypatch):
    until = TEXT.replace("repeats: 3", "repeats: {{at_most: 9, until: {{output_throughput_tok_s: 2 %}}}}")
    monkeypatch.setitem(globals(), "TEXT", until)
    assert "is known to ±2 % for the starts that it has by then: " in preview_text()
    unfinished.write_header(unfinished.header().model_copy(update={"state": RunState.FINISHED}))
    assert "is known to ±2 % for this one start: " in preview_text()


def test_a_run_that_is_going_on_is_not_said_to_be_continued(preview_text, unfinished):
    unfinished.write_header(unfinished.header().model_copy(update={"state": RunState.RUNNING}))
    with unfinished.locked():
        text = preview_text()
    assert f"exp/{unfinished.run_id} is being measured now: 4 of 6" in text and "would continue" not in text


@pytest.mark.parametrize(
    ("results", "options", "said"),
    [
        ("results", {}, "benchbook run x.yaml"),
        ("kept here", {}, "benchbook run x.yaml '--results=kept here'"),
        ("results", {"only": ["a", "b=1"], "share_gpu": True}, "benchbook run x.yaml --only=a --only=b=1 --share-gpu"),
        (
            "results",
            {"sets": ["seed=1", "slo={p99_ttft_ms: 5}"]},
            "benchbook run x.yaml --set=seed=1 '--set=slo={p99_ttft_ms: 5}'",
        ),
    ],
)
def test_a_command_that_is_named_says_all_that_was_asked_for(results, options, said):
    assert run_command(Path("x.yaml"), Path(results), **options) == said


def test_of_a_finished_run_without_a_report_only_that_is_written_while_its_file_is_the_same(preview_text, unfinished):
    unfinished.write_header(unfinished.header().model_copy(update={"state": RunState.FINISHED}))
    file = unfinished.run_dir.parents[2] / "exp.yaml"
    (unfinished.run_dir / EXPERIMENT_FILE).write_text(file.read_text())
    assert f"exp/{unfinished.run_id} is measured, and only its report is missing" in preview_text()
    assert unreported_run(file, unfinished.run_dir.parents[1]).run_dir == unfinished.run_dir
    (unfinished.run_dir / EXPERIMENT_FILE).write_text(file.read_text() + "\n# another")
    assert unreported_run(file, unfinished.run_dir.parents[1]) is None
    unfinished.report_path.write_text("")
    (unfinished.run_dir / EXPERIMENT_FILE).write_text(file.read_text())
    assert unreported_run(file, unfinished.run_dir.parents[1]) is None
    assert "is not extended" in preview_text()


def test_a_finished_run_is_not_continued(preview_text, unfinished):
    unfinished.write_header(unfinished.header().model_copy(update={"state": RunState.FINISHED}))
    text = preview_text()
    assert "would continue" not in text
    assert f"exp/{unfinished.run_id} is finished and is not extended: a new run keeps nothing of it." in text


@pytest.mark.parametrize(
    ("prompts", "said"), [(60, "SLO: it asks a p99, which 60 prompts do not earn and 662 do"), (700, "")]
)
def test_an_slo_on_a_tail_that_the_prompts_do_not_earn_is_told_before_it_is_measured(
    tmp_path, fake_model, prompts, said
):
    path = tmp_path / "exp.yaml"
    path.write_text(
        f"question: q\nmodel: {fake_model}\nlaunches: {{a: {{}}}}\nslo: {{p99_ttft_ms: 300, median_tpot_ms: 20}}\n"
        f"benchmarks: [serve: {{max_concurrency: 1, lengths: [8, 4], num_prompts: {prompts}}}]\n"
    )
    out = io.StringIO()
    preview(path, tmp_path / "results", Console(file=out, width=200))
    assert [line for line in out.getvalue().splitlines() if line.startswith("SLO")] == ([said] if said else [])
