"""Several blocks at once: which place each has, what they wait for, what neighbours cost, and a place that is lost."""

from collections import Counter
from dataclasses import dataclass
from multiprocessing import Pipe
from types import SimpleNamespace

import pytest
from benchbook.hosts.machine.places import Place
from benchbook.plan.experiment import load_experiment
from benchbook.plan.order import Block
from benchbook.plan.place import Placing
from benchbook.records.header import RunHeader
from benchbook.records.host import Neighbours
from benchbook.records.store import Store
from benchbook.sweep import places
from benchbook.sweep.block_result import BlockResult, Work
from benchbook.sweep.estimates import estimator_for
from benchbook.sweep.neighbours import cost_of, measure_neighbours, said
from benchbook.sweep.place_process import DONE, MORE
from benchbook.sweep.places import Places, place_number
from benchbook.sweep.placing import place_notes, places_of
from benchbook.sweep.planning import RunPlan
from benchbook.sweep.waiting import Waiting
from benchbook.terms.errors import ExperimentError
from test_runner import Listener

FILE = """question: Where?
model: {model}
launches: {{{launches}}}
benchmarks:
  - serve: {{max_concurrency: {load}, lengths: [[8, 4]], num_prompts: 4}}
repeats: {repeats}
place: {place}
"""


def experiment(tmp_path, launches=3, repeats=4, place="{at_once: 4}", load="[1, 2]", args="max_model_len: 64"):
    model = tmp_path / "model"
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text("{}")
    names = ", ".join(f"l{number}: {{args: {{{args}}}}}" for number in range(launches))
    path = tmp_path / "where.yaml"
    path.write_text(FILE.format(model=model, launches=names, repeats=repeats, place=place, load=load))
    return load_experiment(path)


@pytest.mark.parametrize(("launches", "number_of"), [(2, 2), (2, 8), (3, 4), (8, 4), (1, 4), (5, 3), (4, 4)])
def test_two_launches_are_at_the_same_places_equally_often_and_share_none_in_a_round_without_need(
    tmp_path, launches, number_of
):
    side = min(launches, number_of)
    asked = experiment(tmp_path, launches, f"{{starts: {3 * side}}}")
    names = [launch.name for launch in asked.launches]
    at = {
        (block.repeats[0].number, block.launch): place_number(block, names, number_of)
        for block in asked.planned_rounds()
    }
    for square in range(3):
        turns = range(square * side, (square + 1) * side)
        of_each = [sorted(at[turn, name] for turn in turns) for name in names]
        assert all(one == of_each[0] for one in of_each) and len(set(of_each[0])) == side, "at each of them once"
    for turn in range(3 * side):
        used = Counter(at[turn, name] for name in names)
        assert max(used.values()) == -(-launches // number_of), "as many as must"
    most = 3 * side if launches > 1 else 3
    assert len(set(at.values())) == min(most, number_of), "places that are free are used"


def test_what_waits_is_taken_in_order_or_by_what_fits_and_what_may_not_begin_is_passed_over():
    blocks = [Block(name, "server", ()) for name in "abcd"]
    waiting = Waiting(blocks, may_begin=lambda block: block.launch != "b")
    assert waiting.take(lambda block: block.launch in "bd").launch == "d", "b was told of, and is left out"
    assert [block.launch for block in waiting] == ["a", "c"] and waiting.take() is None


def test_what_neighbours_cost_has_an_interval_and_is_said_in_one_line():
    found = Neighbours(
        beside=1, metric="output_throughput_tok_s", limit=0.01, **cost_of([(100, 98), (101, 99), (99, 97)])
    )
    assert 0.0199 < found.cost < 0.0203 and found.low < found.cost < found.high and found.pairs == 3
    assert said(found).startswith("neighbours cost 2.0 % [2.0, 2.0] of output_throughput_tok_s, by 3 pairs")
    faster = cost_of([(100, 101), (100, 102), (100, 103)])
    assert faster["cost"] < 0, "what gains by neighbours costs less than nothing"
    assert said(Neighbours(why_not="the server died")) == "what neighbours cost is not known: the server died"


@dataclass
class Scripted:
    """In the place of a place's process: ends each block at once, or is lost with it."""

    place: Place
    setting: object
    block: Block | None = None
    is_asking: bool = False

    began = []  # (place, launch, round, blocks under way)
    lost = Counter()  # by launch, so often
    under_way = set()

    def begin(self, block, work, facts):
        self.block = block
        self.pipe, other = Pipe()
        other.close()  # there is always something to hear
        self.under_way.add(self.place.number)
        self.began.append((self.place.number, block.launch, block.repeats[0].number, len(self.under_way), facts))

    def hear(self):
        self.under_way.discard(self.place.number)
        if self.lost[self.block.launch] > 0:
            self.lost[self.block.launch] -= 1
            raise EOFError
        block, self.block = self.block, None
        return DONE, (BlockResult(block),)

    def end(self):
        pass

    stop = end


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(places, "PlaceProcess", Scripted)
    for name, empty in (("began", []), ("lost", Counter()), ("under_way", set())):
        monkeypatch.setattr(Scripted, name, empty)
    return Scripted


def ran(tmp_path, asked, cost=0.0, runs_alone=False, number_of=4):
    """Run the blocks of an experiment, and return their results and what was said."""
    store = Store.create(tmp_path / "results", "where")
    store.write_header(RunHeader())
    work, listener = Work(RunPlan.of(asked), store), Listener()
    known = Neighbours(beside=number_of - 1, cost=cost, low=cost, high=cost, limit=0.01)
    executor = Places(
        [Place(n) for n in range(number_of)], Placing(None, None, number_of, 0.01, runs_alone), None, known
    )
    waiting = Waiting(asked.planned_rounds())
    results = list(executor.run(waiting, work, listener))
    assert not waiting.left and not waiting.elsewhere
    return results, listener


def test_all_blocks_run_each_at_its_own_place_and_as_many_at_once_as_there_are(tmp_path, scripted):
    asked = experiment(tmp_path)
    results, _ = ran(tmp_path, asked)
    assert sorted(map(repr, (result.block for result in results))) == sorted(map(repr, asked.planned_rounds()))
    names = [launch.name for launch in asked.launches]
    expected = {
        (launch, turn): (i + turn) % 3 if turn < 3 else (3 + i) % 4
        for i, launch in enumerate(names)
        for turn in range(4)
    }
    assert all(place == expected[launch, turn] for place, launch, turn, *_ in scripted.began)
    assert max(under_way for *_, under_way, _ in scripted.began) == 4


def test_where_neighbours_cost_too_much_one_runs_at_a_time_in_turn_or_each_says_so(tmp_path, scripted):
    asked = experiment(tmp_path)
    ran(tmp_path, asked, cost=0.05, runs_alone=True)
    assert {under_way for *_, under_way, _ in scripted.began} == {1}
    assert [turn for _, _, turn, *_ in scripted.began] == sorted(turn for _, _, turn, *_ in scripted.began)
    assert {facts.at_once for *_, facts in scripted.began} == {1}
    scripted.began.clear()
    ran(tmp_path, asked, cost=0.05)
    assert {facts.at_once for *_, facts in scripted.began} == {4}
    assert {facts.neighbours.cost for *_, facts in scripted.began} == {0.05}


def test_a_block_whose_process_is_lost_runs_again_and_one_that_is_lost_each_time_is_given_up(tmp_path, scripted):
    asked = experiment(tmp_path, repeats=1)
    scripted.lost.update({"l1": 2})
    results, listener = ran(tmp_path, asked)
    assert len(results) == 3 and not any(result.given_up for result in results)
    assert "  the process of place 1: all processors ended" in listener.lines
    scripted.lost.update({"l1": 9})
    results, listener = ran(tmp_path, asked)
    assert [result.given_up.cause.code for result in results if result.given_up] == ["place_lost"]
    assert {record.identity.launch for record in listener.records} == {"l1"}, "a record of each repeat says so"


def test_a_share_of_throughput_waits_until_its_maximum_is_measured(tmp_path, scripted):
    asked = experiment(tmp_path, repeats=2)
    text = asked.source_text.replace("max_concurrency: [1, 2]", "request_rate_rps: 0.5 of throughput")
    asked.path.write_text(text)
    ran(tmp_path, load_experiment(asked.path))
    first, *others = scripted.began
    assert first[1:4] == ("l0", 0, 1), "what tells the rate goes first, and alone"
    assert max(under_way for *_, under_way, _ in others) > 1


def test_a_launch_that_names_cards_or_takes_more_than_a_place_has_is_refused(tmp_path):
    several = experiment(tmp_path, place="{gpus: 1, at_once: 2}", args="tensor_parallel_size: 2")
    with pytest.raises(ExperimentError, match="takes 2 GPUs, and a place has 1: place: {gpus: 2}") as refusal:
        places_of(several)
    assert len(str(refusal.value).splitlines()) == 3, "a line for each launch"
    with pytest.raises(ExperimentError, match="names its GPUs .device_ids."):
        places_of(experiment(tmp_path, place="{gpus: 1}", args="device_ids: '0'"))
    with pytest.raises(ExperimentError, match=r"where.yaml:7: place: .*asks for 4,096 GPUs \(64 places of 64\)"):
        places_of(experiment(tmp_path, place="{gpus: 64, at_once: 64}"))


def test_plan_tells_places_rotation_and_trial(tmp_path):
    def told(**asked):
        found = experiment(tmp_path, **asked)
        return "\n".join(place_notes(found, estimator_for(found, tmp_path)))

    text = told(repeats=4)
    assert "Blocks run at 4 places, all at once:\n  place 0: all processors" in text
    assert (
        "round 0: l0 at 0, l1 at 1, l2 at 2; round 1: l0 at 1, l1 at 2, l2 at 0 …): 4 rounds are no multiple of 3, and only "
        "rounds that take two launches to the same places equally often are compared: 6 rounds would all be" in text
    )
    assert "what neighbours cost: l0,serve,lengths=8x4,max_concurrency=2,num_prompts=4, 4 to 8 pairs" in text
    assert "…): over 3 rounds each launch is at the same places, at each once" in told(repeats=6)
    alone = told(repeats=4, place="{at_once: 1}")
    assert alone.startswith("Blocks run at 1 place, one at a time:") and "neighbours" not in alone


def test_records_logs_and_trials_of_a_place_lie_apart_and_in_one_run(tmp_path):
    store = Store.create(tmp_path, "where")
    at = store.at(2)
    assert at.launch_dir("a") == store.run_dir / "launches/a/place=2" and at.repeat_dir("k", 0) == store.repeat_dir(
        "k", 0
    )
    assert store.at(2, is_trial=True).repeat_dir("k", 0) == store.run_dir / "neighbours/place=2/k/repeat=0"


class Tried:
    """In the place of a place's process in a trial: alone it gives 100 a second, with neighbours 98; or it is lost."""

    measuring = set()
    arrives = None  # of an open loop: the rate, whatever it is measured beside

    def __init__(self, number, lost_at=99):
        self.place, self.block, self.is_asking = Place(number), None, False
        self.turns, self.lost_at, self.said = 0, lost_at, []
        self.pipe, other = Pipe()
        other.close()  # there is always something to hear

    def begin(self, block, work, facts):
        self.block = block
        self.answer(block.repeats)

    def answer(self, repeats):
        self.is_asking, self.turns = False, self.turns + 1
        self.said = ["recorded", MORE] if repeats else [DONE]
        if repeats:
            self.measuring.add(self)

    def hear(self):
        if self.turns > self.lost_at:
            raise EOFError
        name = self.said.pop(0)
        if name == "recorded":
            rate = 98.0 if len(self.measuring) > 1 else 100.0 + self.turns % 2 / 100
            values = {"output_throughput_tok_s": self.arrives or rate, "mean_e2el_ms": 1e5 / rate}
            return name, (SimpleNamespace(values=values), 1.0, None)
        self.measuring.discard(self)
        self.is_asking, self.block = name == MORE, None if name == DONE else self.block
        return name, ()


def tried(tmp_path, *there, by="max_concurrency"):
    asked = experiment(tmp_path, place="{at_once: 2}")
    asked.path.write_text(asked.source_text.replace("max_concurrency", by))
    asked = load_experiment(asked.path)
    work = Work(RunPlan.of(asked), Store.create(tmp_path / "results", "where"))
    Tried.measuring.clear()
    return measure_neighbours(there, work, Listener(), 0.01, lambda place: None)


def test_one_alone_and_all_together_are_measured_in_turns_until_it_is_known(tmp_path):
    there = Tried(0), Tried(1)
    found = tried(tmp_path, *there)
    assert found.pairs == 4 and found.beside == 1 and 0.019 < found.low <= found.cost <= found.high < 0.021
    assert [process.turns for process in there] == [1 + 4 + 2 + 1] * 2, "warm, together, each alone twice, and the end"
    assert not any(process.block for process in there)


def test_what_neighbours_cost_an_open_loop_is_time_since_its_throughput_is_what_arrives(tmp_path, monkeypatch):
    monkeypatch.setattr(Tried, "arrives", 50.0)
    found = tried(tmp_path, Tried(0), Tried(1), by="request_rate_rps")
    assert found.metric == "mean_e2el_ms" and "request_rate_rps=2" in found.case_id
    assert found.pairs == 4 and 0.019 < found.low <= found.cost <= found.high < 0.021


@pytest.mark.parametrize("lost_at", [0, 1, 2, 3])
def test_a_place_that_is_lost_in_the_trial_leaves_the_cost_unknown_and_the_others_ended(tmp_path, lost_at):
    there = Tried(0), Tried(1, lost_at)
    found = tried(tmp_path, *there)
    assert found.cost is None and "failed" in found.why_not
    assert not any(process.block for process in there)
