"""The kinds of faults that practice has, how many inputs of each were met, and the tests that show what became of them.

Launch lines stand in practice_lines.py. What is no launch line, or needs more than its plan, is shown by a test that is
named here; test_practice.py runs all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

KINDS = {  # number: what it is, and how many inputs of it were met
    1: ("dotted arguments", 3),
    2: ("off switches", 3),
    3: ("lists and mappings", 3),
    4: ("a switch given a value", 2),
    5: ("the client's tokenizer", 2),
    6: ("the model's revision", 3),
    7: ("an attached server with files elsewhere", 3),
    8: ("a proxy in the environment", 2),
    9: ("the environment of a launch", 2),
    10: ("removed names", 7),
    11: ("old values", 3),
    12: ("short options", 4),
    13: ("paths in args", 2),
    14: ("JSON as text", 3),
    15: ("sizes", 3),
    16: ("what sounds like a secret", 3),
    17: ("a KV cache that queues", 2),
    18: ("parallel sizes and devices", 2),
    19: ("cards that a launch names", 3),
    20: ("one refusal a run", 2),
    21: ("servers that are never ready", 4),
    22: ("inherited variables", 2),
    23: ("an address without a scheme", 4),
    24: ("routers", 2),
    25: ("a self-signed certificate", 2),
    26: ("a first event without text", 2),
    27: ("a home that cannot be written", 2),
    28: ("a terminal that is not UTF-8", 3),
    29: ("off line and not there", 2),
    30: ("a file in a hub id", 2),
    31: ("variables of plugins", 2),
    32: ("answers of the YAML reader", 2),
    33: ("a container's limits", 3),
    34: ("shared memory", 2),
    35: ("a queue in the server", 2),
    36: ("a silenced log", 2),
    37: ("another kernel", 2),
    38: ("figures of others", 4),
    39: ("several engines", 2),
    40: ("dummy weights", 2),
    41: ("a long TMPDIR", 2),
}


@dataclass(frozen=True)
class Shown:
    """An input and the test that shows what becomes of it."""

    kind: int
    name: str
    test: str
    is_own: bool = False


_MACHINE, _LEFT, _ODD, _ATTACH = "test_machine.py", "test_leftovers.py", "test_odd_servers.py", "test_hosts_attach.py"
_FAULTS, _FETCH, _BOX = "test_system_faults.py", "test_fetching.py", "test_container.py"
_SITUATIONS = "test_practice_situations.py"
_SLOW, _START = "integration/test_practice_starts.py", "integration/test_server.py"
_CROWDED = "test_the_revision_that_is_asked_for_is_served_and_recorded"
_PAST_THE_PROXY = "test_a_client_finds_the_tokenizer_where_the_launch_says_and_goes_past_the_proxy"
SECOND = "GPU-77aa0000-aaaa-bbbb-cccc-0123456789ab"


def _of(kind: int, file: str, test: str, seen: dict[str, str], own: dict[str, str]) -> list[Shown]:
    """Return the cases of one test: by the input's name what stands in the brackets, '' where nothing does."""
    return [
        Shown(kind, name, f"{file}::{test}" + (f"[{case}]" if case else ""), is_own)
        for cases, is_own in ((seen, False), (own, True))
        for name, case in cases.items()
    ]


SHOWN = (
    *_of(5, _SLOW, "test_a_tokenizer_with_code_of_its_own_is_loaded_by_the_client", {}, {"auto_map": ""}),
    *_of(7, _ODD, "test_a_first_request_needs_no_files_of_the_model", {"notebook 02": ""}, {}),
    *_of(7, _ODD, "test_a_tokenizer_that_is_not_here_is_asked_for_in_one_sentence", {"notebook 03": ""}, {}),
    *_of(7, _ODD, "test_an_adapter_is_measured_with_the_tokenizer_of_its_own_model_and_the_record_names_both",
         {"an adapter": ""}, {}),
    *_of(7, _SITUATIONS, "test_files_of_another_machine_are_asked_for_in_one_sentence", {},
         {root: root for root in ("s3://bucket/llama", "/mnt/nfs/llama/", "gs://b/m", "/opt/ml/model", "hf://org/name",
                                  "az://blob/models/m", "//nas/models/m")}),
    # One start of the real vLLM in a shell that has proxies, a cluster's variables and a long TMPDIR.
    *_of(6, _START, _CROWDED, {}, {"really, the second of two": ""}),
    *_of(22, _START, _CROWDED, {}, {"really, both": ""}),
    *_of(41, _START, _CROWDED, {}, {"really, 111 characters": ""}),
    *_of(8, _SLOW, _PAST_THE_PROXY, {"a run": ""}, {}),
    *_of(9, _SLOW, _PAST_THE_PROXY, {}, {"really, HF_HOME": ""}),
    *_of(35, _SLOW, _PAST_THE_PROXY, {}, {"really, one seat": ""}),
    *_of(35, _SLOW, "test_a_rate_that_a_server_does_not_hold_is_told", {}, {"really, a rate": ""}),
    *_of(8, "test_proxies.py", "test_a_first_request_goes_past_the_proxy", {"notebook 02": "127.0.0.1"},
         {"another loopback address": "127.0.0.2", "a name": "localhost"}),
    *_of(8, _SITUATIONS, "test_what_the_shell_excepts_from_its_proxy_stays_excepted_beside_this_machine", {},
         {name: name for name in ("a domain", "a port", "two spellings", "loopback already", "all")}),
    *_of(8, "test_proxies.py", "test_a_start_and_the_fixed_prompts_go_past_the_proxy", {}, {"a start": ""}),
    # Memory and cards.
    *_of(17, _MACHINE, "test_a_kv_cache_that_does_not_hold_all_requests_is_a_note", {"gpt-oss-120b": ""}, {}),
    *_of(17, _MACHINE, "test_no_more_sequences_are_counted_than_may_run",
         {"max_num_seqs: 8": "{max_num_seqs: 8}-512-False"},
         {"two copies": "{max_num_seqs: 8, data_parallel_size: 2}-512-False", "no limit": "{}-2000-True",
          "of 2048 seats 16 taken": "{max_num_active_seqs: 16, max_num_seqs: 2048}-2000-False",
          "of 2048 seats 1500 taken": "{max_num_seqs: 2048, max_num_active_seqs: 1500}-2000-True",
          "on two cards": "{tensor_parallel_size: 2}-2000-False", "a third of it": "{gpu_memory_utilization: 0.3}-512-True"}),
    *_of(17, _MACHINE, "test_where_weights_and_one_request_do_not_fit_it_is_refused", {}, {"not even one": ""}),
    *_of(18, _MACHINE, "test_ranks_on_one_cpu_are_fine", {"two ranks": "{tensor_parallel_size: 2}"},
         {"data_parallel_size": "{data_parallel_size: 2}", "pipeline_parallel_size": "{pipeline_parallel_size: 4}"}),
    *_of(18, _MACHINE, "test_too_few_gpus_are_refused_whether_the_models_size_is_known_or_not",
         {"64 GPUs": "{tensor_parallel_size: 64}"}, {"three copies": "{data_parallel_size: 3}"}),
    *_of(19, _MACHINE, "test_only_the_gpus_that_a_launch_names_are_looked_at", {"index": "1", "UUID": SECOND},
         {"the beginning of a UUID": SECOND[:10], "more of a UUID": SECOND[:23],
          "the beginning of a slice": "MIG-377e0049"}),
    *_of(19, _MACHINE, "test_only_the_gpus_that_the_shell_names_are_looked_at",
         {"MIG": "MIG-377e0049-554c-540b-93c6-d0976f8426cb"}, {"the shell's index": "1"}),
    *_of(19, _MACHINE, "test_a_gpu_that_is_not_here_is_refused_where_it_is_named", {},
         {"none of that number": "7", "one that is not here behind it": "'1,9'", "no such UUID": "GPU-12345678"}),
    # Shells and servers.
    *_of(22, _LEFT, "test_a_leftover_is_taken_out_and_named_and_a_launch_may_say_it",
         {"VLLM_PORT": "VLLM_PORT-tcp://10.43.1.39:8000", "metrics": "PROMETHEUS_MULTIPROC_DIR-/tmp/metrics"},
         {"VLLM_DP_SIZE": "VLLM_DP_SIZE-8", "MASTER_ADDR": "MASTER_ADDR-node-17",
          "VLLM_RPC_PORT": "VLLM_RPC_PORT-tcp://10.43.1.40:5570"}),
    *_of(23, _ATTACH, "test_an_address_is_taken_as_people_write_it",
         {"127.0.0.1:8123": "127.0.0.1:9999-http://127.0.0.1:9999"},
         {"IPv6": "[::1]:8000-http://[::1]:8000", "a path": "https://llm.example/team/v1-https://llm.example/team"}),
    *_of(23, _ATTACH, "test_a_server_of_ours_needs_an_address_and_nothing_else", {"localhost:8123/v1": "None"}, {}),
    *_of(23, _ODD, "test_an_address_that_cannot_be_asked_is_refused_in_one_line",
         {"unix": "unix:///tmp/s.sock-no way to a unix socket"},
         {"a question": "http://host:8000/?x=1-no path can stand",
          "a socket's path": "/tmp/s.sock-no way to a unix socket",
          "one slash": "http:/127.0.0.1:8123-its beginning is cut"}),
    *_of(23, _ODD, "test_an_address_that_this_machine_does_not_have_is_an_error_of_ours_in_one_line",
         {"no 127.0.0.1": "192.0.2.1"}, {}),
    *_of(24, _ODD, "test_what_answers_is_measured_though_it_has_neither_version_nor_metrics_nor_health",
         {"neither": "router-"},
         {"a gateway": "gateway-odd-model", "a name": "router-odd-model"}),
    *_of(24, _ODD, "test_what_a_page_that_is_missing_tells_is_all_that_is_not_known", {},
         {"no version alone": "no_version-version", "no health alone": "no_health-"}),
    *_of(24, _ODD, "test_a_page_of_metrics_that_is_odd_costs_no_number", {"no /metrics": "metrics_404"},
         {"HTML": "metrics_html", "malformed": "metrics_malformed", "a key is asked for": "metrics_401",
          "an empty page": "metrics_empty", "of another program": "metrics_of_another"}),
    *_of(25, _ODD, "test_a_certificate_signed_by_itself_has_a_way_out_that_the_refusal_names",
         {"refused": "", "SSL_CERT_FILE": ""}, {}),
    *_of(25, _SITUATIONS, "test_whom_the_shell_trusts_the_client_trusts", {},
         {name: name for name in ("requests' own", "a folder", "both", "a folder and requests' own", "all three",
                                  "an empty one")}),
    *_of(26, "test_checks.py", "test_a_fault_is_found_and_its_twin_without_it_is_not_accused",
         {"notebook 03": "empty_first_chunk"}, {}),
    *_of(26, "test_first_request.py", "test_an_event_without_text_before_the_first_token_is_not_the_first_token",
         {"notebook 02": ""}, {}),
    *_of(26, _SITUATIONS, "test_more_chunks_than_tokens_are_told", {},
         {name: name for name in ("two", "of half of the answers", "of two answers", "of three answers", "at the end",
                                  "nine at once", "one fewer")}),
    # The program's own surroundings.
    *_of(27, _FAULTS, "test_a_home_that_cannot_be_written_is_one_line", {"plan": "plan", "ps": "ps"}, {"run": "run"}),
    *_of(27, _FAULTS, "test_a_folder_of_ours_that_cannot_be_had_is_one_line_with_the_way_out", {},
         {"the cache": "BENCHBOOK_CACHE_DIR-words0-file", "the state": "BENCHBOOK_STATE_DIR-words2-file"}),
    *_of(28, _SITUATIONS, "test_a_plan_is_told_in_the_letters_that_there_are",
         {"ascii": "ascii", "LC_ALL=C": "C", "latin-1": "latin-1"},
         {name: name for name in ("cp437", "koi8-r", "shift_jis")}),
    *_of(28, "integration/test_terminal.py",
         "test_some_cases_are_measured_and_told_in_plain_lines_and_letters", {}, {"a run in ascii": ""}),
    *_of(28, "integration/test_terminal.py",
         "test_the_rest_is_measured_by_a_run_that_is_halted_on_a_terminal_of_changing_width",
         {}, {"a run in latin-1": ""}),
    *_of(29, _SITUATIONS, "test_a_run_off_line_of_a_model_that_is_not_here_starts_nothing", {"HF_HUB_OFFLINE": "main"},
         {"a revision": "a revision"}),
    *_of(29, _FETCH, "test_a_hub_or_its_proxy_out_of_reach_is_refused", {"no network": "HF_ENDPOINT"},
         {"no proxy": "https_proxy"}),
    *_of(29, _FETCH, "test_all_that_are_not_here_are_named_at_once", {}, {"a draft and a tokenizer": ""}),
    *_of(33, _BOX, "test_a_model_that_the_container_has_no_memory_for_is_refused", {"4 GiB": "4 GiB"},
         {name: name for name in ("version 1", "a job", "in use")}),
    *_of(33, _BOX, "test_the_processors_of_a_container_are_recorded", {"half a processor": "50000 100000-0.5"},
         {"a fifth": "10000 50000-0.2"}),
    *_of(33, _BOX, "test_processors_that_a_process_may_not_use_are_not_recorded", {"taskset": ""}, {}),
    *_of(34, _MACHINE, "test_a_small_shared_memory_is_refused_where_workers_need_it",
         {"tensor_parallel_size: 2": "{tensor_parallel_size: 2}-{}-0.32.0-True"},
         {"on a CPU": "{}-{}-0.32.0+cpu-True",
          "one process": "{}-{VLLM_ENABLE_V1_MULTIPROCESSING: 0}-0.32.0+cpu-False"}),
    *_of(34, "test_hosts_causes.py", "test_a_death_by_bus_error_and_only_that_is_explained_by_shared_memory",
         {"SIGBUS": ""}, {}),
    *_of(34, _MACHINE, "test_larger_queues_need_a_larger_shared_memory", {}, {"VLLM_MQ_MAX_CHUNK_BYTES_MB": ""}),
    # What a verdict says.
    *_of(35, "test_belief.py", "test_what_is_wrong_is_not_valid",
         {"20 a second": "a server that answers 3.7 requests a second is sent 20, 60 in all"},
         {"64 in flight": "64 are in flight, of which the server runs 8"}),
    *_of(36, "test_watching.py", "test_a_log_that_was_silenced_is_noted_as_not_seen",
         {name: name for name in ("VLLM_LOGGING_LEVEL=ERROR", "VLLM_CONFIGURE_LOGGING=0")},
         {name: name for name in ("nothing", "uvicorn alone", "a form of its own", "blank lines", "errors alone",
                                  "a wrapper's banner", "Python's usual form")}),
    *_of(36, _SLOW, "test_vllms_own_log_tells_where_it_is_not_silenced", {},
         {f"really {name}": name
          for name in ("level ERROR", "not configured", "a form of its own", "level WARNING by its flag", "as it is")}),
    *_of(37, "test_notebooks.py", "test_a_kernel_without_benchbook_is_told_which_python_it_runs_and_what_mends_it",
         {"no benchbook": "02_first_request.ipynb"}, {}),
    *_of(37, _FAULTS,
         "test_a_sweeps_kernel_is_our_own_whatever_is_called_python3_and_braces_in_a_path_are_braces",
         {"a script": "a script"},
         {name: name for name in ("another Python", "of R", "cut", "empty", "a list", "a text for argv", "of conda")}),
    *_of(38, _SITUATIONS, "test_figures_of_others_are_judged_by_what_they_tell",
         {name: name for name in ("nothing completed", "0.381 of 1", "a sum of means", "0.993 of 1")},
         {name: f"own: {name}" for name in ("12 are missing", "0.85 of 1", "tokens are told", "means that add up")}),
    *_of(38, _SITUATIONS, "test_a_count_that_is_missing_is_named_and_not_read_as_0", {}, {"no count": "neither"}),
    *_of(39, _ODD, "test_several_engines_are_said_with_what_each_gave_and_the_fullest_cache", {"two engines": ""}, {}),
    *_of(39, _ODD, "test_shares_are_those_of_the_fullest_engine_and_counts_are_sums", {"1.2": "(0.6, 0.6)"},
         {"one fuller": "(0.2, 0.9)", "three": "(0.0, 0.5, 0.1)", "eight": "(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)",
          "two full and two idle": "(0.95, 0.0, 0.0, 0.94)", "both idle": "(0.0, 0.0)",
          "sixteen": f"({', '.join(['0.01, 0.02'] * 8)})"}),
    *_of(40, "test_degenerate.py", "test_answers_of_weights_that_vllm_makes_up_are_not_compared", {},
         {"answers of both": "flags0"}),
    *_of(41, "test_scratch.py", "test_a_temporary_folder_that_is_too_deep_for_vllms_sockets_is_not_used",
         {"112 characters": "d-112", "short": "d-30"},
         {"one too many": "d-52", "just enough": "d-51", "200 characters": "d-200", "107 characters": "d-107",
          "1024 characters": "d-1024", "umlauts": "\\xfc-52", "Chinese": "\\u6f22-51", "emoji": "\\U0001f642-52"}),
    *_of(41, "test_guardian.py", "test_a_folder_of_the_hosts_own_is_closed_to_others_and_gone_however_the_host_ends", {},
         {"a host's": "120-is stopped"}),
)  # fmt: skip
