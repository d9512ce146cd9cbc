"""What a notebook's reader sees while something runs, and the console text that is left of it."""

import contextlib
from pathlib import Path

import pytest
from benchbook.measure import live

NOISE = "Namespace(subparser='bench', api_key=None)\n"
BARS = (
    "  0%|          | 0/40 [00:00<?, ?it/s]\r 50%|█████     | 20/40 [00:02<00:02, 7.9it/s]\r"
    "100%|██████████| 40/40 [00:05<00:00, 7.6it/s]\n"
)


@pytest.fixture
def written(monkeypatch):
    """Return what is shown in a notebook's cell, one entry an update: (html, plain text)."""
    seen = []

    class Handle:
        def update(self, content, raw):
            seen.append((content["text/html"], content["text/plain"]))

    def display(content, raw, display_id):
        Handle().update(content, raw)
        return Handle()

    monkeypatch.setattr(live, "is_notebook", lambda: True)
    monkeypatch.setattr(live, "UPDATE_S", 0.0)
    monkeypatch.setattr("IPython.display.display", display)
    return seen


def test_a_start_is_one_line_with_its_phase_and_its_seconds(written):
    with live.starting("vLLM server with tiny") as told:
        told(3.2, "loading weights (50%)")
    plain = [text for _, text in written]
    assert plain[1] == "vLLM server with tiny: loading weights (50%) … 3 s"
    assert plain[-1].startswith("vLLM server with tiny: ready after 0.")


def test_a_start_that_fails_says_in_which_phase(written):
    with contextlib.suppress(ValueError), live.starting("vLLM server") as told:
        told(3.2, "loading weights")
        raise ValueError
    assert "while loading weights" in written[-1][1]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (" 40%|████      | 16/40 [00:02<00:03,  7.90it/s]", "bench: 16 of 40 · 00:02"),
        ("Bench iterations:  30%|███       | 9/30 [00:01<00:03,  6.1it/s]", "Bench iterations: 9 of 30 · 00:01"),
        (
            "Processed prompts: 100%|██| 9/9 [01:02:03<00:00, est. speed: 5 toks/s]",
            "Processed prompts: 9 of 9 · 01:02:03",
        ),
    ],
)
def test_the_lines_of_vllms_bars_become_one_bar(written, tmp_path, line, shown):
    with live.benchmark("bench", tmp_path / "bench.log") as told:
        told(NOISE)
        told(line)
        assert written[-1][1] == shown and "<progress " in written[-1][0]


def test_afterwards_the_console_text_is_there_folded_as_a_terminal_would_show_it(written, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a-very-secret-key")
    log = tmp_path / "bench.log"
    with live.benchmark("bench", log):
        log.write_text(NOISE + "\x1b[32mgreen\x1b[0m <b>a-very-secret-key\n" + BARS + "done\n")
    html = written[-1][0]
    assert html.startswith("<details><summary>bench: ") and "bench.log" in html and "&lt;b&gt;" in html
    assert html.count("it/s]") == 1 and "40/40" in html and "\x1b" not in html and "a-very-secret-key" not in html


@pytest.mark.parametrize(
    "what", [live.starting("vLLM server"), live.benchmark("bench", Path("/nonexistent/bench.log"))]
)
def test_an_interrupt_is_told_in_one_line_and_is_one_for_whoever_catches_it(written, what):
    with pytest.raises(KeyboardInterrupt) as interrupt, what:
        raise KeyboardInterrupt
    (line,) = interrupt.value._render_traceback_()
    assert line.startswith("Interrupted: ") and "\n" not in line


def test_in_a_sweep_nothing_is_written_while_it_is_measured(written, tmp_path):
    with live.benchmark("bench", tmp_path / "bench.log", is_watched=False) as told:
        assert told is None and written == []
    assert len(written) == 1


def test_outside_of_a_notebook_lines_are_printed_as_they_come(tmp_path, capsys):
    with live.benchmark("bench", tmp_path / "bench.log") as told:
        told("a line")
    assert capsys.readouterr().out == "a line\n"
