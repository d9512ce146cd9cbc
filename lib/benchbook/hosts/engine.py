"""A vLLM engine that stays loaded for offline benchmarks: `with VllmEngine("tiny") as engine: ...`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchbook.hosts.face import OnProgress, StartupFacts, local_time
from benchbook.hosts.machine.card_locks import locks_for
from benchbook.hosts.machine.devices import cards_of
from benchbook.hosts.model import hub
from benchbook.hosts.model.files import ModelFiles, resolve_model
from benchbook.hosts.vllm import command
from benchbook.hosts.vllm.environments import vllm_python
from benchbook.hosts.vllm.startup import startup_facts
from benchbook.hosts.worker import Worker
from benchbook.terms.redaction import redacted_env


class VllmEngine(Worker):
    """One `LLM` in a process of its own, under a guardian; `bench latency` and `bench throughput` run on it as tasks.

    `args` are engine arguments in vLLM's spelling, with the defaults of `vllm bench latency`: prefix caching is off
    unless it is named. A task must name the same ones. The vLLM is that of the interpreter at `python`, our own for ''. As a
    context manager the engine is loaded inside and gone after.
    """

    def __init__(
        self,
        model: str = "tiny",
        *,
        args: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
        name: str | None = None,
        log_dir: Path | str | None = None,
        ready_timeout_s: float = 600.0,
        on_progress: OnProgress | None = None,
        python: str = "",
    ) -> None:
        self.python = vllm_python(python)
        self.model_files: ModelFiles = resolve_model(model, args, env)
        overrides = {key: str(value) for key, value in (env or {}).items()}
        needs_hub = hub.needs_download(self.model_files, args or {}, overrides)
        self._args = dict(args or {})
        self._overrides = {**command.private_environment(needs_hub, self._args), **overrides}
        super().__init__(
            "benchbook.hosts.vllm.engine_worker",
            [
                "--",
                "--model",
                self.model_files.path,
                *command.flags(self._args, self.python),
                *command.monitor_words(self._args, self.python),
            ],
            env=self._overrides,
            name=name or self.model_files.name,
            kind="engine",
            log_dir=log_dir,
            ready_timeout_s=ready_timeout_s,
            on_progress=on_progress,
            python=self.python,
        )

    def start(self, descriptors: Sequence[int] = ()) -> None:
        """Start the process and return; `wait_ready` tells when it is loaded. Raises CardTakenError for a GPU of another."""
        with locks_for(cards_of(self._args, self._overrides, self.python), f"engine {self.name!r}") as locks:
            super().start([*descriptors, *locks.descriptors])
            locks.held_by(self._process.guardian_pid)

    @property
    def env_overrides(self) -> dict[str, str]:
        """What configures the engine from its environment, for the record: inherited, set by us, without secrets' values."""
        return redacted_env({**command.inherited_environment(self.python), **self._overrides})

    @property
    def facts(self) -> StartupFacts:
        """What the log tells of the start: seconds by phase, memory, backends."""
        return startup_facts(self.log_text(), local_time(self.started_utc), self.ready_s, self._overrides)
