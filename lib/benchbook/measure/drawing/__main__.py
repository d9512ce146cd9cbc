"""Draw one set of requests: `python -m benchbook.measure.drawing ORDER.json`."""

import sys
from pathlib import Path

from benchbook import collector
from benchbook.measure.drawing.draw import run_order

with collector.at_rest():  # while vLLM is imported, and then there is little to be freed
    exit_code = run_order(Path(sys.argv[1]))
collector.skip_last_look()
sys.exit(exit_code)
