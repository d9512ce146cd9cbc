"""A model whose speed is that of no model is found by its answers, by its counted experts, or by its load format."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchbook.judge.group import judged_together
from benchbook.judge.model_config import shape_of
from benchbook.judge.roofline import roofline_of
from benchbook.judge.shape import COUNTED, SURE, ModelShape
from benchbook.judge.shape import EVEN as EVENLY
from benchbook.records.header import read_header
from benchbook.records.record import Verdict
from parts import having
from shapes import GPT_OSS_120B, LLAMA_8B, served

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
EVEN = {"1": 4.0, "8": 28.7, "16": 51.0, "32": 81.0, "64": 110.4}
ONE_SET = dict.fromkeys(EVEN, 4.0)
DUMMY = "--load-format dummy"


def with_host(*, argv: str = "", config=GPT_OSS_120B, **host):
    """Return one served record whose host has these facts."""
    record = served(8, argv=argv, config=config)
    return record.model_copy(update={"host": having(record.host, **host)})


def routing(decode, prefill=None):
    return {"experts": 128, "active": 4, "decode": decode, "prefill": prefill or {}}


def answers(distinct, prompts=32):
    return {"greedy_outputs": [f"{number % distinct:08x}" for number in range(prompts)], "distinct_prompts": prompts}


def reasons(*records):
    """Return the evidence for `degenerate_model` of each record, None without."""
    judged = judged_together(records)
    return [next((why.evidence for why in one.reasons if why.code == "degenerate_model"), None) for one in judged]


@pytest.mark.parametrize(
    "faulty, twin, told",
    [
        (with_host(**answers(1)), with_host(**answers(32)), "32 different prompts got 1 answer"),
        (with_host(**answers(8)), with_host(**answers(9)), "32 different prompts got 8 answers"),
        (with_host(config=LLAMA_8B, **answers(2)), with_host(config=LLAMA_8B, **answers(20)), "got 2 answers"),
        (
            with_host(routing=routing(ONE_SET)),
            with_host(routing=routing(EVEN)),
            "a step of 64 sequences reads 4.00 of 128 experts a layer, and one sequence 4; evenly routed it would be 111",
        ),
        (
            with_host(routing=routing({"1": 4.0, "64": 5.9})),
            with_host(routing=routing({"1": 4.0, "64": 30.0})),
            "reads 5.90",
        ),
        (with_host(argv=DUMMY), with_host(argv="--load-format benchbook"), "the same 4 of 128 experts"),
        # It has no experts.
        (with_host(argv=DUMMY), with_host(argv=DUMMY, config=LLAMA_8B), "whose weights are all zero"),
        (with_host(argv="--load-format Dummy"), with_host(argv="--load-format AUTO"), "whose weights are all zero"),
        (
            with_host(argv=f"{DUMMY} --dtype half"),  # a router without a bias spreads tokens even so
            with_host(argv=DUMMY, config={**GPT_OSS_120B, "model_type": "qwen3_moe"}),
            "load_format: dummy",
        ),
        (with_host(argv=DUMMY), with_host(argv=DUMMY, routing=routing(EVEN)), "dummy"),  # what was counted counts
    ],
)
def test_a_model_that_is_none_is_suspect_and_one_that_behaves_is_not(faulty, twin, told):
    (found,), (clean,) = reasons(faulty), reasons(twin)
    assert told in found and clean is None
    assert judged_together([faulty])[0].verdict is Verdict.SUSPECT


def test_equal_answers_to_prompts_that_its_tokenizer_cannot_tell_apart_prove_nothing():
    """Records from before prompts were made of the tokenizer's own words."""
    same = {"greedy_outputs": ["0badcafe"] * 32, "random_weights": True}
    assert reasons(with_host(config=LLAMA_8B, **same)) == [None]
    assert reasons(with_host(config=LLAMA_8B, **{**same, "random_weights": False})) != [None]


def test_a_few_experts_of_which_a_token_takes_half_are_not_called_degenerate():
    few = {"experts": 8, "active": 4, "decode": {"1": 4.0, "64": 4.0}}
    assert reasons(with_host(routing=few)) == [None]


def test_all_records_of_the_launch_are_told_and_none_of_another():
    from benchbook.records.record import Identity

    def of(launch, **host):
        record = with_host(**host)
        return record.model_copy(
            update={"identity": Identity(launch=launch, case_id=launch, fingerprint="f", repeat=0)}
        )

    found = reasons(of("a"), of("a", **answers(1)), of("b"))
    assert found[0] == found[1] != None and found[2] is None  # noqa: E711


@pytest.mark.parametrize("flags", [[DUMMY, DUMMY], [DUMMY, f"{DUMMY} --dtype half"]])
def test_answers_of_weights_that_vllm_makes_up_are_not_compared(flags):
    from test_coherence import served as compared

    records = [
        compared(
            8, 320.0, launch=name, host={"model": "m", "argv": ["vllm", *words.split()], "greedy_outputs": [name] * 32}
        )
        for name, words in zip("ab", flags)
    ]
    assert not any(why.code == "outputs_differ" for one in judged_together(records) for why in one.reasons)


GPU_RUNS = [path.parent for path in REFERENCE.glob("*/run.json") if '"load_format": "dummy"' in path.read_text()]


@pytest.mark.parametrize("run_dir", GPU_RUNS, ids=lambda path: path.name)
def test_every_committed_record_of_dummy_experts_is_suspect_by_its_own_data(run_dir):
    from benchbook.report.run import load_run

    header, _ = read_header(run_dir / "run.json")
    dummies = {name for name, launch in header.launches.items() if "dummy" in launch.args.values()}
    measured = [record for record in load_run(run_dir).records if record.is_measured]
    records = [record for record in measured if record.identity.launch in dummies]
    assert records
    for record in records:
        assert "degenerate_model" in {why.code for why in record.reasons}
        assert record.verdict is not Verdict.VALID


# What was counted goes into the limits.


def shape(counted=()) -> ModelShape:
    from dataclasses import replace

    return replace(shape_of(GPT_OSS_120B), counted=tuple(counted))


def test_the_experts_that_a_step_reads_are_those_that_were_counted():
    counted = shape([(1, 4.0), (8, 20.0), (64, 60.0)])
    assert [counted.read_experts(tokens, COUNTED) for tokens in (1, 8, 64)] == pytest.approx([4.0, 20.0, 60.0])
    assert 20.0 < counted.read_experts(16, COUNTED) < counted.read_experts(32, COUNTED) < 60.0
    beyond = counted.read_experts(256, COUNTED) / shape().read_experts(256, EVENLY)
    assert beyond == pytest.approx(60.0 / shape().read_experts(64, EVENLY))
    assert shape().routings == (SURE, EVENLY)


def test_a_step_of_the_limits_rests_on_what_was_counted_for_the_model_of_the_record():
    assumed, counted = (
        roofline_of(with_host()),
        roofline_of(with_host(routing=routing({"1": 4.0, "8": 4.0, "64": 4.0}))),
    )
    assert counted.counted.step.bytes == pytest.approx(assumed.sure.step.bytes)
    assert counted.likely is counted.counted and (counted.sure, counted.even) == (assumed.sure, assumed.even)
    assert roofline_of(with_host(routing={"why_not": "out of memory"})) == assumed
    even = roofline_of(with_host(routing=routing(EVEN))).counted
    assert even.step.bytes == pytest.approx(assumed.even.step.bytes, rel=0.02)
