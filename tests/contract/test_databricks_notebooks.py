"""Runs of notebooks on the wire: what a task may say, its parameters, what its output and its export answer."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from chalicelib.services import results
from chalicelib.services.access import run_secret
from tests.contract.databricks import JOBS, create, get_run, python, refused, run_now, submit
from tests.contract.wire import Answer, Client, Service

INVALID, MALFORMED = "INVALID_PARAMETER_VALUE", "MALFORMED_REQUEST"
PATH = "/Users/ada/Ünïcode report"


def notebook(**task: Any) -> dict[str, Any]:
    """A body for create or submit: a notebook on a new cluster; None takes a field of the task away."""
    told = {"notebook_path": PATH, **task}
    return python(spark_python_task=None, notebook_task={k: v for k, v in told.items() if v is not None})


def launched_with(service: Service, run: int) -> Any:
    """What the bootstrap is told to run."""
    text = service.ports.blobs.get(f"main/runs/{run}/launch.py")
    assert text is not None
    literal = text.decode().split("json.loads(", 1)[1].rsplit(")", 2)[0]
    return json.loads(ast.literal_eval(literal))["program"]


def ended(service: Service, run: int, told: Any = None, state: str = "COMPLETED", **report: Any) -> None:
    """The run's driver has said this of its notebook, and has ended."""
    service.start(run)
    client = Client(service, f"Bearer {run_secret(service.ports, 'main', run)}")
    body = {"exit_code": 0, "finished": True, **report, **({"notebook": told} if told else {})}
    assert client.post(f"/driver/v1/runs/main.{run}/report", body).status == 200
    service.end(run, state)


def keep(service: Service, run: int, file: str, text: str) -> None:
    """The driver has stored a file."""
    service.ports.blobs.put(results.result_name("main", run, file), text.encode())


def test_a_notebook_with_its_parameters_and_revision_reaches_the_driver(service: Service, alice: Client) -> None:
    run = submit(alice, notebook(base_parameters={"day": "1", "name": "{{job_id}}"}, revision_timestamp=1700000000000))
    service.start(run)
    told = {"day": "1", "name": str(get_run(alice, run)["job_id"])}
    assert launched_with(service, run) == {"notebook": PATH, "revision": 1700000000000, "parameters": told}
    task = get_run(alice, run)["task"]["notebook_task"]
    assert task["base_parameters"]["name"] == "{{job_id}}"


@pytest.mark.parametrize("pairs", [False, True], ids=["map", "pair array"])
def test_a_runs_own_parameters_win_over_the_jobs(service: Service, alice: Client, pairs: bool) -> None:
    base: Any = {"a": "job", "b": "job"}
    job = create(alice, notebook(base_parameters=[{"key": k, "value": v} for k, v in base.items()] if pairs else base))
    run = run_now(alice, job, notebook_params={"b": "run", "c": "run"})
    service.start(run)
    assert launched_with(service, run)["parameters"] == {"a": "job", "b": "run", "c": "run"}
    shown = get_run(alice, run)
    assert shown["overriding_parameters"] == {"notebook_params": {"b": "run", "c": "run"}}
    assert shown["task"]["notebook_task"]["notebook_path"] == PATH


def test_a_notebook_is_a_run_like_any_other_in_another_dialect(service: Service, alice: Client) -> None:
    run = submit(alice, notebook())
    shown = alice.get(service.application(run))
    assert shown.status == 200
    assert shown.json["application_details"]["application"] == PATH


WRONG = {
    "no path": (notebook(notebook_path=None), INVALID, "Missing required field: notebook_task.notebook_path"),
    "a relative path": (
        notebook(notebook_path="Shared/x"),
        INVALID,
        "notebook_task.notebook_path: the path of a notebook must begin with a slash.",
    ),
    "a path with a line's end": (
        notebook(notebook_path="/Shared/x\n"),
        INVALID,
        "notebook_task.notebook_path: the path has characters that cannot be printed.",
    ),
    "a path of a number": (
        notebook(notebook_path=1),
        MALFORMED,
        "Could not parse request object: Expected string for field notebook_task.notebook_path, found NUMBER",
    ),
    "another source": (
        notebook(source="GIT"),
        INVALID,
        "notebook_task.source: only notebooks of the workspace can be run.",
    ),
    "parameters that are text": (
        notebook(base_parameters="a=b"),
        MALFORMED,
        "Could not parse request object: Expected object for field notebook_task.base_parameters, found STRING",
    ),
    "a parameter beyond ASCII": (
        notebook(base_parameters={"a": "ü"}),
        INVALID,
        "notebook_task.base_parameters: a has characters that are not ASCII.",
    ),
    "long parameters": (
        notebook(base_parameters={"a": "x" * 10_000}),
        INVALID,
        "notebook_task.base_parameters: the JSON representation of the parameters exceeds 10000 bytes.",
    ),
}


@pytest.mark.parametrize("path", ["create", "runs/submit"])
@pytest.mark.parametrize(("body", "code", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_notebook_task_that_can_never_be_right_is_refused_and_changes_nothing(
    service: Service, alice: Client, path: str, body: Any, code: str, message: str
) -> None:
    with service.unchanged():
        refused(alice.post(f"{JOBS}/{path}", body), 400, code, message)


def test_a_revision_before_time_began_is_refused(service: Service, alice: Client) -> None:
    with service.unchanged():
        answer = alice.post(f"{JOBS}/create", notebook(revision_timestamp=-1))
    assert (answer.status, answer.json["error_code"]) == (400, INVALID)
    assert "notebook_task.revision_timestamp" in answer.json["message"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"a": "ü"}, "notebook_params: a has characters that are not ASCII."),
        (
            {"a": "x" * 10_000},
            "notebook_params: the JSON representation of the parameters exceeds 10000 bytes.",
        ),
    ],
    ids=["not ASCII", "long"],
)
def test_a_runs_parameters_obey_the_same_rules(service: Service, alice: Client, params: Any, message: str) -> None:
    job = create(alice, notebook())
    with service.unchanged():
        refused(alice.post(f"{JOBS}/run-now", {"job_id": job, "notebook_params": params}), 400, INVALID, message)


def test_other_parameters_are_refused_for_a_notebook(service: Service, alice: Client) -> None:
    job = create(alice, notebook())
    with service.unchanged():
        answer = alice.post(f"{JOBS}/run-now", {"job_id": job, "python_params": ["a"]})
    refused(answer, 400, INVALID, "python_params cannot be given to a job with a notebook_task.")


def output(alice: Client, run: int) -> Any:
    answer = alice.get(f"{JOBS}/runs/get-output", run_id=run)
    assert answer.status == 200, answer.body
    return answer.json


def export(alice: Client, run: Any, **query: Any) -> Answer:
    return alice.get(f"{JOBS}/runs/export", run_id=run, **query)


def test_what_a_notebook_exits_with_is_its_output(service: Service, alice: Client) -> None:
    run = submit(alice, notebook())
    assert output(alice, run)["notebook_output"] == {}
    ended(service, run, {"exited": True, "result": '{"rows": 3}', "truncated": False, "stored": []})
    found = output(alice, run)
    assert found["notebook_output"] == {"result": '{"rows": 3}', "truncated": False}
    assert found["metadata"]["state"]["result_state"] == "SUCCESS"
    assert "error" not in found


def test_a_long_exit_value_is_read_from_where_the_driver_stored_it(service: Service, alice: Client) -> None:
    run = submit(alice, notebook())
    ended(service, run, {"exited": True, "truncated": True, "stored": ["result.txt"]})
    keep(service, run, results.RESULT, "x" * 50_000)
    assert output(alice, run)["notebook_output"] == {"result": "x" * 50_000, "truncated": True}


def test_a_notebook_that_does_not_exit_has_an_output_without_a_result(service: Service, alice: Client) -> None:
    run = submit(alice, notebook())
    ended(service, run, {"exited": False, "stored": []})
    assert output(alice, run)["notebook_output"] == {}


def test_a_cell_that_raises_fails_the_run_with_its_exception_and_trace(service: Service, alice: Client) -> None:
    run = submit(alice, notebook())
    error = {"type": "ValueError", "message": "no rows", "traceback": "Traceback: line 1"}
    ended(service, run, {"exited": False, "stored": ["notebook.html"]}, "FAILED", error=error, exit_code=1)
    keep(service, run, results.PAGE, "<p>partial</p>")
    found = output(alice, run)
    assert found["metadata"]["state"]["result_state"] == "FAILED"
    assert found["metadata"]["state"]["state_message"] == found["error"] == "ValueError: no rows"
    assert found["error_trace"] == "Traceback: line 1"
    assert export(alice, run).json["views"][0]["content"] == "<p>partial</p>"


def test_an_end_that_is_no_exception_is_told_by_its_sentence(service: Service, alice: Client) -> None:
    run = submit(alice, notebook())
    error = {"type": "NotebookFailed", "message": "The output of cell 1 is larger than 8 MB.", "traceback": ""}
    ended(service, run, {"exited": False, "stored": []}, "FAILED", error=error, exit_code=1)
    assert get_run(alice, run)["state"]["state_message"] == "The output of cell 1 is larger than 8 MB."


@pytest.mark.parametrize("views", [None, "CODE", "ALL"])
def test_a_notebook_that_ended_is_exported_as_its_page(service: Service, alice: Client, views: str | None) -> None:
    run = submit(alice, notebook())
    ended(service, run, {"exited": False, "stored": ["notebook.html", "notebook.ipynb"]})
    keep(service, run, results.PAGE, "<!DOCTYPE html><p>ünïcode</p>")
    answer = export(alice, run, **({"views_to_export": views} if views else {}))
    content = "<!DOCTYPE html><p>ünïcode</p>"
    view = {"content": content, "name": "Ünïcode report", "type": "NOTEBOOK"}
    assert (answer.status, answer.json) == (200, {"views": [view]})


def test_a_notebook_without_dashboards_has_no_such_views(service: Service, alice: Client) -> None:
    run = submit(alice, notebook())
    ended(service, run, {"exited": False, "stored": ["notebook.html"]})
    keep(service, run, results.PAGE, "page")
    assert export(alice, run, views_to_export="DASHBOARDS").json == {"views": []}


def test_what_cannot_be_exported_says_why(service: Service, alice: Client, eve: Client) -> None:
    program, running, pageless = submit(alice), submit(alice, notebook()), submit(alice, notebook())
    ended(service, pageless)
    with service.unchanged():
        of_program = f"Run {program} is not a run of a notebook; only those can be exported."
        refused(export(alice, program), 400, INVALID, of_program)
        of_running = f"Run {running} has not ended yet; a notebook can be exported when it has."
        refused(export(alice, running), 400, INVALID, of_running)
        of_pageless = f"Run {pageless} has left no notebook to export: it was ended before it could."
        refused(export(alice, pageless), 400, INVALID, of_pageless)
        refused(export(eve, pageless), 400, INVALID, f"Run {pageless} does not exist.")
        refused(export(alice, 7), 400, INVALID, "Run 7 does not exist.")
        refused(alice.get(f"{JOBS}/runs/export"), 400, INVALID, "Missing required field: run_id")
        answer = export(alice, pageless, views_to_export="EVERYTHING")
    assert (answer.status, answer.json["error_code"]) == (400, INVALID)
    assert "views_to_export" in answer.json["message"]


def links(service: Service, run: int, files: Any) -> Answer:
    client = Client(service, f"Bearer {run_secret(service.ports, 'main', run)}")
    return client.post(f"/driver/v1/runs/main.{run}/links", {"files": files})


def test_a_driver_gets_links_for_its_own_results_of_the_size_that_it_says(service: Service, alice: Client) -> None:
    run = submit(alice, notebook())
    service.start(run)
    with service.unchanged():
        answer = links(service, run, {"notebook.html": 10, "result.txt": 1 << 20})
    assert answer.status == 200
    name = f"main/runs/{run}/results/notebook.html"
    assert answer.json["links"]["notebook.html"].startswith(f"https://blobs.example/{name}?")
    assert answer.json["links"]["notebook.html"].endswith("size=10")


@pytest.mark.parametrize(
    "files",
    [None, [], {}, {"../launch.py": 1}, {"spec.json": 1}, {"notebook.html": 0}, {"notebook.html": "1"},
     {"notebook.html": True}, {"result.txt": (1 << 20) + 1}],
    ids=str,
)  # fmt: skip
def test_a_driver_gets_no_link_for_anything_else(service: Service, alice: Client, files: Any) -> None:
    run = submit(alice, notebook())
    service.start(run)
    with service.unchanged():
        answer = links(service, run, files)
    assert (answer.status, list(answer.json)) == (400, ["message"])


def test_a_driver_gets_no_links_without_its_secret_or_after_its_end(service: Service, alice: Client) -> None:
    run = submit(alice, notebook())
    service.start(run)
    wrong = Client(service, "Bearer wrong").post(f"/driver/v1/runs/main.{run}/links", {"files": {"notebook.html": 1}})
    assert wrong.status == 401
    service.end(run, "COMPLETED")
    answer = links(service, run, {"notebook.html": 1})
    assert (answer.status, answer.json) == (404, {"message": f"Run {run} does not exist."})
