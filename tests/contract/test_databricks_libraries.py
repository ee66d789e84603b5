"""Libraries on the wire: what the driver is told of each kind, what is refused, and how a bad one ends its run."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.ports import Launch
from tests.contract.databricks import JOBS, create, get_run, jar, python, refused, submit
from tests.contract.wire import Client, Service


def launch(service: Service, run: int) -> Launch:
    """What the engine was given for a run."""
    service.play()
    (found,) = [one for one in service.engine.launches if one.run.id == run]
    return found


def config(service: Service, run: int) -> Any:
    """What the bootstrap of a run is told."""
    launch(service, run)
    text = service.blobs.bodies[f"main/runs/{run}/launch.py"].decode()
    return json.loads(ast.literal_eval(text[text.index("json.loads(") + len("json.loads(") : text.rindex("))")]))


LIBRARIES = [
    {"pypi": {"package": "simplejson==3.8.0", "repo": "https://my-pypi.test/simple"}},
    {"pypi": {"package": "pandas[excel] >= 2, < 3"}},
    {"whl": "dbfs:/libs/own-1.0-py3-none-any.whl"},
    {"egg": "s3://code/old.egg"},
    {"cran": {"package": "geojson", "repo": "https://cran.test"}},
    {"whl": "https://files.test/far-1.0-py3-none-any.whl"},
    {"jar": "dbfs:/a.jar"},
    {"maven": {"coordinates": "org.jsoup:jsoup:1.7.2", "exclusions": ["slf4j:slf4j", "*:other"]}},
    {"maven": {"coordinates": "a:b_2.12:1-SNAPSHOT", "repo": "https://maven.test/repo"}},
]
TOLD = [
    ("pypi", "simplejson==3.8.0", "https://my-pypi.test/simple",
     'pypi { package: "simplejson==3.8.0" repo: "https://my-pypi.test/simple" }'),
    ("pypi", "pandas[excel] >= 2, < 3", "", 'pypi { package: "pandas[excel] >= 2, < 3" }'),
    ("whl", "s3://bucket/main/dbfs/libs/own-1.0-py3-none-any.whl", "", 'whl: "dbfs:/libs/own-1.0-py3-none-any.whl"'),
    ("egg", "s3://code/old.egg", "", 'egg: "s3://code/old.egg"'),
    ("cran", "geojson", "https://cran.test", 'cran { package: "geojson" repo: "https://cran.test" }'),
    ("whl", "https://files.test/far-1.0-py3-none-any.whl", "",
     'whl: "https://files.test/far-1.0-py3-none-any.whl"'),
]  # fmt: skip


def test_a_python_runs_libraries_reach_its_driver(service: Service, alice: Client) -> None:
    run = submit(alice, python(libraries=LIBRARIES))
    told = config(service, run)["libraries"]
    assert [(one["kind"], one["name"], one["repo"], one["label"]) for one in told] == TOLD
    given = launch(service, run)
    assert given.files == (
        "s3://code/main.py",
        "s3://bucket/main/dbfs/libs/own-1.0-py3-none-any.whl",
        "s3://code/old.egg",
    )
    files = given.run.spec.files
    assert files.jars == ("s3://bucket/main/dbfs/a.jar",)
    assert files.packages == ("org.jsoup:jsoup:1.7.2", "a:b_2.12:1-SNAPSHOT")
    assert files.exclude_packages == ("slf4j:slf4j", "*:other")
    assert files.repositories == ("https://maven.test/repo",)
    assert get_run(alice, run)["cluster_spec"]["libraries"] == LIBRARIES


def test_of_a_jar_task_only_jars_and_packages_have_an_effect(service: Service, alice: Client) -> None:
    libraries = [{"jar": "s3://code/main.jar"}, *LIBRARIES[:2]]
    run = submit(alice, jar(libraries=libraries))
    given = launch(service, run)
    assert (given.files, given.py_files, given.run.spec.files.jars) == ((), (), ("s3://code/main.jar",))
    assert get_run(alice, run)["cluster_spec"]["libraries"] == libraries


def test_a_library_named_twice_is_one(service: Service, alice: Client) -> None:
    run = submit(alice, python(libraries=[LIBRARIES[2], LIBRARIES[2], LIBRARIES[0], LIBRARIES[0]]))
    assert len(config(service, run)["libraries"]) == 2


def _package(kind: str, package: Any, repo: Any = None) -> dict[str, Any]:
    return {kind: {"package": package, **({"repo": repo} if repo else {})}}


NAME = "is not a package's name, with or without a version (simplejson, simplejson==3.8.0)."
REFUSED: dict[str, tuple[Any, str]] = {
    "an option for pip": (_package("pypi", "--index-url=http://evil.test"), f"'--index-url=http://evil.test' {NAME}"),
    "a requirements file for pip": (_package("pypi", "-r x.txt"), f"'-r x.txt' {NAME}"),
    "a file for pip": (_package("pypi", "../own"), f"'../own' {NAME}"),
    "an address for pip": (_package("pypi", "git+https://host.test/x.git"), f"'git+https://host.test/x.git' {NAME}"),
    "an empty package": (_package("pypi", "  "), f"'' {NAME}"),
    "two packages in one": (_package("pypi", "a b"), f"'a b' {NAME}"),
    "a package with half a version": (_package("pypi", "a=="), f"'a==' {NAME}"),
    "an endless package": (_package("pypi", "a" * 600), f"'{'a' * 500}...' {NAME}"),
    "a package of another alphabet": (_package("pypi", "пакет"), f"'пакет' {NAME}"),
    "R code as a package": (_package("cran", 'a"); system("id'), "'a\"); system(\"id' is not a package's name."),
}


@pytest.mark.parametrize("path", ["create", "runs/submit"])
@pytest.mark.parametrize("case", REFUSED)
def test_a_package_that_is_none_is_refused(service: Service, alice: Client, case: str, path: str) -> None:
    library, message = REFUSED[case]
    with service.unchanged():
        answer = alice.post(f"{JOBS}/{path}", python(libraries=[{"jar": "s3://a/b.jar"}, library]))
    (kind,) = library
    refused(answer, 400, "INVALID_PARAMETER_VALUE", f"libraries.1.{kind}.package: {message}")


INVALID = {
    "whl: another file": ({"whl": "s3://a/b.zip"}, "libraries.0.whl: 's3://a/b.zip' does not end with .whl."),
    "egg: another file": ({"egg": "s3://a/b.whl"}, "libraries.0.egg: 's3://a/b.whl' does not end with .egg."),
    "whl: a scheme of nobody's": (
        {"whl": "ftp://a/b.whl"},
        "libraries: the URI 'ftp://a/b.whl' is of scheme 'ftp'; allowed are https, local, s3, s3a.",
    ),
    "whl: a file of the machine": (
        {"whl": "file:/b.whl"},
        "libraries: the URI 'file:/b.whl' is of scheme 'file'; allowed are https, local, s3, s3a.",
    ),
    "whl: out of the workspace": (
        {"whl": "dbfs:/../x.whl"},
        "libraries: 's3://bucket/main/dbfs/../x.whl' has a '..' in its path.",
    ),
    "whl: gs without a bucket": ({"whl": "gs:///b.whl"}, "libraries: 'gs:///b.whl' names no bucket."),
    "pypi: no package": ({"pypi": {}}, "Missing required field: libraries.0.pypi.package"),
    "cran: no package": ({"cran": {"repo": "https://x.test"}}, "Missing required field: libraries.0.cran.package"),
    "pypi: a repository that is a file": (
        _package("pypi", "a", "file:///etc"),
        "libraries: 'file:///etc' is no https:// or http:// URL.",
    ),
    "pypi: a repository without a host": (
        _package("pypi", "a", "https:///x"),
        "libraries: 'https:///x' names no host.",
    ),
    "pypi: a repository with a blank": (
        _package("pypi", "a", "https://x.test/ --pre"),
        "libraries: 'https://x.test/ --pre' is no https:// or http:// URL.",
    ),
    "maven: two parts": (
        {"maven": {"coordinates": "org.jsoup:jsoup"}},
        "libraries.0.maven.coordinates: 'org.jsoup:jsoup' is not of the form groupId:artifactId:version.",
    ),
    "maven: two coordinates": (
        {"maven": {"coordinates": "a:b:1,c:d:2"}},
        "libraries.0.maven.coordinates: 'a:b:1,c:d:2' is not of the form groupId:artifactId:version.",
    ),
    "maven: an empty part": (
        {"maven": {"coordinates": "a::1"}},
        "libraries.0.maven.coordinates: 'a::1' is not of the form groupId:artifactId:version.",
    ),
    "maven: an exclusion of one part": (
        {"maven": {"coordinates": "a:b:1", "exclusions": ["slf4j"]}},
        "libraries.0.maven.exclusions: 'slf4j' is not of the form groupId:artifactId.",
    ),
    "maven: a repository that is none": (
        {"maven": {"coordinates": "a:b:1", "repo": "central"}},
        "libraries: 'central' is no https:// or http:// URL.",
    ),
}


@pytest.mark.parametrize("path", ["create", "runs/submit"])
@pytest.mark.parametrize("case", INVALID)
def test_a_library_that_can_never_be_had_is_refused(service: Service, alice: Client, case: str, path: str) -> None:
    library, message = INVALID[case]
    with service.unchanged():
        answer = alice.post(f"{JOBS}/{path}", python(libraries=[library]))
    refused(answer, 400, "INVALID_PARAMETER_VALUE", message)


@pytest.mark.parametrize(("library", "kind"), [({"pypi": "simplejson"}, "pypi"), ({"cran": "a"}, "cran")])
def test_a_package_must_be_an_object(service: Service, alice: Client, library: Any, kind: str) -> None:
    with service.unchanged():
        answer = alice.post(f"{JOBS}/create", python(libraries=[library]))
    message = f"Could not parse request object: Expected object for field libraries.0.{kind}, found STRING"
    refused(answer, 400, "MALFORMED_REQUEST", message)


def test_two_files_of_one_name_are_refused(service: Service, alice: Client) -> None:
    libraries = [{"whl": "s3://a/x-1-py3-none-any.whl"}, {"whl": "dbfs:/x-1-py3-none-any.whl"}]
    with service.unchanged():
        answer = alice.post(f"{JOBS}/runs/submit", python(libraries=libraries))
    files = "s3://a/x-1-py3-none-any.whl and s3://bucket/main/dbfs/x-1-py3-none-any.whl"
    message = f"libraries: {files} have the same file name, of which Spark keeps one."
    refused(answer, 400, "INVALID_PARAMETER_VALUE", message)


def test_google_storage_is_accepted_and_the_run_fails_where_spark_cannot_read_it(
    service: Service, alice: Client
) -> None:
    run = submit(alice, python(libraries=[{"whl": "gs://b/x-1-py3-none-any.whl"}]))
    service.play()
    state = get_run(alice, run)["state"]
    assert (state["life_cycle_state"], state["result_state"]) == ("TERMINATED", "FAILED")
    assert state["state_message"] == (
        "The driver could not be started: libraries: the URI 'gs://b/x-1-py3-none-any.whl' is of scheme 'gs'; "
        "allowed are https, local, s3, s3a."
    )
    assert service.engine.launches == []


def test_google_storage_is_used_where_the_deployment_has_it(service: Service, alice: Client) -> None:
    _settings(service, uri_schemes=("s3", "gs"))
    run = submit(alice, python(libraries=[{"whl": "gs://b/x-1-py3-none-any.whl"}]))
    assert launch(service, run).files == ("s3://code/main.py", "gs://b/x-1-py3-none-any.whl")


def test_an_owner_can_say_which_hosts_are_fetched_from(service: Service, alice: Client) -> None:
    _settings(service, https_hosts=("files.test", "*.allowed.test"))
    for good in ("https://files.test/a.whl", "https://x.y.allowed.test/a.whl", "https://FILES.test:444/a.whl"):
        create(alice, python(libraries=[{"whl": good}]))
    create(alice, python(libraries=[_package("pypi", "a", "https://files.test/simple")]))
    for bad in ("https://evil.test/a.whl", "https://files.test@evil.test/a.whl", "https://notallowed.test/a.whl"):
        host = bad.rpartition("@")[2].removeprefix("https://").partition("/")[0]
        message = f"libraries: the host '{host}' is not among those that this deployment allows."
        with service.unchanged():
            refused(alice.post(f"{JOBS}/create", python(libraries=[{"whl": bad}])), 400, CODE, message)
            package = _package("pypi", "a", bad.replace("a.whl", "simple"))
            refused(alice.post(f"{JOBS}/create", python(libraries=[package])), 400, CODE, message)
            maven = {"maven": {"coordinates": "a:b:1", "repo": bad.replace("a.whl", "m2")}}
            refused(alice.post(f"{JOBS}/create", python(libraries=[maven])), 400, CODE, message)


CODE = "INVALID_PARAMETER_VALUE"


def _settings(service: Service, **changed: Any) -> None:
    service.ports = replace(service.ports, settings=replace(service.ports.settings, **changed))


@pytest.mark.parametrize("kind", ["sparkplane.Library", "sparkplane.InitScript"])
def test_a_machine_that_cannot_be_made_ready_ends_the_run_as_an_internal_error(
    service: Service, alice: Client, kind: str
) -> None:
    run = submit(alice, python(libraries=[_package("pypi", "nope")]))
    service.start(run)
    told = {"exit_code": 1, "finished": True, "error": {"type": kind, "message": "Library installation failed …"}}
    secret = config(service, run)["secret"]
    driver = service.nobody.as_(f"Bearer {secret}")
    assert driver.post(f"/driver/v1/runs/main.{run}/report", told).status == 200
    service.end(run, "FAILED")
    state = get_run(alice, run)["state"]
    assert (state["life_cycle_state"], state["result_state"]) == ("INTERNAL_ERROR", "FAILED")
    assert state["state_message"] == "Library installation failed …"


def test_a_library_that_spark_cannot_fetch_is_named(service: Service, alice: Client) -> None:
    run = submit(alice, python(libraries=[{"whl": "dbfs:/libs/gone-1-py3-none-any.whl"}]))
    reason = "The file s3://bucket/main/dbfs/libs/gone-1-py3-none-any.whl, named as spark.files, does not exist."
    service.end(run, "FAILED", failure="USER_ERROR", details=reason)
    state = get_run(alice, run)["state"]
    assert (state["life_cycle_state"], state["result_state"]) == ("INTERNAL_ERROR", "FAILED")
    assert state["state_message"] == (
        'Library installation failed for library due to user error for whl: "dbfs:/libs/gone-1-py3-none-any.whl". '
        f"Error messages: {reason}"
    )
