"""The history server as people and programs have it: its pages in a real browser, its REST beside a stock one over the
same event logs, through kills of the sandbox, and until nobody uses it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3
import pytest
import requests

from tests.e2e import browser
from tests.e2e.browser import Page
from tests.e2e.conftest import NewSandbox, Program
from tests.e2e.live import ROOT, Client, Sandbox, capacity, eventually, free_port
from tests.e2e.test_analytics_engine import LOGGED, _pid, _port, _servers

PROGRAM = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.appName("orders <b>&").getOrCreate()
spark.range(1000).selectExpr("id", "id % 7 as k").createOrReplaceTempView("t")
spark.sql("select k, count(*), sum(id) from t group by k order by k").collect()
spark.sparkContext.parallelize(range(100), 4).map(lambda x: x * x).sum()
"""
SERVER = "/spark_history_server"
API = f"{SERVER}/api/v1"
SPARK = next((ROOT / ".venv-engine").glob("lib/python3*/site-packages/pyspark"))
QUERY = 1
"""The number of the query that has a plan to show."""


def listed(client: Client, application: str) -> Any:
    """The application as the history server lists it, once it does."""

    def look() -> Any:
        status, found = client.call("GET", f"/v4/analytics_engines/{client.sandbox.instance}{API}/applications")
        assert status in {200, 503}, found
        return status == 200 and next((one for one in found if one["id"] == application), None)

    return eventually(look, "the application in the history server", 120, pause=0.5)


def logged(client: Client, path: Path) -> str:
    """Run the program with its event log; returns Spark's id of it."""
    ended = client.await_application(client.apply(str(path), conf=LOGGED))
    assert ended["state"] == "FINISHED"
    return str(ended["spark_application_id"])


def unused(sandbox: Sandbox) -> bool:
    """Whether nothing holds capacity."""
    holds, used = capacity(sandbox)
    return holds == 0 and not any(used.values())


def status(client: Client) -> int:
    return client.call("GET", f"/v4/analytics_engines/{client.sandbox.instance}{SERVER}")[0]


def sign_in(page: Page, token: str) -> None:
    page.until("document.querySelector('#token')")
    page.ask(f"document.querySelector('#token').value = {json.dumps(token)}")
    page.click("form button")
    page.until("!document.querySelector('#token')")


PAGES = {
    "jobs/": "Completed Jobs",
    "jobs": "Completed Jobs",
    "jobs/job/?id=0": "Details for Job 0",
    "stages/": "Completed Stages",
    "stages/stage/?id=0&attempt=0": "Details for Stage 0",
    "storage/": "Storage",
    "environment/": "Java Home",
    "executors/": "Showing 1 to 1 of 1 entries",
    "SQL/": "Showing 1 to 2 of 2 entries",
    f"SQL/execution/?id={QUERY}": f"Details for Query {QUERY}",
}
"""Pages of an application, and what stands there once their scripts have asked for it."""


@browser.needed
def test_a_person_starts_it_in_a_browser_and_sees_every_page(
    new_sandbox: NewSandbox, program: Program, tmp_path: Path
) -> None:
    sandbox = new_sandbox(SPARKPLANE_MAX_DRIVERS="3").start()
    client = sandbox.client()
    application = logged(client, program("orders.py", PROGRAM))
    ui = f"{sandbox.url}/v4/analytics_engines/{sandbox.instance}{SERVER}/ui"
    with browser.browsing(tmp_path / "profile") as chromium:
        console = chromium.open(f"{sandbox.url}/#history")
        sign_in(console, sandbox.token)
        console.until("document.querySelector('.panel .badge').textContent === 'stopped'")
        console.click(".panel button")
        console.until("document.querySelector('a.button')", 60)
        listed(client, application)
        console.click("a.button")
        shown = chromium.other(console)
        shown.until("document.querySelector('#history-summary a')", 60)
        assert shown.ask("[document.cookie, sessionStorage.length, window.opener]") == ["", 0, None]
        shown.go(f"{ui}/")
        for path, text in PAGES.items():
            chromium.events.clear()
            shown.go(f"{ui}/history/{application}/{path}")
            shown.until(f"document.body.innerText.includes({json.dumps(text)})", 60)
            shown.ask(
                "document.querySelectorAll('.expand-dag-viz, .expand-application-timeline').forEach(e => e.click())"
            )
            shown.until("document.title.includes('orders <b>&')")
            assert shown.wrongs() == [], path
        shown.until("document.querySelector('svg g.node, svg .node')", 60)
        _downloads(shown, ui, application)

        run = client.jobs("runs/list")["runs"][0]["run_id"]
        console.go(f"{sandbox.url}/#run/{run}")
        console.until("document.querySelector('a.button')")
        assert console.ask("document.querySelector('a.button').href") == f"{ui}/history/{application}/jobs/"

        console.click("#leave")
        console.until("document.querySelector('#token')")
        shown.go(f"{ui}/history/{application}/jobs/?a=1&b=2")
        sign_in(shown, sandbox.token)
        shown.until("document.querySelector('a.button')")
        assert shown.ask("document.querySelector('a.button').href") == f"{ui}/history/{application}/jobs/?a=1&b=2"
        shown.click(".panel button")
        shown.until("document.querySelector('.panel .badge').textContent === 'stopped'")
        chromium.events.clear()
        console.go(f"{ui}/")
        console.until("document.body.innerText.includes('The history server is already stopped.')")
        console.go(f"{sandbox.url}/#history")
    assert status(client) == 410


def _downloads(shown: Page, ui: str, application: str) -> None:
    """What the list's button fetches is the event log, packed, byte for byte."""
    size = f"fetch('{ui}/api/v1/applications/{application}/logs').then(a => a.arrayBuffer()).then(b => b.byteLength)"
    assert shown.ask(size) > 1000


@contextmanager
def stock(logs: Path, work: Path) -> Iterator[str]:
    """Spark's own history server, started by hand over a directory of event logs; the address of its REST."""
    port = free_port()
    conf = {"fs.logDirectory": logs.as_uri(), "ui.port": str(port), "fs.update.interval": "1s"}
    options = " ".join(f"-Dspark.history.{name}={value}" for name, value in conf.items())
    environment = {"SPARK_HOME": str(SPARK), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_HISTORY_OPTS": options}
    with (work / "stock.log").open("wb") as said:
        process = subprocess.Popen(
            [SPARK / "bin/spark-class", "org.apache.spark.deploy.history.HistoryServer"],
            env={**os.environ, **environment},
            cwd=work,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def _fetched(sandbox: Sandbox, target: Path) -> Path:
    """A copy of the pool's event logs, as S3 has them."""
    told = sandbox.aws()
    s3 = boto3.client(
        "s3",
        endpoint_url=told["AWS_ENDPOINT_URL"],
        region_name=told["AWS_REGION"],
        aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
    )
    prefix = "main/events/default/"
    for one in s3.list_objects_v2(Bucket=told["SPARKPLANE_BUCKET"], Prefix=prefix)["Contents"]:
        if name := one["Key"].removeprefix(prefix):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(told["SPARKPLANE_BUCKET"], one["Key"], str(target / name))
    return target


PLACES = frozenset({"lastUpdated", "lastUpdatedEpoch", "logSourceName", "logSourceFullPath"})
"""What a history server says of the files that it reads, not of the application."""


def without_places(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: without_places(value) for name, value in told.items() if name not in PLACES}
    return [without_places(one) for one in told] if isinstance(told, list) else told


def test_its_rest_answers_what_a_stock_one_answers_and_goes_on_through_kills(
    new_sandbox: NewSandbox, program: Program, tmp_path: Path
) -> None:
    sandbox = new_sandbox(SPARKPLANE_MAX_DRIVERS="3").start()
    client = sandbox.client()
    application = logged(client, program("orders.py", PROGRAM))
    client.engine("POST", SERVER)
    listed(client, application)
    before = without_places(client.engine("GET", f"{API}/applications"))
    _same_as_stock(sandbox, client, application, tmp_path)

    pid, port = _pid(sandbox), _port(sandbox)
    sandbox.kill()
    sandbox.start()
    client = sandbox.client()
    assert listed(client, application) and (_pid(sandbox), _port(sandbox)) == (pid, port), "it rode the kill out"
    assert without_places(client.engine("GET", f"{API}/applications")) == before

    sandbox.kill()
    os.killpg(pid, signal.SIGKILL)
    sandbox.start()
    client = sandbox.client()
    eventually(lambda: _servers(sandbox) and _port(sandbox) != port, "another history server", 120)
    assert listed(client, application)
    assert without_places(client.engine("GET", f"{API}/applications")) == before
    assert capacity(sandbox)[0] == 1, "it holds its capacity once"
    client.engine("DELETE", SERVER)
    eventually(lambda: not sandbox.pids(), "its end", 60)
    eventually(lambda: unused(sandbox), "its capacity", 30)
    assert status(client) == 410


def _same_as_stock(sandbox: Sandbox, client: Client, application: str, tmp_path: Path) -> None:
    of = f"applications/{application}"
    parts = ("jobs", "stages", "executors", "allexecutors", "environment", "sql", "stages/0", "stages/0/0")
    paths = ["applications", "version", of, *(f"{of}/{part}" for part in parts)]
    with stock(_fetched(sandbox, tmp_path / "logs"), tmp_path) as address:

        def look() -> Any:
            try:
                return json.load(urlopen(f"{address}/applications"))
            except OSError:
                return None

        eventually(look, "the stock history server", 120, pause=0.5)
        for path in paths:
            theirs = json.load(urlopen(f"{address}/{path}"))
            assert theirs and without_places(client.engine("GET", f"{API}/{path}")) == without_places(theirs), path
        api = f"{sandbox.url}/v4/analytics_engines/{sandbox.instance}{API}"

        def ours(path: str) -> requests.Response:
            return requests.get(f"{api}/{path}", headers={"Authorization": f"Bearer {sandbox.token}"}, timeout=60)

        packed = urlopen(f"{address}/{of}/logs").read()
        assert _unpacked(ours(f"{of}/logs").content) == _unpacked(packed)
        for path in (f"{of}x", f"{of}/jobs/99"):
            theirs = requests.get(f"{address}/{path}", timeout=60)
            assert (ours(path).status_code, ours(path).text) == (404, theirs.text), path


def _unpacked(packed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_one_that_nobody_uses_ends_by_itself_and_can_be_started_again(new_sandbox: NewSandbox) -> None:
    sandbox = new_sandbox(SPARKPLANE_MAX_DRIVERS="2", SPARKPLANE_HISTORY_IDLE_SECONDS="8").start()
    client = sandbox.client()
    client.engine("POST", SERVER)

    def running() -> bool:
        return client.call("GET", f"/v4/analytics_engines/{sandbox.instance}{API}/version")[0] == 200

    eventually(running, "a history server that answers", 60)
    until = time.monotonic() + 16
    while time.monotonic() < until:
        assert running(), "it is being used"
        time.sleep(1)
    eventually(lambda: status(client) == 410, "its end", 60)
    eventually(lambda: not sandbox.pids() and unused(sandbox), "its process and its capacity", 60)
    assert client.engine("POST", SERVER)["state"] == "started"
    eventually(running, "a history server that answers again", 60)
    client.engine("DELETE", SERVER)
    eventually(lambda: not sandbox.pids() and unused(sandbox), "the other's end", 60)


@pytest.mark.parametrize("seconds", ["0", "soon"])
def test_an_idle_time_that_is_none_is_told_at_the_start(tmp_path: Path, seconds: str) -> None:
    from sandbox.settings import SettingError, settings_from

    with pytest.raises(SettingError, match="SPARKPLANE_HISTORY_IDLE_SECONDS"):
        settings_from({"SPARKPLANE_HOME": str(tmp_path), "SPARKPLANE_HISTORY_IDLE_SECONDS": seconds})
