"""A shell that has everything in the way of a start, and a model whose hub has two commits, of which the second is asked for."""

from __future__ import annotations

import getpass
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from benchbook.hosts.model.files import build_embedded
from listening_proxy import ListeningProxy, listening_proxy

MODEL = "some/model"
FIRST, SECOND = "1" * 40, "2" * 40
SHORTER = 4096  # the longest sequence (tokens) of the second; the first one takes 8192


def hub_of_two_commits(folder: Path) -> dict[str, str]:
    """Make MODEL's hub in `folder`, and return the environment that names it."""
    repo = folder / "hf" / "hub" / "models--some--model"
    for commit in (FIRST, SECOND):
        shutil.copytree(build_embedded("tiny"), repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(FIRST)
    path = repo / "snapshots" / SECOND / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "max_position_embeddings": SHORTER}))
    return {"HF_HOME": str(folder / "hf")}


@contextmanager
def crowded_shell(folder: Path) -> Iterator[ListeningProxy]:
    """Inside, the environment has a proxy, which is yielded, a cluster's variables and a long TMPDIR in `folder`.

    What Inductor has compiled for other starts is there, which would take ten seconds anew.
    """
    long, compiled = folder / ("t" * (111 - len(str(folder)))), f"torchinductor_{getpass.getuser()}"
    long.mkdir()
    shared = Path(tempfile.gettempdir()) / compiled
    shared.mkdir(exist_ok=True)
    (long / compiled).symlink_to(shared)
    with pytest.MonkeyPatch.context() as patch, listening_proxy(patch) as proxy:
        patch.setenv("VLLM_PORT", "tcp://10.43.1.39:8000")
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
        patch.setenv("TMPDIR", str(long))
        patch.setattr(tempfile, "tempdir", str(long))
        yield proxy
