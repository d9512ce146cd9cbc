"""Random weights that behave: bytes that follow from names, gains near one, and a plugin that vLLM finds and costs nothing."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchbook.hosts.model import checkpoints
from benchbook.hosts.model.checkpoints import (
    BITS,
    CONSTANT,
    FP8,
    NORMAL,
    UINT8,
    Tensor,
    UnknownCheckpointError,
    tensors_of,
)
from benchbook.hosts.model.shapes import SHAPES
from benchbook.hosts.vllm import random_loader

LIB = Path(__file__).parents[2]
MASK = (1 << 64) - 1
DENSE = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 100,
}


@pytest.fixture(scope="module", autouse=True)
def libraries() -> None:
    """Import torch, which takes a second, and what needs it, where tests run, and not wherever they are collected."""
    global torch, random_weights, made
    torch = pytest.importorskip("torch")
    from benchbook.hosts.model import random_weights
    from benchbook.hosts.model.random_weights import made


def splitmix64(seed: int, index: int) -> int:
    """Return word `index` of the generator as its author writes it."""
    z = (seed + index * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


@pytest.mark.parametrize("seed", [0, 1, 0x8000000000000001, MASK])
def test_the_bits_are_those_of_the_published_generator(seed):
    words = random_weights._words(seed, 5, 100, "cpu").tolist()
    assert [word & MASK for word in words] == [splitmix64(seed, index) for index in range(5, 105)]


@pytest.mark.parametrize("fill, form", [(NORMAL, None), (NORMAL, FP8), (BITS, UINT8)])
def test_a_tensor_is_the_same_whatever_the_pieces_it_is_made_in_and_another_under_another_name(fill, form, monkeypatch):
    tensor = Tensor("model.layers.3.mlp.down_proj.weight", (37, 41), fill, 0.5, form)
    whole = made(tensor, torch.bfloat16, "cpu").view(torch.uint8)
    monkeypatch.setattr(random_weights, "CHUNK_WORDS", 7)
    assert torch.equal(made(tensor, torch.bfloat16, "cpu").view(torch.uint8), whole)
    other = Tensor("model.layers.4.mlp.down_proj.weight", (37, 41), fill, 0.5, form)
    assert (made(other, torch.bfloat16, "cpu").view(torch.uint8) != whole).float().mean() > 0.5


def test_the_bytes_are_those_of_every_earlier_start():
    tensor = Tensor("lm_head.weight", (2, 3), NORMAL, 1.0)
    assert made(tensor, torch.float32, "cpu").flatten().tolist() == pytest.approx(
        [-0.1647, -0.0686, -0.2314, 0.163, 1.1575, -0.034], abs=1e-4
    )


@pytest.mark.parametrize("width", [64, 2880, 4096])
def test_a_matrix_keeps_a_vector_at_its_size(width):
    weight = made(Tensor("m", (512, width), NORMAL, width**-0.5), torch.bfloat16, "cpu").float()
    entered = torch.randn(width, generator=torch.Generator().manual_seed(0))
    assert (weight @ entered).std() / entered.std() == pytest.approx(1, abs=0.15)
    assert abs(weight.mean()) * math.sqrt(width) < 0.01


@pytest.mark.parametrize("width", [512, 2880, 4096])
def test_mxfp4_experts_keep_a_vector_near_its_size_and_none_of_them_is_zero(width):
    config = {**SHAPES["gpt-oss-20b"].config, "hidden_size": width, "num_local_experts": 2, "num_hidden_layers": 1}
    named = {tensor.name.rpartition(".")[2]: tensor for tensor in tensors_of(config)}
    blocks, scales = (made(named[f"gate_up_proj_{part}"], torch.bfloat16, "cpu") for part in ("blocks", "scales"))
    e2m1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    e2m1 = torch.cat([e2m1, -e2m1])
    numbers = torch.stack([e2m1[(blocks & 15).long()], e2m1[(blocks >> 4).long()]], dim=-1).flatten(-2)
    weight = (numbers * torch.exp2(scales.float() - 127)[..., None]).flatten(-2)
    assert weight.shape == (2, 2 * config["intermediate_size"], width)
    gain = (weight @ torch.randn(width, generator=torch.Generator().manual_seed(0))).std()
    assert 2**-0.6 < gain < 2**0.6  # a scale is a power of two
    if width == 2880:
        assert scales.unique().tolist() == [127 - 7]
    assert (weight.abs().amax(dim=(1, 2)) > 0).all()


@pytest.mark.parametrize("block, scale", [([128, 128], "weight_scale_inv"), (None, "weight_scale")])
def test_fp8_weights_are_numbers_and_keep_a_vector_at_its_size(block, scale):
    fp8 = {"quant_method": "fp8", **({"weight_block_size": block} if block else {})}
    config = {**DENSE, "model_type": "llama", "hidden_size": 256, "quantization_config": fp8}
    named = {tensor.name: made(tensor, torch.bfloat16, "cpu") for tensor in tensors_of(config)}
    weight = named["model.layers.0.mlp.up_proj.weight"]
    scales = named[f"model.layers.0.mlp.up_proj.{scale}"]
    assert weight.dtype == torch.float8_e4m3fn and scales.dtype == torch.float32
    assert tuple(scales.shape) == ((1, 2) if block else ())
    values = weight.float() * scales.flatten()[0]
    assert not values.isnan().any() and values.std() * 16 == pytest.approx(1, abs=0.05)
    assert named["lm_head.weight"].dtype == torch.bfloat16


def test_norms_are_one_and_biases_and_sinks_zero():
    plain = {tensor.name: tensor for tensor in tensors_of(SHAPES["gpt-oss-20b"].config) if tensor.fill == CONSTANT}
    for name, tensor in plain.items():
        if "norm" in name:
            assert tensor.value == 1
        elif name.endswith(("bias", "sinks")):
            assert tensor.value == 0
        else:
            assert name.endswith("_scales")
    assert "model.layers.0.self_attn.sinks" in plain and "model.layers.0.mlp.router.bias" in plain


@pytest.mark.parametrize(
    "config, told",
    [
        ({"model_type": "deepseek_v3"}, "no random weights for models of type 'deepseek_v3'"),
        (
            {**DENSE, "model_type": "llama", "quantization_config": {"quant_method": "awq"}},
            "no random weights for llama in awq",
        ),
        (
            {
                **DENSE,
                "model_type": "qwen3",
                "quantization_config": {"quant_method": "fp8", "activation_scheme": "static"},
            },
            "static scales",
        ),
        ({}, "of type None"),
    ],
)
def test_a_checkpoint_that_is_not_known_is_refused_by_name(config, told):
    with pytest.raises(UnknownCheckpointError, match=told):
        list(tensors_of(config))


@pytest.mark.parametrize("key", ["num_experts", "num_local_experts"])
def test_a_mixture_has_a_router_and_its_experts_in_every_layer_that_is_none_of_the_dense_ones(key):
    config = {**DENSE, "model_type": "qwen3_moe", key: 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    names = {tensor.name for tensor in tensors_of({**config, "mlp_only_layers": [0]})}
    assert "model.layers.0.mlp.up_proj.weight" in names and "model.layers.0.mlp.gate.weight" not in names
    assert "model.layers.1.mlp.gate.weight" in names and "model.layers.1.mlp.experts.3.down_proj.weight" in names


# The plugin.


def test_the_package_names_the_plugin_as_vllm_looks_for_it():
    project = tomllib.loads((LIB / "pyproject.toml").read_text())["project"]
    module, _, function = project["entry-points"]["vllm.general_plugins"]["benchbook"].partition(":")
    assert getattr(importlib.import_module(module), function) is random_loader.register


def test_loading_the_plugin_imports_neither_torch_nor_vllm():
    script = (
        "import sys; from benchbook.hosts.vllm.random_loader import register; register(); register()\n"
        "assert not {'torch', 'vllm'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={"PATH": "", "PYTHONPATH": str(LIB)}, timeout=60)


def test_the_loader_is_registered_once_vllm_imports_its_loaders(tmp_path):
    loaders = tmp_path / "vllm" / "model_executor" / "model_loader"
    loaders.mkdir(parents=True)
    for folder in (loaders.parent.parent, loaders.parent):
        (folder / "__init__.py").write_text("")
    (loaders / "__init__.py").write_text("_LOAD_FORMAT_TO_MODEL_LOADER = {}\nNAME = __name__\n")
    script = (
        "from benchbook.hosts.vllm import random_loader as ours\n"
        "ours._register = lambda module: module._LOAD_FORMAT_TO_MODEL_LOADER.update(benchbook=module.NAME)\n"
        "ours.register(); ours.register()\n"
        "import vllm.model_executor.model_loader as there, sys\n"
        "assert there._LOAD_FORMAT_TO_MODEL_LOADER == {'benchbook': 'vllm.model_executor.model_loader'}\n"
        "there._LOAD_FORMAT_TO_MODEL_LOADER.clear(); ours.register()\n"  # imported already: at once
        "assert there._LOAD_FORMAT_TO_MODEL_LOADER and not any(type(f) is ours._Deferred for f in sys.meta_path)"
    )
    env = {"PATH": "", "PYTHONPATH": f"{LIB}:{tmp_path}"}
    subprocess.run([sys.executable, "-c", script], check=True, env=env, timeout=60)


@pytest.mark.parametrize(
    "plugins, env, told",
    [
        (["benchbook"], {}, ""),
        (["benchbook", "lora"], {"VLLM_PLUGINS": "lora,benchbook"}, ""),
        ([], {}, "not installed here with its load format"),
        (["benchbook"], {"VLLM_PLUGINS": "lora"}, "VLLM_PLUGINS=lora leaves benchbook's load format out"),
        (["benchbook"], {"VLLM_PLUGINS": ""}, "leaves benchbook's load format out"),
    ],
)
def test_a_vllm_that_would_not_know_the_load_format_is_told_beforehand(plugins, env, told, monkeypatch):
    monkeypatch.setattr(random_loader, "entry_points", lambda group: [SimpleNamespace(name=name) for name in plugins])
    why = random_loader.why_unknown(env)
    assert told in why and bool(why) == bool(told)


def test_the_tensors_of_the_embedded_mixture_are_those_of_the_load_format(tmp_path):
    from benchbook.hosts.model import tiny_model
    from safetensors.torch import load_file

    tiny_model.write_experts(str(tmp_path))
    written = load_file(tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["random_weights"] is True and config["num_experts"] == 16 and config["num_experts_per_tok"] == 2
    expected = {tensor.name: tensor for tensor in checkpoints.tensors_of(config)}
    assert written.keys() == expected.keys()
    name = "model.layers.2.mlp.experts.7.up_proj.weight"
    assert torch.equal(written[name], made(expected[name], torch.bfloat16, "cpu"))
