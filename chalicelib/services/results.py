"""What a run leaves behind: files that its driver stores, by links that it asks for, and dialects show.

The files of a run are blobs under `<workspace>/runs/<run>/results/`. What the driver says of them at its end is in its
report; a file that it does not mention is not looked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.model import ProgramKind, Run
from chalicelib.ports import Ports, key

NOTEBOOK, PAGE, RESULT = "notebook.ipynb", "notebook.html", "result.txt"
MOST: Mapping[str, int] = {NOTEBOOK: 64 << 20, PAGE: 128 << 20, RESULT: 1 << 20}
"""The files that a driver may leave -> bytes of each at most."""

LINK_SECONDS = 900


def result_name(workspace: str, run: int, file: str) -> str:
    """The blob of one of a run's files."""
    return f"{workspace}/runs/{run}/results/{file}"


def result_links(ports: Ports, workspace: str, run: int, files: Any) -> dict[str, str]:
    """Links by which the run's driver may store these files (name -> bytes), each of exactly that size.

    Raises Invalid for other files or sizes than MOST allows, and NotFound for a run that does not live any more.
    """
    run_key = key(Run, workspace, run)
    found: Run | None = ports.store.fetch([run_key]).get(run_key)
    if found is None or not found.holding:
        raise NotFound("Run", run)
    if not isinstance(files, Mapping) or not files:
        raise Invalid("files: must name the files and their sizes.", field="files")
    for name, size in files.items():
        if name not in MOST:
            raise Invalid(f"files: a run leaves {', '.join(MOST)}; {str(name)[:100]!r} is none of them.", field="files")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= MOST[name]:
            raise Invalid(f"files: {name} may have 1 to {MOST[name]} bytes.", field="files")
    return {
        name: ports.blobs.put_link(result_name(workspace, run, name), seconds=LINK_SECONDS, size=size)
        for name, size in files.items()
    }


@dataclass(frozen=True, slots=True)
class NotebookResult:
    """What a notebook said with exit(): None if it did not. `truncated` when it said more than is kept."""

    text: str | None = None
    truncated: bool = False


def notebook_result(ports: Ports, run: Run) -> NotebookResult:
    """The exit value of a notebook run, as far as the run has come."""
    told = _told(run)
    if not told.get("exited"):
        return NotebookResult()
    truncated = bool(told.get("truncated"))
    if RESULT not in told.get("stored", ()):
        return NotebookResult(str(told.get("result", "")), truncated)
    body = ports.blobs.get(result_name(run.workspace, run.id, RESULT), limit=MOST[RESULT])
    return NotebookResult((body or b"").decode(errors="ignore"), truncated)


def notebook_page(ports: Ports, run: Run) -> str:
    """The page of a notebook run that has ended. Raises Invalid for any other run, and one that left no page."""
    if run.spec.program.kind is not ProgramKind.NOTEBOOK:
        raise Invalid(f"Run {run.id} is not a run of a notebook; only those can be exported.", field="run_id")
    if not run.ended:
        raise Invalid(f"Run {run.id} has not ended yet; a notebook can be exported when it has.", field="run_id")
    body = None
    if PAGE in _told(run).get("stored", ()):
        body = ports.blobs.get(result_name(run.workspace, run.id, PAGE))
    if body is None:
        raise Invalid(f"Run {run.id} has left no notebook to export: it was ended before it could.", field="run_id")
    return body.decode(errors="replace")


def _told(run: Run) -> Mapping[str, Any]:
    told = run.report.get("notebook")
    return told if isinstance(told, Mapping) else {}
