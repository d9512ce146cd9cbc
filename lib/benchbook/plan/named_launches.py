"""Launches that notebooks know by name: `launch = "tiny-cpu"`, and flags of one's own on top."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchbook.plan.launches import SHAPE_WEIGHTS, Launch
from benchbook.plan.models import SHAPE_PREFIX, TINY, ModelRef
from benchbook.plan.strict import unknown
from benchbook.terms.errors import ExperimentError
from benchbook.terms.redaction import find_secrets
from benchbook.terms.secret_names import is_secret_variable

NAMED_LAUNCHES = {
    launch.name: launch
    for launch in (
        # The launch of experiments/quickstart.yaml, which says why each line is there.
        Launch(
            "tiny-cpu",
            ModelRef(TINY),
            {
                "enforce_eager": True,
                "dtype": "float32",
                "max_model_len": 4096,
                "gpu_memory_utilization": 0.3,
                "enable_prefix_caching": False,
                "distributed_executor_backend": "uni",
            },
            {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "1"},
        ),
        Launch("default", ModelRef(TINY), {}, {}),  # as vLLM chooses
    )
}


def named_launch(
    name: str,
    model: str = "",
    args: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    python: str = "",
) -> Launch:
    """Return the launch called `name`, with another model, where one is given, and `args` and `env` on top of its own.

    Its vLLM is that of the interpreter at `python`, our own for ''.

    A secret in `env` is refused: these are a notebook's parameters, and a notebook is shown to others.
    """
    for key, value in (env or {}).items():
        if is_secret_variable(key, value) or find_secrets(str(value)):
            raise ExperimentError(f"engine_env: {key} looks like a secret: export it in the environment instead")
    if name not in NAMED_LAUNCHES:
        raise ExperimentError(f"launch: {name!r}: {unknown(name, NAMED_LAUNCHES, 'launch')}")
    launch = NAMED_LAUNCHES[name]
    made = SHAPE_WEIGHTS if model.startswith(SHAPE_PREFIX) else {}
    return replace(
        launch,
        model=ModelRef(model) if model else launch.model,
        args={**launch.args, **made, **(args or {})},
        env={**launch.env, **{key: str(value) for key, value in (env or {}).items()}},
        python=os.path.abspath(os.path.expanduser(python)) if python else "",
    )
