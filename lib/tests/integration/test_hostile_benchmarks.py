"""Whatever a server answers, a benchmark with vLLM's own client ends in an error of ours or in a record with a flag."""

from __future__ import annotations

import pytest
from benchbook.hosts.model.files import resolve_model
from benchbook.measure.serve import bench_serve
from benchbook.measure.servers import open_server
from benchbook.plan.workloads import ServeWorkload
from benchbook.records.handover import Handover
from benchbook.terms.errors import BenchbookError
from hostile import HARMLESS_TO_A_BENCHMARK, OF_THE_LOAD, Watch, flags, is_flagged
from odd_server import KINDS, METRICS, VERSION, odd_server
from rows import rows

pytestmark = pytest.mark.integration

WORKLOAD = ServeWorkload(
    input_len_tokens=5, output_len_tokens=6, max_concurrency=2, num_prompts=6, num_warmup_prompts=0
)
SAMPLE = (
    "gzip_bomb line_without_end tokens_for_ever reset_in_mid_stream text_is_a_number usage_of_nan error_in_mid_stream "
    "usage_beyond_counting in_one_heap models_that_change metrics_404 metrics_malformed metrics_without_end"
).split()
IDLE_S = 3.0  # what the benchmark of a sound server takes at most, where nothing else runs
# vLLM's own client reads all of /metrics before and after (fetch_spec_decode_metrics), gigabytes of it if need be.
TOO_LARGE = ("metrics_without_end", "metrics_of_600_000_lines")


@pytest.fixture(scope="module")
def client(vllms_client):
    return vllms_client


@pytest.mark.parametrize(("script", "is_cut"), [({"output_tokens": 44}, True), ({}, False)])
def test_answers_that_end_early_above_the_least_drawn_length_are_seen(client, fake_server, tmp_path, script, is_cut):
    """Lengths of 32 to 96 are drawn: 44 tokens are an answer that somebody may have asked for."""
    workload = ServeWorkload(
        input_len_tokens=5,
        output_len_tokens=64,
        range_ratio=0.5,
        max_concurrency=4,
        num_prompts=40,
        num_warmup_prompts=0,
    )
    limits = Handover(client_socket=client.socket_path, limit_s=60.0)
    with fake_server(**script) as server:
        saved = bench_serve(
            server, workload, record_path=tmp_path / "r.json", repeat=limits, tokenizer=resolve_model("tiny").path
        )
    found = saved.record
    cut = found.conditions.client.cut_answers
    assert bool(cut) == is_cut and all(came <= 44 < asked for asked, came in cut)
    assert ("outputs_short" in [why.code for why in found.reasons]) == is_cut
    assert "outputs_short" not in found.not_looked


@pytest.fixture(scope="module")
def measured(client, tmp_path_factory):
    """Return a function that measures a server of a kind with vLLM's own client, and returns the record."""
    root, folder = resolve_model("tiny").path, tmp_path_factory.mktemp("records")

    def measure(kind=""):
        ends = kind in ("", *HARMLESS_TO_A_BENCHMARK) or KINDS[kind][0] in (METRICS, VERSION)  # by itself, if late
        limits = Handover(client_socket=client.socket_path, limit_s=300.0 if ends else 20.0, stall_limit_s=6.0)
        with odd_server(kind, root) as url, pytest.MonkeyPatch.context() as patch:
            patch.setattr("benchbook.hosts.served.ANSWER_LIMIT_S", 2.0)
            patch.setattr("benchbook.plan.serve_workload.CLIENT_MIB", 8)  # which is reached the sooner
            path = folder / (kind or "sound") / "record.json"
            return bench_serve(open_server(url), WORKLOAD, record_path=path, repeat=limits).record

    return measure


@pytest.fixture(scope="module")
def sound(measured):
    return measured()


@pytest.fixture(scope="module")
def limit_s(measured):
    """Return how long one may take (s): a minute, where a sound server's is measured in the seconds of an idle machine."""
    with Watch() as watch:
        measured()
    return 60 * max(1.0, watch.took_s / IDLE_S)


@pytest.mark.parametrize("kind", rows(sorted(KINDS.keys() - HARMLESS_TO_A_BENCHMARK), quick=SAMPLE))
def test_a_benchmark_of_a_hostile_server_ends_in_an_error_or_a_flag(kind, client, sound, limit_s, measured):
    with Watch(client.pid) as watch:
        try:
            record = measured(kind)
        except BenchbookError as error:
            assert str(error).strip() and len(str(error).splitlines()) == 1
            too_large = kind in TOO_LARGE and "vllm bench serve would read all of it" in str(error)
            assert too_large or KINDS[kind][0] != METRICS, "what only tells of the server costs no number"
        else:
            assert is_flagged(record, sound)
    assert watch.took_s < limit_s, watch
    assert watch.grew_mib < 512, watch


@pytest.mark.parametrize("kind", ["", *HARMLESS_TO_A_BENCHMARK])
def test_a_benchmark_of_a_sound_server_or_a_harmless_one_is_right(kind, client, sound, limit_s, measured):
    with Watch(client.pid) as watch:
        record = measured(kind)
    # A busy machine makes the scripted server stand still, or its chunks arrive in a heap, the sound one's as much as this one's.
    assert flags(record) ^ flags(sound) <= OF_THE_LOAD | {"server_stalled", "stream_bunched"}
    counts = ("completed", "failed", "total_input_tokens", "total_output_tokens")
    assert [record.values[name] for name in counts] == [6, 0, 30, 36] == [sound.values[name] for name in counts]
    assert 0 < record.values["mean_tpot_ms"] and 0 < record.values["mean_ttft_ms"] < record.values["mean_e2el_ms"]
    assert record.host.version == (None if kind and KINDS[kind][0] == VERSION else "0.32.0")
    assert watch.took_s < limit_s and watch.grew_mib < 512, watch
