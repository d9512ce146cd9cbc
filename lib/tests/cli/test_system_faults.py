"""What the system refuses is one line, with an exit code that says whether anything was started."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from benchbook import __main__ as main
from benchbook import process_limits
from benchbook.hosts.machine import peaks
from benchbook.hosts.model import files
from benchbook.hosts.model.footprint import weight_bytes
from benchbook.hosts.process import caches, registry
from benchbook.hosts.vllm import flags, forms
from benchbook.judge.bounds import Peaks, roofline_for
from benchbook.judge.model_config import CONFIG_KEYS, UnknownShapeError, shape_of
from benchbook.notebooks import comparison
from benchbook.notebooks.execute import execute
from benchbook.records import runs
from benchbook.records.files import write_json
from benchbook.records.store import Store
from benchbook.system_faults import is_system_fault, line_of, told_as
from benchbook.terms.errors import ExperimentError, StoreError
from rows import rows

EXPERIMENT = """
question: Does it start?
model: {path: tiny}
launches: {d: {}}
benchmarks: [{first_request: {}}]
repeats: 1
"""
LONG = "x" * 300


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an experiment, a file, a link to itself, and a pipe."""
    (tmp_path / "exp.yaml").write_text(EXPERIMENT)
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.fixture
def refusal_of(folder, monkeypatch, capsys) -> Callable[..., str]:
    """Return what runs the program in `folder` and returns its one line on standard error, after the exit code 2."""

    def run(words: list[str], **env: str) -> str:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["benchbook", *words])
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, getattr(sys, name))  # the program puts its own in their place
        assert main._exit_code() == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("benchbook: ")
        return line

    return run


@pytest.mark.parametrize("place", ["/proc/x", "file", "file/x", "loop/x", LONG], ids=lambda place: place[:8])
@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("BENCHBOOK_CACHE_DIR", ["plan", "exp.yaml"]),
        ("BENCHBOOK_CACHE_DIR", ["run", "exp.yaml"]),
        ("BENCHBOOK_STATE_DIR", ["ps"]),
        ("BENCHBOOK_STATE_DIR", ["run", "exp.yaml"]),
        ("BENCHBOOK_STATE_DIR", ["stop", "--all"]),
    ],
)
def test_a_folder_of_ours_that_cannot_be_had_is_one_line_with_the_way_out(refusal_of, folder, variable, words, place):
    line = refusal_of(words, **{variable: place})
    assert f"set {variable} to a folder that can be written" in line
    assert not (folder / "results").exists()


@pytest.mark.parametrize(("variable", "folder_of"), [("TMPDIR", "tempdir"), ("BENCHBOOK_STATE_DIR", "state_dir")])
def test_a_folder_that_is_there_and_takes_nothing_is_refused_before_a_start(
    monkeypatch, state_dir, variable, folder_of
):
    if folder_of == "tempdir":
        monkeypatch.setattr(tempfile, "tempdir", "/proc")
    else:
        monkeypatch.setattr(registry, "state_dir", lambda: Path("/proc"))
    with pytest.raises(ExperimentError, match=f"nothing can be written into /proc .*set {variable}"):
        registry.check_folders()


@pytest.mark.parametrize("words", [["plan", "exp.yaml"], ["run", "exp.yaml"], ["ps"]], ids=lambda words: words[0])
def test_a_home_that_cannot_be_written_is_one_line(refusal_of, words):
    unset = {"BENCHBOOK_STATE_DIR": "", "BENCHBOOK_CACHE_DIR": "", "XDG_CACHE_HOME": "", "XDG_STATE_HOME": ""}
    assert "/proc/x/." in refusal_of(words, HOME="/proc/x", **unset)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("HOME", ["plan", "exp.yaml"]),
        ("HOME", ["run", "exp.yaml"]),
        ("HOME", ["ps"]),
        ("XDG_CACHE_HOME", ["plan", "exp.yaml"]),
        ("XDG_STATE_HOME", ["ps"]),
    ],
)
def test_a_home_that_is_another_in_each_folder_is_one_line_and_makes_no_folder(refusal_of, folder, name, words):
    unset = {"BENCHBOOK_STATE_DIR": "", "BENCHBOOK_CACHE_DIR": "", "XDG_CACHE_HOME": "", "XDG_STATE_HOME": ""}
    assert f"{name}=relative is no absolute path" in refusal_of(words, **unset | {name: "relative"})
    assert not (folder / "relative").exists()


@pytest.mark.parametrize(
    "words",
    [["table", "a"], ["report", "a"], ["show", "a"], ["list"], ["compare", "a", "b", "c"], ["run", "exp.yaml"],
     ["plan", "exp.yaml"], ["rm", "a", "--yes"]],
    ids=lambda words: words[0],
)  # fmt: skip
@pytest.mark.parametrize("results", [LONG, "loop", "file", "pipe", "loop/x", "\udcff"], ids=ascii)
def test_a_results_folder_that_the_system_refuses_is_one_line(refusal_of, words, results):
    line = refusal_of([*words, "--results", results])
    assert "--results" in line or "run 'a'" in line


@pytest.mark.parametrize("name", [LONG, "loop", "file", "pipe", "~nobody-of-this-name/x", "a/" * 3000])
@pytest.mark.parametrize("command", ["table", "report", "show", "rm"])
def test_a_run_that_the_system_refuses_is_an_unknown_run(refusal_of, command, name):
    assert "no run" in refusal_of([command, name])


@pytest.mark.parametrize("words", [["list"], ["table", "a"], ["run", "exp.yaml"], ["new", "a.yaml"]])
def test_a_current_folder_that_was_deleted_is_one_line(tmp_path, words):
    script = f"mkdir gone && cd gone && rmdir ../gone && exec {sys.executable} -m benchbook {' '.join(words)}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr


def test_each_fault_of_the_system_says_where_why_and_what_to_do():
    said = {
        OSError(errno.ENOSPC, "No space left on device", "/a/b"): "/a/b: No space left on device; the disk is full",
        OSError(errno.EMFILE, "Too many open files"): "Too many open files; too many open files; raise the limit",
        OSError("of a library"): "of a library",
        MemoryError(): "out of memory: the memory is used up",
        RuntimeError("can't start new thread"): "can't start new thread: too many processes or threads",
        BlockingIOError(
            errno.EAGAIN, "Resource temporarily unavailable"
        ): "temporarily unavailable; too many processes",
    }
    for error, text in said.items():
        assert is_system_fault(error) and text in line_of(error)
        assert len(line_of(error).splitlines()) == 1


def test_what_a_program_did_wrong_is_no_fault_of_the_system():
    assert not is_system_fault(KeyError("a")) and not is_system_fault(RuntimeError("a"))
    with pytest.raises(KeyError), told_as(StoreError):
        raise KeyError("a")


@pytest.mark.parametrize("raised", [StoreError("a"), ExperimentError("a"), OSError("a"), MemoryError()])
@pytest.mark.parametrize("kind", [StoreError, ExperimentError])
def test_before_a_start_all_is_a_refusal_and_after_it_all_is_a_failure(raised, kind):
    with pytest.raises(kind), told_as(kind):
        raise raised


# ---- what is only kept for convenience


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Return an empty cache."""
    monkeypatch.setenv("BENCHBOOK_CACHE_DIR", str(tmp_path / "cache"))
    return caches.cache_dir()


@pytest.mark.parametrize("content", [b"[]", b"", b"\xff", b"5", b"null", b"{", b"[" * 100_000, b'{"version": []}'])
def test_damaged_files_of_the_cache_are_as_good_as_none(cache, monkeypatch, content):
    path = cache / peaks.PEAKS_FILE
    path.write_bytes(content)
    kept = caches.remembered(path)
    assert flags._known_of(kept or {}) is None and not forms._forms_of(kept)
    monkeypatch.setattr(peaks, "_probe", lambda *_: {"kind": "measured", "n": 1, "source": "here"})
    peaks._probed.cache_clear()
    assert peaks._probed(1 << 20, "")["n"] == 1
    assert len(caches.remembered(path)) == 1  # what was measured anew takes its place


def test_a_pipe_or_a_folder_in_a_cache_files_place_holds_nobody_up(cache):
    os.mkfifo(cache / "pipe")
    (cache / "folder").mkdir()
    assert caches.remembered(cache / "pipe") is None and caches.remembered(cache / "folder") is None


def test_what_cannot_be_remembered_is_no_fault(cache, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert not caches.remember(cache / "a.json", {})
    assert list(cache.iterdir()) == []


def _fill(folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    (folder / "weights").write_bytes(b"12345")


@pytest.mark.parametrize("left", [[], ["config.json"], ["weights"], [".benchbook.json"]])
def test_a_folder_that_a_cleaner_of_caches_has_emptied_is_filled_again(cache, left):
    folder = caches.built("tiny", _fill)
    for path in folder.iterdir():
        if path.name not in left:
            path.unlink()
    assert caches.built("tiny", _fill) == folder
    assert (folder / "weights").read_bytes() == b"12345" and (folder / "config.json").exists()
    assert sorted(path.name for path in cache.iterdir()) == ["tiny", "tiny.lock"]


def test_a_whole_folder_is_not_filled_again_and_a_cut_file_is_seen(cache):
    folder = caches.built("tiny", _fill)
    caches.built("tiny", lambda _: pytest.fail("filled again"))
    (folder / "weights").write_bytes(b"1")
    caches.built("tiny", _fill)
    assert (folder / "weights").read_bytes() == b"12345"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EIO, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_built_on_all_the_same(cache, monkeypatch, number):
    monkeypatch.setattr(fcntl, "flock", _refusing(number))
    assert (caches.built("tiny", _fill) / "weights").exists()


def test_a_disk_that_fills_up_while_a_model_is_built_is_one_line_and_leaves_nothing(cache):
    def fill(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "weights"))

    with pytest.raises(ExperimentError, match="No space left on device.*set BENCHBOOK_CACHE_DIR"):
        caches.built("tiny", fill)
    assert [path.name for path in cache.iterdir()] == ["tiny.lock"]


# ---- locks and links that a file system lacks


def _refusing(number: int):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.fixture
def store(tmp_path) -> Store:
    """Return a run that says that it is being measured."""
    store = Store.create(tmp_path / "results", "exp")
    write_json(store.run_dir / "run.json", {"state": "running"})
    return store


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EIO, errno.EOPNOTSUPP])
def test_a_run_where_nothing_can_be_locked_is_written_and_told_of(store, monkeypatch, number):
    with store.locked() as is_held:
        assert is_held
    assert store.header().state == "interrupted"
    monkeypatch.setattr(fcntl, "flock", _refusing(number))
    with store.locked() as is_held:
        assert not is_held
    with pytest.raises(StoreError, match="cannot be known"):
        store.delete()
    write_json(store.run_dir / "run.json", {"state": "finished"})
    store.delete()
    assert not store.run_dir.exists()


def test_a_lock_that_cannot_be_made_is_one_line(store):
    (store.run_dir / ".lock").mkdir()
    with pytest.raises(StoreError, match="cannot write .*lock: Is a directory"), store.locked():
        pass


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_there_are_no_links_the_newest_run_is_known_by_its_name(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "symlink", _refusing(number))
    made = [Store.create(tmp_path, "exp") for _ in range(3)]
    for store in made:
        write_json(store.run_dir / "run.json", {"state": "finished"})
    assert runs.newest_of("exp", tmp_path) == made[-1].run_dir
    assert runs.newest_of("other", tmp_path) is None


# ---- models


@pytest.mark.parametrize(
    "model",
    [
        "{path: '~nobody-of-this-name/x'}", "'~nobody-of-this-name/x'", f"{{path: {LONG}}}", f"{{hub: {LONG}/{LONG}}}",
        f"./{LONG}", "{path: loop}", "{path: pipe}", "{path: file}", "{path: /dev/zero}", "{path: /proc/1/mem}",
    ],
)  # fmt: skip
def test_a_model_that_the_system_refuses_is_refused_with_its_line(refusal_of, folder, model):
    (folder / "exp.yaml").write_text(EXPERIMENT.replace("{path: tiny}", model))
    assert "exp.yaml:3: model" in refusal_of(["plan", "exp.yaml"])


@pytest.mark.parametrize("text", [LONG, "loop", "pipe", "~nobody-of-this-name/x", "a/" * 3000])
@pytest.mark.parametrize("key", ["tokenizer", "ca_file", "api_key_env", "proxy", "model"])
def test_whatever_a_launch_names_of_a_server_is_a_plan_or_a_line(folder, monkeypatch, capsys, key, text):
    monkeypatch.chdir(folder)
    attached = EXPERIMENT.replace("{d: {}}", f"{{d: {{attach: 'https://127.0.0.1:1', {key}: '{text}'}}}}")
    (folder / "exp.yaml").write_text(attached.replace("model: {path: tiny}\n", ""))
    monkeypatch.setattr(sys, "argv", ["benchbook", "plan", "exp.yaml"])
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))  # the program puts its own in their place
    code, said = main._exit_code(), capsys.readouterr()
    assert (code, said.err) == (0, "") or (code == 2 and f"exp.yaml:3: launches.d.{key}: " in said.err), said


@pytest.fixture
def model(folder) -> Path:
    """Return the folder of a model that the experiment asks for."""
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "exp.yaml").write_text(EXPERIMENT.replace("tiny", "./model"))
    return folder / "model"


@pytest.mark.parametrize("name", ["model.safetensors", "model-00001-of-00002.safetensors", "pytorch_model.bin"])
def test_weights_that_lead_nowhere_are_refused_and_named(refusal_of, model, name):
    (model / name).symlink_to("../blobs/0123")
    assert f"{name} leads to ../blobs/0123, which is not there" in refusal_of(["run", "exp.yaml"])


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_pipe_among_a_models_files_holds_nobody_up(refusal_of, model, name):
    (model / name).unlink(missing_ok=True)
    os.mkfifo(model / name)
    assert "exp.yaml:3: model" in refusal_of(["run", "exp.yaml"])


@pytest.mark.parametrize(
    "config",
    [
        "[]", "5", "null", '"x"', "", "{", "[" * 100_000, '{"a":' * 3000, "\xff",
    ],
    ids=lambda text: text[:6],
)  # fmt: skip
def test_a_config_that_is_no_mapping_is_refused(refusal_of, model, config):
    (model / "config.json").write_text(config, encoding="latin-1")
    assert "config.json" in refusal_of(["plan", "exp.yaml"])


SOUND = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 64, "vocab_size": 100,
}  # fmt: skip


EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8, "sliding_window": 16}


VALUES = [0, -1, 10**12, 10**400, 1.5, "x", "", [], [1], [4, 4], {}, {"a": 1}, True, None]


@pytest.mark.parametrize("value", rows(VALUES, quick=[value for value in VALUES if value not in (10**12, 10**400)]))
def test_no_value_of_a_config_stops_what_is_computed_from_it(tmp_path, value):
    peaks = Peaks(1e12, {"bfloat16": 1e14, "float32": 1e13}, "made up")
    for sound, key in itertools.product(({}, EXPERTS), [*CONFIG_KEYS, "text_config"]):
        (tmp_path / "config.json").write_text(json.dumps({**SOUND, **sound, key: value}))
        config, _ = files.config_of(str(tmp_path))
        assert files.read_config(str(tmp_path)) is not None
        assert (found := weight_bytes(config)) is None or found > 0
        try:
            floor_s = roofline_for(shape_of(config), peaks, 2, 64, 16, batch_size=8).sure.batch_floor_s
            assert 0 < floor_s < math.inf, key
        except UnknownShapeError as error:
            assert len(str(error).splitlines()) == 1


# ---- the comparison, and its kernel


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "compare.ipynb"), "compare.ipynb: No space left on device"),
        (RuntimeError("Kernel died before replying to kernel_info"), "did the machine run out of memory"),
        (RuntimeError("Kernel didn't respond in 300 seconds"), "didn't respond in 300 seconds"),
        (RuntimeError("can't start new thread"), "too many processes"),
        (ValueError("of a library\nwith a second line"), "ValueError: of a library with a second line"),
        (MemoryError(), "out of memory"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_ends_the_comparison_is_one_line_that_names_the_run(tmp_path, monkeypatch, raised, said):
    def execute(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(comparison, "comparison_kernel", contextlib.nullcontext)
    monkeypatch.setattr(comparison, "load_ahead", lambda: None)
    monkeypatch.setattr(comparison, "execute", execute)
    with pytest.raises(StoreError) as told:
        comparison.execute_comparison(tmp_path)
    assert said in str(told.value) and str(tmp_path) in str(told.value) and len(str(told.value).splitlines()) == 1
    assert ("run out of memory" in str(told.value)) == ("died" in str(raised))  # a slow one lacks time


@pytest.mark.parametrize(
    "spec_text",
    [
        json.dumps({"argv": ["/opt/site/kernel.sh", "-f", "{connection_file}"], "display_name": "a"}),
        json.dumps({"argv": ["/opt/py39/bin/python", "-m", "ipykernel", "-f", "{connection_file}"]}),
        json.dumps({"argv": [], "display_name": "a", "language": "R"}),
        "{",
        "",
        json.dumps(["python", "-m", "ipykernel"]),
        json.dumps({"argv": "python3 -m ipykernel -f {connection_file}", "display_name": "a", "language": "python"}),
        json.dumps(
            {"argv": ["conda", "run", "-n", "old", "python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]}
        ),
    ],
    ids=["a script", "another Python", "of R", "cut", "empty", "a list", "a text for argv", "of conda"],
)
def test_a_sweeps_kernel_is_our_own_whatever_is_called_python3_and_braces_in_a_path_are_braces(
    tmp_path, monkeypatch, spec_text
):
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(spec_text)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import sys; print(sys.executable)")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    folder = tmp_path / "a{b}c{0}{{d"
    folder.mkdir()
    nbformat.write(notebook, folder / "in.ipynb")
    execute(folder / "in.ipynb", folder / "out.ipynb", {})
    (cell,) = nbformat.read(folder / "out.ipynb", as_version=4).cells
    assert cell.outputs[0].text.strip() == sys.executable


# ---- limits of the shell


@pytest.mark.parametrize(
    ("kind", "limit", "said"),
    [
        (resource.RLIMIT_NOFILE, 5, "only 5 files"),
        (resource.RLIMIT_NOFILE, 63, "raise `ulimit -n`"),
        (resource.RLIMIT_AS, 400_000_000, "400 MB"),
        (resource.RLIMIT_AS, 1_999_999_999, "raise `ulimit -v`"),
    ],
)
def test_a_shell_that_allows_too_little_is_one_line(tmp_path, kind, limit, said):
    done = subprocess.run(
        [sys.executable, "-m", "benchbook", "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(kind, (limit, limit)),
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert said in done.stderr


@pytest.mark.parametrize("command", ["run", "report", "table", "show"])
def test_a_machine_without_a_thread_to_spare_is_one_line(refusal_of, monkeypatch, command):
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    process_limits.check_threads()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert "32 more threads cannot be started here" in refusal_of([command, "a"])


def test_a_soft_limit_of_files_is_raised_as_far_as_it_serves(monkeypatch):
    limits, told = (20, 100_000), []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits if kind == resource.RLIMIT_NOFILE else (-1, -1))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, both: told.append(both))
    process_limits.check_limits()
    limits = (5000, 100_000)
    process_limits.check_limits()
    assert told == [(process_limits.MORE_FILES, 100_000)]


@pytest.mark.parametrize(
    ("umask", "kept"), [(0o777, 0o077), (0, 0o002), (0o022, 0o022), (0o077, 0o077), (0o027, 0o027)]
)
def test_what_is_made_is_its_owners_to_use_and_nobody_elses_to_change(umask, kept):
    before = os.umask(umask)
    try:
        process_limits.keep_own_files()
        assert os.umask(0) == kept
    finally:
        os.umask(before)
