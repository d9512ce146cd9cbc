"""Each notebook on its own by plain papermill, as a person would run it: it starts what it needs and leaves nothing."""

import json
import os
import subprocess

import pytest
from benchbook.project import notebooks_dir
from benchbook.records.record_file import read_record
from rows import IS_FULL, rows
from sweeps import PAPERMILL, assert_values_equal_the_raw_file, wait_nothing_left

pytestmark = pytest.mark.integration

NOTEBOOKS = {
    "01_launch_server.ipynb": {},
    "02_first_request.ipynb": {"max_tokens": 16},
    "03_bench_serve.ipynb": {"num_prompts": 8, "max_concurrency": 2, "input_len_tokens": 32, "output_len_tokens": 16},
    "04_bench_latency.ipynb": {"num_iters": 5, "num_iters_warmup": 1, "input_len_tokens": 32, "output_len_tokens": 8},
    "05_bench_throughput.ipynb": {"num_prompts": 40, "input_len_tokens": 32, "output_len_tokens": 8},
}


def papermill(notebook, output, parameters, **options):
    words = [word for name, value in parameters.items() for word in ("-p", name, str(value))]
    return subprocess.run(
        [*PAPERMILL, str(notebook), str(output), "-k", "python3", "--no-progress-bar", *words],
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


SECRET = "hf_" + "Zq7" * 12


# All of them are executed on the scripted vllm, cell by cell, in test_notebook_kernels.py.
@pytest.mark.skipif(not IS_FULL, reason="make test-full; 03 is executed so, on the scripted vllm, in test_readme.py")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_by_plain_papermill_with_a_host_of_its_own(name, tmp_path):
    parameters = dict(NOTEBOOKS[name])
    if name[:2] != "01":
        parameters["record_path"] = tmp_path / "record.json"
    env = {**os.environ, "BENCHBOOK_TEST": str(tmp_path), "HF_TOKEN": SECRET}
    done = papermill(notebooks_dir() / name, tmp_path / "out.ipynb", parameters, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    if name[:2] != "01":
        record = read_record(tmp_path / "record.json")
        # On two busy cores much may be suspect, which is said and is no fault of the notebook.
        assert "invalid" not in {reason.severity for reason in record.reasons}, record.reasons
        assert record.host.random_weights
        assert_values_equal_the_raw_file(tmp_path)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET not in path.read_text(errors="replace"), path
    assert wait_nothing_left(tmp_path) == []


@pytest.mark.parametrize("name", rows(NOTEBOOKS, quick=["03_bench_serve.ipynb"]))
def test_plain_papermill_with_a_misspelt_parameter_starts_nothing_and_names_the_nearest(name, tmp_path):
    done = papermill(notebooks_dir() / name, tmp_path / "out.ipynb", {"engine_arg": "{}"})
    assert done.returncode != 0 and "unknown parameter 'engine_arg'; did you mean 'engine_args'?" in done.stderr
    outputs = "".join(str(cell.get("outputs")) for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"])
    assert "vLLM server" not in outputs and "vLLM engine" not in outputs


def test_a_served_text_of_markup_does_nothing_in_the_notebook():
    """What a model says reaches HTML only escaped."""
    from benchbook.report.markup import text

    assert text("<script>alert(1)</script>\x1b[31mred\x1b[0m") == "&lt;script&gt;alert(1)&lt;/script&gt;red"
