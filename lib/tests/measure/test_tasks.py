"""Warm workers and their clients, with a fake vLLM whose command line does what the arguments say."""

import os
import signal
import socket
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchbook.hosts.engine import VllmEngine
from benchbook.hosts.process import tasks
from benchbook.hosts.process.guardian import OWN_FOLDER
from benchbook.hosts.vllm import bench
from benchbook.hosts.vllm.command import private_environment
from benchbook.hosts.vllm.measured_part import CALL
from benchbook.measure.client.stretch import Stretch
from benchbook.measure.client.tasks import COMMAND_LINE, WARM, TaskRefusedError, run_bench, run_task
from benchbook.measure.client.warm import WarmClient
from benchbook.measure.watched import Watched
from benchbook.records.frozen import FrozenHeader, FrozenRequest, write_frozen
from benchbook.terms.errors import HostStartError, MeasureError

FAKE_PARSER = """
import os, sys
from pathlib import Path

class FlexibleArgumentParser:
    def __init__(self):
        if sys.argv[2:] == ["serve"] and (folder := os.environ.get("PARSERS")):  # what reads its words later
            (Path(folder) / str(os.getpid())).touch()

    def parse_args(self):
        return sys.argv[2:]
"""
FAKE_MAIN = """
import os, random, sys, time
from dataclasses import dataclass
from pathlib import Path

counter = 0

@dataclass
class EngineArgs:
    model: str = ""
    tokenizer: str | None = None
    enable_prefix_caching: bool = False
    seed: int = 0

def ask_for_engine(words):
    import vllm
    from vllm.benchmarks import throughput
    if "--async-engine" in words:
        throughput.run_vllm_async()
    value = lambda flag: words[words.index(flag) + 1] if flag in words else None
    llm = vllm.LLM.from_engine_args(EngineArgs(
        value("--model"), value("--tokenizer"), "--enable-prefix-caching" in words, int(value("--seed") or 0)))
    llm.generate()
    print("engine", llm.number, "pid", os.getpid())

def main():
    global counter
    try:
        from vllm.utils.argparse_utils import FlexibleArgumentParser
        words = FlexibleArgumentParser().parse_args()
    except ImportError:
        words = sys.argv[2:]
    if not words:
        sys.exit("no benchmark")
    if "--bad-flag" in words:
        print("error: unrecognized arguments: --bad-flag", file=sys.stderr)
        sys.exit(2)
    if words[0] != "serve":
        ask_for_engine(words)
    for word in words[1:]:
        verb, _, what = word.partition("=")
        match verb:
            case "say": print(what)
            case "warn": print(what, file=sys.stderr)
            case "bar": sys.stderr.write("\\r 50%\\r100%\\n")
            case "touch": Path(what).touch()
            case "await":
                while not Path(what).exists(): time.sleep(0.005)
            case "exit": sys.exit(int(what))
            case "raise": raise ValueError(what)
            case "die": os._exit(9)
            case "hang": Path(what).write_text(str(os.getpid())); time.sleep(60)
            case "draw":
                import numpy
                print("drew", random.random(), numpy.random.randint(10**9))
            case "pid": print("pid", os.getpid())
            case "count": counter += 1; os.environ["LEFT"] = "over"; print("count", counter)
            case "show": print("shown", os.environ.get(what), os.getcwd())

if __name__ == "__main__":
    main()
"""
FAKE_VLLM = """
import os, time
from pathlib import Path
from types import SimpleNamespace

class LLM:
    built = 0

    def __init__(self):
        LLM.built += 1
        self.number, self.held = LLM.built, {}
        self.llm_engine = SimpleNamespace(
            output_processor=SimpleNamespace(request_states=self.held), abort_request=self.abort,
            engine_core=SimpleNamespace(shutdown=lambda: print("engine", self.number, "ended", flush=True)))
        print("engine", self.number, "built", flush=True)

    @classmethod
    def from_engine_args(cls, engine_args):
        return cls()

    def generate(self):
        self.held["request"] = 1
        if hang := os.environ.get("HANG"):
            Path(hang).touch()
            time.sleep(60)
        del self.held["request"]

    def abort(self, ids, internal):
        print("aborted", ids, flush=True)
        for one in ids: del self.held[one]

    def reset_prefix_cache(self):
        print("prefix cache reset", flush=True)
        return not self.held
"""
FAKE_THROUGHPUT = "def run_vllm_async(): pass\ndef run_hf(): pass\n"


@pytest.fixture(scope="module")
def fake_vllm(tmp_path_factory):
    """An environment in which `import vllm` finds a fake; returns the package's folder."""
    with made(tmp_path_factory.mktemp("fake"), {"utils/argparse_utils.py": FAKE_PARSER}) as folder:
        yield folder


@contextmanager
def made(root, more):
    """Inside, `import vllm` finds a fake with `more` files in the folder `root`; yields the package's folder."""
    files = {
        **more,
        "__init__.py": FAKE_VLLM,
        "entrypoints/cli/main.py": FAKE_MAIN,
        "benchmarks/throughput.py": FAKE_THROUGHPUT,
    }
    for name, text in files.items():
        path = root / "vllm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        lib = str(Path(tasks.__file__).parents[3])
        patch.setenv("PYTHONPATH", os.pathsep.join([str(root), lib]))
        patch.setenv("BENCHBOOK_STATE_DIR", str(root / "state"))
        yield root / "vllm"


@pytest.fixture(scope="module")
def client(fake_vllm):
    with WarmClient() as client:
        yield client


@pytest.fixture(scope="module")
def engine(fake_vllm):
    (fake_vllm / "config.json").write_text("{}")
    with VllmEngine(str(fake_vllm)) as engine:
        yield engine


class Console(list):
    """Collects lines, and runs a task on a worker with settings of no interest to a test."""

    def __init__(self, worker, log_path):
        super().__init__()
        self.socket_path, self.log_path = worker and worker.socket_path, log_path

    def run(self, *argv, env=None, limit_s=20.0, **more):
        return run_task(
            self.socket_path, argv, env=env or {}, on_line=self.append, log_path=self.log_path, limit_s=limit_s, **more
        )

    def bench(self, *argv, **more):
        console = {"on_line": self.append, "log_path": self.log_path}
        return run_bench(argv, socket_path=self.socket_path, env={}, limit_s=20.0, **console, **more)


@pytest.fixture
def on_client(client, tmp_path):
    return Console(client, tmp_path / "bench.log")


@pytest.fixture
def on_engine(engine, tmp_path):
    console = Console(engine, tmp_path / "bench.log")
    console.base = ["--model", engine.model_files.path]
    return console


def wait_for(is_true, limit_s=5.0):
    """Return once `is_true()`, fail after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def pids_in(folder):
    """Return the pids that children have left, oldest first."""
    files = [path for path in folder.iterdir() if path.name.isdigit()]
    return [int(path.name) for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)]


def is_running(pid):
    return Path(f"/proc/{pid}").exists()


def test_console_lines_of_both_streams_arrive_while_the_task_runs(client, tmp_path):
    seen = []

    def answer_the_first_line(line):
        seen.append(line)
        (tmp_path / "seen").touch()

    exit_code = run_task(
        client.socket_path,
        ["serve", "say=hello", f"await={tmp_path / 'seen'}", "warn=careful"],
        env={},
        on_line=answer_the_first_line,
        log_path=tmp_path / "bench.log",
        limit_s=5.0,
    )
    assert (exit_code, seen) == (0, ["hello", "careful"])


def test_each_update_of_a_progress_bar_is_a_line_and_the_log_keeps_the_bytes(on_client):
    on_client.run("serve", "bar")
    assert on_client == [" 50%", "100%"]
    assert on_client.log_path.read_bytes() == b"\r 50%\r100%\n"


def test_what_an_earlier_task_wrote_is_kept_and_not_passed_on_again(on_client):
    on_client.run("serve", "say=first")
    on_client.clear()
    on_client.run("serve", "say=second")
    assert on_client == ["second"]
    assert on_client.log_path.read_text() == "first\nsecond\n"


def test_the_exit_code_is_that_of_the_benchmark(on_client):
    assert on_client.run("serve", "exit=3") == 3
    assert on_client.run("serve", "--bad-flag") == 2
    assert on_client.run("serve", "die") == 9


def test_an_exception_is_exit_code_1_and_its_traceback_is_on_the_console(on_client):
    assert on_client.run("serve", "raise=no luck") == 1
    assert on_client[-1] == "ValueError: no luck"


def test_a_task_starts_from_an_untouched_process(on_client):
    for _ in range(2):
        on_client.run("serve", "count", "show=LEFT", env={"SET": "here"})
    on_client.run("serve", "show=SET")
    assert [line for line in on_client if line.startswith("count")] == ["count 1", "count 1"]
    assert on_client[-1] == f"shown None {Path.cwd()}"


def test_a_child_has_built_the_parsers_before_its_task_is_there_and_the_next_one_after_it(
    fake_vllm, tmp_path, monkeypatch
):
    monkeypatch.setenv("PARSERS", str(tmp_path))
    with WarmClient() as client:
        console = Console(client, tmp_path / "bench.log")
        for number in (1, 2, 3):
            wait_for(lambda number=number: len(pids_in(tmp_path)) == number, 20.0)
            ready = pids_in(tmp_path)[-1]
            assert console.run("serve", f"say={number}", "pid") == 0
            assert console[-2:] == [str(number), f"pid {ready}"]
        wait_for(lambda: len(pids_in(tmp_path)) == 4, 20.0)
    assert not any(map(is_running, pids_in(tmp_path)))


def test_a_child_that_was_killed_before_its_task_came_is_replaced(fake_vllm, tmp_path, monkeypatch):
    monkeypatch.setenv("PARSERS", str(tmp_path))
    with WarmClient() as client:
        console = Console(client, tmp_path / "bench.log")
        wait_for(lambda: pids_in(tmp_path), 20.0)
        os.kill(pids_in(tmp_path)[0], signal.SIGKILL)
        assert console.run("serve", "say=all the same", "exit=3") == 3
        wait_for(lambda: len(pids_in(tmp_path)) == 2, 20.0)
        ready = pids_in(tmp_path)[-1]
        assert console.run("serve", "pid") == 0
        assert console == ["all the same", f"pid {ready}"]


def test_a_vllm_that_reads_its_words_elsewhere_runs_its_jobs_all_the_same(tmp_path):
    with made(tmp_path / "other", {}), WarmClient() as client:
        console = Console(client, tmp_path / "bench.log")
        for number in (1, 2):
            run = console.bench("serve", f"say={number}", f"exit={number}")
            assert (run.exit_code, run.way) == (number, WARM)
        assert console == ["1", "2"]


def test_a_task_runs_in_the_folder_and_environment_of_its_client(on_client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    on_client.run("serve", "show=SET", env={"SET": "here"})
    assert on_client == [f"shown here {tmp_path}"]


@pytest.mark.parametrize("where", ["on_client", "on_engine"])
def test_a_seed_fixes_what_the_benchmark_draws_and_without_one_it_differs(where, request):
    console = request.getfixturevalue(where)
    argv = ["serve", "draw"] if where == "on_client" else ["latency", *console.base, "draw"]
    for seed in (7, 7, None, None):
        console.run(*argv, seed=seed)
    first, second, third, fourth = [line for line in console if line.startswith("drew")]
    assert first == second
    assert len({second, third, fourth}) == 3


def test_a_task_past_its_limit_is_killed_and_the_worker_takes_the_next(on_client, tmp_path):
    with pytest.raises(MeasureError, match="no end within 2 s"):
        on_client.run("serve", f"hang={tmp_path / 'pid'}", limit_s=2.0)
    assert on_client.run("serve") == 0
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_a_cancelled_task_is_killed_and_ends_with_a_negative_exit_code(on_client, tmp_path):
    cancel = threading.Event()
    cancel.set()
    assert on_client.run("serve", f"hang={tmp_path / 'pid'}", cancel=cancel) < 0
    assert on_client.run("serve") == 0


def test_a_client_that_vanishes_frees_the_worker(on_client, tmp_path):
    task = tasks.Task(argv=("serve", f"hang={tmp_path / 'pid'}"), env={}, log_path=str(on_client.log_path), cwd="/")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(on_client.socket_path)
        connection.sendall(task.to_line())
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    assert on_client.run("serve", "say=next") == 0
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_a_second_task_waits_for_the_first(client, tmp_path):
    first = Console(client, tmp_path / "first.log")
    argv = ["serve", f"touch={tmp_path / 'started'}", f"await={tmp_path / 'go'}"]
    thread = threading.Thread(target=first.run, args=argv)
    thread.start()
    wait_for((tmp_path / "started").exists)
    second = Console(client, tmp_path / "second.log")
    with pytest.raises(MeasureError, match="no end within"):
        second.run("serve", "say=too early", limit_s=0.1)
    (tmp_path / "go").touch()
    thread.join()
    assert second == []


def test_a_worker_that_dies_in_mid_task_is_a_measure_error(fake_vllm, tmp_path):
    with WarmClient() as client:
        console = Console(client, tmp_path / "bench.log")
        thread = threading.Timer(0.1, lambda: os.kill(client.pid, 9))
        thread.start()
        with pytest.raises(MeasureError, match="the worker is lost"):
            console.run("serve", f"hang={tmp_path / 'pid'}")
        with pytest.raises(MeasureError, match="the worker is lost"):
            console.run("serve")
        wait_for(lambda: not client.is_alive())
    assert not Path(client.socket_path).exists()


def test_a_worker_that_has_died_is_started_again_at_the_same_socket(fake_vllm, tmp_path):
    with WarmClient() as client:
        console = Console(client, tmp_path / "bench.log")
        for is_guardian in (False, True):
            before = client.pid
            os.kill(client.process.guardian_pid if is_guardian else client.pid, 9)
            wait_for(lambda: not client._listens() or not client.is_alive())
            client.ensure()
            assert client.pid != before and console.run("serve", "say=again") == 0
        client.ensure()  # of one that is alive does nothing
    assert console == ["again", "again"]


def test_a_worker_that_starts_is_waited_for_and_not_started_anew(fake_vllm):
    client = WarmClient()
    try:
        client.start()
        pid = client.pid
        assert client.ready_s is None, "its start is not waited for"
        client.ensure()
        assert client.pid == pid and client.ready_s and client._listens()
    finally:
        client.stop()


@pytest.mark.parametrize("part", ["worker", "guardian"])
def test_a_worker_that_is_killed_while_it_starts_is_started_once_more(fake_vllm, monkeypatch, part):
    client, starts, start = WarmClient(), [], WarmClient.start

    def started(self):
        start(self)
        starts.append(self.pid)
        if len(starts) <= num_killed:
            os.kill(self.pid if part == "worker" else self._process.guardian_pid, 9)
            wait_for(lambda: not self.is_alive())

    monkeypatch.setattr(WarmClient, "start", started)
    num_killed = 1
    client.ensure()
    assert client.is_alive() and len(starts) == 2
    client.stop()
    num_killed = 4
    with pytest.raises(HostStartError):
        client.ensure()
    assert len(starts) == 4
    client.stop()


def test_a_worker_leaves_neither_process_nor_socket(fake_vllm):
    with WarmClient() as client:
        assert Path(client.socket_path).parent.stat().st_mode & 0o777 == 0o700
    assert not is_running(client.pid)
    assert not Path(client.socket_path).exists()


def test_what_a_worker_cannot_run_goes_by_the_command_line_and_says_so(on_client):
    run = on_client.bench("latency", "--model", "m", "say=by itself")
    assert (run.exit_code, run.way, run.reason) == (0, COMMAND_LINE, "this client runs serve, not latency")
    assert on_client[0] == "benchbook: by the plain command line, since this client runs serve, not latency"
    assert on_client[-1] == "by itself"


def test_a_benchmark_that_fails_is_not_run_again(on_client):
    run = on_client.bench("serve", "say=once", "exit=1")
    assert (run.exit_code, run.way, run.reason) == (1, WARM, None)
    assert on_client == ["once"]


def test_frozen_requests_go_by_a_plain_file_where_the_place_of_vllms_data_sets_has_moved(on_client, tmp_path):
    frozen, plain = tmp_path / "a.jsonl.gz", tmp_path / "requests.jsonl"
    header = FrozenHeader(name="a", requests=1, distinct=1, seed=0, spec={})
    write_frozen(frozen, header, [FrozenRequest(prompt="w5", input_tokens=1, output_tokens=1)])
    stretch = Stretch(str(frozen), 0, 1)
    run = on_client.bench("serve", *stretch.words(plain), f"await={plain}", "say=sent", stretch=stretch)
    assert (run.exit_code, run.way, on_client[-1]) == (0, COMMAND_LINE, "sent")
    assert "internals have moved" in run.reason and not plain.exists()


def test_without_a_worker_the_command_line_is_used(fake_vllm, tmp_path):
    console = Console(None, tmp_path / "bench.log")
    run = console.bench("serve", "say=plain", "bar", "exit=4")
    assert (run.exit_code, run.way, run.reason) == (4, COMMAND_LINE, None)
    assert console == ["plain", " 50%", "100%"]


def test_a_command_line_past_its_limit_is_ended(fake_vllm, tmp_path):
    with pytest.raises(MeasureError, match="no end within 1 s"):
        run_bench(
            ["serve", f"hang={tmp_path / 'pid'}"],
            socket_path=None,
            env={},
            on_line=None,
            log_path=tmp_path / "bench.log",
            limit_s=1.0,
        )
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_a_variable_that_only_acts_at_the_start_is_refused(on_client):
    with pytest.raises(TaskRefusedError, match="VLLM_CPU_KVCACHE_SPACE"):
        on_client.run("serve", env={"VLLM_CPU_KVCACHE_SPACE": "8"})


def test_what_every_process_of_vllm_gets_is_no_reason_to_leave_the_engine(on_engine):
    env = private_environment(needs_download=False)
    assert on_engine.run("latency", *on_engine.base, "--seed", "5", env=env) == 0
    assert OWN_FOLDER in env.values()


def test_an_engine_is_loaded_once_for_all_its_tasks(on_engine):
    for benchmark in ("latency", "throughput", "latency"):
        assert on_engine.run(benchmark, *on_engine.base, "--seed", "5") == 0
    assert len({line for line in on_engine if line.startswith("engine")}) == 1


def test_a_task_for_another_engine_is_refused_by_the_names_of_what_differs(fake_vllm, on_engine):
    with pytest.raises(TaskRefusedError, match="enable_prefix_caching: False, True"):
        on_engine.run("latency", *on_engine.base, "--enable-prefix-caching")
    with pytest.raises(TaskRefusedError, match="asks for another kind"):
        on_engine.run("throughput", *on_engine.base, "--async-engine")
    assert on_engine.run("throughput", *on_engine.base, "--tokenizer", str(fake_vllm)) == 0


def test_an_engine_makes_room_for_the_command_line_that_takes_a_refused_task(fake_vllm, tmp_path):
    with VllmEngine(str(fake_vllm)) as engine:
        console = Console(engine, tmp_path / "bench.log")
        assert console.bench("latency", "--model", str(fake_vllm), "--enable-prefix-caching").way == COMMAND_LINE
        assert "engine 1 ended" in engine.log_text()
        assert console.bench("latency", "--model", str(fake_vllm)).way == WARM
        assert "engine 2 built" in engine.log_text()


def test_an_abandoned_task_leaves_no_request_and_no_cached_prefix(engine, on_engine, tmp_path):
    cancel = threading.Event()
    watch = threading.Thread(target=lambda: (wait_for((tmp_path / "hung").exists), cancel.set()))
    watch.start()
    log_start = len(engine.log_text())
    assert on_engine.run("latency", *on_engine.base, env={"HANG": str(tmp_path / "hung")}, cancel=cancel) < 0
    watch.join()
    assert on_engine.run("latency", *on_engine.base) == 0
    said = engine.log_text()[log_start:].splitlines()
    assert said[:4] == [CALL, "latency: {'abandoned': True}", "aborted ['request']", "prefix cache reset"]


JIT = "WARNING 11-26 17:30:32 [jit_monitor.py:9] Triton kernel JIT compilation during inference: _fwd.\n"
BEGINS = "Bench iterations:   0%| | 0/3"


@pytest.mark.parametrize(
    ("before", "after", "said", "is_found"),
    [
        (JIT, "", [BEGINS], False),  # by a process of the engine, in the warm-up
        ("", JIT, [BEGINS], True),
        ("", "", [JIT, BEGINS], False),  # by an engine in the benchmark's own process
        ("", "", [BEGINS, JIT], True),
        ("", "", [BEGINS], False),
    ],
)
def test_what_an_engine_compiles_is_found_where_it_falls_into_what_is_measured(
    engine, on_engine, before, after, said, is_found
):
    with open(engine.log_path, "a") as log:
        print("INFO 11-26 17:30:31 [core.py:402] init engine took 0.49 s", file=log, flush=True)
        with Watched(None, engine.socket_path) as watched:
            log.write(before)
            log.flush()
            assert on_engine.run("latency", *on_engine.base, *(f"say={text}" for text in said)) == 0
            log.write(after)
    watched.read_engine(on_engine.log_path, 1, is_loaded=True)
    conditions = watched.conditions(on_engine.log_path, {})
    assert [line in JIT for line in conditions.compile_lines] == [True] * is_found
    assert "log" not in conditions.unseen


def test_an_engine_s_log_that_does_not_tell_where_measuring_begins_is_not_looked_at(engine, on_engine):
    with Watched(None, engine.socket_path) as watched:
        assert on_engine.run("latency", *on_engine.base, f"say={BEGINS}") == 0
    for num_measured, console in ((2, BEGINS), (1, "no bar")):
        Path(on_engine.log_path).write_text(console)
        watched.read_engine(on_engine.log_path, num_measured, is_loaded=True)
        conditions = watched.conditions(on_engine.log_path, {})
        assert "warm-up ends" in conditions.unseen["log"] and conditions.compile_lines is None


def test_a_bad_engine_argument_is_a_start_error_with_the_end_of_the_log(fake_vllm):
    with (
        pytest.raises(HostStartError, match="unrecognized arguments: --bad-flag"),
        VllmEngine(str(fake_vllm), args={"bad_flag": True}),
    ):
        pass


@pytest.mark.parametrize("moved", ["__init__.py", "benchmarks/throughput.py", "entrypoints/cli/main.py"])
def test_a_vllm_whose_internals_have_moved_is_measured_by_the_command_line(fake_vllm, tmp_path, moved):
    path = fake_vllm / moved
    text = path.read_text()
    words = {
        "__init__.py": ("LLM", "Llm"),
        "benchmarks/throughput.py": ("run_hf", "run_transformers"),
        "entrypoints/cli/main.py": ("vllm.LLM", "vllm.Engine"),
    }[moved]
    path.write_text(text.replace(*words))
    try:
        with VllmEngine(str(fake_vllm)) as engine:
            console = Console(engine, tmp_path / "bench.log")
            with pytest.raises(TaskRefusedError, match="internals have moved"):
                console.run("latency", "--model", str(fake_vllm))
            run = console.bench("latency", "--bad-flag")
    finally:
        path.write_text(text)
    assert (run.exit_code, run.way) == (2, COMMAND_LINE)


def a_vllm(monkeypatch, **modules):
    """Let vLLM be `modules`, each a namespace; one that is None is not there."""
    for name, content in {
        "entrypoints_cli_main": SimpleNamespace(main=lambda: sys.exit("none named")),
        **modules,
    }.items():
        monkeypatch.setitem(sys.modules, f"vllm.{name.replace('_', '.')}", content)
    monkeypatch.setattr(sys, "argv", ["client"])


def test_a_client_sets_up_vllms_loggers_once_as_a_command_line_that_says_nothing_of_them_would(monkeypatch):
    asked = []
    a_vllm(monkeypatch, logger=SimpleNamespace(configure_logging_from_args=asked.append))
    bench.rehearse()
    assert [vars(arguments) for arguments in asked] == [{}]


def test_a_vllm_that_sets_up_its_loggers_at_its_import_is_rehearsed_all_the_same(monkeypatch):
    for logger in (None, SimpleNamespace()):
        a_vllm(monkeypatch, logger=logger)
        bench.rehearse()
