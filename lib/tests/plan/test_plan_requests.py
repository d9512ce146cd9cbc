"""Sets of requests in an experiment file: what a row may say, how a benchmark names it, and what the case knows of it."""

import pytest
from benchbook.plan.experiment import load_experiment
from benchbook.plan.request_facts import SetFacts
from benchbook.plan.requests import RequestSet
from benchbook.plan.workloads import ServeWorkload
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


def test_an_offline_benchmark_takes_no_set_and_says_who_does(tmp_path):
    for entry in ("throughput: {requests: it, num_prompts: 4}", "latency: {requests: [it], batch_size: 1}"):
        path = tmp_path / "x.yaml"
        sets = "requests: {it: {lengths: [8, 4]}}\nbenchmarks:\n  - serve: {requests: it, max_concurrency: 1, num_prompts: 2}\n"
        path.write_text(f"question: Which?\nmodel: tiny\nlaunches: {{a: {{}}}}\n{sets}  - {entry}\n")
        with pytest.raises(ExperimentError) as refused:
            load_experiment(path)
        (line,) = str(refused.value).splitlines()
        assert "x.yaml:7" in line and "sets are sent by serve, all at once with request_rate_rps: inf" in line


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
