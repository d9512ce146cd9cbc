"""How many sequences a KV cache holds: all layers' tokens, or a window's."""

from pathlib import Path

import pytest
from benchbook.judge.conditions import kv_exhausted
from benchbook.judge.kv_cache import sequences_held
from benchbook.judge.starts import kv_capacity_differs
from benchbook.records.record import Identity
from benchbook.records.record_file import read_record
from measured import measured_of
from shapes import GPT_OSS_120B, LLAMA_8B, host, served

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
ON_H100 = {"kv_cache_tokens": 119_659, "kv_cache_gib": 8.22}  # as gpt-oss-120b has it, at 8,192 tokens a request
GEMMA = {**LLAMA_8B, "num_hidden_layers": 12, "sliding_window": 1024,
         "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 2}  # fmt: skip
MISTRAL = {**LLAMA_8B, "sliding_window": 4096}  # every layer has the window


def cache(config=GPT_OSS_120B, argv="", **facts):
    return host(config, argv=argv, facts=facts or ON_H100)


def test_a_model_without_windows_holds_the_tokens_that_its_log_tells():
    assert sequences_held(cache(LLAMA_8B, kv_cache_tokens=51_200, kv_cache_gib=6.25), 5120) == 10
    assert sequences_held(host(LLAMA_8B), 5120) is None


def test_sliding_layers_keep_no_more_than_their_window():
    held = sequences_held(cache(), 5120)
    assert held == pytest.approx(45.6, abs=0.1), "14,972 blocks of 16 tokens in 18 layers, 328 of them a sequence"
    assert held > 1.9 * ON_H100["kv_cache_tokens"] / 5120
    fp8 = sequences_held(cache(argv="--kv-cache-dtype fp8"), 5120)
    assert fp8 == pytest.approx(2 * held)


@pytest.mark.parametrize(("config", "factor"), [(GPT_OSS_120B, 1.95), (GEMMA, 3.69), (MISTRAL, 2.0)])
def test_the_longer_the_sequences_the_more_a_window_saves(config, factor):
    whole, sliding = {**config, "sliding_window": None, "layer_types": None}, cache(config)
    tokens = 8192
    ratio = sequences_held(sliding, tokens) / sequences_held(cache(whole, kv_cache_tokens=1000), tokens)
    per_token = 2 * 8 * (config.get("head_dim") or 128) * 2 * config["num_hidden_layers"]
    literal = 8.225 * 2**30 / per_token / 1000
    assert ratio / literal == pytest.approx(factor, rel=0.05)


def test_a_cache_without_windows_is_told_by_its_flag():
    assert sequences_held(cache(argv="--disable-hybrid-kv-cache-manager"), 5120) == 119_659 / 5120


def test_heads_are_shared_among_devices_as_far_as_there_are_any():
    one, two, sixteen = (
        sequences_held(cache(argv=f"--tensor-parallel-size {devices}"), 5120) for devices in (1, 2, 16)
    )
    assert two == pytest.approx(2 * one) and sixteen == pytest.approx(8 * one)


@pytest.mark.parametrize("facts", [{"kv_cache_tokens": 119_659}, {"kv_cache_tokens": 119_659, "kv_cache_gib": None}])
def test_without_its_bytes_a_cache_is_taken_to_be_as_large_as_its_tokens_allow(facts):
    assert sequences_held(cache(**facts), 5120) == pytest.approx(45.6, abs=0.1)
    sized = cache(argv="--num-gpu-blocks-override 10", **ON_H100)
    assert sequences_held(sized, 5120) == pytest.approx(45.6, abs=0.1)


@pytest.mark.parametrize("window", ["wide", None, True, [128], -1, 0])
def test_a_window_that_no_model_has_leaves_the_tokens_of_the_log(window):
    assert sequences_held(cache({**GPT_OSS_120B, "sliding_window": window}), 5120) > 0


def exhausted(config, in_flight, **facts):
    workload = {"max_concurrency": in_flight, "num_prompts": 80, "input_len_tokens": 4096, "output_len_tokens": 1024}
    return kv_exhausted(measured_of("serve", workload, {}, {}, cache(config, **facts)))


def test_requests_that_a_hybrid_cache_holds_do_not_exhaust_it():
    assert exhausted(GPT_OSS_120B, 32) is None and exhausted(GPT_OSS_120B, 45) is None
    assert "46 requests of 5,120 tokens are in flight, the KV cache holds 45.6 of them" in str(
        exhausted(GPT_OSS_120B, 46)
    )
    assert exhausted(LLAMA_8B, 32) is not None and exhausted(LLAMA_8B, 23) is None


@pytest.mark.parametrize("run", ["tuned", "ablations_dummy", "h200_short", "h200_curve", "dummy_flatters"])
def test_committed_records_used_what_their_sequences_are_said_to_need(run):
    """A prompt that is being read holds more than its window for a while: the largest use is somewhat above."""
    used = 0
    for path in (REFERENCE / run).glob("cases/*/*/record.json"):
        record = read_record(path)
        seen = record.host.telemetry.server.max_kv_use_ratio
        workload = record.workload
        if not seen:
            continue
        tokens = workload["input_len_tokens"] + workload["output_len_tokens"]
        needed = workload["max_concurrency"] / sequences_held(record.host, tokens)
        assert 0.75 < seen / needed < (1.6 if workload["max_concurrency"] > 1 else 2.0)
        used += 1
    assert used >= 2


@pytest.mark.parametrize(("in_flight", "expected"), [(20, False), (24, False), (26, True)])
def test_launches_differ_in_capacity_only_where_their_sequences_do_not_fit(in_flight, expected):
    """gpt-oss-120b with two kernels on an H100: 67,725 tokens by the log hold 13 requests, its windows 25."""
    small = {"kv_cache_tokens": 67_725, "kv_cache_gib": 4.66}
    records = [
        served(in_flight, facts=facts, kind="server").model_copy(update={"identity": Identity(launch=launch)})
        for launch, facts in (("default", ON_H100), ("humming", small))
    ]
    assert bool(list(kv_capacity_differs(records))) is expected
