"""Where the requests of each repeat lie in a run's frozen sets, what a notebook is told of them, and when they are drawn anew."""

import json
import re
from dataclasses import replace
from itertools import combinations

import pytest
from benchbook.plan.experiment import load_experiment, read_experiment
from benchbook.plan.requests import FOLDER
from benchbook.records.frozen import FrozenHeader, FrozenRequest, lines_sha256, read_header, write_frozen
from benchbook.records.handover import Handover, read_handover
from benchbook.records.store import Store
from benchbook.sweep import request_sets, session
from benchbook.sweep.planning import RunPlan
from benchbook.sweep.request_sets import FrozenSet, forget_texts, frozen_in, seed_of
from benchbook.sweep.request_sets import freeze as freeze_sets
from benchbook.sweep.set_checks import check_sets
from benchbook.sweep.set_layout import layouts
from benchbook.terms.errors import ExperimentError

FILE = """question: What does chat cost?
model: tiny
launches: {{a: {{}}, b: {{args: {{enforce_eager: true}}}}}}
requests:
  it: {row}
benchmarks:
  - serve: {{requests: it, max_concurrency: [1, 4], num_prompts: 6 per concurrency}}
repeats: {repeats}
"""
ROW = "{lengths: [8, 4]}"


def experiment_of(tmp_path, row=ROW, repeats=3):
    path = tmp_path / "x.yaml"
    path.write_text(FILE.format(row=row, repeats=repeats))
    return load_experiment(path)


def freeze(experiment, store, seed=None, salt="", distinct=None, tokenizer_sha256=None):
    """Write the set as drawing it would, with prompts that nobody reads."""
    wanted, number = experiment.requests["it"], layouts(experiment)["it"].requests
    folder = store.run_dir / FOLDER
    folder.mkdir(exist_ok=True)
    header = FrozenHeader(
        name="it",
        requests=number,
        distinct=number if distinct is None else distinct,
        seed=seed_of(experiment, "it") if seed is None else seed,
        tokenizer_sha256=tokenizer_sha256,
        spec=wanted.model_dump(mode="json", exclude_defaults=True),
    )
    requests = (FrozenRequest(prompt=f"{salt}{index}", input_tokens=8, output_tokens=4) for index in range(number))
    return write_frozen(folder / "it.jsonl.gz", header, requests)


def test_a_set_has_a_seed_of_its_own_so_that_no_other_begins_like_it(tmp_path):
    experiment = experiment_of(tmp_path)
    seeds = {seed_of(experiment, name) for name in ("it", "random", "agents")}
    assert len(seeds) == 3 and seed_of(replace(experiment, seed=7), "it") not in seeds


@pytest.fixture
def store(tmp_path):
    return Store.create(tmp_path / "results", "x")


def sent_by(plan, folder):
    """Return what each planned repeat is told to send, with its number of prompts."""
    repeats = [repeat for block in plan.experiment.planned_rounds() for repeat in block.repeats]
    return [(repeat, plan.sent(repeat, folder)) for repeat in repeats]


def test_no_request_is_sent_twice_on_one_start_and_launches_are_sent_the_same_in_a_round(tmp_path, store):
    experiment = experiment_of(tmp_path)
    freeze(experiment, store)
    plan = RunPlan.of(experiment, store)
    spans, by_round = {}, {}
    for repeat, sent in sent_by(plan, store.run_dir):
        workload = repeat.case.workload
        spans[repeat.case.axes_text, repeat.number] = range(sent.start, sent.start + workload.num_prompts)
        warm = range(sent.warmup_starts[0], sent.warmup_starts[0] + workload.warmup_prompts)
        spans[repeat.case.axes_text, repeat.number, "warm-up"] = warm
        by_round.setdefault((repeat.case.axes_text, repeat.number), []).append(sent)
    assert all(first == second for first, second in by_round.values())
    assert all(not set(one) & set(other) for one, other in combinations(spans.values(), 2))
    assert max(map(max, spans.values())) < layouts(experiment)["it"].requests
    assert all(len(set(sent.warmup_starts)) == len(sent.warmup_starts) for (sent, _) in by_round.values())


def test_conversations_are_not_cut_between_repeats(tmp_path, store):
    experiment = experiment_of(tmp_path, row="{lengths: [8, 4], conversations: {turns: 5}, endpoint: chat}")
    freeze(experiment, store)
    for _, sent in sent_by(RunPlan.of(experiment, store), store.run_dir):
        assert sent.start % 5 == 0 and all(start % 5 == 0 for start in sent.warmup_starts)


def test_a_notebook_finds_the_file_from_its_own_folder_also_after_the_run_was_moved(tmp_path, store):
    experiment = experiment_of(tmp_path)
    freeze(experiment, store)
    folder = store.run_dir / "cases" / "k" / "repeat=0"
    folder.mkdir(parents=True)
    ((_, sent), *_) = sent_by(RunPlan.of(experiment, store), folder)
    name = Handover(requests=sent).write(folder)
    moved = store.run_dir.rename(tmp_path / "moved")
    told = read_handover(str(moved / "cases" / "k" / "repeat=0" / name)).requests
    assert told.path == str(moved / FOLDER / "it.jsonl.gz") and told.start == sent.start


def test_what_was_drawn_counts_in_the_fingerprint_of_the_cases_that_send_it(tmp_path, store):
    experiment = experiment_of(tmp_path)
    bare = RunPlan.of(experiment)
    freeze(experiment, store)
    first = RunPlan.of(experiment, store)
    assert RunPlan.of(experiment, store).cases == first.cases
    freeze(experiment, store, salt="other ")
    other = RunPlan.of(experiment, store)
    keys = [[planned.key for planned in plan.cases.values()] for plan in (bare, first, other)]
    assert all(one != another for pair in combinations(keys, 2) for one, another in zip(*pair))


def test_a_file_of_the_run_is_kept_while_the_set_is_the_one_that_is_asked_for(tmp_path, store):
    experiment = experiment_of(tmp_path)
    freeze(experiment, store)
    assert set(frozen_in(experiment, store)) == {"it"}
    for changed in (
        experiment_of(tmp_path, row="{lengths: [8, 5]}"),
        experiment_of(tmp_path, row="{lengths: [8, 4], ends_by: any}"),
    ):
        assert not frozen_in(changed, store)
    path = store.run_dir / FOLDER / "it.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-9])
    assert not frozen_in(experiment_of(tmp_path), store)


@pytest.mark.parametrize("salt", ["", "other "])
def test_a_run_that_is_asked_for_more_rounds_keeps_what_was_sent_if_the_longer_draw_begins_with_it(
    tmp_path, store, monkeypatch, salt
):
    few, more, most = (experiment_of(tmp_path, repeats=number) for number in (3, 5, 8))
    freeze(few, store)
    before = RunPlan.of(few, store)
    assert RunPlan.of(more, store).cases == before.cases  # as `plan` expects it
    for longer in (more,) if salt else (more, most):
        monkeypatch.setattr(request_sets, "_drawn", drawn_longer(salt))
        monkeypatch.setattr(request_sets, "WarmClient", NoClient)
        told = []
        found = freeze_sets(longer, before.models, store, Said(told))
        after = RunPlan.of(longer, store)
        assert found["it"].is_enough and found["it"].header.requests == layouts(longer)["it"].requests
        assert (after.cases == before.cases) is (not salt)
        assert bool(found["it"].header.first) is (not salt)
        if not salt:
            assert "as they were" in told[-1] and found["it"].header.first == layouts(few)["it"].requests
            assert freeze_sets(longer, before.models, store, Said([]))["it"].sha256 == found["it"].sha256


def drawn_longer(salt):
    """Return what stands for drawing: the requests of `freeze`, as many as are asked for."""

    def drawn(experiment, name, layout, models, store, client):
        freeze(experiment, store, salt=salt)
        path = store.run_dir / FOLDER / "it.jsonl.gz"
        return FrozenSet(name, experiment.requests[name], path, read_header(path), lines_sha256(path), layout)

    return drawn


class NoClient:
    """Stands for the warm client where nothing is drawn by it."""

    def __init__(self, **_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_a_data_set_counts_by_its_name_and_not_by_the_folder_that_it_lay_in(tmp_path, store):
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "chat.jsonl").write_text('{"prompt": "one"}\n' * 400)
    freeze(experiment_of(tmp_path, row="{dataset: custom, path: here/chat.jsonl}"), store)
    assert frozen_in(experiment_of(tmp_path, row="{dataset: custom, path: there/chat.jsonl}"), store)


def checked(tmp_path, lines):
    (tmp_path / "chat.jsonl").write_text("".join(lines))
    experiment_of(tmp_path, row="{dataset: custom, path: chat.jsonl}")
    experiment = read_experiment(tmp_path / "x.yaml")
    notes = check_sets(experiment)
    experiment.document.faults.raise_any()
    return notes


def test_a_set_with_too_few_requests_for_fresh_ones_says_so_and_one_with_too_few_for_a_load_is_refused(tmp_path):
    row = '{"prompt": "one"}\n'
    needed = layouts(experiment_of(tmp_path))["it"].requests
    assert checked(tmp_path, [row] * needed) == []
    (note,) = checked(tmp_path, [row] * (needed - 1))
    assert "requests 'it'" in note and "they come again" in note
    with pytest.raises(ExperimentError, match=r"x.yaml:5: requests.it: .*chat.jsonl, line 23: ends after 23 requests"):
        checked(tmp_path, [row] * 23)


def test_a_malformed_row_is_refused_with_its_line_and_that_of_the_set(tmp_path):
    for number, bad in enumerate(('{"prompt": 1}\n', "nonsense\n", '["prompt"]\n'), start=2):
        rows = ['{"prompt": "one"}\n'] * 400
        rows[number] = bad
        with pytest.raises(ExperimentError) as caught:
            checked(tmp_path, rows)
        (line,) = str(caught.value).splitlines()
        assert "x.yaml:5: requests.it" in line and f"chat.jsonl, line {number + 1}" in line


def test_requests_that_come_again_are_told_to_the_notebook(tmp_path, store):
    experiment = experiment_of(tmp_path)
    for distinct, is_fresh in ((None, True), (40, False)):
        freeze(experiment, store, distinct=distinct)
        assert {sent.is_fresh for _, sent in sent_by(RunPlan.of(experiment, store), store.run_dir)} == {is_fresh}


def test_of_a_set_whose_text_is_not_kept_its_hash_and_its_row_stay(tmp_path, store):
    experiment = experiment_of(tmp_path)
    sha256 = freeze(experiment, store, salt="a secret of somebody's ")
    forget_texts(store)
    (left,) = (store.run_dir / FOLDER).iterdir()
    told = json.loads(left.read_text())
    assert told["sha256"] == sha256 and told["spec"] == {"lengths": [8, 4]} and "somebody" not in left.read_text()
    forget_texts(store)  # as a run without sets has none
    assert json.loads(left.read_text()) == told


def test_the_very_requests_of_another_run_are_sent_again_from_its_file(tmp_path, store):
    sha256 = freeze(experiment_of(tmp_path), store, salt="theirs ")
    exported = tmp_path / "elsewhere.jsonl.gz"
    exported.write_bytes((store.run_dir / FOLDER / "it.jsonl.gz").read_bytes())
    experiment = experiment_of(tmp_path, row="{frozen: elsewhere.jsonl.gz}")
    assert check_sets(experiment) == [] and not experiment.document.faults.has_within(("requests",))
    other, told = Store.create(tmp_path / "results", "y"), []
    models = RunPlan.of(experiment).models
    found = freeze_sets(experiment, models, other, Said(told))
    assert found["it"].sha256 == sha256 and found["it"].path.read_bytes() == exported.read_bytes()
    assert frozen_in(experiment, other)["it"].sha256 == sha256


def elsewhere(tmp_path, row, repeats=3):
    """Return the experiment as `reproduce` reads it: in a folder of its own, with what was drawn for it beside."""
    (tmp_path / "x.yaml").rename(tmp_path / "again" / "x.yaml")
    (tmp_path / "again" / "x.yaml").write_text(FILE.format(row=row, repeats=repeats))
    experiment = read_experiment(tmp_path / "again" / "x.yaml")
    return experiment, [] if experiment.document.faults.has_within(("requests",)) else check_sets(experiment)


DATA_SET = "{dataset: custom, path: prompts.jsonl}"


@pytest.mark.parametrize("row", [ROW, DATA_SET, "{lengths: [8, 4], text: prompts.jsonl}"])
def test_what_was_drawn_and_lies_beside_the_file_is_sent_again_whatever_became_of_its_source(tmp_path, row):
    data = tmp_path / "prompts.jsonl"
    data.write_text('{"prompt": "one"}\n' * 900)
    beside = Store(tmp_path / "again")
    beside.run_dir.mkdir()
    sha256 = freeze(experiment_of(tmp_path, row), beside, salt="theirs ")
    data.unlink()
    experiment, notes = elsewhere(tmp_path, row)
    experiment.document.faults.raise_any()
    assert notes == []
    there, told = Store.create(tmp_path / "results", "x"), []
    found = freeze_sets(experiment, RunPlan.of(experiment).models, there, Said(told))
    assert found["it"].sha256 == sha256 and found["it"].path.is_relative_to(there.run_dir.resolve())
    assert frozen_in(experiment, there)["it"].sha256 == sha256
    assert len(told) == 1 and "are those of" in told[0]


@pytest.mark.parametrize(
    ("row", "repeats", "seed"),
    [(DATA_SET, 9, None), (DATA_SET, 3, 5), (DATA_SET.replace("custom", "sharegpt"), 3, None)],
)
def test_what_lies_beside_the_file_and_is_another_set_or_too_little_takes_no_place_of_what_is_missing(
    tmp_path, row, repeats, seed
):
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "one"}\n' * 900)
    beside = Store(tmp_path / "again")
    beside.run_dir.mkdir()
    freeze(experiment_of(tmp_path, DATA_SET), beside, seed=seed)
    (tmp_path / "prompts.jsonl").unlink()
    experiment, _ = elsewhere(tmp_path, row, repeats)
    with pytest.raises(ExperimentError) as caught:
        experiment.document.faults.raise_any()
    (line,) = str(caught.value).splitlines()
    assert "x.yaml:5: requests.it" in line and "prompts.jsonl: no such file, and what was drawn of it before" in line


def test_an_adapter_that_a_launch_does_not_serve_is_refused_at_its_line(tmp_path):
    text = FILE.format(row="{lengths: [8, 4], adapters: {sql: 0.5, law: 0.25}}", repeats=3)
    for modules, refused in (
        ("[sql=/a, law=/b]", ()),
        ('[{name: sql, path: /a}, \'{"name": "law", "path": "/b"}\']', ()),
        ("[sql=/a]", ("requests.it.adapters.law: 0.25: no adapter of launch 'a'", "it serves sql")),
        ("[sqk=/a, law=/b]", ("requests.it.adapters.sql: 0.5", "did you mean 'sqk'?")),
    ):
        path = tmp_path / "x.yaml"
        launches = f"launches: {{a: {{args: {{enable_lora: true, lora_modules: {modules}}}}}}}\n"
        path.write_text(text.replace(text.splitlines(keepends=True)[2], launches))
        experiment = read_experiment(path)
        check_sets(experiment)
        try:
            experiment.document.faults.raise_any()
            told = []
        except ExperimentError as error:
            told = str(error).splitlines()
        assert len(told) == bool(refused) and all(words in told[0] for words in refused)


def test_a_frozen_file_with_too_few_requests_or_damage_is_refused_at_its_line(tmp_path, store):
    freeze(experiment_of(tmp_path), store)
    content = (store.run_dir / FOLDER / "it.jsonl.gz").read_bytes()
    for name, damaged, repeats, said in (
        ("few", content, 9, "are needed for all rounds"),
        ("cut", content[:40], 3, "cut"),
        ("text", b"no file of ours", 3, "it"),
    ):
        (tmp_path / name).write_bytes(damaged)
        path = tmp_path / "x.yaml"
        path.write_text(FILE.format(row="{frozen: %s}" % name, repeats=repeats))
        with pytest.raises(ExperimentError) as caught:
            experiment = read_experiment(path)
            check_sets(experiment)
            experiment.document.faults.raise_any()
        (line,) = str(caught.value).splitlines()
        assert "x.yaml:5: requests.it" in line and said in line


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"kind": 5},
        {"lengths": "x"},
        {"prefix": 7},
        {"conversations": {"turns": -1}},
        {"from": "a benchbook to come"},
    ],
    ids=str,
)
def test_a_frozen_file_whose_header_tells_of_no_set_is_named_with_what_is_wrong(tmp_path, spec):
    header = FrozenHeader(name="it", requests=999, distinct=999, seed=0, spec=spec)
    requests = (FrozenRequest(prompt=str(index), input_tokens=8, output_tokens=4) for index in range(999))
    write_frozen(tmp_path / "it.jsonl.gz", header, requests)
    experiment = experiment_of(tmp_path, row="{frozen: it.jsonl.gz}")
    check_sets(experiment)
    with pytest.raises(ExperimentError) as caught:
        experiment.document.faults.raise_any()
    (line,) = str(caught.value).splitlines()
    assert "x.yaml:5: requests.it" in line and "it.jsonl.gz, line 1, is damaged: spec: " in line


def test_a_frozen_set_of_turns_or_chats_is_not_given_to_an_engine_and_one_of_prompts_is(tmp_path):
    entry = "throughput: {requests: it, num_prompts: 2}"
    for spec, said in (
        ({"lengths": [8, 4], "conversations": {"turns": 2}}, "follows the answer before"),
        ({"lengths": [8, 4], "endpoint": "chat"}, "no template is put around a prompt"),
        ({"lengths": [8, 4], "sampling": "server"}, None),  # which who sends it again says anew
    ):
        header = FrozenHeader(name="it", requests=99, distinct=99, seed=0, spec=spec)
        requests = (FrozenRequest(prompt=str(index), input_tokens=8, output_tokens=4) for index in range(99))
        write_frozen(tmp_path / "it.jsonl.gz", header, requests)
        path = tmp_path / "x.yaml"
        path.write_text(re.sub("serve: .*", entry, FILE.format(row="{frozen: it.jsonl.gz}", repeats=3)))
        experiment = load_experiment(path)
        check_sets(experiment)
        if said is None:
            experiment.document.faults.raise_any()
            continue
        with pytest.raises(ExperimentError) as caught:
            experiment.document.faults.raise_any()
        (line,) = str(caught.value).splitlines()
        assert "x.yaml:5: requests.it" in line and said in line


class Said:
    """A listener that keeps what it is told."""

    def __init__(self, told):
        self.say = self.working_on = told.append


def test_a_set_that_another_tokenizer_counted_is_drawn_anew(tmp_path, store):
    experiment = experiment_of(tmp_path)
    freeze(experiment, store, tokenizer_sha256="of another model")
    assert not frozen_in(experiment, store)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_run_that_cannot_be_drawn_for_leaves_no_folder_unless_it_was_there(store, monkeypatch, is_new):
    def refuse(*_):
        raise ExperimentError("requests.it: not on this machine")

    monkeypatch.setattr(session, "freeze", refuse)
    with pytest.raises(ExperimentError, match="not on this machine"):
        session._frozen(RunPlan(None, {}, {}), store, None, is_new=is_new)
    assert store.run_dir.exists() != is_new
