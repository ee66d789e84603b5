"""A kernel, and nbclient's way of executing cells in it, with bounds on what they say. Driver side.

Imports nbclient and jupyter_client: import this module only when a notebook runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

MAX_CELL = 8 * 1024 * 1024
"""Bytes that one cell may put out (seed 004, "NotebookTask")."""

MAX_NOTEBOOK = 20 * 1024 * 1024
"""Bytes that all cells together may put out, as on Databricks."""

START_SECONDS = 120
_groups: set[int] = set()
_OUTPUTS = {"stream", "display_data", "execute_result", "error", "update_display_data"}


async def start_kernel(directory: str, number: int) -> AsyncKernelManager:
    """A new kernel: this very Python, with sockets of its own that only this user may open."""
    home = os.path.join(directory, f"kernel-{number}")
    os.makedirs(home, mode=0o700)
    kernel = AsyncKernelManager(
        transport="ipc", ip=os.path.join(home, "s"), connection_file=os.path.join(home, "connection.json")
    )
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel._kernel_spec = KernelSpec(argv=command, display_name="Python", language="python")
    await kernel.start_kernel(env=_environment(home), cwd=os.getcwd())
    _groups.add(kernel.provisioner.pgid)
    return kernel


async def kill_kernel(kernel: AsyncKernelManager) -> None:
    """End a kernel at once, with all that it has started."""
    group = getattr(kernel.provisioner, "pgid", None)
    if group is not None:
        _kill(group)
    await kernel.shutdown_kernel(now=True)


def kill_all() -> None:
    """End all kernels at once: each leads a process group of its own, which no signal to ours reaches."""
    for group in tuple(_groups):
        _kill(group)


def _kill(group: int) -> None:
    _groups.discard(group)
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # it has ended


def _environment(home: str) -> dict[str, str]:
    """The driver's environment, with this package importable and nobody's own Jupyter settings read."""
    package = __name__.rpartition(".")[0]
    root = os.path.abspath(__file__)
    for _ in range(package.count(".") + 2):
        root = os.path.dirname(root)
    path = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    own = {name: os.path.join(home, name.lower()) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    return {**os.environ, **own, "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)), "PYTHONUNBUFFERED": "1"}


class Client(NotebookClient):  # type: ignore[misc]  # nbclient is not typed where this is checked
    """Executes the cells of one notebook in a kernel that is already there.

    When a cell puts out more than it may, the kernel is killed and `too_much` says so in a sentence.
    """

    def __init__(self, notebook: Any, kernel: AsyncKernelManager, said_before: int = 0) -> None:
        super().__init__(notebook, km=kernel, timeout=None, startup_timeout=START_SECONDS, force_raise_errors=True,
                         store_widget_state=False)  # fmt: skip
        self.too_much = ""
        self.said = said_before
        self._of_cell = 0
        self._kill: asyncio.Future[None] | None = None

    async def ready(self) -> None:
        """Wait until the kernel answers."""
        await self.async_start_new_kernel_client()

    async def prepare(self, code: str) -> dict[str, Any]:
        """Execute code that is no cell; the reply's content."""
        reply = await self.async_wait_for_reply(self.kc.execute(code, silent=True, store_history=False))
        return dict(reply["content"])

    async def cell(self, cell: Any, index: int) -> None:
        """Execute one cell. Raises nbclient's errors: of a cell that fails, of a kernel that dies."""
        self._of_cell = 0
        try:
            await self.async_execute_cell(cell, index)
        finally:
            if self._kill is not None:
                await self._kill
            cell.outputs = joined(cell.get("outputs") or [])

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """See NotebookClient. What is too much is not kept."""
        if msg["msg_type"] in _OUTPUTS and not self._fits(msg, cell_index):
            return None
        return super().process_message(msg, cell, cell_index)

    def clear_output(self, outs: list[Any], msg: dict[str, Any], cell_index: int) -> None:
        """See NotebookClient: what is cleared no longer counts."""
        self.said -= self._of_cell
        self._of_cell = 0
        super().clear_output(outs, msg, cell_index)

    def _fits(self, msg: dict[str, Any], cell_index: int) -> bool:
        if self.too_much:
            return False
        size = len(json.dumps(msg["content"], ensure_ascii=False, default=str).encode(errors="replace"))
        self._of_cell += size
        self.said += size
        if self._of_cell > MAX_CELL:
            self.too_much = (
                f"The output of cell {cell_index + 1} is larger than {MAX_CELL >> 20} MB: the rest of the run was "
                "cancelled, and the run is marked as failed."
            )
        elif self.said > MAX_NOTEBOOK:
            self.too_much = (
                f"The output of the notebook is too large. Cause: rpc response (of {self.said} bytes) exceeds limit "
                f"of {MAX_NOTEBOOK} bytes"
            )
        else:
            return True
        self._kill = asyncio.ensure_future(kill_kernel(self.km))
        return False


def joined(outputs: list[Any]) -> list[Any]:
    """The outputs with neighbouring pieces of one stream as one, so that nothing hides in the joint."""
    kept: list[Any] = []
    pieces: list[str] = []
    for output in outputs:
        stream = output["output_type"] == "stream"
        if stream and kept and kept[-1]["output_type"] == "stream" and kept[-1]["name"] == output["name"]:
            pieces.append(output["text"])
            continue
        _close(kept, pieces)
        kept.append(output)
        pieces = [output["text"]] if stream else []
    _close(kept, pieces)
    return kept


def _close(kept: list[Any], pieces: list[str]) -> None:
    if len(pieces) > 1:
        kept[-1]["text"] = "".join(pieces)
