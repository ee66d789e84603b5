"""The short way from boto3 to moto: hot actions prepare no HTTP request, and whatever fails is told as ever."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from dynamodb_support import create, database, key, s

REQUEST: dict[str, Any] = {"TableName": "T", "Item": {**key("a", 1), "f": s("x")}}


class Wire:
    """A client of its own, and the actions that it sent as HTTP requests."""

    def __init__(self) -> None:
        session = boto3.Session(region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        self.client = session.client("dynamodb")
        self.sent: list[str] = []
        self.client.meta.events.register("before-send.dynamodb", self._note)

    def _note(self, request: Any, **_: Any) -> None:
        self.sent.append(request.headers["X-Amz-Target"].decode().rpartition(".")[2])


@pytest.fixture
def wire(tmp_path: pathlib.Path) -> Iterator[Wire]:
    with database(tmp_path) as opened:
        create(opened.client)
        yield Wire()


def test_hot_actions_prepare_no_http_request(wire: Wire) -> None:
    wire.client.put_item(**REQUEST)
    wire.client.transact_write_items(TransactItems=[{"Put": {**REQUEST, "Item": {**key("a", 2), "f": s("y")}}}])
    found = wire.client.get_item(TableName="T", Key=key("a", 1))
    batch = wire.client.batch_get_item(RequestItems={"T": {"Keys": [key("a", 1), key("a", 2)]}})
    listed = wire.client.query(TableName="T", KeyConditionExpression="p = :p", ExpressionAttributeValues={":p": s("a")})
    assert found["Item"] == REQUEST["Item"]
    assert len(batch["Responses"]["T"]) == listed["Count"] == len(listed["Items"]) == 2
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert wire.sent == []


def test_a_failed_condition_is_told_as_by_the_service_and_changes_nothing(wire: Wire) -> None:
    wire.client.put_item(**REQUEST)
    changed = {**REQUEST, "Item": {**key("a", 1), "f": s("changed")}, "ConditionExpression": "attribute_not_exists(p)"}
    with pytest.raises(wire.client.exceptions.ConditionalCheckFailedException):
        wire.client.put_item(**changed)
    with pytest.raises(wire.client.exceptions.TransactionCanceledException) as cancelled:
        wire.client.transact_write_items(TransactItems=[{"Put": changed}])
    assert cancelled.value.response["CancellationReasons"][0]["Code"] == "ConditionalCheckFailed"
    assert wire.client.get_item(TableName="T", Key=key("a", 1))["Item"] == REQUEST["Item"]


def test_a_table_that_does_not_exist_is_told_as_by_the_service(wire: Wire) -> None:
    with pytest.raises(ClientError) as missing:
        wire.client.get_item(TableName="none", Key=key("a", 1))
    assert missing.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_binary_values_come_back_as_bytes(wire: Wire) -> None:
    item = {**key("b", 1), "f": {"B": b"\x00\xff"}, "n": {"NULL": True}}
    wire.client.put_item(TableName="T", Item=item)
    assert wire.client.get_item(TableName="T", Key=key("b", 1))["Item"] == item


def test_hooks_see_a_call_before_and_after_it(wire: Wire) -> None:
    seen: list[str] = []
    events = wire.client.meta.events
    events.register("provide-client-params.dynamodb", lambda params, **_: {**params, "ReturnConsumedCapacity": "TOTAL"})
    events.register("after-call.dynamodb", lambda parsed, model, **_: seen.append(model.name))
    told = wire.client.put_item(**REQUEST)
    assert (told["ConsumedCapacity"], seen) == ({"TableName": "T", "CapacityUnits": 1.0}, ["PutItem"])
    assert wire.sent == []


def test_a_transaction_that_is_sent_twice_is_applied_once(wire: Wire) -> None:
    parts = [{"Put": {**REQUEST, "ConditionExpression": "attribute_not_exists(p)"}}]
    for _ in range(2):
        wire.client.transact_write_items(TransactItems=parts, ClientRequestToken="once")
    with pytest.raises(wire.client.exceptions.TransactionCanceledException):
        wire.client.transact_write_items(TransactItems=parts)
