"""The items of a guard: read and refused line by line, asked while a load runs, and what an answer tells of one."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from benchbook.hosts.way import PLAIN
from benchbook.measure import guard
from benchbook.measure.guard import ask_items, begins_with, told_by
from benchbook.measure.items import path_of, read_items, write_items
from benchbook.plan.guard import Guard
from benchbook.records.handover import GuardItems
from benchbook.terms.corpus import ITEMS
from benchbook.terms.errors import Cause, ExperimentError, MeasureError

SUM = {"question": "2 + 3 =", "answer": "5", "max_tokens": 4}
CHOICE = {"question": "The sky is", "choices": ["green", "blue"], "answer": "blue"}
MATCH = {**SUM, "answer": " 5", "delimiter": "", "match": {"until": ["\n", "Q"], "ignore_case": True}}
BAR = " 10%|█         | 2/20 [00:00<00:01]"


def written(folder, *rows):
    path = folder / "items.jsonl"
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def test_items_are_read_with_their_choices_or_their_very_answer(tmp_path):
    exact, choice, by_place = read_items(written(tmp_path, SUM, CHOICE, {**CHOICE, "answer": 0}))
    assert (exact.is_exact, exact.answer, exact.max_tokens, exact.guess) == (True, "5", 4, 0.0)
    assert (choice.is_exact, choice.answer, choice.guess) == (False, "blue", 0.5) and by_place.answer == "green"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("", "no item in this file"),
        ("{", "no whole JSON"),
        ("[1]", "must be a JSON object"),
        ({"answer": "5"}, "no 'question'"),
        ({"question": " ", "answer": "5"}, "question is blank"),
        ({"question": "a"}, "no 'answer'"),
        ({"question": "a", "answer": 5}, "answer must be text"),
        ({**SUM, "max_tokens": 0}, "max_tokens must be 1 to 4,096, not 0"),
        ({**SUM, "target": "5"}, "'target' is no key of an item"),
        ({**CHOICE, "answer": "red"}, "answer 'red' is none of the choices"),
        ({**CHOICE, "answer": 2}, "answer must be the place of a choice, 0 to 1, not 2"),
        ({**CHOICE, "answer": True}, "answer must be the right choice"),
        ({**CHOICE, "choices": ["blue"]}, "choices must be 2 to 26, all different"),
        ({**CHOICE, "choices": ["blue", "blue"]}, "choices must be 2 to 26, all different"),
        ({**CHOICE, "choices": ["blue", 3]}, "choices must be a list of texts"),
        ({**CHOICE, "choices": "blue"}, "choices must be a list of texts"),
        ({**CHOICE, "max_tokens": 3}, "max_tokens is of an answer that is written"),
        ({**CHOICE, "match": {}}, "match is of an answer that is written"),
        ({**SUM, "match": []}, "match must be a mapping"),
        ({**SUM, "match": {"untill": []}}, "match: ExactMatch: untill: "),
        ({**SUM, "delimiter": None}, "delimiter must be text, not null"),
    ],
)
def test_what_is_wrong_with_an_item_is_one_line_with_file_and_line(tmp_path, row, said):
    path = written(tmp_path, *([SUM, row] if row else [""]))
    with pytest.raises(ExperimentError) as refused:
        read_items(path)
    assert str(refused.value).startswith(f"{path}, line {2 if row else 1}: ") and said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_items_that_are_made_here_are_the_same_for_the_same_seed_and_can_be_read(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        write_items(tmp_path / name, seed)
    first, same, other = ((tmp_path / name / "items.jsonl").read_text() for name in "abc")
    assert first == same != other
    items = read_items(path_of(Guard(items=ITEMS, margin=0.01)))
    assert len(items) == 600 and len({item.question for item in items}) > 590
    assert {item.is_exact for item in items} == {True, False}


@pytest.mark.parametrize(
    ("text", "answer", "is_right"),
    [
        (" 42", "42", True),
        (" 42.\nNext", "42", True),
        ("\n\n42", "42", True),
        ("420", "42", False),
        ("4", "42", False),
        ("the 42", "42", False),
        (" ba ke\nmore", "ba ke", True),
        ("", "42", False),
    ],
)
def test_an_exact_answer_is_right_where_the_text_begins_with_it_as_a_whole(text, answer, is_right):
    assert begins_with(text, answer) is is_right


def answer_of(item, texts=("5",), logprobs=(-1.0,), tokens=3):
    """Return a completion as vLLM gives one: of the question, then of it with each choice, whose last token tells."""
    question = [None, *({"7": {"logprob": -2.0}} for _ in range(tokens - 1))]
    choices = [{"index": 0, "text": texts[0], "prompt_logprobs": question}]
    choices += [
        {"index": 1 + place, "text": "", "prompt_logprobs": [*question, {"8": {"logprob": value, "rank": 1}}]}
        for place, value in enumerate(logprobs)
    ]
    return {"choices": choices[::-1]}  # in any order


def test_the_likeliest_choice_counts_and_the_log_probability_is_of_the_right_one(tmp_path):
    (item,) = read_items(written(tmp_path, CHOICE))
    right = told_by(answer_of(item, logprobs=(-3.0, -0.5)), item)
    wrong = told_by(answer_of(item, logprobs=(-0.2, -0.5)), item)
    assert (right.mark, right.logprob, wrong.mark, wrong.logprob) == ("1", -0.5, "0", -0.5)


def test_without_log_probabilities_an_exact_answer_counts_all_the_same_and_choices_are_not_told_apart(tmp_path):
    exact, choice = read_items(written(tmp_path, SUM, CHOICE))
    silent = answer_of(exact)
    for one in silent["choices"]:
        del one["prompt_logprobs"]
    assert told_by(silent, exact).mark == "1" and told_by(silent, exact).logprob is None
    silent = answer_of(choice, logprobs=(-1.0, -2.0))
    for one in silent["choices"]:
        one["prompt_logprobs"] = None
    assert told_by(silent, choice).mark == "-" and "no log-probabilities" in told_by(silent, choice).why_not


@contextmanager
def asked_server(answer):
    """Serve /v1/completions by `answer`, a function of the body that returns status and answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            bodies.append(body)
            status, said = answer(body)
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    bodies, server = [], ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        yield SimpleNamespace(base_url=url, served_name="m", way=PLAIN, bodies=bodies)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def wanted(path):
    return GuardItems(path=str(path), sha256="a" * 64, margin=0.01)


def five(body):
    return 200, answer_of(None, texts=("5",), logprobs=[-1.0] * (len(body["prompt"]) - 1))


def test_items_are_asked_while_the_load_is_sent_and_it_is_sent_until_all_are_answered(tmp_path):
    path, is_running, seen = written(tmp_path, *[SUM] * 30), threading.Event(), []

    def answer(body):
        seen.append(is_running.is_set())
        return five(body)

    def send_load(number, hear):
        hear("Namespace(subparser='bench')")
        assert not seen or number, "nothing is asked before the load is seen to be sent"
        is_running.set()
        before = len(seen)
        hear(BAR)
        while len(seen) < min(30, before + 8):  # a load that ends when some items are answered
            pass

    with asked_server(answer) as server:
        told = ask_items(server, wanted(path), send_load)
    assert told.marks == "1" * 30 and told.right == told.answered == 30 and told.why_not == ""
    assert all(seen) and told.loads >= 2 and told.logprobs == (-1.0,) * 30
    body = server.bodies[0]
    assert body["prompt"] == ["2 + 3 =", "2 + 3 = 5"] and body["temperature"] == 0 and body["max_tokens"] == 4
    assert body["prompt_logprobs"] == 0 and body["model"] == "m"


def test_an_item_with_a_match_is_asked_to_its_end_and_judged_letter_by_letter(tmp_path):
    path = written(tmp_path, MATCH, {**MATCH, "answer": "5"}, {**SUM, "match": {}})
    with asked_server(lambda body: (200, answer_of(None, texts=(" 5",)))) as server:
        told = ask_items(server, wanted(path), lambda number, hear: hear(BAR))
    bodies = {body["prompt"][1]: body for body in server.bodies}
    assert told.marks == "100" and set(bodies) == {"2 + 3 = 5", "2 + 3 =5"}
    assert bodies["2 + 3 =5"]["stop"] == ["\n", "Q"]


def test_a_load_that_fails_leaves_the_rest_unasked_and_tells_why(tmp_path):
    def send_load(number, hear):
        raise MeasureError("the server is gone", Cause("crashed", "the server is gone", ""))

    with asked_server(five) as server:
        told = ask_items(server, wanted(written(tmp_path, *[SUM] * 5)), send_load)
    assert (told.marks, told.answered, told.why_not) == (".....", 0, "the server is gone")


def test_a_client_that_never_tells_that_it_sends_asks_nothing(tmp_path):
    with asked_server(five) as server:
        told = ask_items(server, wanted(written(tmp_path, SUM)), lambda number, hear: hear("done"))
    assert told.marks == "." and told.loads == 1 and "does not tell when it sends" in told.why_not


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda body: (404, {"error": "no such page"}), "HTTP 404"),
        (lambda body: (200, {"choices": []}), "ValueError"),
        (lambda body: (200, [1]), "TypeError"),
        (lambda body: (200, answer_of(None, logprobs=(-1.0, -2.0))), "3 answers to 2 prompts"),
    ],
)
def test_what_a_server_answers_oddly_costs_that_item_and_nothing_more(tmp_path, answer, said):
    with asked_server(answer) as server:
        told = ask_items(server, wanted(written(tmp_path, SUM, SUM)), lambda number, hear: hear(BAR))
    assert told.marks == "--" and said in told.why_not


def test_items_that_are_gone_cost_no_measurement(tmp_path):
    told = ask_items(None, wanted(tmp_path / "gone.jsonl"), None)
    assert told.marks == "" and "gone.jsonl" in told.why_not


def test_a_load_is_not_sent_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "MAX_LOADS", 3)
    sent = []
    with asked_server(lambda body: (never.wait(0.3), five(body))[1]) as server:
        never = threading.Event()
        told = ask_items(
            server, wanted(written(tmp_path, *[SUM] * 40)), lambda number, hear: (sent.append(number), hear(BAR))
        )
    assert sent == [0, 1, 2] and told.loads == 3 and "-" not in told.marks
    assert told.not_asked == 40 - told.answered == 40 - len(server.bodies) and 0 < told.not_asked < 40
    assert told.why_not == "their turn had not come when the load had been sent 3 times"


def test_a_load_that_fails_when_all_were_asked_leaves_nothing_to_explain(tmp_path):
    def send_load(number, hear):
        hear(BAR)
        while len(server.bodies) < 3:
            pass
        raise MeasureError("the server is gone", Cause("crashed", "the server is gone", ""))

    with asked_server(five) as server:
        told = ask_items(server, wanted(written(tmp_path, *[SUM] * 3)), send_load)
    assert (told.marks, told.why_not) == ("111", "")
