"""The executed notebook as Databricks' page carries it: what programs extract from an export. Pure.

The page holds `__DATABRICKS_NOTEBOOK_MODEL = '…'`: base64 of the percent-encoded JSON of a "NotebookV1" with
"CommandV1" commands. Programs read each command's text, position, state, times and results.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

TABLE_TYPE = "application/vnd.sparkplane.table+json"
MARK = "sparkplane"
CELL_METADATA = "application/vnd.databricks.v1+cell"
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_IMAGES = ("image/png", "image/jpeg", "image/gif")


def encoded(model: Mapping[str, Any]) -> str:
    """The model as it stands in the page: letters, digits, `+`, `/` and `=` only, so that it ends no script."""
    import base64
    import json
    from urllib.parse import quote

    return base64.b64encode(quote(json.dumps(model, ensure_ascii=False), safe="()*''").encode()).decode()


def model_of(notebook: Mapping[str, Any], name: str, language: str) -> dict[str, Any]:
    """The model of an executed notebook (an .ipynb's JSON)."""
    commands = [_command(cell, index) for index, cell in enumerate(notebook["cells"])]
    return {
        "version": "NotebookV1",
        "origId": 0,
        "name": name,
        "language": language,
        "commands": commands,
        "dashboards": [],
        "guid": "",
        "globalVars": {},
        "iPythonMetadata": None,
        "inputWidgets": {},
    }


def _command(cell: Mapping[str, Any], index: int) -> dict[str, Any]:
    told = cell.get("metadata", {}).get(MARK, {})
    title = cell.get("metadata", {}).get(CELL_METADATA, {})
    error = next((out for out in cell.get("outputs", ()) if out["output_type"] == "error"), None)
    results = list(_results(cell))
    return {
        "version": "CommandV1",
        "origId": 0,
        "guid": str(cell.get("id", "")),
        "subtype": "command",
        "commandType": "auto",
        "position": float(index + 1),
        "command": _source(cell),
        "commandTitle": str(title.get("title", "")),
        "showCommandTitle": bool(title.get("showTitle", False)),
        "commandVersion": 0,
        "state": told.get("state", "finished"),
        "results": {"type": "listResults", "data": results} if results else None,
        "resultsMetadata": None,
        "errorSummary": _COLOURS.sub("", f"{error['ename']}: {error['evalue']}") if error else None,
        "error": _COLOURS.sub("", "\n".join(error["traceback"])) if error else None,
        "errorTraceType": "ansi" if error else None,
        "startTime": told.get("start", 0),
        "finishTime": told.get("finish", 0),
        "submitTime": told.get("start", 0),
        "collapsed": False,
        "hideCommandCode": False,
        "hideCommandResult": False,
    }


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    text = source if isinstance(source, str) else "".join(source)
    if cell.get("cell_type") == "markdown":
        return f"{cell.get('metadata', {}).get(MARK, {}).get('magic', '%md')}\n{text}"
    return text


def _results(cell: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for output in cell.get("outputs", ()):
        if output["output_type"] == "stream":
            yield _result("ansi", output["text"], output["name"])
        elif output["output_type"] in {"display_data", "execute_result"}:
            yield from _shown(output.get("data", {}))


def _shown(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if TABLE_TYPE in data:
        table = data[TABLE_TYPE]
        schema = [{"name": c["name"], "type": f'"{c["type"]}"', "metadata": "{}"} for c in table["schema"]]
        yield {**_result("table", table["rows"]), "schema": schema, "overflow": table["truncated"]}
        return
    image = next((kind for kind in _IMAGES if kind in data), None)
    if image:
        yield _result("image", f"data:{image};base64,{''.join(data[image]).strip()}")
    elif "text/html" in data:
        yield _result("html", _text(data["text/html"]))
    elif "text/markdown" in data or "text/plain" in data:
        yield _result("ansi", _text(data.get("text/plain") or data["text/markdown"]))


def _result(kind: str, data: Any, name: str | None = None) -> dict[str, Any]:
    return {
        "type": kind,
        "data": data,
        "name": name,
        "arguments": {},
        "addedWidgets": {},
        "removedWidgets": [],
        "datasetInfos": [],
        "metadata": {},
    }


def _text(data: Any) -> str:
    return data if isinstance(data, str) else "".join(data)
