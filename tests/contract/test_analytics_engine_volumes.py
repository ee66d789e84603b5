"""Volumes of an application: prefixes of the workspace's files, copied to the driver (wire, 3.2)."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.spark import start_job_run
from chalicelib.services import volumes
from chalicelib.services.access import run_secret
from tests.contract.engine import details, post, submit
from tests.contract.wire import Answer, Client, Service

VOLUME = {"name": "cpd-instance::my-vol", "mount_path": "/myapp"}


def body(*mounted: Any, **more: Any) -> dict[str, Any]:
    return {**details(application="/myapp/main.py", **more), "volumes": list(mounted)}


def ask(service: Service, run: int, number: object = 0, **query: str) -> Answer:
    secret = run_secret(service.ports, "main", run)
    return service.nobody.as_(f"Bearer {secret}").get(f"/driver/v1/runs/main.{run}/volumes/{number}", **query)


def test_a_program_in_a_volume_is_named_by_its_uri_and_shown_as_it_was_submitted(
    service: Service, alice: Client
) -> None:
    asked = {**VOLUME, "source_sub_path": "jobs/a", "read_only": True}
    run, path = submit(alice, body(asked, **{"py-files": "/myapp/lib.zip,s3://b/c.zip"}, arguments=["/myapp/in.txt"]))
    spec = service.run(run).spec
    base = service.blobs.uri("main/dbfs/volumes/cpd-instance/my-vol/jobs/a/")
    assert spec.program.resource == f"{base}main.py"
    assert spec.files.py_files == (f"{base}lib.zip", "s3://b/c.zip")
    assert spec.program.arguments == ("/myapp/in.txt",), "where it is, the driver knows"
    shown = alice.get(path).json
    assert shown["volumes"] == [asked]
    assert shown["application_details"]["application"] == "/myapp/main.py"


def test_the_driver_is_told_of_the_files_page_by_page(
    service: Service, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volumes, "PAGE", 2)
    names = ["a.txt", "b/c.txt", "b/d.txt", "e", "f"]
    for name in names:
        service.blobs.bodies[f"main/dbfs/volumes/cpd-instance/my-vol/{name}"] = name.encode()
    service.blobs.bodies["main/dbfs/volumes/cpd-instance/my-vol-2/other"] = b""
    run, _ = submit(alice, body(VOLUME))
    service.start(run)
    found, after = [], ""
    for _ in range(4):
        told = ask(service, run, after=after).json
        found += told["files"]
        after = told.get("next", "")
        if not after:
            break
    assert [one["path"] for one in found] == names
    assert all("my-vol/" in one["link"] for one in found)


def test_only_the_runs_own_driver_is_told_and_only_of_its_volumes(service: Service, alice: Client) -> None:
    run, _ = submit(alice, body(VOLUME))
    assert ask(service, run).status == 409, "it has no driver yet"
    service.start(run)
    assert ask(service, run).json == {"files": []}
    assert ask(service, run, 1).status == 404
    for number in ("x", "-1", "12345", "٣"):
        assert ask(service, run, number).status in {400, 404}
    assert alice.get(f"/driver/v1/runs/main.{run}/volumes/0").status == 401
    service.end(run)
    assert ask(service, run).status == 409


def test_a_pod_is_made_with_a_place_for_each_volume(service: Service, alice: Client) -> None:
    run, _ = submit(alice, body(VOLUME, {"name": "data", "mount_path": "/data/in/"}))
    service.play()
    (launch,) = service.engine.launches
    request = start_job_run(
        launch.run.spec, workspace="main", run=run, entry_point="s3://b/launch.py", arguments=(),
        extra=launch.run.spec.files, virtual_cluster="vc", role="role", log_uri="s3://b/logs", files_uri="s3://b/files",
    )  # fmt: skip
    defaults = request["configurationOverrides"]["applicationConfiguration"][0]["properties"]
    mounts = {name: value for name, value in defaults.items() if ".volumes." in name}
    assert mounts == {
        "spark.kubernetes.driver.volumes.emptyDir.volume-0.mount.path": "/myapp",
        "spark.kubernetes.driver.volumes.emptyDir.volume-1.mount.path": "/data/in",
    }
    text = service.blobs.bodies[f"main/runs/{run}/launch.py"].decode()
    assert '"mount_path": "/myapp"' in text


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"mount_path": "/a"}, "volumes.0.name"),
        ({"name": "a"}, "volumes.0.mount_path"),
        ({**VOLUME, "name": "../x"}, "volumes.0.name"),
        ({**VOLUME, "name": "a::b::c"}, "volumes.0.name"),
        ({**VOLUME, "mount_path": "myapp"}, "volumes.0.mount_path"),
        ({**VOLUME, "mount_path": "/"}, "volumes.0.mount_path"),
        ({**VOLUME, "mount_path": "/a/../b"}, "volumes.0.mount_path"),
        ({**VOLUME, "mount_path": "/a b"}, "volumes.0.mount_path"),
        ({**VOLUME, "source_sub_path": "../x"}, "volumes.0.source_sub_path"),
        ({**VOLUME, "source_sub_path": "a//b"}, "volumes.0.source_sub_path"),
        ({**VOLUME, "read_only": False}, "volumes.0.read_only"),
        ({**VOLUME, "read_only": "maybe"}, "volumes.0.read_only"),
        ("my-vol", "volumes.0"),
    ],
)
def test_a_volume_that_cannot_be_is_refused_by_name_and_nothing_changes(
    service: Service, alice: Client, told: Any, field: str
) -> None:
    with service.unchanged():
        answer = post(alice, body(told))
    assert answer.status == 400
    assert answer.json["errors"][0]["target"]["name"] == field


@pytest.mark.parametrize(
    "mounted",
    [
        [VOLUME, {**VOLUME, "name": "b"}],
        [VOLUME, {"name": "b", "mount_path": "/myapp/b"}],
        [{"name": f"v{n}", "mount_path": f"/m{n}"} for n in range(21)],
    ],
)
def test_volumes_that_stand_in_each_others_way_are_refused(service: Service, alice: Client, mounted: Any) -> None:
    with service.unchanged():
        answer = post(alice, body(*mounted))
    assert answer.status == 400 and answer.json["errors"][0]["target"]["name"] == "volumes"


@pytest.mark.parametrize("application", ["s3://code/main.jar", "s3://code/main.R"])
def test_a_jar_or_r_is_told_that_volumes_are_not_for_it(service: Service, alice: Client, application: str) -> None:
    with service.unchanged():
        answer = post(alice, {**details(application=application, **{"class": "a.B"}), "volumes": [VOLUME]})
    message = "volumes: only a Python application's are staged; a jar or R reads s3://."
    assert (answer.status, answer.json["errors"][0]["message"]) == (400, message)
