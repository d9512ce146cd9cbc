"""What a record keeps for its limits, the model's shape and the device's peaks: a report then needs neither of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from benchbook.hosts.machine.facts import gpus, machine
from benchbook.hosts.machine.peaks import data_sheet, device_peaks
from benchbook.hosts.model.files import read_config, weight_file_bytes
from benchbook.hosts.process.ports import is_loopback
from benchbook.judge.model_config import CONFIG_KEYS
from benchbook.visible import named


def model_config(path: str, revision: str | None = None, env: Mapping[str, str] | None = None) -> dict[str, Any] | None:
    """Return what the limits need of the model's config.json; None while a process with `env` has it not on this machine."""
    config = read_config(path, revision, env)
    return None if config is None else {key: config[key] for key in CONFIG_KEYS if config.get(key) is not None}


def peaks_before_start(
    model_path: str, env: Mapping[str, str] | None = None, get_quiet: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Return the device's peaks, probed if need be (two seconds): to be called while nothing else runs.

    Before a probe `get_quiet` is called, for what this process does beside.
    """
    seen = gpus(env) if named(env) is not None else machine().gpus
    return device_peaks(seen[0].name if seen else None, weight_file_bytes(model_path), env, get_quiet)


def peaks_of_attached(base_url: str) -> dict[str, Any]:
    """Return the peaks of the device of a server that runs already: from a data sheet, for a probe would disturb it."""
    seen = machine().gpus
    is_here = is_loopback(urlsplit(base_url).hostname or "")
    known = data_sheet(seen[0].name) if seen and is_here else None
    why = "the server ran already, and no data sheet tells the peaks of its device"
    return known or {"kind": "unknown", "bandwidth_gb_s": None, "tflops": {}, "source": why}
