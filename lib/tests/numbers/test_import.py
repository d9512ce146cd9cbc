"""Figures of others: each real file is read to the digit and judged as it should be, or refused with file and key."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path

import pytest
from benchbook.cli import app
from benchbook.numbers.content import objects_of
from benchbook.numbers.figures import Told, shifted
from benchbook.numbers.files import read_files
from benchbook.numbers.formats import FORMATS, figures_of, format_of
from benchbook.numbers.importing import make_run
from benchbook.records.record_file import read_record
from benchbook.report.run import load_run
from benchbook.terms.errors import ExperimentError, StoreError
from benchbook.terms.metrics import BY_KEY
from measured import serve
from typer.testing import CliRunner

DATA = Path(__file__).parents[1] / "data" / "results"
FIRST = "SERVE--max_num_seqs=4-BENCH--max_concurrency=2-num_prompts=8"
# File or line: the verdict alone, the codes that lower it, notes that must be there.
JUDGED = {
    "aiperf_2025-06_profile_export": ("VALID", set(), {"percentile_not_earned"}),
    "gemma4_a100_result-long-rate1": ("SUSPECT", {"overloaded", "too_short"}, set()),
    "gemma4_a100_result-long-rate32": ("SUSPECT", {"overloaded", "too_short"}, set()),
    "gemma4_a100_result-long-rateinf": ("SUSPECT", {"too_short"}, {"read_as"}),
    "gemma4_a100_result-medium-rate8": ("SUSPECT", {"overloaded", "too_short"}, set()),
    "gemma4_a100_result-short-rate1": ("VALID", set(), set()),
    "gemma4_a100_result-short-rate32": ("SUSPECT", {"overloaded", "too_short"}, set()),
    "gemma4_tpu_result-short-rate4": ("VALID", set(), {"figures_hint"}),
    "guidellm_v0.8_report_v2, benchmark 1": ("SUSPECT", {"overloaded"}, {"percentile_not_earned", "read_as"}),
    "guidellm_v0.8_report_v2, benchmark 2": ("SUSPECT", {"overloaded"}, {"percentile_not_earned", "read_as"}),
    "inference_perf_stage0_lifecycle": ("INVALID", {"latency_sum_broken"}, {"percentile_not_earned"}),
    "inference_perf_stage6_lifecycle": ("INVALID", {"latency_sum_broken", "rate_not_reached"}, set()),
    "inferencex_glm5_tp8_conc64": ("VALID", set(), {"percentile_not_earned"}),
    "inferencex_glm5_tp8_isl16k_conc4": ("VALID", set(), {"percentile_not_earned"}),
    "inferencex_minimax_dep8_conc48": ("VALID", set(), {"percentile_not_earned"}),
    "latency_2025-02_llama8b_ascend": ("VALID", set(), {"percentile_not_earned", "read_as"}),
    "reasoning_timing": ("SUSPECT", {"too_short"}, {"figures_hint", "percentile_not_earned"}),
    "serve_2024-09_multistep_sharegpt": ("SUSPECT", {"too_short"}, {"itl_per_chunk", "percentile_not_earned"}),
    "serve_2025-02_llama8b_ascend_qps_4": ("VALID", set(), {"read_as"}),
    "serve_2025-02_llama8b_ascend_qps_inf": ("VALID", set(), {"read_as"}),
    "serve_v0.25.1_all_failed": ("INVALID", {"nothing_completed", "requests_failed"}, set()),
    "serve_v0.25.1_opt125m": ("SUSPECT", {"too_short"}, {"figures_hint", "percentile_not_earned"}),
    "sglang_deepseek_dp": ("SUSPECT", {"too_short"}, {"figures_hint"}),
    "sglang_dlora_rate48": ("SUSPECT", {"overloaded", "too_short"}, {"read_as"}),
    **{f"sglang_llama70b_offline, line {n}": ("SUSPECT", {"too_short"}, {"read_as"}) for n in range(1, 8)},
    **{f"sglang_llama70b_online, line {n}": ("VALID", set(), {"read_as"}) for n in (1, 2, 3)},
    **{f"sglang_llama70b_online, line {n}": ("VALID", set(), set()) for n in (6, 7)},
    "sglang_llama70b_online, line 4": ("SUSPECT", {"overloaded"}, {"read_as"}),
    "sglang_llama70b_online, line 5": ("SUSPECT", {"overloaded", "too_short"}, {"read_as"}),
    "max_num_seqs=4, repeat 0": ("SUSPECT", {"too_short"}, {"figures_hint", "percentile_not_earned", "read_as"}),
    "max_num_seqs=4, repeat 1": ("SUSPECT", {"too_short"}, {"percentile_not_earned"}),
    "max_num_seqs=8, repeat 0": ("SUSPECT", {"too_short"}, {"percentile_not_earned"}),
    "max_num_seqs=8, repeat 1": ("SUSPECT", {"too_short"}, {"percentile_not_earned"}),
    "throughput_2025-02_llama8b_ascend": ("VALID", set(), {"read_as"}),
}
# Some of what stands in the files, in our units.
DIGITS = {
    "serve_v0.25.1_opt125m": {"mean_ttft_ms": 215.53594200008774, "failed": 0, "mean_e2el_ms": None},
    "serve_v0.25.1_all_failed": {
        "completed": 0,
        "mean_ttft_ms": None,
        "p99_tpot_ms": None,
        "request_throughput_rps": 0.0,
    },
    "serve_2024-09_multistep_sharegpt": {
        "mean_e2el_ms": 2407.0737529546022,
        "p99_e2el_ms": 8329.030026607215,
        "failed": None,
    },
    "serve_2025-02_llama8b_ascend_qps_4": {"completed": None, "duration_s": None, "p99_itl_ms": 305.39950981736183},
    "inferencex_glm5_tp8_conc64": {
        "median_ttft_ms": 901.5302835032344,
        "mean_ttft_ms": None,
        "p99_tpot_ms": 116.5743636678699,
    },
    "inference_perf_stage0_lifecycle": {"mean_e2el_ms": 483.22820343310013, "failed": 0, "duration_s": None},
    "aiperf_2025-06_profile_export": {"mean_e2el_ms": 522.1955348, "mean_tpot_ms": 4.9662255272727265, "completed": 10},
    "guidellm_v0.8_report_v2, benchmark 1": {"mean_e2el_ms": 19.78909969329834, "mean_tpot_ms": 1.1508464813232422},
    "sglang_dlora_rate48": {
        "total_output_tokens": 1081903,
        "median_itl_ms": None,
        "total_throughput_tok_s": 3580.7417675780453,
    },
    "sglang_llama70b_online, line 1": {"median_itl_ms": 13.638956006616354, "p99_ttft_ms": None, "failed": None},
    "throughput_2025-02_llama8b_ascend": {"total_throughput_tok_s": 1190.9743920852, "output_throughput_tok_s": None},
    "latency_2025-02_llama8b_ascend": {"p99_batch_latency_s": 7.734547998122871},
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Return the results folder and the run of all files."""
    results = tmp_path_factory.mktemp("results")
    done = CliRunner().invoke(app, ["import", str(DATA), "--results", str(results)], catch_exceptions=False)
    assert done.exit_code == 1, "some are INVALID, some refused"
    return results, done.stdout, load_run(next(results.glob("import/2*")))


def name_of(record):
    source = record.provenance.source
    stem = Path(source.file).name.rpartition(".")[0]
    if stem.startswith("run="):
        return f"{record.identity.launch}, repeat {record.identity.repeat}"
    return ", ".join(filter(None, (stem, source.where))) if "llama70b" in stem or "guidellm" in stem else stem


def test_each_real_file_has_the_verdict_that_is_right_for_it(imported):
    _, _, run = imported
    records = {
        name_of(record): record for record in (read_record(path) for path in run.run_dir.glob("cases/*/*/record.json"))
    }
    assert records.keys() == JUDGED.keys()
    for name, (verdict, codes, notes) in JUDGED.items():
        record = records[name]
        found = {why.code for why in record.reasons if why.severity != "note"}
        assert (record.verdict.value, found) == (verdict, codes), name
        assert notes <= {why.code for why in record.reasons}, name
        for key, value in DIGITS.get(name, {}).items():
            assert record.values[key] == value and (record.values[key] is None) == (value is None), (name, key)
    assert not records["gemma4_a100_result-short-rate1"].reasons
    assert "counts nor times" in records["serve_2025-02_llama8b_ascend_qps_4"].reasons[0].evidence
    assert records["serve_2025-02_llama8b_ascend_qps_4"].not_looked.keys() >= {
        "nothing_completed",
        "too_short",
        "overloaded",
    }


def test_repeats_of_a_sweep_are_repeats_and_contradict_each_other(imported):
    _, _, run = imported
    codes = {name_of(record): {why.code for why in record.reasons} for record in run.records}
    assert all("repeats_disagree" in codes[f"max_num_seqs=4, repeat {n}"] for n in (0, 1))
    assert not any("repeats_disagree" in codes[f"max_num_seqs=8, repeat {n}"] for n in (0, 1))
    assert run.settings("max_num_seqs=4")["max_num_seqs"] == 4
    pairs = {record.identity.case_key for record in run.records if record.identity.repeat}
    assert len(pairs) == 3, "two of the sweep, and one of two lines with the same settings"


def test_what_adds_nothing_or_is_no_result_is_said_with_its_file(imported):
    _, said, run = imported
    assert said.count("summary.json lists the 2 runs beside it") == 2 and "gemma4_a100_summary.csv" in said
    for refused in (
        "evalscope_perf_detail.json",
        "inference_perf_stage0_prometheus.json",
        "inference_perf_stage6_prometheus.json",
    ):
        assert f"Refused: {DATA / refused}" in said
    assert len(list(run.run_dir.glob("sources/*"))) == len({record.provenance.source.file for record in run.records})


def test_commands_of_runs_work_on_an_imported_one(imported):
    results, _, _ = imported
    for words in (["table", "import"], ["show", "import"], ["list"], ["table", "import", "--format", "json"]):
        done = CliRunner().invoke(app, [*words, "--results", str(results)], catch_exceptions=False)
        assert done.exit_code == 0 and done.stdout
    compared = CliRunner().invoke(
        app,
        ["compare", "import", "max_num_seqs=4", "max_num_seqs=8", "--results", str(results)],
        catch_exceptions=False,
    )
    assert compared.exit_code == 0 and "output throughput" in compared.stdout


def test_a_named_file_that_is_no_result_starts_nothing_and_tells_all_faults(tmp_path):
    (tmp_path / "a.json").write_text('{"some": "thing"}')
    (tmp_path / "b.json").write_text('{"request_rate": 1, "mean_ttft_ms"')
    done = CliRunner().invoke(
        app, ["import", *map(str, sorted(tmp_path.glob("*.json"))), "--results", str(tmp_path / "r")]
    )
    assert isinstance(done.exception, ExperimentError)
    lines = str(done.exception).splitlines()
    assert len(lines) == 2 and "a.json is of no format that is known" in lines[0] and "b.json is cut" in lines[1]
    assert not (tmp_path / "r").exists()


def test_what_a_file_does_not_tell_can_be_told(tmp_path):
    path = DATA / "latency_2025-02_llama8b_ascend.json"
    words = [
        "--set",
        "batch_size=8",
        "--set",
        "input_len_tokens=32",
        "--set",
        "output_len_tokens=128",
        "--launch",
        "ascend",
    ]
    done = CliRunner().invoke(app, ["import", str(path), *words, "--results", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    (record,) = load_run(next(tmp_path.glob("import/2*"))).records
    assert (record.curve, record.load.value, record.identity.launch) == ("32 in / 128 out", 8, "ascend")
    for bad, said in (("batch=8", "did you mean"), ("batch_size=none", "whole number"), ("batch_size=0", "above 0")):
        refused = CliRunner().invoke(app, ["import", str(path), "--set", bad, "--results", str(tmp_path)])
        assert isinstance(refused.exception, ExperimentError) and said in str(refused.exception)


def whole_result(**changes):
    """Return a result of `bench serve --save-detailed`, as vLLM writes it."""
    raw = serve(cap=4, prompts=80, raw=changes).raw
    about = {
        "date": "20260101-120000",
        "model_id": "m/x",
        "num_prompts": 80,
        "request_rate": "inf",
        "max_concurrency": 4,
    }
    return {**about, "mean_ttft_ms": 20.0, **raw}


def test_a_result_that_tells_of_each_request_is_looked_at_request_by_request(tmp_path):
    (tmp_path / "sound.json").write_text(json.dumps(whole_result()))
    (tmp_path / "heaps.json").write_text(
        json.dumps(whole_result(itls=[[0.00002] * 63] * 80, latencies=[0.02 + 63 * 0.00002] * 80))
    )
    of_rust = {
        key: value
        for key, value in whole_result(steady_state=None, input_throughput=1.0).items()
        if key != "queue_times"
    }
    (tmp_path / "rust.json").write_text(json.dumps(of_rust))
    read = read_files([tmp_path])
    run = make_run(read, tmp_path / "results", "", "", {})
    codes = {Path(one.provenance.source.file).stem: {why.code for why in one.reasons} for one in run.records}
    assert "stream_bunched" in codes["heaps"] and "stream_bunched" not in codes["sound"]
    assert {Path(one.provenance.source.file).stem: one.client for one in run.records} == {
        "sound": "python", "heaps": "python", "rust": "rust",
    }  # fmt: skip
    assert all("stream_bunched" not in (one.not_looked or {}) for one in run.records)
    assert all((run.store.folder_of(one) / "raw.json").is_file() for one in run.records)
    load_run(run.store.run_dir)


def test_appended_lines_with_the_same_settings_are_repeats_and_others_are_cases(tmp_path):
    lines = [json.loads((DATA / "serve_v0.25.1_opt125m.json").read_text()) for _ in range(3)]
    lines[2]["max_concurrency"] = 4
    (tmp_path / "x.json").write_text("\n".join(map(json.dumps, lines)))
    run = make_run(read_files([tmp_path / "x.json"]), tmp_path / "results", "", "", {})
    assert [(one.identity.repeat, one.load.value) for one in run.records] == [(0, 2), (1, 2), (0, 4)]


@pytest.mark.parametrize(
    ("value", "power", "expected"),
    [(0.9015302835032344, 3, 901.5302835032344), (7, 3, 7000), (1.5e9, -6, 1500.0), (3, 0, 3)],
)
def test_units_are_changed_without_a_digit_more(value, power, expected):
    assert shifted(value, power) == expected


def test_runs_of_a_sweep_are_told_by_what_is_in_them_wherever_they_lie(tmp_path):
    whole = json.loads((DATA / "sweep_v0.25.1" / FIRST / "summary.json").read_text())
    for number, run in enumerate(whole):
        run |= {"run_number": number - 1, "random_input_len": 32}
    (tmp_path / "summary.json").write_text(json.dumps(whole))
    named = tmp_path / "SERVE--max_num_seqs=4-BENCH--random_input_len=32"
    named.mkdir()
    (named / "run=0.json").write_text(json.dumps(whole[1]))
    read = read_files([tmp_path])
    assert [(dict(one.args), one.repeat) for _, one in read.figures] == [
        ({"max_num_seqs": 4}, 0), ({"max_num_seqs": 4, "random_input_len": 32}, 0),
    ]  # fmt: skip
    assert any("is the warm-up of a sweep" in line for line in read.left_out)
    assert read.figures[0][1].workload["random_input_len"] == 32


def test_what_is_there_twice_counts_once(tmp_path):
    content = (DATA / "serve_v0.25.1_opt125m.json").read_text()
    for name in ("a-1.json", "a-2.json"):
        (tmp_path / name).write_text(content)
    (tmp_path / "b.json").write_text(content + " ")
    run = make_run(read := read_files([tmp_path]), tmp_path / "results", "", "", {})
    assert "a-2.json is" in read.left_out[0] and "byte for byte" in read.left_out[0]
    assert {one.identity.launch for one in run.records} == {"opt-125m", "opt-125m-2"}, "nobody says the same server"


def test_a_number_that_no_record_can_hold_refuses_its_file_and_no_other(tmp_path):
    content = json.loads((DATA / "serve_v0.25.1_opt125m.json").read_text())
    (tmp_path / "huge.json").write_text(json.dumps({**content, "num_prompts": 10**12}))
    run = make_run(read := read_files([tmp_path]), tmp_path / "results", "", "", {})
    assert run is None and "workload.num_prompts" in read.refused[0] and not (tmp_path / "results").exists()
    (tmp_path / "sound.json").write_text(json.dumps(content))
    assert len(make_run(read_files([tmp_path]), tmp_path / "results", "", "", {}).records) == 1


@pytest.mark.parametrize("case_id", ["../../../x", "a/b", "x" * 300, ""])
def test_a_record_that_would_be_written_elsewhere_is_refused(tmp_path, imported, case_id):
    _, _, run = imported
    record = json.loads(next(run.run_dir.glob("cases/*/*/record.json")).read_text())
    record["identity"]["case_id"] = case_id
    (tmp_path / "record.json").write_text(json.dumps(record))
    read = read_files([tmp_path / "record.json"])
    assert read.figures == [] and "is the name of no case" in read.refused[0]


def test_a_result_of_inferencex_as_its_pages_have_it_has_latencies_alone(tmp_path):
    row = {
        "hw": "h200",
        "conc": 64,
        "model": "m",
        "framework": "vllm",
        "precision": "fp8",
        "isl": 1024,
        "osl": 128,
        "tp": 8,
    }
    row |= {"tput_per_gpu": 900.0, "output_tput_per_gpu": 100.0, "median_ttft": 0.9015302835032344, "mean_e2el": 12.1}
    (tmp_path / "agg.json").write_text(json.dumps(row))
    (record,) = make_run(read_files([tmp_path]), tmp_path / "results", "", "", {}).records
    assert (record.values["median_ttft_ms"], record.values["output_throughput_tok_s"]) == (901.5302835032344, None)
    assert (record.curve, record.load.value, record.host.engine) == ("1024 in / 128 out", 64, "vLLM")


# ---- files of other releases than those at hand

AIPERF = {
    "input_config": {"endpoint": {"model_names": ["m/x"]}, "loadgen": {"concurrency": 8, "request_count": 1000}},
    "aiperf_version": "0.3.0",
    "request_throughput": {"unit": "requests/sec", "avg": 4.0},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 512.0},
    "time_to_first_token": {"unit": "ms", "avg": 100.5, "p50": 90.0, "p99": 200.0},
    "inter_token_latency": {"unit": "us", "avg": 14900.0, "p50": 14800.0},
    "inter_chunk_latency": {"unit": "ns", "avg": 15000000.0},
    "request_latency": {"unit": "sec", "avg": 1.99},
    "request_count": {"unit": "requests", "avg": 1000.0},
    "error_request_count": {"unit": "requests", "avg": 0.0},
    "input_sequence_length": {"unit": "tokens", "avg": 550.0},
    "output_sequence_length": {"unit": "tokens", "avg": 128.0},
    "benchmark_duration": {"unit": "sec", "avg": 250.0},
}
GUIDELLM_OLD = {
    "benchmarks": [
        {
            "args": {"strategy": {"type_": "concurrent", "streams": 4}},
            "run_stats": {"requests_made": {"successful": 900, "errored": 3, "total": 903}, "duration": 60.0},
            "metrics": {
                "requests_per_second": {"successful": {"mean": 15.0}},
                "request_latency": {"successful": {"mean": 0.26, "percentiles": {"p99": 0.5}}},
                "time_to_first_token_ms": {"successful": {"mean": 20.0, "median": 19.0}},
            },
        }
    ]
}
SGLANG_NEW = {
    "backend": "sglang", "dataset_name": "random", "request_rate": 2.0, "max_concurrency": 256, "random_input_len": 1024,
    "random_output_len": 512, "random_range_ratio": 1.0, "duration": 100.0, "completed": 200, "total_input_tokens": 204800,
    "total_output_tokens": 102400, "request_throughput": 2.0, "output_throughput": 1024.0, "total_throughput": 3072.0,
    "mean_e2e_latency_ms": 2400.5, "std_e2e_latency_ms": 26.2, "mean_ttft_ms": 91.7, "mean_tpot_ms": 4.52, "p99_itl_ms": 18.8,
}  # fmt: skip


def test_files_of_other_releases_are_read_by_their_units_and_words(tmp_path):
    for name, content in (("a.json", AIPERF), ("g.json", GUIDELLM_OLD), ("s.jsonl", SGLANG_NEW)):
        (tmp_path / name).write_text(json.dumps(content))
    read = read_files([tmp_path])
    assert not read.refused and not read.left_out
    aiperf, guidellm, sglang = (one for _, one in read.figures)
    told = [
        {key: value for key, value in one.values.items() if value is not None} for one in (aiperf, guidellm, sglang)
    ]
    assert told[0] == {
        "mean_ttft_ms": 100.5, "median_ttft_ms": 90.0, "p99_ttft_ms": 200.0, "mean_tpot_ms": 14.9, "median_tpot_ms": 14.8,
        "mean_itl_ms": 15.0, "mean_e2el_ms": 1990.0, "request_throughput_rps": 4.0, "output_throughput_tok_s": 512.0,
        "completed": 1000, "failed": 0, "duration_s": 250.0,
    }  # fmt: skip
    assert aiperf.workload == {
        "num_prompts": 1000,
        "max_concurrency": 8,
        "mean_input_tokens": 550,
        "mean_output_tokens": 128,
    }
    assert told[1] == {
        "mean_ttft_ms": 20.0, "median_ttft_ms": 19.0, "mean_e2el_ms": 260.0, "p99_e2el_ms": 500.0,
        "request_throughput_rps": 15.0, "completed": 900, "failed": 3, "duration_s": 60.0,
    }  # fmt: skip
    assert guidellm.workload == {"max_concurrency": 4}
    assert (told[2]["mean_e2el_ms"], told[2]["std_e2el_ms"], told[2]["total_throughput_tok_s"]) == (
        2400.5,
        26.2,
        3072.0,
    )
    assert (sglang.curve, sglang.workload["max_concurrency"]) == ("1024 in / 512 out", 256)
    verdicts = {
        one.provenance.source.tool: one.verdict.value for one in make_run(read, tmp_path / "r", "", "", {}).records
    }
    assert verdicts == {"AIPerf 0.3.0": "VALID", "GuideLLM": "INVALID", "SGLang bench_serving": "VALID"}, "three failed"


def test_published_figures_are_imported_as_they_are_kept(tmp_path):
    path = Path(__file__).parents[3] / "results" / "published" / "mi300x-gpt-oss-120b.json"
    run = make_run(read_files([path]), tmp_path, "", "", {})
    rows = json.loads(path.read_text())["records"]
    for row, record in zip(rows, run.records, strict=True):
        assert {key: value for key, value in record.values.items() if value is not None} == row["values"]
        assert (record.workload, record.curve) == (row["workload"], "4096 in / 1024 out")
    codes = {why.code for record in load_run(run.store.run_dir).records for why in record.reasons}
    assert codes >= {"floor_above_load", "ceiling_below_serving", "percentile_not_earned"}
    (tmp_path / "x.json").write_text(path.read_text().replace("mean_ttft_ms", "mean_tfft_ms"))
    assert "values.mean_tfft_ms" in read_files([tmp_path / "x.json"]).refused[0]


# ---- cut and mutated

WRONG = ("12", True, [], {"a": 1}, -5, float("nan"), 10**40)


def mutated(content, number):
    """Return `content` with one key, drawn by `number`, gone, null or of another kind, and what was done."""
    draw, changed = random.Random(number), copy.deepcopy(content)
    places = []

    def walk(found):
        if isinstance(found, dict):
            places.extend((found, key) for key in found)
            for value in found.values():
                walk(value)
        elif isinstance(found, list):
            for value in found:
                walk(value)

    walk(changed)
    place, key = draw.choice(places)
    if number % 3 == 0:
        del place[key]
    else:
        place[key] = None if number % 3 == 1 else draw.choice(WRONG)
    return changed, key


def test_cut_and_mutated_files_are_read_without_a_guess_or_refused_with_their_name():
    files = [path for path in sorted(DATA.rglob("*.json*")) if "summary" not in path.name]
    refused = unchanged = 0
    for path in files:
        for told in objects_of(path):
            if format_of(told.content) not in FORMATS:
                continue
            for number in range(20):
                changed, _ = mutated(told.content, number)
                try:
                    before, after = figures_of(told), figures_of(Told(changed, told.where))
                except StoreError as error:
                    assert str(error).startswith(str(path)), error
                    refused += 1
                    continue
                for old, new in zip(before, after):
                    for key, value in new.values.items():
                        assert (
                            value is None
                            or value == old.values.get(key)
                            or value not in (0, None)
                            or key in ("completed",)
                        ), (path, key)
                        assert not (value == 0 and BY_KEY[key].zero_is_absent)
                    unchanged += 1
    assert refused > 40 and unchanged > 200


def test_lists_of_requests_that_are_not_as_they_must_be_refuse_the_file_or_are_judged_without_an_error(tmp_path):
    wrong = ("x", [], {"a": 1}, -5, [None] * 80, ["x"] * 80, [[]] * 80, [0] * 80, [1.0] * 79, float("nan"))
    for key in (
        "start_times",
        "ttfts",
        "itls",
        "latencies",
        "queue_times",
        "input_lens",
        "output_lens",
        "errors",
        "more",
    ):
        for number, value in enumerate(wrong):
            (tmp_path / f"{key}{number}.json").write_text(json.dumps({**whole_result(), key: value}))
    read = read_files([tmp_path])
    run = make_run(read, tmp_path / "results", "", "", {})
    assert len(read.refused) > 40 and all(line.startswith(str(tmp_path)) for line in read.refused)
    assert not any(why.code == "check_failed" for record in run.records for why in record.reasons)
    assert not load_run(run.store.run_dir).damage


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_file_that_was_cut_is_refused_with_its_name(tmp_path, share):
    for path in sorted(DATA.glob("*.json")):
        cut = tmp_path / path.name
        content = path.read_text().strip()
        cut.write_text(content[: int(len(content) * share)])
        read = read_files([cut])
        assert read.figures == [] and len(read.refused) == 1 and str(cut) in read.refused[0]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("mean_ttft_ms", "12 ms", "mean_ttft_ms: '12 ms'"),
        ("completed", 7.5, "completed: '7.5' is no count"),
        ("request_rate", 0, "request_rate: '0' is no rate"),
        ("max_concurrency", 0, "max_concurrency: '0' must be 1 or more"),
        ("duration", float("nan"), "duration: 'nan'"),
        ("model_id", 7, "model_id: '7' is no text"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_file_and_key(tmp_path, key, value, said):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({**json.loads((DATA / "serve_v0.25.1_opt125m.json").read_text()), key: value}))
    assert read_files([path]).refused == [
        f"{path}: {rest}" for rest in read_files([path]).refused[0].split(f"{path}: ")[1:]
    ]
    assert said in read_files([path]).refused[0]
