"""A sweep of the real vLLM in a shell full of proxies asks none of them; its client alone is in test_practice_starts.py."""

from __future__ import annotations

import json

import pytest
from rows import IS_FULL
from sweeps import ALL_MEASURED, ONE_PROCESS_ARGS, ONE_PROCESS_ENV, benchbook

pytestmark = pytest.mark.integration

SWEEP = {
    "question": "Does anything go through the proxy?",
    "model": {"path": "tiny"},
    "launches": {"tiny": {"args": ONE_PROCESS_ARGS, "env": ONE_PROCESS_ENV}},
    "benchmarks": [
        {"first_request": {"max_tokens": 8}},
        {"serve": {"max_concurrency": [2], "lengths": [[16, 8]], "num_prompts": 8}},
        {"latency": {"batch_size": 1, "lengths": [[16, 8]], "num_iters": 3}},
    ],
    "repeats": 1,
    "again": 0,
}


# Of the quickstart, in a shell whose proxies speak HTTP, see test_readme.py.
@pytest.mark.skipif(not IS_FULL, reason="make test-full")
@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_sweep_of_the_real_vllm_sends_nothing_to_the_proxy(proxy, scheme, tmp_path):
    (tmp_path / "sweep.yaml").write_text(json.dumps(SWEEP))
    process = benchbook(tmp_path, "run", "sweep.yaml", **proxy.variables(scheme))
    text, _ = process.communicate(timeout=240)
    assert process.returncode in ALL_MEASURED, text
    assert proxy.asked == []
    assert ("ALL_PROXY of your shell is left out" in text) == (scheme == "socks5")
