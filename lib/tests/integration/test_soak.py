"""Many cases in one run cost no more memory, files or threads than few, and no case more time than an early one."""

import pytest
from rows import IS_FULL
from soak import not_level, soak, table

pytestmark = pytest.mark.integration


def test_what_a_run_takes_stays_level(tmp_path):
    num_cases, first = (500, 50) if IS_FULL else (6, 2)
    samples, faults = soak(tmp_path, num_cases)
    # On a busy machine a few cases tell nothing of time, and memory is still settling.
    faults += [fault for fault in not_level(samples, first) if IS_FULL or " files " in fault or " threads " in fault]
    assert faults == [], table(samples, [first, num_cases])
