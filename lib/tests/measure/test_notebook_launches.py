"""A notebook's engine_args and engine_env are heard as an experiment's launch is: translated, checked, refused by name."""

import pytest
from benchbook.measure.launch_by_hand import checked_by_hand
from benchbook.plan.named_launches import named_launch
from benchbook.terms.errors import ExperimentError


def checked(args, env=None, has_offline=False):
    return checked_by_hand(named_launch("default", "", args, env), has_offline=has_offline)


@pytest.mark.parametrize(
    ("args", "env", "heard", "note"),
    [
        (
            {"disable_log_requests": True, "max_num_seqs": 8},
            {},
            {"max_num_seqs": 8},
            "engine_args.disable_log_requests: ",
        ),
        (
            {},
            {"VLLM_ATTENTION_BACKEND": "FLASHINFER"},
            {"attention_backend": "FLASHINFER"},
            "engine_env.VLLM_ATTENTION",
        ),
        ({"task": "generate"}, {}, {}, "engine_args.task: generate → left out"),
        (
            {"tp": 2, "max_model_len": "4k"},
            {},
            {"tensor_parallel_size": 2, "max_model_len": "4k"},
            "engine_args.tp: is ",
        ),
    ],
)
def test_old_and_short_names_are_translated_and_each_is_told(args, env, heard, note):
    launch, notes = checked(args, env)
    assert launch.args == heard and not set(launch.env) & set(env)
    assert any(note in line for line in notes)


@pytest.mark.parametrize(
    ("args", "env", "told"),
    [
        ({"max_model_leng": 3}, {}, "engine_args.max_model_leng: 3: vLLM"),
        (
            {"dtype": "floot16"},
            {},
            "engine_args.dtype: 'floot16': is none of the values that it takes; did you mean float16?",
        ),
        ({"headless": True}, {}, "engine_args.headless: true: starts no API server"),
        ({"compilation_config": {"levl": 3}}, {}, "engine_args.compilation_config.levl: 3"),
        ({}, {"VLLM_CPU_KVCACHE_SPAC": 1}, "engine_env.VLLM_CPU_KVCACHE_SPAC: '1'"),
    ],
)
def test_what_this_vllm_does_not_know_is_refused_by_the_parameters_name(args, env, told):
    with pytest.raises(ExperimentError, match="^" + told.split(":")[0]) as refused:
        checked(args, env)
    assert told in str(refused.value)


def test_all_faults_of_the_parameters_are_told_at_once():
    with pytest.raises(ExperimentError) as refused:
        checked({"max_model_leng": 3, "headless": True}, {"VLLM_CPU_KVCACHE_SPAC": 1})
    assert len(str(refused.value).splitlines()) == 3


def test_a_flag_of_the_server_alone_is_refused_for_an_engine():
    assert checked({"uvicorn_log_level": "info"})[1] == []
    with pytest.raises(ExperimentError, match=r"engine_args\.uvicorn_log_level: .info.: is a flag of the server alone"):
        checked({"uvicorn_log_level": "info"}, has_offline=True)


def test_the_named_launches_themselves_need_no_translation():
    for name in ("default", "tiny-cpu"):
        launch = named_launch(name)
        assert checked_by_hand(launch, has_offline=True) == (launch, [])


@pytest.mark.parametrize(
    ("args", "place"),
    [({"hf_tok": "hunter2x"}, "hf_tok"), ({"hf_toke": ["hunter2x"]}, "hf_toke"), ({"api_ke": "hunter2x"}, "api_ke")],
)
def test_a_secret_under_a_cut_name_is_refused_unseen(args, place):
    with pytest.raises(ExperimentError, match=f"^engine_args.{place}") as refused:
        checked(args)
    assert "looks like a secret" in str(refused.value) and "hunter2x" not in str(refused.value)


def test_that_a_token_is_to_be_taken_from_where_it_is_kept_is_no_secret():
    assert checked({"hf_tok": True})[0].args == {"hf_token": True}
