"""What a machine lacks is refused before a start, launch by launch; what can work is let through, with a note."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from benchbook.hosts.machine import cpu_cores, shared_memory
from benchbook.hosts.machine import devices as devices_module
from benchbook.hosts.machine.devices import CPU, CUDA, Device, naming, rocm_gpus
from benchbook.hosts.machine.facts import gpus
from benchbook.hosts.machine.peaks import data_sheet
from benchbook.plan.experiment import load_experiment
from benchbook.sweep import machine as machine_module
from benchbook.sweep.machine import check_machine, machine_note
from benchbook.sweep.preflight import Preflight
from benchbook.terms.errors import ExperimentError
from one_launch import written

FIRST, SECOND = "GPU-8d6a7b44-aaaa-bbbb-cccc-0123456789ab", "GPU-77aa0000-aaaa-bbbb-cccc-0123456789ab"
SLICE = "MIG-377e0049-554c-540b-93c6-d0976f8426cb"
SMI = """#!/bin/sh
case "$1" in
  --query-gpu=*) printf '0, {first}, 143000, 144384\\n1, {second}, 0, 144384\\n' ;;
  -L) printf 'GPU 1: NVIDIA H200 (UUID: {second})\\n  MIG 1g.18gb     Device  0: (UUID: {slice})\\n' ;;
esac
"""


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that gives an experiment as it is checked against a machine, of a vLLM for GPUs or for CPUs."""
    monkeypatch.setattr(shared_memory, "free_mib", lambda: 4096.0)
    monkeypatch.setattr(cpu_cores, "num_nodes", lambda: 4)
    monkeypatch.setattr(machine_module, "check_models", lambda checked: [])
    for variable in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "VLLM_CPU_KVCACHE_SPACE"):
        monkeypatch.delenv(variable, raising=False)

    def of(model: str, args: str = "{}", env: str = "{}", at_once: int = 1, version: str = "0.32.0") -> Preflight:
        benchmark = f"serve: {{max_concurrency: {at_once}, lengths: [[1024, 1024]], num_prompts: 2048}}"
        path = written(tmp_path, args, env, launch="a", model=model, benchmark=benchmark)
        return Preflight(load_experiment(path), version, True, True, ())

    return of


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a scripted nvidia-smi on the path: the first GPU is full, and the second has a slice."""
    folder = tmp_path / "smi"
    folder.mkdir()
    (folder / "nvidia-smi").write_text(SMI.format(first=FIRST, second=SECOND, slice=SLICE))
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(devices_module, "COMPUTE_DRIVER", Path("/nowhere"))


# --- The KV cache.


def test_a_kv_cache_that_does_not_hold_all_requests_is_a_note(checked) -> None:
    of_120b = checked("{shape: gpt-oss-120b}", "{max_num_seqs: 1024}", at_once=1024)
    (note,) = check_machine(of_120b, [Device(CUDA, 80.0, 80.0)])
    assert "1024 x 2048 tokens in flight need 76.5 GiB of KV cache, and no more than 19.2 GiB is there" in note
    assert "kv_exhausted" in note
    assert machine_note(of_120b)


@pytest.mark.parametrize(
    ("args", "at_once", "noted"),
    [
        ("{max_num_seqs: 8}", 512, False),
        ("{max_num_seqs: 8, data_parallel_size: 2}", 512, False),
        ("{}", 2000, True),
        ("{max_num_active_seqs: 16, max_num_seqs: 2048}", 2000, False),
        ("{max_num_seqs: 2048, max_num_active_seqs: 1500}", 2000, True),
        ("{tensor_parallel_size: 2}", 2000, False),  # each card holds half of the weights and half of the cache
        ("{gpu_memory_utilization: 0.3}", 512, True),
    ],
)
def test_no_more_sequences_are_counted_than_may_run(checked, args, at_once, noted) -> None:
    notes = check_machine(checked("{shape: gpt-oss-20b}", args, at_once=at_once), [Device(CUDA, 80.0, 80.0)] * 2)
    assert bool(notes) == noted


def test_where_weights_and_one_request_do_not_fit_it_is_refused(checked) -> None:
    with pytest.raises(
        ExperimentError, match=r"exp.yaml:4: launches.a: .*needs an NVIDIA GPU with 61 GiB free .*one request"
    ):
        check_machine(checked("{shape: gpt-oss-120b}", at_once=1024), [Device(CUDA, 60.0, 80.0)])


@pytest.mark.parametrize(
    ("args", "env", "words"),
    [
        ("{kv_cache_memory_bytes: 50M}", "{}", "and kv_cache_memory_bytes: 50M gives 50 MiB"),
        ("{}", "{VLLM_CPU_KVCACHE_SPACE: 1}", ""),
        ("{max_num_seqs: 2, tensor_parallel_size: 2}", "{}", ""),
    ],
)
def test_a_kv_cache_of_a_given_size_must_hold_one_request(checked, args, env, words) -> None:
    experiment = checked("{shape: llama-3.1-8b}", args, env, version="0.32.0+cpu")
    if words:
        with pytest.raises(ExperimentError, match=words):
            check_machine(experiment, [Device(CPU, 60.0, 64.0)])
    else:
        assert check_machine(experiment, [Device(CPU, 60.0, 64.0)]) == []


def test_a_given_kv_cache_that_will_be_queued_for_is_a_note(checked) -> None:
    experiment = checked("{shape: llama-3.1-8b}", env="{VLLM_CPU_KVCACHE_SPACE: 1}", at_once=64, version="0.32.0+cpu")
    (note,) = check_machine(experiment, [Device(CPU, 60.0, 64.0)])
    assert "no more than 1.0 GiB is there" in note


# --- Ranks and devices.


@pytest.mark.parametrize(
    "args", ["{tensor_parallel_size: 2}", "{data_parallel_size: 2}", "{pipeline_parallel_size: 4}"]
)
def test_ranks_on_one_cpu_are_fine(checked, args) -> None:
    assert check_machine(checked("{shape: llama-3.1-8b}", args, version="0.32.0+cpu"), [Device(CPU, 40.0, 64.0)]) == []


@pytest.mark.parametrize(
    ("args", "env", "told"),
    [
        ("{tensor_parallel_size: 2}", "{}", "binds each of 2 workers to a NUMA node of its own"),
        ("{pipeline_parallel_size: 2, tensor_parallel_size: 2}", "{VLLM_CPU_OMP_THREADS_BIND: auto}", "each of 4 work"),
        ("{data_parallel_size: 2}", "{}", "binds 2 copies of the model to the same cores"),
        ("{data_parallel_size: 3}", "{}", "or with the cores of each ('0|1|2')"),
        ("{data_parallel_size: 2}", "{VLLM_CPU_OMP_THREADS_BIND: '0|1'}", ""),
        ("{tensor_parallel_size: 2}", "{VLLM_CPU_OMP_THREADS_BIND: nobind}", ""),
        ("{tensor_parallel_size: 2}", "{VLLM_CPU_OMP_THREADS_BIND: '0|1'}", ""),
        ("{tensor_parallel_size: 2}", "{VLLM_CPU_SIM_MULTI_NUMA: 1}", ""),
    ],
)
def test_more_workers_on_a_cpu_than_vllm_binds_by_itself_are_told(checked, monkeypatch, args, env, told) -> None:
    monkeypatch.setattr(cpu_cores, "num_nodes", lambda: 1)
    notes = check_machine(checked("{shape: llama-3.1-8b}", args, env, version="0.32.0+cpu"), [Device(CPU, 60.0, 64.0)])
    assert [told in note for note in notes] == [True] * bool(told)
    assert check_machine(checked("tiny", args, env), [Device(CUDA, 60.0, 64.0)] * 4) == []


@pytest.mark.parametrize(
    ("args", "bind", "wrong"),
    [
        ("{}", "all", "is none of auto, nobind and cores such as 0-3"),
        ("{}", "0-", "is none of auto"),
        ("{}", "0|1", "has 2 lists of cores, and there are 1 workers"),
        ("{tensor_parallel_size: 2}", "0-1", "has 1 lists of cores, and there are 2 workers"),
        ("{data_parallel_size: 2, tensor_parallel_size: 2}", "0|1|0", "has 3 lists of cores, and there are 4 workers"),
        ("{}", "0,99999", "names core 99999, which this process may not use"),
        ("{tensor_parallel_size: 2}", "0|0", ""),
        ("{data_parallel_size: 2}", "0|0|0", ""),
        ("{}", "0", ""),
    ],
)
def test_cores_that_are_named_wrongly_are_refused_on_a_cpu(checked, monkeypatch, args, bind, wrong) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    asked = checked("{shape: llama-3.1-8b}", args, f"{{VLLM_CPU_OMP_THREADS_BIND: '{bind}'}}", version="0.32.0+cpu")
    if not wrong:
        assert check_machine(asked, [Device(CPU, 60.0, 64.0)]) == []
        return
    with pytest.raises(ExperimentError, match=wrong):
        check_machine(asked, [Device(CPU, 60.0, 64.0)])


def test_the_weights_of_all_copies_count_against_the_memory_of_one_cpu(checked) -> None:
    twice = checked("{shape: llama-3.1-8b}", "{data_parallel_size: 2}", version="0.32.0+cpu")
    with pytest.raises(ExperimentError, match="needs a CPU with 31 GiB free .*on each of 2 ranks"):
        check_machine(twice, [Device(CPU, 20.0, 64.0)])


@pytest.mark.parametrize(
    "args", ["{tensor_parallel_size: 64}", "{data_parallel_size: 3}", "{pipeline_parallel_size: 5}"]
)
def test_too_few_gpus_are_refused_whether_the_models_size_is_known_or_not(checked, args) -> None:
    for model in ("{hub: some/Model}", "{shape: gpt-oss-20b}"):
        with pytest.raises(ExperimentError, match=r"needs \d+ NVIDIA GPUs.*this machine has 2 x an NVIDIA GPU"):
            check_machine(checked(model, args), [Device(CUDA, 80.0, 80.0)] * 2)


@pytest.mark.parametrize(
    "args",
    [
        "{tensor_parallel_size: 16, distributed_executor_backend: ray}",
        "{data_parallel_size: 8, data_parallel_backend: ray}",
    ],
)
def test_devices_that_ray_may_find_elsewhere_are_not_counted(checked, args) -> None:
    assert check_machine(checked("{shape: gpt-oss-120b}", args), [Device(CUDA, 80.0, 80.0)]) == []


def test_a_size_that_is_not_known_is_said_to_be_so(checked, two_gpus) -> None:
    assert "whether their memory suffices is not known for launch 'a'" in machine_note(checked("{hub: some/Model}"))
    assert "what it needs" in machine_note(checked("{shape: gpt-oss-20b}", env="{CUDA_VISIBLE_DEVICES: 1}"))


# --- The GPUs that a launch names.


@pytest.mark.parametrize("name", ["1", SECOND, SECOND[:10], SLICE, SECOND[:23], SLICE[:12]])
def test_only_the_gpus_that_a_launch_names_are_looked_at(checked, two_gpus, name) -> None:
    assert check_machine(checked("{shape: gpt-oss-20b}", env=f"{{CUDA_VISIBLE_DEVICES: {name}}}")) == []


@pytest.mark.parametrize("name", ["1", SECOND, SLICE])
def test_only_the_gpus_that_the_shell_names_are_looked_at(checked, two_gpus, monkeypatch, name) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", name)
    assert check_machine(checked("{shape: gpt-oss-20b}")) == []


@pytest.mark.parametrize("ids", ["[1]", "1", f"[{SECOND}]"])
def test_vllms_own_flag_names_them_as_well(checked, two_gpus, ids) -> None:
    assert check_machine(checked("{shape: gpt-oss-20b}", args=f"{{device_ids: {ids}}}")) == []


@pytest.mark.parametrize("name", ["0", FIRST, "'0,1'"])
def test_a_full_gpu_that_a_launch_names_is_refused(checked, two_gpus, name) -> None:
    with pytest.raises(ExperimentError, match="needs an NVIDIA GPU with 13 GiB free"):
        check_machine(checked("{shape: gpt-oss-20b}", env=f"{{CUDA_VISIBLE_DEVICES: {name}}}"))


def test_a_slice_has_a_memory_of_its_own(checked, two_gpus) -> None:
    with pytest.raises(ExperimentError, match="an NVIDIA GPU with 18 of 18 GiB free"):
        check_machine(checked("{shape: gpt-oss-120b}", env=f"{{CUDA_VISIBLE_DEVICES: {SLICE}}}"))


@pytest.mark.parametrize("name", ["7", "GPU-12345678", "MIG-12345678", "'1,2'", "'1,9'"])
def test_a_gpu_that_is_not_here_is_refused_where_it_is_named(checked, two_gpus, name, monkeypatch) -> None:
    experiment = checked("{hub: some/Model}", env=f"{{CUDA_VISIBLE_DEVICES: {name}}}")
    with pytest.raises(
        ExperimentError, match=r"exp.yaml:6: launches.a.env.CUDA_VISIBLE_DEVICES: .*names '.*0 or GPU-8d6a"
    ):
        check_machine(experiment)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", name.strip("'"))
    with pytest.raises(ExperimentError, match=r"launches.a: .*CUDA_VISIBLE_DEVICES of your shell names"):
        check_machine(checked("{hub: some/Model}"))


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ("''", "names no GPU, and the installed vLLM 0.32.0 is no build for CPUs"),
        ("'-1'", "names no GPU"),
        ("none", "names no GPU"),
        ("'1,1'", "names a GPU twice: '1' stands for one that is named before"),
        (f"'1,{SECOND}'", "names a GPU twice: 'GPU-77aa0000-"),
        (f"'{SECOND[:10]},0,{SECOND}'", "names a GPU twice"),
    ],
)
def test_a_variable_that_names_no_gpu_or_one_twice_is_refused_in_one_line(
    checked, two_gpus, monkeypatch, names, problem
) -> None:
    experiment = checked(
        "{hub: some/Model}", args="{tensor_parallel_size: 2}", env=f"{{CUDA_VISIBLE_DEVICES: {names}}}"
    )
    with pytest.raises(ExperimentError) as refusal:
        check_machine(experiment)
    (line,) = str(refusal.value).splitlines()
    assert "exp.yaml:6: launches.a.env.CUDA_VISIBLE_DEVICES: " in line and problem in line
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names.strip("'"))
    with pytest.raises(ExperimentError, match="launches.a: .*CUDA_VISIBLE_DEVICES of your shell names"):
        check_machine(checked("{hub: some/Model}"))


def test_without_a_gpu_too_a_launch_that_names_none_is_no_launch_for_a_cpu(checked, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    none = {"model": "{hub: some/Model}", "env": "{CUDA_VISIBLE_DEVICES: ''}"}
    with pytest.raises(ExperimentError, match="names no GPU"):
        check_machine(checked(**none))
    assert check_machine(checked(**none, version="0.32.0+cpu")) == []
    assert check_machine(replace(checked(**none), is_installed=False)) == [], "who knows which build will be"


def test_device_ids_that_name_a_gpu_twice_are_refused_where_they_stand(checked, two_gpus) -> None:
    for ids in ("[1, 1]", "'1,1'", f"[1, {SECOND}]"):
        with pytest.raises(ExperimentError, match="launches.a.args.device_ids: .*names a GPU twice"):
            check_machine(checked("{hub: some/Model}", args=f"{{device_ids: {ids}}}"))


@pytest.mark.parametrize(
    ("env", "place", "problem"),
    [
        ("{HIP_VISIBLE_DEVICES: '-1'}", "HIP_VISIBLE_DEVICES", "names no GPU"),
        ("{ROCR_VISIBLE_DEVICES: ''}", "ROCR_VISIBLE_DEVICES", "names no GPU"),
        ("{HIP_VISIBLE_DEVICES: '0,0'}", "HIP_VISIBLE_DEVICES", "names a GPU twice"),
        ("{ROCR_VISIBLE_DEVICES: '1,GPU-beef1'}", "ROCR_VISIBLE_DEVICES", "names a GPU twice"),
        (
            "{ROCR_VISIBLE_DEVICES: GPU-dead}",
            "ROCR_VISIBLE_DEVICES",
            "the GPUs of this machine are 0 or GPU-beef0; 1 or",
        ),
        ("{ROCR_VISIBLE_DEVICES: '1', HIP_VISIBLE_DEVICES: '1'}", "HIP_VISIBLE_DEVICES", "names '1'"),
        ("{CUDA_VISIBLE_DEVICES: '9'}", "CUDA_VISIBLE_DEVICES", "names '9'"),
    ],
)
def test_amd_gpus_are_misnamed_in_the_same_ways(checked, tmp_path, monkeypatch, env, place, problem) -> None:
    for number in (0, 1):
        folder = tmp_path / "drm" / f"card{number}" / "device"
        folder.mkdir(parents=True)
        facts = {"vendor": "0x1002", "mem_info_vram_total": 2**38, "mem_info_vram_used": 0}
        for file, text in {**facts, "unique_id": f"beef{number}"}.items():
            (folder / file).write_text(f"{text}\n")
    monkeypatch.setattr(devices_module, "CARDS", tmp_path / "drm")
    monkeypatch.setattr(devices_module, "COMPUTE_DRIVER", tmp_path)
    with pytest.raises(ExperimentError) as refusal:
        check_machine(checked("{hub: some/Model}", env=env, version="0.32.0+rocm"))
    (line,) = str(refusal.value).splitlines()
    assert f"launches.a.env.{place}: " in line and problem in line


@pytest.mark.parametrize(
    ("mask", "problem"),
    [("''", "names no GPU"), ("'0,0'", "names a GPU twice"), ("'0'", "names 1 of the 2 GPUs that the launch takes")],
)
def test_intels_gpus_cannot_be_looked_at_and_are_counted(checked, tmp_path, monkeypatch, mask, problem) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ZE_AFFINITY_MASK", raising=False)
    more = {"args": "{tensor_parallel_size: 2}", "version": "0.32.0+xpu"}
    with pytest.raises(ExperimentError, match=f"launches.a.env.ZE_AFFINITY_MASK: .*{problem}"):
        check_machine(checked("{hub: some/Model}", env=f"{{ZE_AFFINITY_MASK: {mask}}}", **more))
    assert check_machine(checked("{hub: some/Model}", env="{ZE_AFFINITY_MASK: '0.0,0.1'}", **more)) == []


def test_names_of_gpus_matter_to_nobody_where_a_cpu_is_used(checked, two_gpus, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert check_machine(checked("{shape: llama-3.1-8b}", version="0.32.0+cpu"), [Device(CPU, 40.0, 64.0)]) == []


def test_device_ids_count_among_the_gpus_that_the_environment_names() -> None:
    assert naming({"device_ids": [1, 0]}, {"CUDA_VISIBLE_DEVICES": "4,6"})["CUDA_VISIBLE_DEVICES"] == "6,4"
    assert naming({"device_ids": ["1,0"]}, {})["CUDA_VISIBLE_DEVICES"] == "1,0"
    assert naming({}, {"A": "1"}) == {"A": "1"}


def test_amd_gpus_are_named_by_rocr_and_then_by_hip(tmp_path: Path) -> None:
    for number in (0, 1, 10):
        folder = tmp_path / f"card{number}" / "device"
        folder.mkdir(parents=True)
        for file, text in (
            ("vendor", "0x1002"),
            ("mem_info_vram_total", 2**30 * (number + 1)),
            ("mem_info_vram_used", 0),
        ):
            (folder / file).write_text(f"{text}\n")
        (folder / "unique_id").write_text(f"beef{number}\n")

    def sizes(**env: str) -> list[float]:
        return [device.total_gib for device in rocm_gpus(tmp_path, tmp_path, env)]

    assert sizes() == [1.0, 2.0, 11.0]
    assert sizes(HIP_VISIBLE_DEVICES="2,0") == [11.0, 1.0]
    assert sizes(ROCR_VISIBLE_DEVICES="GPU-beef10,1", HIP_VISIBLE_DEVICES="1") == [2.0]
    assert sizes(CUDA_VISIBLE_DEVICES="1") == [2.0]


def test_an_amd_card_is_known_by_its_place_whatever_number_it_has_among_those_that_are_named(tmp_path: Path) -> None:
    for number in (0, 1):
        folder = tmp_path / "devices" / f"0000:c{number}:00.0"
        folder.mkdir(parents=True)
        for file, text in (("vendor", "0x1002"), ("mem_info_vram_total", 2**30), ("mem_info_vram_used", 0)):
            (folder / file).write_text(f"{text}\n")
        card = tmp_path / "drm" / f"card{number}"
        card.mkdir(parents=True)
        (card / "device").symlink_to(folder)

    def keys(**env: str) -> list[str]:
        return [card.key for card in rocm_gpus(tmp_path / "drm", tmp_path, env)]

    assert keys() == ["rocm-0000:c0:00.0", "rocm-0000:c1:00.0"]
    assert keys(ROCR_VISIBLE_DEVICES="1") == keys(HIP_VISIBLE_DEVICES="1") == ["rocm-0000:c1:00.0"]
    assert keys(ROCR_VISIBLE_DEVICES="1,0", HIP_VISIBLE_DEVICES="1") == ["rocm-0000:c0:00.0"]


def test_an_experiments_device_is_missed_only_where_no_gpu_is_misnamed(
    checked, two_gpus, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    experiment = checked("{shape: gpt-oss-20b}\ndevice: cuda")
    with pytest.raises(ExperimentError, match="CUDA_VISIBLE_DEVICES of your shell names '5'"):
        check_machine(experiment)


def test_a_slice_is_named_as_such_and_has_no_data_sheet(two_gpus, monkeypatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (gpu,) = gpus({"CUDA_VISIBLE_DEVICES": SLICE})
    assert gpu.name == "NVIDIA H200 MIG 1g.18gb" and data_sheet(gpu.name) is None
    assert data_sheet("NVIDIA H200") is not None


def test_what_is_not_asked_for_need_not_be_there(checked, two_gpus) -> None:
    whole = checked("{shape: gpt-oss-20b}")
    full = replace(whole.experiment.launches[0], name="full", env={"CUDA_VISIBLE_DEVICES": "0"})
    both = replace(whole, experiment=replace(whole.experiment, launches=(*whole.experiment.launches, full)))
    assert [launch.name for launch in both.part_of(None).experiment.launches] == ["a"]  # full has no cases
    assert both.part_of(set()).experiment.launches == ()


# --- Shared memory.


@pytest.mark.parametrize(
    ("args", "env", "version", "is_short"),
    [
        ("{tensor_parallel_size: 2}", "{}", "0.32.0", True),
        ("{}", "{}", "0.32.0+cpu", True),
        ("{}", "{VLLM_ENABLE_V1_MULTIPROCESSING: 0}", "0.32.0+cpu", False),
        ("{data_parallel_size: 2}", "{}", "0.32.0", False),
    ],
)
def test_a_small_shared_memory_is_refused_where_workers_need_it(
    checked, monkeypatch, args, env, version, is_short
) -> None:
    monkeypatch.setattr(shared_memory, "free_mib", lambda: 64.0)
    monkeypatch.setattr(shared_memory, "vllm_looks", lambda *_: True)
    there = [Device(CPU if "cpu" in version else CUDA, 80.0, 80.0)] * 2
    experiment = checked("{shape: gpt-oss-20b}", args, env, version=version)
    if is_short:
        with pytest.raises(ExperimentError, match="share 240 MiB in /dev/shm, where 64 MiB are free: .*--shm-size"):
            check_machine(experiment, there)
    else:
        assert check_machine(experiment, there) == []


def test_it_is_a_note_with_a_vllm_that_does_not_look(checked, monkeypatch) -> None:
    monkeypatch.setattr(shared_memory, "free_mib", lambda: 64.0)
    monkeypatch.setattr(shared_memory, "vllm_looks", lambda *_: False)
    (note,) = check_machine(
        checked("{shape: gpt-oss-20b}", "{tensor_parallel_size: 2}"), [Device(CUDA, 80.0, 80.0)] * 2
    )
    assert "/dev/shm" in note


def test_larger_queues_need_a_larger_shared_memory() -> None:
    assert shared_memory.least_mib({}) == 240
    assert shared_memory.least_mib({"VLLM_MQ_MAX_CHUNK_BYTES_MB": "64"}) == 640


def test_a_build_for_cpus_is_no_answer_to_a_question_about_gpus(checked) -> None:
    experiment = checked("{shape: gpt-oss-120b}\ndevice: rocm", version="0.32.0+cpu")
    with pytest.raises(ExperimentError, match="device: 'rocm': needs a ROCm GPU with 61 GiB free"):
        check_machine(experiment, [Device(CPU, 20.0, 24.0)])


CPU_OF_23 = [Device(CPU, total_gib=24.0, free_gib=23.0)]


@pytest.mark.parametrize(
    ("args", "env", "shell", "said"),
    [
        ("{}", "{VLLM_CPU_KVCACHE_SPACE: 40}", "", "VLLM_CPU_KVCACHE_SPACE=40 asks for 40.0 GiB of KV cache"),
        ("{}", "{}", "24", "VLLM_CPU_KVCACHE_SPACE=24 of your shell asks for 24.0 GiB of KV cache"),
        ("{kv_cache_memory_bytes: 32G}", "{}", "", "kv_cache_memory_bytes: 32G asks for 32.0 GiB of KV cache"),
        ("{kv_cache_memory_bytes: 1G}", "{VLLM_CPU_KVCACHE_SPACE: 40}", "", "VLLM_CPU_KVCACHE_SPACE=40 asks for"),
        ("{}", "{VLLM_CPU_KVCACHE_SPACE: 2}", "40", ""),
        ("{kv_cache_memory_bytes: 32G}", "{VLLM_CPU_KVCACHE_SPACE: 4}", "", ""),  # the variable counts
        ("{kv_cache_memory_bytes: 4G}", "{}", "", ""),
    ],
)
@pytest.mark.parametrize("model", ["tiny", "some/model-of-unknown-size"])
def test_a_kv_cache_larger_than_what_is_free_is_refused_before_vllm_raises(
    checked, monkeypatch, model, args, env, shell, said
):
    if shell:
        monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", shell)
    asked = checked(model, args, env, version="0.32.0+cpu")
    if not said:
        check_machine(asked, CPU_OF_23)
        return
    with pytest.raises(ExperimentError, match=said) as refusal:
        check_machine(asked, CPU_OF_23)
    assert "this machine has a CPU with 23 of 24 GiB free" in str(refusal.value)


@pytest.mark.parametrize(
    ("args", "env", "shell", "said"),
    [
        ("{}", "{VLLM_CPU_KVCACHE_SPACE: 0}", "", "VLLM_CPU_KVCACHE_SPACE=0 leaves no KV cache"),
        ("{}", "{VLLM_CPU_KVCACHE_SPACE: -1}", "", "VLLM_CPU_KVCACHE_SPACE=-1 leaves no KV cache"),
        ("{}", "{}", "0", "VLLM_CPU_KVCACHE_SPACE=0 of your shell leaves no KV cache: leave it out"),
        ("{kv_cache_memory_bytes: 4G}", "{VLLM_CPU_KVCACHE_SPACE: 0}", "", "VLLM_CPU_KVCACHE_SPACE=0 leaves"),
        ("{kv_cache_memory_bytes: 0}", "{}", "", "kv_cache_memory_bytes: 0 leaves no KV cache"),
    ],
)
def test_a_kv_cache_of_nothing_is_refused_on_a_cpu_where_vllm_would_not_start(
    checked, monkeypatch, args, env, shell, said
):
    if shell:
        monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", shell)
    with pytest.raises(ExperimentError, match=said):
        check_machine(checked("tiny", args, env, version="0.32.0+cpu"), CPU_OF_23)
    check_machine(checked("tiny", args, env), [Device(CUDA, total_gib=80.0, free_gib=79.0)])  # there it is vLLM's own


def test_a_kv_cache_larger_than_a_card_is_refused(checked):
    card = [Device(CUDA, total_gib=80.0, free_gib=79.0)]
    with pytest.raises(
        ExperimentError, match="kv_cache_memory_bytes: 96G asks for 96.0 GiB of KV cache; this machine has"
    ):
        check_machine(checked("tiny", "{kv_cache_memory_bytes: 96G}"), card)
    check_machine(checked("tiny", "{kv_cache_memory_bytes: 60G}", "{VLLM_CPU_KVCACHE_SPACE: 90}"), card)
