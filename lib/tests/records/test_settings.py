"""What a command asks of its engine is read once, by neutral names; no check knows a flag."""

from __future__ import annotations

import ast
from pathlib import Path

import benchbook.judge
import pytest
from benchbook.records import settings
from benchbook.records.host import HostFacts
from benchbook.records.settings import settings_in, settings_of


def of(*words: str, **env: str) -> settings.Settings:
    return settings_of(HostFacts(argv=("vllm", "serve", "m", *words), env=env))


def test_what_a_command_does_not_say_is_left_to_the_engine():
    asked = of()
    assert (asked.shards, asked.stages, asked.replicas, asked.devices) == (1, 1, 1, 1)
    assert asked.most_running is asked.most_step_tokens is asked.dtype is asked.quantization is asked.kv_dtype is None
    assert not (asked.speculation or asked.has_told_blocks or asked.has_dummy_weights or asked.guards_down)
    assert settings_of(HostFacts()) == asked


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-tp", "4", "--data-parallel-size=2"], {"shards": 4, "replicas": 2}),
        (["--tensor-parallel-size", "8", "--pipeline-parallel-size", "2"], {"shards": 8, "stages": 2, "devices": 16}),
        (["--tensor-parallel-size", "all"], {"shards": 1, "devices": None}),
        (["--max-num-seqs", "64", "--max-num-active-seqs", "16"],
         {"most_running": 16, "most_running_name": "max_num_active_seqs"}),
        (["--max-num-seqs", "many"], {"most_running": None, "most_running_name": "max_num_seqs"}),
        (["--performance-mode", "throughput", "--max-num-batched-tokens", "8192"],
         {"prefers_throughput": True, "most_step_tokens": 8192}),
        (["-q", "fp8", "--dtype", "half", "--kv-cache-dtype", "fp8"],
         {"quantization": "fp8", "dtype": "half", "kv_dtype": "fp8"}),
        (["--speculative-config", "{}"], {"speculation": "--speculative-config {}"}),
        (["--load-format", "DUMMY"], {"has_dummy_weights": True}),
    ],
)  # fmt: skip
def test_a_command_says_by_its_flags_what_is_asked(words, told):
    asked = of(*words)
    assert {name: getattr(asked, name) for name in told} == told


def test_settings_that_change_the_text_or_the_cache_are_told_from_those_of_speed():
    assert of("--seed", "1").of_text != of("--seed", "2").of_text == of("--seed", "2", "--enforce-eager").of_text
    assert of("--max-num-seqs", "1").of_kv_cache == of().of_kv_cache != of(VLLM_CPU_KVCACHE_SPACE="2").of_kv_cache


def test_a_guard_is_down_by_a_flag_or_by_a_variable_that_is_on():
    assert list(of("--trust-remote-code", VLLM_SERVER_DEV_MODE="1").guards_down) == [
        "--trust-remote-code",
        "VLLM_SERVER_DEV_MODE=1",
    ]
    assert not of(VLLM_SERVER_DEV_MODE="0").guards_down


def test_a_launch_says_the_same_by_its_args():
    asked = settings_in({"tensor_parallel_size": 2, "max_num_seqs": 8})
    assert (asked.shards, asked.most_running, asked.devices) == (2, 8, 2)


def test_no_check_names_a_flag_or_a_variable_of_an_engine():
    flags = {name for name in _texts(Path(settings.__file__)) if name.count("_") > 1 and name.isidentifier()}
    assert len(flags) > 15
    for path in Path(benchbook.judge.__file__).parent.glob("*.py"):
        assert not flags & _texts(path), path


def _texts(path: Path) -> set[str]:
    """Return the texts that stand in quotes in a module."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
