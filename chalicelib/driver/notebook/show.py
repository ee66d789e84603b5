"""`display` and `displayHTML`: DataFrames as tables, figures as images, everything else as IPython shows it."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

TABLE_TYPE = "application/vnd.sparkplane.table+json"
MAX_ROWS = 1000
MAX_CHARACTERS = 2_000_000
"""What a table shows at most, as on Databricks, where a display ends at so many rows or 2 MB."""


def display(value: Any = None, *more: Any, **options: Any) -> None:
    """Show a Spark or pandas DataFrame as a table, a figure as an image, anything else as IPython's `display` does."""
    if more or options:
        return _as_ipython(value, *more, **options)
    if _is_spark(value):
        return show_table(*_spark_rows(value))
    if _is_a(value, "pandas", "DataFrame"):
        return show_table(*_pandas_rows(value))
    if _is_a(value, "pandas", "Series"):
        return show_table(*_pandas_rows(value.to_frame(value.name if value.name is not None else "value")))
    if isinstance(value, (list, tuple)) and value and all(hasattr(row, "__fields__") for row in value):
        return show_table([(str(name), "") for name in value[0].__fields__], [list(row) for row in value])
    _as_ipython(value)
    _close(value)


def displayHTML(html: Any) -> None:
    """Show a text as HTML."""
    from IPython.display import HTML
    from IPython.display import display as show

    show(HTML(str(html)))


def show_table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]], truncated: bool = False) -> None:
    """Show rows under columns (name, type): as HTML, as text, and as data for whoever reads the executed notebook."""
    kept: list[list[Any]] = []
    size = 0
    for row in rows:
        values = [plain(value) for value in row]
        size += sum(len(str(value)) for value in values)
        if len(kept) == MAX_ROWS or size > MAX_CHARACTERS:
            truncated = True
            break
        kept.append(values)
    table = {"schema": [{"name": n, "type": t} for n, t in columns], "rows": kept, "truncated": truncated}
    names = [name for name, _ in columns]
    bundle = {TABLE_TYPE: table, "text/html": as_html(names, kept, truncated), "text/plain": as_text(names, kept)}
    from IPython.display import display as show

    show(bundle, raw=True)


def as_html(names: Sequence[str], rows: Sequence[Sequence[Any]], truncated: bool) -> str:
    """A table as HTML, readable by itself."""
    from html import escape

    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{escape(_shown(v))}</td>" for v in row) + "</tr>" for row in rows)
    note = f"<p>Only the first {len(rows)} rows are shown.</p>" if truncated else ""
    table = f'<table class="result"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="result">{table}</div>{note}'


def as_text(names: Sequence[str], rows: Sequence[Sequence[Any]], most: int = 20) -> str:
    """The beginning of a table as text."""
    shown = [list(names)] + [[_shown(value) for value in row] for row in rows[:most]]
    widths = [min(40, max(len(row[i]) for row in shown)) for i in range(len(names))]
    lines = ["  ".join(cell[: widths[i]].ljust(widths[i]) for i, cell in enumerate(row)).rstrip() for row in shown]
    return "\n".join(lines + ([f"… {len(rows)} rows"] if len(rows) > most else []))


def plain(value: Any) -> Any:
    """A cell's value as JSON has it: numbers and texts as they are, nested ones as lists and objects."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        number = float(value)
        return number if abs(number) < float("inf") else {"nan": "NaN"}.get(str(number), str(number))
    if hasattr(value, "asDict"):
        return {str(name): plain(inner) for name, inner in value.asDict().items()}
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if hasattr(value, "isoformat"):
        return value.isoformat(sep=" ") if hasattr(value, "hour") and hasattr(value, "year") else value.isoformat()
    return plain(value.item()) if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else str(value)


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        import json

        return json.dumps(value, ensure_ascii=False)
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _spark_rows(frame: Any) -> tuple[list[tuple[str, str]], list[Any], bool]:
    if frame.isStreaming:
        raise ValueError("display cannot show a streaming DataFrame here; write it with writeStream.")
    rows = frame.limit(MAX_ROWS + 1).collect()
    columns = [(field.name, field.dataType.simpleString()) for field in frame.schema.fields]
    return columns, rows[:MAX_ROWS], len(rows) > MAX_ROWS


def _pandas_rows(frame: Any) -> tuple[list[tuple[str, str]], list[Any], bool]:
    columns = [(str(name), str(kind)) for name, kind in frame.dtypes.items()]
    return columns, list(frame.head(MAX_ROWS).itertuples(index=False, name=None)), len(frame) > MAX_ROWS


def _is_spark(value: Any) -> bool:
    return any(
        base.__module__.startswith("pyspark.sql") and base.__name__ == "DataFrame" for base in type(value).__mro__
    )


def _is_a(value: Any, package: str, name: str) -> bool:
    found = getattr(sys.modules.get(package), name, None)
    return found is not None and isinstance(value, found)


def _as_ipython(*values: Any, **options: Any) -> None:
    from IPython.display import display as show

    show(*values, **options)


def _close(value: Any) -> None:
    """A figure that was shown is not shown again at the cell's end, where pyplot's open figures are."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None and _is_a(value, "matplotlib.figure", "Figure"):
        pyplot.close(value)
