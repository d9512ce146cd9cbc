"""Sets drawn by a warm client with the real vLLM's loaders and the tiny model's tokenizer: what stands in the frozen file."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from benchbook.hosts.model.files import resolve_model, tokenizer_sha256
from benchbook.measure.client.drawing import Drawn, draw_set
from benchbook.measure.drawing.lengths import drawn_lengths
from benchbook.measure.drawing.order import Order
from benchbook.measure.drawing.shared import Seen
from benchbook.plan.request_parts import Conversations, Prefix, Spread
from benchbook.plan.requests import RequestSet
from benchbook.records.frozen import FrozenRequest, read_frozen, sha256_of
from benchbook.terms.errors import ExperimentError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

LENGTHS = (64, 8)
PAGES = Path(__file__).parents[3] / "docs"


@pytest.fixture
def draw(vllms_client, tmp_path):
    """Return what draws a set, by default 24 requests of it of which 4 are asked for at once."""

    def draw(
        requests: int = 24,
        at_once: int = 4,
        seed: int = 7,
        socket_path: Any = vllms_client.socket_path,
        tokenizer: str = "",
        stretches: tuple[int, ...] = (),
        **row: Any,
    ) -> Drawn:
        model = resolve_model("tiny").path
        order = Order(
            name="it",
            request_set=RequestSet(**row).model_dump(),
            requests=requests,
            at_once=at_once,
            seed=seed,
            model=model,
            tokenizer_words=("--tokenizer", tokenizer or model),
            path=str(tmp_path / "it.jsonl.gz"),
            stretches=stretches,
        )
        return draw_set(order, socket_path=socket_path, env={}, log_path=tmp_path / "it.log", limit_s=300)

    return draw


@pytest.fixture(scope="module")
def count():
    """Return what counts a text's tokens as the tiny model's server does."""
    tokenizer = tokenizer_of(resolve_model("tiny").path)
    return lambda text: len(tokenizer.encode(text))


def tokenizer_of(folder: str | Path) -> Tokenizer:
    """Return the tokenizer that transformers wraps, which takes seconds to import."""
    return Tokenizer.from_file(str(Path(folder, "tokenizer.json")))


def of(drawn: Drawn) -> list[FrozenRequest]:
    return list(read_frozen(drawn.path))


@pytest.fixture(scope="module")
def bytes_tokenizer(tmp_path_factory):
    """Return the folder of a byte-level tokenizer, learnt from this repository's pages, that begins prompts with a token."""
    learnt = Tokenizer(models.BPE())
    learnt.pre_tokenizer, learnt.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pages = sorted(map(str, PAGES.glob("*.md")))
    learnt.train(pages, trainers.BpeTrainer(vocab_size=3000, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet))
    learnt.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    folder = tmp_path_factory.mktemp("bytes")
    learnt.save(str(folder / "tokenizer.json"))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    return str(folder)


def test_a_byte_level_tokenizer_has_exactly_the_tokens_asked_for_with_those_that_it_adds(draw, bytes_tokenizer):
    tokenizer = tokenizer_of(bytes_tokenizer)
    page = str(PAGES / "requests.md")
    for row in ({}, {"text": page}, {"text": page, "prefix": Prefix(share=0.5, groups=2)}):
        requests = of(draw(tokenizer=bytes_tokenizer, lengths=(150, 8), **row))
        assert [len(tokenizer.encode(one.prompt)) for one in requests] == [150] * 24
        assert {one.input_tokens for one in requests} == {150}
        shared = Counter(one.shared_tokens for one in requests)
        assert shared[64 if "prefix" in row else 0] >= 20  # two may be cut from one place of a page
    talks = of(draw(tokenizer=bytes_tokenizer, lengths=(30, 8), conversations=Conversations(turns=2)))
    for first, later in zip(talks[::2], talks[1::2]):
        assert len(tokenizer.encode(first.prompt)) == first.input_tokens == 30
        assert len(tokenizer.encode(later.prompt, add_special_tokens=False)) == later.input_tokens == 30
    chats = of(draw(tokenizer=bytes_tokenizer, lengths=(30, 8), endpoint="chat"))
    contents = [one.messages[0]["content"] for one in chats]
    assert {len(tokenizer.encode(content, add_special_tokens=False)) for content in contents} == {30}


def test_a_set_is_drawn_into_a_file_that_says_what_it_is(draw, tmp_path):
    drawn = draw(lengths=LENGTHS)
    assert drawn.sha256 == sha256_of(read_frozen(drawn.path))
    assert drawn.header.requests == drawn.header.distinct == 24 and drawn.header.seed == 7
    assert drawn.header.tokenizer_sha256 == tokenizer_sha256(resolve_model("tiny").path)
    assert drawn.header.vllm_version and RequestSet(**drawn.header.spec) == RequestSet(lengths=LENGTHS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["it.jsonl.gz", "it.log"]


def test_prompts_have_exactly_the_tokens_asked_for_and_no_two_begin_alike(draw, count):
    for row in ({}, {"text": "corpus:words"}):
        requests = of(draw(lengths=LENGTHS, **row))
        assert [one.input_tokens for one in requests] == [64] * 24 == [count(one.prompt) for one in requests]
        assert {one.output_tokens for one in requests} == {8} and {one.shared_tokens for one in requests} == {0}
        assert len({one.prompt.split()[0:4].__str__() for one in requests}) == 24


def test_one_seed_gives_one_file_by_the_client_and_by_a_program_of_its_own_and_a_longer_draw_begins_with_it(draw):
    row = {"lengths": (Spread(lognormal=(48.0, 20.0), max=200), Spread(uniform=(2.0, 9.0))), "text": "corpus:words"}
    first = draw(**row)
    content = first.path.read_bytes()
    assert draw(**row, socket_path=None).path.read_bytes() == content
    requests = list(read_frozen(first.path))
    assert of(draw(**row, requests=40))[:24] == requests
    assert draw(**row, seed=8).sha256 != first.sha256


def test_the_share_of_a_prompt_that_its_group_has_is_designed_and_stands_in_the_file(draw):
    for endpoint in ("completions", "chat"):
        requests = of(draw(requests=60, lengths=(160, 8), prefix=Prefix(share=0.8, groups=3), endpoint=endpoint))
        texts = [one.prompt or one.messages[0]["content"] for one in requests]
        beginnings = Counter(" ".join(text.split()[:128]) for text in texts)
        assert len(beginnings) == 3
        assert [one.shared_tokens for one in requests].count(0) == 3  # the first of each group
        assert {one.shared_tokens for one in requests} == {0, 128}


def test_turns_of_a_conversation_follow_each_other_and_only_the_first_begins_like_others(draw, count):
    row = {"lengths": (Spread(uniform=(20.0, 60.0)), 8), "conversations": Conversations(turns=3, think_s=2.0)}
    requests = of(draw(**row, prefix=Prefix(share=0.5)))
    assert [(one.conversation, one.turn) for one in requests] == [divmod(index, 3) for index in range(24)]
    assert [one.think_s for one in requests[:3]] == [None, 2.0, 2.0]
    assert all(one.shared_tokens == 0 for one in requests if one.turn)
    assert all(one.prompt[0] == "\n" for one in requests if one.turn)  # goes on after an answer
    assert [one.input_tokens for one in requests] == [count(one.prompt) for one in requests]


def test_a_file_of_conversations_is_sent_as_it_is_and_again_where_it_is_too_short(draw, count, tmp_path):
    path = tmp_path / "talks.jsonl"
    said = [("system", "w5"), ("user", "w40 w41"), ("assistant", "w42 w43 w44"), ("user", "w45"), ("assistant", "w46")]
    path.write_text(json.dumps({"messages": [{"role": who, "content": text} for who, text in said]}) + "\n")
    drawn = draw(requests=5, at_once=2, conversations=Conversations(path=str(path)), endpoint="chat")
    requests = of(drawn)
    assert drawn.header.distinct == 2
    assert [(one.conversation, one.turn) for one in requests] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    assert requests[0].messages == ({"role": "system", "content": "w5"}, {"role": "user", "content": "w40 w41"})
    assert requests[1].messages == ({"role": "user", "content": "w45"},)
    assert [(one.input_tokens, one.output_tokens) for one in requests[:2]] == [(3, 3), (1, 1)]


def test_each_stretch_of_a_file_of_conversations_begins_with_one_and_cuts_the_last(draw, tmp_path):
    path = tmp_path / "talks.jsonl"
    talk = [("user", "w40"), ("assistant", "w42")] * 3
    path.write_text(f"{json.dumps({'messages': [{'role': who, 'content': text} for who, text in talk]})}\n" * 3)
    told = {"conversations": Conversations(path=str(path)), "endpoint": "chat"}
    for stretches, turns, distinct in (
        ((4, 2), [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (4, 0)], 6),
        ((5,), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1)], 8),
        ((0, 1), [(number, 0) for number in range(10)], 3),
    ):
        drawn = draw(requests=10, at_once=1, stretches=stretches, **told)
        assert [(one.conversation, one.turn) for one in of(drawn)] == turns
        assert drawn.header.distinct == distinct


def test_vllms_own_loader_draws_a_data_set_with_its_own_options(draw, count):
    requests = of(draw(dataset="custom", path="corpus:prompts", options={"custom_output_len": -1}))
    assert all(one.input_tokens == count(one.prompt) for one in requests)
    assert len({one.output_tokens for one in requests}) > 3
    chats = of(draw(dataset="sharegpt", path="corpus:chats", options={"sharegpt_output_len": 5}, endpoint="chat"))
    assert {one.output_tokens for one in chats} == {5} and all(one.messages[0]["role"] == "user" for one in chats)
    options = {"prefix_repetition_prefix_len": 32, "prefix_repetition_num_prefixes": 5}
    drawn = draw(dataset="prefix_repetition", options=options)
    assert drawn.header.distinct == 24 and [one.shared_tokens for one in of(drawn)].count(0) == 5


def test_a_data_set_that_is_too_small_for_fresh_prompts_is_said_and_one_too_small_for_a_case_is_refused(draw, tmp_path):
    path = tmp_path / "few.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"w{n} " * 40}) + "\n" for n in (4, 5, 6)))
    drawn = draw(requests=7, at_once=3, dataset="custom", path=str(path))
    requests = of(drawn)
    assert drawn.header.distinct == 3 and requests[0].prompt == requests[3].prompt == requests[6].prompt
    assert [one.shared_tokens for one in requests] == [0, 0, 0, 32, 32, 32, 32]
    with pytest.raises(
        ExperimentError, match="few.jsonl, line 3: ends after 3 requests, where 4 different ones are asked for"
    ):
        draw(requests=7, at_once=4, dataset="custom", path=str(path))


def test_what_vllm_refuses_of_a_data_set_is_one_line(draw):
    for row, said in (
        ({"dataset": "custom", "path": "corpus:prompts", "options": {"custom_out_len": 3}}, "--custom-out-len"),
        ({"dataset": "costum", "path": "corpus:prompts"}, "invalid choice: 'costum'"),
        ({"dataset": "hf", "path": "no/such-set"}, "vLLM's loader: ValueError: Unsupported dataset path: no/such-set"),
        ({"dataset": "random", "path": "corpus:words"}, "Cannot use 'random' dataset with --dataset-path"),
        ({"dataset": "custom_image", "path": "corpus:prompts"}, "vLLM's loader: "),
    ):
        with pytest.raises(ExperimentError, match=said) as caught:
            draw(**row)
        assert str(caught.value).startswith("requests.it: ") and "\n" not in str(caught.value)


def test_a_trace_gives_times_lengths_and_beginnings(draw, count, tmp_path):
    path = tmp_path / "trace.jsonl"
    rows = [(0, 1100, [1, 2, 3]), (500, 1030, [1, 2, 9]), (2000, 90, [7]), (2500, 100, [7])]
    keys = ("timestamp", "input_length", "output_length", "hash_ids")
    path.write_text("".join(json.dumps(dict(zip(keys, (ms, tokens, 3, ids)))) + "\n" for ms, tokens, ids in rows))
    requests = of(draw(requests=4, trace=str(path), speed=2.0))
    assert [one.due_s for one in requests] == [0.0, 0.25, 1.0, 1.25]
    assert [one.input_tokens for one in requests] == [1100, 1030, 90, 100] == [count(one.prompt) for one in requests]
    assert [one.shared_tokens for one in requests] == [0, 1024, 0, 80]
    with pytest.raises(ExperimentError, match="line 4: ends after 4 requests, where 5 different ones are asked for"):
        draw(requests=5, at_once=5, trace=str(path))


def test_adapters_have_their_shares_and_one_users_turns_go_to_one(draw):
    shares = {"sql": 0.5, "chat": 0.25}
    requests = of(draw(requests=400, lengths=(4, 1), adapters=shares))
    counted = Counter(one.adapter for one in requests)
    assert set(counted) == {"sql", "chat", None}
    assert abs(counted["sql"] - 200) < 50 and abs(counted["chat"] - 100) < 45
    talks = of(draw(lengths=(4, 1), conversations=Conversations(turns=3), adapters={"sql": 0.5}))
    assert all(len({one.adapter for one in talks if one.conversation == talk}) == 1 for talk in range(8))


def test_words_that_the_tokenizer_does_not_know_are_refused(draw, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("it was a dark and stormy night\n" * 100)
    with pytest.raises(ExperimentError, match="tokenizer knows few of its words: 100% are one token"):
        draw(lengths=LENGTHS, text=str(path))
    path.write_text("w40 w41 w42\n")
    with pytest.raises(ExperimentError, match="has 3 tokens: a prompt of 64 cannot be cut from it"):
        draw(lengths=LENGTHS, text=str(path))


def test_of_a_text_no_more_is_read_than_is_used(draw, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(" ".join(f"w{4000 + number % 999}" for number in range(200_000)))
    with path.open("r+b") as stream:
        stream.truncate(10**9)  # a hole of 1 GB, whose bytes are no text
    with pytest.raises(ExperimentError, match="line 1: a NUL byte"):
        draw(lengths=LENGTHS, text=str(path))


def test_spread_lengths_keep_their_bounds_and_their_means():
    for spread, mean, within in (
        (Spread(uniform=(10.0, 20.0)), 15.0, 0.5),
        (Spread(normal=(100.0, 10.0), max=200), 100.0, 2.0),
        (Spread(lognormal=(512.0, 256.0), max=100_000), 512.0, 40.0),
        (Spread(normal=(50.0, 100.0), min=40, max=60), 50.0, 2.0),
    ):
        drawn = drawn_lengths(spread, 2000, (1, 2))
        assert min(drawn) >= (spread.uniform[0] if spread.uniform else spread.min) and max(drawn) <= spread.longest
        assert abs(sum(drawn) / 2000 - mean) < within
        assert drawn_lengths(spread, 50, (1, 2)) == drawn[:50]
        assert all(type(tokens) is int for tokens in drawn)
    assert set(drawn_lengths(Spread(uniform=(1.0, 3.0)), 100, (1,))) == {1, 2, 3}
    assert drawn_lengths(9, 3, (1,)) == [9, 9, 9]


def test_what_prompts_share_is_counted_in_blocks_by_their_beginnings():
    seen = Seen()
    first, other = list(range(40)), [9, *range(1, 40)]
    assert seen.add(first) == 0
    assert seen.add(other) == 0  # alike from the second token on
    assert seen.add(first[:35]) == 32
    assert seen.add([*first[:31], 99, *first[32:]]) == 16
    assert seen.add(first[:15]) == seen.add(()) == 0
    assert seen.add(first) == 32


def test_the_corpus_of_a_seed_is_the_same_for_ever(tmp_path):
    from benchbook.measure.drawing.corpus import write_corpus
    from benchbook.records.fingerprint import digest

    contents = {}
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        Path(tmp_path, folder).mkdir()
        write_corpus(tmp_path / folder, seed)
        contents[folder] = {path.name: path.read_text() for path in (tmp_path / folder).iterdir()}
    assert contents["a"] == contents["b"] and contents["a"] != contents["c"]
    assert digest(contents["a"])[:12] == "edcfb7b7af93"
