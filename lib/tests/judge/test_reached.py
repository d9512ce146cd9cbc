"""What `precision` reached: the half-width that a repeat's own latencies tell, by blocks in the order of sending."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from benchbook.judge.checks import half_widths as guarded
from benchbook.judge.checks import record_reasons
from benchbook.judge.reached import MISSED, half_widths, precision_missed
from benchbook.judge.unseen import not_looked
from benchbook.measure.recording import Recording
from benchbook.plan.precision import PRECISION_KEYS, Precision
from benchbook.plan.workloads import ServeWorkload
from benchbook.records.handover import Handover
from benchbook.records.host import HostFacts
from benchbook.records.record_file import read_record
from benchbook.report.caveats import precision_sentences
from benchbook.report.run import load_run
from benchbook.terms.metrics import BY_KEY, values_from_raw
from measured import serve
from parts import having
from report_runs import make_run
from rows import rows


def measured_with(ttfts_s, cap=8):
    """Return a serving measurement with these TTFTs in the order of sending; all else of a request is alike."""
    sound = serve(cap=cap, prompts=len(ttfts_s), ttft_ms=1.0)
    gaps_s = sum(sound.raw["itls"][0])
    raw = {**sound.raw, "ttfts": list(ttfts_s), "latencies": [ttft_s + gaps_s for ttft_s in ttfts_s]}
    return replace(sound, raw=raw)


def drawn(number, spread, seed, batch=1):
    """Return latencies of that log-normal spread; those of a `batch` are alike."""
    draw = random.Random(seed)
    values = [0.1 * draw.lognormvariate(0, spread) for _ in range(number // batch)]
    return [value for value in values for _ in range(batch)]


@pytest.mark.parametrize(
    ("key", "share"), [("median_ttft_ms", 0.05), ("p90_ttft_ms", 0.10), ("p99_ttft_ms", 0.10), ("mean_ttft_ms", 0.05)]
)
def test_where_latencies_are_as_was_assumed_the_planned_number_of_prompts_reaches_what_was_asked(key, share):
    number, _ = Precision(((key, share),)).prompts(None)
    widths = [half_widths(measured_with(drawn(number, 0.5, seed)), [key])[key] for seed in range(12)]
    assert np.median(widths) == pytest.approx(share, rel=0.25)
    assert sum(width > MISSED * share for width in widths) <= 2


@pytest.mark.parametrize(("spread", "batch"), [(1.2, 1), (0.5, 8), (1.0, 4)])
def test_a_wider_spread_or_neighbours_that_wait_alike_are_known_less_well(spread, batch):
    number, _ = Precision((("median_ttft_ms", 0.05),)).prompts(None)
    repeats = [measured_with(drawn(number, spread, seed, batch)) for seed in range(8)]
    widths = [half_widths(measured, ["median_ttft_ms"])["median_ttft_ms"] for measured in repeats]
    assert np.median(widths) > MISSED * 0.05


def test_order_matters_the_same_latencies_in_chance_order_are_independent():
    waves = drawn(640, 0.5, 1, batch=8)
    shuffled = random.Random(2).sample(waves, len(waves))
    widths = [half_widths(measured_with(values), ["median_ttft_ms"])["median_ttft_ms"] for values in (waves, shuffled)]
    assert widths[0] > 1.5 * widths[1]


def with_burst(number, cap, seed, ratio=2.5):
    """Return latencies whose first wave waits in one queue, at last for `2 * ratio` times as long as the later ones."""
    draw, values = random.Random(seed), drawn(number, 0.3, seed)
    level = draw.lognormvariate(0, 0.1)  # from repeat to repeat
    queue = [0.1 * level * 2 * ratio * (place + 1) / cap * draw.lognormvariate(0, 0.05) for place in range(cap)]
    return [max(waited, value) for waited, value in zip(queue, values)] + values[cap:]


KEYS, CAPS = ("mean_ttft_ms", "median_ttft_ms", "p90_ttft_ms"), (8, 16, 64)


@pytest.mark.parametrize(("key", "cap"), rows(itertools.product(KEYS, CAPS), quick=zip(KEYS, CAPS)))
def test_a_first_wave_that_every_repeat_has_leaves_what_is_reached_true_and_no_wider_than_it_must_be(key, cap):
    number = 10 * cap

    def value(ttfts_s):
        return np.mean(ttfts_s) if key.startswith("mean") else np.percentile(ttfts_s, BY_KEY[key].percentile)

    truth = np.mean([value(with_burst(number, cap, seed)) for seed in range(1000, 1400)])
    repeats = [with_burst(number, cap, seed) for seed in range(40)]
    widths = [half_widths(measured_with(ttfts_s, cap), [key])[key] for ttfts_s in repeats]
    held = sum(abs(value(one) - truth) <= width * value(one) for one, width in zip(repeats, widths))
    spread = np.std([value(one) for one in repeats]) / truth
    assert held >= 33, "95 % of 40, and chance in one of a thousand tests"
    assert np.median(widths) < 4.5 * spread, "1.96 would be exact; blocks that hold the wave or not made it 6 to 30"


def test_the_same_record_is_always_judged_alike():
    measured = measured_with(drawn(100, 0.5, 3))
    assert half_widths(measured, ["p90_e2el_ms"]) == half_widths(measured, ["p90_e2el_ms"])


def test_every_latency_that_precision_may_name_has_a_width():
    widths = half_widths(serve(prompts=80, noise=random.Random(1)), PRECISION_KEYS)
    assert list(widths) == PRECISION_KEYS and all(0 < width < 1 for width in widths.values())


def test_the_widths_are_shares_of_vllms_own_values():
    measured = serve(prompts=80, noise=random.Random(4))
    raw = measured.raw
    columns = zip(raw["latencies"], raw["ttfts"], raw["output_lens"])
    tpots = [(latency - ttft) / (tokens - 1) for latency, ttft, tokens in columns]
    assert np.percentile([answer.ttft_s for answer in measured.answers], 99) == np.percentile(raw["ttfts"], 99)
    mean = half_widths(measured, ["mean_tpot_ms"])["mean_tpot_ms"]
    assert mean == pytest.approx(1.96 * np.std(tpots) / 80**0.5 / np.mean(tpots), rel=0.5)


def test_too_few_requests_tell_nothing_and_the_record_says_that_nobody_looked():
    unknown = {"asked": {"median_ttft_ms": 0.1}, "reached": {"median_ttft_ms": None}}
    measured = serve(prompts=12, conditions={"precision": unknown})
    assert half_widths(measured, ["median_ttft_ms"]) == {"median_ttft_ms": None}
    assert precision_missed(measured) is None and "precision_missed" in not_looked(measured)
    sound = {"asked": {"median_ttft_ms": 0.1}, "reached": {"median_ttft_ms": 0.1}}
    assert "precision_missed" not in not_looked(serve(conditions={"precision": sound}))
    assert "precision_missed" not in not_looked(serve())


@pytest.mark.parametrize("raw", [{"ttfts": ["fast"] * 40}, {"start_times": [None] * 40}, {"ttfts": []}])
def test_a_raw_file_that_cannot_be_read_so_costs_no_record(raw):
    assert guarded(serve(raw=raw), ["median_ttft_ms"]) == {"median_ttft_ms": None}


def test_the_note_tells_what_was_asked_and_what_was_reached():
    asked, reached = {"p99_ttft_ms": 0.1, "mean_e2el_ms": 0.05}, {"p99_ttft_ms": 0.184, "mean_e2el_ms": 0.051}
    told = {"asked": asked, "reached": reached}
    (found,) = [why for why in record_reasons(serve(conditions={"precision": told})) if why.code == "precision_missed"]
    assert found.severity == "note" and found.evidence == "p99_ttft_ms is known to ±18 %, asked was ±10 %"


@pytest.mark.parametrize("asked", [{"median_ttft_ms": 0.001}, {}])
def test_a_record_holds_what_was_reached_where_it_was_asked_for(tmp_path, asked):
    raw = serve(prompts=80, noise=random.Random(5)).raw
    workload = ServeWorkload(input_len_tokens=128, output_len_tokens=64, max_concurrency=4, num_prompts=80)
    recording = Recording(workload, tmp_path / "record.json", Handover(precision=asked))
    recording.finish(raw, host=HostFacts())
    record = read_record(tmp_path / "record.json")
    assert record.values == values_from_raw("serve", raw)
    if not asked:
        assert not record.conditions.precision.asked
        return
    assert record.conditions.precision.asked == asked
    assert 0 < record.conditions.precision.reached["median_ttft_ms"] < 1
    assert "precision_missed" in {why.code for why in record.reasons}


def test_the_report_gives_the_range_that_repeats_reached(tmp_path):
    def known(record):
        if record.benchmark != "serve":
            return record
        told = {"asked": {"p99_ttft_ms": 0.1}, "reached": {"p99_ttft_ms": 0.08 + 0.04 * record.identity.repeat}}
        return record.model_copy(update={"conditions": having(record.conditions, precision=told)})

    run = load_run(make_run(tmp_path, change=known))
    (said,) = precision_sentences(run)
    assert "p99_ttft_ms to ±10 % within one repeat; ±8 % to ±12 % was reached" in said
    of_serve = run.table[run.table["benchmark"] == "serve"]
    assert set(of_serve["precision_reached"]) == {'{"p99_ttft_ms": 0.08}', '{"p99_ttft_ms": 0.12}'}
    assert run.table.loc[run.table["benchmark"] != "serve", "precision_reached"].isna().all()
    assert "precision_reached" not in run.cases, "it is no part of the workload"
    plain = load_run(make_run(tmp_path / "plain"))
    assert precision_sentences(plain) == [] and "precision_reached" not in plain.table
