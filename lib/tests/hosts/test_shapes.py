"""A shape is a folder that vLLM can load without weights: published sizes, a tokenizer of the right length, a label."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from benchbook.hosts.model.files import config_of, has_random_weights, resolve_model
from benchbook.hosts.model.footprint import GIB, weight_bytes
from benchbook.hosts.model.shapes import SHAPES, build_shape
from benchbook.judge.model_config import shape_of
from benchbook.terms.errors import ExperimentError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test an empty cache."""
    monkeypatch.setenv("BENCHBOOK_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_made_once_within_seconds_and_says_that_its_weights_are_random(name: str) -> None:
    started_s = time.process_time()
    files = resolve_model(f"shape:{name}")
    assert time.process_time() - started_s < 15
    assert files.random_weights and files.is_local and files.content_sha256
    assert has_random_weights(files.path)
    assert resolve_model(f"shape:{name}") == files


def test_the_tokenizer_has_a_word_for_each_entry_of_the_vocabulary() -> None:
    folder = build_shape("gpt-oss-120b")
    words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    assert len(words) == SHAPES["gpt-oss-120b"].config["vocab_size"] == 201_088
    assert words["w201087"] == 201_087
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert settings["eos_token"] == "w200002"


def test_transformers_reads_the_folder_and_keeps_one_word_one_token() -> None:
    transformers = pytest.importorskip("transformers")
    folder = str(build_shape("llama-3.1-8b"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = [5, 17, 9_999, 128_255]
    assert tokenizer.decode(ids) == "w5 w17 w9999 w128255"
    assert tokenizer.encode("w5 w17 w9999 w128255") == ids
    assert transformers.AutoConfig.from_pretrained(folder).num_hidden_layers == 32


def test_an_unknown_shape_is_refused_with_the_nearest() -> None:
    with pytest.raises(ExperimentError, match=r"unknown shape 'gpt-oss-12b'; did you mean 'gpt-oss-120b'\?"):
        resolve_model("shape:gpt-oss-12b")


def test_an_ordinary_folder_has_no_random_weights(tmp_path: Path) -> None:
    assert not has_random_weights(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "gib"), [("gpt-oss-120b", 60.8), ("gpt-oss-20b", 12.8), ("llama-3.1-8b", 14.96), ("llama-3.1-70b", 131.4)]
)
def test_weights_are_as_large_as_the_published_files(name: str, gib: float) -> None:
    assert weight_bytes(SHAPES[name].config) / GIB == pytest.approx(gib, abs=0.05)


def test_a_sliding_layer_keeps_no_more_than_its_window() -> None:
    config = SHAPES["gpt-oss-120b"].config
    a_token = 2 * 8 * 64 * 2  # keys and values, 8 heads of 64, two bytes
    shape = shape_of(config)
    assert shape.sequence_kv_bytes(5120) == 18 * a_token * 5120 + 18 * a_token * 128
    assert shape.sequence_kv_bytes(100) == 36 * a_token * 100
    assert shape_of(config, kv_dtype="fp8").sequence_kv_bytes(5120) * 2 == shape.sequence_kv_bytes(5120)


def test_files_count_as_they_are_and_what_is_not_known_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 1000)
    assert weight_bytes({"model_type": "llama"}, tmp_path) == 1000
    assert weight_bytes({"model_type": "mamba"}) is None
    assert weight_bytes({**SHAPES["llama-3.1-8b"].config, "quantization_config": {"quant_method": "awq"}}) is None
    assert weight_bytes({**SHAPES["llama-3.1-8b"].config, "num_hidden_layers": 10**12}) is None


def test_a_published_model_has_the_config_of_its_shape_before_anything_is_downloaded() -> None:
    assert config_of("openai/gpt-oss-120b") == config_of("shape:gpt-oss-120b")
    assert config_of("somebody/else") == (None, None)
