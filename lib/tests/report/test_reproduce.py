"""A run made again: what is not here as it was there is named, and each number agrees within so much, or differs by so much."""

from __future__ import annotations

import random
import shutil
from types import SimpleNamespace

import pytest
from benchbook.hosts.machine.facts import Machine
from benchbook.judge.agreement import Found, agreements
from benchbook.plan.experiment import load_experiment
from benchbook.records.files import write_text
from benchbook.records.fingerprint import case_key
from benchbook.records.header import Search
from benchbook.records.store import EXPERIMENT_FILE, Store
from benchbook.report.run import load_run
from benchbook.reproduce import reproduce
from benchbook.sweep import reproduction
from benchbook.terminal import console
from benchbook.terms.errors import ExperimentError
from benchbook.terms.exit_codes import FAILED, NO_ANSWER, OK
from report_runs import make_run

FILE = """question: q
model: tiny
launches:
  eager: {args: {enforce_eager: true}}
benchmarks:
  - serve: {max_concurrency: [1, 4], lengths: [128, 64], num_prompts: 40}
"""
SETTINGS = {"enforce_eager": True}  # of its launch


def changed(factor, seed, starts=1, spread=0.01):
    """Return what makes of each record one of another day: times `factor`, on so many starts, each value drawn anew."""
    draw = random.Random(seed)

    def change(record):
        at = record.identity.repeat % starts
        luck = factor * draw.gauss(1, spread)
        values = {
            key: value and value * (luck if key.endswith("_tok_s") else 1 / luck)
            for key, value in record.values.items()
        }
        ready = f"2026-11-{24 + seed % 5}T20:{10 + at}:00+00:00"
        return record.model_copy(update={"values": values, "host": record.host.model_copy(update={"ready_utc": ready})})

    return change


def run_of(folder, factor=1.0, seed=0, starts=1, repeats=4, spread=0.01, **more):
    run_dir = make_run(
        folder,
        repeats=repeats,
        benchmarks=("serve",),
        concurrencies=(1, 4),
        change=changed(factor, seed, starts, spread),
        **more,
    )
    write_text(run_dir / EXPERIMENT_FILE, FILE)
    return run_dir


def found(folder, starts, factor, seed):
    there = load_run(run_of(folder / f"there{seed}{factor}", 1.0, seed, starts, repeats=8))
    here = load_run(run_of(folder / f"here{seed}{factor}", factor, seed + 100, starts, repeats=8))
    return {row.found for row in agreements(there.records, here.records)}, agreements(there.records, here.records)


@pytest.mark.parametrize("starts", [1, 5])
def test_an_equal_repetition_agrees_and_says_within_what(tmp_path, starts):
    for seed in range(4):
        kinds, rows = found(tmp_path, starts, 1.0, seed)
        assert kinds == {Found.AGREES}, (seed, kinds)
        assert all("agrees within" in row.sentence for row in rows)


@pytest.mark.parametrize(
    ("starts", "factor", "expected"), [(1, 0.55, Found.DIFFERS), (5, 0.7, Found.DIFFERS), (1, 0.84, Found.AGREES)]
)
def test_a_planted_change_is_found_where_starts_do_not_explain_it(tmp_path, starts, factor, expected):
    for seed in range(3):
        _, rows = found(tmp_path, starts, factor, seed)
        headlines = [row for row in rows if row.is_headline]
        assert {row.found for row in headlines} == {expected}, seed
        if expected is Found.DIFFERS:
            assert all("differs by -" in row.sentence and "±" in row.sentence for row in headlines)
        else:
            assert all("too few to tell more" in row.sentence for row in headlines)


def test_repeats_that_vary_too_much_tell_nothing_and_do_not_agree(tmp_path):
    wide = []
    for number in range(3):
        there, here = (
            load_run(run_of(tmp_path / f"{name}{number}", seed=number + seed, repeats=4, spread=0.15))
            for seed, name in enumerate(("there", "here"))
        )
        rows = agreements(there.records, here.records)
        known = [(row, row.ratio.interval(row.confidence)) for row in rows]
        wide += [row for row, bounds in known if bounds and (bounds[0] < 0.5 or bounds[1] > 2)]
    assert wide and all(row.found is Found.UNKNOWN for row in wide)
    assert all("repeats vary so much that it may be anything from -" in row.sentence for row in wide)


def test_a_single_repeat_tells_nothing(tmp_path):
    there, here = (load_run(run_of(tmp_path / name, repeats=1, seed=len(name))) for name in ("there", "here"))
    rows = agreements(there.records, here.records)
    assert {row.found for row in rows} == {Found.UNKNOWN} and "cannot be told" in rows[0].sentence


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Return a results folder with a run; what would measure it again, and the look at models, is replaced."""
    run_of(tmp_path / "results", 1.0, 1)
    monkeypatch.setattr(reproduction, "preflight_of", lambda file: SimpleNamespace(experiment=load_experiment(file)))
    monkeypatch.setattr(reproduction.RunPlan, "of", planned)
    monkeypatch.setattr(reproduction, "_parts", lambda plan, records: [])
    return tmp_path / "results"


def planned(experiment):
    """Return the plan with models and cases as far as they are looked at, and no model is made."""
    models = {launch.name: SimpleNamespace(name="tiny") for launch in experiment.launches}
    cases = SimpleNamespace(get=lambda case_id: SimpleNamespace(parts={"environment": "here"}))
    return SimpleNamespace(experiment=experiment, models=models, cases=cases)


def measuring(tmp_path, factor, asked):
    def measure(file, only):
        asked.append((file, only))
        return load_run(run_of(tmp_path / "again", factor, 9))

    return measure


@pytest.mark.parametrize(("factor", "code", "said"), [(1.0, OK, "agrees within"), (0.5, FAILED, "differs by -5")])
def test_the_exit_code_says_whether_it_agrees(tmp_path, results, capsys, factor, code, said):
    asked = []
    assert reproduce("quickstart", "", results, False, measuring(tmp_path, factor, asked), console()) == code
    printed = capsys.readouterr().out
    assert said in printed and "equal repetition is called different in at most 5 %" in printed
    assert asked[0][0].name == "quickstart.yaml" and asked[0][0].read_text() == FILE


def test_of_a_run_some_cases_are_made_again_and_a_pattern_that_fits_none_is_named(tmp_path, results):
    asked = []
    reproduce("quickstart", "max_concurrency=4", results, False, measuring(tmp_path, 1.0, asked), console())
    assert asked[0][1] and all("max_concurrency=4" in name for name in asked[0][1])
    with pytest.raises(ExperimentError, match="no case fits 'max_concurency=4'; did you mean"):
        reproduce("quickstart", "max_concurency=4", results, False, measuring(tmp_path, 1.0, asked), console())


def test_cases_of_a_search_alone_are_not_made_again(tmp_path, results):
    store = Store.open("quickstart", results)
    cases = {each for record in store.records() if "max_concurrency=4" in (each := record.identity.case_id)}
    search = Search(
        default="eager", cases={name: name for name in cases}, metric="output_throughput_tok_s", confirmations=4
    )
    store.write_header(store.header().model_copy(update={"search": search}))
    for only_look in (False, True):
        with pytest.raises(ExperimentError, match="all cases that fit are of a search"):
            reproduce(
                "quickstart", "max_concurrency=4", results, only_look, lambda *_: pytest.fail("it started"), console()
            )


def changed_header(store, **args):
    header = store.header()
    facts = header.launches["eager"].model_copy(update={"args": {**SETTINGS, **args}, "env": {}})
    return header.model_copy(update={"launches": {"eager": facts}})


def told_of(store, results):
    return reproduction.mismatches(store, reproduction.recreated(store, results))


def test_what_is_not_here_as_it_was_there_is_named(results, monkeypatch):
    store = Store.open("quickstart", results)
    store.write_header(changed_header(store))
    there = store.header().provenance.machine.model_dump()
    monkeypatch.setattr(reproduction, "machine", lambda: Machine(**{**there, "gpus": ()}))
    versions = dict(store.records()[0].provenance.packages)
    monkeypatch.setattr(reproduction, "package_versions", lambda: versions)
    assert told_of(store, results) == []
    monkeypatch.setattr(reproduction, "machine", lambda: Machine(cpu="Another CPU", cpu_cores=2))
    monkeypatch.setattr(reproduction, "package_versions", lambda: {**versions, "vllm": "0.33.0"})
    store.write_header(changed_header(store, max_num_seqs=4).model_copy(update={"seed": 7}))
    told = told_of(store, results)
    assert f"vllm {versions['vllm']} there, 0.33.0 here" in told
    assert any(line.startswith("cpu: ") and line.endswith("there, Another CPU here") for line in told)
    assert any("max_num_seqs not set (as it was measured: 4)" in line for line in told)
    assert "seed 7 there, 0 in experiment.yaml: other prompts" in told
    assert not any("torch" in line for line in told)


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"max_num_seqs": "8"}, "{enforce_eager: true, max_num_seqs: 8}", ""),  # to a command line they are one
        ({}, "{enforce_eager: true, max_num_seqs: 8}", "max_num_seqs 8 (as it was measured: not set)"),
        (
            {"dtype": "float32"},
            "{enforce_eager: true, dtype: bfloat16}",
            "dtype bfloat16 (as it was measured: float32)",
        ),
    ],
)
def test_a_launch_of_the_file_that_is_another_is_told_by_its_settings(results, before, now, said):
    store = Store.open("quickstart", results)
    store.write_header(changed_header(store, **before))
    write_text(store.run_dir / EXPERIMENT_FILE, FILE.replace("{enforce_eager: true}", now))
    told = [line for line in told_of(store, results) if "launch 'eager'" in line]
    assert told == [] if not said else said in told[0]


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        ({}, {"VLLM_LOGGING_LEVEL": "DEBUG"}, "variable VLLM_LOGGING_LEVEL of the shell: not set there, DEBUG here"),
        ({"HF_HOME": "/a"}, {"HF_HOME": "/b"}, "variable HF_HOME of the shell: /a there, /b here"),
        ({"VLLM_TARGET_DEVICE": "cpu"}, {}, "variable VLLM_TARGET_DEVICE of the shell: cpu there, not set here"),
        ({"DO_NOT_TRACK": "1"}, {}, "other variables of the shell, which its server inherits"),  # that one is ours
    ],
)
def test_a_variable_of_another_shell_is_named(results, monkeypatch, there, here, said):
    store = Store.open("quickstart", results)
    for record in store.records():
        identity = record.identity.model_copy(update={"fingerprint_parts": {"environment": "there"}})
        host = record.host.model_copy(update={"env": there})
        key = case_key(identity.case_id, identity.fingerprint)
        store.save(key, record.model_copy(update={"identity": identity, "host": host}))
    engine = SimpleNamespace(inherited=lambda: here, environment=lambda hub, args: {"DO_NOT_TRACK": "1"}, python=None)
    monkeypatch.setattr(reproduction, "engine_of", lambda launch: engine)
    assert [line for line in told_of(store, results) if "of the shell" in line] == [said]


@pytest.mark.parametrize(("there", "is_said"), [("b" * 64, True), ("", False), ("a" * 64, False)])
def test_requests_of_the_folder_that_are_not_those_that_were_sent_are_named(monkeypatch, there, is_said):
    monkeypatch.setattr(reproduction, "layouts", lambda experiment: {"chat": None})
    monkeypatch.setattr(reproduction, "drawn_before", lambda *_: SimpleNamespace(sha256="a" * 64))
    record = SimpleNamespace(requests=SimpleNamespace(name="chat", sha256=there))
    told = list(reproduction._requests(SimpleNamespace(), [record]))
    assert [line.startswith("the requests 'chat' of the folder are not those") for line in told] == [True] * is_said


def test_the_requests_that_were_frozen_there_lie_beside_the_file_that_is_measured_again(results):
    store = Store.open("quickstart", results)
    (store.run_dir / "requests").mkdir()
    (store.run_dir / "requests" / "chat.jsonl.gz").write_bytes(b"theirs")
    (store.run_dir / "requests" / "words.json").write_text("{}")  # of which the hash alone was kept
    file = reproduction.recreated(store, results)
    assert {path.name: path.read_bytes() for path in (file.parent / "requests").iterdir()} == {
        "chat.jsonl.gz": b"theirs"
    }


def test_other_requests_are_named_and_those_of_a_second_try_are_not(tmp_path):
    there = load_run(run_of(tmp_path)).records
    there = [record.model_copy(update={"request_set_sha256": "a" * 64}) for record in there]
    other = [record.model_copy(update={"request_set_sha256": "b" * 64}) for record in there]
    assert "other requests were sent" in reproduction.other_requests(there, other)[0]
    again = [
        one.model_copy(update={"identity": one.identity.model_copy(update={"disturbed": ("machine_busy",)})})
        for one in other
    ]
    assert reproduction.other_requests(there, again) == [] == reproduction.other_requests(there, there)


def test_what_cannot_be_made_again_is_refused_before_anything_starts(tmp_path, results):
    run_dir = Store.open("quickstart", results).run_dir
    (run_dir / EXPERIMENT_FILE).unlink()
    with pytest.raises(ExperimentError, match="it has no experiment.yaml"):
        reproduce("quickstart", "", results, False, lambda file, only: pytest.fail("it started"), console())
    shutil.rmtree(run_dir / "cases")
    with pytest.raises(ExperimentError, match="no measured repeat"):
        reproduce("quickstart", "", results, False, lambda file, only: pytest.fail("it started"), console())


@pytest.mark.parametrize("name", ["../../x", "a/b", ".", "x" * 300])
def test_a_run_whose_experiment_has_the_name_of_a_path_writes_nothing(results, name):
    store = Store.open("quickstart", results)
    store.write_header(store.header().model_copy(update={"experiment": name}))
    before = sorted(results.parent.rglob("*"))
    with pytest.raises(ExperimentError, match="its experiment is called"):
        reproduction.recreated(store, results)
    assert sorted(results.parent.rglob("*")) == before


def test_too_few_repeats_are_no_answer(tmp_path, results):
    def measure(file, only):
        return load_run(run_of(tmp_path / "again", 1.0, 9, repeats=1))

    run_of(tmp_path / "one", 1.0, 3, repeats=1)
    assert reproduce("quickstart", "", tmp_path / "one", False, measure, console()) == NO_ANSWER
