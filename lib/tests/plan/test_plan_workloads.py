"""What a workload accepts, what it derives, and how it names itself."""

from __future__ import annotations

import math
import pickle
import re

import pytest
from benchbook.plan.workloads import WORKLOADS, FirstRequestWorkload, LatencyWorkload, ServeWorkload, ThroughputWorkload
from benchbook.terms.asked import Offered
from benchbook.terms.errors import ExperimentError
from benchbook.terms.rates import Ramp

LENGTHS = {"input_len_tokens": 128, "output_len_tokens": 64}
SERVE = LENGTHS | {"num_prompts": 80}


def refusal_of(model, **fields) -> str:
    with pytest.raises(ExperimentError) as caught:
        model(**fields)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_the_four_benchmarks_have_a_workload_each():
    assert list(WORKLOADS) == ["first_request", "serve", "latency", "throughput"]


def test_a_workload_names_its_axes():
    assert (
        ServeWorkload(**SERVE, max_concurrency=8).axes_text() == "serve,lengths=128x64,max_concurrency=8,num_prompts=80"
    )
    assert LatencyWorkload(**LENGTHS, batch_size=1).axes_text() == "latency,lengths=128x64,batch_size=1"
    assert FirstRequestWorkload().axes_text() == "first_request"


def test_whatever_differs_from_a_default_is_in_the_axes():
    text = ServeWorkload(**SERVE, request_rate_rps=2, range_ratio=0.25, slo_ttft_ms=1e21).axes_text()
    assert text == "serve,lengths=128x64,num_prompts=80,range_ratio=0.25,request_rate_rps=2,slo_ttft_ms=1e21"


def test_a_prompt_of_any_text_stays_path_safe_and_distinct():
    texts = {FirstRequestWorkload(prompt=prompt).axes_text() for prompt in ("../x", "a\nb", "ü", "a b")}
    assert len(texts) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_.,=x-]+", text) for text in texts)


def test_an_unbounded_load_is_refused():
    message = refusal_of(ServeWorkload, **SERVE)
    assert message == "ServeWorkload: workload is unbounded: set max_concurrency, request_rate_rps, or both"


def test_burstiness_without_a_rate_is_refused():
    assert "no effect" in refusal_of(ServeWorkload, **SERVE, max_concurrency=8, burstiness=0.5)


def test_a_misspelt_field_is_refused_with_the_nearest_one():
    message = refusal_of(LatencyWorkload, **LENGTHS, batchsize=8)
    assert message.startswith("LatencyWorkload: batchsize: 8: unknown key; did you mean 'batch_size'?")


@pytest.mark.parametrize("value", ["8", True, 8.0, 0, -1, [8], float("nan"), 10**9 + 1])
def test_what_is_no_count_is_refused(value):
    assert refusal_of(ServeWorkload, **SERVE, max_concurrency=value).startswith("ServeWorkload: max_concurrency: ")


@pytest.mark.parametrize("value", ["2", True, 0, -0.5, float("nan"), 1.1e9, 10**400, "fast", "4 to 1", "0 to 4", [2]])
def test_what_is_no_rate_is_refused(value):
    assert refusal_of(ServeWorkload, **SERVE, request_rate_rps=value).startswith("ServeWorkload: request_rate_rps: ")


def test_a_rate_beyond_all_servers_is_told_how_no_limit_is_said():
    assert "write inf" in refusal_of(ServeWorkload, **SERVE, max_concurrency=8, request_rate_rps=1e12)


@pytest.mark.parametrize("said", ["inf", "+Infinity", float("inf"), "unlimited"])
def test_a_rate_without_limit_is_all_at_once_and_with_a_cap_a_closed_loop(said):
    wave = ServeWorkload(**SERVE, request_rate_rps=said)
    assert (wave.request_rate_rps, wave.load_text) == ("inf", "all at once")
    assert wave.load == Offered(by="num_prompts", value=80)
    assert wave.axes_text() == "serve,lengths=128x64,num_prompts=80,request_rate_rps=inf"
    assert ServeWorkload(**wave.model_dump()) == wave, "as a record holds it, it is read again"
    capped = ServeWorkload(**SERVE, request_rate_rps=said, max_concurrency=8)
    assert capped == ServeWorkload(**SERVE, max_concurrency=8), "one load has one name"
    assert wave.warmup().load == wave.load and wave.sending_s == 0.0


@pytest.mark.parametrize(
    ("said", "kept", "mean_rps"),
    [
        ("1 to 16", "1 to 16 linear", 5.4101),
        ("2 to 8 exponential", "2 to 8 exponential", 3.6968),
        ("3 TO 4  linear", "3 to 4 linear", 3.4761),
    ],
)
def test_a_ramp_is_an_open_loop_of_its_mean_rate_on_a_curve_of_its_own(said, kept, mean_rps):
    rising = ServeWorkload(**SERVE, request_rate_rps=said, max_concurrency=8)
    assert rising.request_rate_rps == kept
    assert rising.load.is_open and rising.load.ramp == kept and rising.load.at_most == 8
    assert rising.load.value == pytest.approx(mean_rps, abs=1e-3)
    assert rising.curve != ServeWorkload(**SERVE, request_rate_rps=4).curve
    assert f"request_rate_rps={kept.replace(' ', '-')}" in rising.axes_text()
    assert rising.sending_s == pytest.approx(79 / mean_rps, rel=1e-3)


def test_the_mean_of_a_ramp_is_that_of_vllms_own_gaps():
    for text in ("1 to 16 linear", "2 to 9 exponential", "5 to 6 linear"):
        ramp = Ramp.of(text)
        shares = [number / 9999 for number in range(10_000)]
        rates = [
            ramp.start_rps + (ramp.end_rps - ramp.start_rps) * share
            if ramp.strategy == "linear"
            else ramp.start_rps * (ramp.end_rps / ramp.start_rps) ** share
            for share in shares
        ]
        gaps_s = [1 / rate for rate in rates]
        assert ramp.mean_rps == pytest.approx(len(gaps_s) / sum(gaps_s), rel=1e-3)
        uneven = math.sqrt(len(gaps_s) * sum(gap**2 for gap in gaps_s)) / sum(gaps_s)
        assert ramp.unevenness == pytest.approx(uneven, rel=1e-3)


def test_a_workload_cannot_be_changed():
    workload = ServeWorkload(**SERVE, max_concurrency=8)
    with pytest.raises(ValueError, match="frozen"):
        workload.num_prompts = 1


def test_a_workload_survives_a_record_and_a_pickle():
    workload = ServeWorkload(**SERVE, max_concurrency=8, slo_ttft_ms=500)
    assert ServeWorkload(**workload.model_dump()) == workload
    assert ServeWorkload.model_validate_json(workload.model_dump_json()) == workload
    assert pickle.loads(pickle.dumps(workload)) == workload
    assert len({workload, ServeWorkload(**workload.model_dump())}) == 1


def test_warming_up_sends_two_waves_at_the_concurrency_that_is_measured():
    assert ServeWorkload(**SERVE, max_concurrency=8).warmup_prompts == 16
    assert ServeWorkload(**SERVE, request_rate_rps=1.0).warmup_prompts == 32
    assert ServeWorkload(**SERVE, max_concurrency=8, num_warmup_prompts=0).warmup_prompts == 0


def test_the_warm_up_offers_the_load_that_is_measured():
    closed = ServeWorkload(**SERVE, max_concurrency=8, request_rate_rps=2.0, burstiness=0.5, range_ratio=0.1).warmup()
    assert (closed.max_concurrency, closed.request_rate_rps, closed.range_ratio) == (8, None, 0.1)
    assert (closed.input_len_tokens, closed.output_len_tokens, closed.num_prompts) == (128, 64, 16)
    opened = ServeWorkload(**SERVE, request_rate_rps=2.0, burstiness=0.5).warmup()
    assert (opened.max_concurrency, opened.request_rate_rps, opened.burstiness) == (None, 2.0, 0.5)


def test_one_warm_up_covers_another_number_of_prompts_and_no_other_load():
    one = ServeWorkload(**SERVE, max_concurrency=8)
    assert one.model_copy(update={"num_prompts": 999, "slo_ttft_ms": 5.0}).warm_shape == one.warm_shape
    others = [
        {"max_concurrency": 4},
        {"input_len_tokens": 129},
        {"output_len_tokens": 65},
        {"range_ratio": 0.1},
        {"temperature": 1.0},
        {"num_warmup_prompts": 1},
    ]
    assert one.warm_shape not in {one.model_copy(update=other).warm_shape for other in others}


def test_an_end_by_the_clock_is_of_a_closed_loop_which_asks_for_no_certain_number():
    work = ServeWorkload(**SERVE, max_concurrency=8, ends_after_s=5)
    assert (work.asked.requests, work.asked.output_tokens, work.asked.output_tokens_each) == (None, None, 64)
    assert work.load == Offered(by="max_concurrency", value=8)
    assert work.axes_text() == "serve,lengths=128x64,ends_after_s=5,max_concurrency=8,num_prompts=80"
    assert work.warmup().ends_after_s is None
    assert work.warm_shape == ServeWorkload(**SERVE, max_concurrency=8).warm_shape
    assert "at most: none is sent after 5 s" in work.why("")
    for other in ({"request_rate_rps": 2}, {"request_rate_rps": 2, "max_concurrency": 8}, {"request_rate_rps": "inf"}):
        assert "ends_after_s ends a closed loop" in refusal_of(ServeWorkload, **SERVE, **other, ends_after_s=5)


def test_a_load_that_the_clock_ends_takes_no_longer_than_that_and_an_answer():
    def batch_s(batch, input_tokens, output_tokens):
        return 2.0

    for ends_after_s, expected_s in ((5, 7.0), (None, 20.0), (100, 20.0)):
        work = ServeWorkload(**SERVE, max_concurrency=8, ends_after_s=ends_after_s)
        assert work.work_s(True, batch_s) == expected_s


def test_a_load_without_an_end_by_the_clock_is_written_as_it_always_was():
    assert "ends_after_s" not in ServeWorkload(**SERVE, max_concurrency=8).model_dump()
    assert ServeWorkload(**SERVE, max_concurrency=8, ends_after_s=5).model_dump()["ends_after_s"] == 5


def test_throughput_warms_up_with_what_fills_a_batch():
    assert ThroughputWorkload(**LENGTHS, num_prompts=2000).warmup_prompts == 256
    assert ThroughputWorkload(**LENGTHS, num_prompts=4).warmup_prompts == 4
    assert ThroughputWorkload(**LENGTHS, num_prompts=4, num_warmup_prompts=0).warmup_prompts == 0


def test_the_tokens_of_the_longest_request_are_known():
    assert LatencyWorkload(**LENGTHS, batch_size=8).max_request_tokens == 192
    assert ThroughputWorkload(**LENGTHS, num_prompts=8).max_request_tokens == 192
    assert FirstRequestWorkload(max_tokens=100).max_request_tokens == 101
    assert ServeWorkload(**SERVE, max_concurrency=8).max_request_tokens == 192
    # vLLM draws up to ceil(128 * 1.1) + ceil(64 * 1.1) = 141 + 71
    assert ServeWorkload(**SERVE, max_concurrency=8, range_ratio=0.1).max_request_tokens == 212
