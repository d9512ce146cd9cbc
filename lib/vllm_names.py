"""What two versions of vLLM call differently: flags, variables, config options, and the values that these list.

    python lib/vllm_names.py OLD NEW     # each a folder with vLLM's source, an environment, a wheel or an sdist

Behind each name that is gone stands what benchbook makes of it (hosts/old_*.py), or NO ENTRY: then the exit code is 1.
"""

from __future__ import annotations

import argparse
import re
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchbook.hosts.vllm.old_values import VALUES
from benchbook.hosts.vllm.renaming import is_variable
from benchbook.hosts.vllm.source import ENGINE, Source, read_source
from benchbook.hosts.vllm.translations import TABLE

NO_ENTRY = "NO ENTRY"


def main() -> int:
    """Print the differences; return 1 where benchbook's tables lack an entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vllm-names-") as folder:
        old, new = (read_source(package_in(place, Path(folder))) for place in (given.old, given.new))
    lines = list(report(old, new))
    print("\n".join(lines))
    return 1 if any(line.endswith(NO_ENTRY) for line in lines) else 0


def package_in(place: Path, scratch: Path) -> Path:
    """Return the folder of vLLM's Python source at `place`; a wheel or sdist is unpacked into `scratch` first."""
    if place.is_file():
        unpacked = scratch / place.name
        if place.suffix == ".whl":
            with zipfile.ZipFile(place) as wheel:
                wheel.extractall(unpacked, [name for name in wheel.namelist() if name.endswith(".py")])
        else:
            with tarfile.open(place) as sdist:
                sdist.extractall(unpacked, [each for each in sdist if each.name.endswith(".py")], filter="data")
        place = unpacked
    patterns = ("vllm", "*/vllm", "lib/python*/site-packages/vllm")
    inside = [place, *(folder for pattern in patterns for folder in place.glob(pattern))]
    found = next((folder for folder in inside if (folder / ENGINE).is_file()), None)
    if found is None:
        sys.exit(f"{place}: holds no {ENGINE} of vLLM")
    return found


def report(old: Source, new: Source) -> Iterator[str]:
    """Yield the differences as lines: what is gone with what becomes of it, what is new, what is deprecated."""
    for title, before, after in (
        ("flags", flags(old), flags(new)),
        ("variables", old.variables, new.variables),
        ("options", options(old), options(new)),
        ("values", values(old), values(new)),
    ):
        yield from section(f"{title} that are gone", (f"{name}: {told(name, new)}" for name in before - after))
        yield from section(f"{title} that are new", after - before)
    yield from section("deprecated since", new.deprecated - old.deprecated)


def section(title: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield a title with its lines, sorted; nothing where there are none."""
    found = sorted(lines)
    if found:
        yield f"{len(found)} {title}"
        yield from (f"  {line}" for line in found)


def flags(source: Source) -> frozenset[str]:
    """Return all flags of `vllm serve`, as an experiment file names them."""
    return frozenset(flag.removeprefix("--").replace("-", "_") for flag in source.engine_flags | source.server_flags)


def options(source: Source) -> frozenset[str]:
    """Return the options of all configs as 'PassConfig.enable_sp'."""
    return frozenset(f"{config}.{name}" for config, names in source.options.items() for name in names)


def values(source: Source) -> frozenset[str]:
    """Return the values of all lists as 'MoEBackend = marlin'."""
    return frozenset(f"{name} = {value}" for name, listed in source.values.items() for value in listed)


def told(name: str, new: Source) -> str:
    """Return what benchbook's tables make of a name that is gone; options count where a flag takes their config."""
    if " = " in name:
        listed, _, value = name.partition(" = ")
        if listed not in new.values:
            return "with the whole list"
        entries = [f"{entry.new or 'refused'}; {entry.reason}" for entry in VALUES if entry.old == value]
    elif "." in name:
        config, _, option = name.partition(".")
        if way_of(config) not in flags(new) | inner_options(new):
            return "no flag takes its config"
        way = f"{way_of(config)}.{option}"
        entries = [entry.reason for entry in TABLE if f".{entry.old}".endswith(f".{way}")]
    else:
        entries = [entry.reason for entry in TABLE if entry.old == name]
        if not entries and not name.startswith("VLLM_") and is_variable(name):
            return "not a variable of vLLM's own"
    return entries[-1] if entries else NO_ENTRY


def way_of(config: str) -> str:
    """Return 'kv_transfer_config' of KVTransferConfig."""
    return re.sub("(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", config).lower()


def inner_options(source: Source) -> frozenset[str]:
    """Return the names of options of all configs but the one that holds all others."""
    return frozenset().union(*(names for config, names in source.options.items() if config != "VllmConfig"))


if __name__ == "__main__":
    sys.exit(main())
