"""Whatever a server answers, the first request ends in an error of ours or in a record that says what is wrong with it."""

from __future__ import annotations

import pytest
from benchbook.errors import BenchbookError
from benchbook.measure.first_request import first_request
from benchbook.measure.repeat import Repeat
from benchbook.measure.servers import open_server
from benchbook.plan import FirstRequestWorkload
from hostile import Watch, is_flagged
from odd_server import COMPLETIONS, HEALTH, KINDS, MODELS, VERSION, odd_server

WORKLOAD = FirstRequestWorkload(prompt="w1 w2 w3 w4 w5", max_tokens=6)
LIMITS = Repeat(limit_s=4.0, stall_limit_s=1.0)
ASKED = (COMPLETIONS, MODELS)  # what a wrong number could come from; without the others, less is known


def test_there_are_eighty_kinds():
    assert len(KINDS) == 80


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_request_to_a_hostile_server_ends_in_an_error_or_a_flag(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("benchbook.hosts.served.ANSWER_LIMIT_S", 2.0)
    path = KINDS[kind][0]
    with odd_server(kind) as url, Watch() as watch:
        try:
            record = first_request(open_server(url), WORKLOAD, record_path=tmp_path / "r.json", repeat=LIMITS).record
        except BenchbookError as error:
            assert str(error).strip() and len(str(error).splitlines()) == 1
            assert path not in (VERSION,), "what only tells of the server costs no number"
        else:
            assert is_flagged(record) or path not in ASKED
            assert path != HEALTH
    assert watch.took_s < 60 and watch.grew_mib < 512


def test_a_first_request_to_a_sound_server_is_valid(tmp_path):
    with odd_server() as url:
        record = first_request(open_server(url), WORKLOAD, record_path=tmp_path / "r.json", repeat=LIMITS).record
    assert record.verdict == "VALID" and record.host["version"] == "0.32.0"
