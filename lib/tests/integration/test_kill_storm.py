"""Processes of sweeps killed by role and at random: a helper's death costs one repeat at most, and nothing is left or lost.

A sample; `make test-full` kills a hundred times, sixteen times the runner with all guardians, and on the real vLLM.
"""

import signal

import pytest
from rows import IS_FULL, rows
from storm import by_role, storm
from sweeps import (
    ALL_MEASURED,
    SMALL_SWEEP_OF_BOTH,
    benchbook,
    read_until,
    wait_nothing_left,
    write_fake_sweep,
)

pytestmark = pytest.mark.integration

OF_SERVER = ("client", "guardian of client", "kernels", "guardian of kernels", "server", "guardian of server", "heir")
OF_ENGINE = ("engine", "guardian of engine")
OF_ALL = {"runner", "kernel", *OF_SERVER, *OF_ENGINE}
OF_VLLM = {"runner", "client", "server", "engine core or worker", "guardian of server"}
DEAF = '{"helpers": 1, "ignore_sigterm": true}'
SAMPLE = ("client", "guardian of kernels", "guardian of engine")


@pytest.mark.parametrize("role", rows([*OF_SERVER, *OF_ENGINE], quick=SAMPLE))
def test_a_helper_that_is_killed_costs_one_repeat_at_most(tmp_path, role):
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP_OF_BOTH)
    process = benchbook(tmp_path, "run", file, fake=True)
    text = read_until(process, lambda line: ("[5/6]" if role in OF_ENGINE else "[1/6]") in line)
    for each in by_role(tmp_path)[role]:
        each.send_signal(signal.SIGKILL)
    text += process.communicate(timeout=300)[0]
    assert process.returncode in ALL_MEASURED, text
    assert text.count("once more") <= 1 and "[6/6]" in text
    assert wait_nothing_left(tmp_path) == []


@pytest.mark.parametrize(
    ("num_kills", "seed", "options", "roles"),
    [
        (100 if IS_FULL else 4, 1, {"is_small": not IS_FULL}, OF_ALL if IS_FULL else set()),
        (12 if IS_FULL else 2, 2, {"in_one_instant": True, "is_small": True}, set()),
        (4 if IS_FULL else 1, 3, {"in_one_instant": True, "is_small": True, "script": DEAF}, set()),
        pytest.param(
            30,
            4,
            {"is_fake": False},
            OF_VLLM,
            marks=pytest.mark.skipif(not IS_FULL, reason="make test-full; 20 minutes"),
        ),
    ],
)
def test_a_storm_of_kills_loses_nothing_doubles_nothing_and_leaves_nothing(tmp_path, num_kills, seed, options, roles):
    found = storm(tmp_path, num_kills=num_kills, seed=seed, **options)
    assert found.faults == [], found.report()
    assert found.num_kills == num_kills and roles - set(found.kills) == set(), found.report()
