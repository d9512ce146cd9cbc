"""A Jupyter kernel manager that takes its kernels from us; a module of its own, since it cannot do without jupyter_client."""

from __future__ import annotations

import os
from contextlib import suppress
from subprocess import TimeoutExpired
from typing import Any

import zmq.asyncio
from jupyter_client import AsyncKernelClient, AsyncKernelManager
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.kernelspec import KernelSpecManager
from traitlets import Type, default

from benchbook.notebooks.kernels.source import kernel_source

KILL_LIMIT_S = 0.5  # Jupyter waits on after it
SILENCE_S = 0.005  # of its output, after which a kernel that has answered is ready
RECONNECT_MS = 5  # a kernel is connected to before it listens; ZMQ looks for it again a tenth of a second later


class _OutputChannel(AsyncZMQSocketChannel):
    """Where a kernel's output comes from. Before the first cell Jupyter listens until it was silent for 0.2 s."""

    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:
        # What comes later is not lost: nbclient tells by its parent what belongs to a cell.
        return await super().get_msg(timeout if timeout is None else min(timeout, SILENCE_S))


class _KernelClient(AsyncKernelClient):
    iopub_channel_class = Type(_OutputChannel)

    @default("context")
    def _context_default(self) -> zmq.asyncio.Context:
        self._created_context = True  # Jupyter then ends it with the client
        context = zmq.asyncio.Context()
        context.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        return context


class OwnKernelManager(AsyncKernelManager):
    """Takes a kernel from where they come from now; where that has none, starts one anew as Jupyter does.

    It runs the Python that runs this, whatever else is called python3 on this machine's JUPYTER_PATH.
    """

    client_factory = Type(_KernelClient)

    @default("kernel_spec_manager")
    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])

    def write_connection_file(self, **options: Any) -> None:
        """Write it, unless it is that of a kernel which is ready already: then take from it where that listens."""
        if os.path.exists(self.connection_file):
            self.load_connection_file()
            self._connection_file_written = True  # Jupyter then removes it with the kernel
        super().write_connection_file(**options)

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
        # Jupyter's own place to "launch kernel subprocesses differently"; its provisioner then signals and polls it.
        source = kernel_source()
        if source is None:
            return await super()._async_launch_kernel(kernel_cmd, **options)
        process = source.become(kernel_cmd, options["env"], options.get("cwd") or os.getcwd())
        provisioner = self.provisioner
        provisioner.process, provisioner.pid, provisioner.pgid = process, process.pid, process.pid
        self._reconcile_connection_info(provisioner.connection_info)

    async def _async_kill_kernel(self, restart: bool = False) -> None:
        # Jupyter looks every tenth of a second whether a killed kernel is gone; small ones are within a hundredth.
        if self.has_kernel:
            await self.provisioner.kill(restart)
            with suppress(TimeoutExpired, TimeoutError):
                self.provisioner.process.wait(KILL_LIMIT_S)
        await super()._async_kill_kernel(restart)
