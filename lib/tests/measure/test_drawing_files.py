"""Data files of all forms, looked at before anything starts: one line with file and line, in bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchbook.measure.drawing import json_array, rows
from benchbook.measure.drawing.check import check_files
from benchbook.measure.drawing.json_array import json_items
from benchbook.measure.drawing.rows import json_lines, table
from benchbook.measure.drawing.talks import talks
from benchbook.measure.drawing.traces import Arrival, arrivals
from benchbook.plan.request_parts import Conversations
from benchbook.plan.requests import RequestSet
from benchbook.terms.errors import ExperimentError

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
MOON = '{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]}\n'
CUSTOM = '{"prompt": "one two", "output_tokens": 4}\n'
CHAT = '[{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}'
TALK = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'


def a_set(kind: str, path: Path | str) -> RequestSet:
    """Return a set drawn from `path`: of a trace, of conversations, of a text, or of one of vLLM's data sets."""
    if kind == "trace":
        return RequestSet(trace=str(path))
    if kind == "talks":
        return RequestSet(conversations=Conversations(path=str(path)))
    if kind == "text":
        return RequestSet(lengths=(8, 8), text=str(path))
    options = {"custom_output_len": -1} if kind == "custom" else {}
    return RequestSet(dataset=kind, path=str(path), options=options)


# (kind, name, content, the line that is named, what is said)
DAMAGED = [
    ("trace", "x.jsonl", "", 1, "no trace that is known"),
    ("trace", "x.jsonl", "\n\n", 1, "no trace that is known"),
    ("trace", "x.csv", "a,b,c\n1,2,3\n", 1, "no trace that is known"),
    ("trace", "x.jsonl", MOON + '{"timestamp": 1, "input_length": 6', 2, "no whole JSON"),
    ("trace", "x.jsonl", MOON + "[1, 2]\n", 2, "must be a JSON object"),
    ("trace", "x.jsonl", MOON + '{"timestamp": 1, "input_length": 6}\n', 2, "no 'output_length'"),
    ("trace", "x.jsonl", MOON + MOON.replace("600", '"long"'), 2, "input_length must be a number from 0 on"),
    ("trace", "x.jsonl", MOON + MOON.replace("600", "NaN"), 2, "NaN is no number"),
    ("trace", "x.jsonl", MOON + MOON.replace("600", "-1"), 2, "input_length must be a number from 0 on, not -1"),
    ("trace", "x.jsonl", MOON + MOON.replace("600", "6.5"), 2, "input_length must be whole"),
    ("trace", "x.jsonl", MOON + MOON.replace("600", "true"), 2, "input_length must be a number, not True"),
    ("trace", "x.jsonl", MOON + MOON.replace("[0, 1]", "[0]"), 2, "1 hash_ids for 600 tokens"),
    ("trace", "x.jsonl", MOON + MOON.replace("[0, 1]", '[0, "1"]'), 2, "hash_ids must be whole numbers"),
    ("trace", "x.jsonl", MOON.replace('": 0,', '": 9,') + MOON, 2, "its time is 0.009 s before"),
    ("trace", "x.csv", AZURE, 1, "no requests in this file"),
    ("trace", "x.csv", AZURE + "2023-11-16 18:15:46.6805900,374\n", 2, "2 values where 3 are named"),
    ("trace", "x.csv", AZURE + "yesterday,374,44\n", 2, "TIMESTAMP must be a time such as"),
    ("trace", "x.csv", AZURE + "2023-11-16 18:15:46,374,nan\n", 2, "GeneratedTokens must be a number from 0 on"),
    ("trace", "x.csv", AZURE + "2023-11-16 18:15:46,37,4\n2023-11-16 18:15:45,37,4\n", 3, "1 s before"),
    ("trace", "x.csv", BURST + "5,ChatGPT,472,,490,log\n", 2, "Response tokens must be a number"),
    ("trace", "x.csv", BURST + "5,ChatGPT,inf,18,490,log\n", 2, "Request tokens must be a number"),
    ("trace", "x.csv", BURST + '5,"ChatGPT,472,18,490,log\n', 2, "unexpected end of data"),
    ("talks", "x.jsonl", "", 1, "no conversations in this file"),
    ("talks", "x.jsonl", TALK + '{"messages": "hello"}\n', 2, "messages must be a list of messages"),
    ("talks", "x.jsonl", TALK + '{"message": []}\n', 2, "no 'messages'; it has 'message'"),
    ("talks", "x.jsonl", TALK + TALK.replace('"user"', '"usr"'), 2, "messages[0]: role must be one of"),
    ("talks", "x.jsonl", TALK + TALK.replace('"a"', "7"), 2, "messages[0]: content must be text"),
    ("talks", "x.json", CHAT + ',\n{"conversations": [7]}]', 2, "conversations[0] must be a message"),
    ("talks", "x.json", CHAT, 1, "a comma or ] is missing"),
    ("talks", "x.json", CHAT + ",\n{]", 2, "no whole JSON"),
    ("talks", "x.json", CHAT + "]\nmore", 2, "more stands behind the array"),
    ("sharegpt", "x.json", "{}", 1, "must be a JSON array"),
    ("sharegpt", "x.json", "[]", 1, "no rows in this file"),
    ("sharegpt", "x.json", CHAT + ",\n\n7]", 3, "must be a JSON object, not 7"),
    (
        "sharegpt",
        "x.json",
        CHAT + ',\n{"conversations": [{"from": "human"}]}]',
        2,
        "conversations[0] must be a message",
    ),
    ("custom", "x.json", CUSTOM, None, "takes files whose name ends in .jsonl"),
    ("custom", "x.jsonl", CUSTOM + '{"promt": "x"}\n', 2, "no 'prompt'; it has 'promt'"),
    ("custom", "x.jsonl", CUSTOM + '{"Prompt": "x"}\n', 2, "no 'prompt'; there is 'Prompt'"),
    ("custom", "x.jsonl", CUSTOM + '{"prompt": "  "}\n', 2, "prompt is blank"),
    ("custom", "x.jsonl", CUSTOM + '{"prompt": "x"}\n', 2, "no 'output_tokens'"),
    ("custom", "x.jsonl", CUSTOM + '{"prompt": "x", "output_tokens": 0}\n', 2, "output_tokens must be 1 or more"),
    ("custom", "x.jsonl", CUSTOM + "[" * 100_000 + "\n", 2, ""),
    ("custom", "x.jsonl", CUSTOM.encode() + b'{"prompt": "\xff"}\n', 2, "not UTF-8: byte 0xff"),
    ("custom", "x.jsonl", CUSTOM + '{"prompt": "\\ud800", "output_tokens": 1}\n', 2, "half of a surrogate pair"),
    ("talks", "x.json", CHAT + ",\n" + CHAT[1:].replace('"a"', '"x\\uDFFFx"') + "]", 2, "half of a surrogate pair"),
    ("spec_bench", "x.jsonl", '{"turns": []}\n', 1, "turns must begin with a text"),
    ("burstgpt", "x.csv", "Timestamp,Session ID,Model,Request tokens\n1,2,3,4\n", 2, "columns must begin with"),
    ("burstgpt", "x.csv", BURST + "5,GPT-4,472,-18,490,log\n", 2, "Response tokens must be a number from 0 on"),
    ("timed_trace", "x.jsonl", '{"timestamp": 1, "input_length": 3, "output_length": 4}\n', 1, "no 'hash_ids'"),
    ("text", "x.txt", "", 1, "no words in this file"),
    ("text", "x.txt", " \n\n ", 1, "no words in this file"),
    ("text", "x.txt", b"one\ntwo\n\xc3(\n", 3, "not UTF-8: byte 0xc3"),
    ("text", "x.txt", b"one\n\0two", 2, "a NUL byte"),
]


def test_a_damaged_file_is_one_line_that_names_file_and_line(tmp_path):
    assert len(DAMAGED) > 30
    for kind, name, content, line, said in DAMAGED:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(ExperimentError) as caught:
            check_files(a_set(kind, path), at_once=1)
        text = str(caught.value)
        assert text.startswith(f"{path}, line {line}: " if line else str(path)), (kind, content[-60:], text)
        assert said in text and "\n" not in text and len(text) < 400, (said, text)


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "fifo.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    for kind in ("trace", "talks", "custom", "text"):
        for name, said in (("fifo.jsonl", "FIFO"), ("folder.jsonl", "Is a directory"), ("no.jsonl", "No such file")):
            with pytest.raises(ExperimentError, match=said):
                check_files(a_set(kind, tmp_path / name), at_once=1)


def test_a_data_set_of_a_file_is_refused_without_one_and_others_are_vllms_to_look_for():
    for name in ("custom", "sharegpt", "burstgpt"):
        with pytest.raises(ExperimentError, match=f"data set {name} is drawn from a file: name it with path"):
            check_files(RequestSet(dataset=name), at_once=1)
    for row in ({"dataset": "hf", "path": "who/knows"}, {"dataset": "random"}, {"dataset": "prefix_repetition"}):
        assert check_files(RequestSet(**row), at_once=1000) is None


def test_a_file_with_too_few_requests_names_its_end(tmp_path):
    found = {"trace": ("x.jsonl", MOON * 3), "talks": ("t.jsonl", TALK * 3), "custom": ("c.jsonl", CUSTOM * 3)}
    for kind, (name, content) in found.items():
        (tmp_path / name).write_text(content)
        assert check_files(a_set(kind, tmp_path / name), at_once=3) == 3
        with pytest.raises(
            ExperimentError, match=f"{name}, line 3: ends after 3 requests, where 4 different ones are asked for"
        ):
            check_files(a_set(kind, tmp_path / name), at_once=4)


def test_a_part_of_the_corpus_is_whole_for_every_use_of_it():
    for kind, name, least in (
        ("text", "corpus:words", None),
        ("custom", "corpus:prompts", 500),
        ("sharegpt", "corpus:chats", 200),
        ("talks", "corpus:chats", 400),
        ("talks", "corpus:agents", 300),
    ):
        number = check_files(a_set(kind, name), at_once=1)
        assert (number is None) if least is None else number >= least


def test_the_three_forms_of_a_trace_are_read_with_times_from_the_first_request_on(tmp_path):
    path = tmp_path / "trace"
    path.write_text(MOON + MOON.replace('": 0,', '": 1500,'))
    assert list(arrivals(path)) == [Arrival(0.0, 600, 5, (0, 1)), Arrival(1.5, 600, 5, (0, 1))]
    path.write_text(AZURE + "2023-11-16 23:59:59.5000000,374,44\n2023-11-17 00:00:01.2500001,9,1\n")
    (first, second) = arrivals(path, speed=2)
    assert first == Arrival(0.0, 374, 44) and second.due_s == pytest.approx(0.87500005, abs=1e-6)
    path.write_text("\ufeff" + BURST + "5,ChatGPT,472,18,490,log\n7,GPT-4,30,0,30,log\n45,GPT-4,7,8,15,log\n")
    assert list(arrivals(path)) == [Arrival(0.0, 472, 18), Arrival(40.0, 7, 8)]  # the one without an answer is left out


def test_a_window_of_a_trace_begins_with_its_first_request_and_reads_no_further(tmp_path):
    path = tmp_path / "trace.jsonl"
    rows = [{"timestamp": 1000 * t, "input_length": t + 1, "output_length": 1} for t in range(10)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows) + "damaged\n")
    found = list(arrivals(path, window_s=(3, 6), speed=10))
    assert [(round(one.due_s, 6), one.input_tokens) for one in found] == [(0.0, 4), (0.1, 5), (0.2, 6)]


def test_turns_of_conversations_are_what_was_answered_and_what_was_said_before_it(tmp_path):
    path = tmp_path / "talks.jsonl"
    spoken = [("system", "be brief"), ("user", "one"), ("assistant", "two"), ("assistant", "three")]
    spoken += [
        ("tool", "four"),
        ("user", [{"type": "text", "text": "five"}]),
        ("assistant", None),
        ("user", "unanswered"),
    ]
    path.write_text(json.dumps({"messages": [{"role": role, "content": text} for role, text in spoken]}) + "\n")
    ((first, second),) = talks(path)
    assert [message["role"] for message in first.messages] == ["system", "user"] and first.answer == "two"
    assert [message["content"] for message in second.messages] == ["four", "five"] and second.answer == ""


def test_an_array_is_read_piece_by_piece_whatever_a_piece_ends_in(tmp_path, monkeypatch):
    items = [{"text": 'a "quoted" ] , [ word', "more": ["é", "世界", "🙂", -1.5e3, None]}, {}, {"n": 12345}] * 3
    path = tmp_path / "x.json"
    path.write_text(json.dumps(items, ensure_ascii=False, indent=1))
    for size in (1, 2, 3, 7, 64):
        monkeypatch.setattr(json_array, "PIECE_BYTES", size)
        assert [row.fields for row in json_items(path)] == items
    path.write_text(json.dumps(items, indent=1))  # whole pairs, as escapes
    assert [row.fields for row in json_items(path)] == items
    lines = path.read_text().splitlines()
    assert [row.line for row in json_items(path)] == [
        n for n, line in enumerate(lines, start=1) if line.startswith(" {")
    ]


def test_a_file_without_an_end_of_line_is_refused_and_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "MOST_ROW_BYTES", 100_000)
    path = tmp_path / "x.jsonl"
    for begin, read, said in (
        (b'{"a": "', json_lines, "line 1: has more than 100,000 bytes"),
        (b"a,b\n", table, "line 2: has more than 100,000 bytes"),
        (b'[{"a": "', json_items, "line 1: no whole JSON"),
    ):
        path.write_bytes(begin + b"x" * 20_000_000)
        with pytest.raises(ExperimentError, match=said):
            list(read(path))


def test_a_large_file_is_looked_at_in_little_memory(tmp_path):
    """Of 32 MB a process grows by less than 24; of 1 GB it grows by no more."""
    paths = {
        "custom": (tmp_path / "c.jsonl", CUSTOM.replace("one two", "word " * 4000), ""),
        "sharegpt": (tmp_path / "s.json", "," + CHAT[1:].replace('"a"', f'"{"word " * 4000}"') + "\n", "]"),
        "trace": (tmp_path / "t.jsonl", MOON.replace("{", '{"note": "%s", ' % ("word " * 400), 1), ""),
    }
    program = (
        "import re, sys; from pathlib import Path; sys.path[:0] = sys.argv[3:]\n"
        "from test_drawing_files import a_set; from benchbook.measure.drawing.check import check_files\n"
        # ru_maxrss would begin with what the process of the tests takes, from which this one was started.
        "most_kib = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before = most_kib()\n"
        "print(check_files(a_set(*sys.argv[1:3]), 1), most_kib() - before)\n"
    )
    folders = [str(Path(__file__).parent), str(Path(rows.__file__).parents[3])]
    for kind, (path, row, end) in paths.items():
        number = 32_000_000 // len(row)
        with path.open("w") as stream:
            stream.write("[" + row[1:] if kind == "sharegpt" else row)
            for _ in range(number - 1):
                stream.write(row)
            stream.write(end)
        said = subprocess.check_output([sys.executable, "-c", program, kind, str(path), *folders], text=True)
        found, grown_kib = map(int, said.split())
        assert found == number
        assert grown_kib < 24 * 1024, kind
