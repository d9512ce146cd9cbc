"""Mutated experiment files through the commands: each runs, or is refused at once, in lines of ours, and starts nothing."""

from __future__ import annotations

import contextlib
import random
import subprocess
from pathlib import Path

import pytest
import yaml
from benchbook.cli import app
from benchbook.hosts.vllm.forms import dataset_forms
from benchbook.measure import hardware
from benchbook.records.header import RunState
from benchbook.sweep import run, session
from benchbook.sweep.runner import Runner
from benchbook.terms.errors import BenchbookError, ExperimentError
from mutations import mutated_bytes, mutated_value
from rows import rows
from test_damaged_results import within_limits
from typer.testing import CliRunner

EACH = 20
EXPERIMENTS = sorted((Path(__file__).parents[3] / "experiments").glob("*.yaml"))
TEXTS = [path.read_text() for path in EXPERIMENTS] + [
    """
question: Does a revision matter?
model: {hub: org/name, revision: main}
device: cpu
launches:
  a: {args: {max_model_len: 4k, dtype: float32, compilation_config: {mode: 3}}, env: {VLLM_CPU_KVCACHE_SPACE: 1}}
  b: {model: tiny, args: {enable_prefix_caching: false, override_generation_config: '{"top_k": 1}'}}
benchmarks:
  - first_request: {prompt: "Say hello", max_tokens: 8}
  - serve: {request_rate_rps: [1.5, 4], lengths: [[16, 8]], num_prompts: 20, exclude: [{request_rate_rps: 4}], launches: [b]}
  - latency: {batch_size: [1, 8], lengths: [[16, 8]], num_iters: 5}
  - throughput: {num_prompts: [64], lengths: [[16, 8]]}
repeats: {at_least: 2, at_most: 5, until: {output_throughput_tok_s: 2 %}}
slo: {p99_ttft_ms: 500, p50_tpot_ms: 50}
limits: {ready_s: 60, benchmark_s: 100}
""",
]
WORDS = (
    "null", "~", "yes", "off", "1e5", "0x10", "010", "1:30", "1_000", ".inf", ".nan", "-1", "99999999999999999999", "!!python/name:os",
    "!x y", "&a b", "*a", "<<: {}", "? x", "- -", "{", "}", "[", "'", '"', "%YAML 9", "---", "...", "|", ">", "@x", "`x`", "\t", "$HOME",
    "2026-11-23", "10 per concurrency", "60 s", "5 per rps", "inf", "1 to 16", "9999999 per concurrency", "2 %", "~nobody/x", "../..", "/dev/zero", "/etc", "http://[", "\u202e",
    "[[1]]", "{a: {b: [{}]}}", "128k", "true", "''", "\ufeff", "tiny", "shape:nothing", "x" * 400,
)  # fmt: skip


def mutated(text: str, draw: random.Random) -> bytes:
    """Return `text` with its bytes, its lines, its words or its values changed."""
    how = draw.choice(("bytes", "lines", "words", "words", "values", "values", "values"))
    if how == "bytes":
        return mutated_bytes(text.encode(), draw)
    if how == "values":
        try:
            return yaml.safe_dump(mutated_value(yaml.safe_load(text), draw), allow_unicode=True).encode(
                errors="replace"
            )
        except (ValueError, RecursionError):  # what YAML has no form for
            return mutated_bytes(text.encode(), draw)
    parts = text.splitlines(keepends=True) if how == "lines" else text.split(" ")
    for _ in range(draw.choice((1, 1, 2, 4))):
        place = draw.randrange(len(parts))
        kind = draw.randrange(4)
        if kind == 0:
            del parts[place]
        elif kind == 1:
            parts.insert(place, draw.choice(parts))
        elif kind == 2:
            parts[place] = draw.choice(WORDS) + ("\n" if how == "lines" else "")
        else:
            parts[place] = draw.choice((" ", "  ", "- ", "#", "\t")) + parts[place]
        parts = parts or [""]
    return ("" if how == "lines" else " ").join(parts).encode(errors="replace")


@pytest.fixture
def started(monkeypatch) -> list[str]:
    """Return the list of what was started; nothing is, and no hub is asked."""
    found: list[str] = []

    def execute(runner: Runner) -> str:
        found.append(runner.plan.experiment.name)
        return RunState.INTERRUPTED

    def popen(*words: object, **_: object) -> None:
        raise AssertionError(f"a process was started: {words}")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(Runner, "execute", execute)
    monkeypatch.setattr(run, "warm_kernels", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(session, "peaks_before_start", lambda *_: None)
    monkeypatch.setattr(hardware, "peaks_before_start", lambda *_: None)
    monkeypatch.setattr(session, "load_ahead", lambda *_: None)
    monkeypatch.setattr(session, "freeze", lambda *_: {})  # draws by a process of its own, once all is checked
    CliRunner().invoke(app, ["plan", str(EXPERIMENTS[0])])  # what asks other programs once is asked now
    dataset_forms()
    monkeypatch.setattr(subprocess, "Popen", popen)
    return found


def refusal_of(*words: str) -> str | None:
    """Return what a command refuses its file with, None where it takes it; anything else fails."""
    with within_limits():
        try:
            done = CliRunner().invoke(app, list(words), catch_exceptions=False)
        except ExperimentError as refused:
            return str(refused)
        except BenchbookError as other:
            raise AssertionError(f"{type(other).__name__}: {other}") from other
    assert done.exit_code in (0, 130), done.output
    return None


@pytest.mark.parametrize("first", rows(range(0, 2_000, EACH), quick=range(0, 60, EACH)))
def test_a_mutated_file_is_run_or_refused_in_lines_and_then_nothing_was_started(started, tmp_path, monkeypatch, first):
    monkeypatch.chdir(tmp_path)
    for number in range(first, first + EACH):
        draw = random.Random(number)
        path, results = tmp_path / f"file-{number}.yaml", tmp_path / f"results-{number}"
        path.write_bytes(mutated(draw.choice(TEXTS), draw))
        print(number)  # of which file a failure is
        planned = refusal_of("plan", str(path), "--results", str(results))
        refused = refusal_of("run", str(path), "--results", str(results))
        if refused is None:
            assert planned is None and len(started) == 1 and results.is_dir()
        else:
            assert not started and not results.exists()
            for line in refused.splitlines():
                assert line.isprintable() and len(line) < 2_000
        started.clear()
