"""Commands of what lives on this machine: list hosts, end them, print a server's key."""

from __future__ import annotations

from typing import Annotated

import typer

from benchbook.commands.arguments import ListFormatOption
from benchbook.terminal import console as _console


def ps(format: ListFormatOption = "text") -> None:
    """List the live hosts: servers, engines and benchmark clients that benchbook started on this machine."""
    from benchbook.lists import print_hosts
    from benchbook.stop import end_orphans

    console = _console()
    end_orphans(console)
    print_hosts(format, console)


def stop(
    host_id: Annotated[
        str, typer.Argument(help="The host's id, or its beginning, or its name, from `benchbook ps`.")
    ] = "",
    all_hosts: Annotated[bool, typer.Option("--all", help="End every live host.")] = False,
) -> None:
    """End a live host with all its processes."""
    from benchbook.stop import end_orphans, stop_hosts

    console = _console()
    end_orphans(console)
    stop_hosts(host_id, all_hosts, console)


def key(server: Annotated[str, typer.Argument(help="A live server of yours: its name, address or port.")]) -> None:
    """Print the API key of SERVER, for other clients: curl -H "Authorization: Bearer $(benchbook key SERVER)" ..."""
    from benchbook.hosts.kept import find_server

    print(find_server(server).api_key)
