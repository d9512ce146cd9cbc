"""The log of a start is read for what it says, and for nothing that it does not say."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from benchbook.hosts.face import StartupFacts
from benchbook.hosts.process.logs import HostLog
from benchbook.hosts.vllm import taken_over
from benchbook.hosts.vllm.startup import startup_facts, startup_phase

CPU_LOG = """Triton is installed, but doesn't include CPU backend. Disabling Triton.
(APIServer pid=2839) INFO 11-23 20:05:00 [api_utils.py:1]
(APIServer pid=2839) INFO 11-23 20:05:10 [model.py:1] Using max model len 4096
(Core pid=8) INFO 11-23 20:05:16 [core.py:1] Initializing a V1 LLM engine (v0.32.0) with config: \
dtype=torch.bfloat16, max_seq_len=4096, quantization=None
(Worker pid=2924) INFO 11-23 20:05:25 [cpu_model_runner.py:1] Starting to load model /tmp/lock/tiny...
(Worker pid=2924) INFO 11-23 20:05:25 [weight_utils.py:1] Checkpoint size: 0.01 GiB.
(Worker pid=2924) INFO 11-23 20:05:25 [default_loader.py:1] Loading weights took 0.05 seconds
(Worker pid=2924) INFO 11-23 20:05:26 [cpu_worker.py:1] Explicitly set (1.0/8.59) GiB for KV cache on node 0.
(Core pid=8) INFO 11-23 20:05:26 [kv_cache_utils.py:1] CPU KV cache size: 524,288 tokens
(Core pid=8) INFO 11-23 20:05:26 [kv_cache_utils.py:1] Maximum concurrency for 4,096 tokens per request: 128.00x
(Core pid=8) INFO 11-23 20:05:28 [core.py:1] init engine (profile, create kv cache, warmup model) took 2.58 s
(APIServer pid=2839) INFO 11-23 20:05:29 [entry.py:1] Starting vLLM server on http://127.0.0.1:8123
INFO:     Application startup complete.
"""
CUDA_LOG = """(Core pid=7) INFO 12-31 23:59:40 [core.py:1] Initializing a V1 LLM engine (v0.26.0) with config: \
dtype=torch.bfloat16, max_seq_len=131072, quantization=mxfp4
(Core pid=7) INFO 12-31 23:59:50 [a.py:1] Using FLASH_ATTN attention backend out of potential backends: ['X'].
(Core pid=7) INFO 12-31 23:59:51 [flash_attn.py:1] Using FlashAttention version 3
(Core pid=7) INFO 01-01 00:00:10 [gpu_model_runner.py:1] Starting to load model openai/gpt-oss-120b...
(Core pid=7) INFO 01-01 00:00:11 [mxfp4.py:1] Using 'TRITON' Mxfp4 MoE backend.
(Core pid=7) INFO 01-01 00:00:14 [gpu_model_runner.py:1] Model loading took 61.43 GiB memory and 3.400000 seconds
(Core pid=7) INFO 01-01 00:00:44 [monitor.py:1] torch.compile took 30.12 s in total
(Core pid=7) INFO 01-01 00:00:50 [gpu_worker.py:1] Available KV cache memory: 63.4 GiB
(Core pid=7) INFO 01-01 00:00:51 [kv_cache_utils.py:1] GPU KV cache size: 922,698 tokens
(Core pid=7) INFO 01-01 00:00:51 [kv_cache_utils.py:1] Maximum concurrency for 4,096 tokens per request: 225.27x
(Core pid=7) INFO 01-01 00:02:44 [gpu_model_runner.py:1] Graph capturing finished in 113 secs, took 1.20 GiB
(Core pid=7) INFO 01-01 00:02:45 [core.py:1] init engine (profile, create kv cache, warmup model) took 150.75 s
"""


def test_the_log_of_a_cpu_start_gives_phases_and_capacity() -> None:
    assert startup_facts(CPU_LOG, started=datetime(2026, 11, 23, 20, 4, 53, 900_000)) == StartupFacts(
        imports_s=7,
        config_s=16,
        engine_init_s=9,
        weights_s=0.05,
        warm_up_s=2.58,
        api_s=1,
        weights_gib=0.01,
        kv_cache_gib=1.0,
        kv_cache_tokens=524288,
        max_concurrency_at_max_len=128.0,
        max_model_len=4096,
        dtype="bfloat16",
        vllm_version="0.32.0",
    )


def test_the_log_of_a_gpu_start_gives_memory_graphs_and_backends_also_over_new_year() -> None:
    assert startup_facts(CUDA_LOG) == StartupFacts(
        config_s=0,
        engine_init_s=30,
        weights_s=3.4,
        warm_up_s=150.75,
        compile_s=30.12,
        graph_capture_s=113,
        weights_gib=61.43,
        kv_cache_gib=63.4,
        kv_cache_tokens=922698,
        graphs_gib=1.2,
        max_concurrency_at_max_len=225.27,
        max_model_len=131072,
        dtype="bfloat16",
        quantization="mxfp4",
        attention_backend="FLASH_ATTN (version 3)",
        moe_backend="TRITON",
        vllm_version="0.26.0",
    )


def test_the_sizes_of_steps_with_a_graph_are_those_of_the_engines_own_configuration() -> None:
    line = "'cudagraph_mode': <CUDAGraphMode.{}: 0>, 'cudagraph_num_of_warmups': 1, 'cudagraph_capture_sizes': [{}]"
    assert startup_facts(line.format("FULL_AND_PIECEWISE", "16, 8, 1, 2, 4")).graph_sizes == (1, 2, 4, 8, 16)
    assert (
        startup_facts(line.format("NONE", "")).graph_sizes == startup_facts(line.format("NONE", "8")).graph_sizes == ()
    )


def test_other_wordings_of_backends_are_read_too() -> None:
    rocm = "INFO 01-01 00:00:00 [rocm.py:1] Using ROCM_AITER_FA backend out of potential backends: ['ROCM_AITER_FA']."
    fp8 = "INFO 01-01 00:00:00 [fp8.py:1] Using DEEPGEMM Fp8 MoE backend out of potential backends: ['DEEPGEMM']."
    assert startup_facts(rocm).attention_backend == "ROCM_AITER_FA"
    assert startup_facts(fp8).moe_backend == "DEEPGEMM"


def test_an_empty_log_says_nothing() -> None:
    assert startup_facts("") == StartupFacts()
    assert startup_facts("", started=datetime(2026, 1, 1)) == StartupFacts()


def test_a_start_says_what_it_is_doing_from_its_first_line_to_its_last() -> None:
    lines = [
        ("", "importing vLLM"),
        ("INFO 11-26 14:10:35 [api_utils.py:286] non-default args: {}", "reading the model's configuration"),
        (
            "WARNING 11-26 [vllm.py:1703] Enforce eager set, disabling torch.compile",
            "reading the model's configuration",
        ),
        ("INFO 11-26 14:10:41 [core.py:133] Initializing a V1 LLM engine (v0.32.0)", "starting the engine"),
        ("INFO 11-26 14:10:41 [cpu_model_runner.py:68] Starting to load model tiny...", "loading weights"),
        ("Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:00<00:00]", "loading weights (50%)"),
        ("INFO 11-26 14:10:41 [default_loader.py:501] Loading weights took 0.06 seconds", "measuring memory"),
        ("INFO 11-26 14:10:42 torch.compile takes 3.2 s in total", "compiling"),
        ("INFO 11-26 14:10:42 GPU KV cache size: 262,144 tokens", "laying out the KV cache and warming up"),
        ("Capturing CUDA graphs (mixed prefill-decode): 0%", "capturing CUDA graphs"),
        ("INFO 11-26 init engine (profile, create kv cache, warmup model) took 0.38 s", "opening its port"),
    ]
    for number, (_, phase) in enumerate(lines, start=1):
        assert startup_phase("\n".join(line for line, _ in lines[:number])) == phase


def test_of_a_very_long_log_the_beginning_and_the_end_are_read(tmp_path) -> None:
    path = tmp_path / "server.log"
    path.write_text("first line\n" + "x" * 79 + "\n" * 1 + ("y" * 79 + "\n") * 100_000 + "last line\n")
    log = HostLog(path, start_bytes=0)
    text = log.text()
    assert text.startswith("first line\n") and text.endswith("last line\n")
    assert len(text) == 4 << 20


def test_what_earlier_starts_wrote_is_not_part_of_the_log_of_this_one(tmp_path) -> None:
    path = tmp_path / "server.log"
    path.write_text("earlier\n")
    log = HostLog(path)
    assert log.text() == ""
    with open(path, "a") as file:
        file.write("now\n")
    assert log.text() == "now\n"
    assert log.end() == f"end of {path}:\nnow"


def _with_clock_set(log: str, at: str, by: timedelta) -> str:
    """Return the log as if the clock had been set by `by` before the line that holds `at`."""
    before, line, after = log.partition(next(line for line in log.splitlines() if at in line))

    def moved(found: re.Match) -> str:
        return (datetime.strptime(f"2000-{found[0]}", "%Y-%m-%d %H:%M:%S") + by).strftime("%m-%d %H:%M:%S")

    return before + re.sub(r"\d\d-\d\d \d\d:\d\d:\d\d", moved, line + after)


@pytest.mark.parametrize("by", [timedelta(seconds=-11), timedelta(hours=-1), timedelta(days=-1, seconds=-30)], ids=str)
def test_a_phase_in_which_the_clock_was_put_back_is_unknown_and_the_others_stand(by):
    facts = startup_facts(_with_clock_set(CPU_LOG, "Starting to load model", by))
    assert facts.engine_init_s is None and facts.config_s == 16.0 and facts.api_s == 1.0


@pytest.mark.parametrize("by", [timedelta(hours=1), timedelta(seconds=90), timedelta(hours=9)], ids=str)
def test_no_phase_is_longer_than_its_start(by):
    started = datetime(2026, 11, 23, 20, 4, 53, 900_000)
    facts = startup_facts(_with_clock_set(CPU_LOG, "Initializing a V1", by), started, ready_s=36.4)
    assert facts.config_s is None and facts.engine_init_s == 9.0 and facts.imports_s == 7.0


def test_a_start_over_new_year_has_its_phases():
    assert startup_facts(CUDA_LOG, ready_s=190.0).engine_init_s == 30.0


SAVED = (
    "INFO 11-26 11:00:00 [decorators.py:744] saved AOT compiled function to {root}/torch_aot_compile/aa/rank_0_0/model"
)
LOADED = "INFO 11-26 11:00:00 [decorators.py:319] Directly load AOT compilation from path {root}/aa/rank_0_0/model"
GRAPH_MADE = "INFO [backends.py:383] Cache the graph of compile range (1, 2048) for later use"
GRAPH_TAKEN = (
    "INFO [backends.py:296] Directly load the compiled graph(s) for compile range (1, 2048) from the cache, took 1 s"
)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([SAVED, GRAPH_MADE], "cold"),
        ([LOADED], "warm"),
        ([GRAPH_TAKEN], "warm"),
        ([GRAPH_TAKEN, SAVED], "in part"),
        (["INFO Cache the graph for dynamic shape for later use"], "cold"),  # as 0.10 says it
        (["INFO Directly load the compiled graph(s) for dynamic shape from the cache, took 2.1 s"], "warm"),
        (["INFO [backends.py:1102] vLLM's torch.compile cache is disabled."], "off"),
        (["WARNING Enforce eager set, disabling torch.compile"], None),
    ],
)
def test_a_start_tells_whether_compiled_code_was_there_before(lines, said):
    assert startup_facts("\n".join(lines)).compile_cache == said


MAPPED = "INFO 11-26 11:00:00 [ipc_loader.py:284] Mapped 291 tensors from the weight cache daemon (zero_copy mode)"
PLANNED = (
    "INFO 11-26 11:00:00 [startup_plan.py:158] Applying persisted startup plan (fingerprint 0a1b): "
    "kv_cache_memory_bytes=42949672960 (40.00 GiB), recorded free-memory baseline 78.00 GiB, current 78.10 GiB."
)
FELL_BACK = "WARNING [ipc_loader.py:217] Weight cache unusable (no daemon listens); falling back to disk loading"


@pytest.mark.parametrize(
    ("lines", "ways"),
    [
        ([MAPPED], "ipc_cache"),
        ([PLANNED], "startup_plan"),
        ([PLANNED, MAPPED], "ipc_cache, startup_plan"),
        ([FELL_BACK, "INFO Saved startup plan to /root/.cache/vllm/startup_plan/startup_plan_0a1b.json"], None),
        ([LOADED], None),
    ],
)
def test_a_start_tells_what_it_took_over_from_an_earlier_one(lines, ways):
    assert startup_facts("\n".join(lines)).taken_over == ways


def test_a_proof_is_of_one_way_one_version_and_one_device(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCHBOOK_CACHE_DIR", str(tmp_path))
    engine = "INFO [core.py:112] Initializing a V1 LLM engine (v0.32.0) with config: model='tiny'"
    log, both = f"{engine}\n{MAPPED}", f"{engine}\n{PLANNED}\n{MAPPED}"
    assert startup_facts(log).proven_equal is None
    assert taken_over.note_proof("ipc_cache", "0.32.0", "within 0.8 % over 8 rounds of tiny")
    assert startup_facts(log).proven_equal == "within 0.8 % over 8 rounds of tiny"
    assert startup_facts(both).proven_equal is None, "what both do together, nobody has looked at"
    assert startup_facts(log.replace("0.32.0", "0.33.0")).proven_equal is None
    assert startup_facts(engine).proven_equal is None, "a whole start needs none"
    monkeypatch.setattr(taken_over, "device", lambda: "another card")
    assert startup_facts(log).proven_equal is None


def test_kernels_that_triton_compiled_at_this_start_are_counted_wherever_its_cache_lies(tmp_path):
    own, of_vllm = tmp_path / "triton" / "K1", tmp_path / "torch_aot_compile" / "aa" / "inductor_cache" / "triton" / "0"
    log = SAVED.format(root=tmp_path)
    began = datetime.now()

    def told(started=began):
        return startup_facts(log, started, env={"TRITON_CACHE_DIR": str(own.parent)}).triton_compiled

    assert told() is None, "no cache is neither warm nor cold"
    for folder in (own, of_vllm):
        folder.mkdir(parents=True)
        (folder / "kernel.cubin").write_bytes(b"x")
        (folder / "kernel.json").write_bytes(b"x")
    assert told() == 2
    assert told(datetime.now() + timedelta(seconds=5)) == 0, "what an earlier start compiled is a warm cache"
    (own / "other.hsaco").write_bytes(b"x")
    assert told() == 3
