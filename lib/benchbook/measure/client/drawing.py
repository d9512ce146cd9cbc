"""A set of requests drawn by a process that has vLLM: the warm client where there is one, else one of its own.

drawn = draw_set(order, socket_path=client.socket_path, env=hub_env, log_path=run_dir / "requests/chat.log")
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchbook.measure.client.tasks import OnLine, run_bench
from benchbook.measure.drawing.order import DRAW, Order
from benchbook.records.files import read_json, write_json
from benchbook.records.frozen import FrozenHeader
from benchbook.terms.errors import Cause, ExperimentError, MeasureError

LIMIT_S = 1800.0


@dataclass(frozen=True)
class Drawn:
    """A set in its file."""

    path: Path
    header: FrozenHeader
    sha256: str  # of its requests


def draw_set(
    order: Order,
    *,
    socket_path: str | Path | None,
    env: Mapping[str, str],
    log_path: str | Path,
    limit_s: float = LIMIT_S,
    on_line: OnLine = None,
    cancel: threading.Event | None = None,
) -> Drawn:
    """Draw `order` and return what is in its file now; what was written meanwhile is at the end of `log_path`.

    Raises ExperimentError where it cannot be drawn as it is asked for, MeasureError where drawing failed otherwise.
    """
    order_path = Path(f"{order.path}.order.json").resolve()
    write_json(order_path, order.to_json())
    try:
        ended = run_bench(
            (DRAW, str(order_path)),
            socket_path=socket_path,
            env=env,
            on_line=on_line,
            log_path=log_path,
            limit_s=limit_s,
            cancel=cancel,
        )
        answer = read_json(order_path)
    finally:
        order_path.unlink(missing_ok=True)
    if "refused" in answer:
        raise ExperimentError(answer["refused"])
    if "sha256" not in answer:
        cause = Cause("benchmark_failed", f"it ended with exit code {ended.exit_code}", f"see {Path(log_path).name}")
        raise MeasureError(f"the requests of {order.name!r} were not drawn: {cause.evidence}", cause)
    return Drawn(Path(order.path), FrozenHeader(**answer["header"]), answer["sha256"])
