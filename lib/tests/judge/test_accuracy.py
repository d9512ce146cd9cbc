"""A guard: answers of two launches paired by item, their exact interval, and what they do to a claim of speed."""

import random
from types import SimpleNamespace

import pytest
from benchbook.judge.accuracy import Kept, accuracy_of, right_sentence
from benchbook.judge.claims import sentence
from benchbook.judge.compare import Finding, compare
from benchbook.judge.comparison_caveats import caveats
from benchbook.judge.exact import change_interval, items_needed
from benchbook.judge.gate_refusals import Side, refusals
from benchbook.records.answers import GuardAnswers
from benchbook.report.differences import finding_text
from benchbook.report.run import load_run
from report_runs import make_run
from scipy.stats import binomtest, multinomial

TWO = ("eager", "compiled")  # the second is 1.35 times as fast


def answers(marks, margin=0.01, guess=0.0, **facts):
    return GuardAnswers(items_sha256="a" * 64, margin=margin, guess=guess, marks=marks, **facts)


def marks(number, right, lost=0, gained=0):
    """Return what both launches have right: the other loses the first of the base's, and gains the first of its wrong ones."""
    base = "1" * right + "0" * (number - right)
    other = "0" * lost + "1" * (right - lost + gained) + "0" * (number - right - gained)
    return base, other


def asked(base, other, is_random=False):
    """Return what gives each launch's first serve record these answers, in place of random weights a trained model."""
    told = dict(zip(TWO, (base, other)))

    def change(record):
        host = record.host.model_copy(update={"random_weights": is_random})
        is_first = record.identity.repeat == 0 and record.workload.get("input_len_tokens") == 128
        guard = told[record.identity.launch] if is_first else None
        return record.model_copy(update={"host": host, "guard": guard})

    return change


def run_of(folder, base, other, **options):
    change = asked(base, other, **options)
    return load_run(make_run(folder, launches=TWO, repeats=6, benchmarks=("serve",), concurrencies=(4,), change=change))


def compared(folder, base, other, **options):
    run = run_of(folder, base, other, **options)
    return compare(*(run.by_launch[launch] for launch in TWO), TWO)


def headline(comparison):
    row = next(row for row in comparison.rows if row.is_headline)
    return row, sentence(row, comparison)


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (0.05, 0.05), (0.3, 0.05), (0.0, 0.2), (0.4, 0.4), (0.02, 0.3)])
def test_the_interval_holds_the_true_change_in_95_of_100_whatever_that_is(lost, gained):
    number, held = 16, 0.0
    for ours in range(number + 1):
        for theirs in range(number + 1 - ours):
            low, high = change_interval(ours, theirs, number)
            counts = [ours, theirs, number - ours - theirs]
            if low - 1e-5 <= gained - lost <= high + 1e-5:
                held += multinomial.pmf(counts, number, [lost, gained, 1 - lost - gained])
    assert held >= 0.95


def test_where_no_item_differs_the_interval_is_as_wide_as_the_items_are_few():
    for number in (10, 100, 1000):
        low, high = change_interval(0, 0, number)
        assert low == -high and 3 / number < high < min(1.0, 7 / number)
    assert change_interval(0, 0, items_needed(0.02))[0] >= -0.02 > change_interval(0, 0, items_needed(0.02) - 1)[0]


def test_the_items_that_a_margin_needs_are_known_at_once_also_where_they_are_very_many():
    assert [items_needed(margin) for margin in (0.01, 0.02, 0.001)] == [553, 275, 5551]
    assert items_needed(1e-6) == pytest.approx(1e3 * items_needed(0.001), rel=0.01)  # of which no array is made


def test_the_interval_turns_round_with_the_launches_and_leaves_out_0_no_sooner_than_mcnemars_exact_test():
    for lost, gained, number in ((9, 0, 200), (12, 3, 300), (6, 1, 60), (30, 12, 500)):
        low, high = change_interval(lost, gained, number)
        assert change_interval(gained, lost, number) == (-high, -low)
        if high < 0:
            assert binomtest(lost, lost + gained).pvalue < 0.05


@pytest.mark.parametrize(
    ("lost", "gained", "number", "margin", "kept"),
    [
        (2, 2, 2000, 0.01, Kept.KEPT),
        (0, 5, 2000, 0.01, Kept.KEPT),
        (60, 4, 2000, 0.01, Kept.LOST),
        (60, 4, 2000, 0.05, Kept.KEPT),  # a loss that is allowed
        (2, 2, 100, 0.01, Kept.OPEN),  # too few items
        (30, 10, 2000, 0.01, Kept.OPEN),  # a loss for sure, and whether it is more than the margin is open
    ],
)
def test_what_may_be_said_of_the_answers(tmp_path, lost, gained, number, margin, kept):
    base, other = (answers(one, margin) for one in marks(number, number * 3 // 4, lost, gained))
    comparison = compared(tmp_path, base, other)
    found = comparison.accuracy
    assert found.kept is kept and (found.lost, found.gained, found.number) == (lost, gained, number)
    assert any(text.startswith("Guard: ") for text in caveats(comparison))


def test_a_claim_of_speed_carries_the_answers_with_their_interval(tmp_path):
    row, said = headline(compared(tmp_path, *(answers(one) for one in marks(2000, 1500, 6, 4))))
    assert row.finding is Finding.BETTER
    assert " faster than eager in output throughput (" in said and ", accuracy -0.1 points [-0." in said


def test_a_loss_beyond_the_margin_vetoes_every_claim_of_better_and_none_of_worse(tmp_path):
    base, other = (answers(one) for one in marks(2000, 1500, 100, 10))
    comparison = compared(tmp_path / "a", base, other)
    row, said = headline(comparison)
    assert row.is_vetoed and row.finding is Finding.OPEN and finding_text(row) == "no claim; it answers worse"
    assert said.startswith("no claim that compiled is faster in output throughput (")
    assert "it answers worse, accuracy -4.5 points [-" in said and "where 1 point may be lost" in said
    assert not [one for one in comparison.rows if one.finding is Finding.BETTER]
    run = run_of(tmp_path / "b", base, other)
    slower = compare(run.by_launch["compiled"], run.by_launch["eager"], TWO[::-1])
    assert headline(slower)[0].finding is Finding.WORSE


def test_a_guard_that_is_too_wide_lets_the_claim_stand_and_says_so(tmp_path):
    comparison = compared(tmp_path, *(answers(one) for one in marks(100, 80, 1, 1)))
    row, said = headline(comparison)
    assert row.finding is Finding.BETTER and "too wide to tell a loss of 1 point" in said
    assert any("items would tell" in text for text in caveats(comparison))


def test_of_random_weights_and_of_who_guesses_the_guard_means_nothing(tmp_path):
    pair = [answers(one) for one in marks(2000, 1500, 300, 10)]
    row, said = headline(compared(tmp_path / "a", *pair, is_random=True))
    assert row.finding is Finding.BETTER and "the guard tells nothing (the model has random weights" in said
    guessing = [answers(one, guess=0.25) for one in marks(200, 52, 30, 10)]
    assert compared(tmp_path / "b", *guessing).accuracy.kept is Kept.NOTHING
    knowing = [answers(one, guess=0.25) for one in marks(200, 80, 30, 10)]
    assert compared(tmp_path / "c", *knowing).accuracy.kept is not Kept.NOTHING


def test_what_the_other_launch_leaves_unanswered_is_wrong_and_what_the_first_does_counts_for_nobody(tmp_path):
    base, other = answers("1" * 990 + "-" * 10), answers("-" * 50 + "1" * 950)
    found = compared(tmp_path, base, other).accuracy
    assert (found.number, found.lost, found.kept) == (990, 50, Kept.LOST)


def test_what_either_launch_was_not_asked_counts_for_nobody_and_is_told(tmp_path):
    gone = "the server is gone"
    for number, (base, other) in enumerate(
        (
            ("1" * 900 + "." * 100, "1" * 800 + "." * 200),  # a load that ended sooner
            ("1" * 1000, "1" * 800 + "." * 200),
            ("." * 200 + "1" * 800, "1" * 1000),
        )
    ):
        comparison = compared(tmp_path / str(number), answers(base, why_not=gone), answers(other, why_not=gone))
        found = comparison.accuracy
        assert (found.number, found.lost, found.kept) == (800, 0, Kept.KEPT)
        assert headline(comparison)[0].finding is Finding.BETTER
        assert any(f"were not asked of {TWO[number < 2]}: {gone}" in text for text in found.sentences)


def test_where_no_item_was_asked_of_both_nothing_is_vetoed_and_it_is_said(tmp_path):
    comparison = compared(tmp_path, answers("1" * 500 + "." * 500), answers("." * 500 + "0" * 500))
    assert comparison.accuracy.kept is Kept.OPEN and headline(comparison)[0].finding is Finding.BETTER
    assert "no item that eager answered was asked of compiled" in " ".join(caveats(comparison))


def test_of_a_launch_alone_it_is_told_what_was_not_asked():
    class One:
        is_measured, host = True, SimpleNamespace(random_weights=False)
        guard = answers("1" * 80 + "." * 20, why_not="the server is gone")

    said = right_sentence([One()])
    assert "80 of 80 items asked under load are answered right; 20 items were not asked: the server is gone" in said


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (None, "compiled answered no item"),
        (answers("-" * 100, why_not="HTTP 404: no such page"), "compiled answered no item: HTTP 404: no such page"),
        (answers("1" * 90), "they were asked different items"),
    ],
)
def test_answers_that_cannot_be_paired_are_told_apart_from_good_ones(tmp_path, other, why):
    comparison = compared(tmp_path, answers("1" * 100), other)
    assert comparison.accuracy.kept is Kept.OPEN and comparison.accuracy.why_open == why
    assert "whether its answers are as good was not found out" in headline(comparison)[1]


def test_without_a_guard_nothing_is_said_of_answers(tmp_path):
    comparison = compared(tmp_path, None, None)
    assert comparison.accuracy is None and "accuracy" not in headline(comparison)[1]


def test_log_probabilities_that_fall_are_told_before_an_answer_turns(tmp_path):
    draw = random.Random(0)
    ours = [draw.gauss(-1.0, 0.3) for _ in range(400)]
    base = answers("1" * 400, margin=0.05, logprobs=ours)
    falling = answers("1" * 400, margin=0.05, logprobs=[value - 0.02 + draw.gauss(0, 0.02) for value in ours])
    steady = answers("1" * 400, margin=0.05, logprobs=[value + draw.gauss(0, 0.02) for value in ours])
    for other, is_early, folder in ((falling, True, "a"), (steady, False, "b")):
        found = compared(tmp_path / folder, base, other).accuracy
        assert found.kept is Kept.KEPT
        assert any("comes before answers change" in text for text in found.sentences) is is_early


CODES = {"answers_worse": (100, 0, 2000), "guard_too_wide": (1, 1, 100)}


@pytest.mark.parametrize("code", CODES)
def test_a_code_stands_on_the_record_that_asked_and_not_where_answers_are_kept(tmp_path, code):
    lost, gained, number = CODES[code]
    faulty = run_of(tmp_path / "a", *(answers(one) for one in marks(number, number * 3 // 4, lost, gained)))
    twin = run_of(tmp_path / "b", *(answers(one) for one in marks(4000, 3000, 2, 2)))
    found = [record for record in faulty.records if code in [why.code for why in record.reasons]]
    assert [(record.identity.launch, record.identity.repeat) for record in found] == [("compiled", 0)]
    assert not [record for record in twin.records if code in [why.code for why in record.reasons]]


def test_that_a_guard_means_nothing_is_a_note_for_a_single_launch_too(tmp_path):
    def codes(is_random, launches, folder):
        change = asked(*(answers(one) for one in marks(1000, 800)), is_random=is_random)
        run = load_run(
            make_run(tmp_path / folder, launches=launches, benchmarks=("serve",), concurrencies=(4,), change=change)
        )
        return {why.code: why.severity for record in run.records for why in record.reasons}

    assert codes(True, TWO, "a")["guard_means_nothing"] == codes(True, TWO[:1], "b")["guard_means_nothing"] == "note"
    assert "guard_means_nothing" not in codes(False, TWO, "c").keys() | codes(False, TWO[:1], "d").keys()


def test_a_gate_does_not_let_lost_answers_pass(tmp_path):
    for folder, lost, is_broken in (("a", 100, True), ("b", 2, False)):
        run = run_of(tmp_path / folder, *(answers(one) for one in marks(2000, 1500, lost, 2)))
        told, broken = refusals(*(Side(name, run.by_launch[name]) for name in TWO), may_differ=True)
        assert broken is is_broken and any("compiled answers worse than eager" in text for text in told) is is_broken


def test_items_of_another_file_are_not_paired():
    class One:
        is_measured, host = True, None

        def __init__(self, guard):
            self.guard = guard

    other = GuardAnswers(items_sha256="b" * 64, margin=0.01, guess=0.0, marks="1" * 10)
    assert accuracy_of([One(answers("1" * 10))], [One(other)], TWO).why_open == "they were asked different items"
