"""On how many GPUs a launch ran: told by its processes or its command, in tables, and wherever launches are compared."""

from __future__ import annotations

import pytest
from benchbook.judge.claims import headlines
from benchbook.judge.columns import PER_GPU
from benchbook.judge.compare import compare
from benchbook.judge.comparison_caveats import caveats
from benchbook.judge.gpus import num_gpus, output_per_gpu_tok_s
from benchbook.records.parts import Provenance
from benchbook.report.results import definitions_html, results_html
from benchbook.report.roofline_sentences import energy_sentence
from benchbook.report.run import load_run
from benchbook.report.table_command import print_table
from parts import having
from report_runs import make_run
from rich.console import Console

GPU_MACHINE = {"machine": {"gpus": [{"name": "NVIDIA H200"}] * 4}, "packages": {"vllm": "0.32.0"}}


def telemetry(*ours, there=4, strangers=()):
    """Return a summary of samples: our processes and strangers on these GPUs, of `there` that were sampled."""
    processes = [{"gpu": gpu, "kind": "ours", "pid": 10 + gpu, "name": "x"} for gpu in ours]
    processes += [{"gpu": gpu, "kind": "foreign", "pid": 20 + gpu, "name": "y"} for gpu in strangers]
    gpus = [{"index": index, "name": "NVIDIA H200", "throttled_share": {}} for index in range(there)]
    missing = ("mean_power_w", "mean_sm_clock_mhz", "min_sm_clock_mhz", "max_temperature_c", "max_memory_used_gib")
    gpus = [{**gpu, **dict.fromkeys((*missing, "mean_utilisation_pct"))} for gpu in gpus]
    return {"gpus": gpus, "gpu_processes": processes, "absent": {}, "energy_j": 3425.0}


def on(record, argv=("vllm", "serve", "m"), provenance=GPU_MACHINE, samples=None):
    """Return `record` as measured by this command on this machine."""
    host = having(record.host, argv=argv, **({"telemetry": samples} if samples else {}))
    return record.model_copy(update={"host": host, "provenance": Provenance.model_validate(provenance)})


@pytest.fixture
def record(tmp_path):
    """Return a serve record of a machine without a GPU."""
    run = load_run(make_run(tmp_path, benchmarks=("serve",), concurrencies=(8,), repeats=1))
    return run.records[0]


@pytest.mark.parametrize(
    ("argv", "samples", "number"),
    [
        ((), telemetry(0), 1),
        ((), telemetry(0, 1, strangers=(2, 3)), 2),
        ((), telemetry(2, 3, 2), 2),
        ((), telemetry(there=1), 1),
        ((), telemetry(there=2), None),
        ((), {**telemetry(there=2), "num_gpus": 2}, 2),
        ((), {**telemetry(there=0), "num_gpus": 1}, None),  # a CPU
        (("vllm", "serve", "m", "--tensor-parallel-size", "2"), telemetry(), 2),
        (("vllm", "serve", "m", "--tensor-parallel-size=2", "--data-parallel-size", "2"), None, 4),
        (("vllm", "serve", "m"), None, 1),
        (("vllm", "serve", "m", "--tensor-parallel-size", "two"), None, None),
    ],
)
def test_the_gpus_are_those_of_its_processes_else_of_its_command(record, argv, samples, number):
    assert num_gpus(on(record, argv, samples=samples)) == number


def test_a_cpu_has_no_gpus_and_no_rate_for_each(record):
    assert num_gpus(record) is None and output_per_gpu_tok_s(record) is None
    beside = {**GPU_MACHINE, "packages": {"vllm": "0.32.0+cpu"}}
    assert num_gpus(on(record, provenance=beside)) is None, "a build for CPUs beside a GPU"


@pytest.fixture
def unequal(tmp_path):
    """Return a run of launch "eager" on one GPU, and of "compiled", 35 % faster, on two."""

    def change(record):
        number = 2 if record.identity.launch == "compiled" else 1
        return on(record, samples=telemetry(*range(number), there=number))

    return load_run(
        make_run(
            tmp_path,
            launches=("eager", "compiled"),
            benchmarks=("serve",),
            concurrencies=(4, 8),
            repeats=6,
            change=change,
        )
    )


def test_a_launch_that_is_faster_on_more_gpus_says_so_where_it_is_claimed(unequal):
    comparison = compare(unequal.by_launch["eager"], unequal.by_launch["compiled"], ("eager", "compiled"))
    assert comparison.unequal_gpus == (1, 2)
    (said,) = headlines(comparison)
    assert " faster than eager in output throughput" in said and ", on 2 GPUs in place of 1: " in said
    assert said.rstrip(".").endswith(" % less for each GPU")
    assert "a difference is one at 2.00 times the hardware" in caveats(comparison)[0]
    back = compare(unequal.by_launch["compiled"], unequal.by_launch["eager"], ("compiled", "eager"))
    assert ", on 1 GPU in place of 2: " in headlines(back)[0] and "more for each GPU" in headlines(back)[0]
    assert "0.500 times the hardware" in caveats(back)[0]


def test_launches_on_as_many_gpus_are_compared_without_a_word_of_them(tmp_path):
    def change(record):
        return on(record, samples=telemetry(0, 1, there=2))

    run = load_run(
        make_run(
            tmp_path,
            launches=("eager", "compiled"),
            benchmarks=("serve",),
            concurrencies=(8,),
            repeats=5,
            change=change,
        )
    )
    comparison = compare(run.by_launch["eager"], run.by_launch["compiled"], ("eager", "compiled"))
    assert comparison.unequal_gpus is None and "GPU" not in " ".join([*headlines(comparison), *caveats(comparison)])


def test_tables_have_the_number_of_gpus_and_what_each_puts_out(unequal, capsys):
    rows = unequal.table[unequal.table["launch"] == "compiled"]
    assert set(rows["gpus"]) == {2}
    assert (rows[PER_GPU.key] * 2 - rows["output_throughput_tok_s"]).abs().max() < 1e-9
    assert set(unequal.cases["gpus"]) == {1, 2}
    print_table(unequal, "md", Console(width=400))
    heading = next(line for line in capsys.readouterr().out.splitlines() if "Repeats" in line)
    assert "| GPUs |" in heading and "Output per GPU" in heading
    html = results_html(unequal)
    assert (
        "GPUs" in html
        and "Output per GPU" in html
        and "output throughput / number of GPUs" in definitions_html(unequal)
    )


def test_tables_of_one_gpu_or_none_have_no_column_more(tmp_path, capsys):
    run = load_run(
        make_run(
            tmp_path, benchmarks=("serve",), concurrencies=(8,), change=lambda record: on(record, samples=telemetry(0))
        )
    )
    print_table(run, "md", Console(width=400))
    assert "GPU" not in capsys.readouterr().out and "GPU" not in results_html(run)
    assert set(run.table["gpus"]) == {1}


def test_what_two_gpus_drew_is_told_of_both(record):
    assert energy_sentence(on(record, samples=telemetry(0, there=1))).startswith("The GPU drew 3,425 J")
    assert energy_sentence(on(record, samples=telemetry(0, 1, there=2))).startswith("The 2 GPUs together drew 3,425 J")
