"""The known ways in which a serving number goes wrong: for each what becomes of it here, its codes, and the tests that show it.

docs/pitfalls.md is made from these rows, and test_pitfalls.py runs their tests. Of a code that has a pair in
test_checks.py, the fault and its twin without it, that pair is run as well.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pitfall:
    """One way in which a number goes wrong."""

    what: str
    here: str  # what becomes of it here
    codes: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()


def _row(what: str, here: str, codes: str = "", *tests: str) -> Pitfall:
    return Pitfall(what, here, tuple(codes.split()), tests)


PITFALLS = (
    # Warmth.
    _row(
        "The prefix cache is warm from an earlier run, or by an equal seed",
        "each repeat and each try has prompts of its own; the server's counters tell of hits",
        "cache_warm",
        "judge/test_again.py::test_a_server_that_may_know_the_prompts_of_the_first_try_gets_others",
    ),
    _row(
        "Warming up sends the first prompt that is measured",
        "the warm-up has a seed of its own; vLLM's `--num-warmups`, which does that, is never passed",
        "",
        "measure/test_measure_commands.py::test_nothing_that_sends_the_first_measured_prompt_beforehand_is_asked_for",
    ),
    _row(
        "Fewer requests warm up than are in flight later",
        "two for each request in flight, unless the experiment says otherwise",
        "warmup_too_small",
    ),
    _row(
        "Compilation or graph capture is counted",
        "seen in the server's log and in the first requests; measured again",
        "compiled_while_measuring first_requests_slow",
        "judge/test_again.py::test_a_disturbed_repeat_is_measured_again_at_once_and_the_later_try_counts",
    ),
    # Load.
    _row("The start burst of a closed loop is its tail", "said where the slowest are the first", "start_burst"),
    _row(
        "Filling and draining the server are in the average",
        "judged by how long they are beside the window",
        "too_short drain_dominates concurrency_not_reached",
    ),
    _row(
        "The client's queue is left out of the latency",
        "judged in an open loop, where it would be felt; so are a rate above what is served, whose latency is that of a queue "
        "which grows, and a queue before `max_num_seqs`",
        "client_queue_dominates overloaded max_num_seqs_low",
    ),
    _row(
        "A step of ten requests runs as the CUDA graph of sixteen, and ten give less in all than eight",
        "said by the sizes that the engine's log names",
        "steps_padded",
    ),
    _row(
        "A server stands still for a while, or its speed changes, and the mean hides it",
        "looked for in the gaps, the halves and the sixths of the window, and in the iterations of a batch",
        "server_stalled speed_shifted pace_shifted iterations_unsteady",
    ),
    _row(
        "The rate asked for is not the rate sent",
        "measured from the times of sending",
        "rate_not_reached",
        "judge/test_checks.py::test_a_rate_that_is_missed_has_no_excuse_in_chance",
    ),
    _row(
        "The client is the bottleneck",
        "its processor, its loop and its limits are watched",
        "client_saturated limits_low",
    ),
    _row(
        "The way through the network differs between launches",
        "off the list: all servers of a run are benchbook's own, over loopback; one elsewhere is measured by hand alone, and "
        "what cannot be seen of it is listed",
        "",
        "hosts/test_hosts_server.py::test_a_server_of_ours_is_reached_over_loopback_and_nothing_lies_between",
        "hosts/test_hosts_command.py::test_what_benchbook_sets_itself_is_refused",
        "measure/test_watching.py::test_of_a_server_elsewhere_its_processors_its_gpu_and_its_log_are_noted_as_not_seen",
    ),
    # Sample.
    _row("A p99 of too few requests", "each percentile says whether it is earned", "percentile_not_earned"),
    _row(
        "A single run is taken for the truth",
        "noted on the repeat; a comparison claims nothing from one or two",
        "measured_once",
        "test_group_checks.py"
        "::test_a_case_with_one_repeat_to_believe_says_that_its_spread_is_unknown_and_stays_as_it_is",
        "judge/test_compare.py::test_one_repeat_gives_a_ratio_and_no_claim",
        "judge/test_compare.py::test_with_two_repeats_even_a_third_faster_is_not_claimed",
    ),
    _row(
        "A difference is called one without regard to chance",
        "intervals over repeats, an error shared by all comparisons; equal launches are called different in at most 5 %",
        "",
        "judge/test_compare_rates.py::test_equal_launches_are_called_different_in_at_most_5_of_100_whole_comparisons",
        "judge/test_compare.py::test_the_unit_of_replication_is_the_repeat_and_not_the_request",
    ),
    # Requests and answers.
    _row(
        "A range ratio shifts the mean length", "lengths as drawn are compared with those asked for", "lengths_shifted"
    ),
    _row(
        "Random tokens are unlike text: experts, guesses ahead",
        "experts are counted, answers compared, speculation is doubted; speed of random weights is noted as such",
        "degenerate_model speculation_unlike_text random_weights",
        "judge/test_degenerate.py::test_a_model_that_is_none_is_suspect_and_one_that_behaves_is_not",
    ),
    _row(
        "A chat template or a BOS token adds to the prompts",
        "prompts go to `/v1/completions` as they are, and what the server counted is compared with what was asked",
        "asked_not_counted",
        "measure/test_measure_commands.py::test_prompts_are_sent_as_they_are_and_no_template_is_put_around_them",
    ),
    _row(
        "A stop word ends answers early",
        "`ignore_eos` is set, and lengths are compared",
        "outputs_short finish_not_length",
    ),
    _row(
        "ITL is per chunk and not per token",
        "chunks and tokens are counted",
        "itl_per_chunk stream_bunched empty_first_chunk opening_chunk closing_chunk",
    ),
    _row(
        "Cut streams count as successes",
        "lengths of single answers are looked at",
        "outputs_short",
        "judge/test_accounting.py::test_a_cut_stream_that_vllm_counts_as_success_is_found_by_its_length",
    ),
    _row(
        "All requests failed, and their zeros win",
        "a latency without a sample is empty, never 0",
        "nothing_completed requests_failed",
        "records/test_records.py::test_a_case_with_no_completed_request_has_no_latency",
    ),
    _row(
        "Peaks of one-second buckets are shown",
        "they are not taken over",
        "",
        "records/test_records.py::test_peaks_from_buckets_of_one_second_are_never_taken_over",
    ),
    _row(
        "Rates of all tokens and of output tokens are mixed",
        "they are two metrics with two sources; what is only printed is read there, or empty",
        "",
        "records/test_records.py::test_output_tokens_are_never_taken_from_a_rate_of_all_tokens",
    ),
    _row(
        "Speed for a user from the nominal concurrency, for a GPU from a wrong number of them",
        "the first comes from TPOT; the GPUs are those that the launch's own processes used, and a claim at twice the hardware "
        "says so",
        "concurrency_not_reached",
        "report/test_report_verdicts.py::test_the_speed_of_one_user_comes_from_tpot_and_not_from_the_nominal_concurrency",
        "judge/test_judge_telemetry.py::test_of_two_gpus_only_the_one_that_our_server_uses_counts",
        "judge/test_gpus.py::test_the_gpus_are_those_of_its_processes_else_of_its_command",
        "judge/test_gpus.py::test_a_launch_that_is_faster_on_more_gpus_says_so_where_it_is_claimed",
        "judge/test_gpus.py::test_tables_have_the_number_of_gpus_and_what_each_puts_out",
    ),
    _row(
        "A race over a kept connection fails requests at low rates",
        "a server of ours keeps idle connections longer than the client does; any failure is INVALID",
        "requests_failed",
        "hosts/test_hosts_server.py::test_a_server_keeps_idle_connections_longer_than_the_client_that_measures_it",
    ),
    _row(
        "Client and server count tokens by other tokenizers",
        "what was asked is the client's count, what was counted the server's",
        "asked_not_counted server_disagrees",
        "hosts/test_client_knows.py::test_what_a_launch_says_of_the_tokenizer_is_said_to_the_client",
    ),
    _row(
        "Speed is bought with changed output",
        "launches that are compared answer 32 fixed prompts, and a guard's items under load; a model that answers all "
        "alike is doubted, since that shows nothing",
        "outputs_differ answers_worse degenerate_model",
        "judge/test_coherence.py::test_outputs_that_change_where_only_speed_should_are_found",
        "judge/test_accuracy.py::test_a_loss_beyond_the_margin_vetoes_every_claim_of_better_and_none_of_worse",
        "judge/test_degenerate.py::test_a_model_that_is_none_is_suspect_and_one_that_behaves_is_not",
    ),
    _row(
        "Preemption hides in the means",
        "counted by the server, and foreseen from lengths and cache",
        "preempted kv_exhausted",
    ),
    _row(
        "An SLO on the error rate is broken by every load",
        "off the list: an SLO has latencies only, and one failed request makes a repeat INVALID",
        "requests_failed",
        "plan/test_plan_experiment.py::test_an_slo_has_no_error_rate_that_could_make_every_load_break_it",
    ),
    # Machine.
    _row(
        "Power is averaged over another window than the load",
        "energy between the first sending and the last token, on the clock of the requests",
        "",
        "judge/test_judge_telemetry.py::test_the_window_goes_from_the_first_send_to_the_last_token",
        "judge/test_judge_telemetry.py::test_energy_is_power_times_the_window_by_counter_and_by_area",
        "judge/test_judge_telemetry.py::test_energy_without_a_sample_after_the_last_token_is_null_and_not_less",
        "judge/test_judge_telemetry.py::test_means_are_over_the_window_only",
    ),
    _row(
        "A result without wall clock cannot be laid beside power and metrics",
        "records have UTC and monotonic times, samples the epoch of the requests' clock",
        "",
        "hosts/test_hosts_telemetry.py::test_samples_are_on_the_clock_of_the_requests_and_bracket_them",
        "judge/test_judge_telemetry.py::test_the_window_goes_from_the_first_send_to_the_last_token",
        "integration/test_faults.py::test_a_clock_that_jumps_back_changes_no_duration",
    ),
    _row(
        "The GPU throttles, or its clocks are not what they could be",
        "clocks and their reasons are sampled four times a second",
        "gpu_throttled gpu_power_capped clocks_low",
        "hosts/test_hosts_telemetry.py::test_a_hot_gpu_is_suspect_and_a_cool_one_is_not",
        "hosts/test_hosts_telemetry.py::test_a_gpu_at_its_power_limit_is_a_note",
        "hosts/test_hosts_telemetry.py::test_clocks_that_are_locked_low_are_told_from_those_that_power_or_heat_lowers",
    ),
    _row(
        "Another process is on the GPU, or on the processors",
        "refused before a start, watched while measuring, and measured again",
        "gpu_shared machine_busy",
        "hosts/test_hosts_gpu.py::test_a_foreign_process_is_named_and_refused_unless_the_gpu_is_shared",
        "hosts/test_hosts_telemetry.py::test_a_stranger_on_the_gpu_is_named_and_our_own_process_is_not",
        "judge/test_again.py::test_a_disturbed_repeat_is_measured_again_at_once_and_the_later_try_counts",
    ),
    _row(
        "Another server answers on the port",
        "a server is asked for a name that no other has",
        "server_disagrees",
        "hosts/test_hosts_server.py::test_a_stranger_on_the_port_is_refused_and_named",
    ),
    _row(
        "An orphan holds the memory",
        "whatever ends the owner ends its processes",
        "kv_capacity_differs",
        "hosts/test_guardian.py::test_whatever_ends_the_owner_leaves_no_process_of_the_host",
    ),
    _row(
        "The KV cache of one launch is smaller by chance",
        "capacities are compared",
        "kv_capacity_differs host_differs",
        "judge/test_group_checks.py::test_arms_of_unequal_kv_capacity_are_found",
    ),
    _row(
        "The order of a sweep acts on its numbers",
        "repeats go in rounds of other order, launches take turns; drifts and outliers are looked for",
        "repeats_trend repeat_outlier repeats_disagree",
        "sweep/test_runner.py::test_repeats_are_interleaved_never_back_to_back",
        "judge/test_group_checks.py::test_a_drift_over_the_rounds_is_found",
        "judge/test_group_checks.py::test_an_outlier_is_named_and_its_siblings_are_not",
        "judge/test_group_checks.py::test_repeats_that_disagree_are_all_suspect",
    ),
    # Sweeps, files and reports.
    _row(
        "Continuing mixes configurations",
        "a record is reused only where all that can change its number is equal",
        "host_differs",
        "sweep/test_runner.py::test_a_changed_launch_makes_records_stale_and_names_what_changed",
        "judge/test_group_checks.py::test_a_host_that_is_another_one_is_found",
    ),
    _row(
        "An output folder is used twice",
        "each run has a folder of its own, under a lock",
        "",
        "sweep/test_runner.py::test_two_runs_of_one_folder_never_mix",
    ),
    _row(
        "The cells of a killed kernel say completed",
        "only a record on disk says that something was measured",
        "",
        "integration/test_killed_sweeps.py::test_a_killed_kernel_is_seen_as_failed_although_its_cells_say_completed",
    ),
    _row(
        "A misspelt parameter is ignored",
        "refused, with the nearest name",
        "",
        "notebooks/test_notebooks.py::test_an_unknown_parameter_is_an_error_that_names_the_nearest",
    ),
    _row(
        "A notebook's output overflows and is lost, without an error",
        "numbers go from the kernel to a file and are read from there",
        "",
        "sweep/test_repeat.py::test_a_number_is_read_from_its_file_and_not_from_outputs_that_a_kernel_may_lose",
    ),
    _row(
        "All is green where nothing was measured",
        "a run without a number says so first",
        "",
        "report/test_report_reading.py::test_a_run_that_measured_nothing_names_the_most_frequent_cause",
    ),
    _row(
        "Metadata overwrites a figure in vLLM's file",
        "none is merged into it",
        "",
        "measure/test_measure_commands.py::test_no_metadata_is_merged_into_vllms_file_where_it_could_overwrite_a_figure",
    ),
    _row(
        "A report depends on what is fetched later",
        "it is one file that asks for nothing",
        "",
        "report/test_report_html.py::test_nothing_is_loaded_from_anywhere",
    ),
    _row(
        "A secret is in what is shared",
        "looked for before a report is written",
        "",
        "report/test_report_html.py::test_a_secret_of_the_environment_stops_the_report",
    ),
    _row(
        "Modes contradict each other",
        "floor, load and ceiling of equal lengths are compared",
        "floor_above_load ceiling_below_serving tpot_contradicts_latency",
        "judge/test_coherence.py::test_the_checks_alone_find_the_three_contradictions_of_the_published_figures",
    ),
)
