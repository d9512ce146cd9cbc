"""Launch lines that people really have, kind by kind: what `benchbook plan` is to make of each.

`seen` are those that were met in the field, `own` others of the same kind. TMP stands for a folder that holds what
test_practice.py puts there.
"""

from __future__ import annotations

from dataclasses import dataclass

LATENCY = "latency: {batch_size: 1, lengths: [[64, 16]]}"
THROUGHPUT = "throughput: {num_prompts: 4, lengths: [[64, 16]]}"
COMMIT, OTHER = "0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Line:
    """A launch, and texts that its plan holds, or its refusal, and that neither holds."""

    kind: int
    name: str
    says: tuple[str, ...]
    is_own: bool
    args: str = "{}"
    env: str = "{}"
    model: str = "{path: tiny}"
    benchmark: str = "serve: {max_concurrency: 1, lengths: [[64, 16]], num_prompts: 4}"
    question: str = "question: q"
    never: tuple[str, ...] = ()
    is_refused: bool = False


def seen(kind: int, name: str, *says: str, **more: str | tuple[str, ...]) -> Line:
    """Return a line that was met in the field, and that is planned."""
    return Line(kind, name, says, is_own=False, **more)


def refused(kind: int, name: str, *says: str, **more: str | tuple[str, ...]) -> Line:
    """Return a line that was met in the field, and that is refused before anything starts."""
    return Line(kind, name, says, is_own=False, is_refused=True, **more)


def own(kind: int, name: str, *says: str, **more: str | tuple[str, ...]) -> Line:
    """Return a line of our own that is planned."""
    return Line(kind, name, says, is_own=True, **more)


def own_refused(kind: int, name: str, *says: str, **more: str | tuple[str, ...]) -> Line:
    """Return a line of our own that is refused before anything starts."""
    return Line(kind, name, says, is_own=True, is_refused=True, **more)


NGRAM = """--speculative-config '{"method": "ngram", "num_speculative_tokens": 5}'"""
AS_WORDS = (
    # 1: dotted arguments become the JSON of their option.
    seen(1, "speculative_config.method", """--speculative-config '{"method": "mtp", "num_speculative_tokens": 5}'""",
         args="{speculative_config.method: mtp, speculative_config.num_speculative_tokens: 5}"),
    seen(1, "fuse_rope_kvcache",
         """--compilation-config '{"pass_config": {"fuse_rope_kvcache": true}}' --block-size 64""",
         args="{compilation_config.pass_config.fuse_rope_kvcache: true, block_size: 64}"),
    seen(1, "use_fp4_indexer_cache", """--attention-config '{"indexer_kv_dtype": "mxfp4"}'""", "gone since 0.30",
         args="{attention_config.use_fp4_indexer_cache: true}"),
    own(1, "kv_role", """--kv-transfer-config '{"kv_role": "kv_both", "kv_connector": "ExampleConnector"}'""",
        args="{kv_transfer_config.kv_role: kv_both, kv_transfer_config.kv_connector: ExampleConnector}"),
    own(1, "cpu_bytes_to_use", """"kv_connector_extra_config": {"cpu_bytes_to_use": 1073741824}}'""",
        args="{kv_transfer_config: {kv_connector: OffloadingConnector, kv_role: kv_both}, "
             "kv_transfer_config.kv_connector_extra_config.cpu_bytes_to_use: 1073741824}"),
    own(1, "a list, offline", "bench latency", """--compilation-config '{"cudagraph_capture_sizes": [1, 2, 4]}'""",
        args="{compilation_config.cudagraph_capture_sizes: [1, 2, 4]}", benchmark=LATENCY),
    own(1, "beside its mapping", "bench throughput",
        """--attention-config '{"use_trtllm_attention": false, "backend": "FLASHINFER"}'""", benchmark=THROUGHPUT,
        args="{attention_config.use_trtllm_attention: false, attention_config: {backend: FLASHINFER}}"),
    # 2: off switches without a --no- form are left out.
    seen(2, "disable_log_stats", "vllm serve", args="{disable_log_stats: false}", never=("log-stats",)),
    seen(2, "headless", "vllm serve", args="{headless: false}", never=("--no-headless", "--headless")),
    seen(2, "no_enable_prefix_caching", " --enable-prefix-caching", args="{no_enable_prefix_caching: false}",
         never=("--no-",)),
    own(2, "grpc", "vllm serve", args="{grpc: false}", never=("grpc",)),
    own(2, "aggregate_engine_logging", "vllm serve", args="{aggregate_engine_logging: 'off'}",
        never=("engine-logging",)),
    own(2, "no_async_scheduling", " --async-scheduling", args="{no_async_scheduling: false}", never=("--no-",)),
    own(2, "no_disable_log_stats", "vllm serve", args="{no_disable_log_stats: true}", never=("log-stats",)),
    own(2, "no_enforce_eager: 0", " --enforce-eager", args="{no_enforce_eager: 0}", never=("--no-",)),
    # 3: lists and mappings in the form of their flag.
    seen(3, "allowed_origins", """--allowed-origins '["*"]'""", args='{allowed_origins: ["*"]}'),
    seen(3, "allowed_methods", """--allowed-methods '["GET", "POST"]'""", args="{allowed_methods: [GET, POST]}"),
    seen(3, "lora_modules", """--lora-modules sql=TMP/sql '{"name": "chat", "path": "TMP/chat"}'""",
         args="{enable_lora: true, lora_modules: [sql=TMP/sql, {name: chat, path: TMP/chat}]}"),
    own(3, "middleware", "--middleware a.b --middleware c.d", args="{middleware: [a.b, c.d]}"),
    own(3, "limit_mm_per_prompt", """--limit-mm-per-prompt '{"image": {"count": 2, "width": 512}}'""",
        args="{limit_mm_per_prompt: {image: {count: 2, width: 512}}}"),
    own(3, "capture_sizes", "--cudagraph-capture-sizes 1 2", args="{cudagraph_capture_sizes: [1, 2]}"),
    own_refused(3, "a mapping among numbers", "takes no mapping: a whole number",
                args="{cudagraph_capture_sizes: [1, {a: 1}]}"),
    # 4: a switch is given a number or text.
    seen(4, "enforce_eager: 1", "--enforce-eager", args="{enforce_eager: 1}", never=("--enforce-eager 1",)),
    seen(4, "async_scheduling: true", "--async-scheduling", args='{async_scheduling: "true"}',
         never=("--async-scheduling true",)),
    own(4, "enable_prefix_caching: no", "--no-enable-prefix-caching", args='{enable_prefix_caching: "no"}'),
    own(4, "enable_chunked_prefill: 0", "--no-enable-chunked-prefill", args="{enable_chunked_prefill: 0}"),
    own_refused(4, "enforce_eager: maybe", "is a switch: write true or false", args="{enforce_eager: maybe}"),
    own_refused(4, "enable_lora: [true]", "is a switch: write true or false", args="{enable_lora: [true]}"),
    own_refused(4, "a variable", "VLLM_USE_FLASHINFER_SAMPLER: 'maybe': is a switch: write 1 for on, 0 for off",
                env="{VLLM_USE_FLASHINFER_SAMPLER: 'maybe'}"),
    # 5: the client knows the tokenizer; integration/test_practice_starts.py really loads one with code of its own.
    seen(5, "trust_remote_code", "--tokenizer TINY --trust-remote-code", args="{trust_remote_code: true}"),
    seen(5, "tokenizer_mode", "--tokenizer TINY --tokenizer-mode mistral",
         args="{tokenizer_mode: mistral, config_format: mistral, load_format: mistral}"),
    own(5, "another tokenizer", "NONCE --tokenizer TMP/sql --dataset-name", args="{tokenizer: TMP/sql}"),
    own(5, "an old mode", "--tokenizer TINY --tokenizer-mode hf", args="{tokenizer_mode: slow}"),
    own(5, "trust_remote: 1", "--tokenizer TINY --trust-remote-code", args="{trust_remote: 1}"),
    own(5, "trust_remote_code: 'false'", "--tokenizer TINY --dataset-name", args="{trust_remote_code: 'false'}",
        never=(" --trust-remote-code",)),
    own(5, "both", "--tokenizer TINY --tokenizer-mode hf --trust-remote-code --dataset-name",
        args="{tokenizer_mode: hf, trust_remote_code: 'on'}"),
    own(5, "another, with its mode", "--tokenizer TMP/chat --tokenizer-mode mistral --dataset-name",
        args="{tokenizer: TMP/chat, tokenizer_mode: mistral}"),
    own(5, "no_trust_remote_code", "--tokenizer TINY --dataset-name", args="{no_trust_remote_code: true}",
        never=(" --trust-remote-code",)),
    own(5, "a mode of one family", "--tokenizer TINY --tokenizer-mode deepseek_v32",
        args="{tokenizer_mode: deepseek_v32}"),
    # 6: the model's revision, of which the cache in TMP/hf has two.
    seen(6, "revision", "vllm serve some/model", f"NONCE --revision {OTHER}",
         f"snapshots/{OTHER} --dataset-name", model=f"{{hub: some/model, revision: {OTHER}}}", env="{HF_HOME: TMP/hf}"),
    refused(6, "in args", "set it in model: {hub: ..., revision: ...}", args=f"{{revision: {COMMIT}}}",
            model="{hub: a/b}"),
    seen(6, "not the one of main", f"--revision {COMMIT}", f"snapshots/{COMMIT} --dataset-name", never=(OTHER,),
         model=f"{{hub: some/model, revision: {COMMIT}}}", env="{HF_HOME: TMP/hf}"),
    own(6, "offline", "bench latency --model some/model", "--revision main", benchmark=LATENCY,
        model="{hub: some/model, revision: main}", env="{HF_HOME: TMP/hf}"),
    own(6, "all at once", "bench throughput --model some/model", f"--revision {OTHER}", benchmark=THROUGHPUT,
        model=f"{{hub: some/model, revision: {OTHER}}}", env="{HF_HOME: TMP/hf}"),
    own(6, "not here yet", "--revision v9", "--tokenizer some/model becomes the folder of its revision v9 once",
        model="{hub: some/model, revision: v9}", env="{HF_HOME: TMP/hf}"),
    own(6, "of the tokenizer", f"--tokenizer-revision {OTHER}", f"snapshots/{OTHER} --dataset-name",
        args=f"{{tokenizer: some/model, tokenizer_revision: {OTHER}}}", env="{HF_HOME: TMP/hf}"),
    # 9: what says where the hub's files lie holds for the client, and for the look whether they are there.
    seen(9, "HF_HOME", "$ HF_HOME=TMP/hf vllm serve some/model", "$ HF_HOME=TMP/hf vllm bench serve",
         model="{hub: some/model}", env="{HF_HOME: TMP/hf}", never=("not in the cache",)),
    seen(9, "HF_TOKEN_PATH", "$ HF_TOKEN_PATH=/run/secrets/hub HF_HOME=/scratch/hf vllm serve",
         "$ HF_TOKEN_PATH=/run/secrets/hub HF_HOME=/scratch/hf vllm bench serve",
         env="{HF_TOKEN_PATH: /run/secrets/hub, HF_HOME: /scratch/hf}"),
    own(9, "HF_HUB_CACHE", "$ HF_HUB_CACHE=TMP/hf/hub vllm bench serve", model="{hub: some/model}",
        env="{HF_HUB_CACHE: TMP/hf/hub}", never=("not in the cache",)),
    own(9, "HUGGINGFACE_HUB_CACHE", "$ HUGGINGFACE_HUB_CACHE=TMP/hf/hub vllm bench serve", model="{hub: some/model}",
        env="{HUGGINGFACE_HUB_CACHE: TMP/hf/hub}", never=("not in the cache",)),
    own(9, "XDG_CACHE_HOME", "$ XDG_CACHE_HOME=TMP/xdg vllm bench serve", model="{hub: some/model}",
        env="{XDG_CACHE_HOME: TMP/xdg}", never=("not in the cache",)),
    own(9, "HF_ENDPOINT", "$ HF_ENDPOINT=https://mirror.example vllm bench serve",
        env="{HF_ENDPOINT: 'https://mirror.example'}"),
    own(9, "what is no matter of the hub's", "$ OMP_NUM_THREADS=2 vllm serve", "    $ vllm bench serve",
        env="{OMP_NUM_THREADS: 2}"),
    # 12: short options.
    seen(12, "tp", "--tensor-parallel-size 8", "args.tp: is tensor_parallel_size", args="{tp: 8}"),
    seen(12, "ep", "--enable-expert-parallel", "args.ep: is enable_expert_parallel", args="{ep: true}"),
    seen(12, "cc.", """--compilation-config '{"pass_config": {"fuse_rope_kvcache": true}}'""",
         args="{cc.pass_config.fuse_rope_kvcache: true}"),
    seen(12, "cc", """--compilation-config '{"mode": 3}'""", "args.cc: is compilation_config", args="{cc: {mode: 3}}"),
    own(12, "dcp", "--decode-context-parallel-size 2", args="{dcp: 2, tp: 8}"),
    own(12, "sc.", """--speculative-config '{"method": "ngram", "num_speculative_tokens": 3}'""",
        args="{sc.method: ngram, sc.num_speculative_tokens: 3}"),
    own(12, "O", "--optimization-level 2", args="{O: 2}"),
    own(12, "O2 as a word", "--optimization-level 2", args="{O: O2}"),
    own(12, "ac", """--attention-config '{"backend": "FLASH_ATTN"}'""", args="{ac: {backend: FLASH_ATTN}}"),
    # 14: JSON in quotes.
    seen(14, "full_cuda_graph", """--compilation-config '{"cudagraph_mode": "FULL"}'""",
         args="""{compilation_config: '{"full_cuda_graph": true}'}"""),
    seen(14, "enable_fusion", """'{"pass_config": {"fuse_norm_quant": true, "fuse_act_quant": true}}'""",
         "gone since 0.13",
         args="""{compilation_config: '{"pass_config": {"enable_fusion": true}}'}"""),
    refused(14, "draft_tensor_size", "speculative_config.draft_tensor_size: vLLM 0.32", "has no such option",
            args="""{speculative_config: '{"method": "eagle3", "draft_tensor_size": 1}'}"""),
    own_refused(14, "backnd", "did you mean backend?", args="""{attention_config: '{"backnd": "FLASHINFER"}'}"""),
    own(14, "as without quotes", """--hf-overrides '{"initializer_range": 0.02}'""",
        args="{hf_overrides: {initializer_range: 2e-2}}"),
    own_refused(14, "no JSON", "must be a mapping, or JSON", args="""{kv_transfer_config: '{kv_role: kv_both}'}"""),
    own_refused(14, "xgramar", "did you mean xgrammar?",
                args="""{structured_outputs_config: '{"backend": "xgramar"}'}"""),
    own(14, "level", """--compilation-config '{"cudagraph_mode": "FULL", "mode": 3}'""",
        args="""{cc: '{"level": 3, "cudagraph_mode": "FULL"}'}"""),
    # 15: sizes as vLLM reads them.
    seen(15, "128k", "--max-model-len 128k", args="{max_model_len: 128k}"),
    seen(15, "64K", "--max-num-batched-tokens 64K --max-model-len 128000",
         args="{max_num_batched_tokens: 64K, max_model_len: 128000}"),
    seen(15, "8K", "--max-model-len 8K", args="{max_model_len: 8K}",
         benchmark="serve: {max_concurrency: 1, lengths: [[8000, 150]], num_prompts: 4}"),
    own_refused(15, "8k", "8150 tokens (input + output) exceeds max_model_len 8000", args="{max_model_len: 8k}",
                benchmark="serve: {max_concurrency: 1, lengths: [[8000, 150]], num_prompts: 4}"),
    own_refused(15, "8K and one more", "8193 tokens (input + output) exceeds max_model_len 8192",
                args="{max_model_len: 8K}",
                benchmark="serve: {max_concurrency: 1, lengths: [[8000, 193]], num_prompts: 4}"),
    own(15, "1.5g", "--kv-cache-memory-bytes 1.5g", args="{kv_cache_memory_bytes: 1.5g}"),
    own_refused(15, "1.5G", "must be a whole number or a size such as 64k", args="{kv_cache_memory_bytes: 1.5G}"),
    own_refused(15, "a variable's", "VLLM_CPU_KVCACHE_SPACE: '1G': must be a whole number",
                env="{VLLM_CPU_KVCACHE_SPACE: 1G}"),
    own_refused(15, "where vLLM takes none", "max_num_seqs: '1k': must be a whole number", args="{max_num_seqs: 1k}"),
)  # fmt: skip

AS_NAMES = (
    # 10: names that are gone.
    refused(10, "VLLM_USE_FLASHINFER_MOE_FP4", "moe_backend: flashinfer_trtllm (low latency) or flashinfer_cutlass",
            env="{VLLM_USE_FLASHINFER_MOE_FP4: 1}", never=("did you mean",)),
    seen(10, "VLLM_FLASHINFER_MOE_BACKEND", "--moe-backend flashinfer_trtllm", "it is moe_backend now",
         env="{VLLM_FLASHINFER_MOE_BACKEND: latency}"),
    seen(10, "VLLM_RPC_TIMEOUT", "left out; gone since 0.23", "  $ vllm serve", env="{VLLM_RPC_TIMEOUT: 1800000}"),
    seen(10, "guided_decoding_backend", """--structured-outputs-config '{"backend": "xgrammar"}'""",
         args="{guided_decoding_backend: xgrammar}"),
    seen(10, "speculative_model", NGRAM, args='{speculative_model: "[ngram]", num_speculative_tokens: 5}'),
    seen(10, "use_v2_block_manager", "left out; gone since 0.10", args="{use_v2_block_manager: true}"),
    seen(10, "enable_reasoning", "reasoning_parser alone turns it on", args="{enable_reasoning: true}"),
    own(10, "VLLM_NVFP4_GEMM_BACKEND", "--linear-backend cutlass", env="{VLLM_NVFP4_GEMM_BACKEND: cutlass}"),
    own_refused(10, "num_scheduler_steps", "V1 has async_scheduling instead", args="{num_scheduler_steps: 8}"),
    own_refused(10, "rope_scaling", "hf_overrides: {rope_parameters: ", args="{rope_scaling: {factor: 4}}"),
    own(10, "swap_space", "left out; gone since 0.18", args="{swap_space: 4}"),
    # 11: old values.
    seen(11, "TRITON_ATTN_VLLM_V1", "--attention-backend TRITON_ATTN\n",
         env="{VLLM_ATTENTION_BACKEND: TRITON_ATTN_VLLM_V1}"),
    refused(11, "XFORMERS", "XFORMERS is gone since 0.12: FLASH_ATTN, FLASHINFER or TRITON_ATTN instead",
            env="{VLLM_ATTENTION_BACKEND: XFORMERS}"),
    refused(11, "ROCM_FLASH", "ROCM_ATTN, ROCM_AITER_FA or TRITON_ATTN instead",
            args="{attention_backend: ROCM_FLASH}"),
    own(11, "flash_attn_vllm_v1", "--attention-backend FLASH_ATTN\n", args="{attention_backend: flash_attn_vllm_v1}"),
    own_refused(11, "gguf", "the plugin vllm-gguf-plugin alone", args="{quantization: gguf}"),
    own(11, "auto-round", "--quantization inc", args="{quantization: auto-round}"),
    own_refused(11, "fp8e5m2", "did you mean fp8_e5m2?", args="{kv_cache_dtype: fp8e5m2}"),
    # 13: paths.
    refused(13, "$REPO", "speculative_config.model: '$REPO/models/draft': $REPO is not expanded here",
            args="{speculative_config: {method: dspark, model: $REPO/models/draft, num_speculative_tokens: 5}}"),
    refused(13, "chat_template", "exp.yaml:4: ", "there is no file examples/tool_chat_template.jinja",
            args="{chat_template: examples/tool_chat_template.jinja}"),
    own_refused(13, "$HOME", "$HOME is not expanded here", args="{download_dir: $HOME/models}"),
    own_refused(13, "~", "~ is not expanded here, write the path out", args="{tokenizer: ~/no-such-tokenizer}"),
    own_refused(13, "${SCRATCH:-/tmp}", "${SCRATCH:-/tmp} is not expanded",
                env="{VLLM_CACHE_ROOT: '${SCRATCH:-/tmp}/vllm'}"),
    own_refused(13, "./no/tok", "there is no file or folder ./no/tok", args="{tokenizer: ./no/tok}"),
    # 16: what only sounds like a secret, and what is one.
    seen(16, "allow_credentials", "--allow-credentials", args="{allow_credentials: true}"),
    seen(16, "max_num_batched_token", "--max-num-batched-tokens 8192", args="{max_num_batched_token: 8192}"),
    seen(16, "image_token", """--hf-overrides '{"image_token": "<image>"}'""",
         args='{hf_overrides: {image_token: "<image>"}}'),
    own(16, "eos_token", """--hf-overrides '{"bos_token_id": 1, "eos_token": "</s>"}'""",
        args='{hf_overrides: {bos_token_id: 1, eos_token: "</s>"}}'),
    own(16, "max_num_scheduled_token", "--max-num-scheduled-tokens 4096", args="{max_num_scheduled_token: 4096}"),
    own(16, "default_chat_template_kwargs", "--default-chat-template-kwargs",
        args="{default_chat_template_kwargs: {bos_token: x}}"),
    own_refused(16, "DB_PASSWORD", "looks like a secret", env="{DB_PASSWORD: hunter2hunter2}", never=("hunter2",)),
    # 20: all that is wrong in one go.
    refused(20, "ours", "args.served_model_name: 'x': is not yours", "args.host: '::': is not yours",
            "args.port: 8000: is not yours",
            args='{served_model_name: x, host: "::", port: 8000, max_model_len: 4096}', never=("max_model_len",)),
    refused(20, "five of V0", "worker_use_ray: true: ", "write distributed_executor_backend: ray", never=("\n",),
            args="{use_v2_block_manager: true, max_seq_len_to_capture: 8192, device: cuda, "
            """speculative_model: "[ngram]", worker_use_ray: true}"""),
    own_refused(20, "of each kind", "enforce_eagr", "dtype: 'gold'", "uds", "VLLM_LOGING_LEVEL", "lengths[0]",
                args="{enforce_eagr: true, dtype: gold, uds: /s, max_model_len: 40}", env="{VLLM_LOGING_LEVEL: INFO}"),
    own_refused(20, "names and files", "no_such", "no.jinja", "num_scheduler_steps",
                args="{no_such: 1, chat_template: no.jinja, num_scheduler_steps: 4}"),
    own_refused(20, "values", "max_num_seqs", "gpu_memory_utilization", "kv_cache_dtype",
                args="{max_num_seqs: many, gpu_memory_utilization: most, kv_cache_dtype: int3}"),
    # 21: servers that can never be asked.
    refused(21, "ssl", "exp.yaml:4: launches.d.args.ssl_certfile",
            "ssl_keyfile: 'k.pem': makes a server that speaks https",
            args="{ssl_certfile: c.pem, ssl_keyfile: k.pem}"),
    refused(21, "headless", "headless: true: starts no API server", "node_rank: 1: makes the lesser half",
            args="{headless: true, nnodes: 2, node_rank: 1, master_addr: 10.0.0.1}"),
    refused(21, "api_server_count", "exp.yaml:4: launches.d.args.api_server_count: 8: is not yours",
            args="{api_server_count: 8}"),
    seen(21, "kv_producer", "note: TMP/exp.yaml:4: launches.d.args.kv_transfer_config.kv_role: kv_producer is one half",
         args="{kv_transfer_config: {kv_connector: NixlConnector, kv_role: kv_producer}}"),
    own_refused(21, "grpc", "speaks gRPC", args="{grpc: true}"),
    own_refused(21, "half of the ranks", "data_parallel_address: is needed: where the first of its machines is",
                args="{dp: 16, data_parallel_size_local: 8}"),
    own_refused(21, "pooling", "answers no completions", args="{runner: pooling}"),
    own(21, "ec_consumer", "ec_consumer is one half of a pair",
        args="{ec_transfer_config: {ec_connector: ECExampleConnector, ec_role: ec_consumer}}"),
    # 30: a file in a hub id.
    refused(30, "hub", "vllm-gguf-plugin", model='{hub: "unsloth/Qwen3-0.6B-GGUF:Q4_K_M"}', never=("neither",)),
    refused(30, "text", "vllm-gguf-plugin", model='"bartowski/Some-GGUF:Q5_K_S"', never=("neither",)),
    own_refused(30, "a whole name", "vllm-gguf-plugin", model="{hub: org/name/file.gguf}"),
    own_refused(30, "behind a colon", "model: {hub: org/name, revision: main}", model='{hub: "org/name:main"}'),
    own_refused(30, "a revision", "model: {hub: org/name, revision: main}", model='{hub: "org/name@main"}'),
    own_refused(30, "an address", "write the model's id, 'org/name'", model="'https://huggingface.co/org/name'"),
    # 31: variables of plugins and patched images.
    seen(31, "VLLM_SPYRE", "VLLM_SPYRE_DYNAMO_BACKEND=sendnn VLLM_SPYRE_USE_CB=1 vllm serve",
         "for a plugin or a patched image",
         env="{VLLM_SPYRE_DYNAMO_BACKEND: sendnn, VLLM_SPYRE_USE_CB: 1}"),
    seen(31, "VLLM_DSV4", "VLLM_DSV4_FAST_PATH=1 vllm serve", "for a plugin", env="{VLLM_DSV4_FAST_PATH: 1}"),
    own(31, "VLLM_ASCEND", "VLLM_ASCEND_ENABLE_NZ=1 vllm serve", "for a plugin", env="{VLLM_ASCEND_ENABLE_NZ: 1}"),
    own(31, "VLLM_METAL", "VLLM_METAL_MEMORY_FRACTION=0.5 vllm serve", "for a plugin",
        env="{VLLM_METAL_MEMORY_FRACTION: 0.5}"),
    own_refused(31, "a misspelling", "did you mean VLLM_LOGGING_LEVEL?", env="{VLLM_LOGING_LEVEL: DEBUG}"),
    # 32: the reader of YAML says what to write.
    refused(32, "a colon", "exp.yaml:1: ",
            "such as question: 'The nightly suite: how do latency and throughput stand?'",
            question="question: The nightly suite: how do latency and throughput stand?"),
    seen(32, "inf", "--request-rate 16.0", "--request-rate inf",
         benchmark="serve: {request_rate_rps: [1, 4, 16, inf], lengths: [[64, 16]], num_prompts: 4}"),
    own_refused(32, "@", "such as question: '@home'", question="question: @home"),
    own_refused(32, "open quotes", "the quotes are never closed", question="question: 'open"),
    own(32, "unlimited", "--request-rate inf",
        benchmark="serve: {request_rate_rps: unlimited, lengths: [[64, 16]], num_prompts: 4}"),
)  # fmt: skip
AS_LOADS = (
    # 35: a queue in the server is told beforehand; what became of it, by a verdict (practice.py).
    seen(35, "max_num_seqs: 1", "max_num_seqs lets 1 of 32 requests in flight run at once", args="{max_num_seqs: 1}",
         benchmark="serve: {max_concurrency: 32, lengths: [[64, 32]], num_prompts: 160}"),
    own(35, "two copies", "max_num_seqs lets 8 of 16 requests in flight",
        args="{max_num_seqs: 4, data_parallel_size: 2}",
        benchmark="serve: {max_concurrency: [1, 16], lengths: [[64, 32]], num_prompts: 160}"),
    own(35, "a batch", "max_num_seqs lets 2 of 8 requests in flight", args="{max_num_seq: 2}",
        benchmark="latency: {batch_size: [1, 8], lengths: [[64, 32]]}"),
    own(35, "enough", "vllm serve", args="{max_num_seqs: 32}", never=("max_num_seqs lets",),
        benchmark="serve: {max_concurrency: 32, lengths: [[64, 32]], num_prompts: 160}"),
    # 40: weights that vLLM makes up are random, whatever the model.
    seen(40, "a hub model", "Launch 'd': some/Model-8B (random weights)", model="{hub: some/Model-8B}",
         args="{load_format: dummy}"),
    seen(40, "a folder", "Launch 'd': TMP/trained (random weights)", model="{path: TMP/trained}",
         args="{load_format: dummy}", benchmark=LATENCY),
    own(40, "a cut name", "TMP/trained (random weights)", model="{path: TMP/trained}", args="{load_form: dummy}"),
    own(40, "a shape", "gpt-oss-20b (random weights)", model="{shape: gpt-oss-20b}", args="{load_format: dummy}"),
    own(40, "weights that are read", "Launch 'd': TMP/trained, memory", model="{path: TMP/trained}",
        args="{load_format: safetensors}", never=("random weights",)),
)  # fmt: skip
LINES = (*AS_WORDS, *AS_NAMES, *AS_LOADS)
