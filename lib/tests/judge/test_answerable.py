"""Whether a run can answer: more than half of what its answer rests on must be VALID, or no less than half."""

from benchbook.judge.answerable import why_no_answer
from benchbook.records.record import Outcome, Reason, Record, Verdict
from benchbook.terms.asked import Asked


def record(verdict, *codes, benchmark="serve", outcome=Outcome.MEASURED):
    return Record(
        benchmark=benchmark,
        workload={},
        asked=Asked(),
        outcome=outcome,
        verdict=verdict,
        reasons=tuple(Reason(code=code, severity="suspect", evidence="") for code in codes),
        started_utc="",
        ended_utc="",
        started_monotonic_s=0.0,
        ended_monotonic_s=0.0,
    )


VALID, BUSY = record(Verdict.VALID), record(Verdict.SUSPECT, "machine_busy", "repeats_disagree")


def test_a_run_that_is_suspect_for_the_most_part_cannot_answer_and_says_why_and_what_helps():
    said = str(why_no_answer([VALID, BUSY, BUSY, record(Verdict.SUSPECT, "machine_busy")]))
    assert said == (
        "This run cannot answer: 3 of 4 serve repeats are not VALID (machine_busy 3, repeats_disagree 2; some have "
        "several reasons). "
        "Against machine_busy: end other processes, or measure at another time."
    )


def test_a_run_that_is_valid_for_its_half_can_answer():
    assert why_no_answer([VALID, BUSY]) is None


def test_what_the_experiment_allows_is_no_doubt_and_what_comes_with_it_is():
    other, both = record(Verdict.SUSPECT, "outputs_differ"), record(Verdict.SUSPECT, "outputs_differ", "machine_busy")
    assert why_no_answer([VALID, other, other], {"outputs_differ"}) is None
    assert "3 of 3 serve repeats" in str(why_no_answer([both, both, both], {"outputs_differ"}))
    assert why_no_answer([VALID, other, other]) is not None


def test_the_answer_rests_on_serving_where_there_is_any():
    offline = [record(Verdict.VALID, benchmark="latency")] * 5
    assert why_no_answer([*offline, BUSY]) is not None
    assert why_no_answer([*offline, record(Verdict.SUSPECT, "machine_busy", benchmark="first_request")]) is None


def test_failed_repeats_are_no_evidence_either_way():
    failed = [record(Verdict.INVALID, outcome=Outcome.HOST_FAILED)] * 5
    assert why_no_answer([VALID, *failed]) is None
    assert why_no_answer(failed) is None


def test_what_is_advised_on_is_the_cause_and_not_what_follows_from_it():
    bunched = record(Verdict.SUSPECT, "stream_bunched", "repeats_disagree", "machine_busy")
    trend = record(Verdict.SUSPECT, "stream_bunched", "repeats_disagree")
    assert why_no_answer([bunched, trend, trend]).remedy.startswith("Against machine_busy: ")
    assert why_no_answer([trend]).remedy.startswith("Against stream_bunched: "), "where no cause is known"
