"""A launch's args become the words that the flag's own form wants, under the flag's own name; other values are refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
from benchbook.hosts.vllm import flags, forms
from benchbook.hosts.vllm.form_problems import problem_of
from benchbook.hosts.vllm.forms import Form, parsed, words_of
from benchbook.hosts.vllm.kinds import CHOICE, Option
from benchbook.hosts.vllm.spelling import Misspelt, spelt_out

NEGATABLE, ONE_WAY = Form(is_switch=True), Form(is_switch=True, has_negative=False)
FORMS = {
    "--enforce-eager": NEGATABLE,
    "--async-scheduling": NEGATABLE,
    "--disable-log-stats": ONE_WAY,
    "--tensor-parallel-size": Form(short=["-tp"], takes=["int"]),
    "--gpu-memory-utilization": Form(short=["--device-memory-utilization"], takes=["float"]),
    "--max-model-len": Form(takes=["auto", "int", "size"]),
    "--max-num-seqs": Form(takes=["int"]),
    "--max-num-batched-tokens": Form(takes=["int", "size"]),
    "--dtype": Form(takes=["text"], choices=["auto", "bfloat16", "float32"]),
    "--moe-backend": Form(takes=["normalised"], choices=["flashinfer_trtllm", "triton"]),
    "--allowed-origins": Form(takes=["array", "float", "int", "object"]),
    "--middleware": Form(repeats=True, takes=["text"]),
    "--capture-sizes": Form(takes_several=True, takes=["int"]),
    "--lora-modules": Form(takes_several=True, takes=["object", "text"]),
    "--device-ids": Form(takes=["commas"]),
    "--compilation-config": Form(short=["-cc"], takes=["object"], options={}),
    "--kv-config": Form(
        short=["-kv"],
        takes=["object"],
        options={
            "engine_id": Option(["text"]),
            "port": Option(["int"]),
            "publisher": Option([CHOICE], ["null", "zmq"]),
            "extra": Option(["mapping"]),
        },
    ),
    "--hf-overrides": Form(takes=["object", "text"]),
    "--limits": Form(takes=["object"], values=Option(["int", "mapping"])),
    "--chat-template": Form(takes=["text"]),
    "--hf-token": Form(may_stand_alone=True, takes=["text"]),
}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("enforce_eager", True, ["--enforce-eager"]),
        ("enforce_eager", False, ["--no-enforce-eager"]),
        ("enforce_eager", 1, ["--enforce-eager"]),
        ("async_scheduling", "false", ["--no-async-scheduling"]),
        ("disable_log_stats", True, ["--disable-log-stats"]),
        ("disable_log_stats", False, []),
        ("disable_log_stats", 0, []),
        ("max_model_len", -1, ["--max-model-len=-1"]),
        ("max_model_len", "128k", ["--max-model-len", "128k"]),
        ("allowed_origins", ["*"], ["--allowed-origins", '["*"]']),
        ("middleware", ["a.b", "c.d"], ["--middleware", "a.b", "--middleware", "c.d"]),
        ("capture_sizes", [1, 2], ["--capture-sizes", "1", "2"]),
        ("capture_sizes", 4, ["--capture-sizes", "4"]),
        ("lora_modules", ["sql=/a", {"name": "chat"}], ["--lora-modules", "sql=/a", '{"name": "chat"}']),
        ("device_ids", [0, 1], ["--device-ids", "0,1"]),
        ("compilation_config", {"on": True}, ["--compilation-config", '{"on": true}']),
        ("chat_template", "-x {{ y }}", ["--chat-template=-x {{ y }}"]),
        ("limits", {"image": 2, "video": {"count": 1}}, ["--limits", '{"image": 2, "video": {"count": 1}}']),
        ("lora_modules", "a=/one path/x", ["--lora-modules", "a=/one path/x"]),
        ("hf_token", True, ["--hf-token"]),
        ("hf_token", "a text", ["--hf-token", "a text"]),
        ("unknown_here", ["a", {"b": False}], ["--unknown-here", "a", '{"b": false}']),
        ("unknown_here", False, ["--no-unknown-here"]),
        ("no_unknown_here", False, ["--unknown-here"]),
    ],
)
def test_a_value_is_said_in_the_form_of_its_flag(name, value, words):
    assert words_of(name, value, FORMS) == words
    assert problem_of(name, value, FORMS) == ""


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("enforce_eager", 2, "is a switch: write true or false"),
        ("enforce_eager", "eager", "is a switch: write true or false"),
        ("max_num_seqs", "64k", "must be a whole number"),
        ("max_num_seqs", 0.5, "must be a whole number"),
        ("max_num_batched_tokens", "64 k", "must be a whole number or a size such as 64k"),
        ("max_num_seqs", True, "takes a value, not true: a whole number"),
        ("hf_token", False, "takes a value, not false: text"),
        ("gpu_memory_utilization", "most", "must be a number"),
        ("dtype", "bfloat61", "is none of the values that it takes; did you mean bfloat16?"),
        ("dtype", [1], "takes one value, not a list: one of auto, bfloat16, float32"),
        ("moe_backend", "cuda", "one of flashinfer_trtllm, triton"),
        ("dtype", "bf16", "did you mean bfloat16?"),
        ("dtype", "FP32", "did you mean float32?"),
        ("capture_sizes", "[1, 2, 4]", "takes a list: write [1, 2, 4]"),
        ("capture_sizes", "[8]", "takes a list: write [8]"),
        ("lora_modules", "a=/x b=/y", "takes a list: write [a=/x, b=/y]"),
        ("limits", {"image": "two"}, "image: must be a whole number or a mapping"),
        ("limits", {"image": 2, "video": [1]}, "video: must be a whole number or a mapping"),
        ("limits", {"audio": 0.5}, "audio: must be a whole number or a mapping"),
        ("capture_sizes", [], "is an empty list: leave the key out"),
        ("device_ids", [], "is an empty list: leave the key out"),
        ("dtype", [], "is an empty list: leave the key out"),
        ("capture_sizes", [1, "x"], "must be a whole number"),
        ("middleware", [{"a": 1}], "takes no mapping: text"),
        ("lora_modules", ["-a=/b"], "begins with a dash"),
        ("chat_template", "--", "no command line can say"),
        ("max_num_seqs", {"a": 1}, "takes no mapping"),
        ("compilation_config", 3, "must be a mapping"),
    ],
)
def test_what_the_parser_would_refuse_is_refused_with_what_to_write(name, value, problem):
    assert problem in problem_of(name, value, FORMS)


def test_a_choice_is_taken_as_the_flag_itself_reads_it():
    assert problem_of("moe_backend", "FlashInfer-TRTLLM".lower(), FORMS) == ""


@pytest.mark.parametrize(
    ("args", "full"),
    [
        ({"tp": 8}, {"tensor_parallel_size": 8}),
        ({"device_memory_utilization": 0.5}, {"gpu_memory_utilization": 0.5}),
        ({"max_num_b": 1}, {"max_num_batched_tokens": 1}),
        ({"max_num": 1}, {"max_num": 1}),  # of two flags: argparse refuses it, and so does the check of names
        ({"no_enforce": True}, {"enforce_eager": False}),
        ({"no_enforce_eager": False}, {"enforce_eager": True}),
        ({"no_enforce_eager": "off"}, {"enforce_eager": True}),
        ({"no_disable_log_stats": True}, {"disable_log_stats": False}),
        ({"enforce_eager": "false", "async_sch": 1}, {"enforce_eager": False, "async_scheduling": True}),
        ({"enforce_eager": "maybe", "max_num_seqs": 1}, {"enforce_eager": "maybe", "max_num_seqs": 1}),
        ({"cc": '{"mode": 3}'}, {"compilation_config": {"mode": 3}}),
        ({"cc.a.b_c": True, "compilation_config": {"d": 1}}, {"compilation_config": {"a": {"b_c": True}, "d": 1}}),
        ({"compilation_config.n": "80k"}, {"compilation_config": {"n": 80_000}}),
        ({"compilation_config.n": "[1, 2]"}, {"compilation_config": {"n": [1, 2]}}),
        ({"cc.ops+": "none,+norm"}, {"compilation_config": {"ops": ["none", "+norm"]}}),
        (
            {"cc.ops": ["all"], "cc.a.sizes+": 8, "cc.ops+": ["-norm"]},
            {"compilation_config": {"ops": ["all", "-norm"], "a": {"sizes": ["8"]}}},
        ),
        ({"kv.engine_id": "12e4", "kv.port": "14579"}, {"kv_config": {"engine_id": "12e4", "port": 14579}}),
        ({"kv.publisher": "null", "kv.engine_id": '"7"'}, {"kv_config": {"publisher": "null", "engine_id": "7"}}),
        ({"kv.extra.id": "7", "kv.extra.bytes": "7k"}, {"kv_config": {"extra": {"id": 7, "bytes": 7000}}}),
        ({"cc": '{"bytes": 1.5g, "name": "1.5g"}'}, {"compilation_config": {"bytes": 1_500_000_000, "name": "1.5g"}}),
        ({"hf_overrides.textConfig.rope-θ": None}, {"hf_overrides": {"textConfig": {"rope-θ": None}}}),
        ({"hf_overrides": "path.to.function"}, {"hf_overrides": "path.to.function"}),
    ],
)
def test_args_are_understood_as_the_command_line_understands_them(args, full):
    assert spelt_out(args, FORMS).args == full


def test_a_name_that_is_spelt_out_is_told_and_one_that_is_full_is_not():
    assert spelt_out({"tp": 8, "cc.a": 1, "max_num_seqs": 2}, FORMS).notes == {
        "tp": "tensor_parallel_size",
        "cc.a": "compilation_config.a",
    }


def test_names_that_are_to_be_translated_are_left_alone():
    assert spelt_out({"max_num_b": 1}, FORMS, left_alone={"max_num_b"}).args == {"max_num_b": 1}


@pytest.mark.parametrize("args", [{"O": "O2"}, {"optimization_level": "O2"}, {"O2": True}, {"O": "o2"}])
def test_a_level_may_be_written_as_the_command_lines_own_word(args):
    assert spelt_out(args, {**FORMS, "--optimization-level": Form(takes=["text"])}).args == {"optimization_level": 2}


@pytest.mark.parametrize(
    "args",
    [
        {"tp": 8, "tensor_parallel_size": 4},
        {"enforce_eager": True, "no_enforce_eager": True},
        {"cc.a": 1, "cc": {"a": 2}},
    ],
)
def test_one_arg_said_in_two_ways_must_say_the_same(args):
    with pytest.raises(Misspelt, match="as well"):
        spelt_out(args, FORMS)


def test_text_that_is_no_json_is_refused_where_nothing_else_will_do():
    with pytest.raises(Misspelt, match="must be a mapping, or JSON"):
        spelt_out({"compilation_config": "{mode: 3}"}, FORMS)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{mode: 3}", "line 1 column 2"),
        ("{'rope_theta': 1}", "line 1 column 2"),
        (' {"a": 1,}\n', "line 1 column 10"),
        ('{"a": 1,\n "b": True}', "line 2 column 7"),
        ("[1, x]", "line 1 column 5"),
    ],
)
def test_text_that_looks_like_json_and_is_none_is_refused_with_the_place_of_the_mistake(text, place):
    with pytest.raises(Misspelt, match=place):
        spelt_out({"hf_overrides": text}, FORMS)


@pytest.mark.parametrize("text", ["path.to.function", "{open", "a {b} c", "x}"])
def test_text_that_does_not_look_like_json_is_text_where_a_flag_takes_it(text):
    assert parsed(text, FORMS["--hf-overrides"]) == text


def test_without_a_table_nothing_is_refused_and_values_take_the_form_that_most_flags_have():
    assert problem_of("enforce_eager", "x", {}) == ""
    assert words_of("sizes", [1, 2], {}) == ["--sizes", "1", "2"]
    assert spelt_out({"tp": 8}, {}).args == {"tp": 8}


@pytest.mark.parametrize(("end", "kept"), [("killed", 0), ("late", 0), ("refused", 1)])
def test_a_table_that_was_not_let_to_be_made_is_made_the_next_time(monkeypatch, tmp_path, end, kept):
    def run(command, **options):
        if end == "late":
            raise subprocess.TimeoutExpired(command, 1)
        return subprocess.CompletedProcess(command, -9 if end == "killed" else 1, "", "")

    monkeypatch.setattr(forms.subprocess, "run", run)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    monkeypatch.setenv("BENCHBOOK_CACHE_DIR", str(tmp_path / "cache"))
    there = flags.Known("0.32.0", frozenset({"--seed"}), frozenset(), frozenset(), frozenset())
    monkeypatch.setattr(flags, "known", lambda *_: there)
    assert forms.installed_forms.__wrapped__() == {}
    assert len(list(tmp_path.rglob("forms-*.json"))) == kept
