"""Analytics Engine with that cloud's own client library, unmodified, against a real Spark: an instance, its
applications, and its history server."""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ibm_cloud_sdk_core import ApiException, BaseService
from ibm_cloud_sdk_core.authenticators import BearerTokenAuthenticator, CloudPakForDataAuthenticator

from tests.e2e.conftest import NewSandbox
from tests.e2e.live import Sandbox, eventually

IMAGE = "/opt/ibm/spark/examples"
LOGGED = {"spark.eventLog.enabled": "true"}
NONE = {"cores": "0m", "memory": "0Mi"}


class Engine(BaseService):  # type: ignore[misc]
    """One instance, as a generated client of that cloud calls it."""

    def __init__(self, sandbox: Sandbox, authenticator: Any, instance: str = "") -> None:
        super().__init__(service_url=sandbox.url, authenticator=authenticator)
        self.base = f"/v4/analytics_engines/{instance or sandbox.instance}"

    def call(self, method: str, path: str = "", body: Any = None, **options: Any) -> Any:
        """An operation's answer, whole."""
        headers = {"content-type": options.pop("type_", "application/json")} if body is not None else {}
        data = {"data": json.dumps(body)} if body is not None else {}  # of a dict the library takes the nulls out
        request = self.prepare_request(method, f"{self.base}{path}", headers=headers, **data, **options)
        return self.send(request)

    def ok(self, method: str, path: str = "", body: Any = None, **options: Any) -> Any:
        """An operation's result."""
        return self.call(method, path, body, **options).get_result()

    def refused(self, method: str, path: str = "", body: Any = None) -> tuple[int, str]:
        """The status and message of an operation that must fail."""
        with pytest.raises(ApiException) as failed:
            self.call(method, path, body)
        return failed.value.status_code, failed.value.message

    def apply(self, **details: Any) -> str:
        """Submit an application; returns its id."""
        answer = self.call("POST", "/spark_applications", {"application_details": details})
        assert answer.get_status_code() == 202
        return str(answer.get_result()["application_id"])

    def ended(self, id: str) -> Mapping[str, Any]:
        """The application's details once it has ended."""

        def look() -> Any:
            found = self.ok("GET", f"/spark_applications/{id}")
            return found if found["state"] in {"FINISHED", "FAILED", "STOPPED"} else None

        return eventually(look, f"the end of application {id}", 120)  # type: ignore[no-any-return]


@pytest.fixture
def engine(sandbox: Sandbox) -> Engine:
    """The administrator, who brings a username and an API key."""
    return Engine(sandbox, CloudPakForDataAuthenticator("admin", apikey=sandbox.token, url=f"{sandbox.url}/icp4d-api"))


def test_the_library_authenticates_and_reads_and_changes_the_instance(engine: Engine, sandbox: Sandbox) -> None:
    assert engine.ok("GET")["instance_id"] == sandbox.instance
    before = engine.ok("GET", "/default_runtime")
    assert engine.ok("PUT", "/default_runtime", {"spark_version": "3.4"}) == {"spark_version": "3.4"}
    assert engine.ok("PUT", "/default_runtime", before) == before
    engine.ok("PUT", "/default_configs", {"spark.driver.cores": "1"})
    patched = engine.ok("PATCH", "/default_configs", {"spark.x": "y"}, type_="application/merge-patch+json")
    assert patched == {"spark.driver.cores": "1", "spark.x": "y"}
    assert engine.ok("PATCH", "/default_configs", {"spark.x": None, "spark.driver.cores": None}) == {}
    limits = {"max_cores": "900", "max_memory": "4000Gi"}
    assert engine.ok("PUT", "/resource_consumption_limits", limits) == limits
    assert engine.ok("GET", "/current_resource_consumption")["pending"] == NONE
    assert engine.call("DELETE", "/resource_consumption_limits").get_status_code() == 204
    assert engine.refused("GET", "/resource_consumption_limits")[0] == 404
    engine.ok("PUT", "/resource_consumption_limits", {"max_cores": "1000", "max_memory": "8000Gi"})


def test_a_user_who_is_no_administrator_changes_nothing(sandbox: Sandbox) -> None:
    sandbox.admin("user", "create", "--user", "uma", "--password-stdin", told="correct horse\n")
    uma = Engine(sandbox, CloudPakForDataAuthenticator("uma", "correct horse", url=f"{sandbox.url}/icp4d-api"))
    assert uma.ok("GET")["state"] == "Created"
    assert uma.refused("PUT", "/default_configs", {}) == (403, "This needs an administrator.")
    wrong = Engine(sandbox, CloudPakForDataAuthenticator("uma", "wrong", url=f"{sandbox.url}/icp4d-api"))
    assert wrong.refused("GET")[0] == 401


def test_an_application_beyond_the_quota_waits_and_starts_when_the_quota_is_raised(
    engine: Engine, sandbox: Sandbox
) -> None:
    made = sandbox.admin("instance", "create", "--name", "small", "--cores", "1", "--memory", "80Gi")
    small = Engine(sandbox, engine.authenticator, made["instance_id"])
    id = small.apply(
        application=f"{IMAGE}/src/main/python/wordcount.py", arguments=[f"{IMAGE}/src/main/resources/people.txt"]
    )
    waiting = small.ok("GET", f"/spark_applications/{id}")
    assert waiting["state"] == "QUEUED"
    assert waiting["state_details"][0] == {
        "type": "info",
        "code": "instance_quota_exhausted",
        "message": "This Job/Application requested exceeded Service Instance quota, "
        "please contact your instance admin to increase quota",
    }
    assert small.ok("GET", "/current_resource_consumption")["pending"]["cores"] == "2000m"
    small.ok("PUT", "/resource_consumption_limits", {"max_cores": "10", "max_memory": "20Gi"})
    assert small.ended(id)["state"] == "FINISHED"


def test_the_history_server_shows_what_finished_and_answers_as_sparks_own(new_sandbox: NewSandbox) -> None:
    sandbox = new_sandbox(SPARKPLANE_MAX_DRIVERS="3").start()
    engine = Engine(sandbox, BearerTokenAuthenticator(sandbox.token))
    assert engine.refused("GET", "/spark_history_server")[0] == 404
    python = engine.apply(
        application=f"{IMAGE}/src/main/python/wordcount.py",
        arguments=[f"{IMAGE}/src/main/resources/people.txt"],
        conf={"spark.app.name": "PySpark Application", **LOGGED},
    )
    started = engine.call("POST", "/spark_history_server")
    assert (started.get_status_code(), started.get_result()["state"]) == (201, "started")
    assert (started.get_result()["cores"], started.get_result()["memory"]) == ("1", "4G")
    assert engine.refused("POST", "/spark_history_server") == (409, "The history server is already started.")
    scala = engine.apply(
        application=f"{IMAGE}/jars/spark-examples*.jar",
        **{"class": "org.apache.spark.examples.SparkPi"},
        arguments=["1"],
        conf={"spark.app.name": "Scala Application", **LOGGED},
    )
    ids = [engine.ended(id)["spark_application_id"] for id in (python, scala)]

    def listed() -> Any:
        try:
            shown = engine.ok("GET", "/spark_history_server/api/v1/applications")
        except ApiException as early:
            assert early.status_code == 503
            return None
        return shown if {one["id"] for one in shown} >= set(ids) else None

    applications = eventually(listed, "both applications in the history server", 90, pause=0.5)
    assert {one["name"] for one in applications} >= {"PythonWordCount", "Spark Pi"}
    port = _port(sandbox)
    own = Engine(sandbox, BearerTokenAuthenticator("none"))
    own.set_service_url(f"http://127.0.0.1:{port}")
    own.base = ""
    for path in ("applications", f"applications/{ids[0]}/jobs", f"applications/{ids[0]}/executors", "version"):
        assert engine.ok("GET", f"/spark_history_server/api/v1/{path}") == own.ok("GET", f"/api/v1/{path}")
    page = engine.ok("GET", "/spark_history_server/ui/").text
    assert f'"{engine.base}/spark_history_server/ui/static/' in page
    jobs = engine.ok("GET", f"/spark_history_server/ui/history/{ids[0]}/jobs/").text
    assert "PythonWordCount" in jobs
    stranger = Engine(sandbox, BearerTokenAuthenticator("spk_main_" + "x" * 43))
    assert stranger.refused("GET", "/spark_history_server/api/v1/applications")[0] == 401

    os.kill(_pid(sandbox), signal.SIGKILL)
    eventually(lambda: _port(sandbox) not in (None, port), "a history server started again", 60)
    eventually(listed, "the history server after its restart", 60, pause=0.5)
    assert engine.call("DELETE", "/spark_history_server").get_status_code() == 204
    assert engine.refused("GET", "/spark_history_server") == (410, "The history server is already stopped.")
    eventually(lambda: not sandbox.pids(), "the history server's end", 30)
    eventually(lambda: engine.ok("GET", "/current_resource_consumption")["running"] == NONE, "its capacity")


def _servers(sandbox: Sandbox) -> list[Path]:
    running = [path.parent for path in sandbox.home.glob("emr/*/port.json") if (path.parent / "driver.json").exists()]
    return [folder for folder in running if not (folder / "exit.json").exists()]


def _port(sandbox: Sandbox) -> int | None:
    found = _servers(sandbox)
    return int(json.loads((found[0] / "port.json").read_text())["port"]) if found else None


def _pid(sandbox: Sandbox) -> int:
    return int(json.loads((_servers(sandbox)[0] / "driver.json").read_text())["pid"])


PROGRAM = """
import sys
print("argument", sys.argv[1].endswith("/in.txt"), open(sys.argv[1]).read(), flush=True)
"""


def test_a_program_and_its_data_come_from_a_volume(engine: Engine, sandbox: Sandbox) -> None:
    files = {"main.py": PROGRAM, "data/in.txt": "forty-two"}
    for name, text in files.items():
        contents = base64.b64encode(text.encode()).decode()
        body = {"path": f"/volumes/cpd-instance/jobs/{name}", "contents": contents, "overwrite": True}
        sandbox.client().ok("POST", "/api/2.0/dbfs/put", body)
    body = {
        "application_details": {"application": "/myapp/main.py", "arguments": ["/myapp/data/in.txt"]},
        "volumes": [{"name": "cpd-instance::jobs", "mount_path": "/myapp"}],
    }
    id = engine.ok("POST", "/spark_applications", body)["application_id"]
    assert engine.ended(id)["state"] == "FINISHED"
    (run,) = [one for one in sandbox.client().jobs("runs/list")["runs"] if one["run_name"] == "main.py"]
    assert sandbox.client().jobs("runs/get-output", run_id=run["run_id"])["logs"] == "argument True forty-two\n"


def test_the_library_may_compress_ask_for_no_state_and_name_the_request_that_failed(engine: Engine) -> None:
    engine.set_enable_gzip_compression(True)
    id = engine.apply(application=f"{IMAGE}/src/main/python/pi.py", arguments=["1"])
    listed = engine.call("GET", "/spark_applications", params={"state": ""})
    assert id in {one["application_id"] for one in listed.get_result()["applications"]}
    with pytest.raises(ApiException) as failed:
        engine.call("POST", "/spark_applications", {"application_details": {}})
    assert failed.value.global_transaction_id and listed.get_headers()["X-Global-Transaction-Id"]
    assert engine.ended(id)["spark_application_name"] == "PythonPi"
