"""The rooms of the design: who may import whom, and what the command line may not wait for."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "benchbook"
# judge may be used by measure: a record is judged before it is written, so that none exists without a verdict. And sweep
# may use measure: it writes commands, clients and records by the same code as a notebook's kernel.
ALLOWED = {
    "terms": set(),
    "plan": {"terms"},
    "hosts": {"terms"},
    "records": {"terms"},
    "judge": {"terms", "records"},
    "measure": {"terms", "plan", "hosts", "records", "judge"},
    "notebooks": {"terms", "hosts", "records"},
    "sweep": {"terms", "plan", "hosts", "records", "judge", "measure", "notebooks"},
    "report": {"terms", "records", "judge"},
    "numbers": {"terms", "hosts", "records", "judge", "report"},
    "commands": {"terms", "plan", "hosts", "records", "notebooks", "sweep", "report", "numbers"},
}
# The wings of hosts/, and what of each other they know; what lies in hosts/ itself may use all of them. Of that an
# engine's wing knows the face that it has to show.
WINGS = {
    "process": set(),
    "machine": {"process"},
    "model": {"process"},
    "vllm": {"process", "machine", "model", "face"},
    "others": {"process", "face"},
}
# Who knows modules of vLLM's wing and not its face alone, and why: all of it would be there without another engine.
PAST_THE_FACE = {
    "the client, and the benchmarks of an engine without a server, which are vLLM's own whatever serves": (
        (
            "measure/client/*",
            "measure/drawing/*",
            "measure/argv*",
            "measure/offline*",
            "measure/serve*",
            "measure/watched*",
            "numbers/vllm.py",
        )
        + ("sweep/planned_commands*", "sweep/request_sets*", "sweep/attached*", "hosts/engine.py"),
        {
            "bench",
            "bench_end",
            "bench_given",
            "bench_requests",
            "clients",
            "command",
            "environments",
            "measured_part",
            "several_machines",
            "startup",
            "tokenizers",
        },
    ),
    "the check of a launch word by word, against the tables of the installed vLLM": (
        (
            "measure/launch_check*",
            "measure/launch_by_hand*",
            "measure/names*",
            "measure/variables*",
            "sweep/preflight*",
        ),
        {
            "clients",
            "command",
            "contradictions",
            "cpu_build",
            "environments",
            "flags",
            "form_problems",
            "forms",
            "import_paths",
            "kinds",
            "misfits",
            "overrides",
            "renaming",
            "several_machines",
        }
        | {"spelling", "switches", "translations", "unheeded"},
    ),
    "what vLLM loads and counts before it serves": (
        ("sweep/estimates*", "sweep/machine*"),
        {"random_loader", "routing"},
    ),
    "what a search recommends, as vLLM reads it from a file": (("sweep/best*",), {"config_file"}),
    "the list of engines": (("hosts/engines*",), {"environments", "wing"}),
}
PAGE = PACKAGE.parents[1] / "docs" / "design.md"
HEAVY = ("vllm", "torch", "pandas", "numpy", "papermill", "matplotlib", "transformers", "nbconvert")


def _imported(path: Path) -> set[str]:
    """Return the full names of what is imported."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def _rooms_of(path: Path) -> set[str]:
    """Return the rooms, and modules beside them, that are imported of ours: 'terms', 'lists', ..."""
    return {name.split(".")[1] for name in _imported(path) if name.startswith("benchbook.")}


@pytest.mark.parametrize("room", ALLOWED)
def test_no_import_runs_up_the_table_of_rooms(room):
    for path in (PACKAGE / room).rglob("*.py"):
        assert _rooms_of(path) & set(ALLOWED) <= ALLOWED[room] | {room}, path


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_of_hosts_knows_only_those_below_it(wing):
    paths = list((PACKAGE / "hosts" / wing).glob("*.py"))
    assert len(paths) > 5
    for path in paths:
        hosts = {name for name in _imported(path) if name.startswith("benchbook.hosts")}
        assert {name.split(".")[2] for name in hosts} <= WINGS[wing] | {wing}, path


def test_the_names_of_an_engines_own_counters_stand_in_its_wing_alone():
    theirs = re.compile(r"vllm:\w")
    having = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if theirs.search(path.read_text())}
    assert having == {Path("hosts/vllm/counters.py")}


def test_vllm_is_known_by_its_face_but_where_it_is_said():
    allowed = {
        path: modules
        for patterns, modules in PAST_THE_FACE.values()
        for pattern in patterns
        for path in PACKAGE.glob(pattern)
    }
    for path in PACKAGE.rglob("*.py"):
        known = {name.split(".")[3] for name in _imported(path) if name.startswith("benchbook.hosts.vllm.")}
        if PACKAGE / "hosts/vllm" not in path.parents:
            assert known <= allowed.get(path, set()), path


def test_every_folder_of_the_package_is_a_room_and_every_folder_of_hosts_a_wing():
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(ALLOWED)
    assert {path.parent.name for path in PACKAGE.glob("hosts/*/__init__.py")} == set(WINGS)


def test_the_words_of_all_rooms_need_nothing_of_ours():
    for path in (PACKAGE / "terms").glob("*.py"):
        assert _rooms_of(path) <= {"terms"}, path


def test_the_page_of_the_design_has_the_table_of_rooms():
    rows = re.findall(r"^\| `(\w+)/` \| .* \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    table = {room: set() if others == "nothing of ours" else set(others.split(", ")) for room, others in rows}
    assert table == ALLOWED


def _imported_by(command: list[str], home: Path) -> set[str]:
    """Return the modules that are there once a command is done."""
    script = (
        "import sys; from benchbook.cli import app\n"
        f"try: app({command!r})\nexcept SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PACKAGE.parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "", "HOME": str(home), "PYTHONPATH": str(PACKAGE.parent)},
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "command",
    [["--help"], ["--version"], ["plan", "experiments/quickstart.yaml"], ["list"], ["ps"], ["explain", "too_short"]],
)
def test_light_commands_import_nothing_heavy(command, tmp_path):
    assert not _imported_by(command, tmp_path) & set(HEAVY)


def test_a_plan_of_what_was_never_run_here_imports_no_type_of_a_record_and_nothing_that_only_runs(tmp_path):
    of_another_machine = tmp_path / "results" / "mine" / "20261101-100000" / "run.json"
    of_another_machine.parent.mkdir(parents=True)
    of_another_machine.write_text('{"provenance": {"machine": {"cpu": "Another", "cpu_cores": 1}}}')
    modules = _imported_by(["plan", "experiments/quickstart.yaml", "--results", str(tmp_path / "results")], tmp_path)
    ours = {name.removeprefix("benchbook.") for name in modules if name.startswith("benchbook.")}
    assert "sweep.preview" in ours
    assert not {name.partition(".")[0] for name in ours} & {"notebooks", "numbers", "report"}
    of_records = {f"records.{name}" for name in ("typed", "host", "record", "header", "store", "frozen", "handover")}
    of_few = {f"sweep.{name}" for name in ("planning", "finding", "searching", "guarding", "request_sets", "consent")}
    of_runs = {"hosts.server", "hosts.attached", "measure.servers", "measure.client", "judge.catalogue", "judge.starts"}
    assert not ours & (of_records | of_few | of_runs)


def test_figures_are_drawn_without_pyplot_which_would_keep_each_until_somebody_closes_it():
    script = (
        "import sys, benchbook\n"
        "for name in benchbook.__all__: getattr(benchbook, name)\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    environment = {"PATH": "", "HOME": "/nonexistent", "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr


# Where records and the sweep hold mappings of anything: only what reads raw files, which may hold whatever they like.
READ_RAW = {"records/raw.py", "records/record_file.py", "records/upgrade.py", "records/header.py"}


def test_in_records_and_the_sweep_mappings_of_anything_are_those_of_raw_files():
    paths = [path for room in ("records", "sweep") for path in (PACKAGE / room).rglob("*.py")]
    assert {str(path.relative_to(PACKAGE)) for path in paths if "dict[str, Any]" in path.read_text()} == READ_RAW


# One answerer each, by the words that only it needs: who asks the drivers which GPUs are here, and how large a model is.
ANSWERERS = {
    '"nvidia-smi"': {"hosts/machine/gpu.py"},
    '"rocm-smi"': {"hosts/machine/facts.py"},
    "def weight_bytes(": {"hosts/model/footprint.py"},
    "no launch {": set(),
    "no case fits {": {"patterns.py"},
}


@pytest.mark.parametrize("words", ANSWERERS)
def test_a_question_has_one_answerer(words):
    assert {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if words in path.read_text()} == ANSWERERS[
        words
    ]


def test_every_public_function_and_class_says_what_you_get():
    missing = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            is_definition = isinstance(node, ast.FunctionDef | ast.ClassDef)
            if is_definition and not node.name.startswith("_") and not ast.get_docstring(node) and node.col_offset == 0:
                missing.append(f"{path.name}:{node.lineno} {node.name}")
    assert not missing
