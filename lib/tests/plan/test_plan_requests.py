"""Sets of requests in an experiment file: what a row may say, how a benchmark names it, and what the case knows of it."""

import pytest
from benchbook.plan.experiment import load_experiment
from benchbook.plan.request_facts import SetFacts
from benchbook.plan.requests import RequestSet
from benchbook.plan.workloads import ServeWorkload, ThroughputWorkload
from benchbook.terms.asked import Asked
from benchbook.terms.errors import ExperimentError

FILE = """question: What does chat cost?
model: tiny
launches: {{eager: {{args: {{max_model_len: {most}}}}}}}
requests:
  it: {row}
benchmarks:
  - serve: {{requests: {named}, max_concurrency: [1, 4], num_prompts: 20}}
"""


def read(tmp_path, row, named="it", most=2048):
    for name in ("corpus.txt", "chat.json", "talks.jsonl", "trace.jsonl"):
        (tmp_path / name).write_text("words")
    path = tmp_path / "x.yaml"
    path.write_text(FILE.format(row=row, named=named, most=most))
    return load_experiment(path)


SOUND = {
    "{lengths: [128, 64]}": "random tokens, 128 in / 64 out, sent to completions, answers of full length, temperature 0",
    "{lengths: [{uniform: [8, 16]}, 4], endpoint: chat, ends_by: any, sampling: server}": "random tokens, 8 to 16 in / 4 "
    "out, sent to chat, answers that end by themselves, tokens chosen by the server's own defaults",
    "{lengths: [{normal: [64, 8], max: 90}, {lognormal: [32, 9], min: 2, max: 80}]}": "random tokens, 64 ± 8 normal, 1 "
    "to 90 in / 32 ± 9 log-normal, 2 to 80 out, sent to completions, answers of full length, temperature 0",
    "{lengths: [9, 9], prefix: {share: 0.8, groups: 3}, sampling: {top_p: 0.9}}": "random tokens, 9 in / 9 out, 80% of "
    "each prompt as others of its group have it, 3 groups, sent to completions, answers of full length, top_p 0.9",
    "{lengths: [9, 9], conversations: {turns: 5}, endpoint: chat}": "random tokens, 9 in / 9 out, 5 turns, sent to chat, "
    "answers of full length, temperature 0",
}


def test_a_set_is_told_in_words(tmp_path):
    for row, words in SOUND.items():
        assert str(read(tmp_path, row).requests["it"]) == words


def test_of_a_set_that_an_engine_is_given_it_is_told_how_that_answers_whatever_the_set_says(tmp_path):
    for row in ("{lengths: [9, 4]}", "{lengths: [9, 4], ends_by: any}", "{lengths: [9, 4], endpoint: chat}"):
        said = read(tmp_path, row).requests["it"].given_text
        assert said == (
            "random tokens, 9 in / 4 out, given to an engine all at once, answers of full length, temperature 1, top_p 1"
        )


def test_files_of_a_set_lie_beside_the_experiment_file(tmp_path):
    rows = {
        "{lengths: [9, 9], text: corpus.txt}": ("text", "corpus.txt"),
        "{dataset: sharegpt, path: chat.json}": ("path", "chat.json"),
        "{trace: trace.jsonl, speed: 2, window_s: [0, 60]}": ("trace", "trace.jsonl"),
    }
    for row, (key, name) in rows.items():
        assert getattr(read(tmp_path, row).requests["it"], key) == str(tmp_path / name)
    talks = read(tmp_path, "{conversations: {path: talks.jsonl}}").requests["it"]
    assert talks.conversations.path == str(tmp_path / "talks.jsonl")


REFUSED = {
    "{lengths: [128, 0]}": "requests.it.lengths[1]: 0: must be a number of tokens, or a spread",
    "{lengths: [128, 64, 3]}": "must be a pair, [input, output]",
    "{lengths: [{lognormal: [64, 8]}, 4]}": "needs max: the longest request has to fit into the model",
    "{lengths: [{normal: [64, 8], max: 32}, 4]}": "the mean 64 is not between min 1 and max 32",
    "{lengths: [{uniform: [64, 8]}, 4]}": "uniform must be [least, most]",
    "{lengths: [{uniform: [8, 64], max: 32}, 4]}": "min and max are in uniform already",
    "{lengths: [{}, 4]}": "give one of uniform, normal and lognormal",
    "{lengths: [9, 9], prefix: {share: 80}}": "requests.it.prefix.share: 80: must be less than 1",
    "{lengths: [9, 9], prefix: 0.8}": "such as prefix: {share: 0.8, groups: 16}",
    "{lengths: [9, 9], conversations: {turns: 1}}": "conversations.turns: 1: must be greater than or equal to 2",
    "{lengths: [9, 9], conversations: {}}": "give one of turns and path",
    "{lengths: [9, 9], sampling: {temperatur: 1}}": "requests.it.sampling.temperatur: 1: unknown key; did you mean 'temperature'?",
    "{lengths: [9, 9], speed: 2}": "speed goes with trace, and this set is drawn from lengths",
    "{lengths: [9, 9], dataset: sharegpt}": "is drawn from lengths and dataset: give one of them",
    "{prefix: {share: 0.5}}": "lacks what it is drawn from",
    "{dataset: sharegpt, path: no.json}": "requests.it.path: 'no.json': no such file; looked for",
    "{trace: trace.jsonl, window_s: [3, 2]}": "window_s must be [from, to]",
    "{lengths: [9, 9], adapters: {a: 0.7, b: 0.7}}": "together 1 at most",
    "{lengths: [9, 9], endpiont: chat}": "unknown key; did you mean 'endpoint'?",
}


def test_what_is_wrong_with_a_set_is_one_line_at_its_place(tmp_path):
    for row, said in REFUSED.items():
        with pytest.raises(ExperimentError) as caught:
            read(tmp_path, row)
        (line,) = str(caught.value).splitlines()
        assert "x.yaml:5: requests.it" in line and said in line, row


def test_all_that_is_wrong_with_a_set_is_told_at_once(tmp_path):
    with pytest.raises(ExperimentError) as caught:
        read(tmp_path, "{lengths: [0, 4], prefix: {share: 2}, sampling: {temp: 1}}")
    assert len(str(caught.value).splitlines()) == 3


def test_a_set_that_nobody_sends_and_one_that_is_not_there_are_refused(tmp_path):
    for named, said in (("its", "unknown set; did you mean 'it'?"), ("8", "how many are sent is num_prompts")):
        with pytest.raises(ExperimentError, match="benchmarks") as caught:
            read(tmp_path, "{lengths: [9, 9]}", named=named)
        assert said in str(caught.value)
    path = tmp_path / "x.yaml"
    load = "lengths: [9, 9]"
    path.write_text(FILE.format(row="{lengths: [9, 9]}", named="it", most=99).replace("requests: it", load))
    with pytest.raises(ExperimentError, match="no benchmark sends this set"):
        load_experiment(path)
    both = "requests: it, lengths: [9, 9]"
    path.write_text(FILE.format(row="{lengths: [9, 9]}", named="it", most=99).replace("requests: it", both))
    with pytest.raises(ExperimentError, match="requests and lengths: give one of the two"):
        load_experiment(path)


OFFLINE = """question: Which?
model: tiny
launches: {{a: {{}}}}
requests: {{it: {row}}}
benchmarks:
  - {entry}
"""


def offline(tmp_path, row, entry="throughput: {requests: it, num_prompts: 4}"):
    path = tmp_path / "x.yaml"
    path.write_text(OFFLINE.format(row=row, entry=entry))
    return load_experiment(path)


def test_a_benchmark_of_one_batch_takes_no_set_and_says_who_does(tmp_path):
    for entry in ("latency: {requests: it, batch_size: 1}", "latency: {requests: [it], batch_size: 1}"):
        with pytest.raises(ExperimentError) as refused:
            offline(tmp_path, "{lengths: [8, 4]}", entry)
        (line,) = str(refused.value).splitlines()
        assert "x.yaml:6" in line and "sets are sent by serve, and offline all at once by throughput" in line


def test_throughput_takes_sets_as_an_axis_and_knows_their_lengths(tmp_path):
    row = "{lengths: [{uniform: [8, 16]}, 4], prefix: {share: 0.5}}, other: {lengths: [9, 9]}"
    experiment = offline(tmp_path, row, "throughput: {requests: [it, other], num_prompts: [4, 8]}")
    names = [f"a,throughput,requests={name},num_prompts={number}" for name in ("it", "other") for number in (4, 8)]
    assert sorted(case.case_id for case in experiment.cases) == sorted(names)
    work = next(case.workload for case in experiment.cases if case.workload.requests == "it")
    assert (work.curve, work.max_request_tokens, work.mean_lengths) == ("it", 20, (12, 4))
    assert work.asked.shares_prefix and work.asked.ends_by == "length"
    assert set(work.model_dump()) == {"requests", "num_prompts", "num_warmup_prompts"}


def test_a_case_of_two_lengths_is_written_as_it_always_was():
    work = ThroughputWorkload(input_len_tokens=8, output_len_tokens=4, num_prompts=4)
    assert work.axes_text() == "throughput,lengths=8x4,num_prompts=4"
    assert list(work.model_dump()) == ["input_len_tokens", "output_len_tokens", "num_prompts", "num_warmup_prompts"]


def test_answers_that_may_end_before_run_to_their_length_offline_and_the_plan_says_so(tmp_path):
    for ends_by, said in (("any", "answers of full length"), ("length", "at temperature 1")):
        work = offline(tmp_path, f"{{lengths: [8, 4], ends_by: {ends_by}}}").cases[0].workload
        assert work.asked.ends_by == "length" and work.why("").endswith(said)


def test_a_set_that_ends_by_itself_takes_no_end_by_the_clock(tmp_path):
    (tmp_path / "trace.jsonl").write_text('{"timestamp": 0, "input_length": 8, "output_length": 4, "hash_ids": [1]}\n')
    for row, why in (
        ("{lengths: [8, 4], conversations: {turns: 2}}", "a conversation is held to its last turn"),
        ("{trace: trace.jsonl}", "a trace ends by its window_s"),
    ):
        entry = "serve: {requests: it, max_concurrency: 2, num_prompts: 4, ends_after_s: 5}"
        with pytest.raises(ExperimentError, match=f"{why}: leave ends_after_s out"):
            offline(tmp_path, row, entry)
    assert offline(tmp_path, "{lengths: [8, 4]}", entry).cases[0].workload.ends_after_s == 5


NOT_AT_ONCE = {
    "{lengths: [8, 4], conversations: {turns: 2}}": "a turn of a conversation follows the answer before",
    "{trace: trace.jsonl}": "a trace has its times",
    "{lengths: [8, 4], endpoint: chat}": "no template is put around a prompt",
    "{lengths: [8, 4], adapters: {sql: 0.5}}": "vLLM chooses adapters by itself",
    "{lengths: [8, 4], sampling: server}": "vLLM always samples at temperature 1",
    "{lengths: [8, 4], sampling: {temperature: 0.7}}": "vLLM always samples at temperature 1",
}


def test_what_an_engine_cannot_be_given_at_once_is_refused_with_the_reason(tmp_path):
    (tmp_path / "trace.jsonl").write_text('{"timestamp": 0, "input_length": 8, "output_length": 4, "hash_ids": [1]}\n')
    for row, why in NOT_AT_ONCE.items():
        with pytest.raises(ExperimentError) as refused:
            offline(tmp_path, row)
        (line,) = str(refused.value).splitlines()
        assert "x.yaml:6" in line and "'it': not by throughput" in line and why in line


def test_each_set_that_an_engine_cannot_be_given_is_a_line(tmp_path):
    row = "{lengths: [8, 4], endpoint: chat}, b: {lengths: [8, 4], sampling: server}, c: {lengths: [8, 4]}"
    with pytest.raises(ExperimentError) as refused:
        offline(tmp_path, row, "throughput: {requests: [it, b, c], num_prompts: 4}")
    assert [line.split("'")[1] for line in str(refused.value).splitlines()] == ["it", "b"]


def test_a_case_is_named_after_its_set_and_knows_its_lengths(tmp_path):
    experiment = read(tmp_path, "{lengths: [{uniform: [8, 16]}, 4], prefix: {share: 0.5}}", named="[it]")
    assert [case.case_id for case in experiment.cases] == [
        f"eager,serve,requests=it,max_concurrency={number},num_prompts=20" for number in (1, 4)
    ]
    workload = experiment.cases[0].workload
    assert workload.curve == "it" and workload.max_request_tokens == 20
    told = {"ends_by": "length", "shares_prefix": True, "made_of": "random tokens"}
    assert workload.asked == Asked(requests=20, input_tokens_each=12, output_tokens_each=4, **told)
    assert workload.warmup().asked.input_tokens_each == 12


def test_requests_of_a_set_that_are_too_long_for_the_model_are_refused_at_its_place(tmp_path):
    with pytest.raises(
        ExperimentError, match="x.yaml:7: .*requests.*a request of 96 tokens .* exceeds max_model_len 90"
    ):
        read(tmp_path, "{lengths: [{lognormal: [16, 9], max: 64}, 32]}", most=90)


def test_a_load_of_random_tokens_stands_in_files_as_it_did_before_there_were_sets():
    fields = {"input_len_tokens": 128, "output_len_tokens": 64, "num_prompts": 8, "max_concurrency": 2}
    dumped = ServeWorkload(**fields).model_dump()
    assert "requests" not in dumped and list(dumped)[:3] == ["input_len_tokens", "output_len_tokens", "num_prompts"]
    of_set = ServeWorkload(requests="chat", num_prompts=8, max_concurrency=2)
    assert list(of_set.model_dump())[:2] == ["requests", "num_prompts"]
    assert ServeWorkload(**of_set.model_dump()) == of_set


def test_a_stretch_that_is_known_to_the_token_is_asked_for_to_the_token_unless_answers_end_or_a_template_is_added():
    known = {"input_tokens": 90, "output_tokens": 40, "input_tokens_each": 9.0, "output_tokens_each": 4.0}
    asked = SetFacts(**known).asked(10)
    assert (asked.input_tokens, asked.output_tokens) == (90, 40)
    assert SetFacts(**known, ends_by="any").asked(10).output_tokens is None
    assert SetFacts(**known, is_chat=True).asked(10).input_tokens is None


def test_a_set_is_read_back_from_what_was_written_of_it():
    for fields in (
        {"lengths": [{"uniform": [8, 16]}, 4], "prefix": {"share": 0.5}},
        {"dataset": "sharegpt", "path": "/x.json", "options": {"sharegpt_output_len": 4}, "ends_by": "any"},
        {"trace": "/x.jsonl", "speed": 2.0, "window_s": [0, 5], "sampling": "server"},
    ):
        found = RequestSet(**fields)
        assert RequestSet(**found.model_dump(mode="json")) == found
