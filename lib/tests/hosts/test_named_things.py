"""What args name and vLLM looks up at its start: registered names, classes by import paths, folders with a config, levels."""

from __future__ import annotations

from pathlib import Path

import one_launch
import pytest
from benchbook.hosts.vllm import flags, import_paths
from benchbook.hosts.vllm.flags import known
from benchbook.hosts.vllm.import_paths import absent_classes, absent_packages
from benchbook.measure import names
from benchbook.sweep.machine import machine_note
from benchbook.sweep.preflight import preflight_of
from benchbook.terms.errors import ExperimentError

pytestmark = pytest.mark.skipif(not (known() and known().flags), reason="no vLLM is installed")


def written(folder: Path, args: str = "{}", env: str = "{}") -> Path:
    """Write a file in which TMP is `folder`."""
    return one_launch.written(folder, args.replace("TMP", str(folder)), env.replace("TMP", str(folder)))


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("{quantization: gptqmarlin}", "quantization: 'gptqmarlin': VLLM has no such quantization; did you mean gptq_marlin?"),
        ("{load_format: safetensor}", "load_format: 'safetensor': VLLM has no such load format; did you mean safetensors?"),
        ("{tokenizer_mode: mistrall}", "did you mean mistral?"),
        ("{config_format: 7}", "config_format: 7: VLLM has no such config format; there are auto, hf, mistral"),
        ("{reasoning_parser: '0.5'}", "reasoning_parser: '0.5': VLLM has no such parser"),
        ("{reasoning_config: {reasoning_parser: qwen33}}", "VLLM has no such parser"),
        ("{reasoning_parser: -1}", "reasoning_parser: -1: VLLM has no such parser"),
        ("{config_format: json}", "VLLM has no such config format; there are auto, hf, mistral"),
        ("{distributed_executor_backend: gloo}", "VLLM has no such executor; there are external_launcher, mp, ray, uni"),
        ("{sc.method: eagle3, sc.model: /m, sc.num_speculative_tokens: 1, sc.quantization: fp9}", "sc.quantization: 'fp9'"),
        ("{kv_transfer_config: {kv_connector: NixlConector, kv_role: kv_both}}", "did you mean NixlConnector?"),
        ("{ec_transfer_config: {ec_connector: Mine, ec_role: ec_both}}", "VLLM has no such connector; there are EC"),
    ],
)  # fmt: skip
def test_a_name_that_is_registered_nowhere_is_refused_with_the_nearest_or_all(tmp_path, args, told) -> None:
    with pytest.raises(ExperimentError) as refusal:
        preflight_of(written(tmp_path, args))
    assert told.replace("VLLM", f"vLLM {known().version}") in str(refusal.value)


@pytest.mark.parametrize(
    "args",
    [
        "{quantization: FP8}",
        "{quantization: compressed-tensors, load_format: Safetensors}",
        "{distributed_executor_backend: vllm.v1.executor.multiproc_executor.MultiprocExecutor}",
        "{kv_transfer_config: {kv_connector: Mine, kv_role: kv_both, kv_connector_module_path: a.b}}",
        "{load_format: benchbook}",
    ],
)
def test_a_name_that_is_registered_or_comes_with_its_own_module_is_taken(tmp_path, args) -> None:
    preflight_of(written(tmp_path, args))


def test_where_a_plugin_is_installed_any_name_may_be_registered(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(names, "plugins", lambda *_: frozenset({"vllm_other"}))
    preflight_of(written(tmp_path, "{quantization: of_the_plugin, tool_call_parser: of_it_too}"))


@pytest.mark.parametrize("method", sorted(known().deprecated_quantization) if known() else [])
def test_a_deprecated_quantization_needs_the_permit_that_vllm_asks_for(tmp_path, method) -> None:
    with pytest.raises(ExperimentError, match="starts with it beside allow_deprecated_quantization: true alone"):
        preflight_of(written(tmp_path, f"{{quantization: {method}}}"))
    preflight_of(written(tmp_path, f"{{quantization: {method}, allow_deprecated_quantization: true}}"))


def test_which_quantizations_are_deprecated_is_read_from_vllms_source(tmp_path) -> None:
    folder = tmp_path / "model_executor" / "layers" / "quantization"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("DEPRECATED_QUANTIZATION_METHODS = ['tpu_int4', 'old']\n")
    assert flags.read_known(tmp_path, "0.40.0").deprecated_quantization == {"tpu_int4", "old"}


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"scheduler_cls": "vllm.core.scheduler.Scheduler"}, "there is no module vllm.core.scheduler"),
        ({"scheduler_cls": "vllm.v1.core.sched.scheduler.Sheduler"}, "vllm.v1.core.sched.scheduler has no Sheduler"),
        ({"worker_cls": "Worker"}, "Worker is no import path of a class: write a.module.Class"),
        ({"worker_extension_cls": "no_such_package.ext.Ext"}, "there is no module no_such_package.ext"),
        ({"middleware": ["starlette.middleware.gzip.GZipMiddleware", "json.No"]}, "the module json has no No"),
        ({"logits_processors": ["a.b.C"]}, "write a.module:Class"),
        ({"middleware": [""]}, "'' is no import path of a class"),
        ({"distributed_executor_backend": "vllm.executor.ray.Ray"}, "there is no module vllm.executor.ray"),
    ],
)
def test_a_class_that_is_not_there_is_told_without_an_import(args, told) -> None:
    ((name, why, _),) = absent_classes(args, {})
    assert name in args and told in why


@pytest.mark.parametrize(
    "args",
    [
        {"scheduler_cls": "vllm.v1.core.sched.async_scheduler.AsyncScheduler", "worker_cls": "auto"},
        {"worker_extension_cls": "", "distributed_executor_backend": "mp"},
        {"middleware": "starlette.middleware.gzip.GZipMiddleware"},
        {"logits_processors": ["mine.processors:Proc"]},
        {"middleware": ["math.Anything", "sys.Anything"]},  # of C: there is no source to look into
    ],
)
def test_a_class_that_is_there_or_on_the_path_of_the_process_is_taken(tmp_path, args) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "processors.py").write_text("class Proc: ...\n")
    assert list(absent_classes(args, {"PYTHONPATH": f"/nowhere:{tmp_path}"})) == []


def test_what_another_machine_may_have_installed_refuses_a_run_and_no_plan(tmp_path) -> None:
    asked = "{middleware: [company_auth.Guard]}"
    told = "launches.d.args.middleware: ['company_auth.Guard']: there is no module company_auth"
    assert f"`run` would be refused on this machine: {tmp_path}/exp.yaml:5: {told}" in machine_note(
        preflight_of(written(tmp_path, asked))
    )
    with pytest.raises(ExperimentError, match="there is no module vllm.core"):
        preflight_of(written(tmp_path, "{scheduler_cls: vllm.core.scheduler.Scheduler}"))


@pytest.mark.parametrize(
    "args",
    [
        "{sc: {model: tiny, num_speculative_tokens: 2}}",
        "{tokenizer: tiny-moe}",
        "{spec_model: 'shape:llama-3.1-8b', spec_tokens: 2}",
        "{hf_config_path: 'shape:nope'}",
    ],
)
def test_a_model_of_benchbooks_own_is_named_by_its_folder_where_vllm_itself_looks_for_it(tmp_path, args) -> None:
    with pytest.raises(ExperimentError, match="is benchbook's own model in model: alone; vLLM wants its folder here, "):
        preflight_of(written(tmp_path, args))


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("{hf_config_path: TMP}", "the folder TMP has no config.json or params.json"),
        ("{generation_config: TMP}", "the folder TMP has no generation_config.json"),
        ("{sc: {model: TMP, num_speculative_tokens: 2}}", "the folder TMP has no config.json"),
        ("{hf_config_path: TMP/none}", "there is no file or folder TMP/none"),
    ],
)
def test_a_folder_without_what_is_to_be_read_from_it_is_refused(tmp_path, args, told) -> None:
    with pytest.raises(ExperimentError) as refusal:
        preflight_of(written(tmp_path, args))
    assert told.replace("TMP", str(tmp_path)) in str(refusal.value)
    for name in ("config.json", "generation_config.json"):
        (tmp_path / name).write_text("{}")
    if "none" not in args:
        preflight_of(written(tmp_path, args))


@pytest.mark.parametrize(
    ("args", "package"),
    [
        ({"load_format": "Tensorizer"}, "tensorizer"),
        ({"data_parallel_backend": "ray"}, "ray"),
        ({"speculative_config": {"method": "suffix"}}, "arctic_inference"),
        ({"kv_transfer_config": {"kv_connector": "LMCacheConnectorV1"}}, "lmcache"),
    ],
)
def test_a_package_that_a_value_needs_and_that_is_not_installed_is_told(monkeypatch, args, package) -> None:
    monkeypatch.setattr(import_paths.PathFinder, "find_spec", lambda name, _: None if name == package else name)
    ((_, why),) = absent_packages(args)
    assert why == f"needs the package {package}, which is not installed here"
    monkeypatch.setattr(import_paths.PathFinder, "find_spec", lambda name, _: name)
    assert list(absent_packages(args)) == []


@pytest.mark.parametrize("name", ["vllm_logging_level", "Vllm_Cpu_KvCache_Space", "vllm_USE_MODELSCOPE"])
def test_a_variable_of_vllms_in_small_letters_is_refused_since_nobody_asks_it(tmp_path, name) -> None:
    with pytest.raises(ExperimentError, match=f"launches.d.env.{name}: .*vLLM asks for {name.upper()}"):
        preflight_of(written(tmp_path, env=f"{{{name}: 1}}"))


@pytest.mark.parametrize("address", ["hf-mirror.com", "hub.example:8443/hf", "localhost"])
def test_a_hub_without_its_scheme_is_refused_with_it(tmp_path, address) -> None:
    with pytest.raises(ExperimentError, match=f"HF_ENDPOINT: .*is no address: write https://{address}"):
        preflight_of(written(tmp_path, env=f"{{HF_ENDPOINT: '{address}'}}"))
    preflight_of(written(tmp_path, env=f"{{HF_ENDPOINT: 'http://{address}'}}"))


@pytest.mark.parametrize("name", ["cpu_kvcache_space", "use_modelscope", "log_stats_interval"])
def test_a_variable_that_is_written_as_a_flag_is_told_to_stand_in_env(tmp_path, name) -> None:
    with pytest.raises(ExperimentError, match=f"no such flag; VLLM_{name.upper()} is a variable: it stands in env"):
        preflight_of(written(tmp_path, f"{{{name}: 1}}"))


@pytest.mark.parametrize("name", ["o3", "o0", "opt_level"])
def test_the_optimisation_level_is_found_by_what_people_write(tmp_path, name) -> None:
    with pytest.raises(ExperimentError, match="did you mean optimization_level?"):
        preflight_of(written(tmp_path, f"{{{name}: true}}"))


@pytest.mark.parametrize(
    ("config", "more", "why"),
    [
        (None, "", "the folder TMP/a has no adapter_config.json"),
        ("[]", "", "the folder TMP/a has no adapter_config.json"),
        ('{"r": 64}', "", "has rank 64, and max_lora_rank is 16"),
        ('{"r": 64}', ", max_lora_rank: 32", "has rank 64, and max_lora_rank is 32"),
        ('{"r": 64}', ", max_lora_rank: 64", ""),
        ('{"r": 16}', "", ""),
        ("{}", "", ""),
    ],
)
@pytest.mark.parametrize("written_as", ["[a=TMP/a]", "a=TMP/a", "[{name: a, path: TMP/a}]"])
def test_an_adapter_that_vllm_would_not_load_refuses_a_run_and_plan_says_so(tmp_path, config, more, why, written_as):
    (tmp_path / "a").mkdir()
    if config is not None:
        (tmp_path / "a" / "adapter_config.json").write_text(config)
    told = machine_note(preflight_of(written(tmp_path, f"{{enable_lora: true, lora_modules: {written_as}{more}}}")))
    assert (why.replace("TMP", str(tmp_path)) in told) if why else ("refused" not in told)


@pytest.mark.parametrize("level", ["quiet", "trace", "10", "INFOO"])
def test_a_level_that_pythons_logging_does_not_have_is_refused(tmp_path, monkeypatch, level) -> None:
    with pytest.raises(ExperimentError, match=f"VLLM_LOGGING_LEVEL: '{level}': is none of the values"):
        preflight_of(written(tmp_path, env=f"{{VLLM_LOGGING_LEVEL: '{level}'}}"))
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", level)
    with pytest.raises(ExperimentError, match=f"VLLM_LOGGING_LEVEL={level} of your shell is none"):
        preflight_of(written(tmp_path))


@pytest.mark.parametrize("level", ["warn", "Debug", "FATAL", "NOTSET"])
def test_a_level_in_any_letters_that_pythons_logging_has_is_taken(tmp_path, level) -> None:
    preflight_of(written(tmp_path, env=f"{{VLLM_LOGGING_LEVEL: {level}}}"))


@pytest.mark.parametrize(
    "args", ["{attention_config: {flash_attn_version: '3'}}", """{ac: '{"flash_attn_version": "2"}'}"""]
)
def test_a_number_in_quotes_is_no_number_of_a_config(tmp_path, args) -> None:
    with pytest.raises(ExperimentError, match="flash_attn_version.*: must be a number: write [23] without quotes"):
        preflight_of(written(tmp_path, args))
    preflight_of(
        written(tmp_path, "{attention_config.flash_attn_version: '3'}")
    )  # as vLLM reads what stands behind dots


@pytest.mark.parametrize(("args", "is_taken"), [("5", False), ("O4", False), ("2", True), ("o1", True), ("'3'", True)])
def test_a_number_is_held_against_the_values_that_a_flag_lists_as_its_text_is(tmp_path, args, is_taken) -> None:
    path = written(tmp_path, f"{{optimization_level: {args}}}")
    if is_taken:
        preflight_of(path)
        return
    with pytest.raises(ExperimentError, match="is none of the values that it takes; one of 0, 1, 2, 3"):
        preflight_of(path)
