"""Blank the GPU code of other architectures inside a shared library: same size and addresses, zeros instead of code.

A library built for many GPUs holds, for each source file, one "fat binary" with the same kernels for each of them; the
driver looks at each entry's header and loads the one for the GPU at hand. Zeros compress to nothing, and the library
stays valid ELF. The layout of the headers is that of CUDA 12 and 13; one that looks different is left as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MAGIC = struct.pack("<IHH", 0xBA55ED50, 1, 16)  # magic number, version, length of the container's header
PTX, CUBIN = 1, 2


class Entry(NamedTuple):
    """One piece of GPU code in a container."""

    kind: int  # PTX, which the driver can compile for later GPUs too, or CUBIN, machine code
    arch: int  # 90 for sm_90 and sm_90a
    begin: int  # where its payload starts in the file
    end: int


def keep_only(library: Path, arch: int) -> int:
    """Overwrite with zeros the payloads that a GPU of `arch` (e.g. 90) never loads; return how many bytes."""
    data = bytearray(library.read_bytes())
    blanked = 0
    for entries in containers(data):
        for entry in unused(entries, arch):
            data[entry.begin : entry.end] = bytes(entry.end - entry.begin)
            blanked += entry.end - entry.begin
    if blanked:
        library.write_bytes(data)
    return blanked


def unused(entries: list[Entry], arch: int) -> list[Entry]:
    """Return the entries of one container that a GPU of `arch` does not load.

    Machine code runs on its own major architecture from its minor upwards; without any the driver compiles PTX of an
    older architecture. So: the best machine code that fits stays, else all PTX that could be compiled.
    """
    fitting = [one.arch for one in entries if one.kind == CUBIN and one.arch // 10 == arch // 10 and one.arch <= arch]
    if fitting:
        return [one for one in entries if one.kind != CUBIN or one.arch != max(fitting)]
    return [one for one in entries if one.kind != PTX or one.arch > arch]


def containers(data: bytes | bytearray) -> Iterator[list[Entry]]:
    """Yield the entries of each fat binary in `data`; one whose headers cannot be read is passed over."""
    position = 0
    while (position := data.find(MAGIC, position)) >= 0:
        (size,) = struct.unpack_from("<Q", data, position + 8)
        begin, position = position + 16, position + 16
        entries = _entries(data, begin, begin + size) if size <= len(data) - begin else None
        if entries:
            yield entries
            position = begin + size


def _entries(data: bytes | bytearray, begin: int, end: int) -> list[Entry] | None:
    entries = []
    while begin < end:
        if end - begin < 64:
            return None
        kind, _, header_bytes, payload_bytes = struct.unpack_from("<HHIQ", data, begin)
        (arch,) = struct.unpack_from("<I", data, begin + 28)
        payload = begin + header_bytes
        if kind not in (PTX, CUBIN) or not 48 <= header_bytes <= 512 or not 20 <= arch <= 200:
            return None
        if payload + payload_bytes > end:
            return None
        entries.append(Entry(kind, arch, payload, payload + payload_bytes))
        begin = payload + payload_bytes
    return entries
