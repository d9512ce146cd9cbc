"""What is exported comes back as it was: a run packed and unpacked, its records by llm-d's report and MLflow's files, its table."""

from __future__ import annotations

import json
import zipfile

import pytest
import yaml
from benchbook.cli import app
from benchbook.numbers import bundle
from benchbook.numbers.files import read_files
from benchbook.numbers.importing import make_run
from benchbook.records.store import Store
from benchbook.report.run import load_run
from benchbook.terms.errors import ExperimentError, StoreError
from report_runs import make_run as report_run
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a results folder with one run, which has a set of requests."""
    folder = tmp_path_factory.mktemp("results")
    run_dir = report_run(folder, launches=("eager", "compiled"), concurrencies=(1, 4), repeats=2)
    (run_dir / "requests").mkdir()
    (run_dir / "requests" / "chat.jsonl.gz").write_bytes(b"\x1f\x8bnot looked into")
    return folder


def command(*words):
    done = CliRunner().invoke(app, list(map(str, words)))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def content_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_packed_run_is_unpacked_as_it_was_and_packed_again_to_the_same_bytes(results, tmp_path):
    first, again, elsewhere = tmp_path / "a.zip", tmp_path / "b.zip", tmp_path / "elsewhere"
    assert "no secret found" in command("export", "quickstart", "--results", results, "-o", first).stdout
    command("import", first, "--results", elsewhere)
    run_dir = elsewhere / "quickstart" / "20261123-201500"
    assert content_of(run_dir) == content_of(results / "quickstart" / "20261123-201500")
    assert load_run(run_dir).records == load_run(results / "quickstart" / "20261123-201500").records
    command("export", "quickstart", "--results", elsewhere, "-o", again)
    assert first.read_bytes() == again.read_bytes()
    with pytest.raises(ExperimentError, match="there already"):
        command("import", first, "--results", elsewhere)
    with pytest.raises(ExperimentError, match="there already"):
        command("export", "quickstart", "--results", results, "-o", first)


def test_requests_are_left_out_by_their_hash(results, tmp_path):
    said = command("export", "quickstart", "--results", results, "-o", tmp_path / "x.zip", "--without-requests").stdout
    assert "Left out, with their hashes: requests/chat.jsonl.gz" in said
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert "requests/chat.jsonl.gz" not in archive.namelist()
        assert len(json.loads(archive.read("MANIFEST.json"))["left_out"]["requests/chat.jsonl.gz"]) == 64


def test_what_was_handed_to_jobs_of_a_cluster_stays_where_it_is(tmp_path):
    run_dir = report_run(tmp_path, repeats=1, concurrencies=(1,))
    for name in ("jobs/0001/told", "jobs/0001/job.log", "launches/jobs/server.log"):
        (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (run_dir / name).write_bytes(b"\x80\x04")
    manifest = bundle.pack(Store(run_dir), tmp_path / "x.zip", with_requests=True)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert not [name for name in archive.namelist() if name.startswith("jobs/")]
    assert "launches/jobs/server.log" in manifest.files and not manifest.left_out, "a launch may be called jobs"


@pytest.mark.parametrize("name", ["cases/note.txt", "launches/eager/server.log", "remark.txt"])
def test_a_secret_stops_an_export_and_is_named_by_its_file_alone(tmp_path, name):
    run_dir = report_run(tmp_path, repeats=1, concurrencies=(1,))
    (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
    (run_dir / name).write_text("Authorization: hf_" + "aB3" * 10)
    with pytest.raises(ExperimentError, match=name) as refused:
        command("export", "quickstart", "--results", tmp_path, "-o", tmp_path / "x.zip")
    assert "aB3aB3" not in str(refused.value) and not (tmp_path / "x.zip").exists()


def damaged(source, target, change):
    """Write the zip at `source` to `target`, each file as `change` makes it; None leaves it out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if (content := change(name, old.read(name))) is not None:
                new.writestr(name, content)


CHANGES = {
    "is not what was packed": lambda name, content: content + b" " if name.endswith("record.json") else content,
    "lacks cases": lambda name, content: None if name.startswith("cases/eager,serve") else content,
    "has no MANIFEST.json": lambda name, content: None if name == bundle.MANIFEST else content,
    "leads out of the run": lambda name, content: content.replace(b'"run.json"', b'"../run.json"'),
    "is packed in format 9": lambda name, content: content.replace(b'"format": 1', b'"format": 9'),
    "cut or damaged": lambda name, content: content[:40] if name == bundle.MANIFEST else content,
}


@pytest.mark.parametrize("said", CHANGES)
def test_a_packed_run_that_was_changed_is_refused_and_nothing_of_it_is_written(results, tmp_path, said):
    whole, broken = tmp_path / "whole.zip", tmp_path / "broken.zip"
    bundle.pack(Store.open("quickstart", results), whole, with_requests=True)
    damaged(whole, broken, CHANGES[said])
    with pytest.raises(StoreError, match=said):
        bundle.unpack(broken, tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_packed_run_that_was_cut_is_refused(results, tmp_path, share):
    whole, cut = tmp_path / "whole.zip", tmp_path / "cut.zip"
    bundle.pack(Store.open("quickstart", results), whole, with_requests=True)
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(StoreError, match="cut.zip"):
        bundle.unpack(cut, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def by_name(records):
    return {(record.identity.case_id, record.identity.repeat): record for record in records}


@pytest.mark.parametrize(("to", "without"), [("llm-d", {"latency", "first_request"}), ("mlflow", set())])
def test_records_come_back_whole_from_files_of_other_programs(results, tmp_path, to, without):
    target = tmp_path / "out"
    command("export", "quickstart", "--to", to, "--results", results, "-o", target)
    read = read_files([target])
    assert not read.refused
    back = make_run(read, tmp_path / "back", "", "", {})
    sent = [one for one in load_run(results / "quickstart" / "20261123-201500").records if one.benchmark not in without]
    assert by_name(back.records) == by_name(sent) and len(sent) >= 8
    assert by_name(load_run(back.store.run_dir).records).keys() == by_name(sent).keys()


def test_a_table_comes_back_with_its_settings_and_figures(results, tmp_path):
    command("export", "quickstart", "--to", "csv", "--results", results, "-o", tmp_path / "t.csv")
    back = make_run(read_files([tmp_path / "t.csv"]), tmp_path / "back", "", "", {})
    sent = by_name(load_run(results / "quickstart" / "20261123-201500").records)
    for name, record in by_name(back.records).items():
        assert (record.benchmark, record.identity.launch) == (sent[name].benchmark, sent[name].identity.launch)
        known = {key: value for key, value in sent[name].workload.items() if value not in (None, "")}
        assert record.workload == known and (record.curve, record.load) == (sent[name].curve, sent[name].load)
        assert record.values == {key: sent[name].values.get(key) for key in record.values}
    assert by_name(back.records).keys() == sent.keys()


def test_a_report_of_llm_d_whose_figures_and_record_differ_is_refused(results, tmp_path):
    command("export", "quickstart", "--to", "llm-d", "--results", results, "-o", tmp_path / "out")
    path = sorted((tmp_path / "out").glob("*serve*.json"))[0]
    report = json.loads(path.read_text())
    report["results"]["request_performance"]["aggregate"]["requests"]["total"] += 1
    path.write_text(json.dumps(report))
    (refused,) = read_files([path]).refused
    assert refused.startswith(f"{path}: results") and "one of the two was changed" in refused


def test_a_report_of_llm_d_by_others_is_read_by_its_units(tmp_path):
    latency = {"time_to_first_token": {"units": "s", "mean": 0.0368578234128654, "p99": 0.05}}
    latency |= {
        "request_latency": {"units": "ms", "mean": 500.0},
        "time_per_output_token": {"units": "s/token", "mean": 0.002},
    }
    performance = {"requests": {"total": 500, "failures": 2}, "latency": latency}
    performance["throughput"] = {"requests_rate": {"units": "queries/s", "mean": 9.9}}
    load = {"tool": "inference-perf", "rate_qps": 10, "concurrency": float("inf")}
    stack = [{"standardized": {"tool": "epp"}}, {"standardized": {"model": {"name": "Qwen/Qwen3-0.6B"}}}]
    report = {"version": "0.2", "scenario": {"load": {"standardized": load}, "stack": stack}}
    report["results"] = {"request_performance": {"aggregate": performance}}
    path = tmp_path / "report.yaml"
    path.write_text(yaml.safe_dump(report))
    ((_, one),) = read_files([path]).figures
    values = {key: value for key, value in one.values.items() if value is not None}
    assert values == {
        "mean_ttft_ms": 36.8578234128654, "p99_ttft_ms": 50.0, "mean_e2el_ms": 500.0, "mean_tpot_ms": 2.0,
        "request_throughput_rps": 9.9, "completed": 498, "failed": 2,
    }  # fmt: skip
    assert one.model == "Qwen/Qwen3-0.6B" and one.workload == {"num_prompts": 500, "request_rate_rps": 10}
    latency["request_latency"]["units"] = "furlongs"
    path.write_text(yaml.safe_dump(report))
    assert "latency.request_latency.units: 'furlongs' is no unit of time" in read_files([path]).refused[0]


def test_parquet_without_pyarrow_is_one_line(results, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ExperimentError, match="needs pyarrow, which is not installed"):
        command("export", "quickstart", "--to", "parquet", "--results", results, "-o", tmp_path / "t.parquet")
    assert not (tmp_path / "t.parquet").exists()


def test_a_run_of_ours_needs_no_import(results):
    with pytest.raises(ExperimentError, match="needs no import"):
        command("import", results / "quickstart" / "20261123-201500", "--results", results)
