#!/usr/bin/env python3
"""Unpack a bundle of build.py on a machine without a network, and check what came out.

    python3 unpack.py --to DIR            join, verify and unpack the parts beside this file, then check
    python3 unpack.py --to DIR --check    check only
    . DIR/activate                        in a shell: vLLM and benchbook are importable, `benchbook` is on PATH

The parts may lie in several folders: name the others with --parts. Needs only Python's standard library, and, for the
check, the CUDA libraries that a torch which is installed has brought. Exit codes: 0 usable, 1 a check failed, 2 a part is missing or broken.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

ACTIVATE = """# Made by unpack.py; to be sourced by a shell.
export PYTHONPATH="{site}${{PYTHONPATH:+:$PYTHONPATH}}"
export PATH="{bin}:$PATH"
export JUPYTER_PATH="{site}/share/jupyter${{JUPYTER_PATH:+:$JUPYTER_PATH}}"
export VLLM_USE_FLASHINFER_SAMPLER=0 VLLM_USE_DEEP_GEMM=0  # neither is in the bundle
export HF_HUB_OFFLINE=1
# Python keeps what it has compiled, torch's as well, wherever that lies: without it each start of vLLM takes 20 s more.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX="{bytecode}"
"""
PROGRAMS = {"benchbook": "benchbook", "vllm": "vllm.entrypoints.cli.main", "papermill": "papermill"}
IMPORTS = (
    "psutil typer rich pydantic yaml requests openai prometheus_client",
    "numpy pandas scipy matplotlib",
    "ipykernel nbformat nbclient nbconvert papermill jupyter_client",
    "benchbook.cli benchbook.plan benchbook.sweep.runner benchbook.report.html",
    "transformers",
    "vllm vllm.engine.arg_utils vllm.entrypoints.cli.main vllm.benchmarks.serve vllm.benchmarks.latency",
)
# A notebook executed in a kernel of its own, and made into HTML with nbconvert's templates.
NOTEBOOK = """
import nbclient, nbformat, nbconvert
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("6 * 7")])
nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
assert "42" in nbconvert.HTMLExporter().from_notebook_node(notebook)[0], "the cell's result is not in the page"
"""
# One kernel of each library, so that code for this GPU is known to be there, with its result compared to torch's.
KERNELS = """
import torch
assert torch.cuda.is_available(), "torch sees no GPU"
import vllm._custom_ops  # loads the libraries
x = torch.randn(8, 256, device="cuda", dtype=torch.bfloat16)
out = torch.empty(8, 128, device="cuda", dtype=torch.bfloat16)
torch.ops._C.silu_and_mul(out, x)
want = torch.nn.functional.silu(x[:, :128].float()) * x[:, 128:].float()
assert torch.allclose(out.float(), want, atol=0.05), "silu_and_mul is wrong"
print("ok: vllm's own kernels")
from vllm.vllm_flash_attn import flash_attn_varlen_func
q = torch.randn(64, 4, 64, device="cuda", dtype=torch.bfloat16)
ends = torch.tensor([0, 64], device="cuda", dtype=torch.int32)
major = torch.cuda.get_device_capability()[0]
got = flash_attn_varlen_func(q, q, q, 64, ends, 64, ends, causal=True, fa_version=3 if major == 9 else 2)
heads = q.transpose(0, 1).float()[None]
want = torch.nn.functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)[0].transpose(0, 1)
assert torch.allclose(got.float(), want, atol=0.05), "flash attention is wrong"
print("ok: flash attention", 3 if major == 9 else 2)
from vllm.model_executor.layers.fused_moe.moe_align_block_size import moe_align_block_size
experts = torch.randint(0, 8, (16, 2), device="cuda", dtype=torch.int32)
moe_align_block_size(experts, 16, 8)
torch.cuda.synchronize()
print("ok: mixture-of-experts kernels on", torch.cuda.get_device_name())
"""


def main() -> None:
    """Unpack unless --check, then check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, required=True, help="the folder to unpack into")
    parser.add_argument("--parts", type=Path, action="append", default=[], help="another folder that holds parts")
    parser.add_argument("--check", action="store_true", help="it is unpacked: only check")
    parser.add_argument("--no-gpu", action="store_true", help="do not run kernels: this machine has no GPU")
    options = parser.parse_args()
    here = Path(__file__).resolve().parent
    manifest = json.loads((here / "manifest.json").read_text())
    target = options.to.resolve()
    if not options.check:
        unpack([here, *options.parts], manifest, target)
    sys.exit(0 if check(target, manifest, with_gpu=not options.no_gpu) else 1)


def unpack(folders: list[Path], manifest: dict, target: Path) -> None:
    """Verify every part, then unpack all of them as one archive into `target`, and write its activate file."""
    paths = [_found(part, folders) for part in manifest["parts"]]
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BufferedReader(_Joined(paths)), mode="r|xz") as archive:
        archive.extractall(target, filter="data")
    (target / "bin").mkdir(exist_ok=True)
    for name, module in PROGRAMS.items():
        program = target / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m {module} "$@"\n')
        program.chmod(0o755)
    places = {"site": target / "site", "bin": target / "bin", "bytecode": target / "bytecode"}
    (target / "activate").write_text(ACTIVATE.format(**places))
    # Once and on all cores, where `activate` has it looked for.
    command = [sys.executable, "-m", "compileall", "-q", "-j", "0", str(places["site"])]
    subprocess.run(
        command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPYCACHEPREFIX": str(places["bytecode"])}
    )
    print(f"unpack: {manifest['unpacked_mb']} MB in {target}; next, in any folder: . {target}/activate", flush=True)


def _found(part: dict, folders: list[Path]) -> Path:
    for path in (folder / part["name"] for folder in folders):
        if path.is_file():
            if hashlib.sha256(path.read_bytes()).hexdigest() != part["sha256"]:
                _refuse(f"{path} is broken: its hash is not that of manifest.json; carry it again")
            return path
    _refuse(f"{part['name']} is missing: carry it beside manifest.json, or name its folder with --parts")


def _refuse(problem: str) -> None:
    print(f"unpack: {problem}", file=sys.stderr)
    sys.exit(2)


class _Joined(io.RawIOBase):
    """Several files read as one."""

    def __init__(self, paths: list[Path]) -> None:
        self._files = (open(path, "rb") for path in paths)
        self._file = next(self._files)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:
        while self._file is not None:
            if count := self._file.readinto(buffer):
                return count
            self._file.close()
            self._file = next(self._files, None)
        return 0


def check(target: Path, manifest: dict, *, with_gpu: bool) -> bool:
    """Print what is there and what is not; return whether everything that must work works."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    good = _say(here == manifest["python"], f"Python {here}; the bundle is for {manifest['python']}")
    sys.path.insert(0, str(target / "site"))
    problems = list(requirement_problems(target / "site", manifest))
    for problem in problems:
        print(f"note: {problem}")
    if problems:
        print("note: what a package asks for and does not have matters only if one of the checks below fails")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(target / "site"), _python_path()]))}
    env |= {"VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_USE_DEEP_GEMM": "0", "HF_HUB_OFFLINE": "1"}
    env |= {"JUPYTER_PATH": str(target / "site/share/jupyter")}
    for modules in IMPORTS:
        good &= _runs(f"import {', '.join(modules.split())}", f"import {modules}", env)
    good &= _runs(NOTEBOOK, "a notebook, executed and made into HTML", env)
    return good & _runs(KERNELS, "kernels", env) if with_gpu else good


def requirement_problems(site: Path, manifest: dict) -> Iterator[str]:
    """Yield each requirement of a bundled package that this machine does not meet, apart from what is never bundled."""
    import importlib.metadata as metadata

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    never = {canonicalize_name(name) for name in manifest["never_bundled"]}
    for distribution in metadata.distributions(path=[str(site)]):
        for line in distribution.requires or ():
            needed = Requirement(line)
            if canonicalize_name(needed.name) in never or (needed.marker and not needed.marker.evaluate({"extra": ""})):
                continue
            try:
                version = metadata.version(needed.name)
            except metadata.PackageNotFoundError:
                yield f"{distribution.name} needs {needed}, which is not here"
                continue
            if not needed.specifier.contains(version, prereleases=True):
                yield f"{distribution.name} needs {needed}, here is {version}"


def _python_path() -> str:
    return os.environ.get("PYTHONPATH", "")


def _runs(program: str, title: str, env: dict[str, str]) -> bool:
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    told = done.stdout if done.returncode == 0 else done.stdout + "\n".join(done.stderr.strip().splitlines()[-8:])
    return _say(done.returncode == 0, title, told)


def _say(good: bool, title: str, told: str = "") -> bool:
    print(f"{'ok' if good else 'FAILED'}: {title}", *filter(None, told.strip().splitlines()), sep="\n    ", flush=True)
    return good


if __name__ == "__main__":
    main()
