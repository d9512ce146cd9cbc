"""Damaged results: every command names what it could not read and goes on with the rest; none hangs, none breaks."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from benchbook.cli import app
from benchbook.records.conditions import Conditions
from benchbook.records.files import write_json
from benchbook.records.store import EXPERIMENT_FILE
from benchbook.records.telemetry import write_telemetry
from benchbook.report import cells, markup
from benchbook.report.failures import failures_html
from benchbook.report.published import published_html
from benchbook.report.roofline_figures import timeline_of
from benchbook.report.run import REMARK_FILE, load_run
from benchbook.terms.errors import BenchbookError
from benchbook.terms.plain import plain
from damages import DAMAGES, HEADERS, edit
from measured import serve
from mutations import damage_folder
from parts import having
from report_runs import failed, make_run
from rows import rows
from typer.testing import CliRunner

LIMIT_S = 3.0  # of this process's own time: the machine may be busy with other things
HANG_S = 120  # by the clock, which a busy machine stretches: what waits takes none of its own time
REFERENCE = Path(__file__).parents[3] / "results" / "reference"
SHOWN = [name for name in dir(cells) if name.startswith("show_")]
DRAWN = ("show_throughput", "show_latency", "show_tradeoff", "show_floor")  # they cost more than all others together
COMMANDS = (
    ["list"],
    ["list", "--format", "json"],
    ["show", "RUN"],
    ["table", "RUN"],
    ["table", "RUN", "--format", "csv"],
    ["table", "RUN", "--format", "json"],
    ["table", "RUN", "--format", "md"],
    ["compare", "RUN", "A", "B"],
    ["compare", "RUN", "A", "B", "--format", "json"],
)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Return a run of two launches with all that a record can hold: telemetry, raw files, counters, limits."""
    peaks = {"kind": "measured", "bandwidth_gb_s": 20.0, "tflops": {"float32": 0.2}, "source": "a probe"}
    config = {
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_hidden_layers": 2,
        "num_key_value_heads": 4, "vocab_size": 512, "dtype": "float32",
    }  # fmt: skip
    gpu = {
        "index": 0, "name": "A GPU", "throttled_share": {"power_cap": 0.2}, "mean_power_w": 300.0, "mean_sm_clock_mhz": 1700.0,
        "min_sm_clock_mhz": 1500, "max_temperature_c": 60, "max_memory_used_gib": 40.0, "mean_utilisation_pct": 90.0,
    }  # fmt: skip
    telemetry = {
        "server": {"samples": 9, "mean_running": 3.5, "mean_waiting": 0.0, "max_kv_use_ratio": 0.4, "preemptions": 0.0},
        "gpus": [gpu], "gpu_processes": [{"gpu": 0, "kind": "ours", "pid": 7, "name": "python"}], "energy_j": 900.0,
        "absent": {}, "window_s": 9.0,
    }  # fmt: skip
    host = {
        "argv": ["vllm", "serve", "tiny", "--dtype", "float32", "--tensor-parallel-size", "1"], "env": {"OMP_NUM_THREADS": "2"},
        "peaks": peaks, "model_config": config, "counters": {"prompt_tokens": 1280.0}, "telemetry": telemetry,
        "facts": {"kv_cache_tokens": 16384, "weights_gib": 0.1, "dtype": "float32"}, "greedy_outputs": ["a", "b"],
        "ready_utc": "2026-11-23T20:14:00+00:00",
    }  # fmt: skip
    conditions = {
        "client": {"cpu_cores": 0.4, "loop_lag_median_ms": 1.0, "chunks_per_s": 90.0, "ceiling_chunks_per_s": 9000.0},
        "machine": {"cpus": 2, "other_cpu_share": 0.01, "own_cpu_share": 0.8}, "limits": {"open_files": 1024, "ports": 28232},
        "compile_lines": [], "counters_went_back": [], "kv_usage_max_pct": 12.0, "warmup_prompts": 16,
    }  # fmt: skip

    def change(record):
        if record.identity.case_id.startswith("compiled,latency") and record.identity.repeat == 1:
            return failed(record)
        return record.model_copy(update={"host": having(record.host, **host), "conditions": Conditions(**conditions)})

    folder = make_run(
        tmp_path_factory.mktemp("made"), launches=("eager", "compiled"), concurrencies=(1, 4), rates=(20.0,),
        repeats=2, change=change, slo={"p99_ttft_ms": 500.0, "mean_tpot_ms": 50.0},
    )  # fmt: skip
    (folder / "remark.txt").write_text("Measured beside another run.")
    (folder / "experiment.yaml").write_text("question: x\n")
    samples = {
        "period_s": 0.1, "zero_perf_counter_s": 100.0, "epoch_s": 1.7e9, "absent": {}, "missed_samples": 0, "sampler_cpu_s": 0.1,
        "server": {"t_s": [0.0, 0.1, 0.2], "running": [1.0, 4.0, 2.0], "generation_tokens": [0.0, 8.0, 30.0]},
        "gpus": [], "gpu_processes": [],
    }  # fmt: skip
    for path in folder.glob("cases/*,serve,*/repeat=*/record.json"):
        write_telemetry(path.with_name("telemetry.json.gz"), samples)
        write_json(path.with_name("raw.json"), dict(serve(cap=4, prompts=12).raw))
    return folder


@pytest.fixture
def whole(made, tmp_path) -> Path:
    """Return a copy of that run, to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "results" / made.parent.name / made.name))


@contextlib.contextmanager
def within_limits() -> Iterator[None]:
    """Fail what takes longer than it may, and end what hangs."""

    def hung(*_: object) -> None:
        raise TimeoutError("it hangs")

    before, started_s = signal.signal(signal.SIGALRM, hung), time.process_time()
    signal.alarm(HANG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert time.process_time() - started_s < LIMIT_S


def output_of(run_dir: Path, *words: str, launches: tuple[str, str] = ("eager", "compiled")) -> tuple[int, str]:
    """Run a command on the run in `run_dir`; return its exit code and all that it says, a refusal of ours among it."""
    results = run_dir.parent.parent
    names = {"RUN": str(run_dir.relative_to(results)), "A": launches[0], "B": launches[1]}
    with within_limits():
        try:
            done = CliRunner().invoke(app, [*(names.get(word, word) for word in words), "--results", str(results)],
                                      catch_exceptions=False)  # fmt: skip
        except BenchbookError as refusal:
            assert str(refusal) and "\n" not in str(refusal)
            return 2, str(refusal)
    return done.exit_code, done.output


def report_of(run_dir: Path, monkeypatch, sections: Sequence[str] = SHOWN) -> str:
    """Return the markup of these sections of a report of the run in `run_dir`, of all by default."""
    shown = io.StringIO()
    for module in (cells, markup):
        monkeypatch.setattr(module, "show", lambda content: shown.write(str(content)))
    with within_limits():
        run = load_run(run_dir)
    for name in sections:
        with within_limits():
            getattr(cells, name)(run)
    return markup.with_drawings(shown.getvalue())


@pytest.mark.parametrize("seed", rows(range(500), quick=(0, 1, 4)))
def test_whatever_is_damaged_every_command_goes_on_with_the_rest(whole, seed, monkeypatch):
    draw, launches = random.Random(seed), ("eager", "compiled")
    if seed % 5 == 4:  # a real run
        reference = sorted(path.parent for path in REFERENCE.glob("*/run.json"))[seed % 3]
        whole = Path(shutil.copytree(reference, whole.parent / reference.name))
        names = sorted(json.loads((whole / "run.json").read_text())["launches"])
        launches = (names[0], names[-1])
    told = damage_folder(whole, draw)
    print(told)
    for words in COMMANDS:
        output_of(whole, *words, launches=launches)
    page = report_of(whole, monkeypatch, [name for name in SHOWN if name not in DRAWN or seed % 4 == 0])
    assert "<script" not in page and "\u202e" not in page and "\x1b" not in page
    page.encode()


# ---- each damage is told with its file, and takes nothing else along


READERS = (["show", "RUN"], ["table", "RUN"], ["compare", "RUN", "A", "B"])


# All of them are before a run that goes on in test_runner.py.
@pytest.mark.parametrize(("number", "name"), rows(enumerate(DAMAGES), quick=25), ids=str)
def test_a_damaged_record_is_named_by_its_readers_and_the_others_are_shown(whole, number, name):
    paths = sorted(whole.glob("cases/*,serve,*max_concurrency=4*/repeat=1/record.json"))
    DAMAGES[name](paths[0], paths[1])
    is_seen = name not in SEEN_BY_RUN
    code, said = output_of(whole, *READERS[number % len(READERS)])
    assert code == 0 and (str(paths[0].relative_to(whole)) in said) is is_seen
    run = load_run(whole)
    assert (len(run.damage), len(run.records)) == ((1, 39) if is_seen else (0, 40))


# What only the raw file or the experiment's file tells: `run` measures it again, see test_runner.py.
SEEN_BY_RUN = (
    "of other values than its raw file", "of an unknown metric", "without values", "of other parts of its fingerprint",
)  # fmt: skip


@pytest.mark.parametrize(("number", "name"), rows(enumerate(HEADERS), quick=15), ids=str)
def test_a_damaged_header_is_named_and_takes_no_record_along(whole, number, name):
    HEADERS[name](whole / "run.json")
    for words in (["list"], READERS[number % len(READERS)]):
        code, said = output_of(whole, *words)
        assert code == 0 and "run.json" in said
    assert output_of(whole, "list")[1].count("38/?") == 1
    run = load_run(whole)
    assert len(run.records) == 40 and not run.missing
    assert "run.json" in failures_html(run)


def test_one_damaged_run_takes_no_other_off_the_list(whole):
    for number, damage in enumerate(HEADERS.values()):
        other = shutil.copytree(whole, whole.parent / f"damaged-{number}", ignore=shutil.ignore_patterns("repeat=*"))
        damage(Path(other, "run.json"))
    said = output_of(whole, "list")[1]
    assert f"{whole.parent.name}/{whole.name}  finished" in said
    assert all(f"damaged-{number} " in said for number in range(len(HEADERS)))


@pytest.mark.parametrize(
    "question",
    ["Is [/v1/completions] faster than [/v1/chat]?", "Is [on/off] [red]better[/red]?", "[bold]x", "[/]", "a | b"],
)
def test_a_question_is_shown_with_its_brackets_by_every_command(whole, question):
    edit(whole / "run.json", question=question)
    for words in (["list"], ["show", "RUN"], ["table", "RUN"]):
        assert question in output_of(whole, *words)[1]


HARMFUL = "ok\x1b[2J\x1b]0;title\x07 \u202egpj.exe\u202c \u2066x\u2069 \x9b31m"


def test_nothing_that_a_run_holds_moves_a_cursor_or_turns_letters_around(whole, monkeypatch):
    edit(whole / "run.json", question=HARMFUL)
    (whole / "remark.txt").write_text(HARMFUL)
    path = next(whole.glob("cases/*,latency,*/repeat=0/record.json"))
    reason = {"code": "machine_busy", "severity": "suspect", "evidence": HARMFUL}
    edit(path, reasons=[reason], verdict="SUSPECT")
    texts = [output_of(whole, *words)[1] for words in (["list"], *READERS)]
    page = report_of(whole, monkeypatch, ["show_question", "show_answer", "show_reasons"])
    for text in (*texts, page):
        assert "gpj.exe" in text and plain(text) == text


def test_damaged_published_figures_are_named_and_the_others_shown(whole, tmp_path):
    folder = tmp_path / "published"
    shutil.copytree(REFERENCE.parent / "published", folder)
    for number, content in enumerate(("", "[]", '{"name": 1, "records": [1]}', '{"records": {}}', "\x00")):
        (folder / f"damaged-{number}.json").write_text(content)
    os.mkfifo(folder / "pipe.json")
    page = published_html(load_run(whole), folder)
    assert page.count("Left out: ") == 6 and "pipe.json is a FIFO" in page


@pytest.mark.parametrize("size", [64 * 1024 + 1, 8 * 1024**4], ids=["too long", "a hole"])
@pytest.mark.parametrize("name", [EXPERIMENT_FILE, REMARK_FILE])
def test_what_a_person_wrote_and_nobody_can_read_is_named_where_it_would_stand(whole, monkeypatch, name, size):
    with (whole / name).open("wb") as stream:
        stream.truncate(size)
    page = report_of(whole, monkeypatch, ["show_answer", "show_provenance"])
    assert page.count("cannot be shown: ") == 1 and f"{name} has {size:,} bytes" in page


@pytest.mark.parametrize("flipped", range(3))
def test_of_damaged_samples_another_repeat_is_drawn_and_the_file_named(whole, flipped):
    run = load_run(whole)
    served = [record for record in run.records if record.benchmark == "serve"]
    fastest = max(served, key=lambda record: record.values["output_throughput_tok_s"])
    best = whole / run.repeat_path(fastest, "telemetry.json.gz")
    content = bytearray(best.read_bytes())
    if flipped == 2:
        content = bytearray(gzip.compress(json.dumps({"server": {"t_s": [0.0]}, "gpus": [7]}).encode()))
    else:
        content[(20, -6)[flipped]] ^= 255
    best.write_bytes(content)
    drawn, damage = timeline_of(load_run(whole))
    assert drawn is not None and len(damage) == 1 and str(best) in damage[0]
