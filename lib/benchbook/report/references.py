"""Serving beside its offline references: how far from floor and ceiling it is, and where the numbers contradict.

What contradicts what is the judge's to say (judge/coherence.py): a sentence that calls two numbers a contradiction
while their records are VALID would be a second opinion.
"""

from __future__ import annotations

from typing import NamedTuple

from benchbook.records.record import Record, Verdict
from benchbook.report.curves import Line
from benchbook.report.run import Run
from benchbook.report.sentences import peak_of
from benchbook.terms.benchmarks import Role
from benchbook.terms.wording import number_text


class _Said(NamedTuple):
    text: str
    is_contradiction: bool = False


def references(run: Run) -> list[str]:
    """Return how serving compares with the offline floor and ceiling, contradictions first."""
    found = [*_ceilings(run), *_floors(run)]
    return [said.text for said in sorted(found, key=lambda said: not said.is_contradiction)]


def floor_reading(run: Run) -> list[str]:
    """Return one sentence a line on the batch-one latency floor; a floor above the latency under load is named."""
    return [said.text for said in _floors(run)]


def _floors(run: Run) -> list[_Said]:
    batches, found = run.batch_latencies, []
    for line in run.lines:
        floor, served = batches.get(line.key, {}).get(1), line.means("mean_e2el_ms")
        if floor is None or not served:
            continue
        lowest = min(served, key=served.__getitem__)
        if evidence := _doubt(run, line, "floor_above_load"):
            said = (
                f"Contradiction. {line.label}: {evidence}. A floor cannot lie above: the two were not measured under "
                "the same conditions, or one of them is wrong."
            )
            found.append(_Said(said, is_contradiction=True))
        else:
            said = (
                f"{line.label}: one batch of one takes {number_text(floor.mean)} ms offline; a request served "
                f"{line.load.at(lowest)} takes {number_text(served[lowest])} ms (mean E2EL), "
                f"{served[lowest] / floor.mean:.2f} times as long{_weakness(run, line, 'floor')}."
            )
            found.append(_Said(said))
    return found


def _ceilings(run: Run) -> list[_Said]:
    """Return one sentence a line on the throughput-mode ceiling; a ceiling below the serving peak is named."""
    ceilings, found = run.ceilings, []
    for line in run.lines:
        ceiling, peak = ceilings.get(line.key), peak_of(line)
        if ceiling is None or peak is None or line.disagrees_at(peak[0]):
            continue
        offline, served = ceiling.output_tok_s.mean, peak[1].mean
        if evidence := _doubt(run, line, "ceiling_below_serving"):
            said = (
                f"Contradiction. {line.label}: {evidence}. A ceiling cannot lie below: its prompts do not fill the "
                "engine long enough, or the two were not measured under the same conditions."
            )
            found.append(_Said(said, is_contradiction=True))
        else:
            said = (
                f"{line.label}: serving reaches {served / offline:.0%} of throughput mode ({number_text(served)} tok/s "
                f"{line.load.at(peak[0])}, against {number_text(offline)} tok/s offline with {ceiling.num_prompts} "
                f"prompts at once){_weakness(run, line, 'ceiling')}."
            )
            found.append(_Said(said))
    return found


def _doubt(run: Run, line: Line, code: str) -> str | None:
    """Return the evidence of `code` among the records of the line's launch and curve; None where there is none."""
    for record in _records_of(run, line):
        for why in record.reasons:
            if why.code == code:
                return why.evidence
    return None


def _weakness(run: Run, line: Line, role: Role) -> str:
    """Return what keeps a reference from being a bound; '' where its repeats are VALID."""
    found = [
        record
        for record in _records_of(run, line)
        # The floor is a batch of one; larger batches bound nothing here.
        if record.row.role == role and record.is_measured and not (role == "floor" and _is_of_several(record))
    ]
    suspects = [record for record in found if record.verdict is Verdict.SUSPECT]
    codes = dict.fromkeys(why.code for record in suspects for why in record.reasons if why.severity == "suspect")
    if not suspects:
        return ""
    return (
        f"; {len(suspects)} of {len(found)} repeats of {suspects[0].benchmark} mode are SUSPECT ({', '.join(codes)}), "
        f"so this is no {role} to rely on"
    )


def _records_of(run: Run, line: Line) -> list[Record]:
    return [record for record in run.by_launch[line.launch] if record.curve == line.curve]


def _is_of_several(record: Record) -> bool:
    return record.load is not None and record.load.value > 1
