"""now.json: what a run is at, written into its folder by the runner for whoever watches; it goes when the runner does."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from benchbook.reading import read_json
from benchbook.records.files import write_json
from benchbook.records.typed import Number, Part, Seconds, Whole
from benchbook.terms.errors import StoreError
from benchbook.terms.estimate import Estimate

NOW_FILE = "now.json"


class Left(Part):
    """How long what is left takes, as it was known at `at_s`."""

    seconds: Seconds
    later_s: Seconds
    is_known: bool
    at_s: Number


class Now(Part):
    """What is worked on, by whom and since when. Times are seconds of the epoch, so that any process can read them."""

    pid: Whole  # of the runner
    began_s: Number  # when it took the run up
    what: str = "getting ready"
    since_s: Number
    at_most_s: Seconds | None = None
    left: Left | None = None

    def estimate(self, now_s: float) -> Estimate | None:
        """Return how long what is left takes from `now_s` on; None before anybody has said so."""
        if self.left is None:
            return None
        then = Estimate(self.left.seconds, self.left.later_s, self.left.is_known)
        return then.after(max(0.0, now_s - self.left.at_s))


def write_now(run_dir: Path, now: Now) -> None:
    """Write it, atomically."""
    write_json(run_dir / NOW_FILE, now.model_dump(mode="json"))


def read_now(run_dir: Path) -> Now | None:
    """Return what the runner wrote last; None where there is nothing, or nothing whole."""
    try:
        return Now.model_validate(read_json(run_dir / NOW_FILE))
    except (StoreError, ValidationError):
        return None
