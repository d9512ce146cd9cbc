"""An engine that benchbook does not know, from its experiment file to the report: this module is all that there is of it.

Its server is the scripted one with another command, other paths, counters and log lines; its face is TOY. An entry point
of the group benchbook.engines names it, as an installed package's would.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from benchbook.hosts.face import Access, Causes, Counters, Engine, Log, StartupFacts
from benchbook.records.files import read_json
from benchbook.terms.errors import Cause

TESTS = Path(__file__).resolve().parents[1]
PATHS = {"/ready": "/health", "/about": "/version", "/counts": "/metrics", "/v1/models": "/v1/models"}
NAMES = {"prompt_tokens": "toy_read", "generation_tokens": "toy_made", "running": "toy_busy", "waiting": "toy_queued"}


def _command(model, args, port, host, names, program):
    depth = [f"--depth={args['depth']}"] if "depth" in args else []
    return [*program, model, f"--at={host}:{port}", f"--as={json.dumps(names)}", *depth]


def _startup(log, started, ready_s, env):
    found = re.search(r"toy: cache of (\d+) tokens", log)
    return StartupFacts(kv_cache_tokens=int(found[1]) if found else None, dtype="toy8")


def _cause(log, *_):
    is_deep = "too deep" in log
    return Cause(
        "out_of_memory" if is_deep else "crashed", "toy: too deep" if is_deep else log[-80:], "a smaller depth"
    )


TOY = Engine(
    name="toy",
    title="Toy",
    package=None,
    program=(sys.executable, str(Path(__file__).resolve())),
    command=_command,
    access=Access(users_key="TOY_KEY", open_paths=("/ready", "/about"), why_open="toys have no door"),
    health_path="/ready",
    version_path="/about",
    counters=Counters(path="/counts", names=NAMES, ended="toy_done", reason_label="finished_reason"),
    log=Log(
        startup_facts=_startup,
        startup_phase=lambda log: "winding up",
        telling=re.compile("^toy: ", re.MULTILINE),
        compiling=re.compile("toy: tuning"),
        kv_usage=re.compile(r"toy: (\d+) % full"),
    ),
    causes=Causes(ended=_cause, unhealthy=_cause, late=_cause),
    refusals=lambda args, env: [(name, "is no arg of a toy") for name in args if name != "depth"],
)


def main() -> None:
    """Serve as a toy does: by the scripted server, under other names."""
    sys.path.insert(0, str(TESTS))
    import fake_vllm

    words = dict(word.lstrip("-").split("=", 1) for word in sys.argv[2:])
    if words.get("depth") == "99":
        sys.exit("toy: too deep")
    (host, _, port), names = words["at"].rpartition(":"), json.loads(words["as"])
    print("toy: cache of 4711 tokens", flush=True)
    fake_vllm.OPEN = ("/health", "/version", "/metrics")

    class Toy(fake_vllm.FakeServer):
        async def _answer(self, writer, method, path, headers, body):
            theirs = PATHS.get(path, path if path == "/v1/completions" else "/nothing")
            await super()._answer(writer, method, theirs, headers, body)

        def _version(self):
            return {"version": "7-toy"}

        def _metrics(self):
            counts = (self.prompt_tokens, self.generated_tokens, self.running, 0)
            lines = [f"{name} {count}" for name, count in zip(NAMES.values(), counts)]
            return "\n".join([*lines, f'toy_done{{finished_reason="length"}} {self.finished}', ""])

    fake_vllm.FakeServer = Toy
    sys.argv = ["toy", "serve", sys.argv[1], "--host", host, "--port", port, "--served-model-name", *names]
    fake_vllm.main()


EXPERIMENT = """
question: Does an engine that nobody knows go the same way?
model: {model}
launches:
  wound: {{engine: {engine}, args: {{{args}}}}}
  stuck: {{engine: {engine}, args: {{depth: 99}}}}
benchmarks:
  - first_request: {{max_tokens: 8}}
  - serve: {{max_concurrency: [1, 2], lengths: [[16, 8]], num_prompts: 4 per concurrency}}
repeats: 1
"""


def _run(tmp_path, monkeypatch, engine="toy", args="depth: 3"):
    """Return the exit code of `benchbook run`, its output and its records, with the toy installed."""
    from benchbook.records.store import Store
    from integration.sweeps import benchbook, write_fake_sweep

    installed = tmp_path / "installed"
    (info := installed / "toy_engine-1.dist-info").mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-engine\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[benchbook.engines]\ntoy = toy_engine:TOY\n")
    (installed / "toy_engine.py").symlink_to(Path(__file__).resolve())
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(installed), str(TESTS.parent)]))
    template = EXPERIMENT.replace("{engine}", engine).replace("{args}", args)
    process = benchbook(tmp_path, "run", write_fake_sweep(tmp_path, name="toys", template=template), fake=True)
    output = process.communicate(timeout=120)[0]
    run = tmp_path / "results" / "toys" / "latest"
    return process.returncode, output, Store(run).records() if run.exists() else [], run


def test_an_engine_that_nobody_knows_goes_from_its_file_to_the_report(tmp_path, monkeypatch):
    code, output, records, run_dir = _run(tmp_path, monkeypatch)
    assert code == 1, output
    stuck = [record for record in records if record.identity.launch == "stuck"]
    assert {record.failure.code for record in stuck} == {"out_of_memory"}, "why it does not start, in its own words"
    records = [record for record in records if record not in stuck]
    assert len(records) == 3 and all(record.is_measured for record in records), output
    for host in (record.host for record in records):
        assert (host.engine, host.version, host.facts.kv_cache_tokens) == ("Toy", "7-toy", 4711)
        assert "--depth=3" in host.argv and not any("middleware" in word for word in host.argv)
    for record in (record for record in records if record.benchmark == "serve"):
        counters = record.host.counters
        assert counters["prompt_tokens"] == record.values["total_input_tokens"] > 0
        assert counters["requests_ended_by_length"] == record.values["completed"]
        assert "server" not in record.host.telemetry.absent
        assert not {"server_disagrees", "server_restarted"} & {reason.code for reason in record.reasons}
    assert "--depth=3" in (run_dir / "report.html").read_text()
    assert read_json(run_dir / "run.json")["launches"]["wound"]["engine"] == "toy"


def test_what_it_does_not_take_is_refused_where_it_stands(tmp_path, monkeypatch):
    code, output, *_ = _run(tmp_path, monkeypatch, args="width: 3")
    assert code == 2 and "toys.yaml:5: launches.wound.args.width: 3: is no arg of a toy" in output


if __name__ == "__main__":
    main()
