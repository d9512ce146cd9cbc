"""The folder of sockets: one a process, closed to others, gone with it; what a killed one has left is removed later."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import uuid
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


LENGTHS = {30: True, 51: True, 52: False, 107: False, 112: False, 200: False, 1024: False}  # (bytes)


@pytest.mark.parametrize(
    ("letter", "length"),
    [*(("d", length) for length in LENGTHS), *itertools.product("ü漢🙂", (51, 52))],
)
def test_a_temporary_folder_that_is_too_deep_for_vllms_sockets_is_not_used(
    root: Path, monkeypatch: pytest.MonkeyPatch, letter: str, length: int
) -> None:
    deep = root  # of so many bytes, in names that a file system takes
    while left := length - len(os.fsencode(deep)):
        size = min(left - 1, 200) if left != 202 else 100
        deep /= letter * (size // len(letter.encode())) + "x" * (size % len(letter.encode()))
    deep.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(deep))
    process, folder = owner("end")
    process.communicate()
    assert len(os.fsencode(deep)) == length and folder.parent == (deep if LENGTHS[length] else Path("/tmp"))
    assert len(os.fsencode(folder / str(uuid.uuid4()))) <= 107
