"""The roofline: bytes, FLOPs, floors and ceilings with known answers, and what is refused rather than guessed."""

import random

import pytest
from benchbook.judge.binding import binding_of, roofline_values
from benchbook.judge.bounds import NoRooflineError, Peaks, roofline_for
from benchbook.judge.columns import COLUMNS
from benchbook.judge.model_config import UnknownShapeError, shape_of
from benchbook.judge.roofline import roofline_of
from benchbook.judge.shape import EVEN, SURE
from benchbook.records.argv import flags_of
from shapes import CPU, GPT_OSS_120B, H200, LLAMA_8B, TINY, host, make, served

GPT = shape_of(GPT_OSS_120B)
ON_H200 = Peaks(4.8e12, {"bfloat16": 989.4e12}, "data sheet")


def near(value):
    """Return `value` within 5 %."""
    return pytest.approx(value, rel=0.05)


def test_gpt_oss_120b_reads_5_gb_a_step_alone_and_18_gb_with_eight():
    alone, eight = (roofline_for(GPT, ON_H200, batch, 4096, 1024) for batch in (1, 8))
    assert alone.even.step.bytes == near(5.1e9) and eight.even.step.bytes == near(18e9)
    assert alone.even.step.floor_s == near(1.07e-3) and eight.even.step.floor_s == near(3.75e-3)
    assert eight.even.step.bound == "bandwidth"
    mi300x = Peaks(5.3e12, {"bfloat16": 1307.4e12}, "data sheet")
    assert roofline_for(GPT, mi300x, 8, 4096, 1024).even.step.floor_s == near(3.4e-3)


def test_no_step_reads_fewer_experts_than_one_token_takes():
    alone, eight = (roofline_for(GPT, ON_H200, batch, 4096, 1024) for batch in (1, 8))
    assert alone.sure.step == alone.even.step, "one token has one routing"
    assert eight.sure.step.floor_s == near(1.33e-3)
    assert eight.sure.step.bytes - alone.sure.step.bytes == near(7 / 8 * 1.4e9), "only the KV of seven more is read"
    assert eight.likely is eight.even and eight.counted is None


def test_the_parts_of_that_step_are_those_of_the_shape():
    assert GPT.read_experts(1, EVEN) == pytest.approx(4) and GPT.read_experts(8, EVEN) == near(28.7)
    assert GPT.expert_weights * GPT.mlp_bytes == near(13.2e6)
    assert GPT.layers * GPT.attention_weights * GPT.attention_bytes == near(1.9e9)
    assert GPT.hidden * GPT.vocabulary * GPT.head_bytes == near(1.2e9)
    assert 8 * GPT.attended(4097, 5119) / 1023 * GPT.kv_bytes_per_layer == near(1.4e9)


def test_all_weights_together_are_as_large_as_the_loaded_model():
    assert GPT.read_bytes(1e9, EVEN) / 2**30 == near(61.43 - 1.08), "what was loaded, less the embedding"


def test_an_8b_model_reads_its_weights_once_and_computes_two_flop_a_weight():
    shape = shape_of(LLAMA_8B)
    assert shape.read_bytes(1, SURE) == near(2 * 7.5e9) == shape.read_bytes(1000, SURE)
    assert shape.head_dim == 128 and shape.kv_bytes_per_layer * shape.layers == 131072
    prefill = roofline_for(shape, ON_H200, 1, 2000, 2).sure.prefill
    assert prefill.flops == near(2 * 7e9 * 2000) and prefill.bound == "compute"


@pytest.mark.parametrize("window", [None, 1, 7, 128, 10_000])
def test_attended_tokens_are_those_that_counting_gives(window):
    config = TINY if window is None else {**TINY, "sliding_window": window, "layer_types": ["sliding_attention"] * 4}
    shape = shape_of(config)
    draw = random.Random(1)
    for _ in range(50):
        first = draw.randint(1, 400)
        last = first + draw.randint(0, 400)
        counted = 4 * sum(position if window is None else min(position, window) for position in range(first, last + 1))
        assert shape.attended(first, last) == counted


def test_more_in_flight_never_lowers_the_ceiling_nor_the_floor_of_a_step():
    draw = random.Random(2)
    for _ in range(100):
        shape = draw.choice((GPT, shape_of(LLAMA_8B), shape_of(TINY)))
        lengths = draw.randint(1, 8000), draw.randint(2, 2000)
        batches = sorted(draw.randint(1, 512) for _ in range(2))
        few, many = (roofline_for(shape, ON_H200, batch, *lengths) for batch in batches)
        for fewer, more in ((few.sure, many.sure), (few.likely, many.likely)):
            assert fewer.step.floor_s <= more.step.floor_s * (1 + 1e-9)
            assert fewer.ceiling_tok_s <= more.ceiling_tok_s * (1 + 1e-9)
        for roofline in (few, many):
            # The ceiling shares a step among the batch, and a prefill costs something besides.
            for bounds in (roofline.sure, roofline.likely):
                steps_s = bounds.step.floor_s * (lengths[1] - 1)
                assert bounds.ceiling_tok_s <= roofline.batch * lengths[1] / steps_s * (1 + 1e-9)
            assert roofline.sure.step.floor_s <= roofline.likely.step.floor_s
            assert roofline.sure.ceiling_tok_s >= roofline.likely.ceiling_tok_s


def test_twice_the_device_is_half_the_floor():
    one, two = served(8), served(8, argv="--tensor-parallel-size 2")
    assert roofline_of(two).sure.step.floor_s == pytest.approx(roofline_of(one).sure.step.floor_s / 2)


def test_a_batch_is_no_larger_than_what_the_kv_cache_holds():
    roofline = roofline_of(served(64, config=LLAMA_8B, facts={"kv_cache_tokens": 5120 * 10}))
    assert roofline.batch == 10 and roofline.kv_sequences == 10
    assert roofline_of(served(8, argv="--max-num-seqs=4")).batch == 4


def test_cached_prompt_tokens_need_no_prefill():
    half = {"prefix_cache_queries": 1000.0, "prefix_cache_hits": 500.0}
    assert roofline_of(served(1, counters=half)).sure.prefill.flops < 0.6 * roofline_of(served(1)).sure.prefill.flops


def test_an_offline_batch_needs_its_prefills_and_then_its_steps():
    workload = {"input_len_tokens": 4096, "output_len_tokens": 1024, "batch_size": 8}
    roofline = roofline_of(make("latency", workload, {"avg_batch_latency_s": 6.0}, host()))
    for bounds in (roofline.sure, roofline.even):
        whole_s = 8 * bounds.prefill.floor_s + 1023 * bounds.step.floor_s
        assert bounds.batch_floor_s == pytest.approx(whole_s, rel=0.01)
    assert roofline_of(served(8)).sure.batch_floor_s is None


def test_a_batch_of_which_only_a_part_fits_into_a_step_takes_as_many_more_steps():
    workload = {"input_len_tokens": 4096, "output_len_tokens": 1024, "batch_size": 8}
    both = (
        roofline_of(make("latency", workload, {"avg_batch_latency_s": 6.0}, host(argv=argv)))
        for argv in ("", "--max-num-seqs 4")
    )
    (whole_batch, whole), (half_batch, halves) = ((roofline.batch, roofline.even) for roofline in both)
    assert (whole_batch, half_batch) == (8, 4)
    assert halves.batch_floor_s == pytest.approx(8 * halves.prefill.floor_s + 2 * 1023 * halves.step.floor_s, rel=0.01)
    assert halves.batch_floor_s > whole.batch_floor_s


@pytest.mark.parametrize(
    ("argv", "factor"), [("", 1.0), ("--kv-cache-dtype fp8", 0.5), ("--dtype float32", 2.0), ("--dtype=half", 1.0)]
)
def test_flags_of_the_launch_change_the_bytes_of_the_cache(argv, factor):
    peaks = {**H200, "tflops": dict.fromkeys(("bfloat16", "float16", "float32"), 1.0)}
    found = roofline_of(served(1, config=LLAMA_8B, peaks=peaks, argv=argv)).shape
    assert found.kv_bytes_per_layer == 4096 * factor


def test_quantized_weights_are_read_with_their_scales():
    fp8 = {**LLAMA_8B, "quantization_config": {"quant_method": "fp8"}}
    awq = {**LLAMA_8B, "quantization_config": {"quant_method": "awq", "bits": 4}}
    groups = {"group_0": {"weights": {"type": "float", "num_bits": 8}}}
    packed = {**LLAMA_8B, "quantization_config": {"quant_method": "compressed-tensors", "config_groups": groups}}
    assert shape_of(packed).read_bytes(1, SURE) == shape_of(fp8).read_bytes(1, SURE)
    plain, eight, four = (shape_of(config).read_bytes(1, SURE) for config in (LLAMA_8B, fp8, awq))
    head = 2 * 4096 * 128256
    assert eight - head == pytest.approx((plain - head) / 2)
    assert (plain - head) / 4 < four - head < (plain - head) / 3.8
    assert roofline_of(served(1, config=fp8)).flops_s == 1978.9e12
    assert roofline_of(served(1, config=LLAMA_8B)).flops_s == 989.4e12
    assert shape_of(LLAMA_8B, quantization="fp8").read_bytes(1, SURE) == eight


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kv_lora_rank": 512}, "latent attention"),
        ({"layer_types": ["linear_attention", "full_attention"]}, "linear_attention"),
        ({"quantization_config": {"quant_method": "aqlm"}}, "aqlm"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 3}}, "gptq with 3 bits"),
        ({"quantization_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        ({"hidden_size": None}, "hidden_size"),
        ({"num_local_experts": 8}, "how many experts"),
        ({"dtype": "int8"}, "int8"),
    ],
)
def test_a_model_that_the_formulas_do_not_cover_is_refused_by_name(change, said):
    with pytest.raises(UnknownShapeError, match=said):
        shape_of({**LLAMA_8B, **change})
    with pytest.raises(NoRooflineError, match=said):
        roofline_of(served(1, config={**LLAMA_8B, **change}))


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (served(8, argv="--pipeline-parallel-size 2"), "pipeline parallelism"),
        (served(8, argv="--data-parallel-size=4"), "data parallelism"),
        (served(8, argv="--speculative-config {}"), "speculative"),
        (served(None), "open loop"),
        (served(8, rate=2.0), "open loop"),
        (served(8, peaks={}), "peaks"),
        (served(8, peaks={"bandwidth_gb_s": None, "tflops": {}, "source": "no torch here"}), "no torch here"),
        (served(8, config={}), "shape"),
        (served(8, argv="--dtype float32"), "float32 is not known"),
        (make("first_request", {"prompt": "x", "max_tokens": 4}, {}, host()), "prompt"),
    ],
)
def test_a_record_without_a_limit_says_why_and_its_columns_are_null(record, said):
    with pytest.raises(NoRooflineError, match=said):
        roofline_of(record)
    assert set(roofline_values(record).values()) == {None} and list(roofline_values(record)) == list(COLUMNS)


def test_shares_are_floor_over_measured_and_measured_over_ceiling():
    values = roofline_values(served(8))
    assert values["step_share_of_limit"] == near(1.33 / 5.30)
    assert values["step_floor_ms"] == near(1.33) and values["step_even_ms"] == near(3.75)
    assert values["ttft_floor_ms"] == near(25.5), "experts in MXFP4 may be multiplied in FP8"
    assert values["output_throughput_ceiling_tok_s"] > 2 * values["output_throughput_even_tok_s"]
    assert values["step_counted_ms"] is None and values["output_throughput_counted_tok_s"] is None
    assert values["output_throughput_share_of_limit"] == pytest.approx(1356 / values["output_throughput_ceiling_tok_s"])


def test_flags_are_found_in_both_spellings_and_the_last_one_counts():
    flags = flags_of(["serve", "--a", "1", "--b=2", "-tp", "3", "--a", "4", "--end"])
    assert flags == {"a": "4", "b": "2", "tp": "3", "end": None}


def watched(running=7.9, waiting=0.0, kv=0.2, preemptions=0.0):
    """Return a host block's telemetry."""
    server = {"mean_running": running, "mean_waiting": waiting, "max_kv_use_ratio": kv, "preemptions": preemptions}
    return {"telemetry": {"server": server}}


def in_flight(mean, record):
    """Return `record` with so many requests in flight on average."""
    values = {**record.values, "request_throughput_rps": 2.0, "mean_e2el_ms": mean / 2.0 * 1000}
    return record.model_copy(update={"values": values})


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (served(8, config=LLAMA_8B, itl_ms=4.9, **watched()), "bandwidth"),
        (served(8, **watched()), "between launch overhead and bandwidth"),
        (served(8, tok_s=400.0, **watched()), "launch overhead"),
        (served(8, tok_s=400.0), "launch overhead"),
        (in_flight(4.0, served(8, tok_s=400.0)), "client"),
        (
            in_flight(7.7, served(8, tok_s=400.0, **watched(running=0.9))),
            "launch overhead",
        ),  # the gauge beat with the steps
        (served(8, **watched(preemptions=3.0)), "KV capacity"),
        (served(8, **watched(kv=0.99, waiting=2.0)), "KV capacity"),
        (served(8, config=LLAMA_8B, **watched(kv=0.99)), "bandwidth"),
        (served(64, config=LLAMA_8B, facts={"kv_cache_tokens": 51200}), "KV capacity"),
        (served(64, 200.0, config=LLAMA_8B, tok_s=400.0, lengths=(8000, 64)), "compute"),
    ],
)
def test_what_binds_is_named_after_what_was_seen(record, name):
    assert binding_of(record, roofline_of(record)).name == name
    assert roofline_values(record)["limited_by"] == name


def test_nothing_measured_binds_nothing():
    record = served(8, tok_s=None)
    assert binding_of(record, roofline_of(record)) is None and roofline_values(record)["limited_by"] is None


def test_a_tiny_model_on_a_cpu_is_bound_by_overhead_and_not_by_its_memory():
    record = served(1, itl_ms=2.7, tok_s=350.0, lengths=(128, 64), config=TINY, peaks=CPU)
    assert roofline_values(record)["step_share_of_limit"] < 0.15
    assert binding_of(record, roofline_of(record)).name == "launch overhead"


def test_energy_is_per_output_token_and_absent_without_power():
    record = served(8, telemetry={"energy_j": 40_960.0})
    assert roofline_values(record)["energy_j_per_output_token"] == pytest.approx(0.5)
    assert roofline_values(served(8, telemetry={"energy_j": None}))["energy_j_per_output_token"] is None
