"""The tables of a notebook: what a reader sees of one measurement and of one server."""

from __future__ import annotations

import dataclasses
import re
from html import unescape
from types import SimpleNamespace

import pytest
from benchbook.hosts.face import StartupFacts
from benchbook.judge.catalogue import reason
from benchbook.records.described import described
from benchbook.records.record import Identity, Outcome, Record, Verdict
from benchbook.records.record_file import Saved
from benchbook.report import markup
from benchbook.report.repeat import cells, host_tables, timeline
from benchbook.terms.asked import Asked


@pytest.fixture
def shown(monkeypatch):
    """Return a list that gets the HTML of whatever is displayed, and a function that gives it as rows of text."""
    seen = []
    monkeypatch.setattr(markup, "display", lambda html: seen.append(html.data))
    return seen


def rows(html):
    fields = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]
    return [[unescape(re.sub("<[^>]*>", "", cell)) for cell in row] for row in fields]


def saved(tmp_path, verdict=Verdict.SUSPECT, reasons=(), **fields):
    record = Record(
        identity=Identity(),
        benchmark="serve",
        workload={"num_prompts": 40},
        **described("serve", {"num_prompts": 40})._asdict(),
        outcome=Outcome.MEASURED,
        verdict=verdict,
        reasons=reasons,
        way="warm",
        argv=(),
        started_utc="2026-11-26T14:00:00+00:00",
        ended_utc="2026-11-26T14:00:05+00:00",
        started_monotonic_s=0.0,
        ended_monotonic_s=5.0,
        **fields,
    )
    return Saved(record, tmp_path / "results" / "by-hand" / "serve-1" / "record.json")


def test_a_verdict_has_its_symbol_its_record_a_place_and_its_worst_reason_comes_first(tmp_path, shown, monkeypatch):
    (tmp_path / "lab").mkdir()
    monkeypatch.chdir(tmp_path / "lab")
    said = (reason("itl_per_chunk", "a remark"), reason("machine_busy", "others used 64 %"))
    cells.verdict_table(saved(tmp_path, reasons=said))
    table = rows(shown[0])
    assert table[0] == ["Verdict", "!\u00a0SUSPECT"] and "background:#" in shown[0]
    assert table[1] == ["Record", "../results/by-hand/serve-1/record.json"]
    assert [row[0] for row in table[3:]] == ["suspect: machine_busy", "note: itl_per_chunk"]


def test_text_is_aligned_to_the_left_and_numbers_to_the_right_where_jupyter_aligns_all_alike(tmp_path, shown):
    cells.metrics_table(saved(tmp_path, values={"output_throughput_tok_s": 1540.25}))
    assert '<td style="text-align:left">' in shown[0] and '<td class="number">1,540</td>' in shown[0]
    assert "<td>" not in shown[0] and "<th>" not in shown[0]
    assert rows(shown[0])[1][:3] == ["Output throughput (tok/s)", "1,540", "higher"]


def test_a_measurement_of_other_parameters_is_not_shown(tmp_path, shown, monkeypatch):
    names = {"num_prompts": 12, "__annotations__": {"num_prompts": int}}
    monkeypatch.setattr("benchbook.parameters._namespace", lambda: names)
    names["saved"] = dataclasses.replace(saved(tmp_path), parameters={"num_prompts": 40})
    for show in (cells.verdict_table, cells.accounting_table, cells.metrics_table, cells.repeat_figure, cells.repeat_timeline,
                 cells.repeat_roofline, cells.repeat_reading, cells.answer_table):  # fmt: skip
        with pytest.raises(Exception, match="num_prompts is 12 now, but `saved` was made with 40"):
            show(names["saved"])
    assert shown == []


def test_everything_that_a_start_can_tell_has_a_name_for_people():
    fields = {field.name for field in dataclasses.fields(StartupFacts)}
    assert set(host_tables.PHASES) | set(host_tables.FACTS) == fields


def test_where_a_start_went_adds_up_to_all_of_it(shown):
    phases = {"imports_s": 7.0, "config_s": 6.0, "weights_s": 0.06, "warm_up_s": 0.38, "compile_s": 0.3}
    facts = StartupFacts(**phases, kv_cache_tokens=262144)
    host_tables.startup_table(SimpleNamespace(facts=facts, ready_s=15.9))
    table = dict(rows(shown[0])[1:])
    assert table["before the log's first line: imports of vLLM and torch"] == "7.0"
    parts = [float(value) for name, value in table.items() if not name.startswith(("–", "until"))]
    assert sum(parts) == pytest.approx(float(table["until it answered"]), abs=0.2)
    assert rows(shown[1]) == [["KV cache holds", "262,144 tokens"]]


def test_the_lines_for_other_clients_hold_no_key_and_say_where_it_is_from(shown):
    server = SimpleNamespace(base_url="http://127.0.0.1:8000", served_name="it's", api_key="s3cret", is_ours=True)
    host_tables.client_lines(server)
    server.is_ours = False
    host_tables.client_lines(server)
    ours, theirs = (unescape(html) for html in shown)
    assert "benchbook key 8000)" in ours and "Bearer $OPENAI_API_KEY" in theirs
    assert "s3cret" not in ours + theirs


def test_a_timeline_begins_with_the_first_send():
    raw = {"start_times": [100.0], "ttfts": [0.1], "itls": [[0.1]], "latencies": [2.0], "errors": [""]}
    times = [75.0 + step / 4 for step in range(120)]
    server = {"t_s": times, "running": [1.0] * 120}
    telemetry = {"zero_perf_counter_s": 0.0, "period_s": 0.25, "gpus": [], "server": server}
    figure, _ = timeline.timeline_figure(SimpleNamespace(workload={}, curve="", asked=Asked()), telemetry, raw)
    assert [axes.get_xlim()[0] for axes in figure.axes] == [0.0] * len(figure.axes)
