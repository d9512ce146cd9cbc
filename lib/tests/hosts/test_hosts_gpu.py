"""The next launch waits for a free GPU; the tests put a scripted nvidia-smi on the path."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from benchbook.hosts.machine import gpu
from benchbook.hosts.process import processes
from benchbook.terms.errors import HostStartError

SMI = """#!/bin/sh
case "$1" in
  --query-compute-apps=*) cat {folder}/apps; echo >> {folder}/asked
    later={folder}/apps-after-$(wc -l < {folder}/asked); [ -f $later ] && mv $later {folder}/apps ;;
  --query-gpu=*) cat {folder}/gpus ;;
esac
exit 0
"""
IDLE = "0, GPU-aaa, 4, 81559\n"


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Return a function that sets what nvidia-smi says of processes and of memory."""
    folder = tmp_path / "smi"
    folder.mkdir()
    (folder / "nvidia-smi").write_text(SMI.format(folder=folder))
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpu, "FREE_POLL_S", 0.01)

    def says(apps: str, gpus: str = IDLE) -> Path:
        (folder / "apps").write_text(apps)
        (folder / "gpus").write_text(gpus)
        return folder

    return says


def test_without_a_gpu_there_is_nothing_to_tell_and_nothing_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert gpu.gpu_processes() is None
    assert gpu.gpu_memory() is None
    gpu.wait_device_free()


def test_processes_and_memory_are_read_with_units(smi: Callable[..., Path]) -> None:
    smi("4242, /usr/bin/python3, 2048, GPU-aaa\n77, other, [N/A], GPU-aaa\n", "0, GPU-aaa, 20480, 81920\n")
    assert gpu.gpu_processes() == [
        gpu.GpuProcess(4242, "/usr/bin/python3", 2.0, "GPU-aaa"),
        gpu.GpuProcess(77, "other", None, "GPU-aaa"),
    ]
    assert gpu.gpu_memory() == [gpu.GpuMemory(0, "GPU-aaa", 20.0, 80.0)]


def test_a_gpu_that_is_not_visible_to_us_does_not_count(
    smi: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    smi("4242, python, 2048, GPU-aaa\n", "0, GPU-aaa, 20480, 81920\n1, GPU-bbb, 0, 81920\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpu.gpu_processes() == []
    assert gpu.gpu_memory() == [gpu.GpuMemory(1, "GPU-bbb", 0.0, 80.0)]
    gpu.wait_device_free(timeout_s=0.1)


def test_a_foreign_process_is_named_and_refused_unless_the_gpu_is_shared(smi: Callable[..., Path]) -> None:
    smi("4242, /usr/bin/train, 2048, GPU-aaa\n", "0, GPU-aaa, 2048, 81920\n")
    with pytest.raises(HostStartError, match=r"pid 4242 \(/usr/bin/train\)") as refusal:
        gpu.wait_device_free(timeout_s=0.1)
    assert refusal.value.cause.code == "device_busy"
    assert "--share-gpu" in refusal.value.cause.hint
    gpu.wait_device_free(timeout_s=0.1, share_gpu=True)


def test_a_process_of_ours_is_waited_for(smi: Callable[..., Path]) -> None:
    folder = smi("4242, VLLM::Worker, 2048, GPU-aaa\n")
    (folder / "apps-after-3").write_text("")
    gpu.wait_device_free([4242], timeout_s=10.0)
    assert (folder / "asked").read_text().count("\n") >= 3


def test_a_process_with_a_benchbook_marker_is_one_of_ours(smi: Callable[..., Path]) -> None:
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", "import time; time.sleep(60)"], env={**os.environ, processes.MARKER: "x"}
    )
    try:
        smi(f"{child.pid}, python, 2048, GPU-aaa\n")
        with pytest.raises(HostStartError, match=str(child.pid)):  # waited for, and then named
            gpu.wait_device_free(timeout_s=0.1)
    finally:
        child.kill()
        child.wait()


def test_memory_that_nobody_visible_holds_is_waited_for_and_then_reported(smi: Callable[..., Path]) -> None:
    smi("", "0, GPU-aaa, 20480, 81920\n")
    with pytest.raises(HostStartError, match="memory that no visible process holds"):
        gpu.wait_device_free(timeout_s=0.05)


def test_only_the_gpus_that_a_launch_names_are_waited_for(smi: Callable[..., Path]) -> None:
    smi("4242, train, 2048, GPU-aaa\n", "0, GPU-aaa, 20480, 81920\n1, GPU-bbb, 0, 81920\n")
    gpu.wait_device_free(timeout_s=0.1, env={"CUDA_VISIBLE_DEVICES": "GPU-b"})
    with pytest.raises(HostStartError, match="pid 4242"):
        gpu.wait_device_free(timeout_s=0.1, env={"CUDA_VISIBLE_DEVICES": "1,0"})
