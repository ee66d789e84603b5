"""`dbutils`, as notebooks know it. Kernel side."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .filesystem import FileSystem
    from .link import Link
    from .widgets import Widgets


class NotebookExit(BaseException):
    """Ends the notebook as a success. No `except Exception` of the user's stops it."""


class WorkflowException(Exception):
    """A notebook that `dbutils.notebook.run` ran has failed."""


class SecretMetadata:
    """The name of a secret."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __repr__(self) -> str:
        return f"SecretMetadata(key={self.key!r})"


class SecretScope:
    """A scope of secrets."""

    def __init__(self, name: str) -> None:
        self.name = name

    def getName(self) -> str:
        """Its name."""
        return self.name

    def __repr__(self) -> str:
        return f"SecretScope(name={self.name!r})"


class Secrets:
    """`dbutils.secrets`: values of secrets, which are hidden wherever the notebook shows them."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def get(self, scope: str, key: str) -> str:
        """A secret as text. Raises Refused when there is none."""
        return self.getBytes(scope, key).decode()

    def getBytes(self, scope: str, key: str) -> bytes:
        """A secret as bytes. Raises Refused when there is none."""
        import base64

        return base64.b64decode(self._link.ask("secret", scope=scope, key=key))

    def listScopes(self) -> list[SecretScope]:
        """The scopes."""
        return [SecretScope(name) for name in self._link.ask("secret scopes")]

    def list(self, scope: str) -> Sequence[SecretMetadata]:
        """The names of a scope's secrets."""
        return [SecretMetadata(key) for key in self._link.ask("secret names", scope=scope)]


class Notebook:
    """`dbutils.notebook`: the end of this notebook, and runs of others."""

    def __init__(self, link: Link, path: str) -> None:
        self._link = link
        self._path = path

    def exit(self, value: Any = "") -> None:
        """End the notebook at once, as a success with this value."""
        text = str(value).encode("utf-8", "replace").decode()
        self._link.ask("exit", value=text)
        raise NotebookExit(text)

    def run(self, path: str, timeout_seconds: int = 0, arguments: Mapping[str, Any] | None = None) -> str | None:
        """Run another notebook in a kernel and a Spark session of its own, and return what it exits with.

        `timeout_seconds` 0 is no time-out. Raises WorkflowException when it fails or takes too long.
        """
        __tracebackhide__ = True
        from .link import Refused

        told = {str(name): str(value) for name, value in (arguments or {}).items()}
        try:
            found: str | None = self._link.ask("run", path=path, base=self._path, seconds=timeout_seconds, told=told)
        except Refused as refused:
            raise WorkflowException(str(refused)) from None
        return found

    def getContext(self) -> Any:
        """Not there: what it tells is Databricks' own."""
        raise NotImplementedError("dbutils.notebook.getContext is not available here.")


class Library:
    """`dbutils.library`: a new Python for the cells that follow."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def restartPython(self) -> None:
        """Start Python anew after this cell: its variables are gone, Spark and its tables stay."""
        self._link.ask("restart")
        raise NotebookExit("")


class DBUtils:
    """`dbutils` itself. `fs` needs Spark, and says so when there is none."""

    def __init__(self, link: Link, path: str, widgets: Widgets, spark: Any) -> None:
        self.widgets = widgets
        self.notebook = Notebook(link, path)
        self.secrets = Secrets(link)
        self.library = Library(link)
        self._spark = spark
        self._files: FileSystem | None = None

    @property
    def fs(self) -> FileSystem:
        """Files and directories."""
        from .filesystem import FileSystem

        if self._files is None:
            self._files = FileSystem(self._spark)
        return self._files

    def help(self) -> None:
        """Say what there is."""
        print("dbutils.fs, dbutils.library, dbutils.notebook, dbutils.secrets, dbutils.widgets")
