"""The program `benchbook`, also as `python -m benchbook`: stop signals first, then the commands, then one exit code.

What is imported before those signals are caught is next to nothing: until then, Ctrl-C would be a traceback of Python's.
"""

from __future__ import annotations

import sys

from benchbook.terms.exit_codes import BAD_INPUT, FAILED, INTERRUPTED, OK


def main() -> None:
    """Run the command line; an error of ours becomes one line and its exit code."""
    import signal

    # Else it is ignored, as of a job in the background.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from benchbook.collector import skip_last_look
    from benchbook.sweep.interrupts import interrupt_on_stop_signals

    interrupt_on_stop_signals()  # before anything that takes time to import
    try:
        code = _exit_code()
    except KeyboardInterrupt:
        code = INTERRUPTED
    skip_last_look()
    sys.exit(code)


def _exit_code() -> int:
    from benchbook.process_limits import check_limits, keep_own_files
    from benchbook.sweep.interrupts import is_stopping
    from benchbook.system_faults import is_system_fault, line_of
    from benchbook.terminal import OutputLost, guard_streams
    from benchbook.terms.errors import BenchbookError, ExperimentError

    guard_streams(is_stopping)
    keep_own_files()
    try:
        check_limits()
        code = _exit_code_of_command()
        sys.stdout.flush()
        return code
    except ExperimentError as error:
        for line in str(error).splitlines():  # a fault of the file each
            print(f"benchbook: {line}", file=sys.stderr)
        return BAD_INPUT
    except OutputLost as lost:
        if lost.has_no_reader:  # `benchbook table ... | head`
            return OK
        print(f"benchbook: {lost}", file=sys.stderr)
    except BenchbookError as error:
        print(f"benchbook: {error}", file=sys.stderr)
    except Exception as error:
        if not is_system_fault(error):
            raise
        print(f"benchbook: {line_of(error)}", file=sys.stderr)
        return BAD_INPUT  # where something was started, `run` has made a failure of it
    return FAILED


def _exit_code_of_command() -> int:
    from benchbook.collector import importing
    from benchbook.terms.errors import ExperimentError

    with importing():
        import typer

        from benchbook.cli import app

    usage_error = typer.BadParameter.__base__  # which has no public name
    try:
        return app(standalone_mode=False) or OK
    except SystemExit as end:  # of a shell that asks for completions
        return end.code
    except typer.Abort:
        return INTERRUPTED
    except usage_error as error:  # in one line, not in the box that typer would draw
        message = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")
        if not message:  # of a group without a command, whose help has been printed
            return BAD_INPUT
        command = error.ctx.command_path if error.ctx else "benchbook"
        see = " See" if message.endswith("?") else "; see"
        raise ExperimentError(f"{message[:1].lower()}{message[1:]}{see} `{command} --help`") from None


if __name__ == "__main__":
    main()
