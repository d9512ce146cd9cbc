"""Places of a machine: disjoint cards and processors, near each other, and a process that has entered one sees no other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchbook.hosts.machine import cpu_cores, devices, places
from benchbook.hosts.machine.devices import CUDA, Device
from benchbook.hosts.machine.places import Place, places_here, shared_out, spans_text
from benchbook.hosts.machine.topology import links_among, links_in

CARDS = 8
SMI = """#!/bin/sh
case "$1" in
  --query-gpu=uuid,pci.bus_id*) cat {folder}/slots ;;
  --query-gpu=*) cat {folder}/gpus ;;
  topo) cat {folder}/topology ;;
esac
"""
# As a driver prints it: headings underlined, a network card among them, a legend below.
TOPOLOGY = """\t\x1b[4mGPU0\tGPU1\tGPU2\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m
GPU0\t X \tNV18\tSYS\tPIX\t0-31\t0\t\tN/A
GPU1\tNV18\t X \tPHB\tSYS\t0-31\t0\t\tN/A
GPU2\tSYS\tPHB\t X \tSYS\t32-63\t1\t\tN/A
NIC0\tPIX\tSYS\tSYS\t X

Legend:

  X    = Self
  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 8 cards on two nodes, and 16 cores of two threads each: 0 to 15, and 16 to 31 beside them."""
    for number in range(CARDS):
        slot = tmp_path / "pci" / f"0000:{number + 1:02x}:00.0"
        slot.mkdir(parents=True)
        (slot / "local_cpulist").write_text("0-7,16-23\n" if number < CARDS // 2 else "8-15,24-31\n")
    for cpu in range(32):
        topology = tmp_path / "system" / f"cpu/cpu{cpu}/topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{cpu % 16},{cpu % 16 + 16}\n")
    numbers = range(CARDS)
    (tmp_path / "gpus").write_text("".join(f"{number}, GPU-{number}, 4, 81559\n" for number in numbers))
    (tmp_path / "slots").write_text("".join(f"GPU-{number}, 00000000:{number + 1:02X}:00.0\n" for number in numbers))
    (tmp_path / "topology").write_text(TOPOLOGY)
    (tmp_path / "nvidia-smi").write_text(SMI.format(folder=tmp_path))
    (tmp_path / "nvidia-smi").chmod(0o755)
    for variable in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(places, "PCI", tmp_path / "pci")
    monkeypatch.setattr(cpu_cores, "SYSTEM", tmp_path / "system")
    monkeypatch.setattr(devices, "COMPUTE_DRIVER", Path("/nowhere"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(32)))
    return tmp_path


def test_each_card_is_a_place_with_an_even_part_of_the_processors_of_its_node(machine):
    found = places_here(1, None, None)
    assert [place.env for place in found] == [{"CUDA_VISIBLE_DEVICES": str(number)} for number in range(8)]
    assert [place.cores_text for place in found[:4]] == ["0-1,16-17", "2-3,18-19", "4-5,20-21", "6-7,22-23"]
    assert len({core for place in found for core in place.cores}) == 32, "disjoint, and whole cores"
    assert str(found[1]) == "place 1: GPU 1, processors 2-3,18-19"


def test_places_of_several_cards_are_as_many_as_are_asked_for(machine, monkeypatch):
    assert [len(place.cards) for place in places_here(2, None, 3)] == [2, 2, 2]
    assert [place.env["CUDA_VISIBLE_DEVICES"] for place in places_here(4, None, None)] == ["0,1,2,3", "4,5,6,7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-6,2,3")  # what the shell leaves is all there is
    assert [place.env["CUDA_VISIBLE_DEVICES"] for place in places_here(1, None, None)] == ["6", "2", "3"]


def test_processors_are_places_too_with_the_threads_of_a_core_side_by_side(machine):
    assert [place.cores_text for place in places_here(None, 4, 3)] == ["0-1,16-17", "2-3,18-19", "4-5,20-21"]
    assert len(places_here(None, 8, None)) == 4
    assert places_here(None, None, 3) == [Place(0), Place(1), Place(2)]
    assert str(Place(1)) == "place 1: all processors"


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ((1, None, 9), r"asks for 9 GPUs \(9 places of 1\), and this machine has 8"),
        ((16, None, None), r"asks for 16 GPUs \(1 place of 16\), and this machine has 8"),
        ((None, 8, 5), r"asks for 40 processors \(5 places of 8\), and this machine has 32"),
    ],
)
def test_more_than_the_machine_has_is_refused(machine, asked, problem):
    with pytest.raises(ValueError, match=problem):
        places_here(*asked)


def test_where_processors_are_fewer_than_places_all_share_them():
    assert shared_out([{0}, {0}]) == [(), ()]
    assert shared_out([{0, 1, 2}, {0, 1, 2}, {5}]) == [(0,), (1,), (5,)]
    assert spans_text([3, 0, 1, 2, 8]) == "0-3,8" and spans_text([]) == ""


def test_what_a_process_in_a_place_starts_is_confined_to_it_and_the_process_itself_only_inside():
    before = os.sched_getaffinity(0)
    core = min(before)
    place = Place(0, (core,), env={"CUDA_VISIBLE_DEVICES": "5"})
    look = "import os; print(sorted(os.sched_getaffinity(0)), os.environ['CUDA_VISIBLE_DEVICES'])"
    with place.entered():
        seen = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout
    assert seen == f"[{core}] 5\n"
    assert os.sched_getaffinity(0) == before and os.environ.get("CUDA_VISIBLE_DEVICES") != "5"


def test_what_links_the_cards_of_a_launch_is_read_from_the_drivers_matrix(machine):
    cards = [Device(CUDA, 0, 0, names=(str(number), f"GPU-{number}")) for number in (2, 0, 1)]
    assert links_among(cards) == {"0-1": "NV18", "0-2": "SYS", "1-2": "PHB"}
    assert links_among(cards[:2]) == {"0-2": "SYS"} and links_among(cards[:1]) == {}
    assert links_among([Device(CUDA, 0, 0, names=("MIG-1",))] * 2) == {}, "a slice has no links"


@pytest.mark.parametrize("text", ["", "No devices were found", "GPU0", "\tGPU0\tGPU1\nGPU0\t X ", "Legend:\n X = Self"])
def test_a_matrix_that_is_none_tells_of_no_links(text):
    assert links_in(text) == {}
