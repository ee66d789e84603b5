"""Applications of Analytics Engine v4: the document's examples, then every rule around them (seed 002)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core.capacity import EVERYTHING, Amount
from chalicelib.core.ids import UUID_PATTERN
from chalicelib.core.model import Policy, Program, ProgramKind, Run, RunSpec
from chalicelib.core.states import Intent, RunState
from chalicelib.dialects.analytics_engine.mapping import detail_body, iso_time, long_time, status_body
from chalicelib.services.pools import ensure_pool, limit_cluster
from tests.contract import databricks
from tests.contract.engine import details, post, refused, submit
from tests.contract.wire import Client, Service

PYTHON = """\
{
  "application_details": {
    "application": "/opt/ibm/spark/examples/src/main/python/wordcount.py",
    "arguments": [
      "/opt/ibm/spark/examples/src/main/resources/people.txt"
    ],
    "conf": {
      "spark.app.name": "PySpark Application",
      "spark.eventLog.enabled": "true"
    }
  }
}
"""

SCALA = """\
{
  "application_details": {
    "arguments": [
      "1"
    ],
    "application": "/opt/ibm/spark/examples/jars/spark-examples*.jar",
    "class": "org.apache.spark.examples.SparkPi",
    "conf": {
      "spark.app.name": "Scala Application",
      "spark.eventLog.enabled": "true"
    }
  }
}
"""

R = """\
{
  "application_details": {
    "application": "/opt/ibm/spark/examples/src/main/r/dataframe.R",
    "conf": {
      "spark.app.name": "R Application",
      "spark.eventLog.enabled": "true"
    }
  }
}
"""

QUOTA = {
    "type": "info",
    "code": "instance_quota_exhausted",
    "message": "This Job/Application requested exceeded Service Instance quota, "
    "please contact your instance admin to increase quota",
}
ALLOWED = "allowed are https, local, s3, s3a."
LONG = re.compile(r"[A-Z][a-z]+day \d\d [A-Z][a-z]+ \d{4} \d\d:\d\d:\d\d\.\d{3}\+0000")


@pytest.mark.parametrize(("example", "kind"), [(PYTHON, "PYTHON"), (SCALA, "JAR"), (R, "R")], ids=["py", "jar", "R"])
def test_each_example_of_the_document_is_accepted_as_it_stands(
    service: Service, alice: Client, example: str, kind: str
) -> None:
    answer = alice.post(service.applications(), example, content_type="application/json")
    assert answer.status == 202
    assert set(answer.json) == {"application_id", "id", "state"}
    assert answer.json["state"] == "ACCEPTED"
    assert answer.json["id"] == answer.json["application_id"]
    assert UUID_PATTERN.fullmatch(answer.json["application_id"])
    given = json.loads(example)["application_details"]
    detail = alice.get(f"{service.applications()}/{answer.json['application_id']}").json
    assert {name: detail["application_details"][name] for name in given} == given
    (run,) = service.live()
    assert (run.spec.program.kind, run.spec.program.resource) == (kind, given["application"])
    assert run.spec.name == given["conf"]["spark.app.name"]


def test_an_ended_application_is_shown_with_every_field_of_the_document(service: Service, alice: Client) -> None:
    ensure_pool(
        service.ports,
        "main",
        "default",
        defaults={"conf": {"spark.driver.memory": "8G", "spark.driver.cores": "2"}, "spark_version": "3.4"},
    )
    run, path = submit(alice, R)
    service.end(run)
    found = service.run(run)
    service.store.seed(
        replace(found, application_id="app-20250103084042-0000", application_name="SparkR-DataFrame-example")
    )
    detail = alice.get(path).json
    times = {name: detail.pop(name) for name in ("creation_time", "start_time", "finish_time")}
    assert all(LONG.fullmatch(time) for time in times.values())
    assert detail.pop("run_page_url").endswith(f"/#application/{path.rpartition('/')[2]}")
    assert detail == {
        "application_details": {
            "application": "/opt/ibm/spark/examples/src/main/r/dataframe.R",
            "conf": {"spark.eventLog.enabled": "true", "spark.app.name": "R Application"},
            "instance_defaults_at_submission": {"conf": {"spark.driver.memory": "8G", "spark.driver.cores": "2"}},
            "runtime": {"spark_version": "3.4"},
        },
        "application_id": path.rpartition("/")[2],
        "return_code": "0",
        "state": "FINISHED",
        "spark_application_id": "app-20250103084042-0000",
        "spark_application_name": "SparkR-DataFrame-example",
        "deploy_mode": "stand-alone",
    }


def test_an_application_in_the_list_has_every_field_of_the_document(service: Service, alice: Client) -> None:
    run, path = submit(alice, details(runtime={"spark_version": "3.4"}))
    service.end(run)
    service.store.seed(replace(service.run(run), application_id="app-1"))
    (entry,) = alice.get(service.applications()).json["applications"]
    detail = alice.get(path).json
    assert entry == {
        "application_id": path.rpartition("/")[2],
        "template_id": "spark-3.4-cp4d-template",
        "state": "FINISHED",
        "start_time": detail["start_time"],
        "finish_time": detail["finish_time"],
        "spark_application_id": "app-1",
        "spark_application_name": "work",
        "creation_time": detail["creation_time"],
        "runtime": {"spark_version": "3.4"},
    }


def test_the_status_has_every_field_of_the_document_and_its_own_format_of_time(service: Service, alice: Client) -> None:
    run, path = submit(alice)
    service.end(run)
    service.store.seed(replace(service.run(run), application_id="app-1"))
    status = alice.get(f"{path}/status").json
    ended = service.run(run)
    assert status == {
        "id": path.rpartition("/")[2],
        "state": "FINISHED",
        "start_time": iso_time(ended.started_at),
        "finish_time": iso_time(ended.ended_at),
        "spark_application_id": "app-1",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", status["start_time"])


@pytest.mark.parametrize(
    ("format_", "ms", "text"),
    [
        (long_time, 1735893642324, "Friday 03 January 2025 08:40:42.324+0000"),
        (long_time, 1606313671311, "Wednesday 25 November 2020 14:14:31.311+0000"),
        (long_time, 1606313671000, "Wednesday 25 November 2020 14:14:31.000+0000"),
        (iso_time, 1618979041000, "2021-04-21T04:24:01.000Z"),
        (iso_time, 1618979041007, "2021-04-21T04:24:01.007Z"),
    ],
)
def test_times_are_written_as_the_document_writes_them(format_: Callable[[int], str], ms: int, text: str) -> None:
    assert format_(ms) == text


S = RunState
STATES: dict[tuple[RunState, Intent], str] = {
    (S.QUEUED, Intent.NONE): "QUEUED",
    (S.GRANTED, Intent.NONE): "ACCEPTED",
    (S.LAUNCHING, Intent.NONE): "SUBMITTED",
    (S.RUNNING, Intent.NONE): "RUNNING",
    (S.TERMINATING, Intent.CANCEL): "STOPPED",
    (S.TERMINATING, Intent.TIME_OUT): "AUTO_TERMINATED",
    (S.SUCCEEDED, Intent.NONE): "FINISHED",
    (S.FAILED, Intent.NONE): "FAILED",
    (S.CANCELED, Intent.CANCEL): "STOPPED",
    (S.TIMED_OUT, Intent.TIME_OUT): "AUTO_TERMINATED",
    (S.SKIPPED, Intent.NONE): "STOPPED",
    (S.INTERNAL_ERROR, Intent.NONE): "FAILED",
}


@pytest.mark.parametrize(("core", "word"), STATES.items(), ids=lambda value: str(value))
def test_every_state_has_its_word_in_detail_list_and_status(core: tuple[RunState, Intent], word: str) -> None:
    spec = RunSpec("n", Program(ProgramKind.PYTHON, "s3://a/b.py"), spark_version="3.5", policy=Policy())
    run = Run("main", 7, spec, "alice", 1_780_000_000_000, state=core[0], intent=core[1], message="why", reason="WHY")
    assert status_body(run, "u")["state"] == detail_body(run, "u", waiting=None)["state"] == word


def test_the_table_of_states_leaves_none_out() -> None:
    assert {state for state, _ in STATES} == set(RunState)


def test_a_failed_application_says_why_and_with_which_code(service: Service, alice: Client) -> None:
    run, path = submit(alice)
    service.start(run)
    error = {"type": "ValueError", "message": "no"}
    service.store.seed(replace(service.run(run), report={"error": error, "exit_code": 7}))
    service.end(run, "FAILED")
    detail = alice.get(path).json
    assert (detail["state"], detail["return_code"]) == ("FAILED", "7")
    assert detail["state_details"] == [{"type": "user_error", "code": "program_raised", "message": "ValueError: no"}]


def test_a_platforms_fault_is_told_as_such(service: Service, alice: Client) -> None:
    run, path = submit(alice)
    service.end(run, "FAILED", failure="CLUSTER_UNAVAILABLE", details="No nodes.")
    (told,) = alice.get(path).json["state_details"]
    assert told == {"type": "server_error", "code": "cluster_unavailable", "message": "No nodes."}


def test_an_application_beyond_the_quota_is_queued_with_the_documents_sentence(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "main", "default", maximum=Amount(1000, 1024, 0, 10))
    run, path = submit(alice)
    service.play()
    detail = alice.get(path).json
    numbers = "The run asks for 2 cores in total, which is more than the 1 core that pool default may ever hold."
    place = {"type": "info", "code": "waiting_quota", "message": numbers}
    assert (detail["state"], detail["state_details"]) == ("QUEUED", [QUOTA, place])
    assert "start_time" not in detail and "return_code" not in detail
    ensure_pool(service.ports, "main", "default", maximum=EVERYTHING)
    service.start(run)
    detail = alice.get(path).json
    assert detail["state"] == "RUNNING" and "state_details" not in detail


def test_one_that_waits_for_others_or_for_the_cluster_does_not_blame_the_quota(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "main", "default", maximum=Amount(4000, 1 << 20, 0, 10))
    first, _ = submit(alice)
    service.start(first)
    limit_cluster(service.ports, "main", Amount(3000, 1 << 20, 0, 10))
    _, path = submit(alice)
    service.play()
    (told,) = alice.get(path).json["state_details"]
    assert (told["type"], told["code"]) == ("info", "waiting_cluster")
    assert told["message"].startswith("Waiting for capacity: the run asks 2 cores; 1 of the 3 cores of the cluster")


def test_an_application_that_was_just_submitted_does_not_blame_the_quota(service: Service, alice: Client) -> None:
    _, path = submit(alice)
    assert "state_details" not in alice.get(path).json


def test_instance_defaults_are_beneath_the_applications_own_conf(service: Service, alice: Client) -> None:
    defaults = {"spark.executor.memory": "2g", "spark.a": "default"}
    ensure_pool(service.ports, "main", "default", defaults={"conf": defaults})
    run, path = submit(alice, details(conf={"spark.a": "own"}))
    spec = service.run(run).spec
    assert spec.conf == {"spark.executor.memory": "2g", "spark.a": "own"}
    assert spec.size.executor_memory == 2048
    shown = alice.get(path).json["application_details"]
    assert shown["instance_defaults_at_submission"] == {"conf": defaults}
    assert shown["conf"] == {"spark.a": "own"}


def test_the_defaults_shown_are_those_at_submission(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "main", "default", defaults={"conf": {"spark.a": "old"}})
    _, path = submit(alice)
    ensure_pool(service.ports, "main", "default", defaults={"conf": {"spark.a": "new"}})
    shown = alice.get(path).json["application_details"]
    assert shown["instance_defaults_at_submission"] == {"conf": {"spark.a": "old"}}


def test_everything_that_details_can_say_reaches_the_run(service: Service, alice: Client) -> None:
    body = details(
        application="s3://code/main.jar",
        **{"class": "org.Main"},
        name="named",
        env={"STAGE": "test"},
        jars="s3://l/a.jar, s3://l/b.jar",
        packages="g:a:1,g:b:2",
        repositories="https://r.test",
        files="s3://l/f#g",
        archives="s3://l/x.zip",
        conf={"ae.spark.executor.count": 3, "spark.executor.cores": "2"},
        **{"driver-class-path": "/opt/x"},
        runtime={"spark_version": "3.4"},
    )
    spec = service.run(submit(alice, body)[0]).spec
    assert (spec.name, spec.program.main_class, spec.environment) == ("named", "org.Main", {"STAGE": "test"})
    assert spec.files.jars == ("s3://l/a.jar", "s3://l/b.jar")
    assert spec.files.packages == ("g:a:1", "g:b:2")
    assert (spec.files.files, spec.files.archives) == (("s3://l/f#g",), ("s3://l/x.zip",))
    assert (spec.size.executors, spec.size.executor_cores, spec.spark_version) == (3, 2, "3.4")
    assert spec.conf["spark.driver.extraClassPath"] == "/opt/x"
    assert "ae.spark.executor.count" not in spec.conf


def test_the_older_name_of_the_arguments_is_taken_too(service: Service, alice: Client) -> None:
    run, _ = submit(alice, details(arguments=None, application_arguments=["x", "y"]))
    assert service.run(run).spec.program.arguments == ("x", "y")


def test_an_application_without_a_name_is_called_like_its_file(alice: Client) -> None:
    _, path = submit(alice, details(conf=None))
    assert alice.get(path).json["spark_application_name"] == "main.py"


@pytest.mark.parametrize(
    ("body", "status", "message", "field"),
    [
        ({}, 400, "application_details is required.", "application_details"),
        (
            {"application_details": {}},
            400,
            "application_details.application is required.",
            "application_details.application",
        ),
        (
            {"application_details": "s3://a/b.py"},
            400,
            "application_details: expected object, found string.",
            "application_details",
        ),
        (
            details(application=5),
            400,
            "application_details.application: expected string, found number.",
            "application_details.application",
        ),
        (
            details(arguments="1 2"),
            400,
            "application_details.arguments: expected array, found string.",
            "application_details.arguments",
        ),
        (
            details(arguments=[[1]]),
            400,
            "application_details.arguments.0: expected string, found array.",
            "application_details.arguments.0",
        ),
        (
            details(conf=[1]),
            400,
            "application_details.conf: expected an object, found array.",
            "application_details.conf",
        ),
        (
            details(application="s3://a/b.jar"),
            400,
            "application_details.class is required for a jar.",
            "application_details.class",
        ),
        (
            details(application="gopher://a/b.py"),
            400,
            f"application_details.application: the URI 'gopher://a/b.py' is of scheme 'gopher'; {ALLOWED}",
            "application_details.application",
        ),
        (
            details(application="s3://a/../b.py"),
            400,
            "application_details.application: 's3://a/../b.py' has a '..' in its path.",
            "application_details.application",
        ),
        (
            details(conf={"spark.kubernetes.namespace": "x"}),
            400,
            "application_details.conf: spark.kubernetes.namespace is set by the platform and cannot be overridden.",
            "application_details.conf",
        ),
        (
            details(runtime={"spark_version": "9.9"}),
            400,
            "Spark 9.9 is not available. Known versions: 3.3, 3.4, 3.5.",
            "application_details.runtime.spark_version",
        ),
        (
            {**details(), "volumes": [{"name": "v"}]},
            400,
            "volumes.0.mount_path is required.",
            "volumes.0.mount_path",
        ),
        (
            details(conf={"spark.executor.memory": "lots"}),
            400,
            "spark.executor.memory: 'lots' is not an amount of memory such as 512m, 4g or 20Gi.",
            "spark.executor.memory",
        ),
        ([], 400, "The body of the request must be a JSON object.", ""),
        (None, 400, "The body of the request must be a JSON object.", ""),
    ],
)
def test_an_application_that_can_never_be_right_is_refused_by_name_and_changes_nothing(
    service: Service, alice: Client, body: Any, status: int, message: str, field: str
) -> None:
    with service.unchanged():
        answer = alice.post(service.applications(), body, content_type="application/json")
    code = "invalid_request" if field else "invalid_request_body"
    refused(answer, status, code, message, field)


def listed(client: Client, **query: Any) -> list[str]:
    answer = client.get(client.service.applications(), **query)
    assert answer.status == 200, answer.body
    return [entry["application_id"] for entry in answer.json["applications"]]


def test_applications_are_listed_from_the_newest_and_by_state(service: Service, alice: Client) -> None:
    paths = [submit(alice) for _ in range(4)]
    finished, running, stopped, queued = (path.rpartition("/")[2] for _, path in paths)
    alice.delete(paths[2][1])
    service.end(paths[0][0])
    service.start(paths[1][0])
    ensure_pool(service.ports, "main", "default", maximum=Amount(0, 0, 0, 0))
    last = submit(alice)[1].rpartition("/")[2]
    assert listed(alice) == [last, queued, stopped, running, finished]
    assert listed(alice, limit=2) == [last, queued]
    assert listed(alice, state="FINISHED") == [finished]
    assert listed(alice, state="running,finished") == [running, finished]
    assert listed(alice, state=" Stopped , QUEUED ") == [last, stopped]
    assert listed(alice, state="FAILED") == listed(alice, state="WAITING") == []


def test_a_state_that_is_given_twice_asks_for_both(service: Service, alice: Client) -> None:
    _, first = submit(alice)
    _, second = submit(alice)
    alice.delete(first)
    query = [("state", "STOPPED"), ("state", "QUEUED")]
    answer = alice.request("GET", service.applications(), query=query)
    ids = [entry["application_id"] for entry in answer.json["applications"]]
    assert ids == [second.rpartition("/")[2], first.rpartition("/")[2]]


def test_a_list_by_state_has_what_is_shown_in_that_state_and_nothing_else(service: Service, alice: Client) -> None:
    timed_out, _ = submit(alice)
    stopped, path = submit(alice)
    service.start(timed_out)
    service.start(stopped)
    alice.delete(path)
    run = replace(service.run(timed_out), state=S.TERMINATING, intent=Intent.TIME_OUT)
    service.store.seed(run)
    for state in ("STOPPED", "AUTO_TERMINATED"):
        entries = alice.get(service.applications(), state=state).json["applications"]
        assert [entry["state"] for entry in entries] == [state]


KNOWN = "ACCEPTED, AUTO_TERMINATED, FAILED, FINISHED, OPS_TERMINATED, QUEUED, RUNNING, STOPPED, SUBMITTED, WAITING"


@pytest.mark.parametrize("state", ["", ",", " "])
def test_an_empty_filter_is_none(alice: Client, state: str) -> None:
    """IBM's Python client sends `state=` for `list_applications(state=[])`."""
    uuid = submit(alice)[1].rpartition("/")[2]
    answer = alice.get(alice.service.applications(), state=state)
    assert [entry["application_id"] for entry in answer.json["applications"]] == [uuid]


@pytest.mark.parametrize("state", ["DREAMING", "RUNNING,DREAMING"])
def test_a_state_that_nobody_knows_is_refused_with_those_that_are(service: Service, alice: Client, state: str) -> None:
    answer = alice.get(service.applications(), state=state)
    refused(answer, 400, "invalid_request", f"state: '{state}' is not a list of states. Known: {KNOWN}.", "state")


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "all", "9" * 40])
def test_a_limit_out_of_range_is_refused(service: Service, alice: Client, limit: str) -> None:
    answer = alice.get(service.applications(), limit=limit)
    refused(answer, 400, "invalid_request", f"limit: '{limit}' is not a number from 1 to 1000.", "limit")


def test_deleting_a_live_application_stops_it_and_it_stays_readable(service: Service, alice: Client) -> None:
    run, path = submit(alice)
    service.start(run)
    answer = alice.delete(path)
    assert (answer.status, answer.body) == (204, b"")
    assert alice.get(path).json["state"] == "STOPPED"
    service.play()
    service.progress()
    service.play()
    assert service.run(run).state is S.CANCELED
    assert alice.get(f"{path}/status").json["state"] == "STOPPED"


def test_deleting_one_that_is_being_stopped_is_no_error(service: Service, alice: Client) -> None:
    run, path = submit(alice)
    service.start(run)
    assert [alice.delete(path).status for _ in range(2)] == [204, 204]
    assert alice.get(path).status == 200


def test_deleting_an_ended_application_removes_it_and_then_it_is_gone(service: Service, alice: Client) -> None:
    run, path = submit(alice)
    service.end(run)
    assert alice.delete(path).status == 204
    uuid = path.rpartition("/")[2]
    for answer in (alice.get(path), alice.get(f"{path}/status"), alice.delete(path)):
        refused(answer, 410, "gone", f"Application {uuid} was deleted.", "application_id")
    assert listed(alice) == []


STRAY = "b10003fd-f68b-407d-8ab5-a6d73ea4da32"


@pytest.mark.parametrize(("method", "below"), [("GET", ""), ("GET", "/status"), ("DELETE", "")])
def test_a_stray_application_and_another_workspaces_are_not_found_alike(
    service: Service, alice: Client, eve: Client, method: str, below: str
) -> None:
    theirs = eve.post(service.applications(workspace="elsewhere"), details()).json["application_id"]
    with service.unchanged():
        for uuid in (STRAY, theirs):
            answer = alice.request(method, f"{service.applications()}/{uuid}{below}")
            refused(answer, 404, "not_found", f"Application {uuid} does not exist.", "application_id")


@pytest.mark.parametrize("text", ["1", STRAY.upper(), STRAY[:-1], STRAY.replace("407d", "907d")])
def test_an_application_id_that_is_no_guid_is_a_bad_request(service: Service, alice: Client, text: str) -> None:
    answer = alice.get(f"{service.applications()}/{text}")
    message = f"application_id: '{text}' is not a GUID of an application."
    refused(answer, 400, "invalid_request", message, "application_id")


def test_an_application_belongs_to_its_instance(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "main", "gold")
    _, path = submit(alice)
    uuid = path.rpartition("/")[2]
    answer = alice.get(f"{service.applications('gold')}/{uuid}")
    refused(answer, 404, "not_found", f"Application {uuid} does not exist.", "application_id")
    assert alice.get(service.applications("gold")).json == {"applications": []}


def test_a_databricks_pool_is_an_instance_with_its_runs(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "main", "gold")
    body = databricks.python(new_cluster=databricks.cluster(instance_pool_id="gold"))
    run = databricks.submit(alice, body)
    assert alice.get(service.application(run, "gold")).status == 200


def test_json_is_read_whatever_the_content_type_says(service: Service, alice: Client) -> None:
    for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded", ""):
        assert alice.post(service.applications(), PYTHON, content_type=content_type).status == 202


def test_posting_is_answered_before_anything_is_granted(service: Service, alice: Client) -> None:
    assert post(alice).json["state"] == "ACCEPTED"
    (run,) = service.live()
    assert run.state is S.QUEUED


def test_what_is_plainly_meant_as_text_may_be_a_number_or_a_boolean(service: Service, alice: Client) -> None:
    run, path = submit(alice, details(arguments=["a", 5, 0.25, True, ""], runtime={"spark_version": 3.4}))
    spec = service.run(run).spec
    assert (spec.program.arguments, spec.spark_version) == (("a", "5", "0.25", "true", ""), "3.4")
    assert alice.get(path).json["application_details"]["runtime"]["spark_version"] == "3.4"


@pytest.mark.parametrize("argument", [None, [], {"a": 1}])
def test_an_argument_that_is_no_text_is_refused(service: Service, alice: Client, argument: object) -> None:
    found = {type(None): "null", list: "array", dict: "object"}[type(argument)]
    with service.unchanged():
        answer = post(alice, details(arguments=["a", argument]))
    field = "application_details.arguments.1"
    refused(answer, 400, "invalid_request", f"{field}: expected string, found {found}.", field)


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"conf": {"spark.app.name": "in the conf"}, "name": "told"}, "told"),
        ({"conf": {"spark.app.name": "in the conf"}}, "in the conf"),
        ({"conf": {}}, "main.py"),
        ({"conf": {}, "application": "/opt/ibm/spark/examples/jars/spark-examples*.jar", "class": "a.b.Pi"}, "a.b.Pi"),
    ],
)
def test_an_application_is_called_what_it_called_itself_and_until_then_what_it_was_called(
    service: Service, alice: Client, more: dict[str, object], name: str
) -> None:
    run, path = submit(alice, details(**more))
    assert alice.get(path).json["spark_application_name"] == name
    service.store.seed(replace(service.run(run), application_name="its own"))
    (entry,) = alice.get(service.applications()).json["applications"]
    assert alice.get(path).json["spark_application_name"] == entry["spark_application_name"] == "its own"


TEMPLATE = "spark-3.3-jaas-v2-cp4d-template"


def test_a_template_selects_the_spark_version_that_it_names_and_is_shown(service: Service, alice: Client) -> None:
    run, path = submit(alice, {**details(), "template_id": TEMPLATE})
    assert service.run(run).spec.spark_version == "3.3"
    detail = alice.get(path).json
    (entry,) = alice.get(service.applications()).json["applications"]
    assert detail["template_id"] == entry["template_id"] == TEMPLATE
    assert detail["application_details"]["runtime"]["spark_version"] == entry["runtime"]["spark_version"] == "3.3"


@pytest.mark.parametrize(
    ("template", "asked", "version"),
    [
        ("spark-3.4-cp4d-miniforge-template", "3.4", "3.4"),
        ("spark-3.4-cp4d-miniforge-template", "3.4.1", "3.4.1"),
        ("spark-3.4.1-template-v2", "3.4", "3.4"),
        ("spark-3.4.1-template-v2", None, "3.4.1"),
    ],
)
def test_a_template_and_a_version_may_say_the_same(
    service: Service, alice: Client, template: str, asked: str | None, version: str
) -> None:
    runtime = {"spark_version": asked} if asked else None
    run, _ = submit(alice, {**details(runtime=runtime), "template_id": template})
    assert service.run(run).spec.spark_version == version


@pytest.mark.parametrize("template", ["", None])
def test_an_empty_template_is_none(service: Service, alice: Client, template: str | None) -> None:
    run, path = submit(alice, {**details(), "template_id": template})
    assert service.run(run).spec.spark_version == service.settings.default_spark
    assert "template_id" not in alice.get(path).json


FORM_OF_TEMPLATE = "is not of the form spark-<version>-…template."
BAD_TEMPLATES: dict[str, tuple[str, dict[str, str] | None, str]] = {
    "a word": ("template", None, f"template_id: 'template' {FORM_OF_TEMPLATE}"),
    "no version": ("spark-cp4d-template", None, f"template_id: 'spark-cp4d-template' {FORM_OF_TEMPLATE}"),
    "no template": ("spark-3.4-cp4d", None, f"template_id: 'spark-3.4-cp4d' {FORM_OF_TEMPLATE}"),
    "a blank": ("spark-3.4-a template", None, f"template_id: 'spark-3.4-a template' {FORM_OF_TEMPLATE}"),
    "a version that nobody has": (
        "spark-9.9-cp4d-template",
        None,
        "Spark 9.9 is not available. Known versions: 3.3, 3.4, 3.5.",
    ),
    "a contradiction": (
        TEMPLATE,
        {"spark_version": "3.4"},
        f"template_id: {TEMPLATE} is for Spark 3.3, and runtime.spark_version asks for 3.4.",
    ),
}


@pytest.mark.parametrize(("template", "runtime", "message"), BAD_TEMPLATES.values(), ids=BAD_TEMPLATES.keys())
def test_a_template_that_is_none_is_refused(
    service: Service, alice: Client, template: str, runtime: dict[str, str] | None, message: str
) -> None:
    with service.unchanged():
        answer = post(alice, {**details(runtime=runtime), "template_id": template})
    refused(answer, 400, "invalid_request", message, "template_id")


def test_every_answer_names_its_request_in_the_header_that_the_clients_read(service: Service, alice: Client) -> None:
    _, path = submit(alice)
    unknown = service.nobody.get("/v4/nothing")
    answers = [alice.get(path), alice.get(service.applications()), post(alice), unknown, alice.delete(path)]
    names = [answer.headers["x-global-transaction-id"] for answer in answers]
    assert all(name.startswith("request-") for name in names)
    assert unknown.json["trace"] == unknown.headers["x-global-transaction-id"]
    assert "x-global-transaction-id" not in alice.get("/api/2.0/jobs/list").headers
