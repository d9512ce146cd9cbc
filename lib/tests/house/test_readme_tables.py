"""The tables of the pages are made from the code that they describe."""

from pathlib import Path

from benchbook.judge.catalogue import CODES, OUTSIDE
from benchbook.judge.columns import COLUMNS
from benchbook.terms.metrics import METRICS

DOCS = Path(__file__).parents[3] / "docs"
VERDICTS, ROOFLINE = (DOCS / "verdicts.md").read_text(), (DOCS / "roofline.md").read_text()
ELSEWHERE = ("median_", "std_", "p90_", "p95_", "p99_")  # said in one sentence below the table


def metric_rows():
    """Return the rows of the page's metric table."""
    shown = [
        metric
        for metric in METRICS
        if not metric.key.startswith(ELSEWHERE) and not metric.key.endswith("_batch_latency_s")
    ]
    shown += [metric for metric in METRICS if metric.key in ("avg_batch_latency_s", "p50_batch_latency_s")]
    return [
        f"| `{metric.key}` | {', '.join(metric.benchmarks)} | {metric.unit} | {metric.direction} | {metric.formula} |"
        for metric in shown
    ]


def reason_rows():
    """Return the rows of the page's table of reason codes."""
    return [
        f"| `{code.code}` | {code.severity} | {code.meaning} | {code.threshold} | {code.remedy} |" for code in CODES
    ]


def test_the_metric_table_is_that_of_the_code():
    assert "\n".join(metric_rows()) in VERDICTS


def limit_rows():
    """Return the rows of the page's table of limits."""
    return [f"| `{key}` | {meaning} |" for key, meaning in COLUMNS.items()]


def test_the_table_of_limits_is_that_of_the_code():
    assert "\n".join(limit_rows()) in ROOFLINE


def test_the_outside_causes_are_named_where_it_is_said_what_becomes_of_them():
    assert ", ".join(f"`{code}`" for code in sorted(OUTSIDE)).replace(" ", "") in VERDICTS.replace("\n", "").replace(
        " ", ""
    )


def test_the_reason_table_is_that_of_the_catalogue():
    assert "\n".join(reason_rows()) in VERDICTS
