"""Instances as CloudFormation's custom resource: what each request does and is answered, however often it comes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from chalicelib import wiring
from chalicelib.core.capacity import EVERYTHING, Amount, Ledger, PoolAccount
from chalicelib.core.errors import Conflict
from chalicelib.core.ids import UUID_PATTERN
from chalicelib.core.model import Pool
from chalicelib.core.states import RunState
from chalicelib.ports import Clash, key
from chalicelib.services import instances, pools
from chalicelib.workers.instances import MAX_REASON, instance_worker
from tests.unit.cloud import Cloud
from tests.unit.fakes import Killed

STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/mine/1"
URL = "https://answers.example.com/presigned"
MOST_BYTES = 4096
ETL = {"name": "etl", "max_cores": "20", "max_memory": "80Gi", "spark_version": "3.4"}


@dataclass
class Stacks:
    """CloudFormation: asks, and hears the answers."""

    cloud: Cloud = field(default_factory=Cloud)
    heard: list[dict[str, Any]] = field(default_factory=list)

    def put(self, url: str, body: bytes) -> None:
        """What the presigned URL takes."""
        number = self.cloud.tripwire.entering()
        assert url == URL and len(body) <= MOST_BYTES
        self.heard.append(json.loads(body))
        self.cloud.tripwire.leaving(number)

    def deliver(self, event: dict[str, Any]) -> None:
        """Call the function, once."""
        instance_worker(self.cloud.ports, event, self.put)

    def ask(self, kind: str, properties: dict[str, Any], **rest: Any) -> dict[str, Any]:
        """Send a request that is answered; the answer."""
        self.deliver(request(kind, properties, **rest))
        (answer,) = self.heard
        self.heard.clear()
        return answer

    def account(self, name: str = "etl", workspace: str = "main") -> PoolAccount:
        """The instance's account in the ledger."""
        found: PoolAccount = self.cloud.store.get(Ledger, "default").pools[f"{workspace}/{name}"]
        return found

    def pool(self, name: str = "etl", workspace: str = "main") -> Pool:
        """The instance's record."""
        found: Pool = self.cloud.store.get(Pool, workspace, name)
        return found


def request(kind: str, properties: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """An event of CloudFormation's (its guide, "Custom resource request objects")."""
    return {
        "RequestType": kind,
        "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:sparkplane-instance-resource",
        "ResponseURL": URL,
        "StackId": STACK_ID,
        "RequestId": "request-1",
        "LogicalResourceId": "EtlInstance",
        "ResourceType": "Custom::SparkplaneInstance",
        "ResourceProperties": {"ServiceToken": "arn:aws:lambda:…", "ServiceTimeout": "600", **properties},
        **rest,
    }


def update(new: dict[str, Any], old: dict[str, Any], **rest: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The parts of an Update."""
    known = {"PhysicalResourceId": f"main/{old['name']}", "OldResourceProperties": old}
    return "Update", new, {**known, **rest}


@pytest.fixture
def stacks() -> Stacks:
    return Stacks()


def test_an_instance_is_made_and_the_answer_says_its_id_and_where_it_is(stacks: Stacks) -> None:
    answer = stacks.ask("Create", {**ETL, "default_configs": {"spark.a": "true", "spark.b": "4"}})
    data = answer.pop("Data")
    assert answer == {
        "Status": "SUCCESS",
        "PhysicalResourceId": "main/etl",
        "StackId": STACK_ID,
        "RequestId": "request-1",
        "LogicalResourceId": "EtlInstance",
    }
    assert UUID_PATTERN.fullmatch(data["InstanceId"])
    assert data["Path"] == f"/v4/analytics_engines/{data['InstanceId']}"
    assert (stacks.account().maximum.cores, stacks.account().maximum.memory) == (20_000, 80 * 1024)
    assert (stacks.pool().spark_version, stacks.pool().conf) == ("3.4", {"spark.a": "true", "spark.b": "4"})


def test_an_instance_of_which_only_the_name_is_said_is_without_limits(stacks: Stacks) -> None:
    assert stacks.ask("Create", {"name": "etl"})["Status"] == "SUCCESS"
    assert stacks.account() == PoolAccount()
    assert (stacks.pool().spark_version, stacks.pool().conf) == ("", {})


def test_an_instance_that_exists_is_adopted_and_keeps_what_is_not_said_of_it(stacks: Stacks) -> None:
    limits = Amount(1000, 1024, 2, 3)
    pools.ensure_pool(stacks.cloud.ports, "main", "etl", maximum=limits, priority=7, defaults={"conf": {"a": "b"}})
    assert stacks.ask("Create", {"name": "etl", "max_cores": "2"})["Status"] == "SUCCESS"
    assert stacks.account() == PoolAccount(maximum=Amount(2000, 1024, 2, 3), priority=7)
    assert stacks.pool().conf == {"a": "b"}


def test_an_update_changes_what_it_says_under_the_same_ids(stacks: Stacks) -> None:
    made = stacks.ask("Create", ETL)
    kind, new, rest = update({**ETL, "max_cores": "4"}, ETL)
    changed = stacks.ask(kind, new, **rest)
    assert (changed["PhysicalResourceId"], changed["Data"]) == (made["PhysicalResourceId"], made["Data"])
    assert stacks.account().maximum.cores == 4000


def test_what_a_resource_says_no_more_is_as_if_it_had_never_been_said(stacks: Stacks) -> None:
    full = {**ETL, "default_configs": {"a": "b"}}
    stacks.ask("Create", full)
    kind, new, rest = update({"name": "etl"}, full)
    stacks.ask(kind, new, **rest)
    assert stacks.account().maximum == EVERYTHING
    assert (stacks.pool().spark_version, stacks.pool().conf) == ("", {})


def test_what_a_resource_never_said_stays_when_it_changes(stacks: Stacks) -> None:
    stacks.ask("Create", {"name": "etl", "max_cores": "4"})
    caller = stacks.cloud.caller
    instances.set_defaults(stacks.cloud.ports, caller, "etl", lambda conf: {"by": "hand"})
    kind, new, rest = update({"name": "etl", "max_cores": "5"}, {"name": "etl", "max_cores": "4"})
    stacks.ask(kind, new, **rest)
    assert (stacks.account().maximum.cores, stacks.pool().conf) == (5000, {"by": "hand"})


def test_another_name_is_another_instance_and_the_old_one_stays(stacks: Stacks) -> None:
    stacks.ask("Create", ETL)
    kind, new, rest = update({"name": "elt", "max_cores": "1"}, ETL)
    answer = stacks.ask(kind, new, **rest)
    assert answer["PhysicalResourceId"] == "main/elt"
    assert stacks.account("elt").maximum == Amount(1000, *EVERYTHING.vector()[1:])
    before = stacks.cloud.store.snapshot()
    gone = stacks.ask("Delete", ETL, PhysicalResourceId="main/etl")
    assert (gone["Status"], gone["PhysicalResourceId"]) == ("SUCCESS", "main/etl")
    assert stacks.cloud.store.records == before


def test_another_instance_that_exists_loses_nothing_when_a_resource_comes_to_name_it(stacks: Stacks) -> None:
    stacks.ask("Create", {"name": "elt", "max_memory": "1Gi"})
    kind, new, rest = update({"name": "elt"}, ETL)
    stacks.ask(kind, new, **rest)
    assert stacks.account("elt").maximum.memory == 1024


def test_an_instance_of_another_workspace_is_that_workspaces(stacks: Stacks) -> None:
    mine = stacks.ask("Create", ETL)
    answer = stacks.ask("Create", {**ETL, "workspace": "lab", "max_cores": "1"})
    assert answer["PhysicalResourceId"] == "lab/etl"
    assert answer["Data"] != mine["Data"]
    assert (stacks.account().maximum.cores, stacks.account(workspace="lab").maximum.cores) == (20_000, 1000)


REFUSED = [
    ({}, "An instance must have a name."),
    ({"name": ""}, "An instance must have a name."),
    ({"name": ["etl"]}, "An instance must have a name."),
    ({"name": "a/b"}, "'a/b' cannot be an instance's name."),
    ({"name": "etl", "workspace": "Lab"}, "workspace: 'Lab' cannot be a workspace's name."),
    ({"name": "etl", "workspace": ["lab"]}, "workspace: ['lab'] cannot be a workspace's name."),
    ({"name": "etl", "MaxCores": "4"}, "etl: unknown field 'MaxCores'; known are default_configs, max_cores"),
    ({"name": "etl", "max_cores": "0"}, "etl: max_cores: '0' is out of range."),
    ({"name": "etl", "max_cores": ["4"]}, "etl: max_cores: ['4'] is not a number of cores"),
    ({"name": "etl", "max_memory": "much"}, "etl: max_memory: 'much' is not an amount of memory"),
    ({"name": "etl", "spark_version": "9.0"}, "etl: Spark 9.0 is not available."),
    ({"name": "etl", "default_configs": "a=b"}, "etl: default_configs: expected an object of texts."),
    ({"name": "etl", "default_configs": {"a": {"b": "c"}}}, "etl: a: expected text, found an object."),
    ({"name": "etl", "default_configs": {"spark.jars": "ftp://h/a.jar"}}, "etl: default_configs: the URI"),
    ({"name": "etl", "max_cores": "9" * 5000}, "etl: max_cores: '9999"),
]


@pytest.mark.parametrize(("properties", "sentence"), REFUSED)
@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_what_can_never_be_is_refused_with_a_sentence_and_changes_nothing(
    stacks: Stacks, kind: str, properties: dict[str, Any], sentence: str
) -> None:
    before = stacks.cloud.store.snapshot()
    known = {"PhysicalResourceId": "main/etl", "OldResourceProperties": ETL} if kind == "Update" else {}
    answer = stacks.ask(kind, properties, **known)
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith(sentence) and len(answer["Reason"]) <= MAX_REASON
    assert answer["PhysicalResourceId"] == ("main/etl" if kind == "Update" else "EtlInstance")
    assert "Data" not in answer
    assert stacks.cloud.store.records == before


def test_what_a_refused_resource_leaves_is_deleted_without_a_word(stacks: Stacks) -> None:
    refused = stacks.ask("Create", {"name": "a/b"})
    before = stacks.cloud.store.snapshot()
    answer = stacks.ask("Delete", {"name": "a/b"}, PhysicalResourceId=refused["PhysicalResourceId"])
    assert answer["Status"] == "SUCCESS"
    assert stacks.cloud.store.records == before


def test_the_longest_names_and_sentences_fit_into_an_answer(stacks: Stacks) -> None:
    assert stacks.ask("Create", {"name": "\U00020000" * 100})["Status"] == "SUCCESS"
    assert stacks.ask("Create", {"name": "\U00020000" * 2000})["Status"] == "FAILED"
    assert stacks.ask("Create", {"name": "etl", "max_cores": "\ud800"})["Status"] == "FAILED"
    assert stacks.ask("Create", {"name": "etl", "default_configs": {"\ud800": {}}})["Status"] == "FAILED"


def test_a_quota_below_what_runs_is_taken_and_ends_nothing(stacks: Stacks) -> None:
    run = stacks.cloud.running()
    held = stacks.account("default").used
    assert stacks.ask("Create", {"name": "default", "max_cores": "500m"})["Status"] == "SUCCESS"
    assert stacks.cloud.state(run) is RunState.RUNNING
    assert stacks.account("default") == PoolAccount(Amount(500, *EVERYTHING.vector()[1:]), used=held)


def test_who_waits_for_a_larger_quota_starts_when_the_stack_has_raised_it(stacks: Stacks) -> None:
    small = {"name": "default", "max_cores": "1"}
    stacks.ask("Create", small)
    run = stacks.cloud.submit(park_oversized=True)
    stacks.cloud.play()
    assert stacks.cloud.state(run) is RunState.QUEUED
    kind, new, rest = update({"name": "default", "max_cores": "8"}, small)
    stacks.ask(kind, new, **rest)
    stacks.cloud.play()
    assert stacks.cloud.driver(run)


def test_a_row_of_the_ledger_without_an_instance_is_made_one(stacks: Stacks) -> None:
    stacks.ask("Create", ETL)
    del stacks.cloud.store.records[key(Pool, "main", "etl")]
    stacks.ask("Create", {"name": "etl"})
    assert stacks.pool().version and stacks.account().maximum.cores == 20_000


# However often it comes, and whatever happens meanwhile.


def test_a_request_that_comes_twice_is_answered_alike_and_written_once(stacks: Stacks) -> None:
    event = request("Create", ETL)
    stacks.deliver(event)
    before = stacks.cloud.store.snapshot()
    stacks.deliver(event)
    assert stacks.cloud.store.records == before
    first, second = stacks.heard
    assert first == second


REQUESTS = {
    "create": ("Create", ETL, {}),
    "update": update({"name": "etl", "max_cores": "4"}, ETL),
    "rename": update({"name": "elt", "max_cores": "4"}, ETL),
    "refused": ("Create", {"name": "etl", "max_cores": "none"}, {}),
    "delete": ("Delete", ETL, {"PhysicalResourceId": "main/etl"}),
}


def _played(name: str, at: int, *, after: bool) -> tuple[int, dict[str, Any], list[Any]]:
    """Play a request with a kill at that call (0: none), and again until it is through."""
    kind, properties, rest = REQUESTS[name]
    stacks = Stacks()
    if kind != "Create":
        stacks.ask("Create", ETL)
    stacks.cloud.tripwire.arm(at, after=after)
    while True:
        try:
            stacks.deliver(request(kind, properties, **rest))
            break
        except Killed:
            pass
    answer, *again = stacks.heard
    assert all(one == answer for one in again)
    ledger = stacks.cloud.store.get(Ledger, "default")
    kept = [ledger.pools, sorted((pool.name, pool.spark_version, pool.conf) for pool in stacks.cloud.store.all(Pool))]
    return stacks.cloud.tripwire.calls, answer, kept


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", REQUESTS)
def test_a_function_that_is_killed_anywhere_comes_to_the_same_end(name: str, after: bool) -> None:
    calls, *expected = _played(name, 0, after=after)
    assert calls
    for number in range(1, calls + 1):
        assert _played(name, number, after=after)[1:] == tuple(expected), f"killed at call {number}"


def test_whoever_changes_the_instance_meanwhile_is_not_overwritten(stacks: Stacks) -> None:
    stacks.ask("Create", ETL)
    ports = stacks.cloud.ports

    def visitor() -> None:
        pools.ensure_pool(ports, "main", "etl", maximum=Amount(1, 1, 2, 3), priority=5)

    stacks.cloud.tripwire.admit(2, visitor)
    kind, new, rest = update({"name": "etl", "max_cores": "4"}, {"name": "etl", "max_cores": "20"})
    stacks.ask(kind, new, **rest)
    assert stacks.account() == PoolAccount(maximum=Amount(4000, 1, 2, 3), priority=5)


def test_two_resources_of_one_stack_are_made_at_once(stacks: Stacks) -> None:
    def visitor() -> None:
        stacks.deliver(request("Create", {"name": "elt", "max_cores": "1"}, RequestId="request-2"))

    stacks.cloud.tripwire.admit(2, visitor)
    stacks.deliver(request("Create", ETL))
    assert [answer["Status"] for answer in stacks.heard] == ["SUCCESS", "SUCCESS"]
    assert (stacks.account().maximum.cores, stacks.account("elt").maximum.cores) == (20_000, 1000)


def test_a_table_that_gives_no_peace_is_raised_and_not_answered(stacks: Stacks) -> None:
    def clash(changes: Any) -> None:
        raise Clash([])

    stacks.cloud.store.before_commit = clash
    with pytest.raises(Conflict):
        stacks.deliver(request("Create", ETL))
    assert stacks.heard == []


# The answer's way.


@dataclass
class Receiver:
    """A URL that takes answers, with the status that it is told to give."""

    url: str = ""
    status: int = 200
    taken: list[tuple[str, str | None, bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.taken.append((self.path, self.headers["Content-Type"], body))
            self.send_response(made.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/answer?signature=s%2B1"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_answer_is_put_as_the_signature_of_its_url_asks(stacks: Stacks, receiver: Receiver) -> None:
    event = request("Create", ETL, ResponseURL=receiver.url)
    instance_worker(stacks.cloud.ports, event, wiring.put_answer)
    ((path, kind, body),) = receiver.taken
    assert (path, kind) == ("/answer?signature=s%2B1", "")
    assert json.loads(body)["Status"] == "SUCCESS"


def test_an_answer_that_is_not_taken_is_raised_and_comes_again(stacks: Stacks, receiver: Receiver) -> None:
    event = request("Create", ETL, ResponseURL=receiver.url)
    receiver.status = 503
    with pytest.raises(OSError):
        instance_worker(stacks.cloud.ports, event, wiring.put_answer)
    before = stacks.cloud.store.snapshot()
    receiver.status = 200
    instance_worker(stacks.cloud.ports, event, wiring.put_answer)
    first, second = receiver.taken
    assert first == second
    assert stacks.cloud.store.records == before


def test_an_answer_that_nobody_listens_to_is_raised(stacks: Stacks) -> None:
    event = request("Delete", ETL, PhysicalResourceId="main/etl", ResponseURL="http://127.0.0.1:1/answer")
    with pytest.raises(OSError):
        instance_worker(stacks.cloud.ports, event, wiring.put_answer)
