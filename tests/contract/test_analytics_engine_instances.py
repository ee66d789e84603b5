"""An instance's defaults, quota and consumption (seed 002, "Find Analytics Engine by id" to "Current resource
consumption"; wire/analytics_engine_v4.md, 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.core.capacity import EVERYTHING, UNLIMITED, Amount, Ledger
from chalicelib.core.ids import UUID_PATTERN
from chalicelib.core.model import Pool, Run
from chalicelib.ports import Clash, Put, key_of
from chalicelib.services.instances import FACET
from chalicelib.services.pools import ensure_pool
from tests.contract.engine import details, post, refused, submit
from tests.contract.wire import Answer, Client, Service

MERGE_PATCH, JSON = "application/merge-patch+json", "application/json"
STRAY = "e64c907a-e82f-46fd-addc-ccfafbd28b09"
ADMINS_ONLY = "This needs an administrator."

CHANGES: list[tuple[str, str, Any]] = [
    ("PUT", "default_runtime", {"spark_version": "3.4"}),
    ("PUT", "default_configs", {"spark.driver.memory": "8G"}),
    ("PATCH", "default_configs", {"spark.driver.memory": "8G"}),
    ("PUT", "resource_consumption_limits", {"max_cores": "10", "max_memory": "20Gi"}),
    ("DELETE", "resource_consumption_limits", None),
]
READS = ["", "default_runtime", "default_configs", "resource_consumption_limits", "current_resource_consumption"]


@pytest.fixture(autouse=True)
def quota(service: Service) -> None:
    """The default instance begins with a quota of the old kind."""
    ensure_pool(service.ports, "main", "default", maximum=Amount(20_000, 80 * 1024, UNLIMITED, UNLIMITED))


def path_of(service: Service, what: str, instance: str = "") -> str:
    return f"/v4/analytics_engines/{instance or service.instance()}/{what}".rstrip("/")


def call(client: Client, method: str, what: str, body: Any = None, *, type_: str = JSON, instance: str = "") -> Answer:
    return client.request(method, path_of(client.service, what, instance), body=body, content_type=type_)


def pool_of(service: Service) -> Pool:
    found = service.store.get(Pool, "main", "default")
    assert isinstance(found, Pool)
    return found


def maximum_of(service: Service) -> Amount:
    ledger = service.store.get(Ledger, "default")
    assert isinstance(ledger, Ledger)
    return ledger.pools["main/default"].maximum


def test_the_default_runtime_is_the_deployments_until_it_is_replaced(service: Service, alice: Client) -> None:
    before = call(alice, "GET", "default_runtime")
    assert (before.status, before.json) == (200, {"spark_version": service.settings.default_spark})
    put = call(alice, "PUT", "default_runtime", '{\n  "spark_version": "3.4"\n}')
    assert (put.status, put.json) == (200, {"spark_version": "3.4"})
    assert call(alice, "GET", "default_runtime").json == {"spark_version": "3.4"}
    run, _ = submit(alice)
    assert service.run(run).spec.spark_version == "3.4"


@pytest.mark.parametrize("type_", [MERGE_PATCH, JSON, "text/plain", ""])
def test_the_examples_of_the_document_replace_and_then_merge_the_default_conf(
    service: Service, alice: Client, type_: str
) -> None:
    put = call(alice, "PUT", "default_configs", {"spark.driver.memory": "8G", "spark.driver.cores": "2"})
    assert (put.status, put.json) == (200, {"spark.driver.memory": "8G", "spark.driver.cores": "2"})
    patch = call(
        alice,
        "PATCH",
        "default_configs",
        '{\n  "ae.spark.history-server.cores": "1",\n  "ae.spark.history-server.memory": "4G"\n}',
        type_=type_,
    )
    whole = {
        "ae.spark.history-server.cores": "1",
        "ae.spark.history-server.memory": "4G",
        "spark.driver.memory": "8G",
        "spark.driver.cores": "2",
    }
    assert (patch.status, patch.json) == (200, whole)
    assert call(alice, "GET", "default_configs").json == whole


def test_a_null_unsets_and_one_that_was_not_set_is_no_error(service: Service, alice: Client) -> None:
    call(alice, "PUT", "default_configs", {"spark.driver.memory": "8G", "a.b": "1"})
    patch = call(alice, "PATCH", "default_configs", {"a.b": None, "never.set": None, "c": "2"}, type_=MERGE_PATCH)
    assert (patch.status, patch.json) == (200, {"spark.driver.memory": "8G", "c": "2"})


def test_put_forgets_what_it_does_not_name_and_an_empty_object_forgets_all(service: Service, alice: Client) -> None:
    call(alice, "PUT", "default_configs", {"a": "1", "b": "2"})
    assert call(alice, "PUT", "default_configs", {"b": "3"}).json == {"b": "3"}
    assert call(alice, "PATCH", "default_configs", {}).json == {"b": "3"}
    assert call(alice, "PUT", "default_configs", {}).json == {}
    assert call(alice, "GET", "default_configs").json == {}


def test_numbers_and_booleans_become_the_texts_that_spark_reads(service: Service, alice: Client) -> None:
    put = call(alice, "PUT", "default_configs", {"spark.driver.cores": 2, "spark.eventLog.enabled": True})
    assert put.json == {"spark.driver.cores": "2", "spark.eventLog.enabled": "true"}


def test_defaults_reach_the_next_application_and_not_those_before(service: Service, alice: Client) -> None:
    earlier, _ = submit(alice)
    call(alice, "PUT", "default_configs", {"spark.x": "y", "spark.driver.cores": "3"})
    later, path = submit(alice)
    assert "spark.x" not in service.run(earlier).spec.conf
    assert service.run(later).spec.conf["spark.x"] == "y"
    assert service.run(later).spec.size.driver_cores == 3
    shown = alice.get(path).json["application_details"]["instance_defaults_at_submission"]
    assert shown == {"conf": {"spark.x": "y", "spark.driver.cores": "3"}}


def test_patches_that_meet_are_both_kept(service: Service, alice: Client) -> None:
    """Another administrator's patch is committed between this one's read and its write."""
    others: Iterator[dict[str, str]] = iter([{"theirs": "1"}])

    def race(changes: Any) -> None:
        for patch in others:
            service.store.before_commit = None
            assert call(alice, "PATCH", "default_configs", patch).status == 200
            service.store.before_commit = race
            raise Clash([key_of(changes[0].record)])

    service.store.before_commit = race
    assert call(alice, "PATCH", "default_configs", {"ours": "2"}).json == {"theirs": "1", "ours": "2"}


NOT = "default_configs:"
BAD_CONFS: dict[str, tuple[Any, str, str, str]] = {
    "a nested object": ({"a": {"b": "c"}}, "invalid_request", "a: expected text, found an object.", "a"),
    "an array": ({"a": ["b"]}, "invalid_request", "a: expected text, found an array.", "a"),
    "no map": (["a"], "invalid_request_body", "The body of the request must be a JSON object.", ""),
    "a text": ('"a"', "invalid_request_body", "The body of the request must be a JSON object.", ""),
    "nothing": (None, "invalid_request_body", "The body of the request must be a JSON object.", ""),
    "no JSON": (
        "{a",
        "invalid_request_body",
        "Invalid JSON given in the body of the request - failed to parse given JSON",
        "",
    ),
    "a name with a blank": (
        {"a b": "c"},
        "invalid_request",
        f"{NOT} 'a b' cannot be the name of a property.",
        "default_configs",
    ),
    "no name": ({"": "c"}, "invalid_request", f"{NOT} '' cannot be the name of a property.", "default_configs"),
    "the platform's own": (
        {"spark.master": "local"},
        "invalid_request",
        "default_configs: spark.master is set by the platform and cannot be overridden.",
        "default_configs",
    ),
    "memory that is none": (
        {"spark.driver.memory": "-1"},
        "invalid_request",
        "spark.driver.memory: '-1' is not an amount of memory such as 512m, 4g or 20Gi.",
        "spark.driver.memory",
    ),
    "cores that are none": (
        {"spark.executor.cores": "1e99"},
        "invalid_request",
        "spark.executor.cores: '1e99' is not a number of cores such as 2, 1.5 or 500m.",
        "spark.executor.cores",
    ),
    "half a core": (
        {"spark.driver.cores": "1.5"},
        "invalid_request",
        "spark.driver.cores: '1.5' is not a whole number of cores.",
        "spark.driver.cores",
    ),
    "a history server without memory": (
        {"ae.spark.history-server.memory": ""},
        "invalid_request",
        "ae.spark.history-server.memory: '' is not an amount of memory such as 512m, 4g or 20Gi.",
        "ae.spark.history-server.memory",
    ),
    "executors that are none": (
        {"ae.spark.executor.count": "many"},
        "invalid_request",
        "ae.spark.executor.count: 'many' is not a whole number from 1 to 1000000.",
        "ae.spark.executor.count",
    ),
    "at most no executor": (
        {"ae.spark.max-num-workers": "0"},
        "invalid_request",
        "ae.spark.max-num-workers: '0' is not a whole number from 1 to 1000000.",
        "ae.spark.max-num-workers",
    ),
    "a value of two lines": (
        {"spark.a": "x\ny"},
        "invalid_request",
        f"{NOT} the value of spark.a has a line break or a NUL character.",
        "default_configs",
    ),
    "a file from nowhere": (
        {"spark.jars": "ftp://a/b.jar"},
        "invalid_request",
        "default_configs: the URI 'ftp://a/b.jar' is of scheme 'ftp'; allowed are https, local, s3, s3a.",
        "default_configs",
    ),
    "too many": (
        {f"a{n}": "b" for n in range(1001)},
        "invalid_request",
        "At most 1000 properties of 100,000 characters together can be kept.",
        "",
    ),
    "too long": (
        {"a": "b" * 100_000},
        "invalid_request",
        "At most 1000 properties of 100,000 characters together can be kept.",
        "",
    ),
}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(("body", "code", "message", "field"), BAD_CONFS.values(), ids=BAD_CONFS.keys())
def test_a_conf_that_no_application_could_stand_on_is_refused_and_nothing_changes(
    service: Service, alice: Client, method: str, body: Any, code: str, message: str, field: str
) -> None:
    call(alice, "PUT", "default_configs", {"spark.driver.memory": "8G"})
    with service.unchanged():
        refused(call(alice, method, "default_configs", body), 400, code, message, field)


def test_put_takes_no_null_for_a_value(service: Service, alice: Client) -> None:
    """PUT replaces: a null there unsets what is not there any more."""
    assert call(alice, "PUT", "default_configs", {"a": None, "b": "1"}).json == {"b": "1"}


BAD_RUNTIMES: dict[str, tuple[Any, str, str]] = {
    "no version": ({}, "spark_version is required.", "spark_version"),
    "a version that is null": ({"spark_version": None}, "spark_version is required.", "spark_version"),
    "a list": ({"spark_version": ["3.4"]}, "spark_version: expected string, found array.", "spark_version"),
}


@pytest.mark.parametrize(("body", "message", "field"), BAD_RUNTIMES.values(), ids=BAD_RUNTIMES.keys())
def test_a_runtime_that_is_none_is_refused(
    service: Service, alice: Client, body: Any, message: str, field: str
) -> None:
    with service.unchanged():
        refused(call(alice, "PUT", "default_runtime", body), 400, "invalid_request", message, field)


def test_a_version_may_be_a_number(alice: Client) -> None:
    put = call(alice, "PUT", "default_runtime", {"spark_version": 3.4})
    assert (put.status, put.json) == (200, {"spark_version": "3.4"})


@pytest.mark.parametrize("version", ["", "latest", "9.9", "3", "3.4-beta", "-1"])
def test_a_version_that_nobody_has_is_refused_with_the_list(service: Service, alice: Client, version: str) -> None:
    with service.unchanged():
        answer = call(alice, "PUT", "default_runtime", {"spark_version": version})
    assert answer.status == 400
    assert "3.3, 3.4, 3.5" in answer.json["errors"][0]["message"]


def test_the_documents_limits_are_set_shown_and_removed(service: Service, alice: Client) -> None:
    assert call(alice, "GET", "resource_consumption_limits").json == {"max_cores": "20", "max_memory": "80Gi"}
    put = call(alice, "PUT", "resource_consumption_limits", {"max_cores": "10", "max_memory": "20Gi"})
    assert (put.status, put.json) == (200, {"max_cores": "10", "max_memory": "20Gi"})
    assert call(alice, "GET", "resource_consumption_limits").json == put.json
    assert maximum_of(service) == Amount(10_000, 20 * 1024, UNLIMITED, UNLIMITED)
    assert pool_of(service).facets[FACET]["quota"] == "v4"
    gone = call(alice, "DELETE", "resource_consumption_limits")
    assert (gone.status, gone.body) == (204, b"")
    assert maximum_of(service) == EVERYTHING
    assert pool_of(service).facets[FACET]["quota"] == "v4", "the old kind of quota does not come back"
    none = f"Resource quota of instance {service.instance()} does not exist."
    with service.unchanged():
        for method, what in (("GET", "limits"), ("DELETE", "limits"), ("GET", "")):
            path = f"resource_consumption_{what}" if what else "current_resource_consumption"
            refused(call(alice, method, path), 404, "not_found", none, "instance_id")


@pytest.mark.parametrize(
    ("cores", "memory", "shown"),
    [
        ("10", "20Gi", {"max_cores": "10", "max_memory": "20Gi"}),
        ("1000m", "4G", {"max_cores": "1", "max_memory": "4Gi"}),
        ("1.5", "1536Mi", {"max_cores": "1500m", "max_memory": "1536Mi"}),
        ("1500m", "1.5g", {"max_cores": "1500m", "max_memory": "1536Mi"}),
        (10, "20gb", {"max_cores": "10", "max_memory": "20Gi"}),
        (1.5, "1Ti", {"max_cores": "1500m", "max_memory": "1024Gi"}),
        ("2", "1048576Ki", {"max_cores": "2", "max_memory": "1Gi"}),
    ],
)
def test_limits_are_read_in_every_notation(
    service: Service, alice: Client, cores: Any, memory: str, shown: dict[str, str]
) -> None:
    answer = call(alice, "PUT", "resource_consumption_limits", {"max_cores": cores, "max_memory": memory})
    assert (answer.status, answer.json) == (200, shown)


@pytest.mark.parametrize("cores", ["-1", "1e99", "", "20Gi", "4G", "0", "0m", "1.0001", "ten", True, None, {}, [], "٣"])
def test_cores_that_are_none_are_refused(service: Service, alice: Client, cores: Any) -> None:
    with service.unchanged():
        answer = call(alice, "PUT", "resource_consumption_limits", {"max_cores": cores, "max_memory": "20Gi"})
    assert answer.status == 400
    assert answer.json["errors"][0]["target"] == {"type": "field", "name": "max_cores"}


@pytest.mark.parametrize(
    "memory", ["-1", "1e99", "", "1", "1.5", "0Gi", "4X", "Gi", "9999999Pi", 4, True, None, {}, []]
)
def test_memory_that_is_none_is_refused(service: Service, alice: Client, memory: Any) -> None:
    with service.unchanged():
        answer = call(alice, "PUT", "resource_consumption_limits", {"max_cores": "10", "max_memory": memory})
    assert answer.status == 400
    assert answer.json["errors"][0]["target"] == {"type": "field", "name": "max_memory"}


def test_a_limit_below_what_runs_now_ends_nothing_and_lets_nothing_start(service: Service, alice: Client) -> None:
    running, _ = submit(alice, details(conf={"spark.driver.cores": "4"}))
    service.start(running)
    assert call(alice, "PUT", "resource_consumption_limits", {"max_cores": "2", "max_memory": "1Gi"}).status == 200
    waiting, path = submit(alice)
    service.play()
    assert alice.get(path).json["state"] == "QUEUED"
    assert service.run(running).state == "RUNNING"
    quota = call(alice, "GET", "").json["resource_quota"]
    assert (quota["cpu_quota"], quota["avail_cpu_quota"], quota["avail_memory_quota_gibibytes"]) == (2, 0, 0)
    assert call(alice, "PUT", "resource_consumption_limits", {"max_cores": "20", "max_memory": "20Gi"}).status == 200
    service.play()
    assert service.run(waiting).state == "LAUNCHING"


def test_an_application_beyond_the_quota_starts_when_the_administrator_raises_it(
    service: Service, alice: Client
) -> None:
    run, path = submit(alice, details(conf={"spark.driver.cores": "21"}))
    service.play()
    detail = alice.get(path).json
    assert (detail["state"], detail["state_details"][0]["code"]) == ("QUEUED", "instance_quota_exhausted")
    call(alice, "PUT", "resource_consumption_limits", {"max_cores": "40", "max_memory": "80Gi"})
    service.play()
    assert service.run(run).state == "LAUNCHING"


def test_consumption_is_what_runs_and_what_waits(service: Service, alice: Client) -> None:
    nothing = {"cores": "0m", "memory": "0Mi"}
    assert call(alice, "GET", "current_resource_consumption").json == {"running": nothing, "pending": nothing}
    started, _ = submit(alice, details(conf={"spark.driver.cores": "19", "spark.executor.instances": "1"}))
    service.start(started)
    for _ in range(3):
        submit(alice, details(conf={"spark.executor.instances": "2", "spark.executor.memory": "512m"}))
    service.play()
    answer = call(alice, "GET", "current_resource_consumption")
    assert answer.status == 200
    assert answer.json == {
        "running": {"cores": "20000m", "memory": "2048Mi"},
        "pending": {"cores": "9000m", "memory": "6144Mi"},
    }


def test_another_instances_runs_do_not_count(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "main", "etl", maximum=Amount(1000, 1024, 0, 0))
    submit(alice)
    answer = call(alice, "GET", "current_resource_consumption", instance=service.instance("etl"))
    assert answer.json["pending"] == {"cores": "0m", "memory": "0Mi"}


@pytest.mark.parametrize(("method", "what", "body"), CHANGES, ids=lambda value: str(value))
def test_only_administrators_of_the_instance_change_it(service: Service, method: str, what: str, body: Any) -> None:
    with service.unchanged():
        refused(call(service.bob, method, what, body), 403, "forbidden", ADMINS_ONLY)
        assert call(service.bob, method, what, "{nonsense").status == 403, "who may not ask is told so first"


@pytest.mark.parametrize("what", READS)
def test_everybody_of_the_workspace_reads_it(service: Service, what: str) -> None:
    assert call(service.bob, "GET", what).status == 200


@pytest.mark.parametrize(
    ("method", "what", "body"), [*CHANGES, *(("GET", what, None) for what in READS)], ids=lambda value: str(value)
)
def test_an_instance_that_is_not_the_callers_is_not_there(service: Service, method: str, what: str, body: Any) -> None:
    foreign = service.instance()
    with service.unchanged():
        for client, instance in ((service.eve, foreign), (service.alice, STRAY), (service.bob, STRAY)):
            answer = call(client, method, what, body, instance=instance)
            refused(answer, 404, "not_found", f"Instance {instance} does not exist.", "instance_id")
        answer = call(service.alice, method, what, body, instance="E64C907A-e82f-46fd-addc-ccfafbd28b09")
        assert answer.status == 400 and "GUID" in answer.json["errors"][0]["message"]
        assert call(service.nobody, method, what, body).status == 401


@pytest.mark.parametrize(
    "path", ["", "/default_configs", "/spark_applications/x/state", "/resource_consumption_limits"]
)
def test_a_path_of_the_third_version_is_not_there(service: Service, alice: Client, path: str) -> None:
    answer = alice.get(f"/v3/analytics_engines/{service.instance()}{path}")
    assert answer.status == 404
    assert answer.json["errors"][0]["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "what"), [("POST", "default_runtime"), ("DELETE", "default_configs"), ("PATCH", "")]
)
def test_a_method_that_the_document_does_not_have_is_refused(
    service: Service, alice: Client, method: str, what: str
) -> None:
    answer = call(alice, method, what, {})
    assert answer.status == 405
    assert "GET" in answer.headers["allow"]


def test_the_instance_has_every_field_of_the_document(service: Service, alice: Client) -> None:
    answer = call(alice, "GET", "")
    assert UUID_PATTERN.fullmatch(answer.json["instance_id"])
    assert set(answer.json) == {
        "instance_id", "context_type", "namespace", "creation_time", "dataplane_type", "endpoint_type", "home_volume",
        "resource_quota", "state", "state_change_time",
    }  # fmt: skip
    assert answer.json["resource_quota"] == {
        "cpu_quota": 20,
        "memory_quota_gibibytes": 80,
        "avail_cpu_quota": 20,
        "avail_memory_quota_gibibytes": 80,
    }


def test_a_change_of_the_quota_killed_anywhere_is_done_or_not(service: Service, alice: Client) -> None:
    seen: list[int] = []

    def look(changes: Any) -> None:
        seen.append(sum(isinstance(change, Put) for change in changes))

    service.store.before_commit = look
    call(alice, "PUT", "resource_consumption_limits", {"max_cores": "10", "max_memory": "20Gi"})
    assert seen == [2], "the pool and the ledger, in one transaction"


def test_a_submission_that_meets_a_change_is_accepted(service: Service, alice: Client) -> None:
    call(alice, "PUT", "default_runtime", {"spark_version": "3.3"})
    assert post(alice).status == 202
    assert all(isinstance(run, Run) for run in service.live())
