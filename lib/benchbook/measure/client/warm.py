"""A client for `vllm bench serve` that has vLLM imported already: `with WarmClient() as client: ...`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchbook.hosts.process.shell import TRUSTING
from benchbook.hosts.vllm.command import private_environment
from benchbook.hosts.worker import Worker

LISTEN_LIMIT_S = 60.0  # it listens before it imports anything heavy: 0.2 s on an idle machine


class WarmClient(Worker):
    """A process that imports vLLM's serving benchmark once; each task runs in a child forked from it.

    It takes tasks at once and runs the first when vLLM is imported (about 10 s): entered before a server is started,
    it costs no time of its own. `env` is what it must start with: where the model hub of its server is, and whom to trust,
    which it reads once.
    """

    def __init__(
        self, *, name: str = "bench serve", log_dir: Path | str | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.trusted = {name: text for name, text in (env or {}).items() if name in TRUSTING}
        super().__init__(
            "benchbook.measure.client.main",
            [],
            env={**private_environment(needs_download=False), **(env or {})},
            name=name,
            kind="client",
            log_dir=log_dir,
            ready_timeout_s=LISTEN_LIMIT_S,
        )
