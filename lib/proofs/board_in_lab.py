"""A live sweep, started and watched in JupyterLab in a real browser: closed, its kernel killed, reloaded, skipped, stopped.

    python lib/proofs/board_in_lab.py     # three minutes; needs Chromium, and its pictures go beside its output

The start notebook starts a sweep of the tiny model on the real vLLM. Whatever becomes of page and kernel, the sweep has to
go on, and the board to come back; then a case is skipped and the sweep stopped by the buttons. Exits with 1 otherwise.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
from benchbook.hosts.process.ports import reserve_port
from benchbook.lab import copy_notebooks
from benchbook.project import notebooks_dir
from benchbook.records.header import RunState
from benchbook.records.store import Store
from browser import Tab, browser_tab
from pairs import proof_parser, write_output

EXPERIMENT = """
question: Does the sweep go on whatever becomes of who watches?
model: tiny
launches:
  eager:
    args: {enforce_eager: true, dtype: float32, max_model_len: 4096, gpu_memory_utilization: 0.3,
           enable_prefix_caching: false, distributed_executor_backend: uni}
    env: {VLLM_CPU_KVCACHE_SPACE: 1, VLLM_ENABLE_V1_MULTIPROCESSING: 0, OMP_NUM_THREADS: 1}
benchmarks:
  - serve: {max_concurrency: [1, 2, 4], lengths: [[32, 16]], num_prompts: 40}
repeats: 30
again: 0
"""
LIMIT_S = 300.0
# A page is closed as a crash closes it: nobody is asked whether to stay.
UNASKED = "const add = window.addEventListener; window.addEventListener = (kind, ...rest) => kind === 'beforeunload' || add.call(window, kind, ...rest);"
RUN_ALL = "(jupyterapp.commands.execute('notebook:run-all-cells'), true)"
READY = "window.jupyterapp && document.querySelector('.jp-Notebook .jp-Cell') && true"
IDLE = "document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=\"idle\"]') !== null"
BOARD = "[...document.querySelectorAll('.jp-OutputArea .widget-html-content, .jp-OutputArea .jupyter-widgets')].map(e => e.innerText).join('\\n')"


@contextlib.contextmanager
def jupyter_lab(folder: Path) -> Iterator[tuple[str, str]]:
    """Inside, JupyterLab serves `folder`/lab as `make lab` does; yields its address and its token."""
    with reserve_port("127.0.0.1") as reserved:
        port = reserved.getsockname()[1]
    token = secrets.token_hex(16)
    words = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root"]
    words += [f"--IdentityProvider.token={token}", "--expose-app-in-browser", "lab"]
    env = {**os.environ, "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces")}  # what was open elsewhere stays there
    with (folder / "lab.log").open("wb") as log:
        process = subprocess.Popen(
            words, cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield f"http://127.0.0.1:{port}", token
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def start_notebook(folder: Path) -> None:
    """Write the working copies, and name the experiment in the start notebook."""
    copy_notebooks(notebooks_dir(), folder / "lab")
    path = folder / "lab" / "00_start.ipynb"
    notebook = json.loads(path.read_text())
    (tagged,) = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    tagged["source"] = f'experiment: str = "{folder}/watched.yaml"\nrun: str = ""\n'
    path.write_text(json.dumps(notebook))


def wait(tab: Tab, script: str, limit_s: float = LIMIT_S) -> Any:
    """Return the value of a JavaScript expression once it is true; SystemExit after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while True:
        with contextlib.suppress(RuntimeError):  # of a page that is not there yet
            if value := tab.value(script):
                return value
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {limit_s:g} s: {script}\n{tab.value('document.body.innerText')}")
        time.sleep(0.5)


def go(tab: Tab, url: str) -> None:
    """Load `url` anew."""
    for address in ("about:blank", url):
        tab.call("Page.navigate", url=address)
        time.sleep(1.0)


def show_board(tab: Tab, url: str) -> str:
    """Load the page anew, run its cells, and return what the board says."""
    go(tab, url)
    wait(tab, READY)
    wait(tab, IDLE)
    time.sleep(5.0)  # a kernel that is idle may not be connected yet
    tab.value(RUN_ALL)
    return wait(tab, f"({BOARD}).includes(' to go') && ({BOARD})")


def picture(tab: Tab, path: Path) -> None:
    """Write a picture of the board as it is to be seen."""
    tab.value("(document.querySelector('.jp-OutputArea .jupyter-widgets')?.scrollIntoView(), true)")
    time.sleep(0.5)
    tab.shot(path)


def press(tab: Tab, text: str) -> None:
    """Press the button that says so."""
    buttons = "[...document.querySelectorAll('button.jupyter-button, .jupyter-widgets button')]"
    wait(
        tab,
        f"(() => {{ const b = {buttons}.find(b => b.innerText.includes({text!r})); b && b.click(); return !!b; }})()",
    )


def kernels(url: str, token: str) -> list[dict[str, Any]]:
    """Return the kernels that JupyterLab knows."""
    return json.load(urlopen(f"{url}/api/kernels?token={token}", timeout=30))


def kill_kernel(url: str, token: str) -> None:
    """Kill the notebook's kernel, as the memory's end would."""
    (kernel,) = kernels(url, token)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(kernel["id"] in word for word in process.cmdline()):
                process.kill()


def more_is_measured(store: Store) -> int:
    """Return how many repeats are measured, once that is more than now."""
    before, deadline = store.count_measured(), time.monotonic() + LIMIT_S
    while (count := store.count_measured()) <= before:
        if time.monotonic() > deadline or store.header().state is not RunState.RUNNING:
            raise SystemExit(f"the sweep does not go on: {store.header().state}, {count} measured")
        time.sleep(0.5)
    return count


def main() -> int:
    """Do all of it, a line each; 1 when the sweep or the board is not what it has to be."""
    options = proof_parser(__doc__, "board_in_lab").parse_args()
    pictures = options.output.parent
    pictures.mkdir(parents=True, exist_ok=True)
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        print(text, flush=True)

    with tempfile.TemporaryDirectory(prefix="benchbook-lab-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "results").mkdir()
        (folder / "watched.yaml").write_text(EXPERIMENT)
        start_notebook(folder)
        with jupyter_lab(folder) as (url, token), browser_tab() as tab:
            _wait_for(f"{url}/api?token={token}")
            tab.call("Page.addScriptToEvaluateOnNewDocument", source=UNASKED)
            tab.call("Emulation.setDeviceMetricsOverride", width=1400, height=1400, deviceScaleFactor=1, mobile=False)
            address = f"{url}/lab/tree/00_start.ipynb?token={token}"
            show_board(tab, address)
            store = Store.open("watched", folder / "results")
            try:
                tell(f"started and watched: {more_is_measured(store)} measured")
                picture(tab, pictures / "board.png")
                tab.call("Page.navigate", url="about:blank")
                tell(f"board closed: {more_is_measured(store)} measured")
                go(tab, address)
                wait(tab, READY)
                tell(f"browser reloaded: {more_is_measured(store)} measured")
                kill_kernel(url, token)
                tell(f"kernel killed: {more_is_measured(store)} measured")
                show_board(tab, address)
                tell(f"board on a new kernel: {more_is_measured(store)} measured")
                press(tab, "Skip the case")
                wait(tab, f"({BOARD}).includes('nothing more is measured of')")
                (skipped,) = store.control.skipped
                count = sum(record.identity.case_key == skipped for record in store.records())
                more_is_measured(store)
                more_is_measured(store)
                later = sum(record.identity.case_key == skipped for record in store.records())
                tell(f"skipped {skipped}: {count} repeats of it before, {later} later")
                picture(tab, pictures / "skipped.png")
                press(tab, "Stop after this repeat")
                wait(tab, f"({BOARD}).includes('(interrupted)')")
                picture(tab, pictures / "stopped.png")
                records = store.records()
                raised = [line for line in tab.complaints if line.startswith("exception")]
                tell(f"stopped: {store.header().state}, {len(records)} measured, {len(raised)} exceptions in the page")
                is_right = later <= count + 1 and all(record.is_measured for record in records) and not raised
            finally:
                store.control.stop()
    write_output(options.output, {"told": told})
    return 0 if is_right else 1


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            urlopen(url, timeout=10).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"nobody answers at {url}") from None
            time.sleep(0.5)


if __name__ == "__main__":
    raise SystemExit(main())
