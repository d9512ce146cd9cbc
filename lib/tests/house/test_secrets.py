"""Secrets by what they are: names, shapes and places; where a name is no secret; and that none reaches a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from benchbook.hosts.process.address import server_url
from benchbook.hosts.process.guardian import spawn
from benchbook.hosts.vllm.command import flags, inherited_environment
from benchbook.hosts.vllm.flags import known
from benchbook.hosts.vllm.forms import installed_forms
from benchbook.hosts.vllm.kinds import Option
from benchbook.plan.named_launches import named_launch
from benchbook.records.files import write_json, write_text
from benchbook.sweep.preflight import preflight_of
from benchbook.terms.errors import ExperimentError
from benchbook.terms.redaction import find_secrets, known_secrets, redact_file, redacted, redacted_env
from benchbook.terms.secret_names import holds_secret, is_secret_name, is_secret_variable
from planted import KEY_BLOCK, LONG, NAMED, PLACED, SHAPED

FILE = """question: q
model: {{path: {model}}}
launches:
  d: {{args: {args}, env: {env}}}
benchmarks:
  - serve: {{max_concurrency: 1, lengths: [[64, 16]], num_prompts: 4}}
repeats: 1
"""


def checked(tmp_path: Path, args: str = "{}", env: str = "{}") -> str:
    """Return what the file is refused with, '' when it is not."""
    (tmp_path / "model").mkdir(exist_ok=True)
    (tmp_path / "model" / "config.json").write_text("{}")
    path = tmp_path / "e.yaml"
    path.write_text(FILE.format(model=tmp_path / "model", args=args, env=env))
    try:
        preflight_of(path)
    except ExperimentError as refusal:
        return str(refusal)
    return ""


@pytest.mark.parametrize("name", SHAPED)
def test_a_secret_is_known_by_its_shape_and_nothing_around_it_is_lost(name: str) -> None:
    secret = SHAPED[name]
    for text in (f"use {secret} here", json.dumps({"note": secret}), f"--flag={secret}, more"):
        assert redacted(text) == text.replace(secret, "<redacted>")
        assert len(find_secrets(text)) == 1 and secret not in find_secrets(text)[0]


@pytest.mark.parametrize("name", PLACED)
def test_a_secret_is_known_by_what_stands_around_it(name: str) -> None:
    text, secret = PLACED[name]
    for whole in (text, json.dumps({"note": text}), f"see {text} there"):
        assert secret not in redacted(whole) and LONG not in redacted(whole)
        assert find_secrets(whole)
    assert json.loads(redacted(json.dumps({"note": text, "then": 1})))["then"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000/v1",
        "http://[::1]:8000",
        "git@github.com:vllm-project/vllm.git",
        "ssh://git@host/a",
        "https://user@host/path",
        "https://unpkg.com/@jupyter-widgets/base@4.0/x",
        'curl -H "Authorization: Bearer $(benchbook key tiny)" http://localhost:8000/v1/models',
        'client = OpenAI(base_url=f"{server.base_url}/v1", api_key=server.api_key or "EMPTY")',
        "basic authentication, bearer of news",
        "max_num_batched_tokens=8192&max_tokens=4096",
        "sk-learn, hf_home, AKIA, eyJ",
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "tokenizer: <|im_end|> </s> [PAD]",
    ],
)
def test_honest_text_holds_no_secret(text: str) -> None:
    assert find_secrets(text) == [] and redacted(text) == text


@pytest.mark.parametrize("name", NAMED)
def test_a_variable_is_known_by_its_name(name: str) -> None:
    assert is_secret_name(name) and is_secret_variable(name, NAMED[name])
    assert redacted_env({name: NAMED[name]}) == {name: "<redacted>"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_kye", "hush-hush"),
        ("hf_tokne", "hush-hush"),
        ("my_passwords", "hush-hush"),
        ("hub_credential_s", "hush-hush"),
        ("acess_keys", ["hush-hush"]),
        ("db_pasword", 12345678),
        ("SECRT", "hush-hush"),
    ],
)
def test_the_value_of_what_may_be_a_misspelt_secret_is_told_nowhere(tmp_path, name, value) -> None:
    for place in ("{%s: %s}", "{args: {%s: %s}}", "{args: {compilation_config: {%s: %s}}}"):
        path = tmp_path / "exp.yaml"
        launch = place % (name, json.dumps(value))
        text = FILE.format(model="tiny", args="{}", env="{}").replace("{args: {}, env: {}}", launch)
        assert launch in text
        path.write_text(text)
        with pytest.raises(ExperimentError) as refusal:
            preflight_of(path)
        assert name in str(refusal.value)
        assert "hush" not in str(refusal.value) and "12345678" not in str(refusal.value)


@pytest.mark.parametrize(("name", "value"), [("max_num_batched_tokns", 8192), ("enforce_eagr", True), ("seeed", "x")])
def test_the_value_of_another_unknown_name_is_shown(tmp_path, name, value) -> None:
    path = tmp_path / "exp.yaml"
    path.write_text(FILE.format(model="tiny", args=f"{{{name}: {json.dumps(value)}}}", env="{}"))
    with pytest.raises(ExperimentError) as refusal:
        preflight_of(path)
    assert f"{name}: {json.dumps(value)}: ".replace('"', "'") in str(refusal.value)


def test_a_random_text_under_a_slip_inside_a_config_is_a_secret_and_a_word_is_none() -> None:
    assert holds_secret("hf_overrides", {"api_kye": LONG}) and holds_secret("additional_config", {"a": {"tokne": LONG}})
    assert not holds_secret("hf_overrides", {"tokens": LONG}) and not holds_secret("hf_overrides", {"tokem": "<x>"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"),
        ("VLLM_CPU_KVCACHE_SPACE", "1"),
        ("HTTP_PROXY", "http://proxy:3128"),
        ("PWD", "/home/me"),
        ("OLDPWD", "/home/me"),
        ("SSH_AUTH_SOCK", "/tmp/agent"),
        ("GIT_ASKPASS", "/usr/bin/askpass"),
        ("VLLM_ENABLE_PREGRAD_PASSES", "true"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("XAUTHORITY", "/home/me/.Xauthority"),
        ("PATH", "/usr/bin"),
    ],
)
def test_an_honest_variable_is_not_taken_for_a_secret(name: str, value: str) -> None:
    assert not is_secret_variable(name, value) and redacted_env({name: value}) == {name: value}


def test_of_all_that_vllm_knows_only_its_secrets_are_called_so() -> None:
    def names(options: Mapping[str, Option] | None) -> set[str]:
        return {name for key, inner in (options or {}).items() for name in {key} | names(inner.options)}

    table = installed_forms()
    every = {flag.removeprefix("--").replace("-", "_") for flag in table}
    every |= {name for form in table.values() for name in names(form.options)}
    if known() is None:
        pytest.skip("there is no vLLM to ask")
    assert {name for name in every if holds_secret(name, "some text")} == {"api_key", "hf_token", "allow_credentials"}
    assert not {name for name in every if holds_secret(name, True) or holds_secret(name, 8192)} - {"api_key"}
    of_variables = {name for name in known().variables if is_secret_variable(name, "text")}
    assert of_variables == {"VLLM_API_KEY", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"}


@pytest.mark.parametrize(
    "args",
    [
        "{allow_credentials: true}",
        "{allow_credentials: false, allowed_origins: ['*']}",
        "{max_num_batched_token: 8192}",
        "{max_num_batched_token: 8k}",
        "{max_num_batched_token: '8192'}",
        "{hf_overrides: {image_token: '<image>'}}",
        "{hf_overrides: {text_config: {pad_token: '[PAD]', eos_token: '</s>', bos_token_id: 1}, image_token_id: 7}}",
        '{hf_overrides: \'{"image_token": "<|image_pad|>"}\'}',
        "{hf_overrides.mask_token: MASK}",
        "{mm_processor_kwargs: {video_token: '<video>'}}",
    ],
)
@pytest.mark.skipif(not known(), reason="what a cut name stands for is asked of the installed vLLM")
def test_what_only_sounds_like_a_secret_is_none(tmp_path: Path, args: str) -> None:
    assert checked(tmp_path, args) == ""


@pytest.mark.skipif(not known(), reason="a hint comes from the installed vLLM")
def test_a_misspelt_count_of_tokens_gets_its_hint(tmp_path: Path) -> None:
    assert "did you mean max_num_batched_tokens?" in checked(tmp_path, "{max_num_batchd_tokens: 8192}")
    assert "has no such flag" in checked(tmp_path, "{long_prefill_token: 512}")  # two begin so
    refusal = checked(tmp_path, "{speculative_config: {method: ngram, num_speculative_token: 5}}")
    assert "did you mean num_speculative_tokens?" in refusal


@pytest.mark.parametrize(
    "args",
    [
        "{hf_token: hush-hush}",
        "{hf-token: hush-hush, hf_token: hush-hush-2}",
        "{wandb_token: hush-hush}",
        "{password: hush-hush}",
        "{kv_transfer_config: {kv_connector_extra_config: {password: hush-hush}}}",
        "{kv_transfer_config.kv_connector_extra_config.secret: hush-hush}",
        '{kv_transfer_config: \'{"kv_connector_extra_config": {"api_key": "hush-hush"}}\'}',
        '{unheard_of: \'[{"auth_token": "hush-hush"}]\'}',
        "{hf_overrides: {token: hush-hush}}",
        "{hf_overrides: {vault_token: hush-hush-a1b2c3}}",
        "{speculative_config: {draft_model_config: {hf_token: hush-hush}}}",
        "{model_loader_extra_config: {credentials: [hush-hush]}}",
        "{otlp_traces_endpoint: 'http://me:hush-hush@collector:4317'}",
    ],
)
def test_what_is_a_secret_is_refused_wherever_it_stands_and_its_value_unseen(tmp_path: Path, args: str) -> None:
    refusal = checked(tmp_path, args)
    assert "looks like a secret" in refusal and "hush" not in refusal


def test_a_number_is_a_secret_where_it_is_a_password(tmp_path: Path) -> None:
    assert "looks like a secret" in checked(tmp_path, "{password: 73646464}")
    assert "73646464" not in checked(tmp_path, "{password: 73646464}")


@pytest.mark.parametrize("name", [*NAMED, "HTTPS_PROXY", "GIT_URL"])
def test_a_variable_of_a_launch_that_is_a_secret_is_refused_and_its_value_unseen(tmp_path: Path, name: str) -> None:
    value = {"HTTPS_PROXY": PLACED["proxy"][0], "GIT_URL": PLACED["git"][0]}.get(name, "hush-hush")
    refusal = checked(tmp_path, env=f'{{{name}: "{value}"}}')
    assert "looks like a secret" in refusal and value not in refusal and "pa55" not in refusal


@pytest.mark.parametrize("name", SHAPED)
def test_no_shaped_secret_in_a_file_passes(tmp_path: Path, name: str) -> None:
    refusal = checked(tmp_path, env=f"{{NOTE: {SHAPED[name]}}}")
    assert ":4: looks like a secret" in refusal and SHAPED[name] not in refusal


@pytest.mark.parametrize(
    "args",
    [
        {"hf_token": "hush-hush"},
        {"kv_transfer_config": {"password": "hush-hush"}},
        {"tokenizer": PLACED["proxy"][0]},
        {"hf_overrides": {"note": SHAPED["gitlab"]}},
    ],
)
def test_no_secret_of_a_notebook_reaches_a_command_line(args: dict) -> None:
    with pytest.raises(ExperimentError, match="a secret must not stand on a command line") as refusal:
        flags(args)
    assert "hush" not in str(refusal.value) and "pa55" not in str(refusal.value)


def test_a_notebooks_environment_holds_no_secret() -> None:
    for env in ({"HF_TOKEN": "hush-hush"}, {"HTTP_PROXY": PLACED["proxy"][0]}, {"NOTE": SHAPED["npm"]}):
        with pytest.raises(ExperimentError, match=f"{next(iter(env))} looks like a secret") as refusal:
            named_launch("tiny-cpu", env=env)
        assert "hush" not in str(refusal.value) and "pa55" not in str(refusal.value)
    assert (
        named_launch("tiny-cpu", env={"HF_HUB_DISABLE_IMPLICIT_TOKEN": 1}).env["HF_HUB_DISABLE_IMPLICIT_TOKEN"] == "1"
    )


@pytest.mark.parametrize(
    "address",
    [
        "http://me:hush-hush@10.0.0.1:8000",
        "https://hush-hush@host/v1",
        "me:hush-hush@host:1",
        "http://me:hush-hush@host:99999",
        "ftp://me:hush-hush@host",
        "http://me:hush@-hush@host:8000",
    ],
)
def test_an_address_with_a_password_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(ExperimentError, match="no address of a server") as refusal:
        server_url(address)
    assert "hush" not in str(refusal.value)


def test_what_the_shell_configures_vllm_with_is_told_without_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_S3_CRED", "hush-hush")
    monkeypatch.setenv("VLLM_USAGE_STATS_SERVER", PLACED["proxy"][0])
    monkeypatch.setenv("TORCH_HUB_URL", PLACED["query"][0])
    told = inherited_environment()
    assert "VLLM_S3_CRED" not in told
    assert told["VLLM_USAGE_STATS_SERVER"] == "http://user:<redacted>@proxy:3128"
    assert told["TORCH_HUB_URL"] == "https://hub.example/api?access_token=<redacted>&q=1"


def test_a_password_of_the_environments_addresses_is_known_wherever_it_stands() -> None:
    env = {
        "https_proxy": PLACED["proxy"][0],
        "POSTGRES_PASSWORD": "postgres",
        "PIN": "20261126",
        "A_KEY": "long-enough-1",
    }
    assert known_secrets(env) == ("long-enough-1", "pa55-word-one")  # words and dates occur in honest text
    assert redacted("login: pa55-word-one", known_secrets(env)) == "login: <redacted>"


def test_nothing_is_written_with_a_secret_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_AUTH", "plain-looking-2")
    payload = {name: [text] for name, (text, _) in PLACED.items()} | SHAPED | {"evidence": "it said plain-looking-2"}
    write_json(tmp_path / "record.json", payload)
    assert set(json.loads((tmp_path / "record.json").read_text())) == set(payload)
    write_text(tmp_path / "executed.ipynb", json.dumps(payload, indent=1))
    for path in tmp_path.iterdir():
        text = path.read_text()
        assert [secret for _, secret in PLACED.values() if secret in text] == []
        assert [secret for secret in SHAPED.values() if secret in text] == [] and "plain-looking-2" not in text


def test_a_log_keeps_its_length_and_what_is_appended_meanwhile(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(
        b"\xff\xfe before " + SHAPED["groq"].encode() + "\nschlüssel-eins\n".encode() + KEY_BLOCK.encode() + b"\nend"
    )
    size = log.stat().st_size
    redact_file(log, ["schlüssel-eins"])
    text = log.read_bytes()
    assert len(text) == size and text.startswith(b"\xff\xfe before ****") and text.endswith(b"KEY-----\nend")
    assert b"gsk_" not in text and "schlüssel".encode() not in text and LONG.encode() not in text


def test_what_a_host_prints_of_its_environment_is_gone_from_its_log_when_it_is(tmp_path: Path, state_dir: Path) -> None:
    code = "import os; print('my key is', os.environ['VLLM_API_KEY'], os.environ['SOME_AUTH'], flush=True)"
    env = {"VLLM_API_KEY": "key-of-this-launch", "SOME_AUTH": "plain-looking-2"}
    process = spawn([sys.executable, "-c", code], env=env, log_path=tmp_path / "host.log", name="h", kind="server")
    assert process.wait(20.0) == 0
    text = (tmp_path / "host.log").read_text()
    assert "my key is" in text and "key-of-this" not in text and "plain-looking" not in text
