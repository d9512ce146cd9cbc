"""Serving beside its offline references: how far from floor and ceiling it is, and where the numbers contradict.

Two numbers contradict each other when the one that must be lower leads by more than 5 %.
"""

from __future__ import annotations

from benchbook.judge.spread import number_text
from benchbook.report.reading import in_flight, peak_of
from benchbook.report.run import Run

TOLERANCE = 0.05  # two numbers this near are not called different


def references(run: Run) -> list[str]:
    """Return how serving compares with the offline floor and ceiling, contradictions first."""
    sentences = [*ceiling_reading(run), *floor_reading(run)]
    return sorted(sentences, key=lambda sentence: not sentence.startswith("Contradiction"))


def floor_reading(run: Run) -> list[str]:
    """Return one sentence a line on the batch-one latency floor; a floor above the latency under load is named."""
    batches = run.batch_latencies
    sentences = []
    for line in run.lines:
        floor, served = batches.get(line.key, {}).get(1), line.points("mean_e2el_ms")["mean"]
        if floor is None or served.empty:
            continue
        lowest = int(served.idxmin())
        alone = f"{line.label}: one batch of one takes {number_text(floor.mean)} ms offline"
        if floor.mean > served[lowest] * (1 + TOLERANCE):
            sentences.append(
                f"Contradiction. {alone}, more than the {number_text(served[lowest])} ms (mean E2EL) of a request "
                f"served with {in_flight(lowest)}. A floor cannot lie above: the two were not measured under the same "
                "conditions, or one of them is wrong."
            )
        else:
            sentences.append(
                f"{alone}; a request served with {in_flight(lowest)} takes {number_text(served[lowest])} ms "
                f"(mean E2EL), {served[lowest] / floor.mean:.2f} times as long."
            )
    return sentences


def ceiling_reading(run: Run) -> list[str]:
    """Return one sentence a line on the throughput-mode ceiling; a ceiling below the serving peak is named."""
    found = run.ceilings
    sentences = []
    for line in run.lines:
        ceiling, peak = found.get(line.key), peak_of(line)
        if ceiling is None or peak is None:
            continue
        offline, served = ceiling.output_tok_s.mean, peak[1].mean
        both = f"{number_text(served)} tok/s with {in_flight(peak[0])}"
        if served > offline * (1 + TOLERANCE):
            sentences.append(
                f"Contradiction. {line.label}: throughput mode reaches {number_text(offline)} output tok/s, less than "
                f"serving ({both}). A ceiling cannot lie below: its {ceiling.num_prompts} prompts do not fill the "
                "engine long enough, or the two were not measured under the same conditions."
            )
        else:
            sentences.append(
                f"{line.label}: serving reaches {served / offline:.0%} of throughput mode ({both}, against "
                f"{number_text(offline)} tok/s offline with {ceiling.num_prompts} prompts at once)."
            )
    return sentences
