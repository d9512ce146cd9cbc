"""Requests of a set given to a loaded engine all at once: which, what came of them, and what is refused."""

import json
import socket
import sys
import threading
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from benchbook.hosts.process.tasks import TaskRefused
from benchbook.hosts.vllm import bench_given
from benchbook.measure.argv import Target, offline_remark, throughput_argv
from benchbook.measure.client.given import Given
from benchbook.measure.client.stretch import Stretch
from benchbook.measure.engines import OfflineEngine
from benchbook.measure.offline import bench_throughput
from benchbook.plan.request_facts import SetFacts
from benchbook.plan.workloads import LatencyWorkload, ThroughputWorkload
from benchbook.records.frozen import FrozenHeader, FrozenRequest, sha256_of, write_frozen
from benchbook.records.handover import Handover, SentRequests
from benchbook.records.record_file import read_record
from benchbook.terms.errors import ExperimentError, MeasureError

WORDS = tuple(FrozenRequest(prompt=f"text {index}", input_tokens=2, output_tokens=3 + index) for index in range(2))
# Of the last three, the first 32 tokens are those of one another.
IDS = tuple(
    FrozenRequest(prompt=(*range(32), 100 + index), input_tokens=33, output_tokens=2, shared_tokens=32 * (index > 0))
    for index in range(3)
)
REQUESTS = (*WORDS, *IDS, *WORDS[:1])
BLOCK = 16


class Llm:
    """An engine that tokenizes a text into as many tokens as it has words, and finds what it had before."""

    llm_engine = SimpleNamespace(vllm_config=SimpleNamespace(cache_config=SimpleNamespace(block_size=BLOCK)))

    def __init__(self):
        self.calls, self.hits, self.settled = [], 0, []

    def settle(self):
        self.settled.append(len(self.calls))

    def generate(self, prompts, sampling, lora_request=None, use_tqdm=True):
        self.calls.append([(prompt, asked.max_tokens) for prompt, asked in zip(prompts, sampling)])
        words = [prompt.get("prompt", "").split() for prompt in prompts]
        ids = [prompt.get("prompt_token_ids") or [len(word) for word in text] for prompt, text in zip(prompts, words)]
        answers = [[SimpleNamespace(token_ids=range(asked.max_tokens))] for asked in sampling]
        return [
            SimpleNamespace(prompt_token_ids=tokens, num_cached_tokens=self.hits, outputs=answer)
            for tokens, answer in zip(ids, answers)
        ]


@dataclass
class Sample:
    prompt: object
    prompt_len: int
    expected_output_len: int


def bench(module, llm, num_prompts, num_warmups, swap=False):
    """Do as vLLM's benchmark does: load the warm-up's requests and those that are measured, then generate both."""
    numbers = [number for number in (num_warmups, num_prompts) if number]
    for lot in [module.get_requests(SimpleNamespace(num_prompts=number), None) for number in numbers]:
        prompts = [one.prompt if isinstance(one.prompt, dict) else {"prompt": one.prompt} for one in lot]
        sampling = [SimpleNamespace(max_tokens=one.expected_output_len) for one in lot]
        llm.generate(prompts[::-1] if swap else prompts, sampling, lora_request=None, use_tqdm=True)


@pytest.fixture
def throughput(monkeypatch):
    """The module of vLLM's benchmark, as far as requests go."""
    benchmarks, module = ModuleType("benchmarks"), ModuleType("throughput")
    module.SampleRequest, module.get_requests, benchmarks.throughput = Sample, None, module
    monkeypatch.setitem(sys.modules, "vllm.benchmarks", benchmarks)
    return module


@pytest.fixture
def path(tmp_path):
    return frozen(tmp_path, REQUESTS)


def frozen(tmp_path, requests, **spec):
    header = FrozenHeader(
        name="it", requests=len(requests), distinct=len(requests), seed=0, spec={"lengths": [33, 2], **spec}
    )
    write_frozen(tmp_path / "it.jsonl.gz", header, requests)
    return tmp_path / "it.jsonl.gz"


def given_of(path, start=1, count=4, warmup=(5, 1)):
    second = Stretch(str(path), *warmup) if warmup else None
    return Given(Stretch(str(path), start, count), second, path.with_name("given.json"))


def test_an_engine_is_given_the_warm_ups_requests_then_the_measured_ones(throughput, path):
    given, llm = given_of(path), Llm()
    with bench_given.giving(given.to_json(), llm, llm.settle):
        bench(throughput, llm, num_prompts=4, num_warmups=1)
    (warmup,), measured = llm.calls
    assert warmup == ({"prompt": "text 0"}, 3)
    assert measured[0] == ({"prompt": "text 1"}, 4)
    assert measured[1] == ({"prompt_token_ids": [*range(32), 100]}, 2)
    assert llm.settled == [1], "the measured ones find nothing of the warm-up"
    noted = given.notes()
    assert noted["sha256"] == sha256_of(REQUESTS[1:5])
    assert (noted["sent_tokens"], noted["counted_tokens"]) == ([2, 33, 33, 33], [2, 33, 33, 33])
    assert noted["answered_tokens"] == [4, 2, 2, 2]
    assert not given.notes_path.exists(), "prompts are not left behind"


def test_what_others_of_the_measurement_begin_with_is_to_be_found_in_the_cache(throughput, path):
    given, llm = given_of(path), Llm()
    llm.hits = 16
    with bench_given.giving(given.to_json(), llm, llm.settle):
        bench(throughput, llm, num_prompts=4, num_warmups=1)
    noted = given.notes()
    assert [least for least, _ in noted["cached_tokens"]] == [0, 0, 32, 32]
    assert (noted["block_tokens"], noted["hit_tokens"]) == (BLOCK, 4 * 16)


def test_an_engine_that_was_given_others_has_another_hash(throughput, path):
    given, llm = given_of(path, warmup=None), Llm()
    with bench_given.giving(given.to_json(), llm, llm.settle):
        bench(throughput, llm, num_prompts=4, num_warmups=0, swap=True)
    assert given.notes()["sha256"] != sha256_of(REQUESTS[1:5])


def test_a_vllm_that_asks_for_another_number_is_given_none(throughput, path):
    given, llm = given_of(path), Llm()
    with pytest.raises(ValueError, match="asks for 3 requests where 1 are to be given"):
        with bench_given.giving(given.to_json(), llm, llm.settle):
            bench(throughput, llm, num_prompts=4, num_warmups=3)
    assert not llm.calls and given.notes() == {}


def test_a_vllm_whose_internals_have_moved_is_refused_with_what_is_missing(throughput, path):
    throughput.SampleRequest = make_dataclass("Sample", ["prompt", "prompt_len"])
    with (
        pytest.raises(TaskRefused, match="no expected_output_len"),
        bench_given.giving(given_of(path).to_json(), Llm(), print),
    ):
        pass
    throughput.SampleRequest = Sample
    del throughput.get_requests
    with (
        pytest.raises(TaskRefused, match="no get_requests"),
        bench_given.giving(given_of(path).to_json(), Llm(), print),
    ):
        pass


def test_a_request_that_is_more_than_a_prompt_is_refused(tmp_path):
    more = {"adapter": "sql"}, {"body": {"tools": []}}, {"conversation": 1}
    for fields in more:
        path = frozen(tmp_path, [FrozenRequest(prompt="a", input_tokens=1, output_tokens=1, **fields)])
        with pytest.raises(ExperimentError, match="offline an engine is given prompts alone"):
            given_of(path, 0, 1, None).to_json()


WORK = ThroughputWorkload(requests="it", num_prompts=4, num_warmup_prompts=1)


class Worker:
    """A loaded engine at a socket, with vLLM's benchmark as `bench` has it."""

    def __init__(self, folder, module, answer=None):
        self.path, self.module, self.answer, self.llm = folder / "socket", module, answer, Llm()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        connection, _ = self._listener.accept()
        with connection:
            task = json.loads(connection.makefile("rb").readline())
            if not self.answer:
                self._run(task)
            connection.sendall(json.dumps(self.answer or {"exit_code": 0, "wall_s": 0.1}).encode() + b"\n")

    def _run(self, task):
        words = task["argv"]
        numbers = {name: int(words[words.index(flag) + 1]) for name, flag in NUMBERS.items()}
        with bench_given.giving(task["stretch"], self.llm, self.llm.settle):
            bench(self.module, self.llm, **numbers)
        raw = {"num_requests": 4, "elapsed_time": 1.0, "requests_per_second": 4.0, "tokens_per_second": 111.0}
        Path(words[words.index("--output-json") + 1]).write_text(json.dumps(raw))
        said = "Throughput: 4.00 requests/s, 111.00 total tokens/s, 10.00 output tokens/s\n"
        totals = "Total num prompt tokens:  101\nTotal num output tokens:  10\n"
        with open(task["log_path"], "a") as log:
            log.write(said + totals)


NUMBERS = {"num_prompts": "--num-prompts", "num_warmups": "--num-warmups"}


@pytest.fixture
def measured(tmp_path, fake_model, throughput, path):
    """Return a function that measures WORK on a worker with these engine arguments, and returns the record."""

    def measure(worker=None, handover=None, **args):
        engine = OfflineEngine(model=fake_model, args=args, socket_path=str(worker.path) if worker else "")
        sent = SentRequests(name="it", path=str(path), start=1, warmup_starts=(5,), ends_by="any")
        how = {"repeat": Handover(requests=sent, **(handover or {}))}
        return bench_throughput(engine, WORK, record_path=tmp_path / "out" / "record.json", **how).record

    return measure


def test_the_record_says_what_an_engine_was_given_and_how(measured, tmp_path, throughput):
    record = measured(Worker(tmp_path, throughput), enable_prefix_caching=True)
    assert record.request_set_sha256 == record.conditions.sent.sha256 == sha256_of(REQUESTS[1:5])
    assert (record.requests.name, record.requests.ends_by) == ("it", "length")
    assert record.requests.sampling == {"temperature": 1.0, "top_p": 1.0}, "as vLLM's benchmark has them"
    assert (record.asked.input_tokens, record.asked.output_tokens) == (101, 10)
    assert (record.conditions.sent.sent_tokens, record.conditions.sent.counted_tokens) == (101, 101)
    assert record.conditions.sent.least_cached_tokens == record.conditions.sent.most_cached_tokens == 64
    assert record.prefix_cache.query_tokens == 101 and record.values["prefix_hit_pct"] == 0
    codes = {reason.code for reason in record.reasons}
    assert "prefix_hits_differ" in codes, "64 tokens were to be there, and none was"
    assert not codes & {"asked_not_counted", "other_requests_sent"}
    assert json.loads((tmp_path / "out" / "sent.json").read_text())["sent_tokens"] == [2, 33, 33, 33]


def test_a_cache_that_is_off_is_asked_nothing(measured, tmp_path, throughput):
    record = measured(Worker(tmp_path, throughput))
    assert record.prefix_cache.query_tokens is None and record.values["prefix_hit_pct"] is None
    assert "prefix_hits_differ" not in {reason.code for reason in record.reasons}


def test_an_engine_that_is_warm_is_given_the_measured_requests_alone(measured, tmp_path, throughput):
    worker = Worker(tmp_path, throughput)
    record = measured(worker, {"warmed_by": "repeat 0"}, enable_prefix_caching=True)
    assert len(worker.llm.calls) == 1 and not worker.llm.settled and record.warmup.num_prompts == 0


def test_without_a_loaded_engine_or_with_one_that_refuses_nothing_else_is_measured(measured, tmp_path, throughput):
    for worker in (None, Worker(tmp_path, throughput, {"refused": "vLLM's internals have moved"})):
        with pytest.raises(MeasureError, match="by itself cannot give an engine this set"):
            measured(worker)
        record = read_record(tmp_path / "out" / "record.json")
        assert record.failure.code == "client_needed" and not record.is_measured


def test_the_command_names_the_frozen_file_and_no_other_data(path):
    given = given_of(path)
    argv = throughput_argv(WORK, Target(model="m", raw_path=Path("/r"), sent=SimpleNamespace(words=given.words())))
    assert argv[argv.index("--dataset-path") + 1] == str(path) and "--random-input-len" not in argv
    assert [argv[argv.index(flag) + 1] for flag in NUMBERS.values()] == ["4", "1"]


def test_by_hand_a_frozen_file_is_given_and_one_that_cannot_be_is_refused(tmp_path, fake_model):
    engine = OfflineEngine(model=fake_model)
    for spec in ({"endpoint": "chat"}, {"sampling": "server"}, {"adapters": {"sql": 0.5}}):
        work = replace_requests(frozen(tmp_path, REQUESTS, **spec))
        with pytest.raises(ExperimentError, match="not by throughput"):
            bench_throughput(engine, work, record_path=tmp_path / "out" / "record.json")
    work = replace_requests(frozen(tmp_path, REQUESTS))
    with pytest.raises(MeasureError, match="by itself cannot give"):
        bench_throughput(engine, work, record_path=tmp_path / "out" / "record.json")


def replace_requests(path):
    return WORK.model_copy(update={"requests": str(path)})


def test_a_reader_is_told_where_what_prompts_share_is_computed_anew():
    shared = WORK.of_set(SetFacts(shares_prefix=True))
    alone = ThroughputWorkload(input_len_tokens=4, output_len_tokens=2, num_prompts=4)
    again = LatencyWorkload(input_len_tokens=4, output_len_tokens=2, batch_size=1)
    off, on = {"enable_prefix_caching": False}, {"enable_prefix_caching": True}
    assert "have in common is computed for each" in offline_remark({}, [alone, shared])
    assert "have in common is computed for each" in offline_remark(off, [shared])
    assert "is not set" in offline_remark({}, [alone]) and "in common" not in offline_remark({}, [alone])
    assert "times cached prefills" in offline_remark(on, [shared, again])
    assert (offline_remark(on, [shared]), offline_remark(off, [alone]), offline_remark({}, [])) == (None, None, None)
