"""Modes that contradict each other are found; modes that agree, and small differences, are not accused."""

from pathlib import Path

import pytest
from benchbook.judge.group import judged_alone_and_together, judged_together
from benchbook.records.described import described
from benchbook.records.host import HostFacts
from benchbook.records.published import all_published, load_published
from benchbook.records.record import Identity, Outcome, PrefixCache, Reason, Record, SentSet, Verdict
from benchbook.records.runs import run_files
from benchbook.terms.asked import Asked
from benchbook.terms.errors import StoreError

RESULTS = Path(__file__).parents[3] / "results"
ARTICLE = RESULTS / "published" / "mi300x-gpt-oss-120b.json"
LENGTHS = {"input_len_tokens": 128, "output_len_tokens": 64}


def record(benchmark, workload, values, *, launch="a", repeat=0, host=None, reasons=()):
    return Record(
        identity=Identity(launch=launch, case_id=f"{launch},{benchmark},{workload}", fingerprint="f", repeat=repeat),
        benchmark=benchmark,
        workload={**LENGTHS, **workload},
        **described(benchmark, {**LENGTHS, **workload})._asdict(),
        outcome=Outcome.MEASURED,
        values=values,
        verdict=Verdict.VALID,
        reasons=reasons,
        started_utc=f"2026-11-23T20:{repeat:02d}:00+00:00",
        ended_utc="",
        started_monotonic_s=0.0,
        ended_monotonic_s=1.0,
        host=HostFacts(**(host or {})),
    )


def served(cap, e2el_ms, tok_s=1000.0, **more):
    tpot_ms = more.pop("tpot_ms", 2.9)
    values = {"mean_e2el_ms": e2el_ms, "output_throughput_tok_s": tok_s, "mean_tpot_ms": tpot_ms, "mean_ttft_ms": 20.0}
    return record("serve", {"max_concurrency": cap, "num_prompts": 10 * cap}, values, **more)


def alone(latency_s, **more):
    return record("latency", {"batch_size": 1, "num_iters": 30}, {"avg_batch_latency_s": latency_s}, **more)


def at_once(tok_s, prompts=200, **more):
    return record("throughput", {"num_prompts": prompts}, {"output_throughput_tok_s": tok_s}, **more)


def codes(*records):
    return [{reason.code for reason in judged.reasons} for judged in judged_together(records)]


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ((alone(0.40), served(8, 320.0)), True),
        ((alone(0.20), served(8, 320.0)), False),
        ((alone(0.33), served(8, 320.0)), False),  # 3 % is not called different
        ((alone(0.24), served(1, 200.0)), False),  # one request alone is no load: both should be alike
        ((alone(0.40, launch="b"), served(8, 320.0)), False),  # another launch bounds nothing
    ],
)
def test_a_floor_above_the_latency_under_load_is_found(records, expected):
    assert all(("floor_above_load" in found) is expected for found in codes(*records))


def test_repeats_that_scatter_as_much_as_they_differ_prove_nothing():
    floor = [alone(0.30, repeat=0), alone(0.40, repeat=1)]
    assert not any("floor_above_load" in found for found in codes(*floor, served(8, 320.0)))


@pytest.mark.parametrize(("offline", "expected"), [(500.0, True), (980.0, False), (2900.0, False)])
def test_a_ceiling_below_serving_is_found_and_told_of_throughput_mode(offline, expected):
    found = codes(at_once(offline, prompts=4), served(8, 320.0, tok_s=1000.0))
    assert [("ceiling_below_serving" in one) for one in found] == [expected, False]


def of_set(one, *, is_on, ends_by="length"):
    """Return the record as one of a set whose prompts begin alike, measured with the prefix cache on or off."""
    asked = Asked(requests=200, output_tokens_each=64, ends_by=ends_by, shares_prefix=True)
    how = {"endpoint": "completions", "ends_by": ends_by, "sampling": {}}
    changes = {"requests": SentSet(name="it", sha256="", start=0, **how), "prefix_cache": PrefixCache(is_on=is_on)}
    return one.model_copy(update={"asked": asked, "curve": "it", **changes})


@pytest.mark.parametrize(
    ("online", "expected"),
    [({"is_on": True}, True), ({"is_on": False}, False), ({"is_on": True, "ends_by": "any"}, False)],
    ids=str,
)
def test_a_set_is_held_against_a_ceiling_only_where_both_have_the_same_to_compute(online, expected):
    found = codes(of_set(at_once(500.0), is_on=True), of_set(served(8, 320.0), **online))
    assert any("ceiling_below_serving" in one for one in found) is expected


def test_the_best_number_of_prompts_is_the_ceiling():
    assert not any(
        "ceiling_below_serving" in one for one in codes(at_once(500.0, 4), at_once(2900.0), served(8, 320.0))
    )


@pytest.mark.parametrize(
    ("latency_s", "tpot_ms", "expected"),
    [
        (0.203, 2.9, False),  # (203 - 20) / 63 = 2.9 ms a token
        (0.203, 3.9, False),  # HTTP and streaming cost some
        (0.203, 6.0, True),
        (0.203, 1.5, True),
        (0.0704, 1.25, False),  # 0.8 ms a token: what HTTP costs is no share of it
        (0.0704, 2.5, True),
        (0.0704, 0.4, True),
    ],
)
def test_a_pace_alone_that_is_not_latency_modes_is_found(latency_s, tpot_ms, expected):
    found = codes(alone(latency_s), served(1, 200.0, tpot_ms=tpot_ms))
    assert ("tpot_contradicts_latency" in found[1]) is expected


def test_answers_in_heaps_have_no_pace_to_compare():
    heaps = (Reason(code="stream_bunched", severity="suspect", evidence=""),)
    assert "tpot_contradicts_latency" not in codes(alone(0.203), served(1, 200.0, tpot_ms=0.003, reasons=heaps))[1]


@pytest.mark.parametrize(
    ("changed", "flags", "expected"),
    [
        (32, [], True),
        (4, [], False),  # rounding turns a few
        (0, [], False),
        (32, ["--quantization", "fp8"], False),  # that launch does not claim the same text
    ],
)
def test_outputs_that_change_where_only_speed_should_are_found(changed, flags, expected):
    ours = [f"{number:08x}" for number in range(32)]
    theirs = ["ffffffff"] * changed + ours[changed:]
    records = [
        served(8, 320.0, host={"model": "m", "argv": ["vllm"], "greedy_outputs": ours}),
        served(8, 320.0, launch="b", host={"model": "m", "argv": ["vllm", *flags], "greedy_outputs": theirs}),
    ]
    assert [("outputs_differ" in one) for one in codes(*records)] == [False, expected]


def test_the_checks_alone_find_the_three_contradictions_of_the_published_figures():
    judged = judged_alone_and_together(load_published(ARTICLE).records)
    by_benchmark = {one.benchmark: {reason.code: reason.evidence for reason in one.reasons} for one in judged}
    assert by_benchmark["latency"].keys() == {"floor_above_load", "percentile_not_earned"}
    assert by_benchmark["serve"].keys() == {"floor_above_load", "percentile_not_earned"}
    assert by_benchmark["throughput"].keys() == {"ceiling_below_serving"}
    assert "18,940 ms" in by_benchmark["latency"]["floor_above_load"]
    assert "with 4 prompts" in by_benchmark["throughput"]["ceiling_below_serving"]
    assert "80 samples" in by_benchmark["serve"]["percentile_not_earned"]
    assert {one.verdict for one in judged} == {Verdict.SUSPECT}


def test_published_figures_that_agree_are_not_accused():
    latency, throughput = {"avg_batch_latency_s": 16.0}, {"output_throughput_tok_s": 2000.0}
    changed = [
        one.model_copy(update={"values": {"latency": latency, "throughput": throughput}.get(one.benchmark, one.values)})
        for one in load_published(ARTICLE).records
    ]
    found = {reason.code for one in judged_alone_and_together(changed) for reason in one.reasons}
    assert found == {"percentile_not_earned"}


def test_published_figures_are_never_found_among_runs():
    assert all_published()[0] and not [path for path in run_files(RESULTS) if "published" in path.parts]


def test_a_published_metric_that_there_is_not_is_refused(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(ARTICLE.read_text().replace("mean_ttft_ms", "mean_tfft_ms"))
    with pytest.raises(StoreError, match="mean_tfft_ms"):
        load_published(path)
