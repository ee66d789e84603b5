"""A notebook run, from the bootstrap's point of view: `run_notebook` is all that it calls. Driver side."""

from __future__ import annotations

import threading

from ..console import say
from ..execute import Outcome, describe, describe_text
from ..program import ProgramNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .execute import Ended
    from .session import Found, Session

RESULT_IN_REPORT = 4_000
"""Bytes of JSON of an exit value that rides in the report; a longer one is stored as a file of the run."""

RESULT_MOST = 1_048_576
"""Bytes of an exit value that are kept (seed 004, "NotebookOutput": the first 1 MB)."""

_NEEDED = ("nbclient", "nbformat", "nbconvert", "ipykernel", "jupyter_client")


def run_notebook(config: Mapping[str, Any]) -> Outcome:
    """Run the notebook of `config["program"]` ({"notebook", "revision", "parameters"}) and keep what it leaves.

    Its executed form, its page and a long exit value are uploaded; what the report says of them is in the outcome's
    `facts`. Raises ProgramNotFound for a notebook that does not exist.
    """
    import tempfile

    lacking = _lacking()
    if lacking:
        sentence = f"The driver's image cannot run notebooks: it lacks {', '.join(lacking)} (see infra/image)."
        say(sentence)
        return Outcome(SystemExit(1), describe_text("NotebookFailed", sentence))
    from .door import Door, Missing
    from .session import Session

    with tempfile.TemporaryDirectory(prefix="nb-") as directory:
        session = Session(Door(config.get("api") or "", config["run"], config["secret"]), directory)
        session.redactor.add(config["secret"])
        program = config["program"]
        try:
            found = session.notebook(program["notebook"], int(program.get("revision") or 0))
        except Missing:
            raise ProgramNotFound(f"The notebook {program['notebook']} does not exist.") from None
        return _run(session, found, dict(program.get("parameters") or {}), config["run"])


def _lacking() -> list[str]:
    from importlib.util import find_spec

    return [name for name in _NEEDED if find_spec(name) is None]


def _run(session: Session, found: Found, parameters: dict[str, str], run: str) -> Outcome:
    from .execute import execute

    spark = _SparkStart(session, found)
    session.spark = spark
    ended = execute(session, found, parameters)
    error = session.redactor.data(ended.error)
    for output in _said(session, ended):
        print(output, end="", flush=True)
    if error:
        say(f"{error['type']}: {error['message']}" if error["type"] != "NotebookFailed" else error["message"])
    facts = {"notebook": _kept(session, found, ended, run)}
    return Outcome(SystemExit(1 if error else 0), error, facts)


def _said(session: Session, ended: Ended) -> list[str]:
    """What cells printed, for the driver's log."""
    return [
        session.redactor.text(output["text"])
        for cell in ended.notebook.cells
        for output in cell.get("outputs", ())
        if output["output_type"] == "stream"
    ]


def _kept(session: Session, found: Found, ended: Ended, run: str) -> dict[str, Any]:
    """Upload the results; what the report says of them. A result that cannot be kept fails nothing but itself."""
    import json

    facts: dict[str, Any] = {"exited": ended.value is not None}
    files: dict[str, tuple[bytes, str]] = {}
    if ended.value is not None:
        value = session.redactor.text(ended.value)
        body = value.encode(errors="replace")
        facts["truncated"] = len(body) > RESULT_MOST
        if len(json.dumps(value)) > RESULT_IN_REPORT:
            files["result.txt"] = (body[:RESULT_MOST], "text/plain; charset=utf-8")
        else:
            facts["result"] = value
    try:
        files |= _documents(session, found, ended, run)
    except Exception as error:  # noqa: BLE001 - nbconvert and its kin raise many kinds; the notebook has run
        say(f"the notebook's page could not be made: {describe(error, None)['message']}")
    facts["stored"] = sorted(_upload(session, files))
    return facts


def _documents(session: Session, found: Found, ended: Ended, run: str) -> dict[str, tuple[bytes, str]]:
    import nbformat

    from .model import model_of
    from .page import page_of

    notebook = nbformat.from_dict(session.redactor.data(ended.notebook))
    name = found.path.rsplit("/", 1)[-1]
    page = page_of(notebook, model_of(notebook, name, found.language), f"{found.path} · run {run.rpartition('.')[2]}")
    return {
        "notebook.ipynb": (nbformat.writes(notebook).encode(errors="replace"), "application/x-ipynb+json"),
        "notebook.html": (page.encode(errors="replace"), "text/html; charset=utf-8"),
    }


def _upload(session: Session, files: Mapping[str, tuple[bytes, str]]) -> list[str]:
    """Store files with the run; the names of those that are."""
    from .door import DoorError

    stored: list[str] = []
    if not files:
        return stored
    try:
        told = session.door.post("links", {"files": {name: len(body) for name, (body, _) in files.items()}})
        for name, (body, content_type) in files.items():
            session.door.upload(told["links"][name], body, content_type)
            stored.append(name)
    except DoorError as error:
        say(f"the notebook's results could not be stored: {error}")
    return stored


class _SparkStart:
    """Makes the SparkContext on a thread of its own, while the kernel starts; kernels join it when it is there."""

    def __init__(self, session: Session, found: Found) -> None:
        self._session = session
        self._found = found
        self._context: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._make, name="sparkplane-spark", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until Spark is there. Raises what kept it from starting."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def cancel(self, tag: str) -> None:
        """End the Spark jobs with this tag."""
        if self._context is not None:
            self._context.cancelJobsWithTag(tag)

    def environment(self) -> dict[str, str]:
        """The environment of Python workers."""
        return dict(self._context.environment) if self._context is not None else {}

    def _make(self) -> None:
        import os

        if not os.environ.get("PYSPARK_GATEWAY_PORT"):
            return
        try:
            from pyspark.sql import SparkSession

            from .scala import OUTPUT_CONF

            builder = SparkSession.builder
            if _has_scala(self._found):
                classes = os.path.join(self._session.directory, "classes")
                os.makedirs(classes)
                builder = builder.config(OUTPUT_CONF, classes)
            self._context = builder.getOrCreate().sparkContext
        except BaseException as error:  # noqa: BLE001 - told where the notebook waits for Spark
            self._error = error


def _has_scala(found: Found) -> bool:
    from .cells import read_cell

    cells = (cell for cell in found.content["cells"] if cell.get("cell_type") == "code")
    return any(read_cell("".join(cell.get("source", "")), found.language)[0] == "scala" for cell in cells)
