"""The commands of one server on several machines, by `nnodes` or by ranks that it leaves to others: the head's and each other's.

benchbook starts servers on one machine; these are what somebody starts by hand, or Slurm as one step, which ends as one.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from benchbook.hosts.process.pythons import HERE, Python
from benchbook.hosts.vllm.command import flags
from benchbook.hosts.vllm.forms import installed_forms, words_of
from benchbook.ranks import as_number, num_machines, spelt

PORT = 8000
_LOCAL = "data_parallel_size_local"
_TOLD_ALL = ("nnodes", "master_addr", "master_port", _LOCAL, "data_parallel_address", "data_parallel_rpc_port")
_NODE = "SLURM_NODEID"
_AS_ONE = "--kill-on-bad-exit=1 --wait=10"  # where one fails, and 10 s after one has ended well


def lacking(args: Mapping[str, object]) -> str:
    """Return which arg a server on several machines lacks, '' where it lacks none: where its first machine is."""
    if num_machines(args) == 1:
        return ""
    needed = _address_arg(args)
    return "" if spelt(args).get(needed) else needed


def address_of(args: Mapping[str, object]) -> str:
    """Return where the first machine is, by which the others find it."""
    return str(spelt(args)[_address_arg(args)])


def commands(model: str, args: Mapping[str, object], python: Python = HERE) -> Iterator[tuple[str, str]]:
    """Yield (where, command) of each machine, the head's first, and of all as one step of a Slurm job: whichever ends, all end."""
    number, address = num_machines(args), address_of(args)
    head = f"{_command(model, args, '0', python)} --host {shlex.quote(address)} --port {PORT}"
    yield f"on {address}, the head", head
    for place in range(1, number):
        yield f"on machine {place}", _command(model, args, str(place), python)
    script = f"if [ ${_NODE} = 0 ]; then exec {head}; else exec {_command(model, args, _NODE, python)}; fi"
    step = f"srun --nodes={number} --ntasks-per-node=1 {_AS_ONE} bash -c {shlex.quote(script)}"
    yield f"all as one, in a Slurm job of {number} nodes whose first is {address}", step


def _command(model: str, args: Mapping[str, object], place: str, python: Python) -> str:
    """Return the command of the machine of this number, or of the one whose number a variable of its shell has."""
    said = spelt(args)
    own = {name: value for name, value in said.items() if name not in _TOLD_ALL}
    told = [word for name in _TOLD_ALL if name in said for word in words_of(name, said[name], installed_forms(python))]
    command = shlex.join(["vllm", "serve", model, *flags(own, python), *told])
    is_head, is_variable = place == "0", place == _NODE
    if _is_by_nodes(args):
        return f"{command} --node-rank {'$' * is_variable}{place}{'' if is_head else ' --headless'}"
    if is_head:
        return command
    local = as_number(said[_LOCAL])
    return f"{command} --headless --data-parallel-start-rank {f'$(({place} * {local}))' if is_variable else int(place) * local}"


def _address_arg(args: Mapping[str, object]) -> str:
    return "master_addr" if _is_by_nodes(args) else "data_parallel_address"


def _is_by_nodes(args: Mapping[str, object]) -> bool:
    return as_number(spelt(args).get("nnodes", 1)) > 1
