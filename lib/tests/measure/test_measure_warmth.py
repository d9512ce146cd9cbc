"""Warm-up, seeds and prefix cache: what was sent before the clock started, and what the record says of it."""

from __future__ import annotations

import json
import os
import socket
import threading
from functools import partial
from pathlib import Path

import fake_vllm
import pytest
from benchbook.hosts.attached import AttachedServer
from benchbook.hosts.server import VllmServer
from benchbook.hosts.way import PLAIN
from benchbook.measure.client.tasks import COMMAND_LINE, WARM
from benchbook.measure.engines import OfflineEngine
from benchbook.measure.offline import bench_latency, bench_throughput
from benchbook.measure.recording import Recording
from benchbook.measure.serve import bench_serve
from benchbook.plan.case import Case
from benchbook.plan.experiment import Limits
from benchbook.plan.launches import Launch
from benchbook.plan.models import ModelRef
from benchbook.plan.order import Repeat
from benchbook.plan.workloads import LatencyWorkload, ServeWorkload, ThroughputWorkload
from benchbook.records.handover import Handover, read_handover
from benchbook.records.host import HostFacts
from benchbook.records.record import Identity, PrefixCache, Warmup
from benchbook.records.record_file import read_record
from benchbook.records.store import Store
from benchbook.sweep.hosts import host_opener
from benchbook.sweep.repeat import run_repeat
from benchbook.terms.errors import ExperimentError, MeasureError

FAKE_PACKAGE = Path(__file__).parents[1] / "fake_package"
LENGTHS = {"input_len_tokens": 4, "output_len_tokens": 2}
SERVE = ServeWorkload(**LENGTHS, max_concurrency=2, num_prompts=6)


@pytest.fixture(autouse=True)
def fake_bench(monkeypatch):
    """Let `vllm bench` be the stand-in's."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAKE_PACKAGE), os.environ.get("PYTHONPATH", "")]))


@pytest.fixture
def serving(fake_server):
    """Return a function that starts a server with a script and an environment, and returns it."""

    def start(env: dict[str, str] | None = None, **script):
        server = fake_server(**script)
        server._env.update(env or {})
        server.start()
        server.wait_ready()
        return server

    return start


@pytest.fixture
def measure(tmp_path):
    """Return a function that measures SERVE, or another load, on a server and returns the record."""

    def bench(server, workload=SERVE, **more):
        number = len(list(tmp_path.glob("record-*")))
        return bench_serve(server, workload, record_path=tmp_path / f"record-{number}" / "record.json", **more).record

    return bench


def test_a_load_is_warmed_up_with_two_waves_of_other_prompts(serving, measure):
    server = serving(prefix_caching=True)
    record = measure(server, seed=7)
    assert record.warmup == Warmup(num_prompts=4, seed=1_000_010)
    assert record.seed == 7 and record.prefix_cache.hit_tokens == 0
    assert record.host.counters["prompt_tokens"] == 24, "the warm-up is not in the measurement's counters"
    assert 'finished_reason="length"} 10.0' in server.metrics_text()


@pytest.mark.parametrize(("stall_at", "sent"), [(4, 8), (3, 8), (1, 4)])
def test_a_warm_up_ends_with_a_wave_in_which_the_server_did_not_stand_still(serving, measure, stall_at, sent):
    record = measure(serving(stall_at_request=stall_at, stall_s=1.5), seed=7)
    assert record.warmup == Warmup(num_prompts=sent, seed=1_000_010)
    assert record.conditions.warmup_prompts == sent


def test_a_warm_up_of_a_number_that_is_asked_for_is_not_repeated(serving, measure):
    workload = SERVE.model_copy(update={"num_warmup_prompts": 4})
    assert measure(serving(stall_at_request=4, stall_s=1.5), workload).warmup.num_prompts == 4


def test_a_load_that_is_warm_already_is_not_warmed_up_and_says_by_what(serving, measure):
    server = serving()
    record = measure(server, repeat=Handover(warmed_by="eager,serve,max_concurrency=2 repeat 0"))
    assert record.warmup == Warmup(num_prompts=0, warmed_by="eager,serve,max_concurrency=2 repeat 0")
    assert 'finished_reason="length"} 6.0' in server.metrics_text()


def test_no_warm_up_takes_a_zero_in_the_workload_and_is_recorded(serving, measure):
    server = serving()
    record = measure(server, SERVE.model_copy(update={"num_warmup_prompts": 0}))
    assert record.warmup == Warmup(num_prompts=0) and 'finished_reason="length"} 6.0' in server.metrics_text()


def test_a_warm_up_in_which_requests_failed_counts_only_the_answered_ones(serving, measure):
    record = measure(serving(fault_every=2, status=500))
    assert record.warmup.num_prompts == 2


def test_the_same_prompts_again_are_seen_in_the_counters_and_others_are_not(serving, measure):
    server = serving(prefix_caching=True)
    assert measure(server, seed=1).prefix_cache == PrefixCache(is_on=True, query_tokens=24, hit_tokens=0)
    assert measure(server, seed=2, repeat=Handover(warmed_by="x")).prefix_cache.hit_tokens == 0
    assert measure(server, seed=1, repeat=Handover(warmed_by="x")).prefix_cache.hit_tokens == 24


def test_a_cache_that_is_emptied_gives_nothing_for_the_same_prompts(serving, measure):
    server = serving({"VLLM_SERVER_DEV_MODE": "1"}, prefix_caching=True, busy_resets=2)
    measure(server, seed=1)
    again = measure(server, seed=1, repeat=Handover(warmed_by="x"), reset_prefix_cache=True)
    assert again.prefix_cache == PrefixCache(is_on=True, emptied="reset", query_tokens=24, hit_tokens=0)
    assert again.conditions.earlier_requests == 0, "what was sent before is in the cache no more"


def test_a_cache_that_is_off_is_recorded_so(serving, measure):
    assert measure(serving()).prefix_cache.is_on is False


def test_emptying_takes_developer_mode_and_fails_with_what_to_do(serving, measure, tmp_path):
    with pytest.raises(MeasureError, match="answered 404"):
        measure(serving(prefix_caching=True), reset_prefix_cache=True)
    record = read_record(tmp_path / "record-0" / "record.json")
    assert record.failure.code == "cache_not_emptied" and "VLLM_SERVER_DEV_MODE: 1" in record.failure.hint


def test_only_a_server_on_this_machine_is_asked_to_empty_its_cache():
    with pytest.raises(MeasureError, match="is not on this machine"):
        AttachedServer("http://192.0.2.1:8000", "model", PLAIN).reset_prefix_cache()


def test_a_model_and_its_copy_elsewhere_are_sent_the_same_prompts_and_another_tokenizer_is_not(
    tmp_path, measure, state_dir
):
    sets = []
    for name, words in (("base", "w0 w1"), ("copy", "w0 w1"), ("other", "w0 w2")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "tokenizer.json").write_text(words)
        env = fake_vllm.scripted()
        with VllmServer(str(folder), env=env, program=fake_vllm.PROGRAM, log_dir=tmp_path / f"{name}-log") as server:
            sets.append(measure(server, seed=1).request_set_sha256)
    assert sets[0] == sets[1] != sets[2]


def test_a_request_longer_than_the_server_takes_is_refused_before_anything_is_sent(serving, measure):
    server = serving()
    with pytest.raises(
        ExperimentError, match=r"4100 tokens \(input \+ output\) exceeds the server's max_model_len 4096"
    ):
        measure(server, SERVE.model_copy(update={"input_len_tokens": 4098}))
    assert "finished_reason" not in server.metrics_text() or 'finished_reason="length"} 0.0' in server.metrics_text()


class Engine:
    """A worker at a socket that answers a repeat as it is told, and writes what the benchmark would have written."""

    def __init__(self, folder: Path, answer: dict) -> None:
        self.path, self.answer, self.argv = folder / "socket", answer, []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            repeat = json.loads(connection.makefile("rb").readline())
            if "exit_code" in self.answer:
                Path(repeat["argv"][repeat["argv"].index("--output-json") + 1]).write_text(json.dumps(RAW))
            connection.sendall(json.dumps(self.answer).encode() + b"\n")


RAW = {"avg_latency": 0.1, "latencies": [0.1] * 3, "percentiles": {}, "num_requests": 4}
LATENCY = LatencyWorkload(**LENGTHS, batch_size=2, num_iters=3, num_iters_warmup=5)
THROUGHPUT = ThroughputWorkload(**LENGTHS, num_prompts=4)
ACCEPTING, REFUSING = {"exit_code": 0, "wall_s": 0.1}, {"refused": "the loaded engine differs: dtype"}


@pytest.fixture
def offline(tmp_path, fake_model):
    """Return a function that measures offline on an engine that gives this answer and returns the record."""

    def bench(measure, workload, answer, **more):
        engine = OfflineEngine(model=fake_model, socket_path=str(Engine(tmp_path, answer).path))
        return measure(engine, workload, record_path=tmp_path / "offline" / "record.json", seed=7, **more).record

    return bench


def test_a_loaded_engine_draws_latencys_prompts_by_the_seed(offline):
    record = offline(bench_latency, LATENCY, ACCEPTING)
    assert (record.way, record.way_reason, record.seed) == (WARM, None, 7)
    assert record.warmup == Warmup(num_prompts=10, seed=7), "the very prompts that are timed"
    assert record.prefix_cache == PrefixCache(is_on=False, emptied="reset")


def test_the_command_line_draws_latencys_prompts_without_a_seed_and_the_record_says_so_and_why(offline):
    record = offline(bench_latency, LATENCY, REFUSING)
    assert (record.way, record.way_reason) == (COMMAND_LINE, "the loaded engine differs: dtype")
    assert record.seed is None and record.warmup == Warmup(num_prompts=10)
    assert record.prefix_cache == PrefixCache(is_on=False, emptied="new process")


def test_throughput_takes_the_seed_either_way(offline, tmp_path):
    record = offline(bench_throughput, THROUGHPUT, REFUSING)
    assert (record.way, record.seed, record.warmup) == (COMMAND_LINE, 7, Warmup(num_prompts=4, seed=8))


def test_throughput_on_a_warm_engine_sends_no_warm_up(offline):
    record = offline(bench_throughput, THROUGHPUT, ACCEPTING, repeat=Handover(warmed_by="repeat 0"))
    assert record.warmup == Warmup(num_prompts=0, warmed_by="repeat 0")
    assert record.argv[record.argv.index("--num-warmups") + 1] == "0"


def test_an_engine_of_the_command_lines_own_is_never_called_warm(offline):
    record = offline(bench_throughput, THROUGHPUT, REFUSING, repeat=Handover(warmed_by="repeat 0"))
    assert record.warmup == Warmup(num_prompts=0)


class Bench:
    """Runs repeats on one host with a scripted notebook, and remembers the parameters that each was given."""

    def __init__(self, folder: Path, benchmark_way: str = WARM) -> None:
        self.folder, self.way, self.parameters = folder, benchmark_way, []
        self.start_host()

    def start_host(self) -> None:
        self.facts, self.env, self.warmed = HostFacts(kind="server", argv=("vllm", "serve")), {}, {}
        self.host_parameters = {"base_url": "http://x", "reset_prefix_cache": True}

    def run(self, workload, number: int) -> str:
        """Run one repeat and return the `warmed_by` that its notebook was given."""
        repeat = Repeat(Case("eager", workload), number, workload.host_kind, seed=1)
        folder = self.folder / f"{len(self.parameters)}"
        run_repeat(repeat, _AsHost(self), folder, Identity(), Limits(), self._execute)
        return self.warmed_by

    def _execute(self, notebook, output, parameters, *, env, between_cells):
        self.parameters.append(parameters)
        workload = self.workload_of(parameters)
        recording = Recording(workload, output.parent / "record.json")
        self.warmed_by = read_handover(output.parent / parameters["repeat"]).warmed_by
        num_prompts = 0 if self.warmed_by else getattr(workload, "warmup_prompts", 1)
        recording.finish(RAW, host=HostFacts(), way=self.way, warmup=Warmup(num_prompts=num_prompts))

    @staticmethod
    def workload_of(parameters):
        kind = (
            LatencyWorkload
            if "batch_size" in parameters
            else (ServeWorkload if "max_concurrency" in parameters else ThroughputWorkload)
        )
        return kind(**{name: parameters[name] for name in kind.model_fields})


class _AsHost:
    def __init__(self, bench: Bench) -> None:
        self.facts, self.env, self.warmed, self.parameters = bench.facts, bench.env, bench.warmed, bench.host_parameters
        self.plumbing = {}

    def check_alive(self) -> None:
        pass


def test_a_host_is_warmed_up_once_for_each_load(tmp_path):
    bench = Bench(tmp_path)
    other = SERVE.model_copy(update={"max_concurrency": 4})
    assert bench.run(SERVE, 0) == "" and bench.run(other, 0) == ""
    assert bench.run(SERVE, 1) == f"eager,{SERVE.axes_text()} repeat 0"
    assert bench.run(SERVE.model_copy(update={"num_prompts": 99}), 0) == f"eager,{SERVE.axes_text()} repeat 0"
    bench.start_host()
    assert bench.run(SERVE, 2) == "", "a new start is cold"


def test_a_notebook_of_a_sweep_shows_what_is_measured_and_the_plumbing_lies_beside_it(tmp_path):
    bench = Bench(tmp_path)
    bench.run(SERVE, 0)
    shown = {"base_url", "launch", "seed", "repeat", "reset_prefix_cache"}
    assert set(bench.parameters[0]) == shown | set(ServeWorkload.model_fields)
    assert bench.parameters[0]["launch"] == "eager" and bench.parameters[0]["repeat"] == "repeat.json"
    repeat = read_handover(str(tmp_path / "0" / "repeat.json"))
    assert repeat.host == bench.facts and repeat.limit_s == Limits().benchmark_s


def test_what_was_not_warmed_up_warms_up_nobody_else(tmp_path):
    bench, cold = Bench(tmp_path), SERVE.model_copy(update={"num_warmup_prompts": 0})
    assert [bench.run(cold, 0), bench.run(cold, 1), bench.run(SERVE, 0)] == ["", "", ""]


def test_an_engine_that_made_room_for_the_command_line_is_cold_again(tmp_path):
    bench = Bench(tmp_path)
    assert bench.run(THROUGHPUT, 0) == "" and bench.run(THROUGHPUT, 1)
    bench.way = COMMAND_LINE
    bench.run(LATENCY, 0)
    assert bench.run(THROUGHPUT, 2) == ""


def test_latency_warms_up_by_itself(tmp_path):
    bench = Bench(tmp_path)
    assert [bench.run(LATENCY, 0), bench.run(LATENCY, 1)] == ["", ""]


@pytest.mark.parametrize(
    ("env", "is_asked"), [({}, False), ({"VLLM_SERVER_DEV_MODE": "0"}, False), ({"VLLM_SERVER_DEV_MODE": "1"}, True)]
)
def test_a_sweep_empties_the_cache_only_where_the_launch_asks_for_developer_mode(fake_model, tmp_path, env, is_asked):
    launch = Launch("eager", ModelRef(fake_model), {}, {**fake_vllm.scripted(), **env})
    scripted = partial(VllmServer, program=fake_vllm.PROGRAM)
    with host_opener(make_server=scripted)(launch, "server", Store(tmp_path / "run"), 10.0) as host:
        assert host.parameters["reset_prefix_cache"] is is_asked and host.warmed == {}
