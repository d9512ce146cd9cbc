"""How large a model's weights are, in bytes: as its files are, else as its checkpoint would be; never a guess."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from benchbook.hosts.model.checkpoints import FLOAT32, FP8, UINT8, tensors_of

GIB = 2**30
_MOST_TENSORS = 200_000  # of a real checkpoint: 96 layers of 384 experts have 110,592
_MOST_BYTES = 2**63
_BYTES = {FP8: 1, FLOAT32: 4, UINT8: 1, None: 2}  # None: the model's own, which vLLM loads as 16 bits


def weight_bytes(config: Mapping[str, Any], folder: Path | None = None) -> int | None:
    """Return the size of the weights: of the files in `folder` if there are any, else of the checkpoint of `config`.

    None where neither is known, or config.json holds what no such model has.
    """
    if folder and (of_files := file_bytes(folder)):
        return of_files
    try:
        tensors = list(islice(tensors_of(config), _MOST_TENSORS + 1))
        found = sum(math.prod(tensor.shape) * _BYTES[tensor.format] for tensor in tensors)
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError):
        return None
    return found if 0 < found < _MOST_BYTES and len(tensors) <= _MOST_TENSORS else None


def file_bytes(folder: Path) -> int | None:
    """Return the size of the files of weights in `folder`, None without any."""
    return sum(os.path.getsize(path) for path in folder.glob("*.safetensors") if os.path.isfile(path)) or None
