"""A command line that cannot be understood is one line with what is meant, exit code 2, and nothing is started."""

import pytest
from benchbook import __main__ as program
from benchbook.terms.exit_codes import BAD_INPUT


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("run", "missing argument 'file'"),
        ("run x.yaml --bad", "no such option: --bad"),
        ("run x.yaml --reslts r", "--results"),
        ("run x.yaml --only", "option '--only' requires an argument"),
        ("run a.yaml b.yaml", "unexpected extra argument"),
        ("cmpare q a b", "Did you mean 'compare'?"),
        ("explain a b", "unexpected extra argument"),
        ("list --format xml", "'xml' is not one of 'text', 'csv', 'json', 'md'"),
        ("--bogus", "no such option: --bogus"),
        ("rm", "missing argument"),
        ("run x.yaml --set", "option '--set' requires an argument"),
        ("watch q --skip", "option '--skip' requires an argument"),
    ],
)
def test_what_cannot_be_understood_is_one_line(words, told, capsys, monkeypatch):
    out, err = refused(words, capsys, monkeypatch)
    (line,) = err.splitlines()
    assert line.startswith("benchbook: ") and told in line and line.endswith("--help`") and out == ""


def test_without_a_command_the_help_is_all_that_is_printed(capsys, monkeypatch):
    out, err = refused("", capsys, monkeypatch)
    assert "Start with: benchbook plan" in out and err == ""


def refused(words, capsys, monkeypatch):
    """Return what the program prints of `words` and on stderr, as it ends with the code of bad input."""
    monkeypatch.setattr("sys.argv", ["benchbook", *words.split()])
    # These are of the whole process.
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("benchbook.sweep.interrupts.interrupt_on_stop_signals", lambda: None)
    monkeypatch.setattr("benchbook.terminal.guard_streams", lambda _: None)
    with pytest.raises(SystemExit) as end:
        program.main()
    assert end.value.code == BAD_INPUT
    return capsys.readouterr()
