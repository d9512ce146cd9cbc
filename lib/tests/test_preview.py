"""`benchbook plan`: what would be started, how often, and in which order."""

import io

import pytest
from benchbook.measure.preview import preview
from rich.console import Console

TEXT = """
question: Is the second launch faster?
model: {model}
launches: {launches}
benchmarks: [serve: {{max_concurrency: [1, 2], lengths: [[8, 4]], num_prompts: 4}}]
repeats: 3
"""


@pytest.fixture
def preview_text(tmp_path, fake_model):
    """Return a function that returns what is printed for an experiment with these launches."""

    def printed(launches: str) -> str:
        path, out = tmp_path / "exp.yaml", io.StringIO()
        path.write_text(TEXT.format(model=fake_model, launches=launches))
        preview(path, tmp_path / "results", Console(file=out, width=200))
        return out.getvalue()

    return printed


def test_a_single_launch_is_started_once(preview_text):
    text = preview_text("{a: {}}")
    assert "6 measurements on 1 starts" in text and "take turns" not in text


def test_launches_that_are_compared_are_shown_once_with_their_turns(preview_text):
    text = preview_text("{a: {}, b: {}}")
    assert "12 measurements on 6 starts" in text
    assert text.count("server of launch 'a'") == 1 and "3 starts" in text
    assert "each round with a fresh start: a server, b server, b server, a server, a server, b server" in text
