"""How the GPUs of a launch are linked, as `nvidia-smi topo -m` tells: NVLink or PCIe decides what tensor parallel costs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from benchbook.hosts.machine.devices import CUDA, Device
from benchbook.hosts.machine.gpu import said

_GPU = re.compile(r"GPU(\d+)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # the headings are underlined even in a pipe


def links_among(cards: Sequence[Device]) -> dict[str, str]:
    """Return by pair of GPUs, '0-1', what links them: 'NV18', 18 NVLinks, or the PCIe way, 'PIX' to 'SYS'.

    {} of a single card, of AMD's, and where the driver does not tell.
    """
    numbers = sorted(int(card.names[0]) for card in cards if card.kind == CUDA and card.names[0].isdigit())
    if len(numbers) < 2:
        return {}
    told = links_in("\n".join(said("topo", "-m") or ()))
    return {f"{a}-{b}": told[a, b] for a, b in itertools.combinations(numbers, 2) if (a, b) in told}


def links_in(matrix: str) -> dict[tuple[int, int], str]:
    """Return what links each pair of GPUs in the text of `nvidia-smi topo -m`; {} for any other text."""
    rows = [[field.strip() for field in line.split("\t")] for line in _COLOURS.sub("", matrix).splitlines()]
    heading = next((row for row in rows if "GPU0" in row[1:]), [])
    columns = {place: int(found[1]) for place, name in enumerate(heading) if (found := _GPU.fullmatch(name))}
    return {
        (int(own[1]), other): row[place]
        for row in rows
        if row is not heading and (own := _GPU.fullmatch(row[0]))
        for place, other in columns.items()
        if place < len(row) and other != int(own[1]) and row[place]
    }
