"""A client that is sent more than its load can need ends itself, with the reason in its log; an honest one goes on."""

import os
import subprocess
import sys
import textwrap

import pytest
from benchbook.plan.workloads import ServeWorkload

HOLDS = """
    import os, sys, time
    from benchbook.measure.client.memory import end_above

    made = bytearray(os.urandom(1)) * (int(sys.argv[1]) << 20)  # before the first request: tokenizer and prompts
    end_above(None if sys.argv[3] == "none" else int(sys.argv[3]))
    held = [bytearray(os.urandom(1)) * (8 << 20) for _ in range(int(sys.argv[2]) // 8)]
    time.sleep(0.5)
"""


def ended(*words):
    argv = [sys.executable, "-c", textwrap.dedent(HOLDS), *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, env=dict(os.environ))


@pytest.mark.parametrize(("received_mib", "most_mib"), [(80, 40), (80, 1), (200, 100)])
def test_a_client_that_receives_too_much_ends_with_the_reason_in_its_log(received_mib, most_mib):
    done = ended(0, received_mib, most_mib)
    assert done.returncode == 1
    assert f"MemoryError: the client has grown by more than {most_mib} MiB" in done.stderr


@pytest.mark.parametrize(("made_mib", "received_mib", "most_mib"), [(0, 80, 200), (300, 80, 200), (0, 200, "none")])
def test_a_client_within_its_load_ends_as_it_would(made_mib, received_mib, most_mib):
    done = ended(made_mib, received_mib, most_mib)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("prompts", "tokens", "least_mib"), [(6, 11, 128), (1000, 2048, 2000), (100_000, 256, 25_000)])
def test_what_a_client_may_hold_grows_with_its_load(prompts, tokens, least_mib):
    workload = ServeWorkload(
        input_len_tokens=tokens - 1, output_len_tokens=1, num_prompts=prompts, max_concurrency=8, num_warmup_prompts=0
    )
    assert least_mib <= workload.client_memory_mib < 2.5 * least_mib
