"""What vLLM's loaders draw, with tools, images and messages, becomes requests that can be frozen, or is refused in a line."""

from types import SimpleNamespace

import pytest
from benchbook.measure.drawing.designs import Design
from benchbook.measure.drawing.samples import drafts_of
from benchbook.plan.requests import RequestSet
from benchbook.terms.errors import ExperimentError

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
SOUND = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
TOOLS = {"tools": [{"type": "function", "function": {"name": "look"}}]}


class Words:
    """A tokenizer of words, which keeps what its template was given."""

    def __init__(self):
        self.tools = []

    def __call__(self, text, add_special_tokens=True, **_):
        return SimpleNamespace(input_ids=[len(word) for word in text.split()])

    def encode(self, text, add_special_tokens=True, **_):
        return [len(word) for word in text.split()]

    def apply_chat_template(self, messages, tools=None, **_):
        self.tools.append(tools)
        return "you are helpful " + " ".join(str(message["content"]) for message in messages)


def sample(prompt="what is this", media=None, messages=None, overrides=None):
    return SimpleNamespace(
        prompt=prompt,
        multi_modal_data=media,
        chat_messages=messages,
        request_overrides=overrides,
        expected_output_len=4,
        timestamp=None,
    )


def drawn(samples, endpoint="chat"):
    tokenizer = Words()
    design = Design(RequestSet(dataset="random-mm", endpoint=endpoint), tokenizer, 0)
    return list(drafts_of(samples, design)), tokenizer


def test_images_and_sounds_are_parts_of_one_message_and_tools_go_into_the_body():
    for media, parts in ((IMAGE, [IMAGE]), ([IMAGE, SOUND], [IMAGE, SOUND])):
        ((draft,), _) = drawn([sample(media=media)])
        (message,) = draft.request.messages
        assert message == {"role": "user", "content": [{"type": "text", "text": "what is this"}, *parts]}
        assert draft.request.input_tokens == 3  # of the text alone: what an image takes, its server counts
    said = [{"role": "user", "content": "look at that"}]
    ((draft,), tokenizer) = drawn([sample(messages=said, overrides=TOOLS)])
    assert draft.request.messages == tuple(said) and draft.request.body == TOOLS
    assert tokenizer.tools == [TOOLS["tools"]]


def test_a_system_prompt_of_the_template_is_seen_in_what_prompts_share_and_not_counted_as_asked():
    (first, second), _ = drawn([sample("one two"), sample("three")])
    assert first.tokens[:3] == second.tokens[:3] == (3, 3, 7)
    assert [draft.request.input_tokens for draft in (first, second)] == [2, 1]


def test_what_an_endpoint_cannot_be_sent_is_one_line_with_the_number_of_the_request():
    for samples, endpoint, words in (
        ([sample(), sample(media=IMAGE)], "completions", "request 1 of the data set cannot be sent: it has messages"),
        ([sample(media={"audio": (b"", 16000)})], "chat", "request 0 of the data set cannot be sent: it has sounds or"),
        ([sample(prompt=[1, 2])], "chat", "it is of token ids: say endpoint: completions"),
        ([sample(prompt=[[1], [2]])], "completions", "it holds several prompts in one"),
    ):
        with pytest.raises(ExperimentError) as refused:
            drawn(samples, endpoint)
        (line,) = str(refused.value).splitlines()
        assert words in line
