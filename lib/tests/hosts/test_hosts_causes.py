"""Each way to fail is recognised by the words that vLLM, torch or the hub really use, and by the exit code."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from benchbook.hosts.vllm import causes, flags

# Lines as vLLM 0.32.0, torch 2.13 and huggingface_hub write them; those marked [run] were provoked on a CPU.
WORKER = "(Worker pid=11672) ERROR 11-23 20:31:00 [multiproc_executor.py:1063] "
CASES = [
    ("unknown_flag", "main.py: error: unrecognized arguments: --max-model-length 4096"),  # [run]
    ("port_taken", "OSError: [Errno 98] Address already in use"),  # [run]
    (
        "port_taken",
        "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use",
    ),
    (
        "out_of_memory",  # [run]
        WORKER
        + "ValueError: Available memory on node 0 (7.63/11.96 GiB) on kv cache allocation is less than requested "
        "memory for kv (900.0 GiB). Decrease --kv-cache-memory-bytes, VLLM_CPU_KVCACHE_SPACE, or reduce CPU memory",
    ),
    (
        "out_of_memory",  # [run]
        WORKER + "ValueError: Available memory on node 0 (7.75/11.96 GiB) on startup is less than desired CPU memory "
        "utilization (0.999, 11.95 GiB).",
    ),
    (
        "out_of_memory",
        "ValueError: Free memory on device cuda:0 (3.1/79.1 GiB) on startup is less than desired GPU "
        "memory utilization (0.9, 71 GiB).",
    ),
    (
        "out_of_memory",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79 GiB",
    ),
    ("out_of_memory", "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB."),
    ("out_of_memory", "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`"),
    (
        "out_of_memory",
        "ValueError: To serve at least one request with the model's max seq len (131072), (16.0 GiB KV cache is "
        "needed, which is larger than the available KV cache memory (3.2 GiB).",
    ),
    (
        "out_of_memory",
        "RuntimeError: [enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to",
    ),
    ("disk_full", "OSError: [Errno 28] No space left on device"),
    ("model_gated", "OSError: You are trying to access a gated repo."),
    (
        "model_gated",
        "huggingface_hub.errors.GatedRepoError: 403 Client Error. Cannot access gated repo for url https://hf.co/x/y.",
    ),
    (
        "model_not_found",  # [run]
        "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the "
        "specified revision on the local disk and outgoing traffic has been disabled.",
    ),
    (
        "model_not_found",  # [run]
        "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them "
        "in the cached files.",
    ),
    ("model_not_found", "ValueError: Invalid repository ID or local directory specified: '/no/such/folder'."),
    (
        "model_not_found",
        "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error. Repository Not Found for url: https://x/y.",
    ),
    (
        "unsupported_dtype_or_quantization",  # [run]
        "main.py serve: error: argument --dtype: invalid choice: 'float63' (choose from 'auto', 'bfloat16')",
    ),
    # [run]
    (
        "unsupported_dtype_or_quantization",
        "  Value error, Unknown quantization method: awqq. Must be one of ['awq', 'auto_awq']",
    ),
    (
        "unsupported_dtype_or_quantization",  # [run]
        "  Value error, torch.float32 is not supported for quantization method fp8. Supported dtypes: [torch.bfloat16]",
    ),
    (
        "unsupported_dtype_or_quantization",
        "ValueError: The quantization method mxfp4 is not supported for the current GPU. Minimum capability: 80.",
    ),
    ("unsupported_model", "  Value error, Model architectures ['FooForCausalLM'] are not supported for now."),
    ("bad_argument", "main.py serve: error: argument --max-model-len: invalid human_readable_int_or_auto value: 'x'"),
    (
        "driver_mismatch",
        "RuntimeError: The NVIDIA driver on your system is too old (found version 12040). Please update your GPU",
    ),
    ("driver_mismatch", "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device"),
    ("driver_mismatch", "RuntimeError: Error 804: forward compatibility was attempted on non supported HW"),
    ("driver_mismatch", "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory"),
    ("driver_mismatch", "RuntimeError: No HIP GPUs are available"),
    (
        "driver_mismatch",
        "RuntimeError: Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL`",
    ),
]
GENERIC_END = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}\n"


@pytest.mark.parametrize(("code", "line"), CASES)
def test_a_cause_is_recognised_by_its_real_wording_and_quotes_the_line(code: str, line: str) -> None:
    cause = causes.classify(f"INFO 11-23 20:31:00 [a.py:1] starting\n{line}\n{GENERIC_END}", 1)
    assert cause.code == code
    assert cause.evidence == line.removeprefix(WORKER).strip()
    assert cause.hint


@pytest.mark.skipif(not find_spec("vllm"), reason="the known flags are those of the installed vLLM")
def test_an_unknown_flag_is_answered_with_the_nearest_known_one() -> None:
    cause = causes.classify("main.py: error: unrecognized arguments: --max-model-length 4096", 2)
    assert cause.hint == "did you mean --max-model-len?"
    assert flags.nearest_flag("enable_prefix_cachin") == "--enable-prefix-caching"
    assert flags.nearest_flag("--zzzzzzzz") is None


def test_the_validation_error_of_a_value_tells_its_reason() -> None:
    headline = "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig"
    reason = "  Value error, User-specified max_model_len (99999) is greater than the derived max_model_len"
    cause = causes.classify(f"{headline}\n{reason}\n", 1)
    assert cause.code == "bad_argument"
    assert "User-specified max_model_len (99999)" in cause.evidence


def test_source_lines_that_a_traceback_quotes_are_not_taken_for_the_reason() -> None:
    log = '  File "x.py", line 1\n    raise LocalEntryNotFoundError("CUDA out of memory")\nKeyError: \'y\'\n'
    assert causes.classify(log, 1).evidence == "KeyError: 'y'"


def test_an_unknown_death_is_a_crash_with_the_first_hand_exception() -> None:
    log = WORKER + "vllm.v1.FooError: the reason\n" + GENERIC_END + "warnings.warn('leaked')\n"
    cause = causes.classify(log, 1)
    assert (cause.code, cause.evidence) == ("crashed", "vllm.v1.FooError: the reason")


def test_a_signal_is_named_and_a_kill_points_to_the_kernel() -> None:
    cause = causes.classify("INFO all is well\n", -9)
    assert (cause.code, cause.evidence) == ("killed_by_signal", "the host was ended by SIGKILL")
    assert "out-of-memory killer" in cause.hint
    assert causes.classify("", -64).evidence  # a real-time signal has no name of its own, or an odd one


def test_a_worker_that_was_killed_is_told_apart_from_the_server_that_followed_it() -> None:
    prefix = "(EngineCore pid=1) ERROR 11-23 20:31:00 [multiproc_executor.py:316] "
    line = prefix + "Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor."
    assert causes.classify(line, 1).evidence == "a worker of the host was ended by SIGKILL"


def test_an_engine_that_was_killed_while_it_started_is_told_apart_from_the_server_that_followed_it() -> None:
    line = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): "
    assert causes.classify(line + "{'EngineCore_DP0': -9}", 1).evidence == "a worker of the host was ended by SIGKILL"
    assert causes.classify(line + "{'EngineCore_DP0': 1}", 1).code == "crashed"


def test_an_empty_log_is_a_crash_that_says_so() -> None:
    assert causes.classify("", 3).evidence == "it wrote nothing"


def test_a_late_start_is_hung_unless_the_log_has_a_reason() -> None:
    assert causes.hung("INFO 11-23 20:31:00 [a.py:1] loading\n", 600).evidence == "no healthy answer within 600 s"
    assert causes.hung("torch.OutOfMemoryError: CUDA out of memory.\n", 600).code == "out_of_memory"


def test_a_long_line_is_cut_in_the_evidence() -> None:
    assert len(causes.classify("ValueError: " + "x" * 5000, 1).evidence) < 600


def test_a_death_by_bus_error_and_only_that_is_explained_by_shared_memory():
    assert "/dev/shm" in causes.classify("", -7).hint and "--shm-size" in causes.classify("", -7).hint
    by_a_worker = "Worker proc VllmWorker-1 died unexpectedly (exit code: -7), shutting down executor."
    assert "/dev/shm" in causes.classify(f"ERROR 11-26 10:00:00 [multiproc_executor.py:1] {by_a_worker}", 1).hint
    assert "/dev/shm" not in causes.classify("", -15).hint and "/dev/shm" not in causes.classify("", -11).hint


def test_a_model_that_was_out_of_reach_is_to_be_fetched_first():
    for line in ("huggingface_hub.errors.LocalEntryNotFoundError: Cannot find", "OfflineModeIsEnabled: it is set"):
        assert causes.classify(line, 1).code == "model_not_found" and "hf download" in causes.classify(line, 1).hint
    assert "hf download" not in causes.classify("huggingface_hub.errors.RepositoryNotFoundError: 404", 1).hint
