"""The measuring call of each benchmark, by its name: 'module:function', so that its module is loaded by who measures.

    function(host, workload, *, record_path="", repeat="", seed=0) -> Saved

It measures, writes the record and returns it; `seed` is there where prompts are drawn with one. A benchmark's notebook
imports it, as all that notebooks take, from the package's top level.
"""

from __future__ import annotations

from benchbook.terms.benchmarks import FIRST_REQUEST, LATENCY, SERVE, THROUGHPUT

CALLS: dict[str, str] = {
    SERVE.name: "benchbook.measure.serve:bench_serve",
    LATENCY.name: "benchbook.measure.offline:bench_latency",
    THROUGHPUT.name: "benchbook.measure.offline:bench_throughput",
    FIRST_REQUEST.name: "benchbook.measure.first_request:first_request",
}
