"""A server that is started, checked and ended by us: `with VllmServer("tiny") as server: ...`."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from benchbook.hosts import http
from benchbook.hosts.access import api_key_for, check_door, key_environment
from benchbook.hosts.engines import VLLM
from benchbook.hosts.face import KEY_PLACE, KEY_VARIABLE, Engine, OnProgress, StartupFacts, local_time
from benchbook.hosts.kept import find_server
from benchbook.hosts.machine.card_locks import locks_for
from benchbook.hosts.machine.devices import cards_of
from benchbook.hosts.model import hub
from benchbook.hosts.model.files import ModelFiles, resolve_model
from benchbook.hosts.process import containers, ports, registry
from benchbook.hosts.process.guardian import STOP_GRACE_S, GuardedProcess, spawn
from benchbook.hosts.process.logs import HostLog
from benchbook.hosts.process.pythons import HERE
from benchbook.hosts.served import ServedModel
from benchbook.terms.errors import HostDiedError, HostStartError, IdentityError
from benchbook.terms.redaction import redacted_env

READY_POLL_S = 0.2
DEATH_REPORT_S = 3.0  # the guardian ends what a killed host leaves behind, a second long, before it reports
HEALTH_LIMIT_S = 1.0  # for one question while it starts
READY_LIMIT_S = 30.0  # for one that makes it answer a request
PORT_TRIES = 3

__all__ = ["VllmServer", "find_server"]


class VllmServer(ServedModel):
    """One server of an engine, `vllm serve` by default, on a free port, under a guardian.

    As a context manager it is ready inside and gone after.

    It ends with its owner, whatever ends that. With `keep` it lives on; then `find_server(name)` finds it from
    any process, and `benchbook stop` ends it. On a loopback address a random API key of this launch guards it: all but
    the paths of `door.OPEN` wants the key.
    """

    def __init__(
        self,
        model: str = "tiny",
        *,
        args: Mapping[str, object] | None = None,
        env: Mapping[str, object] | None = None,
        name: str | None = None,
        log_dir: Path | str | None = None,
        host: str = "127.0.0.1",
        ready_timeout_s: float = 600.0,
        keep: bool = False,
        on_progress: OnProgress | None = None,
        engine: Engine = VLLM,
        program: Sequence[str] = (),
    ) -> None:
        self.engine, self._program = engine, tuple(program or engine.program)
        self._args = dict(args or {})
        self._env = {key: str(value) for key, value in (env or {}).items() if key != engine.access.users_key}
        engine.command(
            "", self._args, 0, host, [], self._program
        )  # refuses what cannot be said before a model is built
        self.api_key = api_key_for(engine, host, self._args, self._env)
        self.model_files: ModelFiles = resolve_model(model, self._args, self._env)
        needs_hub = hub.needs_download(self.model_files, self._args, self._env)
        self._private_env = engine.environment(needs_hub, self._args)
        self._nonce = f"benchbook-{secrets.token_hex(6)}"  # a name that no other server has: the proof of identity
        self.served_name = self._nonce  # of one that takes no name, its own, once it has told it
        self.name = name or self.model_files.name
        self.host, self.keep, self.ready_timeout_s = host, keep, ready_timeout_s
        self.started_utc: str | None = None
        self.ready_s: float | None = None  # from the start to the first healthy answer that is ours
        self.port = 0  # chosen at the start
        folder = Path(log_dir) if log_dir else registry.state_dir() / "logs" / self._nonce
        folder.mkdir(parents=True, exist_ok=True)
        self.log_path = (folder / "server.log").absolute()
        self._log = HostLog(self.log_path)
        self._on_progress = on_progress
        self._process: GuardedProcess | None = None
        self._reservation: socket.socket | None = None

    def __enter__(self) -> VllmServer:
        self.start()
        self.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.keep:
            self.stop()

    def __repr__(self) -> str:
        return f"<VllmServer {self.name!r} {f'at {self.base_url}' if self.port else 'not started'}>"

    @property
    def model_path(self) -> str:
        """Where the model's files are: a folder, or an id of the hub."""
        return self.model_files.path

    @property
    def base_url(self) -> str:
        """The address of the server, without a path."""
        return ports.url_of(self.host, self.port)

    @property
    def pid(self) -> int | None:
        """The pid of the API server, None before the start."""
        return self._process.pid if self._process else None

    @property
    def process(self) -> GuardedProcess | None:
        """The process and its guardian: its host id, its tree. None before the start."""
        return self._process

    @property
    def args(self) -> dict[str, object]:
        """The engine's flags as they were asked for."""
        return dict(self._args)

    @property
    def argv(self) -> list[str]:
        """The whole command line; before the start its port is 0."""
        path = self.model_files.path
        # The real name comes first: `vllm bench serve` sends its --model to /tokenize. The last is what people call it.
        names = list(dict.fromkeys([path, self._nonce, self.model_files.name]))
        asked = self.engine.command(path, self._args, self.port, self.host, names, self._program)
        return [*asked, *self.engine.added_words(self._args)]

    @property
    def hub_env(self) -> dict[str, str]:
        """Where its model hub is: what of its own environment a client needs to find the same tokenizer."""
        return hub.hub_variables(self._env)

    @property
    def env_overrides(self) -> dict[str, str]:
        """What configures the server from its environment, for a record: inherited, set by us, without secrets' values."""
        return redacted_env({**self.engine.inherited(), **self._private_env, **self._env})

    @property
    def facts(self) -> StartupFacts:
        """What the log tells of the start: seconds by phase, memory, backends."""
        return self.engine.log.startup_facts(self._log.text(), local_time(self.started_utc), self.ready_s, self._env)

    def start(self) -> None:
        """Start the process and return; `wait_ready` tells when it serves. Raises CardTakenError for a GPU of another."""
        with locks_for(cards_of(self._args, self._env, self.engine.python or HERE), f"server {self.name!r}") as locks:
            self._reservation = ports.reserve_port(self.host)
            self.port = self._reservation.getsockname()[1]
            if not self.engine.shares_port:
                self._release_port()
            self._log = HostLog(self.log_path)
            self._started_at_s = time.monotonic()
            self.started_utc = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
            self._process = spawn(
                self.argv,
                env={**self._private_env, **self._env, **key_environment(self.engine.access, self.api_key, self._env)},
                log_path=self.log_path,
                name=self.name,
                kind="server",
                keep=self.keep,
                details={
                    "base_url": self.base_url,
                    "model": self.model_files.path,
                    "served_name": self.served_name,
                    "engine": self.engine.name,
                    "python": self.engine.python.shown if self.engine.python else "",
                },
                descriptors=locks.descriptors,
                python=self.engine.python or HERE,
                hidden={KEY_PLACE: KEY_VARIABLE},
                ended_by=containers.ending_of(self.argv, self._nonce) if self.engine.container else (),
            )
            locks.held_by(self._process.guardian_pid)

    def wait_ready(self) -> None:
        """Return when the server answers and is ours; raise HostStartError when it is dead or late.

        Whatever ends the wait otherwise, Ctrl-C too, ends the server. Should somebody have taken the port all the same,
        it is started again on another one, three times in all.
        """
        try:
            self._wait_on_some_port()
        except BaseException:
            self.stop()
            raise

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """End the server with its whole tree and return when it is gone; a second call does nothing."""
        self._release_port()
        if self._process:
            self._process.stop(grace_s)

    def is_alive(self) -> bool:
        """Return whether the server's main process runs."""
        return self._process is not None and self._process.poll() is None

    def check_alive(self) -> None:
        """Raise HostDiedError, with the cause, when the server has died or answers no more."""
        is_healthy = self.is_alive() and self.is_healthy()
        if not is_healthy and self._has_ended():
            cause = self.engine.causes.ended(self._log.text(), self._process.poll() if self._process else None)
            raise HostDiedError(f"server {self.name!r} died ({cause}); {self._log.end()}", cause)
        if not is_healthy:
            cause = self.engine.causes.unhealthy(self._log.text(), f"{self.health_url} did not answer 200")
            raise HostDiedError(f"server {self.name!r} is not healthy ({cause}); {self._log.end()}", cause)

    def _has_ended(self) -> bool:
        """Return whether the main process is gone; a death is reported an instant after its port has closed."""
        deadline = time.monotonic() + DEATH_REPORT_S
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(READY_POLL_S / 10)
        return not self.is_alive()

    def check_identity(self) -> None:
        """Raise IdentityError unless who answers is the process we started; the message names who holds the port."""
        self.check_served_by(self._process.tree_pids(), self.port)
        if not self.engine.takes_name:
            names, theirs = [card.id for card in self.served_models()], (self.model_path, self.model_files.name)
            self.served_name = next((name for name in theirs if name in names), (names or theirs)[0])

    def _wait_on_some_port(self) -> None:
        for tries_left in reversed(range(PORT_TRIES)):
            try:
                self._wait_healthy()
                self.check_identity()
                check_door(self.engine.access, self.base_url, self.host, self._env)
                self.ready_s = time.monotonic() - self._started_at_s
                return
            except (HostStartError, IdentityError) as error:
                if error.cause.code != "port_taken" or not tries_left:
                    raise
                self.stop()
                self.start()

    def _wait_healthy(self) -> None:
        """Wait with three exits: healthy, dead, late; the last two show the end of the log."""
        deadline = time.monotonic() + self.ready_timeout_s
        while not self._is_ready():
            exit_code = self._process.poll()
            if exit_code is not None:
                cause = self.engine.causes.ended(self._log.text(), exit_code)
                raise HostStartError(
                    f"server {self.name!r} exited with code {exit_code} ({cause}); {self._log.end()}", cause
                )
            if time.monotonic() > deadline:
                cause = self.engine.causes.late(self._log.text(), self.ready_timeout_s)
                raise HostStartError(f"server {self.name!r} is late ({cause}); {self._log.end()}", cause)
            if self._on_progress:
                self._on_progress(
                    time.monotonic() - self._started_at_s, self.engine.log.startup_phase(self._log.text())
                )
            time.sleep(READY_POLL_S)
        self._release_port()

    def _is_ready(self) -> bool:
        """Return whether it says that it is healthy, and, where its engine has more to wait for, that as well."""
        path = self.engine.ready_path
        if not path or not self.is_healthy(HEALTH_LIMIT_S):
            return self.is_healthy(HEALTH_LIMIT_S)
        with suppress(OSError):
            return http.get(self.base_url, path, timeout_s=READY_LIMIT_S, way=self.way)[0] == 200
        return False

    def _release_port(self) -> None:
        if self._reservation:
            self._reservation.close()
