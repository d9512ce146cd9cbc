"""What a sweep tells the notebook of one repeat: who it is for, what it is measured on, when to give up.

The runner writes it beside where the record goes; the notebook's one parameter `repeat` names the file, and is empty by
hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from benchbook.records.files import read_json, write_json
from benchbook.records.host import HostFacts
from benchbook.records.record import Identity
from benchbook.records.typed import Args
from benchbook.terms.asked import MadeOf

REPEAT_FILE = "repeat.json"
RECORD_FILE = "record.json"  # beside it
SENT_FILE = "sent.json"  # beside it too: what was sent of a set, request by request in the raw file's order
EXECUTED_FILE = "executed.ipynb"


class LoadedEngine(BaseModel):
    """A loaded engine: how it was configured, and where it takes tasks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    args: Args
    env: dict[str, str]
    socket_path: str
    python: str = ""  # its interpreter, where that is of another environment than benchbook's


class SentRequests(BaseModel):
    """What of a frozen set is sent, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str  # of the set; by hand the file's
    path: str  # of the frozen file; in a file of a repeat from its folder on
    sha256: str = ""  # of all requests of the file; '' by hand
    start: int = Field(0, ge=0)  # the first that is sent; as many as the workload has prompts
    warmup_starts: tuple[int, ...] = ()  # the same of each wave of a warm-up
    endpoint: Literal["completions", "chat"] = "completions"
    ends_by: Literal["length", "any"] = "length"
    sampling: dict[str, float] = {}  # as it is sent with each request; what is not there is the server's choice
    is_timed: bool = False  # at the times that were recorded with the requests
    is_fresh: bool = True  # no request of the set is sent twice on one start
    made_of: MadeOf | None = None  # None: nobody knows
    shares_prefix: bool = False  # prompts begin alike on purpose, or may


class GuardItems(BaseModel):
    """The items of a guard that are asked after the measurement."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str  # of their file; in a file of a repeat from its folder on
    sha256: str
    margin: float


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
    requests: SentRequests | None = None  # of a workload that has a set; None by hand
    guard: GuardItems | None = None  # of the repeat that asks them
    maximum_rps: float | None = None  # the most requests a second that were answered, where the rate is a share of it
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
    found = Handover(**read_json(path), record_path=str(path.with_name(RECORD_FILE)))
    parts = {"requests": found.requests, "guard": found.guard}
    there = {
        name: part.model_copy(update={"path": str((path.parent / part.path).resolve())})
        for name, part in parts.items()
        if part
    }
    return found.model_copy(update=there)
