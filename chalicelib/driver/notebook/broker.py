"""Answers what a kernel asks for: notebooks, secrets, its own end, runs of other notebooks. Driver side.

One broker for each kernel, a thread for each question. A question that may be refused is answered with a sentence.
"""

from __future__ import annotations

import os
import threading

from . import cells
from .door import DoorError, Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .session import Session

MAX_NESTED_INCLUDES = 20
"""How deep `%run` may include: a notebook that includes itself ends with a sentence."""


class Refusal(Exception):
    """What was asked for cannot be; the text is for the user."""


class Broker:
    """The driver side's end of a kernel's `link`. `exited` is the value of `dbutils.notebook.exit`, None before it;
    `restart` is whether the kernel asked for a new Python."""

    def __init__(self, session: Session, depth: int) -> None:
        from multiprocessing.connection import Listener

        self.exited: str | None = None
        self.restart = False
        self._session = session
        self._depth = depth
        self._includes: list[str] = []
        self.address = os.path.join(session.directory, f"broker-{session.number()}")
        self._listener = Listener(self.address, "AF_UNIX", backlog=16)
        self._open = True
        threading.Thread(target=self._serve, name="sparkplane-broker", daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._open = False
        self._listener.close()

    def _serve(self) -> None:
        while self._open:
            try:
                connection = self._listener.accept()
            except (OSError, EOFError):
                continue
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Any) -> None:
        import json

        with connection:
            try:
                asked = json.loads(connection.recv_bytes())
                told = self._told(asked.pop("ask"), asked)
                connection.send_bytes(json.dumps(told).encode())
            except (OSError, EOFError):
                return  # the kernel is gone

    def _told(self, what: str, fields: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"answer": self._answers()[what](**fields)}
        except Missing as error:
            return {"refused": str(error), "kind": "missing"}
        except (Refusal, DoorError, ValueError) as error:
            return {"refused": str(error)}
        except Exception as error:  # noqa: BLE001 - the cell that asked is told, and fails
            return {"refused": f"The driver could not answer: {type(error).__name__}: {error}"}

    def _answers(self) -> dict[str, Callable[..., Any]]:
        return {
            "exit": self._exit,
            "restart": self._ask_restart,
            "notebook": self._notebook,
            "entered": self._entered,
            "left": self._left,
            "run": self._run,
            "worker environment": self._session.worker_environment,
            "secret": self._session.secret,
            "secret names": self._session.secret_names_of,
            "secret scopes": self._session.secret_scopes,
        }

    def _exit(self, value: str) -> None:
        self.exited = value

    def _ask_restart(self) -> None:
        self.restart = True

    def _notebook(self, path: str, base: str) -> dict[str, Any]:
        if len(self._includes) >= MAX_NESTED_INCLUDES:
            raise Refusal(f"%run includes more than {MAX_NESTED_INCLUDES} notebooks in one another: {path}.")
        found = self._session.notebook(cells.resolve(path, base))
        sources = [_source(cell) for cell in found.content["cells"] if cell.get("cell_type") == "code"]
        return {"path": found.path, "language": found.language, "cells": sources}

    def _entered(self, path: str) -> None:
        self._includes.append(path)

    def _left(self) -> None:
        if self._includes:
            self._includes.pop()

    def _run(self, path: str, base: str, seconds: float, told: dict[str, str]) -> str | None:
        return self._session.run_child(cells.resolve(path, base), told, float(seconds), self._depth + 1)


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)
