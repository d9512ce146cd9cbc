#!/usr/bin/env python3
"""Build a bundle of vLLM, benchbook and the Jupyter stack for a GPU machine without a network.

    python3 environment/offline/build.py --out DIR --python 3.12 --part-mb 45 [--installed FILE] [--gpu-arch 90]

Run it where pip reaches a package index; needs nothing but Python and pip, and no GPU. It downloads what lock.txt pins,
for the other machine's Python, leaves out what that machine has (CUDA's libraries always; with --installed also each
name in FILE, which is what `python3 -m pip list --format=freeze` prints there, but for torch and what is compiled for
it), removes what a text model does not need, and writes bundle.tar.xz in parts with manifest.json and unpack.py beside
them. Carry that folder over and run unpack.py there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import fatbins

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# pip wants each tag spelled out: every manylinux up to the glibc of the machine.
OLD_TAGS = ("manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64")
# What neither serving a text model nor measuring it imports, and why it is there.
LEAVE_OUT = (
    ("vllm/vllm_flash_attn/_vllm_fa2_C.abi3.so", "attention before Hopper; kept unless --gpu-arch is 90"),
    ("vllm/vllm-rs", "a front end in Rust, off by default"),
    ("vllm/third_party/deep_gemm/include", "headers that DeepGEMM compiles against; off by VLLM_USE_DEEP_GEMM=0"),
    ("vllm/third_party/fmha_sm100", "attention of another architecture"),
    ("vllm/_qutlass_C.abi3.so", "kernels of another architecture"),
    ("torch/include", "headers to compile against"),
    ("torch/bin/protoc*", "programs to compile with"),
    ("torch/lib/libtorch_cuda_linalg.so", "decompositions of matrices; loaded when one is asked for"),
    ("triton/backends/nvidia/bin/ptxas-blackwell", "an assembler for later GPUs"),
    ("triton/backends/nvidia/lib/cupti", "profiling"),
    ("triton/_C/libproton.so", "profiling"),
    ("triton/instrumentation", "tests of a compiler"),
    ("triton/plugins", "tests of a compiler"),
    ("mistral_common/data/*", "tokenizers of one family of models"),
    ("jedi/third_party", "completion in an editor"),
    ("pycountry/locales", "names of countries in other languages"),
    ("**/*.a", "libraries to link against"),
    ("bin", "scripts that name the building machine's Python"),
    ("*/tests", "tests of packages"),
)
EXCLUDED = "exclude.txt"
STRIP_BYTES = 100 << 20
AS_LOCKED = {"torch", "torchvision", "triton", "nvidia-nccl-cu13"}  # compiled for each other: no version but the lock's
XZ_FILTERS = [
    {"id": lzma.FILTER_X86},  # makes machine code more alike
    {"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 64 << 20},
]


def main() -> None:
    """Download, prune, pack, and say how large the parts are."""
    options = _options()
    out = options.out.resolve()
    if out.exists() and any(out.iterdir()):
        sys.exit(f"build: {out} is not empty")
    installed = left_to_the_machine(options.installed.read_text()) if options.installed else {}
    requirements = [line for line in wanted(HERE / "lock.txt") if _name(line) not in installed]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix="scratch-") as scratch:
        site = Path(scratch) / "site"
        _download(requirements, site, options.python, options.glibc)
        left_out = prune(site, options.gpu_arch)
        _add_benchbook(Path(scratch), site)
        size_mb = sum(path.stat().st_size for path in Path(scratch).rglob("*") if path.is_file()) / 1e6
        print(f"build: {len(requirements)} packages, {size_mb:.0f} MB unpacked; packing takes some minutes", flush=True)
        parts = list(pack(Path(scratch), out, options.part_mb * 10**6))
    manifest = {
        "python": options.python,
        "commit": commit(),
        "gpu_arch": options.gpu_arch,
        "packages": requirements,
        "left_to_the_machine": sorted(installed),
        "never_bundled": sorted(names_in((HERE / EXCLUDED).read_text())),
        "left_out_files": left_out,
        "unpacked_mb": round(size_mb),
        "parts": parts,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    shutil.copy(HERE / "unpack.py", out)
    total_mb = sum(part["bytes"] for part in parts) / 1e6
    print(f"build: {len(parts)} parts, {total_mb:.1f} MB in {out}; there: python3 unpack.py --to DIR")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a new or empty folder for the parts")
    parser.add_argument("--python", default="3.12", help="the other machine's Python (the lock is for 3.12)")
    parser.add_argument("--glibc", type=int, default=34, help="minor version of glibc 2.x there, at least 28")
    parser.add_argument("--part-mb", type=int, default=45, help="largest part in MB (10^6 bytes)")
    parser.add_argument("--installed", type=Path, help="what pip lists there: left out of the bundle")
    parser.add_argument("--gpu-arch", type=int, help="keep only code for this architecture, e.g. 90 for H100 and H200")
    return parser.parse_args()


def names_in(text: str) -> dict[str, str]:
    """Return {normal name: version or ''} of the lines 'name' or 'name==version'; comments are passed over."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {_name(line): line.partition("==")[2] for line in lines if line and not line.startswith("-")}


def left_to_the_machine(text: str) -> dict[str, str]:
    """Return {normal name: version or ''} of what pip lists there, but for what must be of the lock's version."""
    return {name: version for name, version in names_in(text).items() if name not in AS_LOCKED}


def wanted(lock: Path) -> list[str]:
    """Return the lines 'name==version' of a lock."""
    return [line.strip() for line in lock.read_text().splitlines() if "==" in line and not line.startswith("#")]


def _name(line: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[=<>!~ \[@]", line.strip(), maxsplit=1)[0]).lower()


def _download(requirements: list[str], site: Path, python: str, glibc: int) -> None:
    tags = (*OLD_TAGS, *(f"manylinux_2_{minor}_x86_64" for minor in range(5, glibc + 1)))
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    command += ["--no-compile", "--no-cache-dir", "--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", python, "--target", str(site)]
    command += ["--ignore-requires-python"]  # `pip install` asks what its own Python satisfies, not the other machine's
    for tag in tags:
        command += ["--platform", tag]
    done = subprocess.run([*command, *requirements], stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:  # else they are warnings: that folders for scripts, of a package each, are not on the path
        sys.exit(f"{done.stderr}build: pip failed; its words are above")


def prune(site: Path, gpu_arch: int | None) -> list[str]:
    """Remove from `site` what is not needed there and return 'path: reason' of it."""
    removed = []
    for pattern, reason in LEAVE_OUT:
        if "_fa2_" in pattern and gpu_arch != 90:
            continue
        for path in site.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            removed.append(f"{path.relative_to(site)}: {reason}")
    for path in site.glob("**/*.so*") if shutil.which("strip") else ():
        # What somebody patched after it was linked does not always survive `strip`: only where it is worth it.
        if path.stat().st_size >= STRIP_BYTES or b".debug_info" in path.read_bytes():
            subprocess.run(["strip", "--strip-unneeded", str(path)], check=True)
            removed.append(f"{path.relative_to(site)}: symbols for debuggers")
    for path in site.glob("**/*.so*") if gpu_arch else ():
        if blanked := fatbins.keep_only(path, gpu_arch):
            removed.append(f"{path.relative_to(site)}: {blanked / 1e6:.0f} MB of code for other GPUs blanked")
    return removed


def _add_benchbook(bundle: Path, site: Path) -> None:
    """Copy the package into `site`, with the metadata of a distribution; notebooks and experiments stand beside it."""
    ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    shutil.copytree(ROOT / "lib/benchbook", site / "benchbook", ignore=ignored)
    for folder in ("notebooks", "experiments"):
        shutil.copytree(ROOT / folder, bundle / folder, ignore=ignored)
    (bundle / "commit.json").write_text(json.dumps(commit()))
    project = tomllib.loads((ROOT / "lib/pyproject.toml").read_text())["project"]
    info = site / f"benchbook-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: benchbook\nVersion: {project['version']}\n")
    # By its entry points vLLM finds benchbook's load format, also where the package is on PYTHONPATH only.
    groups = project["entry-points"].items()
    lines = [
        line for group, names in groups for line in (f"[{group}]", *(f"{name} = {at}" for name, at in names.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def commit() -> dict[str, object]:
    """Return the commit that the bundle is made of, and whether tracked files differ from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, check=True)
    return {"commit": head, "dirty": bool(changed.stdout.strip())}


def pack(folder: Path, out: Path, part_bytes: int) -> Iterator[dict[str, object]]:
    """Write `folder` as bundle.tar.xz.00, .01 ... into `out` and yield name, size and hash of each part."""
    with tempfile.TemporaryFile(dir=out) as whole:
        with lzma.open(whole, "wb", filters=XZ_FILTERS) as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
            for path in sorted(folder.rglob("*"), key=_alike_together):
                tar.add(path, path.relative_to(folder), recursive=False, filter=_anonymous)
        whole.seek(0)
        number = 0
        while chunk := whole.read(part_bytes):
            name = f"bundle.tar.xz.{number:02}"
            (out / name).write_bytes(chunk)
            yield {"name": name, "bytes": len(chunk), "sha256": hashlib.sha256(chunk).hexdigest()}
            number += 1


def _alike_together(path: Path) -> tuple[int, str, str]:
    """Sort folders first, then files by ending: like beside like compresses better."""
    return (0 if path.is_dir() else 1, path.suffix if path.is_file() else "", str(path))


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return `member` without who built it and when, so that the same lock gives the same bundle."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


if __name__ == "__main__":
    main()
