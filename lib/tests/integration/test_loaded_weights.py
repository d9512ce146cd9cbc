"""Random weights in the real vLLM on the CPU: the same bytes each time, as the checkpoint and on ranks, even routing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchbook.hosts.model import tiny_model
from benchbook.hosts.model.files import content_sha256, resolve_model
from benchbook.hosts.vllm.command import private_environment
from benchbook.hosts.vllm.routing import routing_of
from rows import IS_FULL

pytestmark = pytest.mark.integration

ENV = {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1"}
LIMIT_S = 300.0
PROGRAM = """
import gc
gc.disable()  # until vLLM is imported, which takes a quarter less so
import json, sys, torch
class Save:
    def __init__(self, stem):
        self.stem = stem
    def __call__(self, model):
        from vllm.distributed import get_tensor_model_parallel_rank as rank
        torch.save({name: weight.detach().clone() for name, weight in model.named_parameters()}, f"{self.stem}-{rank()}.pt")
if __name__ == "__main__":
    from vllm import LLM, SamplingParams
    from vllm.distributed import cleanup_dist_env_and_memory
    gc.enable()
    model, ranks, folder, *formats = sys.argv[1:]
    for load_format in formats:  # one after the other: importing vLLM takes seconds
        stem = f"{folder}/{load_format}-{ranks}"
        llm = LLM(
            model, load_format=load_format, tensor_parallel_size=int(ranks), enforce_eager=True, max_model_len=256,
            gpu_memory_utilization=0.3, max_num_seqs=32, max_num_batched_tokens=512,
        )
        llm.apply_model(Save(stem))
        prompts = [{"prompt_token_ids": [1000 + 37 * i + 11 * j for j in range(8)]} for i in range(32)]
        answers = llm.generate(prompts, SamplingParams(max_tokens=4, temperature=0.0, ignore_eos=True), use_tqdm=False)
        json.dump([list(answer.outputs[0].token_ids) for answer in answers], open(f"{stem}.json", "w"))
        del llm
        cleanup_dist_env_and_memory()
"""


def load(folder: Path, *formats: str, ranks: int = 1):
    """Return the weights of each rank and 32 greedy answers of tiny-moe, loaded in each of these formats."""
    import torch

    (folder / "program.py").write_text(PROGRAM)
    model = resolve_model("tiny-moe").path
    command = [sys.executable, str(folder / "program.py"), model, str(ranks), str(folder), *formats]
    private = {
        name: value for name, value in private_environment(False).items() if "{" not in value
    }  # folders to be made
    env = {**os.environ, **private, **ENV, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    if ranks > 1:  # by itself vLLM wants a NUMA node for each
        env["VLLM_CPU_OMP_THREADS_BIND"] = "|".join(str(cpu) for cpu in sorted(os.sched_getaffinity(0))[:ranks])
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr[-3000:]
    stems = [folder / f"{load_format}-{ranks}" for load_format in formats]
    return [
        ([torch.load(f"{stem}-{rank}.pt") for rank in range(ranks)], json.loads(Path(f"{stem}.json").read_text()))
        for stem in stems
    ]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Return the weights of the one rank and its answers, as the load format makes them, and as the checkpoint has them."""
    return load(tmp_path_factory.mktemp("loaded"), "benchbook", "auto")


@pytest.mark.skipif(not IS_FULL, reason="make test-full; that their bytes are one is in test_random_weights.py")
def test_the_load_format_gives_the_checkpoint(loaded):
    import torch

    ((made,), same), ((read,), said) = loaded
    assert said == same and len({tuple(answer) for answer in said}) >= 20
    assert read.keys() == made.keys() and all(torch.equal(read[name], made[name]) for name in read)


@pytest.mark.skipif(not IS_FULL, reason="make test-full; two ranks are two processes of vLLM more")
def test_each_rank_has_its_share_of_the_same_bytes(loaded, tmp_path):
    import torch

    ((made,), _), _ = loaded
    ((shares, _),) = load(tmp_path, "benchbook", ranks=2)
    for name, whole in made.items():
        parts = [share[name] for share in shares]
        if parts[0].shape == whole.shape:  # norms and routers are whole on each rank
            assert all(torch.equal(part, whole) for part in parts), name
        elif "experts" in name:  # packed for the kernels of the CPU: the same numbers in another order
            assert torch.equal(numbers(torch.cat([part.flatten() for part in parts])), numbers(whole)), name
        elif parts[0].shape[-1] != whole.shape[-1]:  # columns: side by side
            assert torch.equal(torch.cat(parts, -1), whole), name
        else:  # rows, of several matrices that stand one below the other: each rank has half of each
            first, second, expected = (rows(weight) for weight in (*parts, whole))
            assert first | second == expected and not first & second, name


def numbers(weight):
    """Return what stands in a tensor of 16 bits a number, sorted."""
    import torch

    return weight.contiguous().view(torch.int16).flatten().sort().values


def rows(weight) -> set[bytes]:
    """Return the rows of a matrix."""
    import torch

    return {row.numpy().tobytes() for row in weight.contiguous().view(torch.uint8)}


def test_tiny_is_the_same_each_time_it_is_built(tmp_path):
    kept = resolve_model("tiny")  # by another process, mostly another time
    tiny_model.write_tokenizer(str(tmp_path))
    tiny_model.write_dense(str(tmp_path))
    assert content_sha256(tmp_path) == kept.content_sha256
    weights = (tmp_path / "model.safetensors").read_bytes()
    assert weights == Path(kept.path, "model.safetensors").read_bytes()


def test_experts_are_counted_and_used_evenly(tmp_path, monkeypatch):
    args = {"load_format": "benchbook", "gpu_memory_utilization": 0.3}
    files = resolve_model("tiny-moe", args)
    monkeypatch.setenv("BENCHBOOK_CACHE_DIR", str(tmp_path))  # counted now, whatever was before
    found = routing_of(files, args, ENV, tmp_path / "log")
    for tokens, counted in found["decode"].items():
        even = 16 * (1 - (1 - 2 / 16) ** int(tokens))
        assert abs(counted / even - 1) <= 0.10, (tokens, counted, even)
    assert found["distinct_answers"] >= 40
