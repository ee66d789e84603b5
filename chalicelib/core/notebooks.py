"""The two formats of a notebook: Databricks' source files, and Jupyter's nbformat 4.5. Pure.

A source file begins with `# Databricks notebook source`; `# COMMAND ----------` stands between its cells. A cell in
another language than the notebook's is written behind `# MAGIC `, line by line, and begins with its magic (`%sql`); its
title stands before it, as `# DBTITLE 1,…`. SQL's comments begin with `--` and Scala's with `//`. A file without the
first line is one cell.

In a Jupyter notebook made of that, a cell is a code cell, and its magic is its first line: what runs notebooks reads
it there. `for_jupyter` makes of `%md` cells what Jupyter itself shows as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from chalicelib.core.errors import Invalid
from chalicelib.core.model import Language

COMMENTS: Mapping[Language, str] = {Language.PYTHON: "#", Language.R: "#", Language.SQL: "--", Language.SCALA: "//"}
"""Language -> what a comment begins with in its source files."""

CELL_METADATA = "application/vnd.databricks.v1+cell"
"""Where Databricks keeps a cell's title in a Jupyter notebook."""

_CELL_TYPES = frozenset({"code", "markdown", "raw"})
_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MARKDOWN = re.compile(r"%md(?:-sandbox)?(?:[ \t]+|\n|$)")


@dataclass(frozen=True, slots=True)
class _Marks:
    """The lines of a source file that are no code, in one language's comments."""

    header: str
    separator: str
    magic: str
    title: re.Pattern[str]

    def is_separator(self, line: str) -> bool:
        return line.rstrip() == self.separator

    def is_magic(self, line: str) -> bool:
        return line == self.magic or line.startswith(f"{self.magic} ")

    def without_magic(self, line: str) -> str:
        return line.removeprefix(self.magic).removeprefix(" ") if self.is_magic(line) else line

    def in_the_way(self, line: str) -> bool:
        """Whether a line of code would be read as something else."""
        return self.is_separator(line) or self.is_magic(line) or bool(self.title.match(line))


@lru_cache(maxsize=8)
def _marks(language: Language) -> _Marks:
    comment = COMMENTS[language]
    return _Marks(
        header=f"{comment} Databricks notebook source",
        separator=f"{comment} COMMAND ----------",
        magic=f"{comment} MAGIC",
        title=re.compile(rf"{re.escape(comment)} DBTITLE (?P<shown>[01]),(?P<title>.*)"),
    )


def has_header(body: bytes, language: Language) -> bool:
    """Whether a file's first line says that it is a notebook's source."""
    header = _marks(language).header.encode()
    return body.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].rstrip() == header


def parse_source(text: str, language: Language) -> dict[str, Any]:
    """The Jupyter notebook that a source file says. Any text is one; blank lines around a cell are not kept."""
    marks = _marks(language)
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if lines[0].rstrip() != marks.header:
        body = "\n".join(lines).strip("\n")
        return new_notebook([code_cell(body)] if body else [], language)
    parts: list[list[str]] = [[]]
    for line in lines[1:]:
        if marks.is_separator(line):
            parts.append([])
        else:
            parts[-1].append(line)
    cells = [_parse_cell(part, marks) for part in parts]
    return new_notebook([] if cells == [code_cell("")] else cells, language)


def _parse_cell(lines: list[str], marks: _Marks) -> dict[str, Any]:
    text = "\n".join(lines).strip("\n")
    first, _, rest = text.partition("\n")
    titled = marks.title.fullmatch(first)
    if titled:
        text = rest.strip("\n")
    if marks.is_magic(text.partition("\n")[0]):
        text = "\n".join(marks.without_magic(line) for line in text.split("\n")).strip("\n")
    return code_cell(text, title=titled["title"], shown=titled["shown"] == "1") if titled else code_cell(text)


def to_source(notebook: Mapping[str, Any], language: Language) -> str:
    """A notebook as a source file: what `parse_source` reads as the same cells. Outputs are not kept; cells of text
    become `%md` cells."""
    marks = _marks(language)
    cells = [_source_cell(cell, marks) for cell in notebook["cells"]]
    return f"{marks.header}\n" + f"\n\n{marks.separator}\n\n".join(cells) + ("\n" if cells else "")


def _source_cell(cell: Mapping[str, Any], marks: _Marks) -> str:
    text = source_of(cell).strip("\n")
    if cell["cell_type"] != "code":
        text = f"%md\n{text}"
    lines = text.split("\n")
    if text.startswith(("%", "!")) or any(marks.in_the_way(line) for line in lines):
        lines = [f"{marks.magic} {line}" for line in lines]
    about = (cell.get("metadata") or {}).get(CELL_METADATA) or {}
    if isinstance(about, Mapping) and about.get("title"):
        comment = marks.magic.removesuffix(" MAGIC")
        shown = 1 if about.get("showTitle", True) else 0
        lines = [f"{comment} DBTITLE {shown},{' '.join(str(about['title']).split())}", *lines]
    return "\n".join(lines)


def check_ipynb(body: bytes) -> dict[str, Any]:
    """The notebook in a Jupyter file, as nbformat 4.5: every cell has an id, and its source is one text. Raises Invalid
    for what is no notebook, and for formats before 4."""
    try:
        told = json.loads(body)
        json.dumps(told, ensure_ascii=False, allow_nan=False).encode()  # fails for what could not be written again
    except (ValueError, RecursionError):
        raise Invalid("The content is not a Jupyter notebook: it is not JSON.", field="content") from None
    if not isinstance(told, dict) or not isinstance(told.get("nbformat"), int):
        raise Invalid("The content is not a Jupyter notebook: it has no nbformat.", field="content")
    if told["nbformat"] != 4:
        raise Invalid(
            f"The notebook is of nbformat {told['nbformat']}; only nbformat 4 is supported. "
            "`jupyter nbconvert --to notebook` converts it.",
            field="content",
        )
    cells = told.get("cells")
    if not isinstance(cells, list):
        raise Invalid("The content is not a Jupyter notebook: it has no list of cells.", field="content")
    checked = [_checked(cell, number) for number, cell in enumerate(cells, 1)]
    metadata = told.get("metadata")
    return {
        **told,
        "metadata": metadata if isinstance(metadata, dict) else {},
        "nbformat_minor": 5,
        "cells": _with_ids(checked),
    }


def _checked(cell: Any, number: int) -> dict[str, Any]:
    if not isinstance(cell, dict) or cell.get("cell_type") not in _CELL_TYPES:
        raise Invalid(f"Cell {number} of the notebook is neither code, markdown nor raw.", field="content")
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise Invalid(f"Cell {number} of the notebook has a source that is no text.", field="content")
    metadata = cell.get("metadata")
    checked = {**cell, "metadata": metadata if isinstance(metadata, dict) else {}, "source": source}
    if cell["cell_type"] == "code":
        outputs = cell.get("outputs")
        checked["outputs"] = outputs if isinstance(outputs, list) else []
        checked.setdefault("execution_count", None)
    return checked


def _with_ids(cells: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells with their ids where they are valid and unique, else with their numbers."""
    cells, taken = list(cells), set[str]()
    numbered = []
    for number, cell in enumerate(cells, 1):
        id = cell.get("id")
        if not isinstance(id, str) or not _CELL_ID.fullmatch(id) or id in taken:
            id = next(name for name in (f"cell-{number}", *_spares(number)) if name not in taken)
        taken.add(id)
        numbered.append({**cell, "id": id})
    return numbered


def _spares(number: int) -> Iterable[str]:
    return (f"cell-{number}-{again}" for again in range(1, number + 1))


def source_of(cell: Mapping[str, Any]) -> str:
    """A cell's source as one text."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def new_notebook(cells: list[dict[str, Any]], language: Language) -> dict[str, Any]:
    """A notebook of cells."""
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"language_info": {"name": language.value.lower()}},
        "cells": _with_ids(cells),
    }


def code_cell(source: str, *, title: str = "", shown: bool = True) -> dict[str, Any]:
    """A code cell that has not run."""
    metadata = {CELL_METADATA: {"showTitle": shown, "title": title}} if title else {}
    return {"cell_type": "code", "metadata": metadata, "source": source, "outputs": [], "execution_count": None}


def language_of(notebook: Mapping[str, Any]) -> Language:
    """The language that a Jupyter notebook says it is in; Python when it says none that is known."""
    metadata = notebook.get("metadata") or {}
    told = [(metadata.get("language_info") or {}), (metadata.get("kernelspec") or {})]
    names = [str(part.get(name, "")) for part in told if isinstance(part, Mapping) for name in ("name", "language")]
    known = {language.value.lower(): language for language in Language}
    return next((known[name.lower()] for name in names if name.lower() in known), Language.PYTHON)


def for_jupyter(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """The notebook with its `%md` cells as cells of text, for programs that do not know Databricks' magics."""
    return {**notebook, "cells": [_jupyter_cell(cell) for cell in notebook["cells"]]}


def _jupyter_cell(cell: dict[str, Any]) -> dict[str, Any]:
    source = source_of(cell)
    magic = _MARKDOWN.match(source) if cell["cell_type"] == "code" else None
    if not magic:
        return cell
    kept = {name: value for name, value in cell.items() if name not in {"outputs", "execution_count"}}
    return {**kept, "cell_type": "markdown", "source": source[magic.end() :]}
