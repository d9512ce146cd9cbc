"""vLLM's load format "benchbook": random weights that behave, where there are none to load or none shall be loaded.

A general plugin of vLLM (entry point group vllm.general_plugins), so that server, engine and workers know it. The model
gets its whole checkpoint tensor by tensor, made on the device, and takes of it what it would take of a real one: its
share under tensor parallelism, in the layout of its kernels. Imports nothing heavy: every vLLM that starts in this
environment loads the plugin.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from benchbook.terms.load_formats import OURS as LOAD_FORMAT

_LOADERS = "vllm.model_executor.model_loader"


def register() -> None:
    """Make LOAD_FORMAT known to the vLLM of this process; a second call does nothing.

    Only once vLLM imports its loaders: that takes a second, and an API server or a client has no use for them.
    """
    if _LOADERS in sys.modules:
        _register(sys.modules[_LOADERS])
    elif not any(isinstance(finder, _Deferred) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Deferred())


def why_unknown(env: Mapping[str, str], is_brought: bool = False) -> str:
    """Return why a vLLM that is started with `env`, here or where it `is_brought` along, would not know LOAD_FORMAT, '' where it will."""
    if not is_brought and LOAD_FORMAT not in {plugin.name for plugin in entry_points(group="vllm.general_plugins")}:
        return "benchbook is not installed here with its load format: environment/cpu/setup.sh or pip install -e lib does it"
    allowed = env.get("VLLM_PLUGINS", os.environ.get("VLLM_PLUGINS"))
    if allowed is not None and LOAD_FORMAT not in allowed.split(","):
        return f"VLLM_PLUGINS={allowed} leaves benchbook's load format out: add {LOAD_FORMAT!r} to it"
    return ""


class _Deferred:
    """A finder that registers the loader right after vLLM's loaders are imported."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _LOADERS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _register(module)

        spec.loader.exec_module = exec_module
        return spec


def _register(loaders: Any) -> None:
    if LOAD_FORMAT not in loaders._LOAD_FORMAT_TO_MODEL_LOADER:
        loaders.register_model_loader(LOAD_FORMAT)(_loader_class(loaders))


def _loader_class(loaders: Any) -> type:
    import time

    import torch
    from vllm.config import ModelConfig, get_current_vllm_config
    from vllm.logger import init_logger

    from benchbook.hosts.model.checkpoints import tensors_of
    from benchbook.hosts.model.random_weights import made

    logger = init_logger("vllm.benchbook")

    class RandomWeights(loaders.DefaultModelLoader):
        """Loads as vLLM's default loader does, from a checkpoint that is made instead of read."""

        def download_model(self, model_config: ModelConfig) -> None:
            """Do nothing: there is nothing to download."""

        def get_all_weights(
            self, model_config: ModelConfig, model: torch.nn.Module
        ) -> Iterator[tuple[str, torch.Tensor]]:
            """Yield each tensor of the checkpoint with its name, made on the model's device."""
            started_s = self.counter_before_loading_weights = time.perf_counter()
            device = torch.device(self.load_config.device or get_current_vllm_config().device_config.device)
            total_bytes = 0
            for tensor in tensors_of(model_config.hf_text_config.to_dict()):
                weight = made(tensor, model_config.dtype, device)
                total_bytes += weight.nbytes
                yield tensor.name, weight
            took_s = time.perf_counter() - started_s
            logger.info("benchbook made %.2f GiB of random weights in %.1f s", total_bytes / 2**30, took_s)

    return RandomWeights
