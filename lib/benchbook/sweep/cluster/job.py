"""On a node: `python -m benchbook.sweep.cluster.job FOLDER` runs the blocks of a job, and writes what it tells to a file.

FOLDER is the job's own, on storage that the node and whoever submitted it see. What is told is appended to it, a line a
call, so that nothing of it is lost with the node or with whoever reads.
"""

from __future__ import annotations

import pickle
import signal
import sys
from pathlib import Path

from benchbook.notebooks.kernels.source import warm_kernels
from benchbook.records.fingerprint import changed_parts
from benchbook.records.host import PlaceFacts
from benchbook.records.store import Store
from benchbook.sweep.again import Again
from benchbook.sweep.block import run_block
from benchbook.sweep.block_result import Work
from benchbook.sweep.cluster.told import BEGAN, DONE, ENDED, GIVEN, TOLD, UNFIT, Given, Node, Teller
from benchbook.sweep.holding import hold_cards
from benchbook.sweep.hosts import host_opener
from benchbook.sweep.interrupts import interrupt_on_stop_signals
from benchbook.sweep.machine import check_machine
from benchbook.sweep.place_process import placed
from benchbook.sweep.planning import RunPlan
from benchbook.sweep.preflight import preflight
from benchbook.terms.errors import BenchbookError
from benchbook.terms.wording import listed


def main(folder: Path) -> None:
    """Run the job of `folder`; SIGTERM ends it in order, its hosts first."""
    interrupt_on_stop_signals([signal.SIGTERM, signal.SIGINT])
    given: Given = pickle.loads((folder / GIVEN).read_bytes())
    with (folder / TOLD).open("ab") as file:
        teller = Teller(file)
        here = Node.here()
        teller.tell(BEGAN, (here,))
        try:
            if given.work:
                _run_blocks(given, given.work, here, folder, teller)
        except BenchbookError as error:
            teller.tell(UNFIT, (str(error),))
            return
        teller.tell(ENDED)


def _run_blocks(given: Given, work: Work, here: Node, folder: Path, teller: Teller) -> None:
    plan = work.plan
    if here.device != plan.device:
        raise BenchbookError(f"node {here.name} has {here.device}, and this run is of {plan.device}")
    there = RunPlan.of(plan.experiment, Store(work.store.run_dir), on=here.device)
    cases = {repeat.case.case_id for block in given.blocks for repeat in block.repeats}
    for case in cases:
        # Which cards a job has, its scheduler says by variables; all others go along with it.
        changed = set(changed_parts(plan.cases[case].parts, there.cases[case].parts)) - {"environment"}
        if changed:
            raise BenchbookError(f"node {here.name} has another {listed(sorted(changed))} than this run is of ({case})")
    checked = preflight(plan.experiment).part_of(cases)
    hold_cards(checked, f"job {folder.name}", given.share_gpu)
    check_machine(checked)
    opener = placed(
        host_opener(given.share_gpu, len(plan.experiment.launches) > 1), PlaceFacts(number=0, node=here.name)
    )
    again = Again(plan.experiment.again, teller)
    with warm_kernels(folder, given.modules):
        for block in given.blocks:
            teller.tell(DONE, (run_block(block, work, opener, teller, again=again),))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
