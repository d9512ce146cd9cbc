"""The A/A proof of cheaper starts: whether starts were what they were to be, and when both give the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchbook.report.run import load_run
from parts import having
from report_runs import make_run

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"

ARMS = ("whole", "cheap")


@pytest.fixture(scope="module")
def proof():
    """Return the module of lib/proofs that proves them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "proofs"))
        import cheaper_starts

        return cheaper_starts


def records(folder, took_over=("ipc_cache",), factor=1.0):
    """Return eight rounds of both arms; the cheap one's starts took over what `took_over` says in turn, its rates are `factor` times."""

    def change(record):
        if record.identity.launch == "whole":
            return record
        facts = {"taken_over": took_over[record.identity.repeat % len(took_over)]}
        values = {**record.values, "output_throughput_tok_s": factor * record.values["output_throughput_tok_s"]}
        return record.model_copy(update={"host": having(record.host, facts=facts), "values": values})

    made = make_run(folder, launches=ARMS, benchmarks=("serve",), concurrencies=(1, 8), repeats=8, change=change)
    return load_run(made).records


def test_starts_that_took_over_something_else_or_nothing_prove_nothing(proof, tmp_path):
    assert proof.why_not_of("ipc_cache", records(tmp_path / "well")) == ""
    assert "'ipc_cache'" in proof.why_not_of("startup_plan", records(tmp_path / "other"))
    assert "None" in proof.why_not_of("ipc_cache", records(tmp_path / "back", ("ipc_cache", None)))
    assert proof.why_not_of("compile_cache", records(tmp_path / "nothing", (None,))) == ""


def test_the_two_are_compared_by_the_headline_of_each_case_and_by_rounds(proof, tmp_path):
    found = proof.ratios_of(records(tmp_path, factor=1.1))
    assert len(found) == 4 and all(key.startswith("output_throughput_tok_s (serve,") for key in found)
    assert all(ratio.num_pairs == 8 and 1.05 < ratio.low < ratio.high < 1.15 for ratio in found.values())


def test_one_round_of_both_shows_nothing_equal_and_none_is_left_out(proof, tmp_path):
    made = records(tmp_path)
    for rounds in (0, 1, 8):
        kept = [record for record in made if record.identity.launch == "whole" or record.identity.repeat < rounds]
        found = proof.ratios_of(kept).values()
        assert [ratio.num_pairs for ratio in found] == [rounds] * (4 if rounds else 0)
        assert all(ratio.is_equal() == (rounds == 8) for ratio in found)


def test_both_starts_stand_in_one_experiment_that_can_be_run(proof, tmp_path):
    from benchbook.plan.experiment import load_experiment

    for way, (whole, cheap) in proof.WAYS.items():
        experiment = load_experiment(proof.write_experiment(tmp_path, QUICKSTART, way, "serve", 3))
        for launch, added in zip(experiment.launches, (whole, cheap), strict=True):
            assert launch.name in ARMS and launch.args.items() >= added.get("args", {}).items()
            assert launch.env.keys() >= added.get("env", {}).keys()
