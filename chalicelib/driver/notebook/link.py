"""The kernel's line to the driver side: one question, one answer, over a Unix socket that only this user may open."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Refused(Exception):
    """The driver side says no; the text is a sentence for the user. `kind` is a word for programs."""

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class Link:
    """Asks the `broker` that listens at a path. A connection for each question, so any thread may ask."""

    def __init__(self, path: str) -> None:
        self._path = path

    def ask(self, what: str, **fields: Any) -> Any:
        """The answer to a question. Raises Refused."""
        __tracebackhide__ = True
        import json
        from multiprocessing.connection import Client

        with Client(self._path, "AF_UNIX") as connection:
            connection.send_bytes(json.dumps({"ask": what, **fields}).encode())
            told = json.loads(connection.recv_bytes())
        if "refused" in told:
            raise Refused(told["refused"], told.get("kind", ""))
        return told["answer"]
