"""The official commands: every asked setting is in them, and the known traps are closed."""

from pathlib import Path

import pytest
from benchbook.hosts.engine import VllmEngine
from benchbook.hosts.vllm import command
from benchbook.hosts.vllm.forms import Form
from benchbook.measure.argv import Target, latency_argv, serve_argv, throughput_argv
from benchbook.plan.workloads import LatencyWorkload, ServeWorkload, ThroughputWorkload

RAW = Path("/results/raw.json")


def value_of(argv, flag):
    return argv[argv.index(flag) + 1]


def make_serve_argv(**fields):
    workload = ServeWorkload(
        **{"input_len_tokens": 128, "output_len_tokens": 64, "num_prompts": 80, "max_concurrency": 8, **fields}
    )
    return serve_argv(
        workload,
        Target(
            base_url="http://127.0.0.1:1",
            model="tiny",
            served_name="nonce",
            tokenizer_words=["--tokenizer", "/tiny"],
            seed=7,
            raw_path=RAW,
        ),
    )


def test_serve_asks_for_lengths_by_the_flags_that_count():
    argv = make_serve_argv()
    assert value_of(argv, "--random-input-len") == "128" and value_of(argv, "--random-output-len") == "64"
    assert "--input-len" not in argv


def test_serve_saves_the_details_without_which_cut_streams_are_invisible():
    argv = make_serve_argv()
    assert "--save-detailed" in argv and value_of(argv, "--percentile-metrics") == "ttft,tpot,itl,e2el"


def test_serve_sends_to_the_nonce_so_that_no_other_server_can_answer():
    assert value_of(make_serve_argv(), "--served-model-name") == "nonce"


def test_prompts_are_sent_as_they_are_and_no_template_is_put_around_them():
    argv = make_serve_argv()
    assert value_of(argv, "--backend") == "openai" and value_of(argv, "--endpoint") == "/v1/completions"
    assert not [word for word in argv if "chat" in word or "template" in word]


def test_no_key_and_no_header_ever_stands_in_a_command():
    assert not [word for word in make_serve_argv() if "key" in word.lower() or "header" in word.lower()]


def test_an_absent_cap_or_rate_is_not_passed():
    argv = make_serve_argv(max_concurrency=None, request_rate_rps=2.5)
    assert "--max-concurrency" not in argv and value_of(argv, "--request-rate") == "2.5"
    assert "--request-rate" not in make_serve_argv()


def test_a_rate_without_limit_and_one_that_rises_are_said_in_vllms_own_words():
    everything = make_serve_argv(max_concurrency=None, request_rate_rps="inf")
    assert value_of(everything, "--request-rate") == "inf" and "--max-concurrency" not in everything
    rising = make_serve_argv(max_concurrency=None, request_rate_rps="1 to 16 exponential")
    assert value_of(rising, "--ramp-up-strategy") == "exponential"
    assert (value_of(rising, "--ramp-up-start-rps"), value_of(rising, "--ramp-up-end-rps")) == ("1", "16")
    assert "--request-rate" not in rising


def test_limits_become_goodput_in_milliseconds():
    argv = make_serve_argv(slo_ttft_ms=500, slo_tpot_ms=50.5)
    assert argv[argv.index("--goodput") + 1 :] == ["ttft:500", "tpot:50.5"]
    assert "--goodput" not in make_serve_argv()


def test_throughput_asks_for_lengths_by_the_flags_that_count():
    workload = ThroughputWorkload(input_len_tokens=128, output_len_tokens=64, num_prompts=200)
    argv = throughput_argv(workload, Target(model="/tiny", engine_args={"enforce_eager": True}, seed=3, raw_path=RAW))
    assert value_of(argv, "--random-input-len") == "128" and "--input-len" not in argv
    assert value_of(argv, "--num-warmups") == "200" and argv[-1] == "--enforce-eager"


def test_throughput_on_a_warm_engine_is_not_warmed_up_again():
    workload = ThroughputWorkload(input_len_tokens=128, output_len_tokens=64, num_prompts=200)
    argv = throughput_argv(workload, Target(model="/tiny", engine_args={}, seed=3, raw_path=RAW, is_warm=True))
    assert value_of(argv, "--num-warmups") == "0"


def test_no_measured_prompt_of_serve_is_sent_ahead():
    argv = make_serve_argv()
    assert "--num-warmups" not in argv and value_of(argv, "--ready-check-timeout-sec") == "0"


def test_both_offline_benchmarks_ask_for_the_same_engine_where_the_launch_says_nothing():
    lengths = {"input_len_tokens": 128, "output_len_tokens": 64}
    for args, wanted in (
        ({}, "--no-enable-prefix-caching"),
        ({"enable_prefix_caching": True}, "--enable-prefix-caching"),
    ):
        latency = latency_argv(
            LatencyWorkload(**lengths, batch_size=1), Target(model="/tiny", engine_args=args, raw_path=RAW)
        )
        throughput = throughput_argv(
            ThroughputWorkload(**lengths, num_prompts=4), Target(model="/tiny", engine_args=args, seed=3, raw_path=RAW)
        )
        for argv in (latency, throughput):
            assert [word for word in argv if word.endswith("prefix-caching")] == [wanted]


@pytest.mark.parametrize(
    ("args", "is_cpu", "is_asked"),
    [({}, False, True), ({}, True, False), ({"jit_monitor_verbose": False}, False, False)],
)
def test_a_loaded_engine_and_what_runs_on_it_log_each_kernel_that_is_compiled(
    monkeypatch, fake_model, state_dir, args, is_cpu, is_asked
):
    """Both: an engine takes no task that asks for another one."""
    forms = {command.MONITOR_FLAG: Form(is_switch=True)}
    monkeypatch.setattr(command, "is_cpu_build", lambda *_: is_cpu)
    monkeypatch.setattr(command, "installed_forms", lambda *_: forms)
    lengths = {"input_len_tokens": 8, "output_len_tokens": 4}
    latency, throughput = LatencyWorkload(**lengths, batch_size=1), ThroughputWorkload(**lengths, num_prompts=4)
    commands = [
        VllmEngine(fake_model, args=args).argv,
        latency_argv(latency, Target(model=fake_model, engine_args=args, raw_path=RAW)),
        throughput_argv(throughput, Target(model=fake_model, engine_args=args, seed=3, raw_path=RAW)),
    ]
    assert [argv.count(command.MONITOR_FLAG) for argv in commands] == [is_asked] * 3


def test_latency_uses_its_own_length_flags_which_do_count_there():
    workload = LatencyWorkload(input_len_tokens=128, output_len_tokens=64, batch_size=8)
    argv = latency_argv(workload, Target(model="/tiny", engine_args={}, raw_path=RAW))
    assert value_of(argv, "--input-len") == "128" and value_of(argv, "--num-iters") == "30"


def test_nothing_that_sends_the_first_measured_prompt_beforehand_is_asked_for():
    """vLLM's own warm-up and its readiness probe both send prompt number one, which a prefix cache then knows."""
    argv = make_serve_argv()
    assert "--num-warmups" not in argv and value_of(argv, "--ready-check-timeout-sec") == "0"


def test_no_metadata_is_merged_into_vllms_file_where_it_could_overwrite_a_figure():
    assert "--metadata" not in make_serve_argv()
