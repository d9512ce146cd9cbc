"""`place` in an experiment's file: what it says, and what is refused in one line."""

import pytest
from benchbook.plan.experiment import load_experiment
from benchbook.plan.place import Placing
from benchbook.plan.trial import tried_case
from benchbook.terms.errors import ExperimentError

FILE = """question: Where?
model: tiny
launches: {{a: {{args: {{max_model_len: 4096}}}}, b: {{args: {{max_model_len: 2048}}}}}}
benchmarks:
  - first_request: {{}}
  - serve: {{{load}, lengths: [[16, 8]], num_prompts: 8}}
  - latency: {{batch_size: 32, lengths: [[16, 8]]}}
{more}
"""
SAID = {
    "{gpus: 1, at_once: all}": Placing(1, None, None, 0.01, False),
    "{gpus: 2}": Placing(2, None, None, 0.01, False),
    "{cores: 4, at_once: 3, neighbours: 2.5 %}": Placing(None, 4, 3, 0.025, False),
    "{at_once: 2, otherwise: alone}": Placing(None, None, 2, 0.01, True),
}
REFUSED = {
    "{}": "name gpus or cores",
    "{at_once: all}": "name gpus or cores",
    "{gpus: 0}": "place.gpus: 0: must be",
    "{cores: 1.5}": "place.cores: 1.5: must be",
    "{cores: 1, at_once: none}": "must be all or how many run at once",
    "{cores: 1, at_once: 0}": "must be all or how many run at once",
    "{cores: 1, at_once: true}": "must be all or how many run at once",
    "{gpus: 1, cores: 4}": "leave cores out",
    "{gpu: 1, at_once: 2}": "did you mean 'gpus'?",
    "{gpus: 1, neighbours: 3}": "must be a share of the value",
    "{gpus: 1, otherwise: serial}": "must be 'marked' or 'alone'",
    "4": "place",
}


def experiment(tmp_path, more, load="max_concurrency: [1, 8, 2]"):
    path = tmp_path / "where.yaml"
    path.write_text(FILE.format(more=more, load=load))
    return load_experiment(path)


def test_a_file_says_what_a_place_is_how_many_and_what_neighbours_may_cost(tmp_path):
    assert experiment(tmp_path, "").place is None
    for text, placing in SAID.items():
        assert experiment(tmp_path, f"place: {text}").place == placing, text


def test_what_no_place_can_be_is_refused_with_its_line(tmp_path):
    for text, problem in REFUSED.items():
        with pytest.raises(ExperimentError) as refusal:
            experiment(tmp_path, f"place: {text}")
        assert "where.yaml:8: " in str(refusal.value) and problem in str(refusal.value), (text, str(refusal.value))


def test_all_that_is_wrong_with_a_place_is_told_at_once(tmp_path):
    with pytest.raises(ExperimentError) as refusal:
        experiment(tmp_path, "place: {gpus: 0, neighbours: 3, at_one: 2}")
    assert len(str(refusal.value).splitlines()) == 3


def test_servers_that_run_already_have_no_places(tmp_path):
    text = "question: q\nlaunches: {prod: {attach: 'http://127.0.0.1:9'}}\nplace: {at_once: 2}\nbenchmarks: [{first_request: {}}]"
    (tmp_path / "there.yaml").write_text(text)
    with pytest.raises(ExperimentError, match="launch 'prod' is a server that runs already"):
        load_experiment(tmp_path / "there.yaml")


HEAVIEST = {
    "max_concurrency: [1, 8, 2]": "max_concurrency=8,num_prompts=8",
    "request_rate_rps: [1, 8, 2]": "num_prompts=8,request_rate_rps=8",
    "request_rate_rps: [0.5, 2, 16]": "num_prompts=8,request_rate_rps=16",
    "request_rate_rps: [4, 2], max_concurrency: 3": "max_concurrency=3,num_prompts=8,request_rate_rps=4",
}


def test_what_neighbours_are_tried_with_is_the_heaviest_case_of_the_first_load(tmp_path):
    for load, heaviest in HEAVIEST.items():
        case = tried_case(experiment(tmp_path, "place: {at_once: 2}", load))
        assert case.case_id == f"a,serve,lengths=16x8,{heaviest}", load


SHARED = {
    "{at_once: 4}": {"at_once": 4},
    "{at_once: 2, otherwise: alone}": {"at_once": 2},
    "{at_once: 1}": {},
    "{cores: 4, at_once: 3}": {"cores": 4},
    "{gpus: 2, at_once: 4}": {"gpus": 2},
}


def test_how_many_share_all_processors_counts_in_the_fingerprint_and_how_many_have_their_own_does_not(tmp_path):
    for text, identity in SHARED.items():
        assert experiment(tmp_path, f"place: {text}").place.identity == identity, text
