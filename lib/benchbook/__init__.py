"""benchbook: a lab notebook for LLM serving performance with vLLM.

Notebooks import from here only. Names are loaded on first use, so that `import benchbook` costs nothing; workloads and
measuring calls are those that are registered.
"""

from __future__ import annotations

import importlib

_HOME = {
    # what to measure it on
    "VllmServer": "benchbook.hosts.server",
    "VllmEngine": "benchbook.hosts.engine",
    "attach": "benchbook.hosts.attached",
    "find_server": "benchbook.hosts.server",
    "open_server": "benchbook.measure.servers",
    "open_engine": "benchbook.measure.engines",
    "close_servers": "benchbook.measure.servers",
    "OfflineEngine": "benchbook.measure.engines",
    "NAMED_LAUNCHES": "benchbook.plan.named_launches",
    # measuring
    "completion_request": "benchbook.measure.first_request",
    "request_headers": "benchbook.measure.first_request",
    # a run under way
    "show_experiments": "benchbook.start",
    "show_runs": "benchbook.start",
    "start_run": "benchbook.start",
    "watch": "benchbook.report.board.cell",
    # reading one measurement
    "accounting_table": "benchbook.report.repeat.cells",
    "metrics_table": "benchbook.report.repeat.cells",
    "verdict_table": "benchbook.report.repeat.cells",
    "repeat_figure": "benchbook.report.repeat.cells",
    "repeat_reading": "benchbook.report.repeat.cells",
    "repeat_timeline": "benchbook.report.repeat.cells",
    "repeat_roofline": "benchbook.report.repeat.cells",
    "client_lines": "benchbook.report.repeat.host_tables",
    "server_table": "benchbook.report.repeat.host_tables",
    "startup_table": "benchbook.report.repeat.host_tables",
    "answer_table": "benchbook.report.repeat.cells",
    # reading one run
    "load_run": "benchbook.report.run",
    "show_answer": "benchbook.report.cells",
    "show_cases": "benchbook.report.cells",
    "show_comparison": "benchbook.report.cells",
    "show_counts": "benchbook.report.cells",
    "show_definitions": "benchbook.report.cells",
    "show_failures": "benchbook.report.cells",
    "show_floor": "benchbook.report.cells",
    "show_latency": "benchbook.report.cells",
    "show_roofline": "benchbook.report.cells",
    "show_provenance": "benchbook.report.cells",
    "show_published": "benchbook.report.cells",
    "show_question": "benchbook.report.cells",
    "show_reasons": "benchbook.report.cells",
    "show_results": "benchbook.report.cells",
    "show_setup": "benchbook.report.cells",
    "show_threats": "benchbook.report.cells",
    "show_throughput": "benchbook.report.cells",
    "show_tradeoff": "benchbook.report.cells",
}


def modules() -> list[str]:
    """Return the modules that notebooks import from."""
    return sorted({*_HOME.values(), *_calls().values(), "benchbook.plan.workloads"})


def _calls() -> dict[str, str]:
    """Return the home of each measuring call."""
    from benchbook.measure.calls import CALLS  # which imports nothing heavy

    return {name: home for home, name in (call.split(":") for call in CALLS.values())}


def _workloads() -> dict[str, object]:
    from benchbook.plan.workloads import WORKLOADS

    return {model.__name__: model for model in WORKLOADS.values()}


def __getattr__(name: str) -> object:
    if name == "__all__":
        return __dir__()
    if name.endswith("Workload") and name in _workloads():
        return _workloads()[name]
    home = _HOME.get(name) or _calls().get(name)
    if home is None:
        raise AttributeError(f"module 'benchbook' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*_HOME, *_calls(), *_workloads()})
