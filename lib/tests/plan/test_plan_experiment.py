"""What an experiment file means: models, launches, axes, exclusions, identities."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchbook.plan.case import Case
from benchbook.plan.experiment import COMPARISON_REPEATS, load_experiment
from benchbook.plan.models import ModelRef
from benchbook.plan.workloads import LatencyWorkload, ServeWorkload
from benchbook.terms.errors import ExperimentError

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def load(tmp_path):
    """Return a function that loads an experiment whose file has this `benchmarks:` list and these other lines."""

    def load_text(benchmarks: str, model: str = "tiny", launches: str = "{eager: {}}", rest: str = ""):
        path = tmp_path / "exp.yaml"
        path.write_text(f"question: q\nmodel: {model}\nlaunches: {launches}\nbenchmarks: {benchmarks}\n{rest}\n")
        return load_experiment(path)

    return load_text


def axes(experiment) -> list[str]:
    return [case.workload.axes_text() for case in experiment.cases]


FIRST = "[first_request: {}]"
SERVE = "[serve: {max_concurrency: 1, lengths: [8, 8], num_prompts: 9}]"


def test_the_quickstart_is_a_valid_experiment_of_twelve_cases():
    experiment = load_experiment(REPOSITORY / "experiments" / "quickstart.yaml")
    assert experiment.name == "quickstart"
    assert experiment.repeats == 2
    assert experiment.model == ModelRef("tiny")
    assert experiment.launch("eager").max_model_len == 4096
    assert experiment.launch("eager").env == {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "OMP_NUM_THREADS": "1",
    }
    benchmarks = [case.workload.benchmark for case in experiment.cases]
    assert benchmarks == ["first_request"] + ["serve"] * 8 + ["latency"] * 2 + ["throughput"]
    assert experiment.source_text == (REPOSITORY / "experiments" / "quickstart.yaml").read_text()


def test_axes_cross_and_lengths_vary_together(load):
    experiment = load("[latency: {batch_size: [1, 8], lengths: [[128, 64], [512, 32]]}]")
    assert axes(experiment) == [
        "latency,lengths=128x64,batch_size=1",
        "latency,lengths=512x32,batch_size=1",
        "latency,lengths=128x64,batch_size=8",
        "latency,lengths=512x32,batch_size=8",
    ]


def test_a_single_value_is_an_axis_of_one(load):
    experiment = load("[latency: {batch_size: 1, lengths: [128, 64], num_iters: 5}]")
    workload = LatencyWorkload(input_len_tokens=128, output_len_tokens=64, batch_size=1, num_iters=5)
    assert experiment.cases == (Case("eager", workload),)


def test_prompts_per_concurrency_follow_the_concurrency(load):
    experiment = load("[serve: {max_concurrency: [1, 8], lengths: [8, 8], num_prompts: [10 per concurrency, 200]}]")
    assert [case.workload.num_prompts for case in experiment.cases] == [10, 200, 80, 200]


def test_a_rate_may_be_an_axis_with_null_for_no_limit(load):
    experiment = load(
        "[serve: {max_concurrency: 8, request_rate_rps: [null, 2, 4.5], lengths: [8, 8], num_prompts: 9}]"
    )
    assert [case.workload.request_rate_rps for case in experiment.cases] == [None, 2.0, 4.5]
    assert len({case.case_id for case in experiment.cases}) == 3


def test_an_exclude_drops_what_matches_all_its_keys(load):
    experiment = load(
        "[latency: {batch_size: [1, 8], lengths: [[8, 8], [9, 9]], exclude: [{batch_size: 8, lengths: [9, 9]}]}]"
    )
    assert axes(experiment) == [
        "latency,lengths=8x8,batch_size=1",
        "latency,lengths=9x9,batch_size=1",
        "latency,lengths=8x8,batch_size=8",
    ]


def test_a_combination_that_is_excluded_need_not_fit(load):
    fits = "[latency: {batch_size: [1, 8], lengths: [[8, 8], [90, 90]], exclude: [{lengths: [90, 90]}]}]"
    assert len(load(fits, launches="{eager: {args: {max_model_len: 100}}}").cases) == 2


def test_a_benchmark_runs_on_every_launch_unless_it_names_some(load):
    benchmarks = "[{first_request: {}}, {latency: {batch_size: 1, lengths: [8, 8], launches: [b]}}]"
    assert [case.case_id for case in load(benchmarks, launches="{a: {}, b: {}}").cases] == [
        "a,first_request",
        "b,first_request",
        "b,latency,lengths=8x8,batch_size=1",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e6", 1e6),
        ("1e-1", 0.1),
        ("-2.5E3", -2500.0),
        ("5.e+2", 500.0),
        (".5e1", 5.0),
        ("'1e6'", "1e6"),
        ("1e6x", "1e6x"),
        ("e6", "e6"),
    ],
)
def test_a_number_with_an_exponent_is_one_as_in_json(load, text, value):
    args = load(FIRST, launches=f"{{1e3: {{args: {{hf_overrides: {{rope_theta: {text}}}}}}}}}").launches[0].args
    assert args == {"hf_overrides": {"rope_theta": value}}
    assert type(args["hf_overrides"]["rope_theta"]) is type(value)


@pytest.mark.parametrize("text", ["1.10", "1e10", "7"])
def test_a_revision_without_quotes_is_refused_as_it_is_written(load, text):
    with pytest.raises(ExperimentError, match=f"model.revision: .*: must be text: write '{text}'"):
        load(FIRST, model=f"{{hub: a/b, revision: {text}}}")


def test_an_automatic_max_model_len_is_not_checked(load):
    benchmarks = "[latency: {batch_size: 1, lengths: [8, 8000]}]"
    for value in ("auto", "-1"):
        assert (
            load(benchmarks, launches=f"{{eager: {{args: {{max_model_len: {value}}}}}}}").launches[0].max_model_len
            is None
        )


def test_a_model_is_tiny_a_folder_or_a_hub_id_said_shortly_or_in_full(load, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    revision = "{hub: Qwen/Qwen3-0.6B, revision: main}"
    assert load(FIRST, model="tiny").model == ModelRef("tiny")
    assert load(FIRST, model="{path: tiny}").model == ModelRef("tiny")
    assert load(FIRST, model="{path: tiny-moe}").model == load(FIRST, model="tiny-moe").model == ModelRef("tiny-moe")
    assert load(FIRST, model=str(folder)).model == ModelRef(str(folder))
    assert load(FIRST, model=f"{{path: {folder}}}").model == ModelRef(str(folder))
    assert load(FIRST, model="Qwen/Qwen3-0.6B").model == ModelRef("Qwen/Qwen3-0.6B")
    assert load(FIRST, model=revision).model == ModelRef("Qwen/Qwen3-0.6B", "main")


def test_a_folder_is_found_from_the_current_one_and_kept_in_full(load, tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert load(FIRST, model="{path: ./model}").model == ModelRef(str(tmp_path / "model"))


def test_a_launch_may_have_a_model_of_its_own(load):
    launches = load(FIRST, launches="{a: {}, b: {model: Qwen/Qwen3-0.6B}}").launches
    assert [launch.model.path_or_id for launch in launches] == ["tiny", "Qwen/Qwen3-0.6B"]


def test_a_null_that_is_written_out_inside_a_config_is_a_value(load):
    args = "{hf_overrides: {quantization_config: null}, hf_overrides.text.ropeScaling: ~, cc.sizes: [null, 1]}"
    (launch,) = load(FIRST, launches=f"{{eager: {{args: {args}}}}}").launches
    assert [*launch.args.values()] == [{"quantization_config": None}, None, [None, 1]]


def test_args_keep_their_types_and_env_becomes_text(load):
    args = "{enforce_eager: true, block_size: 16, compilation_config: {mode: 3, cudagraph_capture_sizes: [1, 2]}}"
    (launch,) = load(FIRST, launches=f"{{eager: {{args: {args}, env: {{A: 1, B: 1.10, C: x, D: 'yes'}}}}}}").launches
    assert launch.args["enforce_eager"] is True
    assert launch.args["compilation_config"] == {"mode": 3, "cudagraph_capture_sizes": [1, 2]}
    assert launch.env == {"A": "1", "B": "1.10", "C": "x", "D": "yes"}


def test_remote_code_is_the_users_to_trust(load):
    assert load(FIRST, launches="{a: {args: {trust_remote_code: true}}}").launches[0].args == {
        "trust_remote_code": True
    }


def test_limits_are_milliseconds(load):
    assert load(SERVE, rest="slo: {p99_ttft_ms: 500, mean_e2el_ms: 0.5}").slo == {
        "p99_ttft_ms": 500.0,
        "mean_e2el_ms": 0.5,
    }


@pytest.mark.parametrize("name", ["p50_ttft_ms", "median_ttft_ms"])
def test_p50_and_median_are_one_metric_by_either_name_wherever_one_is_named(load, name):
    serve = f"[serve: {{max_concurrency: 1, lengths: [8, 8], precision: {{{name}: 10 %}}}}]"
    repeats = f"repeats: {{at_most: 5, until: {{{name}: 2 %}}}}"
    experiment = load(serve, rest=f"slo: {{{name}: 500}}\n{repeats}")
    assert experiment.slo == {"median_ttft_ms": 500.0}
    assert experiment.until.targets == {"median_ttft_ms": 0.02}


@pytest.mark.parametrize("key", ["error_rate", "failed", "p99_error_rate", "request_goodput_rps"])
def test_an_slo_has_no_error_rate_that_could_make_every_load_break_it(load, key):
    """Requests that fail make a repeat INVALID, whatever the SLO."""
    with pytest.raises(ExperimentError, match=f"slo: {key}|slo.{key}|{key}"):
        load("[serve: {max_concurrency: 1, lengths: [8, 8], num_prompts: 4}]", rest=f"slo: {{{key}: 0.01}}")


def test_an_slo_that_nothing_could_check_is_refused(load):
    with pytest.raises(ExperimentError, match="no benchmark is a serve: it would never be checked"):
        load(FIRST, rest="slo: {p99_ttft_ms: 500}")


def test_three_repeats_and_seed_zero_unless_said_otherwise(load):
    experiment = load(FIRST)
    assert (experiment.repeats, experiment.seed) == (3, 0)


def test_launches_that_are_compared_get_repeats_enough_unless_said_otherwise(load):
    assert load(FIRST, launches="{a: {}, b: {}}").repeats == COMPARISON_REPEATS
    assert load(FIRST, launches="{a: {}, b: {}}", rest="repeats: 2").repeats == 2


def test_a_byte_order_mark_and_windows_line_ends_are_harmless(tmp_path):
    path = tmp_path / "exp.yaml"
    path.write_bytes(f"\ufeffquestion: q\r\nmodel: tiny\r\nlaunches: {{a: {{}}}}\r\nbenchmarks: {FIRST}\r\n".encode())
    assert load_experiment(path).question == "q"


def test_a_case_id_is_readable_and_path_safe():
    workload = ServeWorkload(input_len_tokens=128, output_len_tokens=64, max_concurrency=8, num_prompts=80)
    assert Case("eager", workload).case_id == "eager,serve,lengths=128x64,max_concurrency=8,num_prompts=80"


def test_a_long_case_id_is_cut_and_stays_unique():
    fields = {"input_len_tokens": 128, "output_len_tokens": 64, "max_concurrency": 8, "num_prompts": 80}
    many = fields | {
        "burstiness": 0.123456789,
        "request_rate_rps": 0.123456789,
        "temperature": 0.123456789,
        "slo_e2el_ms": 1,
    }
    ids = {Case("a" * 60, ServeWorkload(**many, slo_tpot_ms=limit_ms)).case_id for limit_ms in range(1, 100)}
    assert len(ids) == 99
    assert {len(case_id) for case_id in ids} == {150}
    assert all(re.fullmatch(r"[A-Za-z0-9_.,=x-]+", case_id) for case_id in ids)


def test_planning_imports_none_of_the_heavy_libraries_and_costs_at_most_twice_what_pydantic_does():
    program = (
        "import sys, time; begun_s = time.process_time(); import pydantic; pydantic.BaseModel;"
        "without_s = time.process_time(); import benchbook.plan; with_s = time.process_time();"
        "print((with_s - without_s) / (without_s - begun_s), *{name.partition('.')[0] for name in sys.modules})"
    )
    answers = [
        subprocess.run(
            [sys.executable, "-c", program], cwd=REPOSITORY / "lib", capture_output=True, text=True, check=True
        )
        for _ in range(3)
    ]
    words = [answer.stdout.split() for answer in answers]
    assert not set(words[0]) & {"vllm", "torch", "pandas", "numpy", "transformers", "papermill", "matplotlib"}
    assert min(float(ratio) for ratio, *_ in words) < 2.0


def test_limits_have_defaults_and_each_can_be_set(load):
    assert load(FIRST).limits.ready_s == 600.0
    limits = load(FIRST, rest="limits: {ready_s: 5, stall_s: 2.5}").limits
    assert (limits.ready_s, limits.benchmark_s, limits.stall_s) == (5.0, 3600.0, 2.5)


def test_an_unknown_limit_names_the_nearest(load):
    with pytest.raises(ExperimentError, match="redy_s.*did you mean 'ready_s'"):
        load(FIRST, rest="limits: {redy_s: 5}")
