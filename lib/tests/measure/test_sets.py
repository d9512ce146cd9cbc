"""What a repeat sends of its frozen set: what is asked of it, in which of vLLM's words, and the same by hand."""

from pathlib import Path

import pytest
from benchbook.measure.argv import Target, serve_argv
from benchbook.measure.sets import sending_of
from benchbook.plan.workloads import ServeWorkload
from benchbook.records.frozen import FrozenHeader, FrozenRequest, lines_sha256, sha256_of, write_frozen
from benchbook.records.handover import BY_HAND, Handover, SentRequests
from benchbook.terms.asked import Asked
from benchbook.terms.errors import ExperimentError

LENGTHS = [(8, 4), (9, 5), (10, 6), (11, 7), (12, 8), (13, 9)]
WORKLOAD = ServeWorkload(requests="it", num_prompts=2, max_concurrency=1)


def requests_of(lengths, **fields):
    return [
        FrozenRequest(prompt=f"words {index}", input_tokens=first, output_tokens=second, **fields)
        for index, (first, second) in enumerate(lengths)
    ]


def frozen(tmp_path, requests, **spec):
    path = tmp_path / "it.jsonl.gz"
    spec = {"lengths": [8, 4], **spec}
    header = FrozenHeader(name="it", requests=len(requests), distinct=len(requests), seed=0, spec=spec)
    assert write_frozen(path, header, requests) == lines_sha256(path)
    return path


def sending(path, **how):
    sent = SentRequests(name="it", path=str(path), **{"start": 1, "warmup_starts": (3, 4), **how})
    return sending_of(WORKLOAD, Handover(requests=sent))


def test_a_stretch_is_asked_for_to_the_token(tmp_path):
    found = sending(frozen(tmp_path, requests_of(LENGTHS)))
    assert found.workload.asked == Asked(
        requests=2, input_tokens=19, output_tokens=11, input_tokens_each=9.5, output_tokens_each=5.5, ends_by="length"
    )
    assert found.workload.max_request_tokens == 16
    assert found.sha256 == sha256_of(requests_of(LENGTHS)[1:3])
    stretches = (found.stretch(512), found.warmup_stretch(0, 2, 512), found.warmup_stretch(1, 2, 512))
    assert [(each.start, each.count, each.max_model_len) for each in stretches] == [
        (1, 2, 512),
        (3, 2, 512),
        (4, 2, 512),
    ]


def test_what_a_template_a_history_or_a_model_adds_is_not_asked_for_to_the_token(tmp_path):
    path = frozen(tmp_path, requests_of(LENGTHS))
    assert sending(path, endpoint="chat").workload.asked.input_tokens is None
    assert sending(path, ends_by="any").workload.asked.output_tokens is None
    talks = frozen(tmp_path, requests_of(LENGTHS, conversation=1))
    assert sending(talks).workload.asked.input_tokens_each is None
    assert sending(path, is_fresh=False).workload.asked.shares_prefix


def argv_of(found, raw_path=Path("/r/raw.json")):
    words = found.words(found.stretch(None), raw_path)
    return serve_argv(found.workload, Target(model="m", raw_path=raw_path, base_url="http://x", sent=words))


def test_the_command_of_a_set_is_one_that_anybody_can_type(tmp_path):
    path = frozen(tmp_path, requests_of(LENGTHS))
    argv = argv_of(sending(path, sampling={"temperature": 0.7, "top_p": 0.9}))
    text = " ".join(argv)
    assert "--backend openai --base-url http://x --endpoint /v1/completions" in text
    assert "--dataset-name custom --dataset-path /r/requests.jsonl --custom-output-len -1" in text
    assert "--ignore-eos --temperature 0.7 --top-p 0.9" in text and "random" not in text
    chat = " ".join(argv_of(sending(path, endpoint="chat", ends_by="any")))
    assert "--backend openai-chat" in chat and "--endpoint /v1/chat/completions" in chat
    assert "--ignore-eos" not in chat and "--temperature" not in chat


def test_a_load_without_a_set_is_sent_as_it_was(tmp_path):
    plain = ServeWorkload(input_len_tokens=8, output_len_tokens=4, num_prompts=2, max_concurrency=1)
    found = sending_of(plain, BY_HAND)
    assert found.workload is plain and found.sha256 == "" and found.for_record is None
    assert found.stretch(None) is None and found.warmup_stretch(0, 2, None) is None
    assert found.words(None, tmp_path) is None


def test_the_record_says_what_was_sent_and_how(tmp_path):
    told = sending(frozen(tmp_path, requests_of(LENGTHS)), sha256="ab", ends_by="any", sampling={}).for_record
    assert (told.name, told.sha256, told.start, told.ends_by, told.sampling) == ("it", "ab", 1, "any", {})


def test_by_hand_a_frozen_file_is_named_and_its_own_row_says_how_it_is_sent(tmp_path):
    path = frozen(tmp_path, requests_of(LENGTHS), endpoint="chat", ends_by="any", sampling="server")
    load = {"num_prompts": 2, "max_concurrency": 1}
    found = sending_of(ServeWorkload(requests=str(path), **load), BY_HAND)
    assert (found.sent.start, found.sent.endpoint, found.sent.ends_by, found.sent.sampling) == (0, "chat", "any", {})
    assert found.sent.warmup_starts == (2, 4, 4, 4) and found.sent.is_fresh
    for requests, number, said in (("nowhere", 2, "is no file"), (str(path), 7, "has 6 requests, and 7 are asked for")):
        with pytest.raises(ExperimentError, match=said):
            sending_of(ServeWorkload(requests=requests, num_prompts=number, max_concurrency=1), BY_HAND)
