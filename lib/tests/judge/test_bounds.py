"""Bounds that nothing beats: on every committed run, and what is said where two of them disagree."""

import csv
import json
from pathlib import Path

import pytest
from benchbook.judge.batch import asked_in_flight, kept_in_flight, sequences_in_step
from benchbook.judge.binding import binding_of, is_below_floor, roofline_values, share_text, step_ms
from benchbook.judge.bounds import NoRooflineError, Peaks, roofline_for
from benchbook.judge.model_config import shape_of
from benchbook.judge.roofline import roofline_of
from benchbook.records.parts import Provenance
from benchbook.records.record import Reason
from benchbook.records.record_file import read_record
from benchbook.terms.asked import Asked
from shapes import CPU, GPT_OSS_120B, H200, LLAMA_8B, TINY, make, served

ROOT = Path(__file__).parents[3] / "results"
RECORDS = sorted(path for path in ROOT.glob("reference/*/cases/*/*/record.json"))


@pytest.fixture(params=RECORDS, ids=lambda path: "/".join(path.parts[-6:-1])[:90])
def record(request):
    return read_record(request.param)


def test_no_committed_record_is_faster_than_its_sure_bound(record):
    try:
        roofline = roofline_of(record)
    except NoRooflineError:
        pytest.skip("no limit is known")
    assert not is_below_floor(record, roofline)
    floors, values = roofline_values(record), record.values
    for key in ("median_itl_ms", "median_tpot_ms"):
        if values.get(key) is not None and roofline.sure.step:
            assert values[key] >= floors["step_floor_ms"], key
    shares = [value for key, value in floors.items() if key.endswith("share_of_limit") and value is not None]
    assert shares and all(0 < share <= 1 for share in shares)


def test_client_binds_no_committed_record_that_kept_its_load_in_flight():
    kept = {}
    for path in RECORDS:
        record = read_record(path)
        in_flight, asked = kept_in_flight(record), asked_in_flight(record)
        if in_flight and asked and in_flight >= 0.95 * asked:
            kept[path] = roofline_values(record)["limited_by"]
    assert len(kept) >= 10 and not any("client" in (name or "") for name in kept.values())


def test_there_are_committed_records_with_bounds():
    assert len([path for path in RECORDS if json.loads(path.read_bytes())["host"].get("peaks")]) >= 20


@pytest.mark.parametrize("shares", [(0.494, 0.507), (0.481, 0.507), (0.59, 0.42), (0.45, 0.55)])
def test_repeats_of_one_launch_around_a_half_are_told_the_same(shares):
    ceiling = roofline_of(served(8, config=LLAMA_8B)).sure.ceiling_tok_s
    records = [served(8, config=LLAMA_8B, itl_ms=8.0, tok_s=share * ceiling) for share in shares]
    names = {binding_of(each, roofline_of(each)).name for each in records}
    assert names == {"between launch overhead and bandwidth"}


@pytest.mark.parametrize(
    ("share", "name"),
    [(0.95, "bandwidth"), (0.7, "bandwidth"), (0.5, "between launch overhead and bandwidth"), (0.2, "launch overhead")],
)
def test_a_dense_model_is_judged_by_its_one_bound(share, name):
    ceiling = roofline_of(served(8, config=LLAMA_8B)).sure.ceiling_tok_s
    record = served(8, config=LLAMA_8B, itl_ms=4.2 / share, tok_s=share * ceiling)
    assert binding_of(record, roofline_of(record)).name == name


@pytest.mark.parametrize(
    ("tok_s", "name"),
    [(400.0, "launch overhead"), (1600.0, "between launch overhead and bandwidth"), (4500.0, "bandwidth")],
)
def test_a_cause_binds_a_model_with_experts_only_where_both_ends_agree(tok_s, name):
    record = served(8, itl_ms=8 / tok_s * 1000, tok_s=tok_s)
    assert binding_of(record, roofline_of(record)).name == name


def test_two_ends_of_which_one_computes_and_one_reads_are_both_named():
    slow = {"bandwidth_gb_s": 4800.0, "tflops": {"bfloat16": 40.0}, "source": "made up"}
    record = served(64, itl_ms=20.0, tok_s=2500.0, lengths=(1024, 256), peaks=slow)
    sure, even = roofline_of(record).sure, roofline_of(record).even
    assert (sure.request.bound, even.request.bound) == ("compute", "compute")
    record = served(64, itl_ms=20.0, tok_s=6000.0, lengths=(16, 256), peaks={**slow, "tflops": {"bfloat16": 120.0}})
    sure, even = roofline_of(record).sure, roofline_of(record).even
    assert (sure.request.bound, even.request.bound) == ("compute", "bandwidth")


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(0.14, 0.40, "14% to 40%"), (0.36, 1.02, "36% or more"), (0.5, 0.5, "50%"), (None, None, "–")],
)
def test_no_share_is_above_all_that_is_allowed(low, high, text):
    assert share_text(low, high) == text


def test_the_step_is_median_itl_unless_a_chunk_holds_several_tokens():
    record = served(8, itl_ms=9.0)
    assert step_ms(record) == (9.0, "median ITL")
    several = record.model_copy(update={"reasons": (Reason(code="itl_per_chunk", severity="note", evidence="2"),)})
    assert step_ms(several) == (pytest.approx(9.18), "median TPOT")
    assert step_ms(record.model_copy(update={"values": {"median_tpot_ms": 7.0}})) == (7.0, "median TPOT")


def test_prefills_of_others_in_tpot_do_not_move_the_share_of_the_step():
    record = served(8, itl_ms=9.0)
    waited = record.model_copy(update={"values": {**record.values, "median_tpot_ms": 30.0}})
    assert roofline_values(waited)["step_share_of_limit"] == roofline_values(record)["step_share_of_limit"]


def on(device, memory_mib, in_flight=2000, argv="", kind="server"):
    record = served(in_flight, argv=argv, peaks={**H200, "device": device}, kind=kind)
    machine = Provenance(machine={"gpus": [{"name": device, "memory": f"{memory_mib} MiB"}]})
    asked = record.asked.model_copy(update={"requests": in_flight})
    return record.model_copy(update={"provenance": machine, "asked": asked})


@pytest.mark.parametrize(
    ("record", "most"),
    [
        (on("NVIDIA H200", 143771), 1024),
        (on("NVIDIA H100 80GB HBM3", 81559), 1024),
        (on("NVIDIA L40S", 46068), 256),
        (on("NVIDIA A100-SXM4-80GB", 81920), 256),
        (on("NVIDIA L40S", 46068, argv="--performance-mode throughput"), 512),
        (on("NVIDIA L40S", 46068, argv="--max-num-seqs 7"), 7),
        (on("NVIDIA L40S", 46068, argv="--max-num-batched-tokens 192"), 192),
        (on("NVIDIA H200", 143771, argv="--max-num-batched-tokens 4096"), 1024),
        (on("CPU, 2 threads", 0), 128),
        (on("CPU, 2 threads", 0, kind="engine"), 256),
        (on("CPU, 2 threads", 0, argv="--tensor-parallel-size 2"), 256),
        (on("NVIDIA L40S", 46068, in_flight=5), 5),
        (served(8).model_copy(update={"asked": Asked.of_lengths(3, 4096, 1024)}), 3),
    ],
    ids=str,
)  # fmt: skip
def test_a_step_holds_no_more_sequences_than_vllm_puts_into_one(record, most):
    assert sequences_in_step(record) == most


def test_a_step_of_a_load_that_was_not_kept_holds_what_was_there():
    record = served(8)
    values = {**record.values, "request_throughput_rps": 2.0, "mean_e2el_ms": 1700.0}
    assert roofline_of(record.model_copy(update={"values": values})).batch == 4
    values["mean_e2el_ms"] = 3700.0
    assert roofline_of(record.model_copy(update={"values": values})).batch == 8


def test_experts_in_four_bits_may_be_multiplied_in_eight_or_four_and_the_rest_may_not():
    gpt, llama = shape_of(GPT_OSS_120B), shape_of(LLAMA_8B)
    plain, eight = {"bfloat16": 1e15}, {"bfloat16": 1e15, "fp8": 2e15}
    four = {**eight, "fp4": 4e15}

    def prefill_s(shape, flops_s):
        return roofline_for(shape, Peaks(1e18, flops_s, "made up"), 1, 4096, 2).sure.prefill.floor_s

    assert prefill_s(gpt, plain) > prefill_s(gpt, eight) > prefill_s(gpt, four) > prefill_s(gpt, plain) / 4
    assert prefill_s(llama, plain) == prefill_s(llama, four)
    fp8 = shape_of({**LLAMA_8B, "quantization_config": {"quant_method": "fp8"}})
    assert prefill_s(fp8, eight) < 0.6 * prefill_s(fp8, plain) and prefill_s(fp8, eight) == prefill_s(fp8, four)


@pytest.mark.parametrize("config", [TINY, LLAMA_8B])
def test_a_dense_model_has_one_bound(config):
    roofline = roofline_of(served(8, config=config, peaks=CPU))
    assert roofline.likely is roofline.sure and roofline.even is roofline.counted is None
    values = roofline_values(served(8, config=config, peaks=CPU))
    assert values["step_floor_ms"] and values["step_even_ms"] is values["step_counted_ms"] is None


def test_a_batch_of_a_model_with_experts_has_two_ends_as_well():
    workload = {"input_len_tokens": 128, "output_len_tokens": 64, "batch_size": 8}
    values = roofline_values(make("latency", workload, {"avg_batch_latency_s": 0.6}, served(8).host))
    assert values["batch_latency_floor_s"] < values["batch_latency_even_s"]


def test_no_step_of_the_published_quickstart_is_faster_than_its_floor():
    with open(ROOT / "reference" / "quickstart" / "table.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["benchmark"] == "serve"]
    key = next(key for key in rows[0] if key in ("step_floor_ms", "tpot_floor_ms"))  # as its benchbook called it
    assert rows
    for row in rows:
        assert float(row[key]) <= min(float(row["median_itl_ms"]), float(row["median_tpot_ms"]))
