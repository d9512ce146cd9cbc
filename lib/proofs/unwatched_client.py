"""The warm client's program without its meter, for watching.py: `python -m unwatched_client --socket PATH`."""

from __future__ import annotations

import contextlib

from benchbook.measure.client import child, main

if __name__ == "__main__":
    child.metered = lambda *_: contextlib.nullcontext({})
    main.measured_ceiling = lambda: None
    main.main()
