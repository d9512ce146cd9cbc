"""Records, their files and their store."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from benchbook.hosts.machine import cpu, facts
from benchbook.records import files, provenance
from benchbook.records.described import described
from benchbook.records.files import write_json
from benchbook.records.fingerprint import case_key, changed_parts, combined, fingerprint_parts
from benchbook.records.handover import RECORD_FILE
from benchbook.records.record import Identity, Outcome, Reason, Record, Verdict, verdict_of
from benchbook.records.record_file import read_record, write_record
from benchbook.records.store import Store
from benchbook.terms.errors import ExperimentError, StoreError
from benchbook.terms.metrics import METRICS, metrics_for, values_from_raw
from benchbook.terms.redaction import find_secrets, known_secrets, redacted, redacted_env
from benchbook.terms.secret_names import is_secret_name

TIMES = {
    "started_utc": "2026-11-23T20:00:00+00:00",
    "ended_utc": "2026-11-23T20:00:05+00:00",
    "started_monotonic_s": 1.0,
    "ended_monotonic_s": 6.0,
}


KEY = case_key("eager,serve", "a" * 64)


def make_record(repeat=0, **fields):
    given = {
        "benchmark": "serve",
        "workload": {"input_len_tokens": 128, "output_len_tokens": 64, "max_concurrency": 8, "num_prompts": 80},
        "outcome": Outcome.MEASURED,
        "verdict": Verdict.VALID,
        "values": {"mean_ttft_ms": 12.5, "request_goodput_rps": None},
        "identity": Identity(case_id="eager,serve", repeat=repeat, fingerprint="a" * 64),
    }
    told = described(given["benchmark"], given["workload"])._asdict()
    return Record(**{**told, **given, **TIMES, **fields})


@pytest.fixture
def raw_all_failed():
    """What `vllm bench serve` writes when 8 of 8 requests fail, shortened."""
    return {
        "completed": 0,
        "failed": 8,
        "duration": 0.02,
        "total_input_tokens": 0,
        "total_output_tokens": 0,
        "request_throughput": 0.0,
        "output_throughput": 0.0,
        "total_token_throughput": 0.0,
        "request_goodput": None,
        "mean_ttft_ms": 0.0,
        "p99_ttft_ms": 0.0,
        "mean_tpot_ms": 0.0,
        "mean_e2el_ms": 0.0,
    }


def test_a_case_with_no_completed_request_has_no_latency(raw_all_failed):
    values = values_from_raw("serve", raw_all_failed)
    assert values["mean_ttft_ms"] is None and values["p99_ttft_ms"] is None and values["mean_tpot_ms"] is None


def test_a_rate_of_zero_is_a_measurement(raw_all_failed):
    assert values_from_raw("serve", raw_all_failed)["output_throughput_tok_s"] == 0.0


def test_values_equal_the_raw_file_to_the_digit():
    raw = json.loads('{"mean_ttft_ms": 13.123456789012345, "output_throughput": 479.0699999999999, "completed": 80}')
    values = values_from_raw("serve", raw)
    assert (values["mean_ttft_ms"], values["output_throughput_tok_s"], values["completed"]) == (
        13.123456789012345,
        479.0699999999999,
        80,
    )


def test_latency_percentiles_are_read_from_inside_the_official_file():
    raw = {"avg_latency": 0.5, "latencies": [0.4, 0.6], "percentiles": {"10": 0.41, "99": 0.599}}
    values = values_from_raw("latency", raw)
    assert (
        values["p10_batch_latency_s"] == 0.41
        and values["p99_batch_latency_s"] == 0.599
        and values["p50_batch_latency_s"] is None
    )


def test_output_tokens_are_never_taken_from_a_rate_of_all_tokens():
    """`tokens_per_second` of `bench throughput` counts prompts as well; the rate of the output is only printed."""
    raw = {"elapsed_time": 2.0, "num_requests": 4, "requests_per_second": 2.0, "tokens_per_second": 400.0}
    printed = {"printed": {"output_throughput_tok_s": 100.0, "total_input_tokens": 600, "total_output_tokens": 200}}
    values = values_from_raw("throughput", {**raw, **printed})
    assert (values["output_throughput_tok_s"], values["total_throughput_tok_s"]) == (100.0, 400.0)
    assert values_from_raw("throughput", raw)["output_throughput_tok_s"] is None
    serve = values_from_raw("serve", {"output_throughput": 100.0, "total_token_throughput": 400.0})
    assert (serve["output_throughput_tok_s"], serve["total_throughput_tok_s"]) == (100.0, 400.0)


def test_every_metric_names_its_unit_or_is_a_count():
    for metric in METRICS:
        suffixes = {"ms": "_ms", "s": "_s", "tok/s": "_tok_s", "req/s": "_rps", "%": "_pct", "tok": "_tok"}
        assert metric.unit == "" or metric.key.endswith(suffixes[metric.unit]), metric.key


def test_metric_keys_are_unique_and_each_benchmark_has_some():
    assert len({metric.key for metric in METRICS}) == len(METRICS)
    assert all(metrics_for(benchmark) for benchmark in ("serve", "latency", "throughput", "first_request"))


def test_the_worst_reason_makes_the_verdict_and_notes_do_not_count():
    note, suspect, invalid = (
        Reason(code="x", severity=severity, evidence="") for severity in ("note", "suspect", "invalid")
    )
    assert verdict_of((note,)) is Verdict.VALID
    assert verdict_of((note, suspect)) is Verdict.SUSPECT
    assert verdict_of((suspect, invalid, note)) is Verdict.INVALID


def test_a_record_survives_writing_and_reading(tmp_path):
    record = make_record()
    write_record(tmp_path / "record.json", record)
    assert read_record(tmp_path / "record.json") == record


def test_a_record_holds_what_was_seen_of_the_machine(tmp_path):
    look = cpu.look([])
    record = make_record(conditions={"machine": cpu.shares(look, cpu.look([]))})
    write_record(tmp_path / "record.json", record)
    assert read_record(tmp_path / "record.json") == record


@pytest.mark.parametrize("cut_at", [0, 1, 40, 200])
def test_a_cut_record_is_named_as_cut(tmp_path, cut_at):
    path = tmp_path / "record.json"
    write_record(path, make_record())
    path.write_text(path.read_text()[:cut_at])
    with pytest.raises(StoreError, match="not a whole record"):
        read_record(path)


def test_a_record_of_unknown_fields_is_not_read_as_whole(tmp_path):
    path = tmp_path / "record.json"
    files.write_json(path, {**make_record().model_dump(mode="json"), "surprise": 1})
    with pytest.raises(StoreError, match="surprise"):
        read_record(path)


def test_not_a_number_is_refused_in_a_file(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "x.json", {"mean": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_says_so_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    files.write_json(path, {"state": "running"})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="disk is full"):
        files.write_json(path, {"state": "finished"})
    assert files.read_json(path) == {"state": "running"} and [each.name for each in tmp_path.iterdir()] == ["run.json"]


def test_a_folder_deleted_in_mid_run_is_named(tmp_path):
    with pytest.raises(StoreError, match="deleted while the run"):
        files.write_json(tmp_path / "gone" / "record.json", {})


def test_a_fingerprint_names_the_part_that_changed():
    old = fingerprint_parts(launch={"a": 1}, device="cpu", packages={"vllm": "0.32.0"})
    new = fingerprint_parts(launch={"a": 1}, device="cpu", packages={"vllm": "0.33.0"})
    assert changed_parts(old, new) == ["packages"] and combined(old) != combined(new)


def test_a_case_is_found_only_under_its_own_fingerprint(tmp_path):
    store = Store.create(tmp_path, "quickstart")
    store.save(case_key("eager,serve", "a" * 64), make_record())
    assert store.find(case_key("eager,serve", "a" * 64), 0) == make_record()
    assert store.find(case_key("eager,serve", "b" * 64), 0) is None
    assert store.find(case_key("eager,serve", "a" * 64), 1) is None


def test_a_failed_attempt_is_kept_beside_the_next_one(tmp_path):
    store = Store.create(tmp_path, "quickstart")
    assert store.set_aside("key", 0) == 1
    store.save("key", make_record(outcome=Outcome.NOTEBOOK_FAILED))
    assert store.set_aside("key", 0) == 2
    store.save("key", make_record())
    assert store.set_aside("key", 0) == 3
    assert sorted(path.name for path in (store.run_dir / "cases" / "key").iterdir()) == [
        "repeat=0,attempt=1",
        "repeat=0,attempt=2",
    ]


def test_what_a_killed_writer_left_half_written_is_not_kept_with_an_attempt(tmp_path):
    store = Store.create(tmp_path, "quickstart")
    folder = store.repeat_dir(KEY, 0)
    folder.mkdir(parents=True)
    (folder / "raw.json").write_text("{}")
    (folder / "record.json.tmp").write_text('{"half')
    store.set_aside(KEY, 0)
    assert [path.name for path in store.run_dir.rglob("*") if path.is_file() and "attempt" in str(path)] == ["raw.json"]


def test_set_aside_attempts_are_not_counted_as_results(tmp_path):
    store = Store.create(tmp_path, "quickstart")
    store.save(KEY, make_record())
    store.set_aside(KEY, 0)
    store.save(KEY, make_record(values={}))
    assert len(store.records()) == 1 and store.count_measured() == 1


def test_what_was_measured_stands_while_the_attempt_after_it_was_cut_short(tmp_path):
    store = Store.create(tmp_path, "quickstart")
    for attempt, outcome in ((1, Outcome.MEASURED), (2, Outcome.MEASURED), (3, Outcome.NOTEBOOK_FAILED)):
        assert store.set_aside(KEY, 0) == attempt
        identity = Identity(case_id="eager,serve", fingerprint="a" * 64, attempt=attempt)
        store.save(KEY, make_record(identity=identity, outcome=outcome))
    assert [record.identity.attempt for record in store.records()] == [3], "the final attempt has a record"
    store.set_aside(KEY, 0)
    store.repeat_dir(KEY, 0).mkdir()
    (standing,) = store.records()
    assert standing.identity.attempt == 2 and store.count_measured() == 1
    assert store.folder_of(standing).name == "repeat=0,attempt=2"
    assert not store.has_record_file(KEY, 0), "who continues measures it anew"


def test_a_repeat_that_is_still_measured_and_a_cut_record_are_not_counted_as_results(tmp_path):
    store = Store.create(tmp_path, "quickstart")
    assert store.records() == [] and store.count_measured() == 0  # nothing was begun
    store.save(KEY, make_record())
    store.repeat_dir(KEY, 1).mkdir()
    store.repeat_dir(KEY, 2).mkdir()
    (store.repeat_dir(KEY, 2) / RECORD_FILE).write_text('{"outcome": "measured", ')
    assert len(store.records()) == 1 and store.count_measured() == 1


def test_latest_points_to_the_newest_run_and_two_in_a_second_do_not_collide(tmp_path):
    first, second = Store.create(tmp_path, "quickstart"), Store.create(tmp_path, "quickstart")
    assert first.run_dir != second.run_dir
    assert (tmp_path / "quickstart" / "latest").resolve() == second.run_dir.resolve()


def test_a_run_is_opened_by_folder_by_experiment_and_by_id(tmp_path):
    store = Store.create(tmp_path, "quickstart")
    write_json(store.run_dir / "run.json", {"state": "finished"})
    for name in (store.run_dir, "quickstart", f"quickstart/{store.run_id}"):
        assert Store.open(name, tmp_path).run_dir == store.run_dir.resolve()


def test_an_unknown_run_is_answered_with_those_there_are(tmp_path):
    store = Store.create(tmp_path, "quickstart")
    write_json(store.run_dir / "run.json", {})
    with pytest.raises(ExperimentError, match=store.run_id):
        Store.open("quikstart", tmp_path)


def test_a_killed_run_and_a_copy_of_one_are_not_running(tmp_path):
    store = Store.create(tmp_path, "quickstart")
    write_json(store.run_dir / "run.json", {"state": "running"})
    with store.locked():
        assert Store(store.run_dir).header().state == "running"
    assert store.header().state == "interrupted"
    (store.run_dir / ".lock").unlink()
    assert store.header().state == "interrupted"


def test_a_second_writer_of_a_run_is_refused(tmp_path):
    store = Store.create(tmp_path, "quickstart")
    with store.locked(), pytest.raises(StoreError, match="another benchbook"), Store(store.run_dir).locked():
        pass


def test_the_lock_is_free_again_after_use(tmp_path):
    store = Store.create(tmp_path, "quickstart")
    for _ in range(2):
        with store.locked():
            pass


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "OPENAI_API_KEY", "api_key", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "Authorization"]
)
def test_names_of_secrets_are_known(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["VLLM_CPU_KVCACHE_SPACE", "MAX_TOKENS", "max_num_batched_tokens", "tokenizer", "total_output_tokens"]
)
def test_honest_names_are_not_taken_for_secrets(name):
    assert not is_secret_name(name)


def test_secret_values_are_redacted_by_name_and_by_shape():
    token = "hf_" + "a" * 34
    assert redacted_env({"HF_TOKEN": "x", "NOTE": f"use {token}", "CUDA_VISIBLE_DEVICES": "0"}) == {
        "HF_TOKEN": "<redacted>",
        "NOTE": "use <redacted>",
        "CUDA_VISIBLE_DEVICES": "0",
    }
    assert redacted("key=swordfish123", known=["swordfish123"]) == "key=<redacted>"


def test_a_found_secret_is_named_without_being_shown():
    token = "sk-" + "b" * 40
    found = find_secrets(f"Bearer {token}")
    assert len(found) == 1 and token not in found[0] and found[0].startswith("sk-b")


def test_known_secrets_come_from_the_environment_by_name():
    assert known_secrets({"OPENAI_API_KEY": "0123456789", "SHORT_TOKEN": "EMPTY", "HOME": "/root/long/enough"}) == (
        "0123456789",
    )


def test_results_cannot_be_written_outside_their_folder():
    assert (
        "/" not in case_key("eager,serve,lengths=128x64", "f" * 64)
        and Path(case_key("a", "f" * 64)).name == "a-ffffffff"
    )


def test_peaks_from_buckets_of_one_second_are_never_taken_over():
    """vLLM's peak concurrency counts a request in every second that it touches: 16 where 4 were allowed."""
    raw = {"completed": 4, "max_concurrent_requests": 16, "max_output_tokens_per_s": 123.0}
    values = values_from_raw("serve", raw)
    assert 16 not in values.values() and 123.0 not in values.values()


def test_a_record_names_only_the_gpus_that_its_run_could_use(tmp_path, monkeypatch):
    listed = "0, GPU-aaa, NVIDIA H200, 143771 MiB, 580.1\n1, GPU-bbb, NVIDIA H100, 81559 MiB, 580.1\n"
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\nprintf '%s' '{listed}'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def names(visible):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        return [gpu.name for gpu in facts.machine.__wrapped__().gpus]  # past the cache, which others share

    assert names("1") == ["NVIDIA H100"] and names("GPU-aaa") == ["NVIDIA H200"]
    assert names("0, 1") == ["NVIDIA H200", "NVIDIA H100"]


def test_files_that_git_does_not_track_leave_a_repository_clean_and_an_edit_does_not(tmp_path):
    def git(*words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *words], check=True, capture_output=True)

    (tmp_path / "code.py").write_text("1")
    git("init")
    git("add", "code.py")
    git("commit", "-m", "first")
    (tmp_path / "mine.yaml").write_text("question: mine")
    assert provenance.git_state(tmp_path).dirty is False
    (tmp_path / "code.py").write_text("2")
    assert provenance.git_state(tmp_path).dirty is True
