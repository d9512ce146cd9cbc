"""A worker of kernels that imports what it is told to and no more: for tests of which kernel lives, and which one ends."""

from benchbook.notebooks.kernels.ahead_main import import_ahead
from benchbook.notebooks.kernels.fork_main import main

if __name__ == "__main__":
    main(import_ahead)
