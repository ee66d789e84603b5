"""What an application's conf, environment, arguments and amounts may be, and what is said of those that may not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.engine import details, post, refused, submit
from tests.contract.wire import Answer, Client, Service

CONF, ENV = "application_details.conf", "application_details.env"
APPLICATION = "application_details.application"
KINDS = "is no program that is known: a .py, .zip or .egg file, an .R file, or a .jar with its class."
MANY = "100 properties of 1024 characters has more than 94,208 characters, together with the lists of files."
JAR = {"application": "s3://code/main.jar", "class": "Main"}


def test_empty_values_and_arguments_are_taken(service: Service, alice: Client) -> None:
    told = {"conf": {"spark.driver.extraJavaOptions": ""}, "env": {"MY_B": ""}, "arguments": ["", "a"]}
    for program in ({}, JAR):
        run, path = submit(alice, details(**program, **told))
        service.start(run)
        spec = service.run(run).spec
        assert (spec.conf, spec.environment, spec.program.arguments) == (told["conf"], told["env"], ("", "a"))
        shown = alice.get(path).json["application_details"]
        assert {name: shown[name] for name in told} == told


def put(client: Client, path: str, body: dict[str, str]) -> Answer:
    return client.request("PUT", path, body=body, content_type="application/json")


def name_of_property(name: str) -> tuple[dict[str, Any], str, str]:
    return details(conf={name: "x"}), f"{CONF}: {name!r} cannot be the name of a property.", CONF


def name_of_variable(name: str) -> tuple[dict[str, Any], str, str]:
    return details(env={name: "x"}), f"{ENV}: {name!r} cannot be the name of an environment variable.", ENV


BAD = {
    **{f"conf {name!a}": name_of_property(name) for name in ("", "a b", "a\tb", "a\nb", "a=b", "a\0b")},
    **{f"env {name!a}": name_of_variable(name) for name in ("", "A=B", "A\0B", "A B")},
    "a conf of two lines": (
        details(conf={"spark.a": "x\ny"}),
        f"{CONF}: the value of spark.a has a line break or a NUL character.",
        CONF,
    ),
    "a conf that nothing carries": (
        details(conf={"spark.a": "x" * 100_000}),
        f"{CONF}: what does not fit into {MANY}",
        CONF,
    ),
    "a NUL in a variable": (details(env={"A": "x\0"}), f"{ENV}: the value of A has a NUL character.", ENV),
    "a line in a jar's variable": (
        details(**JAR, env={"A": "x\ny"}),
        f"{ENV}: the value of A has a line break or a NUL character.",
        ENV,
    ),
    "a NUL in an argument": (
        details(arguments=["a", "\0"]),
        "application_details.arguments: a NUL character cannot be passed on.",
        "application_details.arguments",
    ),
    "a NUL in a package": (
        details(packages="g:a:1,g:\0:1"),
        "application_details.packages: a NUL character cannot be passed on.",
        "application_details.packages",
    ),
    "a NUL in the class": (
        details(**{**JAR, "class": "M\0"}),
        "application_details.class: a NUL character cannot be passed on.",
        "application_details.class",
    ),
    "a NUL in the name": (
        details(name="a\0b"),
        "application_details.name: a NUL character cannot be passed on.",
        "application_details.name",
    ),
    "no Spark": (
        details(runtime={"spark_version": ""}),
        "'' is no Spark version. Known versions: 3.3, 3.4, 3.5.",
        "application_details.runtime.spark_version",
    ),
    "no application": (details(application=""), f"{APPLICATION} must not be empty.", APPLICATION),
    "a blank one": (details(application="   "), f"{APPLICATION}: '   ' {KINDS}", APPLICATION),
    "a text": (details(application="s3://a/b.txt"), f"{APPLICATION}: 's3://a/b.txt' {KINDS}", APPLICATION),
    **{
        f"{count} executors": (
            details(conf={"spark.executor.instances": count}),
            f"spark.executor.instances: {count!r} is not a whole number from 1 to 1000000.",
            "spark.executor.instances",
        )
        for count in ("1.5", "-1", "1000m", "0", "")
    },
    "executors by the service's own name": (
        details(conf={"ae.spark.executor.count": "x"}),
        "ae.spark.executor.count: 'x' is not a whole number from 1 to 1000000.",
        "ae.spark.executor.count",
    ),
    "executors at most": (
        details(conf={"ae.spark.max-num-workers": "-1"}),
        "ae.spark.max-num-workers: '-1' is not a whole number from 1 to 1000000.",
        "ae.spark.max-num-workers",
    ),
    "next to no memory": (
        details(conf={"spark.driver.memory": "1k"}),
        "spark.driver.memory: '1k' is less than one mebibyte.",
        "spark.driver.memory",
    ),
    "another cloud's store": (
        details(application="cos://a.b/c.py"),
        f"{APPLICATION}: the URI 'cos://a.b/c.py' is of scheme 'cos'; allowed are https, local, s3, s3a.",
        APPLICATION,
    ),
}


@pytest.mark.parametrize(("body", "message", "field"), BAD.values(), ids=BAD.keys())
def test_what_no_driver_could_be_given_is_refused_by_name_and_changes_nothing(
    service: Service, alice: Client, body: dict[str, Any], message: str, field: str
) -> None:
    with service.unchanged():
        answer = post(alice, body)
    refused(answer, 400, "invalid_request", message, field)


def test_a_conf_that_only_the_instances_defaults_make_too_large_is_refused(service: Service, alice: Client) -> None:
    defaults = f"/v4/analytics_engines/{service.instance()}/default_configs"
    assert put(alice, defaults, {"spark.a": "x" * 60_000}).status == 200
    with service.unchanged():
        answer = post(alice, details(conf={"spark.b": "x" * 60_000}))
    assert (answer.status, answer.json["errors"][0]["target"]["name"]) == (400, CONF)
    submit(alice, details(conf={"spark.b": "x" * 6_000}))


def test_an_application_has_at_most_so_many_executors_as_it_or_its_instance_says(
    service: Service, alice: Client
) -> None:
    defaults = f"/v4/analytics_engines/{service.instance()}/default_configs"
    assert put(alice, defaults, {"ae.spark.max-num-workers": "3"}).status == 200
    grows = {"spark.dynamicAllocation.enabled": "true", "spark.dynamicAllocation.maxExecutors": "9"}

    def executors(**conf: Any) -> tuple[int, int]:
        size = service.run(submit(alice, details(conf={**conf}))[0]).spec.size
        return size.executors, size.executors_max

    assert executors(**{"ae.spark.executor.count": 9}) == (3, 0)
    assert executors(**{"spark.executor.instances": "2"}) == (2, 0)
    assert executors(**grows) == (1, 3)
    assert executors(**{"ae.spark.executor.count": 9, "ae.spark.max-num-workers": 5}) == (5, 0)


def test_files_of_the_workspace_are_named_as_databricks_names_them(service: Service, alice: Client) -> None:
    run, path = submit(alice, details(application="dbfs:/code/main.py", **{"py-files": "dbfs:/code/lib.zip"}))
    spec = service.run(run).spec
    assert spec.program.resource == service.ports.blobs.uri("main/dbfs/code/main.py")
    assert spec.files.py_files == (service.ports.blobs.uri("main/dbfs/code/lib.zip"),)
    assert alice.get(path).json["application_details"]["application"] == "dbfs:/code/main.py"
    jar, _ = submit(alice, details(**{**JAR, "application": "dbfs:/code/main.jar"}))
    assert service.run(jar).spec.program.resource == service.ports.blobs.uri("main/dbfs/code/main.jar")
