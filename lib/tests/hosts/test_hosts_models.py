"""A model's reference becomes files with a content hash, without importing torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchbook.hosts.model import files as files_module
from benchbook.hosts.model.files import content_sha256, has_random_weights, resolve_model, tokenizer_sha256
from benchbook.terms.errors import ExperimentError, HostStartError


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test an empty cache."""
    monkeypatch.setenv("BENCHBOOK_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the building program, which takes seconds, and return the folders it was asked to fill."""
    folders: list[str] = []

    def build(command: list[str], **_: object) -> SimpleNamespace:
        folders.append(command[-1])
        (Path(command[-1]) / "config.json").write_text("{}")
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(files_module.subprocess, "run", build)
    return folders


def test_tiny_is_built_once_and_then_taken_from_the_cache(cache_dir: Path, builds: list[str]) -> None:
    first, second = resolve_model("tiny"), resolve_model("tiny")
    assert first == second
    assert len(builds) == 1
    assert first.random_weights and first.is_local and not first.needs_download
    assert has_random_weights(first.path)


def test_a_build_that_fails_leaves_nothing_that_could_be_taken_for_a_model(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = SimpleNamespace(returncode=1, stderr="Traceback\nImportError: no torch")
    monkeypatch.setattr(files_module.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(HostStartError, match="ImportError: no torch"):
        resolve_model("tiny")
    assert [path.name for path in cache_dir.iterdir() if path.is_dir()] == []


def test_two_processes_that_want_tiny_at_once_both_get_it_and_it_is_built_once(cache_dir: Path) -> None:
    program = """
import sys, time, types
from pathlib import Path
from benchbook.hosts.model import files
def build(command, **_):
    time.sleep(0.2)
    (Path(command[-1]) / "config.json").write_text("{}")
    print("built")
    return types.SimpleNamespace(returncode=0, stderr="")
files.subprocess.run = build
print(files.resolve_model("tiny").path)
"""
    commands = [[sys.executable, "-c", program]] * 2
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    printed = [process.communicate(timeout=30)[0].split() for process in running]
    assert sorted(map(len, printed)) == [1, 2]
    assert {lines[-1] for lines in printed} == {str(cache_dir / files_module.EMBEDDED["tiny"])}


def test_a_folder_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my-model").mkdir()
    (tmp_path / "my-model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    files = resolve_model("./my-model")
    assert (files.path, files.name) == (str(tmp_path / "my-model"), "my-model")
    assert files.is_local and not files.random_weights and not files.needs_download


def test_a_folder_without_a_config_and_a_path_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="without a config.json"):
        resolve_model(str(tmp_path))
    with pytest.raises(ExperimentError, match="looks like a folder, and there is none"):
        resolve_model(str(tmp_path / "nothing"))


def test_the_content_hash_sees_names_sizes_and_bytes_but_no_hidden_files(tmp_path: Path) -> None:
    large = bytearray(os.urandom(files_module.SMALL_FILE_BYTES + 1))
    (tmp_path / "config.json").write_text("abcd")
    (tmp_path / "weights").write_bytes(large)
    digest = content_sha256(tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x").write_text("x")
    assert content_sha256(tmp_path) == digest
    middle = len(large) // 2
    for part in (slice(0, 1), slice(len(large) - 1, None), slice(middle, middle + 300_000)):
        large[part] = bytes(byte ^ 1 for byte in large[part])
        (tmp_path / "weights").write_bytes(large)
        digest, before = content_sha256(tmp_path), digest
        assert digest != before
    (tmp_path / "config.json").write_text("abce")
    assert content_sha256(tmp_path) != digest


def test_a_hub_model_needs_a_download_until_all_its_weights_are_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    config = snapshot / "config.json"
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: str(config) if config.exists() else None)
    assert resolve_model("Qwen/Qwen3-0.6B") == files_module.ModelFiles(
        "Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", False, False, None, True
    )
    config.write_text("{}")
    (snapshot / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}})
    )
    (snapshot / "1.safetensors").write_text("")
    assert resolve_model("Qwen/Qwen3-0.6B").needs_download
    (snapshot / "2.safetensors").write_text("")
    files = resolve_model("Qwen/Qwen3-0.6B")
    assert not files.needs_download
    assert files.content_sha256 == content_sha256(snapshot)


def test_a_tokenizer_is_known_by_its_files_wherever_they_lie(tmp_path: Path) -> None:
    for name, weights in (("base", "16 bits"), ("quantized", "4 bits")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_text(weights)
    base, quantized = (tokenizer_sha256(str(tmp_path / name)) for name in ("base", "quantized"))
    assert base == quantized is not None
    (tmp_path / "quantized" / "merges.txt").write_text("w 0")
    assert tokenizer_sha256(str(tmp_path / "quantized")) != base


@pytest.mark.parametrize("path", ["/models/of/another/machine", "nobody/nothing", "a-name-served"])
def test_a_tokenizer_that_is_not_on_this_machine_has_no_hash(path: str) -> None:
    assert tokenizer_sha256(path) is None


def test_a_copy_of_the_embedded_model_is_known_by_its_mark_and_another_folder_has_none(tmp_path: Path) -> None:
    for name, config in (("copy", {"random_weights": True}), ("trained", {}), ("odd", {"random_weights": "yes"})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    assert resolve_model(str(tmp_path / "copy")).random_weights and has_random_weights(str(tmp_path / "copy"))
    assert not resolve_model(str(tmp_path / "trained")).random_weights
    assert not has_random_weights(str(tmp_path / "odd")) and not has_random_weights("some/model")


@pytest.mark.parametrize(
    "load_format, is_random",
    [
        ("dummy", True),
        ("DUMMY", True),
        ("Dummy", True),
        ("BenchBook", True),
        ("auto", False),
        ("AUTO", False),
        (None, False),
    ],
)
def test_a_load_format_that_makes_weights_makes_any_model_one_of_random_weights(
    load_format, is_random, tmp_path
) -> None:
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "config.json").write_text("{}")
    args = {"load_format": load_format} if load_format else {}
    assert resolve_model(str(tmp_path / "trained"), args).random_weights is is_random
    assert resolve_model("some/Model-8B", args).random_weights is is_random
