"""What all kernels of one run share: the door, the secrets that were read, a directory, Spark. Driver side."""

from __future__ import annotations

import itertools
import os

from .door import Door, DoorError
from .redact import Redactor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_DEPTH = 5
"""How deep `dbutils.notebook.run` may nest."""

MAX_CHILDREN = 500
"""How many notebooks a run may run with `dbutils.notebook.run`, all in all."""


class Found:
    """A notebook as the control plane has it: its absolute path, language, and content as an .ipynb's JSON."""

    def __init__(self, path: str, language: str, content: dict[str, Any]) -> None:
        self.path = path
        self.language = language
        self.content = content


class Session:
    """One run of a notebook, with all that it runs in turn. `directory` is private to this process's user; `spark` is
    what makes the SparkContext (`run`), or None."""

    def __init__(self, door: Door, directory: str) -> None:
        self.door = door
        self.directory = directory
        self.redactor = Redactor()
        self.packages = os.path.join(directory, "packages")
        self.spark: Any = None
        self._numbers = itertools.count(1)
        self._children = itertools.count(1)

    def number(self) -> int:
        """A new number for a socket or kernel."""
        return next(self._numbers)

    def await_spark(self) -> None:
        """Until Spark is there. Raises what kept it from starting."""
        if self.spark is not None:
            self.spark.wait()

    def worker_environment(self) -> dict[str, str]:
        """The environment of Spark's Python workers, for the kernels' own functions: as for the driver's."""
        return self.spark.environment() if self.spark is not None else {}

    def cancel_jobs(self, tag: str) -> None:
        """End the Spark jobs with this tag."""
        if self.spark is not None:
            self.spark.cancel(tag)

    def notebook(self, path: str, revision: int = 0) -> Found:
        """A notebook by its absolute path, at a revision or the newest. Raises Missing, DoorError."""
        import json

        from .cells import language_of
        from .door import fetch

        told = self.door.get("notebook", path=path, revision=revision)
        content = told.get("notebook")
        if content is None and told.get("link"):
            content = json.loads(fetch(told["link"]))
        if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
            raise DoorError(f"The notebook {path} is not a notebook that can be run.")
        return Found(told.get("path") or path, str(told.get("language") or language_of(content)).lower(), content)

    def secret(self, scope: str, key: str) -> str:
        """A secret's bytes in base64; from now on its text is hidden. Raises Missing, DoorError."""
        import base64

        told: str = self.door.get(f"secrets/{_quoted(scope)}/{_quoted(key)}")["value"]
        self.redactor.add(base64.b64decode(told).decode(errors="replace"))
        return told

    def secret_names_of(self, scope: str) -> list[str]:
        """The names of a scope's secrets. Raises Missing, DoorError."""
        return list(self.door.get(f"secrets/{_quoted(scope)}")["keys"])

    def secret_scopes(self) -> list[str]:
        """The names of all scopes. Raises DoorError."""
        return list(self.door.get("secrets")["scopes"])

    def run_child(self, path: str, parameters: dict[str, str], seconds: float, depth: int) -> str | None:
        """Run a notebook in a kernel of its own; what it exits with, None if it does not say. Raises ValueError with a
        sentence when it fails, takes longer than `seconds` (0: no limit), or is one too many."""
        from .execute import execute

        if depth > MAX_DEPTH:
            raise ValueError(f"dbutils.notebook.run: {path} would be nested more than {MAX_DEPTH} deep.")
        if next(self._children) > MAX_CHILDREN:
            raise ValueError(f"dbutils.notebook.run: this run has run {MAX_CHILDREN} notebooks, which is the limit.")
        ended = execute(self, self.notebook(path), parameters, depth=depth, seconds=seconds)
        if ended.error is not None:
            said = f"{ended.error['type']}: " if ended.error["type"] != "NotebookFailed" else ""
            raise ValueError(f"Notebook {path} failed. {said}{ended.error['message']}")
        return ended.value


def _quoted(part: str) -> str:
    from urllib.parse import quote

    return quote(part, safe="")
