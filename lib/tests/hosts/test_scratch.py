"""The folder of sockets: one a process, closed to others, gone with it; what a killed one has left is removed later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchbook.hosts.process import scratch

OWNER = """
import os, sys, time
from benchbook.hosts.process.scratch import scratch_dir
(scratch_dir() / "kernel-1.json").write_text("{}")
print(scratch_dir(), flush=True)
if sys.argv[1] == "wait": time.sleep(60)
if sys.argv[1] == "leave": os._exit(0)
"""


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a temporary folder that is only this test's; pytest's own may be too deep for sockets."""
    with tempfile.TemporaryDirectory(prefix="root-", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def owner(how: str) -> tuple[subprocess.Popen, Path]:
    """Start a process that makes its folder, and return both."""
    process = subprocess.Popen([sys.executable, "-c", OWNER, how], stdout=subprocess.PIPE, text=True)
    return process, Path(process.stdout.readline().strip())


def test_the_folder_is_closed_to_other_users_and_gone_with_its_process(root: Path) -> None:
    process, folder = owner("wait")
    assert folder.parent == root and folder.stat().st_mode & 0o777 == 0o700
    process.kill()
    process.communicate()
    process, folder = owner("end")
    process.communicate()
    assert not folder.exists()


@pytest.mark.parametrize("how", ["wait", "leave"])
def test_what_a_killed_process_has_left_is_swept_and_what_lives_or_is_of_others_stays(root: Path, how: str) -> None:
    (living, living_folder), (killed, killed_folder) = owner("wait"), owner(how)
    killed.kill()
    killed.communicate()
    of_others = root / "benchbook-results"
    (of_others / "mine").mkdir(parents=True)
    assert (killed_folder / "kernel-1.json").exists()
    scratch.sweep()
    assert not killed_folder.exists() and living_folder.exists() and (of_others / "mine").exists()
    living.send_signal(signal.SIGKILL)
    living.communicate()
    scratch.sweep()
    assert [path.name for path in root.iterdir()] == ["benchbook-results"]


def test_a_forked_child_has_a_folder_of_its_own_and_leaves_its_parents(root: Path) -> None:
    script = OWNER.replace(
        "if sys", "if os.fork() == 0: print(scratch_dir(), flush=True); sys.exit()\nos.wait()\nif sys", 1
    )
    text = subprocess.run([sys.executable, "-c", script, "end"], capture_output=True, text=True, check=True).stdout
    parents, childs = text.split()
    assert parents != childs and list(root.iterdir()) == []


def test_a_temporary_folder_that_is_too_deep_for_sockets_is_not_used(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = root / ("d" * 90)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    process, folder = owner("end")
    process.communicate()
    assert folder.parent == Path("/tmp") and len(os.fsencode(folder / "kernel-12345678-ipc-5")) <= 107
