"""What a sweep tells the notebook of one repeat: who it is for, what it is measured on, when to give up.

The runner writes it beside the record; the notebook's one parameter `repeat` names the file, and is empty by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchbook.records.files import read_json, write_json

REPEAT_FILE = "repeat.json"


@dataclass(frozen=True, kw_only=True)
class Handover:
    """One repeat as its notebook gets it; the defaults are those of a measurement by hand."""

    case: Mapping[str, Any] = field(default_factory=dict)  # {'identity': {...}, 'host': {...}, 'precision': {...}}
    client_socket: str = ""  # a warm benchmark client; '' takes the kernel's own, else the command line
    engine: Mapping[str, Any] = field(default_factory=dict)  # of a loaded engine: model, args, env, socket_path
    warmed_by: str = ""  # the repeat that warmed this host up for this load; '' warms it up now
    limit_s: float = 3600.0  # a benchmark that takes longer is ended
    stall_limit_s: float = 120.0  # so long may a server hold requests and count no token

    @property
    def is_by_hand(self) -> bool:
        """Whether no sweep asked for it."""
        return not self.case

    def write(self, folder: Path) -> str:
        """Write it into `folder` and return the name of its file."""
        write_json(folder / REPEAT_FILE, asdict(self))
        return REPEAT_FILE


def read_handover(repeat: Handover | str) -> Handover:
    """Return the repeat in the file of that name, the one by hand where the name is empty, or `repeat` itself."""
    if isinstance(repeat, Handover):
        return repeat
    return Handover(**read_json(Path(repeat))) if repeat else Handover()
