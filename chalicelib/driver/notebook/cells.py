"""What a cell's first line says about the rest: its language or magic. Pure; used on both sides.

As on Databricks, `%sql`, `%md`, `%run` and their like stand at the start of a cell and hold for all of it. Other
magics (`%matplotlib inline`, `%timeit`, `%pip`) are IPython's, and mean one line.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PYTHON = "python"
KINDS = frozenset({PYTHON, "sql", "scala", "r", "md", "md-sandbox", "sh", "fs", "run"})


def read_cell(text: str, language: str) -> tuple[str, str]:
    """(kind, body) of a cell in a notebook of this language (`python`, `sql`, `scala`, `r`)."""
    body = text.lstrip("\n")
    if not body.lstrip().startswith("%") or body.lstrip().startswith("%%"):
        return language, text
    first, newline, rest = body.lstrip().partition("\n")
    word, _, said = first[1:].strip().partition(" ")
    if word not in KINDS:
        return (PYTHON if word == "pip" else language), text
    return word, (said + newline + rest if said.strip() else rest)


def language_of(notebook: Any) -> str:
    """The language of an .ipynb, `python` when it does not say."""
    metadata = notebook.get("metadata") or {}
    told = (
        metadata.get("application/vnd.databricks.v1+notebook") or {},
        metadata.get("language_info") or {},
        metadata.get("kernelspec") or {},
    )
    named = (told[0].get("language"), told[1].get("name"), told[2].get("language"))
    found = str(next((name for name in named if name), PYTHON)).lower()
    return found if found in {PYTHON, "sql", "scala", "r"} else PYTHON


def resolve(path: str, base: str) -> str:
    """An absolute workspace path: `path` as it is written in the notebook at `base`. Raises ValueError when it climbs
    above the root."""
    import posixpath

    whole = path if path.startswith("/") else posixpath.join(posixpath.dirname(base) or "/", path)
    parts: list[str] = []
    for part in whole.split("/"):
        if part == ".." and not parts:
            raise ValueError(f"The notebook path {path} leads above the workspace's root.")
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def run_target(body: str) -> tuple[str, dict[str, str]]:
    """Path and arguments of `%run ./other $name="value"`; the path may be quoted. Raises ValueError."""
    import shlex

    words = shlex.split(body, comments=False)
    if not words:
        raise ValueError("%run needs the path of a notebook.")
    arguments = {}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if not name.startswith("$") or not equals:
            raise ValueError(f'%run: {word!r} is not of the form $name="value".')
        arguments[name[1:]] = value
    return words[0], arguments
