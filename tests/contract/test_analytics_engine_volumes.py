"""Volumes of an application: prefixes of the workspace's files, copied to the driver (wire, 3.2)."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.spark import start_job_run
from chalicelib.services import volumes
from chalicelib.services.access import run_secret
from tests.contract.engine import details, post, submit
from tests.contract.test_databricks_libraries import config, launch
from tests.contract.wire import Answer, Client, Service

VOLUME = {"name": "cpd-instance::my-vol", "mount_path": "/myapp"}


def body(*mounted: Any, **more: Any) -> dict[str, Any]:
    return {**details(application="/myapp/main.py", **more), "volumes": list(mounted)}


def ask(service: Service, run: int, number: object = 0, **query: str) -> Answer:
    secret = run_secret(service.ports, "main", run)
    return service.nobody.as_(f"Bearer {secret}").get(f"/driver/v1/runs/main.{run}/volumes/{number}", **query)


def tell(service: Service, run: int, body: Any, number: object = 0, secret_of: int = 0) -> Answer:
    secret = run_secret(service.ports, "main", secret_of or run)
    return service.nobody.as_(f"Bearer {secret}").post(f"/driver/v1/runs/main.{run}/volumes/{number}", body)


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


def test_a_volume_may_be_written_unless_it_says_otherwise(service: Service, alice: Client) -> None:
    mounted = (VOLUME, {"name": "a", "mount_path": "/a", "read_only": False},
               {"name": "b", "mount_path": "/tmp/b", "read_only": True})  # fmt: skip
    run, path = submit(alice, body(*mounted))
    assert [volume.read_only for volume in service.run(run).spec.volumes] == [False, False, True]
    assert alice.get(path).json["volumes"] == list(mounted)
    service.play()
    assert '"read_only": true' in service.blobs.bodies[f"main/runs/{run}/launch.py"].decode()


def test_a_volume_and_its_place_may_have_any_name_that_a_directory_has(service: Service, alice: Client) -> None:
    told = body({**VOLUME, "source_sub_path": "sub dir/é.d", "mount_path": "/with space/é"})
    told["application_details"]["application"] = "s3://bucket/main.py"
    run, _ = submit(alice, told)
    (volume,) = service.run(run).spec.volumes
    assert (volume.prefix, volume.mount_path) == ("volumes/cpd-instance/my-vol/sub dir/é.d", "/with space/é")


def test_a_pattern_names_no_file_in_a_volume(service: Service, alice: Client) -> None:
    told = body(VOLUME)
    told["application_details"] |= {"application": f"{VOLUME['mount_path']}/t*.jar", "class": "t.Main"}
    with service.unchanged():
        answer = post(alice, told)
    message = f"application_details: {VOLUME['mount_path']}/t*.jar is a pattern; a file in a volume is named whole."
    assert (answer.status, answer.json["errors"][0]["message"]) == (400, message)


def test_the_driver_is_given_links_to_store_what_has_changed(service: Service, alice: Client) -> None:
    run, _ = submit(alice, body({**VOLUME, "source_sub_path": "a/b"}))
    service.start(run)
    files = {"x.txt": 5, "d/empty": 0, "ü %#?+&.txt": 5 << 30}
    told = tell(service, run, {"files": files})
    assert told.status == 200 and list(told.json["links"]) == list(files)
    base = "https://blobs.example/main/dbfs/volumes/cpd-instance/my-vol/a/b"
    assert all(told.json["links"][path] == f"{base}/{path}?put=3600&size={size}" for path, size in files.items())


def test_the_driver_may_delete_what_its_program_has_deleted(service: Service, alice: Client) -> None:
    names = [f"main/dbfs/volumes/cpd-instance/my-vol/{name}" for name in ("a", "b", "d/c")]
    service.blobs.bodies.update(dict.fromkeys(names, b""))
    run, _ = submit(alice, body(VOLUME))
    service.start(run)
    assert tell(service, run, {"removed": ["a", "d/c", "never"]}).json == {}
    assert [name for name in names if name in service.blobs.bodies] == names[1:2]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/x",
        "x/",
        "a//b",
        "../x",
        "a/../../x",
        "./x",
        "a/.",
        "..",
        "a\0b",
        "a\nb",
        "a\rb",
        "\x7f",
        "\udcff",
        "x" * 900,
        None,
        7,
    ],
)
def test_a_file_that_is_not_in_the_volume_is_neither_stored_nor_deleted(
    service: Service, alice: Client, path: Any
) -> None:
    run, _ = submit(alice, body(VOLUME))
    service.start(run)
    with service.unchanged():
        if isinstance(path, str):
            assert tell(service, run, {"files": {"fine": 1, path: 1}}).status == 400
        assert tell(service, run, {"removed": ["fine", path]}).status == 400


@pytest.mark.parametrize(
    "told",
    [
        {}, [], {"files": {}}, {"files": ["a"]}, {"files": {"a": -1}}, {"files": {"a": True}}, {"files": {"a": "1"}},
        {"files": {"a": (5 << 30) + 1}}, {"files": {str(n): 1 for n in range(501)}}, {"removed": []}, {"removed": "a"},
        {"removed": [str(n) for n in range(501)]}, {"removed": None},
    ],
)  # fmt: skip
def test_a_request_to_store_that_cannot_be_is_refused(service: Service, alice: Client, told: Any) -> None:
    run, _ = submit(alice, body(VOLUME))
    service.start(run)
    with service.unchanged():
        assert tell(service, run, told).status == 400


def test_only_the_runs_own_driver_stores_and_only_in_volumes_that_it_may_write(service: Service, alice: Client) -> None:
    run, _ = submit(alice, body(VOLUME, {"name": "b", "mount_path": "/b", "read_only": True}))
    other, _ = submit(alice, details())
    files, removed = {"files": {"a": 1}}, {"removed": ["a"]}
    assert tell(service, run, files).status == 409, "it has no driver yet"
    service.start(run)
    service.start(other)
    service.blobs.bodies["main/dbfs/volumes/b/a"] = b""
    for told in (files, removed):
        with service.unchanged():
            assert tell(service, run, told, secret_of=other).status == 401
            assert tell(service, other, told).status == 404, "that run has no volumes"
            assert tell(service, run, told, 2).status == 404
            refused = tell(service, run, told, 1)
            assert refused.status == 403 and "The volume b is mounted read-only." in refused.body.decode()
            assert alice.post(f"/driver/v1/runs/main.{run}/volumes/0", told).status == 401
    service.end(run)
    assert tell(service, run, files).status == tell(service, run, removed).status == 409


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
        ({**VOLUME, "mount_path": "/a:b"}, "volumes.0.mount_path"),
        *(
            ({**VOLUME, "mount_path": mount}, "volumes.0.mount_path")
            for mount in (
                "/tmp",
                "/usr",
                "/usr/local/x",
                "/proc",
                "/opt",
                "/opt/ibm/spark/jars",
                "/usr/lib/spark/",
                "/var/run/x",
            )
        ),
        ({**VOLUME, "source_sub_path": "../x"}, "volumes.0.source_sub_path"),
        ({**VOLUME, "source_sub_path": "a//b"}, "volumes.0.source_sub_path"),
        ({**VOLUME, "source_sub_path": "a/./b"}, "volumes.0.source_sub_path"),
        ({**VOLUME, "source_sub_path": "a\nb"}, "volumes.0.source_sub_path"),
        ({**VOLUME, "source_sub_path": "a/" * 600}, "volumes.0.source_sub_path"),
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


@pytest.mark.parametrize(("language", "application"), [("jar", "main.jar"), ("r", "main.R")])
def test_volumes_are_staged_for_a_jar_and_r_script_too_which_may_be_in_one(
    service: Service, alice: Client, language: str, application: str
) -> None:
    asked = {"jars": "/myapp/lib.jar", "arguments": ["/myapp/in.txt"], "class": "a.B"}
    run, _ = submit(alice, {**details(application=f"/myapp/{application}", **asked), "volumes": [VOLUME]})
    told, given = config(service, run), launch(service, run)
    base = service.blobs.uri("main/dbfs/volumes/cpd-instance/my-vol/")
    assert told["volumes"][0]["mount_path"] == "/myapp"
    assert told["program"] == {
        "uri": f"{base}{application}", "arguments": ["/myapp/in.txt"], "language": language, "main_class": "a.B",
    }  # fmt: skip
    assert given.entry_point.endswith("/launch.py") and given.arguments == ()
    assert (given.jars, given.files) == (((f"{base}main.jar",), ()) if language == "jar" else ((), (f"{base}main.R",)))
    assert given.run.spec.files.jars == (f"{base}lib.jar",)


def test_without_anything_to_prepare_a_jar_and_r_script_start_as_they_are(service: Service, alice: Client) -> None:
    for application in ("s3://code/main.jar", "s3://code/main.R"):
        run, _ = submit(alice, details(application=application, **{"class": "a.B"}))
        given = launch(service, run)
        assert (given.entry_point, given.arguments, given.py_files, given.jars) == (application, ("1",), (), ())


def test_a_jar_that_a_pattern_names_is_found_where_the_driver_runs(service: Service, alice: Client) -> None:
    """Spark takes no pattern in a `local:` URI."""
    pattern = "/opt/ibm/spark/examples/jars/spark-examples*.jar"
    run, _ = submit(alice, details(application=pattern, **{"class": "a.B"}))
    assert config(service, run)["program"]["uri"] == pattern
    given = launch(service, run)
    assert given.entry_point.endswith("/launch.py") and given.jars == ()
