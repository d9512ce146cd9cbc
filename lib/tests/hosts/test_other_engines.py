"""Engines beside vLLM, on scripted servers that speak as they do: started, known, counted, asked and ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchbook.hosts import http
from benchbook.hosts.engines import engine_of, why_not_here
from benchbook.hosts.face import KEY_VARIABLE
from benchbook.hosts.others import flags
from benchbook.hosts.others.front import as_it_wants, told_apart
from benchbook.hosts.process import containers, processes, registry
from benchbook.hosts.scrape import parse_counters
from benchbook.hosts.server import VllmServer
from benchbook.terms.errors import ExperimentError, HostStartError
from dialects import PROGRAM
from rows import rows

TESTS = Path(__file__).parents[1]


def launch(engine="command", **keys):
    """Return what a launch says of its engine."""
    return SimpleNamespace(**{"engine": engine, "python": "", "program": (), "command": (), **keys})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of a model with one GGUF file in it."""
    folder = tmp_path_factory.mktemp("models") / "m"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "m.gguf").write_bytes(b"GGUF")
    return folder


def server_of(folder, tmp_path, said, args=None):
    """Return a server of a launch, not started yet."""
    options = {"log_dir": tmp_path, "ready_timeout_s": 60, "args": args or {}}
    return VllmServer(str(folder), engine=engine_of(said), env={"PYTHONPATH": str(TESTS)}, **options)


def asked(server):
    """Return the status of a completion, with the key of the server."""
    body = {"model": server.served_name, "prompt": "w7 w8 w9", "max_tokens": 4}
    return http.ask("POST", server.base_url, "/v1/completions", timeout_s=20, way=server.way, payload=body)[0]


DIALECTS = [
    ("sglang", "0.5.6", 4711, {"prompt_tokens": 3, "generation_tokens": 4, "requests_ended": 1}),
    ("trtllm", "1.2.0", None, {"prompt_tokens": 3, "generation_tokens": 4, "requests_ended_by_length": 1}),
    ("llamacpp", "b4711-abcdef", 4096, {"generation_tokens": 4, "prefix_cache_hits": 0}),
]


@pytest.mark.parametrize(("engine", "version", "cache", "counts"), DIALECTS)
def test_an_engine_is_started_known_counted_and_ended_in_its_own_words(
    folder, tmp_path, engine, version, cache, counts
):
    with server_of(folder, tmp_path, launch(engine, program=(*PROGRAM, engine)), {"some_size": 8}) as server:
        assert server.version == version and server.facts.kv_cache_tokens == cache
        assert asked(server) == 200
        counted = parse_counters(server.metrics_text(), server.engine.counters)
        assert {name: counted[name] for name in counts} == counts
        words = server.argv
        assert words[-1] == "8" and words[-2] == ("--some_size" if engine == "trtllm" else "--some-size")
        assert server.served_name.startswith("benchbook-") is server.engine.takes_name
        server.check_alive()
        pids = server.process.tree_pids()
    assert not any(processes.read_stat(pid) for pid in pids)


def test_an_engine_that_guards_itself_is_asked_with_its_key_and_another_says_that_it_asks_for_none(folder, tmp_path):
    with server_of(folder, tmp_path, launch("llamacpp", program=(*PROGRAM, "llamacpp"))) as server:
        assert http.get(server.base_url, "/v1/models", timeout_s=5)[0] == 401
        assert server.api_key not in " ".join(server.argv)
    assert not engine_of(launch("sglang")).access.has_key and not engine_of(launch("trtllm")).access.has_key


def test_a_flag_that_an_engine_does_not_know_ends_its_start_with_its_own_line(folder, tmp_path):
    with pytest.raises(HostStartError, match="unknown_flag: error: unrecognized arguments: --no-such-flag") as refused:
        server_of(folder, tmp_path, launch("sglang", program=(*PROGRAM, "sglang")), {"no_such_flag": True}).__enter__()
    assert refused.value.cause.code == "unknown_flag"


COMMANDS = [
    ("--port", "{port}"),
    ("--port", "{port}", "--name", "{name}"),
    ("--port", "{port}", "--host", "{host}", "--api-key", "{api_key}"),
]


@pytest.mark.parametrize("words", COMMANDS)
def test_any_command_is_a_server_of_a_launch(folder, tmp_path, words):
    said = launch(command=(*PROGRAM, "plain", "{model}", *words))
    server = server_of(folder, tmp_path, said)
    with server:
        assert asked(server) == 200 and server.version is None
        assert server.served_name.startswith("benchbook-") is ("{name}" in words)
        entry = next(entry for entry in registry.live_hosts() if entry.host_id == server.process.host_id)
        shown = [*entry.argv, *server.argv]
        assert server.api_key not in " ".join(shown) and ("{api_key}" in shown) is ("{api_key}" in words)
        without_key = http.get(server.base_url, "/v1/models", timeout_s=5)[0]
        assert without_key == (401 if "{api_key}" in words else 200)
    assert not processes.marked_pids(entry.host_id)


OWNER = """
import sys, time
from types import SimpleNamespace
from benchbook.hosts.engines import engine_of
from benchbook.hosts.server import VllmServer
said = SimpleNamespace(engine="command", python="", program=(), command=sys.argv[2:])
server = VllmServer(sys.argv[1], engine=engine_of(said), log_dir=sys.argv[1])
server.start()
server.wait_ready()
print(server.process.host_id, server.process.guardian_pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("helpers", rows([2, 0], quick=1))
@pytest.mark.parametrize(
    ("who", "signum"), [("owner", signal.SIGKILL), ("owner", signal.SIGTERM), ("both", signal.SIGKILL)]
)
def test_what_a_command_started_outlives_neither_its_owner_nor_its_guardian(folder, tmp_path, who, signum, helpers):
    script = json.dumps({"helpers": helpers, "ignore_sigterm": True})
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    env = {**os.environ, "PYTHONPATH": paths, "FAKE_VLLM": script, "BENCHBOOK_STATE_DIR": str(tmp_path / "state")}
    words = [*PROGRAM, "plain", "{model}", "--port", "{port}"]
    with subprocess.Popen([sys.executable, "-c", OWNER, str(folder), *words], env=env, stdout=subprocess.PIPE) as owner:
        host_id, guardian = owner.stdout.readline().decode().split()
        assert len(processes.marked_pids(host_id)) >= 1 + helpers
        if who == "both":
            os.kill(int(guardian), signum)
        owner.send_signal(signum)
    assert processes.wait_gone(lambda: processes.marked_pids(host_id), 60)


@pytest.fixture
def podman(tmp_path, monkeypatch):
    """Put a `podman` in the PATH whose containers are children of a service, as docker's are; return where it notes its words."""
    (tmp_path / "bin").mkdir()
    service = tmp_path / "service.py"
    service.write_text(
        "import json, os, subprocess, sys, time\n"
        "box = sys.argv[1]\n"
        "while True:\n"
        "    for name in os.listdir(box):\n"
        "        if name.endswith('.run'):\n"
        "            words = json.load(open(f'{box}/{name}'))\n"
        "            os.remove(f'{box}/{name}')\n"
        "            child = subprocess.Popen(words, stdout=open(f'{box}/{name}.log', 'wb'), stderr=subprocess.STDOUT)\n"
        "            open(f'{box}/{name[:-4]}.pid', 'w').write(str(child.pid))\n"
        "    time.sleep(0.02)\n"
    )
    program = tmp_path / "bin" / "podman"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, signal, sys, time\n"
        f"box, words = {str(tmp_path / 'box')!r}, sys.argv[1:]\n"
        "open(f'{box}/said', 'a').write(' '.join(words) + '\\n')\n"
        "if words[0] == 'rm':\n"
        "    pid = f'{box}/{words[2]}.pid'\n"
        "    if os.path.exists(pid):\n"
        "        os.kill(int(open(pid).read()), signal.SIGKILL)\n"
        "        os.remove(pid)\n"
        "    sys.exit()\n"
        "name = words[words.index('--name') + 1]\n"
        "json.dump(words[words.index('image') + 1:], open(f'{box}/{name}.new', 'w'))\n"
        "os.rename(f'{box}/{name}.new', f'{box}/{name}.run')\n"
        "print('the log of', name, flush=True)\n"
        "time.sleep(600)\n"
    )
    program.chmod(0o755)
    (tmp_path / "box").mkdir()
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]]))
    env = {**{name: value for name, value in os.environ.items() if name != processes.MARKER}, "PYTHONPATH": str(TESTS)}
    env |= {KEY_VARIABLE: "of the service"}
    with subprocess.Popen([sys.executable, str(service), str(tmp_path / "box")], env=env) as process:
        yield tmp_path / "box" / "said"
        process.kill()


def test_a_container_is_named_by_us_and_ended_by_its_name_when_its_processes_are_not_ours(folder, tmp_path, podman):
    words = ("podman", "run", "image", *PROGRAM, "plain", "{model}", "--port", "{port}", "--name", "{name}")
    server = server_of(folder, tmp_path, launch(command=words))
    with server:
        assert asked(server) == 200
        pid = int((podman.parent / f"{server.served_name}.pid").read_text())
        assert pid not in server.process.tree_pids() and processes.read_stat(pid)
    assert podman.read_text().splitlines()[-1] == f"rm --force {server.served_name}"
    assert not processes.read_stat(pid) or processes.read_stat(pid).state == "Z"
    assert "the log of" in server.log_path.read_text()


@pytest.mark.parametrize(
    ("command", "before"),
    [
        ("podman run image", "podman"),
        ("/usr/bin/docker --context there run --rm image", "/usr/bin/docker --context there"),
        ("sudo -n podman --root /big run image run", "sudo -n podman --root /big"),
        ("docker container run image", "docker container"),
        ("/opt/nerdctl -n k8s.io run image", "/opt/nerdctl -n k8s.io"),
        ("server --files /var/lib/docker --then run", ""),
        ("podman exec there server", ""),
        ("run podman", ""),
    ],
)
def test_a_container_is_named_and_ended_by_the_program_that_runs_it_as_that_is_called(command, before):
    words, named = command.split(), before.split()
    assert containers.ending_of(words, "mine") == ([*named, "rm", "--force", "mine"] if named else [])
    rest = words[len(named) + 1 :]
    assert containers.named(words, "mine") == ([*named, "run", "--name", "mine", *rest] if named else words)


def test_a_container_is_ended_by_whoever_finds_it_when_owner_and_guardian_are_gone(folder, tmp_path, podman):
    words = ("podman", "run", "image", *PROGRAM, "plain", "{model}", "--port", "{port}", "--name", "{name}")
    with server_of(folder, tmp_path, launch(command=words)) as server:
        pid = int((podman.parent / f"{server.served_name}.pid").read_text())
        os.kill(server.process.guardian_pid, signal.SIGKILL)
        registry.end_host(server.process.host_id)
        assert podman.read_text().splitlines()[-1] == f"rm --force {server.served_name}"
        assert not processes.read_stat(pid) or processes.read_stat(pid).state == "Z"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"mem_fraction": 0.8, "on": True, "off": False}, ["--mem-fraction", "0.8", "--on"]),
        ({"sizes": [1, 2], "deep": {"a": 1}}, ["--sizes", "1", "2", "--deep", '{"a": 1}']),
        ({"path": "/a b", "n": 0}, ["--path", "/a b", "--n", "0"]),
    ],
)
def test_args_of_an_engine_that_nobody_asks_become_its_flags_as_they_stand(args, words):
    assert flags.words_of(args) == words
    assert flags.words_of({"a_b": 1}, joint="_") == ["--a_b", "1"]


@pytest.mark.parametrize(
    "args", [{"api_key": "sk-abcdefghijklmnopqrstuvwx"}, {"x": None}, {"hf_token": "hf_" + "a" * 34}]
)
def test_a_secret_or_a_null_is_no_flag_of_any_engine(args):
    with pytest.raises(ExperimentError):
        flags.words_of(args)


@pytest.mark.parametrize(
    ("engine", "args"),
    [("sglang", "served_model_name"), ("llamacpp", "alias"), ("transformers", "port"), ("trtllm", "model")],
)
def test_what_is_ours_to_set_is_refused_by_each_engine(engine, args):
    assert [name for name, _ in engine_of(launch(engine)).refusals({args: "x", "other": 1}, {})] == [args]


def test_what_an_engine_lacks_here_is_told_before_anything_starts(tmp_path):
    assert "no program" in next(why_not_here(engine_of(launch("llamacpp", program=(str(tmp_path / "none"),)))))
    assert "does not have sglang" in next(why_not_here(engine_of(launch("sglang"))))
    assert "no program 'trtllm-serve'" in next(why_not_here(engine_of(launch("trtllm"))))
    with pytest.raises(ExperimentError, match="name its program by program, not python"):
        engine_of(launch("trtllm", python="/usr/bin/python3"))
    with pytest.raises(ExperimentError, match="is no Python|cannot be run"):
        engine_of(launch("sglang", python="/bin/true"))


def test_a_gguf_file_is_the_only_one_of_its_folder_or_named(tmp_path):
    command = engine_of(launch("llamacpp")).command
    with pytest.raises(ExperimentError, match="has none"):
        command(str(tmp_path), {}, 1, "127.0.0.1", [], ("llama-server",))
    (tmp_path / "a.gguf").touch()
    assert str(tmp_path / "a.gguf") in command(str(tmp_path), {}, 1, "127.0.0.1", [], ("llama-server",))
    (tmp_path / "b.gguf").touch()
    with pytest.raises(ExperimentError, match="has 2 of them"):
        command(str(tmp_path), {}, 1, "127.0.0.1", [], ("llama-server",))
    assert "/x.gguf" in command(str(tmp_path), {"model": "/x.gguf"}, 1, "127.0.0.1", [], ("llama-server",))


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"model": "nonce", "repetition_penalty": 1.0}, {"model": "/m"}),
        ({"model": "stranger", "repetition_penalty": 1.1}, {"model": "stranger", "repetition_penalty": 1.1}),
        ({"model": "/m", "max_completion_tokens": 7}, {"model": "/m", "max_tokens": 7}),
        ({"model": "/m", "ignore_eos": False, "stream": True}, {"model": "/m", "stream": True}),
    ],
)
def test_a_request_of_vllms_client_is_said_as_transformers_serve_knows_it(said, wanted):
    assert as_it_wants(said, ["/m", "nonce"]) == wanted


def test_an_answer_that_goes_on_past_its_end_is_asked_for_by_a_token_that_never_comes():
    asked = as_it_wants({"model": "/m", "max_tokens": 32, "ignore_eos": True}, ["/m"])
    assert json.loads(asked["generation_config"]) == {"eos_token_id": -1, "max_new_tokens": 32}
    assert "ignore_eos" not in asked


@pytest.mark.parametrize("text", ["", "w7"])
def test_a_stream_of_transformers_serve_tells_its_counts_apart_and_ends(text):
    first = 'data: {"choices": [{"index": 0, "text": "w7 \\n"}]}'
    last = {"choices": [{"index": 0, "text": text, "finish_reason": "length"}], "usage": {"completion_tokens": 2}}
    events = told_apart(f"{first}\n\ndata: {json.dumps(last)}\n\n").split("\n\n")
    assert events[0] == first and events[3:] == ["data: [DONE]", ""]
    assert json.loads(events[1][6:]) == {"choices": last["choices"]}
    assert json.loads(events[2][6:]) == {"choices": [], "usage": last["usage"]}
    assert told_apart(f"{first}\n\n") == f"{first}\n\n"
    assert told_apart('data: {"error": "usage"}\n\n') == 'data: {"error": "usage"}\n\n'


def test_each_request_to_llama_cpp_has_a_connection_of_its_own_and_none_to_others():
    assert engine_of(launch("llamacpp")).headers == {"Connection": "close"}
    assert not any(engine_of(launch(name)).headers for name in ("vllm", "sglang", "trtllm", "transformers"))


def test_a_command_that_takes_the_key_and_guards_nothing_by_it_is_ended(folder, tmp_path):
    said = launch(command=(*PROGRAM, "plain", "{model}", "--port", "{port}", "--token", "{api_key}"))
    with pytest.raises(HostStartError, match="unguarded: .*/v1/models answered 200 .*leave {api_key} out") as refused:
        server_of(folder, tmp_path, said).__enter__()
    assert refused.value.cause.code == "unguarded"
