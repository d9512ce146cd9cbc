"""The known ways in which a serving number goes wrong, and for each the test that shows how it is caught or cannot happen."""

import ast
from pathlib import Path

import pytest
from benchbook.judge.catalogue import BY_CODE

TESTS = Path(__file__).parent
PAIR = "test_checks.py::test_a_fault_is_found_and_its_twin_without_it_is_not_accused"  # for the code that is named
MODES = "test_coherence.py"

# (what goes wrong, reason codes, a test)
PITFALLS = (
    ("the prefix cache is warm from an earlier run", ("cache_warm",), PAIR),
    (
        "warming up sends the measured first prompt",
        ("cache_warm",),
        "test_measure_commands.py::test_nothing_that_sends_the_first_measured_prompt_beforehand_is_asked_for",
    ),
    ("fewer warm-up requests than are in flight later", ("warmup_too_small",), PAIR),
    ("compilation or graph capture is counted", ("compiled_while_measuring", "first_requests_slow"), PAIR),
    ("the start burst of a closed loop is its tail", ("start_burst",), PAIR),
    ("filling and draining are in the average", ("too_short", "drain_dominates", "concurrency_not_reached"), PAIR),
    ("the client's queue is left out of latency", ("client_queue_dominates",), PAIR),
    ("the rate asked for is not the rate sent", ("rate_not_reached",), PAIR),
    ("the client is the bottleneck", ("client_saturated", "limits_low"), PAIR),
    ("a p99 of too few requests", ("percentile_not_earned",), PAIR),
    (
        "a single run is taken for the truth",
        (),
        "test_report_reading.py::test_one_repeat_says_that_its_spread_is_unknown",
    ),
    ("a range ratio shifts the mean length", ("lengths_shifted",), PAIR),
    ("a template adds prompt tokens", ("asked_not_counted",), PAIR),
    ("a stop word ends answers early", ("outputs_short", "finish_not_length"), PAIR),
    ("ITL is per chunk and not per token", ("itl_per_chunk", "stream_bunched"), PAIR),
    ("cut streams count as success", ("outputs_short",), PAIR),
    ("all requests failed, and their zeros win", ("nothing_completed", "requests_failed"), PAIR),
    ("peaks of one-second buckets", (), "test_records.py::test_peaks_from_buckets_of_one_second_are_never_taken_over"),
    (
        "total and output tokens are mixed",
        (),
        "test_accounting.py::test_the_input_len_trap_of_bench_throughput_is_found",
    ),
    (
        "speed per user from the nominal concurrency",
        ("concurrency_not_reached",),
        "test_report_verdicts.py::test_the_speed_of_one_user_comes_from_tpot_and_not_from_the_nominal_concurrency",
    ),
    (
        "no wall clock in the result",
        (),
        "integration/test_faults.py::test_a_clock_that_jumps_back_changes_no_duration",
    ),
    (
        "another process on the GPU, or on the processors",
        ("machine_busy",),
        "test_hosts_gpu.py::test_a_foreign_process_is_named_and_refused_unless_the_gpu_is_shared",
    ),
    (
        "another server on the port",
        ("server_disagrees",),
        "test_hosts_server.py::test_a_stranger_on_the_port_is_refused_and_named",
    ),
    (
        "an orphan holds the memory",
        ("kv_capacity_differs",),
        "test_guardian.py::test_whatever_ends_the_owner_leaves_no_process_of_the_host",
    ),
    (
        "KV capacity differs between arms",
        ("kv_capacity_differs", "host_differs"),
        "test_group_checks.py::test_arms_of_unequal_kv_capacity_are_found",
    ),
    (
        "the order of a sweep acts on its numbers",
        ("repeats_trend", "repeat_outlier", "repeats_disagree"),
        "test_group_checks.py::test_a_drift_over_the_rounds_is_found",
    ),
    (
        "continuing mixes configurations",
        ("host_differs",),
        "test_runner.py::test_a_changed_launch_makes_records_stale_and_names_what_changed",
    ),
    ("an output folder is used twice", (), "test_runner.py::test_two_runs_of_one_folder_never_mix"),
    (
        "a killed kernel's cells say completed",
        (),
        "integration/test_killed_sweeps.py::test_a_killed_kernel_is_seen_as_failed_although_its_cells_say_completed",
    ),
    (
        "a misspelt parameter is ignored",
        (),
        "test_notebooks.py::test_an_unknown_parameter_is_an_error_that_names_the_nearest",
    ),
    ("a race of the connection shows as failures", ("requests_failed",), PAIR),
    (
        "green on an empty set",
        (),
        "test_report_reading.py::test_a_run_that_measured_nothing_names_the_most_frequent_cause",
    ),
    ("client and server count tokens differently", ("asked_not_counted", "server_disagrees"), PAIR),
    (
        "speed gained by changed output",
        ("outputs_differ",),
        f"{MODES}::test_outputs_that_change_where_only_speed_should_are_found",
    ),
    ("preemption hides in the means", ("preempted", "kv_exhausted"), PAIR),
    (
        "metadata overwrites a figure",
        (),
        "test_measure_commands.py::test_no_metadata_is_merged_into_vllms_file_where_it_could_overwrite_a_figure",
    ),
    ("the report needs a network", (), "test_report_html.py::test_nothing_is_loaded_from_anywhere"),
    ("a secret in what is shared", (), "test_report_html.py::test_a_secret_of_the_environment_stops_the_report"),
    (
        "modes contradict each other",
        ("floor_above_load", "ceiling_below_serving", "tpot_contradicts_latency"),
        f"{MODES}::test_the_checks_alone_find_the_three_contradictions_of_the_published_figures",
    ),
)


@pytest.mark.parametrize(("what", "codes", "test"), PITFALLS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_known_pitfall_has_its_codes_and_its_test(what, codes, test):
    file, name = test.split("::")
    functions = {node.name for node in ast.parse((TESTS / file).read_text()).body if isinstance(node, ast.FunctionDef)}
    assert name in functions
    assert set(codes) <= set(BY_CODE)
    assert codes or test != PAIR


def test_no_pitfall_is_told_twice():
    assert len({what for what, _, _ in PITFALLS}) == len(PITFALLS)
