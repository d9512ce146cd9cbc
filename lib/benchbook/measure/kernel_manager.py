"""A Jupyter kernel manager whose kernels are forked; a module of its own, since it cannot do without jupyter_client."""

from __future__ import annotations

import os
from typing import Any

from jupyter_client import AsyncKernelManager
from traitlets import Unicode

from benchbook.measure.kernels import ForkedKernel


class ForkingKernelManager(AsyncKernelManager):
    """Forks a kernel from the worker at `socket_path`; where that is gone, starts one anew as Jupyter does."""

    socket_path = Unicode(config=True)

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
        # Jupyter's own place to "launch kernel subprocesses differently"; its provisioner then signals and polls it.
        try:
            process = ForkedKernel(self.socket_path, kernel_cmd, options["env"], options.get("cwd") or os.getcwd())
        except OSError:
            return await super()._async_launch_kernel(kernel_cmd, **options)
        provisioner = self.provisioner
        provisioner.process, provisioner.pid, provisioner.pgid = process, process.pid, process.pid
        self._reconcile_connection_info(provisioner.connection_info)
        return None
