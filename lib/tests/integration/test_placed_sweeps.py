"""A sweep with several blocks at once, from the command to its report; the scripted server stands in for vLLM."""

import os
import signal
from collections import Counter

import pytest
from benchbook.records.store import Store
from rows import IS_FULL
from sweeps import ALL_MEASURED, benchbook, read_until, wait_nothing_left, write_fake_sweep

pytestmark = pytest.mark.integration

# No processors of its own each: the machine may have but one.
PLACED = """
question: Does it hold at several places?
model: {model}
launches:
  quick: {{args: {{max_model_len: 4096}}}}
  slow: {{args: {{max_model_len: 2048}}}}
benchmarks:
  - serve: {{max_concurrency: 2, lengths: [[16, 8]], num_prompts: 4}}
repeats: 2
again: 0
place: {{at_once: 2, neighbours: 90 %}}
"""


def measured_at_two_places(folder, text):
    """Return the run in `folder`, of which all is measured, once at each place, as `text` and its records say."""
    assert "neighbours cost " in text and "pairs alone and with neighbours; allowed are 90 %" in text
    assert "  place 0: the server of launch 'quick' is ready after" in text and "repeat 1 at place 1" in text
    store = Store.open("machinery", folder / "results")
    records = store.records()
    at = Counter((record.identity.launch, record.host.place.number) for record in records)
    assert at == {(launch, place): 1 for launch in ("quick", "slow") for place in (0, 1)}
    assert all(record.host.place.at_once == 2 and record.host.place.neighbours.pairs >= 4 for record in records)
    assert "neighbours_slow" not in {reason.code for record in records for reason in record.reasons}
    assert (store.run_dir / "launches/quick/place=1/server.log").is_file() and store.report_path.is_file()
    assert wait_nothing_left(folder) == []
    return store


@pytest.mark.skipif(not IS_FULL, reason="make test-full; the run in two sittings, below, is looked at in the same way")
def test_launches_at_two_places_are_measured_once_each_and_their_records_say_where(tmp_path):
    file = write_fake_sweep(tmp_path, template=PLACED)
    process = benchbook(tmp_path, "run", file, fake=True)
    text = process.communicate(timeout=300)[0]
    assert process.returncode in ALL_MEASURED, text
    launches = measured_at_two_places(tmp_path, text).header().launches
    assert {name: len(facts.hosts) for name, facts in launches.items()} == {"quick": 2, "slow": 2}


def test_a_stop_signal_ends_all_places_in_order_and_the_run_goes_on_at_the_same_places(tmp_path):
    file = write_fake_sweep(tmp_path, template=PLACED)
    process = benchbook(tmp_path, "run", file, fake=True)
    begun = read_until(process, lambda line: "[1/4]" in line)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it, to all of them
    text = process.communicate(timeout=60)[0]
    assert process.returncode == 130 and "to continue: benchbook run machinery.yaml" in text and "Traceback" not in text
    assert wait_nothing_left(tmp_path) == []
    process = benchbook(tmp_path, "run", file, fake=True)
    rest = process.communicate(timeout=300)[0]
    assert process.returncode in ALL_MEASURED, rest
    assert "First, what neighbours cost" in begun and "First, what neighbours cost" not in rest, "it is known by now"
    measured_at_two_places(tmp_path, begun + rest)
