"""This process's folder in the temporary folder, for sockets and connection files: closed to other users, gone with it.

A guardian's is for the sockets of its host.

A lock in the folder says that its owner lives, and however that ends, the lock is free: so any later command can tell
what a killed one has left behind, and removes it.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

PREFIX, LOCK_FILE = "benchbook-", "owner.lock"
SOCKET_PATH_BYTES = 107  # of sockaddr_un, without the closing zero
_LIMIT_BYTES = SOCKET_PATH_BYTES - len("/") - 36  # vLLM names a socket by a UUID, the longest name in such a folder


def scratch_dir() -> Path:
    """Return this process's folder, made on demand; its end removes it, or the next command where it was killed."""
    return _folder_of(os.getpid())[0]


def sweep() -> None:
    """Remove the folders of owners that have ended."""
    for root in {_root(), Path("/tmp")}:
        for lock_file in root.glob(f"{PREFIX}*/{LOCK_FILE}"):
            with contextlib.suppress(OSError), lock_file.open("rb+") as lock:  # of another user, or with a living owner
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock_file.parent)


@functools.cache
def _folder_of(pid: int) -> tuple[Path, IO[str]]:
    """Return the folder of the process `pid`, which is this one, and its lock; a forked child makes one of its own."""
    folder, lock = _locked_folder()

    def remove() -> None:
        if os.getpid() == pid:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder, lock


def _locked_folder() -> tuple[Path, IO[str]]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_root()))
        lock = (folder / LOCK_FILE).open("x")
        with contextlib.suppress(OSError):  # a file system without locks; there, nothing is ever swept
            fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / LOCK_FILE).exists():  # else a sweep came between the last two lines
            return folder, lock
        lock.close()


def _root() -> Path:
    root = Path(tempfile.gettempdir()).absolute()
    return root if len(os.fsencode(root)) + len("/benchbook-12345678") <= _LIMIT_BYTES else Path("/tmp")
