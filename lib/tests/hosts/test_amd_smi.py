"""AMD's cards are read as NVIDIA's are, through a scripted AMD SMI: what a card does not have, or a release names otherwise."""

import sys
from types import SimpleNamespace

import pytest
from benchbook.hosts.machine import amd_smi
from benchbook.hosts.machine.amd_smi import AmdSmi, open_amd_smi
from benchbook.hosts.machine.nvml import QUANTITIES, NoGpuError
from benchbook.hosts.telemetry import Sampler
from benchbook.judge.telemetry_summary import telemetry_summary


class AmdSmiException(Exception):
    pass


class Scripted:
    """The functions of the package that we call; `answers` replace what a card says, an exception is raised."""

    AmdSmiException = AmdSmiException
    AmdSmiClkType = SimpleNamespace(GFX="gfx", MEM="mem")
    AmdSmiTemperatureType = SimpleNamespace(HOTSPOT="hotspot")
    AmdSmiTemperatureMetric = SimpleNamespace(CURRENT="current")

    def __init__(self, cards=4, **answers):
        self.cards, self.ticks = cards, 0
        self.answers = {
            "enumeration_info": lambda card: {"hip_uuid": f"GPU-{card}{card}"},
            "asic_info": {"market_name": "AMD Instinct MI300X"},
            "power_info": {"socket_power": 700, "average_socket_power": "N/A"},
            "clock_info": {"clk": 2000, "max_clk": 2100},
            "temp_metric": 71,
            "vram_usage": {"vram_used": 20480, "vram_total": 196592},
            "activity": {"gfx_activity": 95, "mm_activity": "N/A"},
            "violation_status": {"active_ppt_pwr": True, "active_socket_thrm": False, "active_hbm_thrm": "N/A"},
            "process_list": [{"pid": 1, "memory_usage": {"vram_mem": 20 * 2**30}}],
            **answers,
        }

    def amdsmi_init(self):
        if error := self.answers.get("init"):
            raise error

    def amdsmi_get_processor_handles(self):
        return list(range(self.cards))

    def amdsmi_get_energy_count(self, card):
        self.ticks += 1_000_000
        return self._said("energy", card, {"energy_accumulator": self.ticks, "counter_resolution": 15.3})

    def _said(self, name, card, usual=None):
        said = self.answers.get(name, usual)
        if isinstance(said, Exception):
            raise said
        return said(card) if callable(said) else said

    def __getattr__(self, name):
        key = name.removeprefix("amdsmi_get_").removeprefix("gpu_")
        if key not in self.__dict__.get("answers", {}):
            raise AttributeError(name)
        return lambda card, *_: self._said(key, card)


def read(library):
    driver = AmdSmi(library)
    return dict(zip(QUANTITIES, driver.read(driver.gpus[0]), strict=True))


def test_each_quantity_has_the_unit_that_nvml_has_it_in():
    assert read(Scripted()) == {
        "power_w": 700, "energy_j": 15.3, "sm_clock_mhz": 2000, "memory_clock_mhz": 2000, "temperature_c": 71,
        "throttle": "power_cap", "memory_used_gib": 20.0, "utilisation_pct": 95, "clocks_are_set": None, "processes_gib": 20.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ({"power_info": {"current_socket_power": 650, "average_socket_power": "N/A"}}, {"power_w": 650}),
        ({"power_info": {"average_socket_power": 300}}, {"power_w": 300}),
        ({"power_info": AmdSmiException("not supported")}, {"power_w": None, "temperature_c": 71}),
        ({"energy": {"power": 2_000_000, "counter_resolution": 1.0}}, {"energy_j": 2.0}),
        ({"energy": AmdSmiException("not supported")}, {"energy_j": None}),
        ({"clock_info": {"cur_clk": 1700}}, {"sm_clock_mhz": 1700}),
        ({"clock_info": {"clk": "N/A"}}, {"sm_clock_mhz": None}),
        ({"violation_status": {"active_ppt_pwr": "N/A"}}, {"throttle": None}),
        ({"violation_status": {"active_ppt_pwr": False}}, {"throttle": ""}),
        ({"violation_status": {"active_socket_thrm": True, "active_vr_thrm": True}}, {"throttle": "thermal_hardware"}),
        ({"process_list": []}, {"processes_gib": None}),
        ({"vram_usage": None}, {"memory_used_gib": None}),
    ],
    ids=str,
)
def test_what_a_card_lacks_is_none_and_what_a_release_calls_otherwise_is_found(answers, found):
    seen = read(Scripted(**answers))
    assert {name: seen[name] for name in found} == found


@pytest.mark.parametrize(
    ("env", "uuids"),
    [
        ({}, ["GPU-00", "GPU-11", "GPU-22", "GPU-33"]),
        ({"HIP_VISIBLE_DEVICES": "2,0"}, ["GPU-22", "GPU-00"]),
        ({"ROCR_VISIBLE_DEVICES": "3,1", "HIP_VISIBLE_DEVICES": "1"}, ["GPU-11"]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-22", "CUDA_VISIBLE_DEVICES": "0"}, ["GPU-22"]),
    ],
)
def test_only_the_cards_that_the_variables_leave_are_read(monkeypatch, env, uuids):
    for name in ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    assert [gpu.uuid for gpu in AmdSmi(Scripted(), env).gpus] == uuids


def test_a_driver_that_refuses_and_a_package_that_is_not_there_are_absent_with_their_reason(monkeypatch):
    with pytest.raises(NoGpuError, match="AMD SMI: driver not loaded"):
        AmdSmi(Scripted(init=AmdSmiException("driver not loaded")))
    with pytest.raises(NoGpuError, match="no GPU is visible"):
        AmdSmi(Scripted(cards=0))
    monkeypatch.setitem(sys.modules, amd_smi.LIBRARY, None)
    with pytest.raises(NoGpuError, match="read through the package amdsmi"):
        open_amd_smi()


def test_the_sampler_reads_all_cards_of_a_launch_and_no_other():
    library = Scripted()
    with Sampler(None, nvml=AmdSmi(library), num_gpus=2) as sampler:
        pass
    found = telemetry_summary(sampler.result(), {})
    assert [gpu.index for gpu in found.gpus] == [0, 1] and found.num_gpus == 2
    assert {gpu.name for gpu in found.gpus} == {"AMD Instinct MI300X"}
    grown = [gpu["energy_j"][-1] - gpu["energy_j"][0] for gpu in sampler.result()["gpus"]]
    assert all(joules > 0 for joules in grown), "by the counter of each"
