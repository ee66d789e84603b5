"""The curl lines of the two documents, with the host alone replaced: real curl, its own content types, --netrc."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Program
from tests.e2e.live import RUN_SECONDS, Client, Sandbox, eventually

MODEL = {
    "name": "Nightly model training",
    "new_cluster": {"spark_version": "7.5.x-scala2.12", "node_type_id": "n1-highmem-4", "num_workers": 10},
    "libraries": [{"jar": "dbfs:/my-jar.jar"}, {"maven": {"coordinates": "org.jsoup:jsoup:1.7.2"}}],
    "timeout_seconds": 3600,
    "max_retries": 1,
    "schedule": {"quartz_cron_expression": "0 15 22 * * ?", "timezone_id": "America/Los_Angeles"},
    "spark_jar_task": {"main_class_name": "com.databricks.ComputeModels"},
}
RSCRIPT = shutil.which("Rscript")
EXAMPLES = "/opt/ibm/spark/examples"
WORDCOUNT = {
    "application": f"{EXAMPLES}/src/main/python/wordcount.py",
    "arguments": [f"{EXAMPLES}/src/main/resources/people.txt"],
    "conf": {"spark.app.name": "PySpark Application", "spark.eventLog.enabled": "true"},
}
SCALA = {
    "arguments": ["1"],
    "application": f"{EXAMPLES}/jars/spark-examples*.jar",
    "class": "org.apache.spark.examples.SparkPi",
    "conf": {"spark.app.name": "Scala Application", "spark.eventLog.enabled": "true"},
}
R = {
    "application": f"{EXAMPLES}/src/main/r/dataframe.R",
    "conf": {"spark.app.name": "R Application", "spark.eventLog.enabled": "true"},
}


class Curl:
    """curl in a directory of its own, with a .netrc that has the sandbox's token."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        self._directory, self.url = directory, sandbox.url
        (directory / ".netrc").write_text(f"machine 127.0.0.1 login token password {sandbox.token}\n")
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(directory)}

    def __call__(self, *words: str, status: int = 200) -> Any:
        """The JSON that a request answers; fails unless it has this status."""
        command = ["curl", "-sS", "-w", "\n%{http_code}", *words]
        done = subprocess.run(
            command, cwd=self._directory, env=self._environment, capture_output=True, text=True, timeout=60, check=True
        )
        body, _, code = done.stdout.rpartition("\n")
        assert int(code) == status, (words, done.stdout)
        return json.loads(body) if body else None

    def file(self, name: str, content: Any) -> str:
        (self._directory / name).write_text(json.dumps(content, indent=1))
        return f"@{name}"


@pytest.fixture
def curl(sandbox: Sandbox, tmp_path: Path) -> Curl:
    return Curl(sandbox, tmp_path)


def test_a_job_is_created_listed_shown_and_deleted(curl: Curl) -> None:
    api = f"{curl.url}/api/2.0/jobs"
    create = ("--netrc", "--request", "POST", f"{api}/create", "--data", curl.file("create-job.json", MODEL))
    id = curl(*create)["job_id"]
    shown = curl("--netrc", "--request", "GET", f"{api}/get?job_id={id}")
    assert curl("--netrc", "--get", f"{api}/get", "--data", f"job_id={id}") == shown
    assert shown["settings"]["schedule"] == {**MODEL["schedule"], "pause_status": "UNPAUSED"}  # type: ignore[dict-item]
    rest = {name: value for name, value in MODEL.items() if name != "schedule"}
    assert {name: shown["settings"][name] for name in rest} == rest
    listed = curl("--netrc", "--request", "GET", f"{api}/list")["jobs"]
    assert [job for job in listed if job["job_id"] == id] == [shown]
    delete = ("--netrc", "--request", "POST", f"{api}/delete", "--data", json.dumps({"job_id": id}))
    assert curl(*delete) == {}
    assert curl(*delete) == {}
    gone = curl("--netrc", "--request", "GET", f"{api}/get?job_id={id}", status=400)
    assert gone == {"error_code": "INVALID_PARAMETER_VALUE", "message": f"Job {id} does not exist."}


def test_runs_are_started_listed_shown_cancelled_and_deleted(curl: Curl, client: Client, program: Program) -> None:
    api = f"{curl.url}/api/2.0/jobs"
    post = ("--netrc", "--request", "POST")
    path = program("patient.py", "import time\nprint('begun', flush=True)\ntime.sleep(300)\n")
    job = {**MODEL, "libraries": [], "spark_python_task": {"python_file": f"file:{path}"}, "max_retries": 0}
    job = {name: value for name, value in job.items() if name not in {"spark_jar_task", "schedule"}}
    id = curl(*post, f"{api}/create", "--data", curl.file("create-job.json", job))["job_id"]
    run_now = curl.file("run-job.json", {"job_id": id, "python_params": ["john doe", "35"]})
    started = curl(*post, f"{api}/run-now", "--data", run_now)
    assert started["number_in_job"] == 1
    run = started["run_id"]

    query = f"job_id={id}&active_only=true&offset=0&limit=1&run_type=JOB_RUN"
    listed = curl("--netrc", "--request", "GET", f"{api}/runs/list?{query}")
    assert curl("--netrc", "--get", f"{api}/runs/list", "--data", query)["runs"][0]["run_id"] == run
    assert [one["run_id"] for one in listed["runs"]] == [run]
    assert listed["has_more"] is False
    shown = curl("--netrc", "--get", f"{api}/runs/get", "--data", f"run_id={run}")
    assert shown["overriding_parameters"] == {"python_params": ["john doe", "35"]}
    assert shown["state"]["life_cycle_state"] in {"PENDING", "RUNNING"}

    about = ("--data", json.dumps({"run_id": run}))
    refused = curl(*post, f"{api}/runs/delete", *about, status=400)
    assert refused["error_code"] == "INVALID_STATE"
    assert curl(*post, f"{api}/runs/cancel", *about) == {}
    ended = client.await_end(run)
    assert ended["state"]["result_state"] == "CANCELED"
    output = curl("--netrc", "--request", "GET", f"{api}/runs/get-output?run_id={run}")
    assert output["metadata"] == ended
    assert curl(*post, f"{api}/runs/delete", *about) == {}
    gone = curl("--netrc", "--request", "GET", f"{api}/runs/get?run_id={run}", status=400)
    assert gone["message"] == f"Run {run} does not exist."


def test_a_one_time_run_of_a_jar_that_is_not_there_fails_and_names_it(curl: Curl, client: Client) -> None:
    submit = {"run_name": "my spark task", **{n: MODEL[n] for n in ("new_cluster", "spark_jar_task")}}
    submit["libraries"] = [{"jar": "dbfs:/my-jar.jar"}]
    data = curl.file("submit-job.json", submit)
    run = curl("--netrc", "--request", "POST", f"{curl.url}/api/2.0/jobs/runs/submit", "--data", data)["run_id"]
    state = client.await_end(run)["state"]
    assert state["result_state"] == "FAILED"
    assert "my-jar.jar" in state["state_message"]


def test_a_token_is_had_for_a_user_and_either_kind_of_secret(curl: Curl, sandbox: Sandbox) -> None:
    authorize = ("-k", "-X", "POST", f"{curl.url}/icp4d-api/v1/authorize")
    as_json = ("-H", "Content-Type: application/json")
    for kind in ("password", "api_key"):
        told = curl(*authorize, "-d", json.dumps({"username": "admin", kind: sandbox.token}), *as_json)
        shown = curl(
            f"{curl.url}/v4/analytics_engines/{sandbox.instance}",
            "-H", f"Authorization: Bearer {told['token']}", *as_json,
        )  # fmt: skip
        assert shown["instance_id"] == sandbox.instance
    zen = base64.b64encode(f"admin:{sandbox.token}\n".encode()).decode()
    header = ("-H", f"Authorization: ZenApiKey {zen}")
    assert curl(f"{curl.url}/v4/analytics_engines/{sandbox.instance}", *header)["state"] == "Created"
    wrong = curl(*authorize, "-d", json.dumps({"username": "admin", "password": "wrong"}), *as_json, status=401)
    assert wrong["errors"][0]["code"] == "unauthorized"


def test_the_three_sample_applications_end_as_they_must(curl: Curl, sandbox: Sandbox, client: Client) -> None:
    url = f"{curl.url}/v4/analytics_engines/{sandbox.instance}/spark_applications"
    header = ("-H", f"Authorization: Bearer {sandbox.token}", "-H", "Content-Type: application/json")
    ids = []
    for details in (WORDCOUNT, SCALA, R):
        data = curl.file("application.json", {"application_details": details})
        accepted = curl("-X", "POST", url, *header, "-d", data, status=202)
        assert accepted["state"] == "ACCEPTED"
        ids.append(accepted["application_id"])
    python, scala, r = (client.await_application(id) for id in ids)
    assert [(one["state"], one["return_code"]) for one in (python, scala)] == [("FINISHED", "0")] * 2
    assert python["application_details"]["arguments"] == WORDCOUNT["arguments"]
    assert [one["spark_application_name"] for one in (python, scala)] == ["PythonWordCount", "Spark Pi"]
    ran = {one["application_details"]["runtime"]["engine_version"] for one in (python, scala)}
    assert len(ran) == 1 and ran.pop()[0] in "34"
    assert python["spark_application_id"].startswith("local-")

    if RSCRIPT is None:
        assert r["state"] == "FAILED"
        assert "apt install r-base-core" in r["state_details"][0]["message"]
        assert "return_code" not in r  # nothing ran
    else:
        assert (r["state"], r["return_code"]) == ("FINISHED", "0")
        assert r["spark_application_id"].startswith("local-")
        assert r["spark_application_name"] == "SparkR-DataFrame-example"  # as the document's own sample has it

    status = curl("-X", "GET", f"{url}/{ids[0]}/status", *header)
    assert (status["id"], status["state"]) == (ids[0], "FINISHED")
    data = curl.file("application.json", {"application_details": {"application": "/opt/ibm/spark/absent.py"}})
    absent = curl("-X", "POST", url, *header, "-d", data, status=202)["application_id"]
    assert client.await_application(absent)["state"] == "FAILED"
    listed = curl("-X", "GET", f"{url}?state=FAILED,RUNNING", *header)["applications"]
    assert absent in [one["application_id"] for one in listed]
    assert ids[0] not in [one["application_id"] for one in listed]
    curl("-X", "DELETE", f"{url}/{ids[0]}", *header, status=204)
    gone = curl("-X", "GET", f"{url}/{ids[0]}", *header, status=410)
    assert ids[0] in gone["errors"][0]["message"]


def test_the_output_of_an_application_is_read_by_the_other_dialects_curl(curl: Curl, client: Client) -> None:
    id = client.apply(WORDCOUNT["application"], *WORDCOUNT["arguments"], name="people")  # type: ignore[arg-type]
    assert client.await_application(id, RUN_SECONDS)["state"] == "FINISHED"
    listed = curl("--netrc", "--request", "GET", f"{curl.url}/api/2.0/jobs/runs/list")["runs"]
    (run,) = [one["run_id"] for one in listed if one["run_name"] == "people"]

    def output() -> Any:
        return curl("--netrc", "--request", "GET", f"{curl.url}/api/2.0/jobs/runs/get-output?run_id={run}")["logs"]

    assert "Michael,: 1" in eventually(output, "the application's output")
