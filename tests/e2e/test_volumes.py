"""Volumes of Analytics Engine on a real Spark: read and written at their literal paths, and stored when a run ends."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import NewSandbox, Program
from tests.e2e.live import Sandbox, eventually
from tests.e2e.test_analytics_engine import CloudPakForDataAuthenticator, Engine

ODD = ["a b.txt", "ü ß.txt", "100%25.txt", "x#1?y=&z+.txt"]

WRITES = f"""
import os
from pyspark.sql import SparkSession
at = "/mnts/vol1"
print("found", open(at + "/in/old.txt").read())
spark = SparkSession.builder.getOrCreate()
for count in (7, 5):
    spark.range(count).repartition(2).write.mode("overwrite").parquet(at + "/out")
print("rows", spark.read.parquet(at + "/out").count())
if os.path.exists(at + "/in/gone.txt"):
    os.remove(at + "/in/gone.txt")
open(at + "/in/old.txt", "a").write("er")
os.makedirs(at + "/text", exist_ok=True)
for name in {ODD!r}:
    open(at + "/text/" + name, "w").write(name)
"""

READS = f"""
import os
from pyspark.sql import SparkSession
at = "/data/in"
rows = SparkSession.builder.getOrCreate().read.parquet("file:///data/in/out").count()
assert rows == 5, rows
assert sorted(os.listdir(at + "/text")) == sorted({ODD!r})
assert all(open(at + "/text/" + name).read() == name for name in os.listdir(at + "/text"))
print(sorted(os.listdir(at + "/in")), open(at + "/in/old.txt").read())
try:
    open(at + "/in/mine.txt", "w").write("not kept")
except OSError as error:
    print("refused", error.strerror)
"""


class Volume:
    """A volume, as one who looks after its files sees it."""

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        self._client, self._base, self.name = sandbox.client(), f"/volumes/{name}", name

    def put(self, path: str, text: str) -> None:
        contents = base64.b64encode(text.encode()).decode()
        body = {"path": f"{self._base}/{path}", "contents": contents, "overwrite": True}
        self._client.ok("POST", "/api/2.0/dbfs/put", body)

    def text(self, path: str) -> str:
        found = self._client.ok("GET", "/api/2.0/dbfs/read", params={"path": f"{self._base}/{path}"})
        return base64.b64decode(found["data"]).decode()

    def names(self, path: str = "") -> list[str]:
        found = self._client.ok("GET", "/api/2.0/dbfs/list", params={"path": f"{self._base}/{path}".rstrip("/")})
        return [one["path"].removeprefix(f"{self._base}/") for one in found.get("files", ())]


@pytest.fixture
def engine(sandbox: Sandbox) -> Engine:
    return engine_of(sandbox)


def engine_of(sandbox: Sandbox) -> Engine:
    return Engine(sandbox, CloudPakForDataAuthenticator("admin", apikey=sandbox.token, url=f"{sandbox.url}/icp4d-api"))


def apply(engine: Engine, program: Path, volume: Volume, mount: str, **more: Any) -> str:
    mounted = {"name": volume.name, "mount_path": mount, **more}
    body = {"application_details": {"application": str(program)}, "volumes": [mounted]}
    return str(engine.ok("POST", "/spark_applications", body)["application_id"])


def output(sandbox: Sandbox, name: str) -> str:
    """What the newest run of a program printed."""
    run = next(one for one in sandbox.client().jobs("runs/list")["runs"] if one["run_name"] == name)
    return str(sandbox.client().jobs("runs/get-output", run_id=run["run_id"]).get("logs", ""))


def test_what_one_application_leaves_the_next_one_finds(sandbox: Sandbox, engine: Engine, program: Program) -> None:
    volume = Volume(sandbox, "shared")
    for name in ("old", "gone"):
        volume.put(f"in/{name}.txt", name)
    for turn in ("old", "older"):
        id = apply(engine, program("writes.py", WRITES), volume, "/mnts/vol1")
        assert engine.ended(id)["state"] == "FINISHED", output(sandbox, "writes.py")
        assert output(sandbox, "writes.py").splitlines() == [f"found {turn}", "rows 5"]
    assert volume.names("in") == ["in/old.txt"]
    parts = volume.names("out")
    assert len(parts) == 3 and not any(".crc" in part for part in parts), "the parts of the last overwrite only"
    read = apply(engine, program("reads.py", READS), volume, "/data/in", read_only=True)
    assert engine.ended(read)["state"] == "FINISHED"
    assert output(sandbox, "reads.py").splitlines()[0] == "['old.txt'] olderer"
    assert volume.names("in") == ["in/old.txt"], "what is written to a read-only volume is not kept"
    assert not Path("/mnts").exists() and not Path("/data").exists()


def test_a_program_that_fails_leaves_what_it_wrote(sandbox: Sandbox, engine: Engine, program: Program) -> None:
    volume = Volume(sandbox, "failing")
    source = "open('/mnts/v/half.txt', 'w').write('half')\nraise ValueError('no more')"
    ended = engine.ended(apply(engine, program("fails.py", source), volume, "/mnts/v", source_sub_path="a/b"))
    assert ended["state"] == "FAILED" and "no more" in str(ended["state_details"])
    assert volume.text("a/b/half.txt") == "half"


def test_an_application_whose_files_cannot_be_stored_fails_and_says_so(
    sandbox: Sandbox, engine: Engine, program: Program
) -> None:
    source = "open(b'/mnts/v/\\xff', 'w').write('x')\nopen('/mnts/v/fine', 'w').write('x')\nprint('done')"
    volume = Volume(sandbox, "odd")
    ended = engine.ended(apply(engine, program("odd.py", source), volume, "/mnts/v"))
    reason = r"the name '\udcff' has control characters or is not UTF-8"
    message = f"What the program left in the volume odd could not be stored: {reason}."
    assert (ended["state"], ended["state_details"][0]["message"]) == ("FAILED", message)
    assert volume.text("fine") == "x"


def test_a_stopped_application_leaves_what_it_wrote(sandbox: Sandbox, engine: Engine, program: Program) -> None:
    volume = Volume(sandbox, "stopped")
    source = """
import time
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
for n in range(40):
    open(f"/mnts/v/{n}.txt", "w").write("x")
print("forty are there", flush=True)
spark.sparkContext.parallelize([1], 1).foreach(lambda _: time.sleep(300))
"""
    id = apply(engine, program("stopped.py", source), volume, "/mnts/v")
    outputs = sandbox.home.glob
    eventually(lambda: any("forty are there" in one.read_text() for one in outputs("emr/*/stdout")), "its output", 60)
    engine.call("DELETE", f"/spark_applications/{id}")
    assert engine.ended(id)["state"] == "STOPPED"
    eventually(lambda: not sandbox.pids(), "the driver's end")  # STOPPED is told when the stop was asked for
    assert len(volume.names()) == 40


def test_what_is_stored_while_the_sandbox_is_killed_is_there_when_it_is_back(
    new_sandbox: NewSandbox, program: Program, tmp_path: Path
) -> None:
    sandbox = new_sandbox().start()
    engine, go = engine_of(sandbox), tmp_path / "go"
    source = f"""
import os, time
open("/mnts/v/{{}}".format(os.getpid()), "w").write("x")
print("up", flush=True)
while not os.path.exists({str(go)!r}): time.sleep(0.05)
for n in range(30): open(f"/mnts/v/{{n}}.txt", "w").write("x" * n)
"""
    id = apply(engine, program("outlives.py", source), Volume(sandbox, "outlives"), "/mnts/v")
    eventually(lambda: any("up" in path.read_text() for path in sandbox.home.glob("emr/*/stdout")), "its output", 60)
    sandbox.kill()
    go.touch()
    (stderr,) = sandbox.home.glob("emr/*/stderr")
    assert sandbox.pids(), "the driver waits for its control plane"
    sandbox.start()
    assert engine_of(sandbox).ended(id)["state"] == "FINISHED", stderr.read_text()
    assert len(Volume(sandbox, "outlives").names()) == 31
