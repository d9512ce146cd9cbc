"""Processes of sweeps killed by role and at random: a helper's death costs one repeat at most, and nothing is left or lost.

A sample; `make test-full` kills a hundred times, sixteen times the runner with all guardians, at places that are measured
at once, and on the real vLLM.
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
IN_FULL = pytest.mark.skipif(not IS_FULL, reason="make test-full")
DEAF = '{"helpers": 1, "ignore_sigterm": true}'
EACH_ALONE = [*((role, "[1/6]") for role in OF_SERVER), *((role, "[5/6]") for role in OF_ENGINE)]
ONE_AFTER_ANOTHER = (("client", "[1/6]"), ("guardian of kernels", "[3/6]"), ("guardian of engine", "[5/6]"))


@pytest.mark.parametrize("doomed", rows([*([one] for one in EACH_ALONE), ONE_AFTER_ANOTHER], quick=[ONE_AFTER_ANOTHER]))
def test_a_helper_that_is_killed_costs_one_repeat_at_most(tmp_path, doomed):
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP_OF_BOTH)
    process, text = benchbook(tmp_path, "run", file, fake=True), ""
    for role, measured in doomed:
        text += read_until(process, lambda line, measured=measured: measured in line)
        for each in by_role(tmp_path)[role]:
            each.send_signal(signal.SIGKILL)
    text += process.communicate(timeout=300)[0]
    assert process.returncode in ALL_MEASURED, text
    assert text.count("once more") <= len(doomed) and "[6/6]" in text
    (log,) = tmp_path.glob("results/machinery/2*/kernels.log")
    num_killed = sum("kernels" in role for role, _ in doomed)
    assert log.read_text().count("kernel worker: ready") == 1 + num_killed, "kernels are forked from then on as well"
    assert wait_nothing_left(tmp_path) == []


@pytest.mark.parametrize(
    ("num_kills", "seed", "options", "roles"),
    [
        pytest.param(100, 1, {}, OF_ALL, marks=IN_FULL),
        pytest.param(12, 2, {"instants": 12, "is_small": True}, set(), marks=IN_FULL),
        (6 if IS_FULL else 2, 3, {"instants": 4 if IS_FULL else 1, "is_small": True, "script": DEAF}, set()),
        pytest.param(30, 4, {"is_fake": False}, OF_VLLM, marks=IN_FULL),
        pytest.param(20, 5, {"is_placed": True, "is_small": True}, {"runner", "place"}, marks=IN_FULL),
    ],
)
def test_a_storm_of_kills_loses_nothing_doubles_nothing_and_leaves_nothing(tmp_path, num_kills, seed, options, roles):
    found = storm(tmp_path, num_kills=num_kills, seed=seed, **options)
    assert found.faults == [], found.report()
    assert found.num_kills == num_kills and roles - set(found.kills) == set(), found.report()
