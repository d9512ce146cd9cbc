"""What a sweep tells the notebook of one repeat: who it is for, what it is measured on, when to give up.

The runner writes it beside where the record goes; the notebook's one parameter `repeat` names the file, and is empty by
hand.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from benchbook.records.files import read_json, write_json
from benchbook.records.host import HostFacts
from benchbook.records.record import Identity
from benchbook.records.typed import Args

REPEAT_FILE = "repeat.json"
RECORD_FILE = "record.json"  # beside it


class LoadedEngine(BaseModel):
    """A loaded engine: how it was configured, and where it takes tasks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    args: Args
    env: dict[str, str]
    socket_path: str


class Handover(BaseModel):
    """One repeat as its notebook gets it; the defaults are those of a measurement by hand."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: Identity = Identity()
    host: HostFacts = HostFacts()  # what its owner knows of it, and no client could
    said: dict[
        str, str
    ] = {}  # of the workload's fields, what the experiment file says in words: {"num_prompts": "60 s"}
    precision: dict[str, float] = {}  # asked of the repeat's own latencies: half-widths as shares, by metric
    client_socket: str = ""  # a warm benchmark client; '' takes the kernel's own, else the command line
    engine: LoadedEngine | None = None
    warmed_by: str = ""  # the repeat that warmed this host up for this load; '' warms it up now
    limit_s: float = 3600.0  # a benchmark that takes longer is ended
    stall_limit_s: float = 120.0  # so long may a server hold requests and count no token
    record_path: str = ""  # where the record goes, beside the file that this was read from; '' by hand

    @property
    def is_by_hand(self) -> bool:
        """Whether no sweep asked for it."""
        return not self.identity.case_id

    def write(self, folder: Path) -> str:
        """Write it into `folder` and return the name of its file."""
        write_json(folder / REPEAT_FILE, self.model_dump(mode="json", exclude_unset=True))
        return REPEAT_FILE


BY_HAND = Handover()


def read_handover(repeat: Handover | str) -> Handover:
    """Return the repeat in the file of that name, the one by hand where the name is empty, or `repeat` itself."""
    if isinstance(repeat, Handover):
        return repeat
    if not repeat:
        return BY_HAND
    path = Path(repeat).resolve()
    return Handover(**read_json(path), record_path=str(path.with_name(RECORD_FILE)))
