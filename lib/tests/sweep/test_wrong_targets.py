"""Whoever does not answer as a server must is refused before anything begins, each in one line at its place in the file."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess

import pytest
from benchbook.hosts import served
from benchbook.sweep.attached import asked_before
from benchbook.sweep.preflight import preflight_of
from benchbook.terms.errors import ExperimentError
from odd_server import odd_server

FILE = """question: Who is there?
launches:
{launches}
benchmarks:
  - serve: {{max_concurrency: 1, lengths: [[3000, 64]], num_prompts: 4}}
"""


@pytest.fixture
def certificates(tmp_path):
    """Return a file with a certificate that signs itself, and its key; and one of somebody else."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificates")
    for name in ("one", "another"):
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
        files = ["-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.pem")]
        subprocess.run([*command, "-addext", "subjectAltName=IP:127.0.0.1", *files], check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_text((tmp_path / "one.key").read_text() + (tmp_path / "one.pem").read_text())
    return str(both), str(tmp_path / "another.pem")


def asked(tmp_path, launches):
    """Return what is said of launches, a YAML text by name, by the name of each."""
    lines = [f"  {name}: {{attach: {text}}}" for name, text in launches.items()]
    (tmp_path / "wrong.yaml").write_text(FILE.format(launches="\n".join(lines)))
    checked = preflight_of(tmp_path / "wrong.yaml")
    with pytest.raises(ExperimentError) as refusal:
        asked_before(checked, checked.experiment.launches)
    said = [line for line in str(refusal.value).splitlines() if not line.startswith("There may be more")]
    found = {name: [line for line in said if f"launches.{name}.attach" in line] for name in launches}
    assert len(said) == len(launches) and all(len(lines) == 1 for lines in found.values()), said
    return {name: lines[0] for name, lines in found.items()}


def test_twenty_wrong_targets_are_told_together_a_line_each(certificates, fake_model, tmp_path, monkeypatch):
    monkeypatch.setattr(served, "ANSWER_LIMIT_S", 1.0)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("THEIR_KEY", "a-wrong-key-12345")
    for name in ("no_proxy", "NO_PROXY", "OPENAI_API_KEY", "VLLM_API_KEY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    with contextlib.ExitStack() as stack:

        def there(kind="", root=fake_model, **options):
            return stack.enter_context(odd_server(kind, root, **options))

        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        sound, by_tls = there(), there(certificate=certificates[0])
        port = sound.rpartition(":")[2]
        wrong = {
            "refused": ("127.0.0.1:9", "Connection refused"),
            "unknown": ("no-such-host.invalid", "no vLLM server answers"),
            "silent": (f"127.0.0.1:{silent.getsockname()[1]}", "timed out|no whole answer within"),
            "locked": (there("models_refused"), "wants a key: set OPENAI_API_KEY"),
            "key": (f"{there('models_refused')}, api_key_env: THEIR_KEY", "does not take the key in THEIR_KEY: set THEIR_KEY"),
            "model": (f"{sound}, model: od-model", "did you mean 'odd-model'"),
            "html": (there("models_html"), "no vLLM server answers"),
            "deep": (there("models_nested_deeply"), "nested too deeply"),
            "empty": (there("models_empty"), "lists no model"),
            "null_": (there("models_null"), "lists no models"),
            "endless": (there("models_without_end"), "larger than 16 MiB"),
            "loris": (there("models_dripped"), "no whole answer within 1 s"),
            "moved": (there("models_moved"), "answered 307"),
            "signed": (by_tls, "CERTIFICATE_VERIFY_FAILED.*ca_file"),
            "other_ca": (f"{by_tls}, ca_file: {certificates[1]}", "CERTIFICATE_VERIFY_FAILED"),
            "plain": (f"https://127.0.0.1:{port}", "write http:// if the server speaks no TLS"),
            "proxied": ("http://llm.example.invalid, proxy: true", "Connection refused"),
            "dead": (there("health_500"), "died: .*answered 500"),
            "elsewhere": (there(root="/models/llama"), "which is not on this machine: write `tokenizer:`"),
            "nameless": (there("gateway"), "name the model if it does not list any"),
        }  # fmt: skip
        said = asked(tmp_path, {name: text for name, (text, _) in wrong.items()})
        for name, (_, why) in wrong.items():
            assert re.search(why, said[name]), said[name]
        assert "a-wrong-key" not in "".join(said.values())


def test_requests_that_are_too_long_for_it_are_refused_and_a_sound_server_is_not(fake_model, tmp_path):
    with odd_server(root=fake_model) as url:
        (tmp_path / "right.yaml").write_text(FILE.format(launches=f"  right: {{attach: {url}}}"))
        checked = preflight_of(tmp_path / "right.yaml")
        (launch,) = asked_before(checked, checked.experiment.launches).experiment.launches
        assert launch.attached.tokenizer == fake_model
        text = (tmp_path / "right.yaml").read_text().replace("3000, 64", "4090, 64")
        (tmp_path / "long.yaml").write_text(text)
        checked = preflight_of(tmp_path / "long.yaml")
        with pytest.raises(ExperimentError, match="request of 4154 tokens .* exceeds the server's max_model_len 4096"):
            asked_before(checked, checked.experiment.launches)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("unix:///tmp/s.sock", "no way to a unix socket; have the server listen on a port as well"),
        ("ftp://h", "is not http:// or https://"),
        ("http://", "no host stands in it"),
        ("'http://hush-hush@h'", "a key goes into OPENAI_API_KEY"),
        ("h:port", "is no address"),
        ("h, behind: [unix:/s]", r"behind\[0\]: .*unix socket"),
    ],
)
def test_what_is_no_address_is_refused_with_its_line(tmp_path, address, why):
    (tmp_path / "wrong.yaml").write_text(FILE.format(launches=f"  bad: {{attach: {address}, tokenizer: tiny}}"))
    with pytest.raises(ExperimentError, match=f"wrong.yaml:3: launches.bad.*{why}") as refusal:
        preflight_of(tmp_path / "wrong.yaml")
    assert "hush" not in str(refusal.value)
