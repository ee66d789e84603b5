"""Executes one notebook in one kernel, to its end, whatever that is. Driver side."""

from __future__ import annotations

import asyncio
import re
import time

from ..execute import describe, describe_text
from .broker import Broker
from .cells import PYTHON, read_cell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .session import Found, Session

FAILED = "NotebookFailed"
"""The error type of an end whose message is a whole sentence: no exception of the notebook's."""

MARK = "sparkplane"
"""The key of a cell's metadata that tells when it ran and how it ended."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Ended:
    """How a notebook ended: `value` of its exit (None without one), `error` as `describe_text` gives it (None for a
    success), and the executed `notebook`."""

    def __init__(self, notebook: Any, value: str | None = None, error: dict[str, str] | None = None) -> None:
        self.notebook = notebook
        self.value = value
        self.error = error


def execute(
    session: Session, found: Found, parameters: Mapping[str, str], *, depth: int = 0, seconds: float = 0
) -> Ended:
    """Run a notebook. `seconds` is its time-out, 0 for none. Never raises for what the notebook does."""
    import nbformat

    notebook = nbformat.from_dict({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, **found.content})
    one = _Execution(session, found, parameters, depth, notebook)
    try:
        return asyncio.run(one.run(seconds))
    finally:
        one.broker.close()


class _Execution:
    def __init__(
        self, session: Session, found: Found, parameters: Mapping[str, str], depth: int, notebook: Any
    ) -> None:
        self.broker = Broker(session, depth)
        self._session = session
        self._found = found
        self._parameters = dict(parameters)
        self._own_session = depth > 0
        self._notebook = notebook
        self._tag = f"sparkplane-notebook-{session.number()}"
        self._kernel: Any = None
        self._client: Any = None
        self._late = ""
        self._killing: asyncio.Future[None] | None = None

    async def run(self, seconds: float) -> Ended:
        """All cells, within `seconds`."""
        clock = asyncio.get_running_loop().call_later(seconds, self._strike, seconds) if seconds > 0 else None
        try:
            return await self._run()
        finally:
            if clock is not None:
                clock.cancel()
            await self._kill()

    def _strike(self, seconds: float) -> None:
        self._late = f"The notebook {self._found.path} took longer than {seconds:g} seconds."
        self._killing = asyncio.ensure_future(self._kill())

    async def _kill(self) -> None:
        from .client import kill_kernel

        if self._kernel is not None and self._kernel.has_kernel:
            await kill_kernel(self._kernel)

    async def _run(self) -> Ended:
        from nbclient.exceptions import DeadKernelError

        try:
            failure = await self._start()
            for index, cell in enumerate(self._notebook.cells):
                if failure is not None or self.broker.exited is not None or self._late:
                    break
                failure = await self._cell(cell, index)
        except (DeadKernelError, RuntimeError) as error:
            failure = describe_text(FAILED, await self._death(error))
        sentence = self._late or (self._client.too_much if self._client is not None else "")
        if sentence:
            failure = describe_text(FAILED, sentence)
        if failure is not None:
            self._session.cancel_jobs(self._tag)
            return Ended(self._notebook, error=failure)
        return Ended(self._notebook, value=self.broker.exited)

    async def _start(self) -> dict[str, str] | None:
        """Start the kernel and make it ready; what went wrong in that."""
        from .client import Client, start_kernel

        said = self._client.said if self._client else 0
        await self._kill()
        self._kernel = await start_kernel(self._session.directory, self._session.number())
        self._client = Client(self._notebook, self._kernel, said)
        await self._client.ready()
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._session.await_spark)
        except Exception as error:  # noqa: BLE001 - Spark raises many kinds
            return describe(error, error.__traceback__)
        return _failure(await self._client.prepare(self._preparation()))

    def _preparation(self) -> str:
        import json

        told = {
            "socket": self.broker.address,
            "path": self._found.path,
            "language": self._found.language,
            "parameters": self._parameters,
            "own_session": self._own_session,
            "tag": self._tag,
            "packages": self._session.packages,
        }
        module = f"{__name__.rpartition('.')[0]}.kernel"
        return f"__import__({module!r}, fromlist=['start']).start(__import__('json').loads({json.dumps(told)!a}))"

    async def _cell(self, cell: Any, index: int) -> dict[str, str] | None:
        """One cell; what went wrong in it. An exit, and a new Python that was asked for, are no errors."""
        from nbclient.exceptions import CellExecutionError

        if cell.cell_type != "code":
            return None
        if read_cell(cell.source, self._found.language)[0].startswith("md"):
            _as_text(cell)
            return None
        begun, failure = _now(), None
        try:
            await self._client.cell(cell, index)
        except CellExecutionError as error:
            failure = describe_text(error.ename, _plain(error.evalue), _traceback(cell))
        finally:
            state = "error" if failure and self.broker.exited is None and not self.broker.restart else "finished"
            cell.metadata[MARK] = {"start": begun, "finish": _now(), "state": state}
        if self.broker.exited is not None:
            said = f"Notebook exited: {self.broker.exited[:10_000]}\n"
            cell.outputs.append({"output_type": "stream", "name": "stdout", "text": said})
            return None
        if self.broker.restart:
            self.broker.restart = False
            return await self._start()
        return failure

    async def _death(self, error: Exception) -> str:
        """Why the kernel is no more, as a sentence."""
        status = None
        if self._kernel is not None and self._kernel.provisioner is not None:
            status = await self._kernel.provisioner.poll()
        if status is None:
            return f"The notebook's Python process was lost: {error}"
        if status >= 0:
            return f"The Python process exited with exit code {status}."
        import signal

        killed = f"The Python process exited with exit code {128 - status} ({signal.Signals(-status).name})."
        memory = " This may have been caused by an out-of-memory error." if -status == signal.SIGKILL else ""
        return killed + memory


def _as_text(cell: Any) -> None:
    """A `%md` cell as the cell of text that it is."""
    cell.metadata[MARK] = {"magic": cell.source.lstrip().partition("\n")[0].split(" ", 1)[0]}
    cell.source = read_cell(cell.source, PYTHON)[1]
    cell.cell_type = "markdown"
    cell.pop("outputs", None)
    cell.pop("execution_count", None)


def _failure(reply: Mapping[str, Any]) -> dict[str, str] | None:
    if reply.get("status") != "error":
        return None
    return describe_text(reply["ename"], _plain(reply["evalue"]), _plain("\n".join(reply["traceback"])))


def _traceback(cell: Any) -> str:
    told = [output["traceback"] for output in cell.outputs if output["output_type"] == "error"]
    return _plain("\n".join(told[-1])) if told else ""


def _plain(text: str) -> str:
    """A text without a terminal's colours."""
    return _COLOURS.sub("", text)


def _now() -> int:
    return int(time.time() * 1000)
