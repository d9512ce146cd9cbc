"""Before anything starts: names that this vLLM does not know, and machines that lack what is asked for, are refused."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from benchbook.hosts.machine import devices as devices_module
from benchbook.hosts.machine.devices import CPU, CUDA, ROCM, Device, rocm_gpus
from benchbook.hosts.model.files import resolve_model
from benchbook.hosts.vllm.flags import Known
from benchbook.plan.experiment import load_experiment
from benchbook.sweep import preflight as preflight_module
from benchbook.sweep.machine import check_machine, machine_note
from benchbook.sweep.needs import need_of
from benchbook.sweep.preflight import Preflight, preflight
from benchbook.terms.errors import ExperimentError
from cpu_time import children_cpu_s
from one_launch import FIRST, written

ROOT = Path(__file__).parents[3]
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))
KNOWN = Known(
    version="0.32.0",
    engine_flags=frozenset({"--max-model-len", "--enforce-eager", "--compilation-config", "--load-format"}),
    server_flags=frozenset({"--response-role"}),
    variables=frozenset({"VLLM_LOGGING_LEVEL"}),
    compilation_options=frozenset({"cudagraph_mode", "pass_config"}),
)
LATENCY = "latency: {batch_size: 1, lengths: [[8, 4]]}"


@pytest.fixture(autouse=True)
def of_a_known_vllm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the installed vLLM be one of a few names."""
    monkeypatch.setattr(preflight_module, "known", lambda *_: KNOWN)
    monkeypatch.setenv("BENCHBOOK_CACHE_DIR", str(tmp_path / "cache"))


def checked(folder: Path, args: str = "", env: str = "", benchmark: str = FIRST, more: str = "") -> Preflight:
    path = written(folder, f"{{{args}}}", f"{{{env}}}", launch="a", benchmark=benchmark)
    path.write_text(path.read_text() + more)
    return preflight(load_experiment(path))


@pytest.mark.parametrize(
    ("args", "env", "words"),
    [
        ("enforce_eagr: true", "", "exp.yaml:5: launches.a.args.enforce_eagr: true: vLLM 0.32.0 has no such flag"),
        ("enforce_eagr: true", "", "did you mean enforce_eager?"),
        ("", "VLLM_LOGING_LEVEL: INFO", "exp.yaml:6: launches.a.env.VLLM_LOGING_LEVEL: 'INFO': vLLM 0.32.0 has no"),
        ("", "VLLM_LOGING_LEVEL: INFO", "did you mean VLLM_LOGGING_LEVEL?"),
        ("compilation_config: {cudagraphs_mode: FULL}", "", "args.compilation_config.cudagraphs_mode: 'FULL'"),
        ("compilation_config.cudagraphs_mode: FULL", "", "did you mean cudagraph_mode?"),
        ("no_enforce_eagr: true", "", "did you mean enforce_eager?"),
    ],
)
def test_an_unknown_name_is_refused_with_its_line_and_the_nearest(tmp_path, args, env, words) -> None:
    with pytest.raises(ExperimentError) as refusal:
        checked(tmp_path, args, env)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("args", "env"),
    [
        ("compilation_config: {cudagraph_mode: FULL}", "VLLM_LOGGING_LEVEL: INFO"),
        ("enforce_eager: true", "HIP_VISIBLE_DEVICES: 0"),
        ("response_role: x", ""),
    ],
)
def test_known_names_and_the_variables_of_others_pass_untouched(tmp_path, args, env) -> None:
    result = checked(tmp_path, args, env)
    assert result.notes == ()
    assert result.experiment == load_experiment(tmp_path / "exp.yaml")


def test_a_flag_of_the_server_alone_is_refused_where_an_engine_runs_without_one(tmp_path) -> None:
    with pytest.raises(ExperimentError, match="response_role: 'x': is a flag of the server alone"):
        checked(tmp_path, "response_role: x", benchmark=LATENCY)


def test_a_translation_is_applied_and_told_with_its_line_and_reason(tmp_path) -> None:
    result = checked(tmp_path, "compilation_config: {full_cuda_graph: true}")
    assert result.experiment.launch("a").args == {"compilation_config": {"cudagraph_mode": "FULL"}}
    (note,) = result.notes
    assert "exp.yaml:5: launches.a.args.compilation_config.full_cuda_graph: true → " in note
    assert "gone since 0.11.1" in note


def test_what_cannot_be_translated_is_refused_with_its_line(tmp_path) -> None:
    with pytest.raises(
        ExperimentError, match=r"exp.yaml:6: launches.a.env.VLLM_USE_V1: 0: gone since 0.11.1: the engine V0 is gone"
    ):
        checked(tmp_path, env="VLLM_USE_V1: 0")


def test_without_a_vllm_old_names_are_translated_for_the_newest_and_nothing_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(preflight_module, "known", lambda *_: None)
    result = checked(tmp_path, "enforce_eagr: true, swap_space: 4")
    assert result.experiment.launch("a").args == {"enforce_eagr": True}
    assert "none is installed here" in result.checked_against


def test_a_vllm_whose_source_tells_nothing_is_said_to_be_unchecked(tmp_path, monkeypatch) -> None:
    unreadable = replace(KNOWN, engine_flags=frozenset(), server_flags=frozenset(), variables=frozenset())
    monkeypatch.setattr(preflight_module, "known", lambda *_: unreadable)
    result = checked(tmp_path, "enforce_eagr: true", "VLLM_X: 1")
    assert result.checked_against.endswith("nothing was checked")


def test_an_unknown_shape_is_refused_where_the_file_names_it(tmp_path) -> None:
    path = written(tmp_path, model="{shape: gpt-oss-12b}")
    with pytest.raises(ExperimentError, match=r"exp.yaml:2: model.shape: 'gpt-oss-12b': .*did you mean 'gpt-oss-120b'"):
        preflight(load_experiment(path))


def test_a_shape_is_loaded_with_weights_that_are_made_and_by_vllm_itself_only_where_the_file_says_so(tmp_path) -> None:
    path = written(tmp_path, launch="a", model="{shape: gpt-oss-20b}")
    text = path.read_text()
    launch = load_experiment(path).launch("a")
    assert launch.args == {"load_format": "benchbook"}
    assert launch.model_text == "gpt-oss-20b (random weights)"
    path.write_text(text.replace("args: {}", "args: {load_format: dummy}"))
    assert load_experiment(path).launch("a").args == {"load_format": "dummy"}
    path.write_text(text.replace("args: {}", "args: {load_format: Dummy}"))  # vLLM reads it in any case
    assert load_experiment(path).launch("a").args == {"load_format": "Dummy"}
    path.write_text(text.replace("args: {}", "args: {load_format: auto}"))
    with pytest.raises(ExperimentError, match="load_format: 'auto': a shape has no weights to load"):
        load_experiment(path)


@pytest.mark.parametrize(("load_format", "is_made"), [("DUMMY", True), ("Dummy", True), ("Safetensors", False)])
def test_weights_that_are_made_are_told_of_in_whatever_case_the_load_format_is_written(tmp_path, load_format, is_made):
    path = written(tmp_path, f"{{load_format: {load_format}}}", launch="a", model="a/b")
    assert ("(random weights)" in load_experiment(path).launch("a").model_text) is is_made


# --- The machine.

SHAPE = """question: Which?
model: {{shape: gpt-oss-120b}}
{device}
launches:
  a: {{args: {{{args}}}}}
benchmarks:
  - serve: {{max_concurrency: [1, 8], lengths: [[4096, 1024]], num_prompts: 8}}
"""
CUDA_80, CUDA_140 = Device(CUDA, 78.0, 80.0), Device(CUDA, 139.0, 140.0)
ROCM_192, SMALL_CPU = Device(ROCM, 190.0, 192.0), Device(CPU, 20.0, 24.0)


def on(folder: Path, device: str, there: list[Device], args: str = "", version: str = "0.32.0") -> None:
    """Check the shape's experiment against a machine with these devices."""
    path = folder / "exp.yaml"
    path.write_text(SHAPE.format(device=f"device: {device}" if device else "", args=args))
    experiment = load_experiment(path)
    check_machine(Preflight(experiment, version, True, True, ()), there)


def test_a_machine_without_the_device_is_refused_with_what_is_needed_and_what_is_here(tmp_path) -> None:
    with pytest.raises(ExperimentError) as refusal:
        on(tmp_path, "rocm", [CUDA_140])
    message = str(refusal.value)
    assert f"{tmp_path}/exp.yaml:3: device: 'rocm': needs a ROCm GPU with 63 GiB free" in message
    assert "60.8 GiB of weights and 1.4 GiB of KV cache for 8 x 5120 tokens" in message
    assert "this machine has an NVIDIA GPU with 139 of 140 GiB free" in message


@pytest.mark.parametrize(
    ("device", "there"), [("rocm", [ROCM_192]), ("cuda", [CUDA_80]), ("", [CUDA_140]), ("", [ROCM_192])]
)
def test_a_machine_that_has_it_is_let_through(tmp_path, device, there) -> None:
    on(tmp_path, device, there)


@pytest.mark.parametrize("device", ["cuda", ""])
def test_too_little_free_memory_is_refused(tmp_path, device) -> None:
    with pytest.raises(ExperimentError, match="with 61 GiB free .*; this machine has an NVIDIA GPU with 40 of 80 GiB"):
        on(tmp_path, device, [Device(CUDA, 40.0, 80.0)])


def test_two_devices_share_the_weights_and_both_must_be_there(tmp_path) -> None:
    half = Device(CUDA, 40.0, 80.0)
    on(tmp_path, "cuda", [half, half], args="tensor_parallel_size: 2")
    with pytest.raises(ExperimentError, match="needs 2 NVIDIA GPUs with 31 GiB free each"):
        on(tmp_path, "cuda", [half], args="tensor_parallel_size: 2")


def test_a_build_for_cpus_does_not_use_the_gpu_that_is_there(tmp_path) -> None:
    with pytest.raises(
        ExperimentError, match=r"needs an NVIDIA GPU, and the installed vLLM 0.32.0\+cpu is a build for"
    ):
        on(tmp_path, "cuda", [CUDA_140], version="0.32.0+cpu")


def test_the_memory_of_a_cpu_counts_too(tmp_path) -> None:
    with pytest.raises(ExperimentError, match="needs a CPU with 61 GiB free"):
        on(tmp_path, "cpu", [SMALL_CPU], version="0.32.0+cpu")


def test_a_model_of_unknown_size_is_only_asked_for_its_device(tmp_path) -> None:
    path = tmp_path / "exp.yaml"
    path.write_text(SHAPE.format(device="device: rocm", args="").replace("{shape: gpt-oss-120b}", "{hub: a/b}"))
    experiment = load_experiment(path)
    assert need_of(experiment, experiment.launches[0]) is None
    check_machine(Preflight(experiment, "0.32.0", True, True, ()), [ROCM_192])
    with pytest.raises(ExperimentError, match="needs a ROCm GPU; this machine has"):
        check_machine(Preflight(experiment, "0.32.0", True, True, ()), [SMALL_CPU])


@pytest.mark.parametrize("args", ["tensor_parallel_size: many", "tensor_parallel_size: 0", "quantization: fp8"])
def test_what_makes_no_sense_or_changes_the_size_is_left_to_vllm(tmp_path, args) -> None:
    on(tmp_path, "cuda", [CUDA_80], args=args)


def test_amd_gpus_are_read_from_the_kernels_driver(tmp_path) -> None:
    for number, vendor in enumerate(("0x1002", "0x8086", "0x1002")):
        folder = tmp_path / f"card{number}" / "device"
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(vendor + "\n")
        (folder / "mem_info_vram_total").write_text(str(192 * 2**30))
        (folder / "mem_info_vram_used").write_text(str(2 * 2**30))
    (tmp_path / "card2" / "device" / "mem_info_vram_used").unlink()
    driver = tmp_path / "kfd"
    assert rocm_gpus(tmp_path, driver) == []  # without the compute driver ROCm does not run
    driver.touch()
    assert rocm_gpus(tmp_path, driver) == [Device(ROCM, 190.0, 192.0)]


def test_a_machine_without_gpus_has_a_cpu_with_memory(monkeypatch) -> None:
    monkeypatch.setattr(devices_module, "gpu_memory", lambda env: None)
    monkeypatch.setattr(devices_module, "COMPUTE_DRIVER", Path("/nowhere"))
    (device,) = [one for one in devices_module.devices() if one.kind == CPU]
    assert 0 < device.free_gib <= device.total_gib


# --- The project's own experiments, against the vLLM that is really here.


@pytest.fixture(scope="module")
def tiny() -> None:
    """Make the embedded model, as its first use does: on a new machine it has no size yet."""
    resolve_model("tiny")


def with_its_pythons(path: Path, folder: Path) -> Path:
    """Return an experiment of the project; in a copy, where it names environments beside it, which all are ours then."""
    named = re.findall(r"python: (\.\./\S+?)[}\s]", path.read_text())
    if not named:
        return path
    copy = folder / "experiments" / path.name
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    for name in named:
        program = copy.parent / name
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        program.chmod(0o755)
    return copy


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_of_the_project_can_be_planned(path, tiny, monkeypatch, tmp_path) -> None:
    monkeypatch.undo()
    result = preflight(load_experiment(with_its_pythons(path, tmp_path)))
    assert machine_note(result)
    for launch in filter(lambda launch: not launch.attached, result.experiment.launches):
        assert need_of(result.experiment, launch), "the memory of what we publish must be known"


def test_a_page_tells_for_every_experiment_what_it_needs(tiny, monkeypatch, tmp_path) -> None:
    monkeypatch.undo()
    page = (ROOT / "docs" / "experiment-file.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| ([^|]+) \|$", page, re.MULTILINE))
    for path in EXPERIMENTS:
        experiment = preflight(load_experiment(with_its_pythons(path, tmp_path))).experiment
        ours = [launch for launch in experiment.launches if not launch.attached]
        gib = math.ceil(max(need_of(experiment, launch).total_gib for launch in ours))
        wanted = (
            "a CPU" if experiment.device is None else f"{experiment.device.upper().replace('ROCM', 'ROCm')}, {gib} GiB"
        )
        assert rows[path.stem].startswith(wanted)


def run_cli(tmp_path: Path, *command: str) -> tuple[subprocess.CompletedProcess, float]:
    """Return how the command ended, and its processor time (s), which neighbours on the machine hardly change."""
    argv = [
        sys.executable,
        "-m",
        "benchbook",
        *command,
        "experiments/article_mi300x.yaml",
        "--results",
        str(tmp_path / "results"),
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "lib")}
    before_s = children_cpu_s()
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    return done, children_cpu_s() - before_s


def test_the_articles_plan_prints_what_would_run_on_a_current_vllm_for_rocm(tmp_path) -> None:
    done, _ = run_cli(tmp_path, "plan", "--commands")
    assert done.returncode == 0, done.stderr
    (command,) = [line for line in done.stdout.splitlines() if "vllm serve" in line]
    assert command.strip() == (
        "$ VLLM_ROCM_USE_AITER=1 VLLM_ROCM_USE_AITER_MHA=0 vllm serve openai/gpt-oss-120b --host 127.0.0.1 --port PORT "
        "--served-model-name openai/gpt-oss-120b NONCE --no-enable-prefix-caching "
        "--tensor-parallel-size 1 "
        '--compilation-config \'{"cudagraph_mode": "FULL"}\' --attention-backend ROCM_AITER_UNIFIED_ATTN'
    )
    assert done.stdout.count("  translated: ") == 4


@pytest.mark.skipif(Path("/dev/kfd").exists(), reason="this machine has the ROCm driver")
def test_the_articles_run_is_refused_at_once_on_a_machine_without_rocm(tmp_path) -> None:
    run_cli(tmp_path, "plan")  # what is known of the installed vLLM is read from it once
    done, cpu_s = run_cli(tmp_path, "run")
    assert done.returncode == 2 and cpu_s < 5
    assert "needs a ROCm GPU with 63 GiB free" in done.stderr and "; this machine has " in done.stderr
    assert not (tmp_path / "results").exists()


PARSERS = (
    "tool_call_parser=llama3_json", "tool_call_parser=hermes", "tool_call_parser=qwen3_coder",
    "reasoning_parser=deepseek_r1", "reasoning_parser=qwen3",
)  # fmt: skip


@pytest.mark.parametrize(
    ("args", "place", "near"),
    [
        ("tool_call_parser: llama3_jsn", "tool_call_parser: 'llama3_jsn'", "did you mean llama3_json?"),
        ("tool_call_parser: Hermes", "tool_call_parser: 'Hermes'", "did you mean hermes?"),
        ("reasoning_parser: deepseek-r1", "reasoning_parser: 'deepseek-r1'", "did you mean deepseek_r1?"),
        ("reasoning_parser: mine", "reasoning_parser: 'mine'", "there are deepseek_r1, qwen3"),
        (
            "structured_outputs_config: {reasoning_parser: qwen-3}",
            "structured_outputs_config.reasoning_parser: 'qwen-3'",
            "did you mean qwen3?",
        ),
    ],
)
def test_a_parser_that_is_not_registered_is_refused_with_the_nearest_one(tmp_path, monkeypatch, args, place, near):
    _know_parsers(monkeypatch)
    with pytest.raises(ExperimentError) as refusal:
        checked(tmp_path, args)
    assert place in str(refusal.value) and near in str(refusal.value)


@pytest.mark.parametrize(
    "args",
    [
        "tool_call_parser: hermes, reasoning_parser: qwen3",
        "structured_outputs_config: {reasoning_parser: deepseek_r1}",
        "tool_call_parser: mine, tool_parser_plugin: PLUGIN",
        "reasoning_parser: mine, reasoning_parser_plugin: PLUGIN",
    ],
)
def test_a_parser_that_is_registered_or_comes_with_a_plugin_is_not_refused(tmp_path, monkeypatch, args):
    _know_parsers(monkeypatch)
    (tmp_path / "plugin.py").write_text("")
    checked(tmp_path, args.replace("PLUGIN", str(tmp_path / "plugin.py")))


def _know_parsers(monkeypatch) -> None:
    flags = ("tool-call-parser", "tool-parser-plugin", "reasoning-parser", "reasoning-parser-plugin")
    flags = frozenset(f"--{flag}" for flag in (*flags, "structured-outputs-config"))
    there = replace(KNOWN, server_flags=flags, registered=frozenset(PARSERS))
    monkeypatch.setattr(preflight_module, "known", lambda *_: there)


VALUES = replace(
    KNOWN,
    variables=frozenset({"VLLM_CPU_KVCACHE_SPACE", "VLLM_WORKER_MULTIPROC_METHOD", "VLLM_USE_X"}),
    variable_values=frozenset({"VLLM_WORKER_MULTIPROC_METHOD=spawn", "VLLM_WORKER_MULTIPROC_METHOD=fork"}),
    variable_numbers=frozenset({"VLLM_CPU_KVCACHE_SPACE=int", "VLLM_USE_X=switch"}),
)


def test_a_bad_value_of_the_shell_is_told_once_a_run_and_not_once_a_launch(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight_module, "known", lambda *_: VALUES)
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "4GiB")
    path = tmp_path / "exp.yaml"
    own, none = "{env: {VLLM_CPU_KVCACHE_SPACE: 1}}", "{}"
    for launches, first in (({"a": none, "b": none, "c": none}, "a"), ({"a": own, "b": none, "c": none}, "b")):
        body = "".join(f"  {name}: {settings}\n" for name, settings in launches.items())
        path.write_text(
            f"question: q\nmodel: tiny\nlaunches:\n{body}benchmarks:\n  - latency: {{batch_size: 1, lengths: [[8, 8]]}}\n"
        )
        with pytest.raises(ExperimentError) as refusal:
            preflight_module.preflight_of(path)
        (line,) = str(refusal.value).splitlines()
        assert f"launches.{first}.env.VLLM_CPU_KVCACHE_SPACE: VLLM_CPU_KVCACHE_SPACE=4GiB of your shell" in line


@pytest.mark.parametrize(
    ("name", "bad", "said", "good"),
    [
        ("VLLM_CPU_KVCACHE_SPACE", "4GiB", "must be a whole number", "4"),
        ("VLLM_WORKER_MULTIPROC_METHOD", "spwan", "is none of the values that it takes; did you mean spawn?", "spawn"),
        ("VLLM_USE_X", "true", "is no word by which vLLM reads this switch: write 1", "1"),
        ("VLLM_USE_X", "maybe", "is a switch: write 1 for on, 0 for off", "1"),
    ],
)
def test_a_value_of_the_shell_is_checked_like_one_of_the_file_and_the_shell_is_named(
    tmp_path, monkeypatch, name, bad, said, good
):
    monkeypatch.setattr(preflight_module, "known", lambda *_: VALUES)
    monkeypatch.setenv(name, bad)
    with pytest.raises(ExperimentError) as refusal:
        checked(tmp_path)
    assert f"launches.a.env.{name}: {name}={bad} of your shell {said}" in str(refusal.value)
    checked(tmp_path, env=f"{name}: {good}")  # what the launch says counts
    monkeypatch.setenv(name, good)
    checked(tmp_path)


SERVE = "serve: {max_concurrency: 32, lengths: [[8, 4]], num_prompts: 320}"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("max_num_active_seqs: 2", "max_num_active_seqs lets 2 of 32 requests in flight run at once"),
        ("max_num_active_seqs: 2, max_num_seqs: 8", "max_num_active_seqs lets 2 of 32"),
        ("max_num_active_seqs: 8, max_num_seqs: 16, data_parallel_size: 2", "max_num_active_seqs lets 16 of 32"),
        ("max_num_seqs: 8", "max_num_seqs lets 8 of 32"),
        ("max_num_active_seqs: 32, max_num_seqs: 64", ""),
    ],
)
def test_a_queue_before_max_num_active_seqs_is_told_like_one_before_max_num_seqs(tmp_path, monkeypatch, args, said):
    flags = frozenset({"--max-num-seqs", "--max-num-active-seqs", "--data-parallel-size"})
    monkeypatch.setattr(preflight_module, "known", lambda *_: replace(KNOWN, engine_flags=flags))
    notes = "".join(checked(tmp_path, args, benchmark=SERVE).notes)
    assert said in notes and bool(said) is ("run at once" in notes)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("gpt2", "write 'openai-community/gpt2'"),
        ("distilgpt2", "write 'distilbert/distilgpt2'"),
        ("bert-base-uncased", "for the hub's bert-base-uncased write its organisation too"),
        ("s3://bucket/llama", "copy its files to a folder here and write model: {path: THAT/FOLDER}"),
        ("{path: 'gs://bucket/llama'}", "copy its files to a folder here"),
        ("az://container/llama", "copy its files to a folder here"),
        ("https://huggingface.co/gpt2/gpt2", "is an address: write the model's id, 'gpt2/gpt2'"),
    ],
)
def test_a_model_named_by_half_or_by_an_address_is_refused_with_what_to_write(tmp_path, model, said):
    path = written(tmp_path, model=model)
    with pytest.raises(ExperimentError) as refusal:
        load_experiment(path)
    assert said in str(refusal.value) and len(str(refusal.value).splitlines()) == 1
