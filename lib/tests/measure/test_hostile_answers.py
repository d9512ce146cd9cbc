"""Whatever a server answers, the first request ends in an error of ours or in a record that says what is wrong with it."""

from __future__ import annotations

import pytest
from benchbook.hosts.model.files import resolve_model
from benchbook.measure.first_request import first_request
from benchbook.measure.servers import open_server
from benchbook.plan.workloads import FirstRequestWorkload
from benchbook.records.files import read_json
from benchbook.records.handover import Handover
from benchbook.terms.errors import BenchbookError
from hostile import HARMLESS_TO_A_BENCHMARK, HARMLESS_TO_A_FIRST_REQUEST, Watch, is_flagged
from odd_server import KINDS, VERSION, odd_server

WORKLOAD = FirstRequestWorkload(prompt="w1 w2 w3 w4 w5", max_tokens=6)
LIMITS = Handover(limit_s=2.5, stall_limit_s=0.7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="module")
def asked(folder):
    """Return a function that sends a first request to a server of a kind, and returns the record."""
    root = resolve_model("tiny").path

    def ask(kind=""):
        with odd_server(kind, root) as url, pytest.MonkeyPatch.context() as patch:
            patch.setattr("benchbook.hosts.served.ANSWER_LIMIT_S", 1.5)
            path = folder / (kind or "sound") / "record.json"
            return first_request(open_server(url), WORKLOAD, record_path=path, repeat=LIMITS).record

    return ask


@pytest.fixture(scope="module")
def sound(asked):
    return asked()


def test_there_are_eighty_kinds_at_least_and_what_is_harmless_is_among_them():
    assert len(KINDS) >= 80
    assert HARMLESS_TO_A_FIRST_REQUEST.keys() | HARMLESS_TO_A_BENCHMARK.keys() <= KINDS.keys()


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - HARMLESS_TO_A_FIRST_REQUEST))
def test_a_first_request_to_a_hostile_server_ends_in_an_error_or_a_flag(kind, asked, sound):
    with Watch() as watch:
        try:
            record = asked(kind)
        except BenchbookError as error:
            assert str(error).strip() and len(str(error).splitlines()) == 1
        else:
            assert is_flagged(record, sound)
    assert watch.took_s < 60 and watch.grew_mib < 512


@pytest.mark.parametrize("kind", ["", *HARMLESS_TO_A_FIRST_REQUEST])
def test_a_first_request_to_a_sound_server_or_a_harmless_one_is_valid_and_right(kind, asked, sound, folder):
    with Watch() as watch:
        record = asked(kind)
    assert record.verdict == "VALID" and not is_flagged(record, sound)
    raw = read_json(folder / (kind or "sound") / "raw.json")
    words = ["?"] * 6 if kind == "half_surrogates" else [f"w{number} " for number in range(6)]
    assert raw["text"] == "".join(words) and raw["finish_reason"] == "length"
    assert raw["usage"] == {"prompt_tokens": 5, "completion_tokens": 6} and len(raw["itls"][0]) == 5
    assert 0 < raw["ttft_ms"] < raw["e2el_ms"]
    assert record.host.version == (None if kind and KINDS[kind][0] == VERSION else "0.32.0")
    assert watch.took_s < 60 and watch.grew_mib < 512
