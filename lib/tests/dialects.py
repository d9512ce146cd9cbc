"""Scripted servers that speak as other engines do: their command lines, paths, counters and log lines, by their sources.

    python dialects.py sglang|trtllm|llamacpp|plain WORDS OF ITS COMMAND LINE

Beneath is the scripted server of vLLM (fake_vllm.py), whose script it follows; `plain` is a server that knows nothing but
OpenAI's requests: no health, no counters, no version.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import fake_vllm

PROGRAM = (sys.executable, str(Path(__file__).resolve()))


class _Dialect(fake_vllm.FakeServer):
    paths: dict[str, str] = {}  # theirs, by the scripted server's
    counts: dict[str, str] = {}  # the names of its counters

    async def _answer(self, writer, method, path, headers, body):
        if path in self.told:
            return await self._send(writer, 200, self.told[path])
        found = {theirs: ours for ours, theirs in self.paths.items()}.get(path, "/nothing")
        await super()._answer(writer, method, path if path.startswith("/v1/") else found, headers, body)

    @property
    def told(self) -> dict[str, dict]:
        """Return what is answered as it stands, by path."""
        return {}

    def _models(self):
        return {"object": "list", "data": [{"id": self.names[0], "object": "model"}]}

    def _metrics(self):
        values = {"prompt": self.prompt_tokens, "made": self.generated_tokens, "running": self.running, "waiting": 0}
        values |= {"done": self.finished, "cached": 0, "full": 0.25}
        return "".join(f"{name} {values[what]}\n" for what, name in self.counts.items())


class SGLang(_Dialect):
    """SGLang 0.5: its server's info has the version, and a first request has to go through before it is ready."""

    paths = {"/health": "/health", "/metrics": "/metrics"}
    counts = {
        "prompt": 'sglang:prompt_tokens_total{model_name="m"}',
        "made": 'sglang:generation_tokens_total{model_name="m"}',
        "running": 'sglang:num_running_reqs{model_name="m"}',
        "waiting": 'sglang:num_queue_reqs{model_name="m"}',
        "full": 'sglang:token_usage{model_name="m"}',
        "cached": 'sglang:cached_tokens_total{model_name="m"}',
        "done": 'sglang:num_requests_total{model_name="m"}',
    }
    told = {"/get_server_info": {"version": "0.5.6", "model_path": "m"}, "/health_generate": {}}
    log = "[2026-11-27 10:00:00] max_total_num_tokens=4711, chunked_prefill_size=2048"


class TensorRT(_Dialect):
    """TensorRT-LLM 1.2: served under its folder's name, with its counters on another page."""

    paths = {"/health": "/health", "/metrics": "/prometheus/metrics"}
    counts = {
        "prompt": 'trtllm_prompt_tokens_total{engine_type="trtllm"}',
        "made": 'trtllm_generation_tokens_total{engine_type="trtllm"}',
        "running": "trtllm_num_requests_running",
        "waiting": "trtllm_num_requests_waiting",
        "full": "trtllm_kv_cache_utilization",
        "done": 'trtllm_request_success_total{finished_reason="length"}',
    }
    told = {"/version": {"version": "1.2.0"}, "/health_generate": {}}
    log = "[TRT-LLM] [I] Autotuning process ends"


class Llama(_Dialect):
    """llama.cpp's server: it wants its key for all but its health."""

    paths = {"/health": "/health", "/metrics": "/metrics", "/version": "/props"}
    counts = {
        "prompt": "llamacpp:prompt_tokens_total",
        "cached": "llamacpp:prompt_tokens_cached_total",
        "made": "llamacpp:tokens_predicted_total",
        "running": "llamacpp:requests_processing",
        "waiting": "llamacpp:requests_deferred",
    }
    log = "0.01.659.463 I srv    load_model: initializing, n_slots = 4, n_ctx_slot = 1024, kv_unified = 'false'"

    def _version(self):
        return {"build_info": "b4711-abcdef"}


class Plain(_Dialect):
    """A server of which nothing is known."""

    log = "it listens"


DIALECTS = {"sglang": SGLang, "trtllm": TensorRT, "llamacpp": Llama, "plain": Plain}


def main() -> None:
    """Serve in the dialect of the first word; of the others those are heeded that every server has."""
    dialect, *words = sys.argv[1:]
    said = dict(zip(words, words[1:]))
    kind = DIALECTS[dialect]
    fake_vllm.OPEN = ("/health",) if dialect == "llamacpp" else ()
    if dialect == "llamacpp":
        os.environ["BENCHBOOK_API_KEY"] = os.environ["LLAMA_API_KEY"]
    elif "--api-key" in said:
        os.environ["BENCHBOOK_API_KEY"] = said["--api-key"]
    else:
        del os.environ["BENCHBOOK_API_KEY"]
    if "--no-such-flag" in words:
        sys.exit("error: unrecognized arguments: --no-such-flag")
    name = said.get("--served-model-name") or said.get("--alias") or said.get("--name") or Path(words[0]).name
    fake_vllm.FakeServer = kind
    fake_vllm.log(kind.log, stamped=False)
    host = said.get("--host", "127.0.0.1")
    sys.argv = ["server", "serve", "m", "--host", host, "--port", said["--port"], "--served-model-name", name]
    fake_vllm.main()


if __name__ == "__main__":
    main()
