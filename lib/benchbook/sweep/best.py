"""best.yaml of a run: the launch that a search recommends, as a file for `vllm serve --config` and as one command line."""

from __future__ import annotations

from benchbook.hosts.vllm.config_file import config_text
from benchbook.judge.group import judged_together
from benchbook.judge.searched import Searched
from benchbook.records.files import write_text
from benchbook.records.store import BEST_FILE, Store


def write_best(store: Store) -> None:
    """Write best.yaml where the run's search recommends a launch of vLLM; else there is none. Raises StoreError."""
    header, _ = store.read_header()
    if not header.search:
        return
    best = Searched.of(header.search, judged_together(store.records())).best
    launch = header.launches.get(best.launch) if best else None
    path = store.run_dir / BEST_FILE
    if launch is None or launch.engine or launch.command:
        path.unlink(missing_ok=True)
        return
    head = (
        f"# {best.launch}, which the search of {header.experiment}/{header.run_id} recommends; its report says why.\n"
    )
    model = launch.model.path or launch.model.ref or ""
    write_text(path, head + config_text(model, launch.args, launch.env, BEST_FILE, launch.python or ""))
