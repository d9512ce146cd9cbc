"""A client that is sent more than its load can need is ended, with the reason in its log; an honest one is left alone."""

import os
import socket
import time

import pytest
from benchbook.hosts.jobs import Job
from benchbook.measure.client_worker import MIB, _ends
from benchbook.plan.workloads import ServeWorkload


@pytest.fixture
def connection():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


def child_that_holds(mib, then_s):
    pid = os.fork()
    if pid == 0:
        time.sleep(0.2)
        held = bytearray(os.urandom(1)) * (mib * MIB)
        time.sleep(then_s)
        os._exit(0 if held else 1)
    return pid


def job(tmp_path, memory_mib):
    (tmp_path / "bench.log").touch()
    return Job(argv=("serve",), env={}, log_path=str(tmp_path / "bench.log"), cwd="/", memory_mib=memory_mib)


@pytest.mark.parametrize("most_mib", [40, 10, 1])
def test_a_child_that_holds_too_much_is_given_up_with_the_reason_in_its_log(most_mib, connection, tmp_path):
    pid = child_that_holds(80, then_s=30)
    assert not _ends(pid, job(tmp_path, most_mib), connection)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    assert f"MemoryError: the client has grown by more than {most_mib} MiB" in (tmp_path / "bench.log").read_text()


@pytest.mark.parametrize("most_mib", [400, None])
def test_a_child_within_its_load_is_waited_for(most_mib, connection, tmp_path):
    pid = child_that_holds(80, then_s=0.8)
    assert _ends(pid, job(tmp_path, most_mib), connection)
    os.waitpid(pid, 0)
    assert (tmp_path / "bench.log").read_text() == ""


@pytest.mark.parametrize(("prompts", "tokens", "least_mib"), [(6, 11, 256), (1000, 2048, 2000), (100_000, 256, 25_000)])
def test_what_a_client_may_hold_grows_with_its_load(prompts, tokens, least_mib):
    workload = ServeWorkload(
        input_len_tokens=tokens - 1, output_len_tokens=1, num_prompts=prompts, max_concurrency=8, num_warmup_prompts=0
    )
    assert least_mib <= workload.client_memory_mib < 2.5 * least_mib
