"""A run as the report reads it: the plan against the records."""

import json
from html import unescape

import pytest
from benchbook.records.files import write_json
from benchbook.records.store import Store
from benchbook.report.run import load_run
from benchbook.report.setup import provenance_html, setup_html, subtitle
from benchbook.terms.errors import ExperimentError
from parts import having
from report_runs import failed, make_run


def is_first_serve(record):
    return record.benchmark == "serve" and "max_concurrency=1," in record.identity.case_id


def test_measured_failed_and_missing_repeats_are_counted(tmp_path):
    def change(record):
        if record.benchmark == "throughput":
            return failed(record)
        return None if is_first_serve(record) and record.identity.repeat == 1 else record

    run = load_run(make_run(tmp_path, change=change))
    assert len(run.records) == 22
    assert len(run.failures) == 2
    assert sorted(run.missing.values()) == [1, 1]
    assert sum(run.verdicts.values()) == 20


def test_a_record_of_an_older_plan_is_left_out_and_counted(tmp_path):
    run_dir = make_run(tmp_path)
    store = Store(run_dir)
    stale = store.records()[0]
    changed = stale.identity.model_copy(update={"fingerprint": "f" * 64})
    store.save(f"{stale.identity.case_id}-ffffffff", stale.model_copy(update={"identity": changed}))
    run = load_run(run_dir)
    assert (len(run.records), run.num_stale) == (24, 1)


def test_cases_stand_along_their_loads_whatever_the_order_of_the_axes(tmp_path):
    run = load_run(make_run(tmp_path, concurrencies=(2, 1, 16)))
    serve = run.table[run.table["benchmark"] == "serve"].drop_duplicates("case_id")
    rows = list(zip(serve["input_len_tokens"], serve["max_concurrency"]))
    assert rows == [(128, 1), (128, 2), (128, 16), (512, 1), (512, 2), (512, 16)]
    planned = [case.workload["input_len_tokens"] for case in run.plan if case.benchmark == "serve"]
    assert planned == [128, 512] * 3, "in the plan lengths vary faster"
    assert set(run.table["case_id"]) == {case.case_id for case in run.plan}


def test_a_cut_record_counts_as_missing(tmp_path):
    run_dir = make_run(tmp_path)
    path = next(run_dir.glob("cases/*/repeat=0/record.json"))
    path.write_text(path.read_text()[:100])
    assert sum(load_run(run_dir).missing.values()) == 1


def test_a_folder_without_a_run_is_refused_with_the_runs_there_are(tmp_path, monkeypatch):
    make_run(tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExperimentError, match="no run .*nowhere.*quickstart/20261123-201500"):
        load_run("nowhere")


def test_without_a_name_the_newest_finished_run_is_read_from_anywhere_below(tmp_path, monkeypatch):
    runs = {
        name: make_run(tmp_path / name, benchmarks=("throughput",), state=state, started_utc=started)
        for name, state, started in (
            ("old", "finished", "2026-01-01T00:00:00+00:00"),
            ("new", "finished", "2026-03-01T00:00:00+00:00"),
            ("going_on", "interrupted", "2026-04-01T00:00:00+00:00"),
        )
    }
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "results").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    with pytest.raises(ExperimentError, match="benchbook run experiments/quickstart.yaml"):
        load_run()
    for name, run_dir in runs.items():
        (tmp_path / "results" / name).mkdir()
        run_dir.rename(tmp_path / "results" / name / f"run-{name}")
    assert load_run().run_dir.name == "run-new"
    assert load_run("old/run-old").run_dir.name == "run-old"


def test_random_weights_are_known_from_the_launches_or_the_records(tmp_path):
    run_dir = make_run(tmp_path)
    assert load_run(run_dir).has_random_weights
    header = json.loads((run_dir / "run.json").read_text())
    header["launches"]["eager"]["model"]["random_weights"] = False
    write_json(run_dir / "run.json", header)
    assert load_run(run_dir).has_random_weights  # the records' hosts say so too


def test_the_commands_of_a_report_have_the_environment_of_their_launch_and_can_be_repeated(tmp_path):
    html = provenance_html(load_run(make_run(tmp_path, launches=("eager", "compiled"))))
    commands = unescape(html[html.index("The exact vLLM commands") :])
    for launch in ("eager", "compiled"):
        assert f"<p>server of launch {launch}</p><pre>VLLM_CPU_KVCACHE_SPACE=1 vllm serve models/tiny" in commands
        assert f"<p>latency, launch {launch}</p><pre>VLLM_CPU_KVCACHE_SPACE=1 vllm bench latency" in commands
        assert f"<p>serve, launch {launch}</p><pre>vllm bench serve" in commands
    assert "engine of launch" not in commands, "a private process, which nobody can start"


def test_the_clock_of_a_start_is_named_beside_its_times(tmp_path):
    html = setup_html(load_run(make_run(tmp_path)))
    assert "Process ready after (s)" in html and "counts the preparation before it too" in html


def telemetry(gpus):
    processes = [{"gpu": number, "kind": "ours", "pid": 7, "name": "x"} for number in gpus]
    return {"gpus": [], "gpu_processes": processes, "absent": {}}


@pytest.mark.parametrize(
    ("names", "used", "expected"),
    [
        (["NVIDIA H200"], [0], "NVIDIA H200"),
        (["NVIDIA H200"] * 2, [1], "1 of 2 × NVIDIA H200"),
        (["NVIDIA H200"] * 2, [0, 1], "2 × NVIDIA H200"),
        (["NVIDIA H200"] * 2, [], "2 × NVIDIA H200"),  # the driver shows no process: nobody knows how many
        (["NVIDIA H200", "NVIDIA L40S"], [0], "1 of NVIDIA H200 + NVIDIA L40S"),
    ],
)
def test_the_heading_counts_the_gpus_and_says_how_many_were_used(tmp_path, names, used, expected):
    run_dir = make_run(
        tmp_path,
        change=lambda record: record.model_copy(update={"host": having(record.host, telemetry=telemetry(used))}),
    )
    header = json.loads((run_dir / "run.json").read_text())
    header["provenance"]["machine"]["gpus"] = [{"name": name} for name in names]
    write_json(run_dir / "run.json", header)
    assert f" · {expected} · run" in subtitle(load_run(run_dir))


def test_a_report_says_when_the_file_that_its_command_names_asks_for_something_else_now(tmp_path):
    run_dir = make_run(tmp_path)
    ran = "question: how fast?\n"
    (run_dir / "experiment.yaml").write_text(ran)
    header = json.loads((run_dir / "run.json").read_text())
    header["command"] = "benchbook run experiments/mine.yaml"
    write_json(run_dir / "run.json", header)
    said = "experiments/mine.yaml has changed since then"
    assert said not in provenance_html(load_run(run_dir)), "there is none to compare with"
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text(ran)
    assert said not in provenance_html(load_run(run_dir))
    (tmp_path / "experiments" / "mine.yaml").write_text(ran + "repeats: 5\n")
    assert said in provenance_html(load_run(run_dir))
