"""A server that dies or whose tokens stop moving during a benchmark raises the alarm; a busy or idle one does not."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest
from benchbook.hosts.attached import attach
from benchbook.hosts.server import VllmServer
from benchbook.hosts.watch import StallWatch
from odd_server import odd_server

Make = Callable[..., VllmServer]
Complete = Callable[[VllmServer], int]
ALARM_LIMIT_S = 10.0


@pytest.fixture
def in_background(complete: Complete) -> Iterator[Callable[[VllmServer], None]]:
    """Return a function that sends a request that nobody waits for."""
    threads: list[threading.Thread] = []

    def ask(server: VllmServer) -> None:
        try:
            complete(server)
        except OSError:
            pass  # it is cut when the server ends

    def send(server: VllmServer) -> None:
        threads.append(threading.Thread(target=ask, args=[server]))
        threads[-1].start()

    yield send
    for thread in threads:
        thread.join()


def test_a_server_that_holds_a_request_and_counts_no_token_has_stalled(
    fake_server: Make, in_background: Callable
) -> None:
    with fake_server(silent_after_tokens=2) as server, StallWatch(server, limit_s=0.4) as watch:
        in_background(server)
        assert watch.event.wait(ALARM_LIMIT_S)
        server.stop()
    assert watch.cause.code == "stalled"
    assert "counted no token for 0.4 s" in watch.cause.evidence


def test_a_server_that_answers_nothing_at_all_has_stalled(fake_server: Make, in_background: Callable) -> None:
    with fake_server(deaf_at_request=1) as server, StallWatch(server, limit_s=0.4) as watch:
        in_background(server)
        assert watch.event.wait(ALARM_LIMIT_S)
        server.stop()
    assert watch.cause.code == "stalled"


def test_an_idle_server_raises_no_alarm(fake_server: Make) -> None:
    with fake_server() as server, StallWatch(server, limit_s=0.05) as watch:
        assert not watch.event.wait(0.2)
    assert watch.cause is None


def test_a_slow_server_whose_tokens_move_raises_no_alarm(fake_server: Make, complete: Complete) -> None:
    with fake_server(itl_s=[0.2]) as server, StallWatch(server, limit_s=0.5) as watch:
        assert complete(server) == 200  # takes 0.6 s, longer than the limit
    assert watch.cause is None


def test_a_killed_server_raises_the_alarm_with_the_signal(fake_server: Make) -> None:
    with fake_server(helpers=1) as server, StallWatch(server, limit_s=12.0) as watch:
        os.kill(server.pid, signal.SIGKILL)
        assert watch.event.wait(ALARM_LIMIT_S)
    assert watch.cause.code == "killed_by_signal"


def test_a_server_of_somebody_else_that_is_gone_raises_the_alarm(fake_server: Make) -> None:
    with fake_server() as server:
        with StallWatch(attach(server.base_url, api_key=server.api_key), limit_s=12.0) as watch:
            server.stop()
            assert watch.event.wait(ALARM_LIMIT_S)
    assert watch.cause.code == "crashed"


def test_a_server_whose_engine_died_raises_the_alarm(fake_server: Make, complete: Complete) -> None:
    with fake_server(engine_dead_at_request=1) as server, StallWatch(server, limit_s=12.0) as watch:
        complete(server)
        assert watch.event.wait(ALARM_LIMIT_S)
    assert watch.cause.code in ("hung", "crashed")


@pytest.mark.parametrize("odd", ["metrics_without_end", "metrics_404", "metrics_html"])
def test_a_server_that_lives_and_never_tells_its_counts_is_not_called_stalled(odd: str) -> None:
    with odd_server(odd) as url, StallWatch(attach(url), limit_s=0.5) as watch:
        assert not watch.event.wait(2.5)
