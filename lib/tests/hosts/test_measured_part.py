"""What is compiled in an offline benchmark's warm-up is its start; what is compiled after that is in the number."""

import pytest
from benchbook.hosts.vllm.measured_part import CALL, of_console, of_engine_log

JIT = "(EngineCore pid=7) WARNING 11-26 17:30:32 [x.py:9] Triton kernel JIT compilation during inference: _fwd."
WARMUP = "Warming up...\n\rWarmup iterations:   0%|          | 0/2 [00:00<?, ?it/s]"
BENCH = "\n\rBench iterations:   0%|          | 0/10 [00:00<?, ?it/s]"
RENDERING = "\rRendering prompts:   0%|          | 0/4 [00:00<?, ?it/s]\rRendering prompts: 100%|██████████| 4/4\n"
ADDING = "\rAdding requests:   0%|          | 0/4 [00:00<?, ?it/s]\n"  # as older ones say


@pytest.mark.parametrize(
    ("warming", "measuring"),
    [(WARMUP, BENCH), (f"Warming up with 4 requests...\n{RENDERING}", RENDERING), (ADDING, ADDING), ("", RENDERING)],
)
def test_the_console_text_of_what_was_measured_begins_after_the_warm_up(warming, measuring):
    assert JIT not in of_console(f"{JIT}\n{warming}{JIT}\n{measuring} 10%|█ | 1/10\n")
    assert JIT in of_console(f"{warming}{measuring}{JIT}\n\r 10%|█ | 1/10\n")


@pytest.mark.parametrize("text", ["", "Warming up...\n", f"{JIT}\nBench iterations: 100%|█| 3/3\n"])
def test_a_console_text_that_does_not_tell_where_measuring_begins_is_not_guessed_at(text):
    assert of_console(text) is None


@pytest.mark.parametrize(("num_warmup", "num_measured"), [(2, 3), (0, 1), (1, 10)])
def test_the_engine_s_log_of_what_was_measured_begins_with_the_first_call_after_the_warm_up(num_warmup, num_measured):
    warm_up, measured = f"{CALL}\n" * num_warmup, f"{CALL}\n" * num_measured
    assert JIT not in of_engine_log(f"ready\n{warm_up}{JIT}\n{measured}latency: done\n", num_measured)
    for at in range(1, num_measured + 1):
        text = warm_up + f"{CALL}\n" * at + f"{JIT}\n"
        assert JIT in of_engine_log(text + f"{CALL}\n" * (num_measured - at), num_measured)


@pytest.mark.parametrize("num_calls", [0, 1, 2])
def test_an_engine_s_log_with_fewer_calls_than_were_measured_tells_nothing(num_calls):
    assert of_engine_log(f"{CALL}\n" * num_calls + JIT, 3) is None
