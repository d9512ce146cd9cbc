"""A Jupyter kernel manager that takes its kernels from us; a module of its own, since it cannot do without jupyter_client."""

from __future__ import annotations

import os
from typing import Any

from jupyter_client import AsyncKernelManager

from benchbook.measure.kernels import kernel_source


class WarmKernelManager(AsyncKernelManager):
    """Takes a kernel from where they come from now; where that has none, starts one anew as Jupyter does."""

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
        # Jupyter's own place to "launch kernel subprocesses differently"; its provisioner then signals and polls it.
        try:
            process = kernel_source()(kernel_cmd, options["env"], options.get("cwd") or os.getcwd())
        except OSError:
            return await super()._async_launch_kernel(kernel_cmd, **options)
        provisioner = self.provisioner
        provisioner.process, provisioner.pid, provisioner.pgid = process, process.pid, process.pid
        self._reconcile_connection_info(provisioner.connection_info)
        return None
