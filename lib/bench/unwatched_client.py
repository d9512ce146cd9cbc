"""The warm client's program without its meter, for watching.py: `python -m unwatched_client --socket PATH`."""

from __future__ import annotations

import contextlib

from benchbook.measure import client_worker

if __name__ == "__main__":
    client_worker.metered = lambda *_: contextlib.nullcontext({})
    client_worker.measured_ceiling = lambda: None
    client_worker.main()
