"""What a misspelt or foreign name means here: a table of what people write first, then what looks alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from benchbook.terms.likeness import alike

_CUTOFF = 0.7  # of likeness; below it, names are proposed that mean something else

# What people write for a key of ours, of other load generators too; the first of our keys that is known there is meant.
_KEYS: Mapping[str, str] = {
    "question": "title description hypothesis goal",
    "launches": "launch server servers config configs configurations engine engines variants",
    "benchmarks": "benchmark bench benches workloads cases scenarios",
    "repeats": "repeat runs num_runs trials repetitions rounds",
    "starts": "start restarts num_starts fresh_starts",
    "at_least": "min minimum min_repeats",
    "at_most": "max maximum max_repeats budget limit",
    "seed": "random_seed",
    "slo": "slos sla goodput objectives",
    "price": "prices cost costs pricing",
    "gpu_hour": "per_hour hour hourly gpu_hours gpu_price usd_per_hour dollars_per_hour",
    "kwh": "energy electricity power kwh_price",
    "limits": "limit timeout timeouts",
    "device": "gpu gpus accelerator platform hardware target_device",
    "args": "arg arguments flags options engine_args server_args vllm_args extra_args params parameters",
    "attach": "attached url base_url address endpoint api_base host",
    "api_key_env": "api_key key token key_env",
    "headers_env": "headers header",
    "ca_file": "ca cafile ca_bundle cacert certificate verify ssl_cert_file",
    "insecure": "skip_verify no_verify tls_skip_verify",
    "behind": "backends upstreams servers_behind",
    "python": "interpreter python_path python_bin executable venv virtualenv conda",
    "env": "envs environment variables vars env_vars environ",
    "max_concurrency": "concurrency concurrencies concurrent clients users num_users num_clients max_concurrent",
    "request_rate_rps": "request_rate request_rates rate rates qps rps arrival_rate",
    "num_prompts": "prompts requests num_requests number_of_prompts n request_count "
    "duration duration_s duration_sec seconds time time_s max_seconds",
    "ends_after_s": "ends_after end_after stop_after max_duration max_duration_s time_limit",
    "requests": "request request_set request_sets datasets data prompts_from traffic",
    "lengths": "length input_len input_lens output_len output_lens isl osl input_length output_length input_tokens "
    "output_tokens input_len_tokens output_len_tokens random_input_len random_output_len prompt_len prompt_tokens",
    "range_ratio": "random_range_ratio length_variation",
    "num_warmup_prompts": "warmup warmups num_warmup num_warmups warmup_prompts warmup_requests",
    "batch_size": "batch batches bs batch_sizes",
    "num_iters": "iters iterations num_iterations iter",
    "num_iters_warmup": "warmup warmups num_warmup num_warmups warmup_iters num_warmup_iters",
    "max_tokens": "output_len output_tokens osl max_output_tokens",
    "hub": "hf id name model repo repo_id hub_id model_id huggingface",
    "path": "local folder dir directory local_path",
    "revision": "rev commit branch tag",
    "slo_ttft_ms": "ttft_slo max_ttft_ms",
    "slo_tpot_ms": "tpot_slo max_tpot_ms",
    "slo_e2el_ms": "e2el_slo max_e2el_ms",
}
# The same for flags of vLLM, by its command line's short names and by habit.
_FLAGS: Mapping[str, str] = {
    "tensor_parallel_size": "tp tp_size tensor_parallel num_gpus gpus",
    "pipeline_parallel_size": "pp pp_size",
    "data_parallel_size": "dp dp_size",
    "max_model_len": "context_length max_len max_seq_len max_length max_context_len context_len",
    "gpu_memory_utilization": "gpu_memory gpu_mem gpu_memory_fraction mem_fraction gpu_util",
    "max_num_seqs": "max_batch_size max_seqs batch_size",
    "max_num_batched_tokens": "max_batched_tokens batched_tokens",
    "quantization": "quant quantisation",
    "enable_prefix_caching": "prefix_caching prefix_cache",
    "enforce_eager": "eager",
    "optimization_level": "o0 o1 o2 o3 opt_level optimisation_level",
}

# What is to be written where the name alone does not say it.
_HOW: Mapping[str, str] = {"lengths": "lengths: [[input, output]], in tokens"}
_WRITTEN_FOR: Mapping[str, str] = {**_KEYS, **_FLAGS}
_DURATIONS = frozenset("duration duration_s duration_sec seconds time time_s max_seconds".split())
_ADDRESSES = frozenset("base_url url attach endpoint address host_url".split())


def meant(word: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that a writer of `word` means; None when nobody can tell."""
    names = list(known)
    if by_habit := habitual(word, names):
        return by_habit
    return next(iter(alike(word, names, cutoff=_CUTOFF)), None)


def habitual(word: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` for which people write `word` by habit or in another case; None when there is none."""
    plain, names = word.strip().lstrip("-").replace("-", "_").lower(), list(known)
    same = (name for name in names if plain == name.lower())  # before any habit: `requests` is a key, and was none
    return next(same, next((name for name in names if plain in _WRITTEN_FOR.get(name, "").split()), None))


def hint(word: str, known: Iterable[str]) -> str:
    """Return e.g. "; did you mean 'max_concurrency'?", or what else to do, or '' when nobody can tell."""
    names = list(known)
    plain = word.lower()
    near = meant(word, names)
    if near == "num_prompts" and plain in _DURATIONS:
        return "; a time of load is said by its prompts: num_prompts: 60 s"
    if near:
        return f"; did you mean {near!r}?" + (f" ({_HOW[near]})" if near in _HOW else "")
    if "args" in names and plain in _ADDRESSES:
        return "; an experiment starts its own servers: the notebooks measure one that runs, by its base_url"
    flag = meant(word, _FLAGS) if "args" in names or "launches" in names else None
    if flag:
        return f"; {flag} is a flag of vLLM: it belongs in launches.NAME.args"
    return ""
