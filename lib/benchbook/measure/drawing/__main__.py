"""Draw one set of requests: `python -m benchbook.measure.drawing ORDER.json`."""

import sys
from pathlib import Path

from benchbook.measure.drawing.draw import run_order

sys.exit(run_order(Path(sys.argv[1])))
