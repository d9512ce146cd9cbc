"""`benchbook table`: the records of the plan, and no other."""

import pytest
from benchbook.cli import table
from benchbook.records.store import Store
from report_runs import make_run


def test_a_stale_record_is_in_no_table_and_is_counted_on_the_side(tmp_path, capsys):
    run_dir = make_run(tmp_path)
    store = Store(run_dir)
    stale = store.records()[0]
    changed = stale.identity.model_copy(update={"fingerprint": "f" * 64})
    store.save(f"{stale.identity.case_id}-ffffffff", stale.model_copy(update={"identity": changed}))
    table(str(run_dir), "csv", tmp_path)
    printed = capsys.readouterr()
    assert len(printed.out.strip().splitlines()) == 1 + 24
    assert "1 stale records of an older plan are left out" in printed.err


@pytest.mark.parametrize("form", ["csv", "json", "md"])
def test_nothing_is_said_on_the_side_without_a_stale_record(tmp_path, capsys, form):
    table(str(make_run(tmp_path)), form, tmp_path)
    assert capsys.readouterr().err == ""
