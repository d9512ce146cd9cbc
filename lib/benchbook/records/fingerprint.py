"""Fingerprints: what may change a number, hashed part by part, so that a stale record can name what changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest(payload: Any) -> str:
    """Return the SHA-256 (hex) of `payload` as canonical JSON."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint_parts(**parts: Any) -> dict[str, str]:
    """Return {part name: short hash} for launch, workload, model, packages, device, notebook ..."""
    return {name: digest(value)[:12] for name, value in sorted(parts.items())}


def combined(parts: Mapping[str, str]) -> str:
    """Return one fingerprint (64 hex digits) of all parts."""
    return digest(dict(parts))


def case_key(case_id: str, fingerprint: str) -> str:
    """Return the folder name of a case: 'eager,serve,...-3f9a1c20'."""
    return f"{case_id}-{fingerprint[:8]}"


def changed_parts(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return the names of the parts that differ, sorted; an absent part differs."""
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
