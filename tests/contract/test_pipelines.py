"""Pipelines API 2.0, and jobs that update pipelines."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from chalicelib.core.model import Pipeline, PipelineName, Run
from chalicelib.core.states import RunState
from chalicelib.dialects.databricks_jobs.pipelines import UPDATE_STATE
from tests.contract.databricks import JOBS, create, get_run, listed, refused, run_now, submit
from tests.contract.wire import Answer, Client, Service

PIPELINES = "/api/2.0/pipelines"
INVALID, MISSING = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"


def settings(**more: Any) -> dict[str, Any]:
    body = {"name": "sales", "libraries": [{"file": {"path": "dbfs:/sales/tables.py"}}], **more}
    return {name: value for name, value in body.items() if value is not None}


def made(client: Client, **more: Any) -> str:
    answer = client.post(PIPELINES, settings(**more))
    assert answer.status == 200, answer.body
    return str(answer.json["pipeline_id"])


def started(client: Client, pipeline: str, **options: Any) -> str:
    answer = client.post(f"{PIPELINES}/{pipeline}/updates", options)
    assert answer.status == 200, answer.body
    return str(answer.json["update_id"])


def update_of(client: Client, pipeline: str, update: str) -> Any:
    return client.get(f"{PIPELINES}/{pipeline}/updates/{update}").json["update"]


def put(client: Client, path: str, body: Any) -> Answer:
    return client.request("PUT", path, body=json.dumps(body).encode())


def told(service: Service, run: int) -> Any:
    """What the driver of an update is told."""
    text = service.blobs.bodies[f"main/runs/{run}/launch.py"].decode()
    literal = text[text.index("json.loads(") + 11 : text.rindex("))")]
    return json.loads(eval(literal))["program"]["pipeline"]


def test_every_state_of_a_run_is_one_of_an_update() -> None:
    assert set(UPDATE_STATE) == set(RunState)


def test_a_pipeline_is_registered_shown_listed_changed_and_removed(service: Service, alice: Client) -> None:
    pipeline = made(alice, configuration={"a": "b"}, target="gold")
    shown = alice.get(f"{PIPELINES}/{pipeline}").json
    assert (shown["pipeline_id"], shown["name"], shown["state"]) == (pipeline, "sales", "IDLE")
    assert shown["spec"]["libraries"] == settings()["libraries"] and shown["spec"]["configuration"] == {"a": "b"}
    assert [one["pipeline_id"] for one in alice.get(PIPELINES).json["statuses"]] == [pipeline]
    assert put(alice, f"{PIPELINES}/{pipeline}", settings(name="sold")).json == {}
    shown = alice.get(f"{PIPELINES}/{pipeline}").json
    assert (shown["name"], shown["spec"]["name"], "configuration" in shown["spec"]) == ("sold", "sold", False)
    made(alice)  # the name is free again
    assert alice.delete(f"{PIPELINES}/{pipeline}").json == {}
    refused(alice.get(f"{PIPELINES}/{pipeline}"), 404, MISSING, f"Pipeline {pipeline} does not exist.")
    assert [record.name for record in service.store.all(Pipeline)] == ["sales"]
    assert [record.name for record in service.store.all(PipelineName)] == ["sales"]


def test_an_update_is_a_run_like_any_other(service: Service, alice: Client) -> None:
    pipeline = made(alice, target="gold", configuration={"a": "b"})
    update = started(alice, pipeline, full_refresh=True)
    assert update_of(alice, pipeline, update)["state"] == "WAITING_FOR_RESOURCES"
    (run,) = listed(alice)
    service.start(run)
    assert told(service, run) == {
        "name": "sales", "storage": f"s3://bucket/main/pipelines/{pipeline}", "catalog": "", "schema": "gold",
        "configuration": {"a": "b"}, "sources": [{"uri": "s3://bucket/main/dbfs/sales/tables.py"}],
        "full_refresh": True, "full_refresh_selection": [], "refresh_selection": [],
    }  # fmt: skip
    assert update_of(alice, pipeline, update)["state"] == "RUNNING"
    assert alice.get(f"{PIPELINES}/{pipeline}").json["state"] == "RUNNING"
    assert get_run(alice, run)["task"] == {"pipeline_task": {"pipeline_id": pipeline, "full_refresh": True}}
    service.end(run)
    shown = update_of(alice, pipeline, update)
    assert (shown["state"], shown["run_id"], shown["full_refresh"]) == ("COMPLETED", run, True)
    assert alice.get(f"{PIPELINES}/{pipeline}").json["latest_updates"][0]["update_id"] == update
    assert [one["update_id"] for one in alice.get(f"{PIPELINES}/{pipeline}/updates").json["updates"]] == [update]


def test_a_selection_of_tables_reaches_the_driver(service: Service, alice: Client) -> None:
    update = started(alice, pipeline := made(alice), refresh_selection=["a"], full_refresh_selection=["b", "c"])
    service.start(run := update_of(alice, pipeline, update)["run_id"])
    assert (told(service, run)["refresh_selection"], told(service, run)["full_refresh_selection"]) == (
        ["a"],
        ["b", "c"],
    )
    assert update_of(alice, pipeline, update)["refresh_selection"] == ["a"]


def test_one_update_at_a_time(service: Service, alice: Client) -> None:
    pipeline = made(alice)
    run = update_of(alice, pipeline, started(alice, pipeline))["run_id"]
    with service.unchanged():
        answer = alice.post(f"{PIPELINES}/{pipeline}/updates", {})
        refused(answer, 409, "RESOURCE_CONFLICT", f"Pipeline sales has an active update already: run {run}.")
    assert alice.post(f"{PIPELINES}/{pipeline}/stop", {}).json == {}
    assert get_run(alice, run)["state"]["result_state"] == "CANCELED"
    started(alice, pipeline)


def test_a_job_updates_a_pipeline_by_its_id_or_its_name(service: Service, alice: Client) -> None:
    pipeline = made(alice)
    for name in (pipeline, "sales"):
        job = create(alice, {"pipeline_task": {"pipeline_id": name}})
        run = run_now(alice, job)
        service.start(run)
        assert told(service, run)["name"] == "sales"
        service.end(run)
        assert get_run(alice, run)["state"]["result_state"] == "SUCCESS"
        assert alice.get(f"{PIPELINES}/{pipeline}/updates").json["updates"][0]["run_id"] == run


def test_a_pipeline_that_is_not_there_or_is_busy_fails_the_run_with_a_sentence(service: Service, alice: Client) -> None:
    lost = submit(alice, {"pipeline_task": {"pipeline_id": "nowhere"}})
    service.play()
    state = get_run(alice, lost)["state"]
    assert (state["result_state"], state["state_message"]) == ("FAILED", "Pipeline nowhere was not found.")
    made(alice)
    first, second = (submit(alice, {"pipeline_task": {"pipeline_id": "sales"}}) for _ in range(2))
    service.play()
    states = {run: get_run(alice, run)["state"] for run in (first, second)}
    (late,) = [run for run in states if states[run]["life_cycle_state"] == "TERMINATED"]
    other = second if late == first else first
    assert states[late]["state_message"] == f"Pipeline sales has an active update already: run {other}."


def test_deleting_a_pipeline_ends_its_update(service: Service, alice: Client) -> None:
    pipeline = made(alice)
    run = update_of(alice, pipeline, started(alice, pipeline))["run_id"]
    assert alice.delete(f"{PIPELINES}/{pipeline}").status == 200
    assert service.run(run).state is RunState.CANCELED


def test_the_list_is_paged(alice: Client) -> None:
    names = [f"p{number}" for number in range(5)]
    for name in names:
        made(alice, name=name)
    first = alice.get(PIPELINES, max_results=3).json
    rest = alice.get(PIPELINES, max_results=3, page_token=first["next_page_token"]).json
    found = [one["name"] for page in (first, rest) for one in page["statuses"]]
    assert sorted(found) == names


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no name": ({"name": None}, INVALID, "Missing required field: name"),
    "no libraries": ({"libraries": None}, INVALID, "Missing required field: libraries"),
    "two in one": (
        {"libraries": [{"file": {"path": "dbfs:/a.py"}, "glob": {"include": "dbfs:/b/**"}}]}, INVALID,
        "libraries.0: exactly one of notebook, file and glob must be set.",
    ),
    "a jar": (
        {"libraries": [{"jar": "dbfs:/a.jar"}]}, INVALID, "libraries.0: jar libraries of pipelines are not supported.",
    ),
    "another kind of file": (
        {"libraries": [{"file": {"path": "dbfs:/a.txt"}}]}, INVALID,
        "libraries.0: dbfs:/a.txt is no source of a pipeline: it ends with neither .py nor .sql.",
    ),
    "a foreign file": (
        {"libraries": [{"file": {"path": "ftp://h/a.py"}}]}, INVALID,
        "libraries.0: the URI 'ftp://h/a.py' is of scheme 'ftp'; allowed are https, local, s3, s3a.",
    ),
    "continuous": (
        {"continuous": True}, INVALID,
        "continuous: continuous pipelines are not supported: let a job's schedule update the pipeline.",
    ),
    "two schemas": ({"target": "a", "schema": "b"}, INVALID, "Only one of target and schema may be specified."),
    "an unknown pool": ({"clusters": [{"instance_pool_id": "none"}]}, INVALID, "Pool none does not exist."),
    "conf of the platform": (
        {"clusters": [{"spark_conf": {"spark.kubernetes.namespace": "x"}}]}, INVALID,
        "clusters.spark_conf: spark.kubernetes.namespace is set by the platform and cannot be overridden.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("more", [more for more, _, _ in REFUSED.values()], ids=REFUSED)
def test_settings_that_cannot_be_are_refused_and_change_nothing(
    service: Service, alice: Client, more: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    _, code, message = next(case for case in REFUSED.values() if case[0] is more)
    status, code = (404, MISSING) if "does not exist" in message else (400, code)
    pipeline = made(alice, name="other")
    with service.unchanged():
        refused(alice.post(PIPELINES, settings(**more)), status, code, message)
        refused(put(alice, f"{PIPELINES}/{pipeline}", settings(**more)), status, code, message)


def test_a_name_is_used_once(service: Service, alice: Client, eve: Client) -> None:
    made(alice)
    other = made(alice, name="other")
    taken = "The pipeline name 'sales' is already used by another pipeline."
    with service.unchanged():
        refused(alice.post(PIPELINES, settings()), 400, "RESOURCE_ALREADY_EXISTS", taken)
        refused(put(alice, f"{PIPELINES}/{other}", settings()), 400, "RESOURCE_ALREADY_EXISTS", taken)
    made(eve)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validate_only": True}, "validate_only: updates that only validate are not supported."),
        ({"full_refresh": True, "refresh_selection": ["a"]},
         "full_refresh cannot be given together with a selection of tables."),
        ({"refresh_selection": ["a,b"]}, "refresh_selection: a table's name cannot be empty or have a comma."),
    ],
)  # fmt: skip
def test_an_update_that_cannot_be_is_refused(
    service: Service, alice: Client, options: dict[str, Any], message: str
) -> None:
    pipeline = made(alice)
    with service.unchanged():
        refused(alice.post(f"{PIPELINES}/{pipeline}/updates", options), 400, INVALID, message)


@pytest.mark.parametrize("path", ["", "/updates", "/updates/x", "/stop"])
def test_what_is_another_workspaces_is_not_there(service: Service, alice: Client, eve: Client, path: str) -> None:
    pipeline = made(eve)
    update = started(eve, pipeline)
    with service.unchanged():
        told = path.replace("x", update)
        answer = (
            alice.get(f"{PIPELINES}/{pipeline}{told}")
            if path != "/stop"
            else alice.post(f"{PIPELINES}/{pipeline}/stop")
        )
        refused(answer, 404, MISSING, f"Pipeline {pipeline} does not exist.")
        assert put(alice, f"{PIPELINES}/{pipeline}", settings()).status == 404
        assert alice.delete(f"{PIPELINES}/{pipeline}").status == 404
        assert alice.post(f"{PIPELINES}/{pipeline}/updates", {}).status == 404


def test_an_update_of_another_pipeline_is_not_there(alice: Client) -> None:
    one, two = made(alice), made(alice, name="other")
    update = started(alice, one)
    refused(alice.get(f"{PIPELINES}/{two}/updates/{update}"), 404, MISSING, f"Update {update} does not exist.")


def test_two_starts_at_once_make_one_update(service: Service, alice: Client) -> None:
    pipeline = made(alice)
    service.tripwire.admit(4, lambda: started(alice, pipeline) and None)
    second = alice.post(f"{PIPELINES}/{pipeline}/updates", {})
    assert service.tripwire.sprung and second.status == 409
    assert len(service.store.all(Run)) == 1
    assert alice.get(f"{JOBS}/runs/list").json["runs"]


def imported(client: Client, path: str, text: str, **more: Any) -> None:
    body = {"path": path, "content": base64.b64encode(text.encode()).decode(), "overwrite": True, **more}
    answer = client.post("/api/2.0/workspace/import", body)
    assert answer.status == 200, answer.body


def sent(service: Service, client: Client, library: dict[str, Any]) -> Any:
    """The sources that the driver of a pipeline with one library is told, or the sentence why there is no driver."""
    pipeline = made(client, libraries=[library], name=f"p{len(service.store.all(Pipeline))}")
    run = update_of(client, pipeline, started(client, pipeline))["run_id"]
    service.play()
    if service.run(run).ended:
        return service.run(run).message
    return told(service, run)["sources"]


NOTEBOOK = "# Databricks notebook source\nimport dlt\n\n# COMMAND ----------\n\n# MAGIC %md\n# MAGIC words\n"


def test_notebooks_and_files_of_the_workspace_go_with_the_launch(service: Service, alice: Client) -> None:
    assert alice.post("/api/2.0/workspace/mkdirs", {"path": "/etl/deep"}).status == 200
    imported(alice, "/etl/tables", NOTEBOOK, format="SOURCE", language="PYTHON")
    imported(alice, "/etl/views", "SELECT 1", format="SOURCE", language="SQL")
    imported(alice, "/etl/deep/more.py", "import dlt", format="RAW")
    imported(alice, "/etl/deep/notes.txt", "words", format="RAW")
    (source,) = sent(service, alice, {"notebook": {"path": "/etl/tables"}})
    assert source["name"] == "tables.py" and "import dlt" in source["text"]
    assert sent(service, alice, {"file": {"path": "/etl/deep/more.py"}}) == [{"name": "more.py", "text": "import dlt"}]
    names = [source["name"] for source in sent(service, alice, {"glob": {"include": "/etl/**"}})]
    assert names == ["more.py", "tables.py", "views.sql"]


def test_sources_that_the_workspace_cannot_give_fail_the_update_with_a_sentence(
    service: Service, alice: Client
) -> None:
    assert alice.post("/api/2.0/workspace/mkdirs", {"path": "/etl"}).status == 200
    imported(alice, "/etl/mixed", f"{NOTEBOOK}\n# COMMAND ----------\n\n# MAGIC %sql\n# MAGIC SELECT 1\n",
             format="SOURCE", language="PYTHON")  # fmt: skip
    imported(alice, "/etl/lines", "1", format="SOURCE", language="R")
    assert "%sql cannot be part of a pipeline" in sent(service, alice, {"notebook": {"path": "/etl/mixed"}})
    assert "Python and SQL, not r" in sent(service, alice, {"notebook": {"path": "/etl/lines"}})
    assert "cannot be read" in sent(service, alice, {"notebook": {"path": "/etl/nothing"}})
    assert sent(service, alice, {"file": {"path": "/etl/mixed"}}).endswith("/etl/mixed does not exist.")
