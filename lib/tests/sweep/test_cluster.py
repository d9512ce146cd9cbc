"""Blocks as jobs of a cluster: what a job is asked for, what becomes of one that is lost, and what two schedulers are told."""

import json
import pickle
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from benchbook.plan.cluster import Cluster, read_cluster
from benchbook.records.header import RunState
from benchbook.sweep.block import run_block
from benchbook.sweep.cluster import jobs as jobs_module
from benchbook.sweep.cluster.jobs import Jobs, ask_node
from benchbook.sweep.cluster.preview import job_lines
from benchbook.sweep.cluster.schedulers import Ray, Slurm
from benchbook.sweep.cluster.session import OnCluster, handed_on
from benchbook.sweep.cluster.told import BEGAN, DONE, ENDED, GIVEN, TOLD, UNFIT, Node, Teller
from benchbook.sweep.estimates import estimator_for
from benchbook.sweep.preflight import preflight_of
from benchbook.terms.errors import ExperimentError, StoreError
from test_executors import TWO
from test_runner import Bench

SLURM = "scheduler: slurm\noptions: {partition: gpu, time: '02:00:00', gpus: 1, exclusive: true, requeue-x: false}\n"
RAY = "scheduler: ray\naddress: {address}\nresources: {{num_cpus: 2, num_gpus: 1, h100: 1}}\n"
WRONG = {
    "scheduler: slum\n": "1: scheduler: 'slum': must be 'slurm' or 'ray'",
    "scheduler: slurm\nat_once: 0\n": "2: at_once: 0",
    "scheduler: slurm\noptions: {Partition: gpu}\n": "2: options.Partition",
    "scheduler: slurm\noptions: {output: here}\n": "options that benchbook gives itself: output",
    "scheduler: slurm\nresources: {num_cpus: 2}\n": "Ray's",
    "scheduler: ray\n": "needs the address of Ray's dashboard",
    "scheduler: ray\naddress: http://head:8265\noptions: {partition: gpu}\n": "sbatch's",
    "scheduler: slurm\npartition: gpu\n": "2: partition",
    'scheduler: slurm\nsetup: ["module load a\\nrm b"]\n': "2: setup",
}


@dataclass
class Scripted:
    """A scheduler whose jobs end as they are submitted, each as `script` says in turn; then well."""

    bench: Bench
    script: list[str] = field(default_factory=list)
    submitted: list[tuple[str, list]] = field(default_factory=list)  # names, and what each was given
    cancelled: list[str] = field(default_factory=list)
    alive: dict[str, str] = field(default_factory=dict)
    is_stubborn: bool = False  # its jobs end at once or not at all
    refuses: int = 0  # so many jobs from the second one on

    def submit(self, name, script):
        given = pickle.loads((script.parent / GIVEN).read_bytes())
        if self.submitted and self.refuses:
            self.refuses -= 1
            raise ExperimentError("sbatch: error: QOSMaxSubmitJobPerUserLimit")
        self.submitted.append((name, [*given.blocks]))
        how = self.script.pop(0) if self.script else "well"
        with (script.parent / TOLD).open("ab") as file:
            teller = Teller(file)
            if how == "never":
                return "lost"
            if how == "waits":
                self.alive["waiting"] = "waiting"
                return "waiting"
            teller.tell(BEGAN, (Node("n1", "a card"),))
            if how == "unfit":
                teller.tell(UNFIT, ("node n1 has another card",))
                return "unfit"
            for number, block in enumerate(given.blocks):
                if how == "half" and number:
                    return "half"
                options = {"run_repeat": self.bench.run_repeat}
                teller.tell(DONE, (run_block(block, given.work, self.bench.open_host, teller, **options),))
            teller.tell(ENDED)
        return str(len(self.submitted))

    def states(self, ids):
        return {each: state for each, state in self.alive.items() if each in ids}

    def cancel(self, ids, *, at_once=False):
        self.cancelled += [f"{each} at once" if at_once else each for each in ids]
        if at_once or not self.is_stubborn:
            self.alive.clear()


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs_module, "LATE_S", 0.0)
    return Bench(tmp_path, monkeypatch)


def on_cluster(bench, script=(), store=None, **said):
    scheduler = Scripted(bench, list(script))
    runner = bench.runner(store, plan=bench.plan(**TWO))
    runner.executor = Jobs(Cluster(scheduler="slurm", **said), scheduler, "small", poll_s=0.0)
    return runner, scheduler


def launches_of(submitted):
    return [
        ([block.launch for block in blocks], {block.repeats[0].number for block in blocks}) for _, blocks in submitted
    ]


def test_all_launches_of_a_round_are_one_job_and_stay_on_one_node(bench):
    runner, scheduler = on_cluster(bench)
    assert runner.execute() == RunState.FINISHED and len(runner.store.records()) == 16
    assert [(sorted(names), numbers) for names, numbers in launches_of(scheduler.submitted)] == [
        (["eager", "other"], {number}) for _ in ("server", "engine") for number in (0, 1)
    ]
    left = {path.name for path in (runner.store.run_dir / "jobs").glob("*/*")}
    assert left == {"job.sh"}, "what only a job and its controller need is gone"


def test_blocks_apart_are_jobs_of_their_own(bench):
    runner, scheduler = on_cluster(bench, job="block")
    assert runner.execute() == RunState.FINISHED and len(runner.store.records()) == 16
    assert [len(blocks) for _, blocks in scheduler.submitted] == [1] * 8


def test_launches_that_take_no_turns_are_jobs_of_their_own(bench):
    turns = {"repeats": "repeats: 2\nturns: false"}
    runner = bench.runner(plan=bench.plan(**TWO, **turns))
    runner.executor = Jobs(Cluster(scheduler="slurm"), scheduler := Scripted(bench), "small", poll_s=0.0)
    assert runner.execute() == RunState.FINISHED and [len(blocks) for _, blocks in scheduler.submitted] == [1] * 4


@pytest.mark.parametrize("lost", ["never", "half", "unfit"])
def test_of_a_job_that_is_lost_only_what_it_left_undone_runs_again(bench, lost):
    runner, scheduler = on_cluster(bench, ["well", lost])
    assert runner.execute() == RunState.FINISHED and len(runner.store.records()) == 16
    assert len(scheduler.submitted) == 5 and len(bench.calls) == 16, "no repeat is measured twice"
    again = scheduler.submitted[4][1]
    assert {block.repeats[0].number for block in again} == {1} and len(again) == (1 if lost == "half" else 2)


def test_a_job_that_is_always_lost_leaves_records_that_say_why(bench):
    runner, scheduler = on_cluster(bench, ["unfit", "well", "well", "well", "unfit"], again=1)
    assert runner.execute() == RunState.FAILED
    failed = [record for record in runner.store.records() if record.failure]
    assert {record.failure.code for record in failed} == {"job_lost"} and len({r.identity.launch for r in failed}) == 2
    assert "node n1 has another card" in failed[0].failure.evidence
    assert len(runner.store.records()) == 16, "the other jobs are measured"


def test_jobs_of_a_run_that_is_interrupted_are_cancelled(bench):
    runner, scheduler = on_cluster(bench, ["waits"], at_once=1)
    states, asked = scheduler.states, []

    def interrupted_once(ids):
        asked.append(ids)
        if len(asked) == 1:
            raise KeyboardInterrupt
        return states(ids)

    scheduler.states = interrupted_once
    assert runner.execute() == RunState.INTERRUPTED and scheduler.cancelled == ["waiting"]
    assert runner.store.records() == [] and bench.calls == []


def test_jobs_that_a_killed_controller_left_are_cancelled_before_anything_is_measured(bench):
    runner, scheduler = on_cluster(bench)
    left = runner.store.run_dir / "jobs" / "0001"
    left.mkdir(parents=True)
    (left / "id").write_text("17")
    scheduler.alive["17"] = "running"
    assert runner.execute() == RunState.FINISHED and scheduler.cancelled == ["17"]
    assert not (left / "id").exists() and (runner.store.run_dir / "jobs/0002/job.sh").exists()


def test_a_job_that_does_not_end_in_order_is_ended_at_once_and_one_that_nobody_can_ask_after_stops_the_run(bench):
    runner, scheduler = on_cluster(bench)
    runner.executor.end_s, scheduler.is_stubborn = 0.05, True
    left = runner.store.run_dir / "jobs" / "0001"
    left.mkdir(parents=True)
    (left / "id").write_text("17")
    states, scheduler.alive["17"] = scheduler.states, "running"
    scheduler.states = lambda ids: None  # nobody answers
    with pytest.raises(StoreError, match="17 of slurm may still run"):
        runner.execute()
    assert (left / "id").exists() and bench.calls == []
    scheduler.states, runner.header = states, runner.store.header()
    scheduler.cancelled.clear()
    scheduler.alive["17"] = "running"
    runner.executor.end_s = 0.01
    assert runner.execute() == RunState.FINISHED and scheduler.cancelled == ["17", "17 at once"]


def test_a_job_that_the_scheduler_refuses_waits_for_those_under_way(bench):
    runner, scheduler = on_cluster(bench)
    scheduler.refuses = 3
    assert runner.execute() == RunState.FINISHED and len(runner.store.records()) == 16 == len(bench.calls)
    runner, scheduler = on_cluster(bench)
    scheduler.submitted.append(("", []))
    scheduler.refuses, runner.executor.refused_s = 10**6, 0.0
    assert runner.execute() == RunState.FAILED
    assert {record.failure.code for record in runner.store.records()} == {"job_refused"}


def test_a_run_that_is_to_stop_waits_for_no_job_in_the_queue(bench):
    runner, scheduler = on_cluster(bench, ["waits"], at_once=1)
    submit = scheduler.submit

    def stopping(name, script):
        runner.store.control.stop()
        return submit(name, script)

    scheduler.submit = stopping
    assert runner.execute() == RunState.INTERRUPTED and scheduler.cancelled == ["waiting"]


def test_the_files_of_clusters_that_the_page_shows_are_read(tmp_path):
    page = (Path(__file__).parents[3] / "docs/clusters.md").read_text()
    slurm, ray = page.split("```text\n")[1].split("```")[0].split("\n\n")
    for text, name in ((slurm, "slurm"), (ray, "ray")):
        (tmp_path / "cluster.yaml").write_text(text)
        assert read_cluster(tmp_path / "cluster.yaml").scheduler == name


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text.replace("\n", "; "))
def test_a_wrong_file_of_a_cluster_is_refused_with_its_line(tmp_path, text):
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(ExperimentError) as refused:
        read_cluster(path)
    assert WRONG[text] in str(refused.value) and "\n" not in str(refused.value)


def test_slurm_is_asked_in_its_own_words(tmp_path, monkeypatch):
    path = tmp_path / "cluster.yaml"
    path.write_text(SLURM)
    for name, lines in {
        "sbatch": 'echo "$@" > $(dirname $0)/asked; echo "12;four"',
        "squeue": "echo '12 RUNNING'; echo '13 PENDING'; echo '99 RUNNING'",
        "scancel": 'echo "$@" >> $(dirname $0)/cancelled',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{lines}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    slurm = Slurm(read_cluster(path))
    assert slurm.submit("benchbook-x-0001", tmp_path / "job.sh") == "12"
    asked = (tmp_path / "asked").read_text().split()
    assert {"--partition=gpu", "--time=02:00:00", "--gpus=1", "--exclusive", "--job-name=benchbook-x-0001"} < set(asked)
    assert not any("requeue-x" in word for word in asked) and asked[-1] == str(tmp_path / "job.sh")
    assert slurm.states(["12", "13", "14"]) == {"12": "running", "13": "waiting"}
    slurm.cancel(["12", "13"])
    assert "--signal=TERM --batch 12 13" in (tmp_path / "cancelled").read_text()
    (tmp_path / "squeue").write_text("#!/bin/bash\necho slurm_load_jobs error >&2; exit 1\n")
    assert slurm.states(["12"]) is None, "nobody answers, which says nothing of the jobs"
    (tmp_path / "sbatch").write_text("#!/bin/bash\necho 'sbatch: error: invalid partition: gpu' >&2; exit 1\n")
    with pytest.raises(ExperimentError, match="invalid partition: gpu"):
        slurm.submit("x", tmp_path / "job.sh")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(ExperimentError, match="there is no sbatch here"):
        slurm.submit("x", tmp_path / "job.sh")


class _Dashboard(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        self.server.asked.append((self.path, body))
        self.answer({"submission_id": "raysubmit_1"})

    def do_GET(self):
        status = {"1": "RUNNING", "2": "PENDING", "3": "STOPPED"}.get(self.path[-1])
        self.answer({"status": status}, 200 if status else 404)

    def answer(self, what, code=200):
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(what).encode())

    def log_message(self, *_):
        pass


def test_ray_is_asked_by_the_jobs_of_its_dashboard(tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), _Dashboard) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        (tmp_path / "cluster.yaml").write_text(RAY.format(address=address))
        ray = Ray(read_cluster(tmp_path / "cluster.yaml"))
        assert ray.submit("benchbook-x", tmp_path / "job.sh") == "raysubmit_1"
        ((path, body),) = server.asked
        assert path == "/api/jobs/" and body["entrypoint_num_cpus"] == 2 and body["entrypoint_num_gpus"] == 1
        assert body["entrypoint_resources"] == {"h100": 1} and str(tmp_path / "job.sh") in body["entrypoint"]
        assert ray.states(["1", "2", "3", "4"]) == {"1": "running", "2": "waiting"}
        ray.cancel(["1"])
        assert server.asked[-1][0] == "/api/jobs/1/stop"
        server.shutdown()
    assert ray.states(["1"]) is None, "nobody answers"


def test_a_job_has_what_configures_a_launch_and_no_secret_and_no_card_of_this_shell(bench, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz0123456789")
    monkeypatch.setenv("NCCL_P2P_DISABLE", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    found = handed_on(bench.plan(**TWO).experiment)
    assert found["NCCL_P2P_DISABLE"] == "1" and "PATH" in found
    assert "HF_TOKEN" not in found and "CUDA_VISIBLE_DEVICES" not in found


def test_a_plan_tells_the_jobs_and_their_gpu_hours(bench):
    experiment = bench.plan(**TWO).experiment
    blocks, estimator = experiment.planned_rounds(), estimator_for(experiment, bench.tmp_path)
    cluster = Cluster(scheduler="slurm", options={"gpus": "h100:2"}, at_once=3)
    first, *rounds = job_lines(experiment, blocks, cluster, estimator)
    assert "On slurm: 4 jobs, 3 at once" in first and "GPU-hours, of 2 GPUs a job" in first and len(rounds) == 4
    first, *_, last, apart = job_lines(experiment, blocks, Cluster(scheduler="slurm", job="block"), estimator)
    assert "8 jobs" in first and "GPU-hours" not in first and last == "  and 4 more"
    assert apart.startswith("  launches may come to different nodes: two are compared over those rounds only")


def test_the_kind_of_node_is_asked_before_anything_is_planned(bench, tmp_path):
    _, scheduler = on_cluster(bench)
    folder = tmp_path / "asked"
    folder.mkdir()
    jobs = Jobs(Cluster(scheduler="slurm"), scheduler, "asks", poll_s=0.0)
    assert ask_node(jobs, folder) == Node("n1", "a card")
    scheduler.script = ["never"]
    folder = tmp_path / "again"
    folder.mkdir()
    with pytest.raises(ExperimentError, match="did not start: it wrote nothing"):
        ask_node(jobs, folder)


@pytest.mark.parametrize(
    ("more", "said"),
    [("place: {at_once: 2}", "leave place out"), ("", "run it without --on")],
    ids=["place", "attached"],
)
def test_what_cannot_go_to_a_cluster_is_refused_before_it_is_asked(tmp_path, fake_model, more, said):
    attached = "{attach: 'http://127.0.0.1:9/v1', model: m}" if not more else "{}"
    path = tmp_path / "x.yaml"
    path.write_text(
        f"question: q?\nmodel: {fake_model}\nlaunches: {{a: {attached}}}\n"
        f"benchmarks: [{{serve: {{max_concurrency: 1, lengths: [[8, 8]], num_prompts: 10}}}}]\n{more}\n"
    )
    with pytest.raises(ExperimentError, match=said):
        OnCluster.of(tmp_path / "none.yaml", preflight_of(path).experiment, tmp_path, share_gpu=False)
