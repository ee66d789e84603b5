"""What DynamoDB does and moto does or does not, asked of whichever is installed in this process.

Each probe answers True when the behaviour is AWS's. Run as a program, it asks plain moto and prints the answers as
JSON; `test_dynamodb_mends.py` asks both.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

from botocore.exceptions import ClientError
from dynamodb_support import create, gsi, key, n, new_client, s
from moto import mock_aws
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb import models
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import Item

PROBES: dict[str, Callable[[Any], bool]] = {}


def probe(function: Callable[[Any], bool]) -> Callable[[Any], bool]:
    PROBES[function.__name__] = function
    return function


def refused(call: Callable[[], Any]) -> bool:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"]) == "ValidationException"
    return False


def fill(client: Any, items: int, **more: Any) -> None:
    for r in range(items):
        client.put_item(TableName="T", Item={**key("a", r), **more})


def query(client: Any, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.query(
        TableName="T", KeyConditionExpression="p = :p", ExpressionAttributeValues={":p": s("a")}, **more
    )
    return answer


@probe
def conditional_writes_exclude_each_other(client: Any) -> bool:
    """Two threads are held between the condition and the write: only one of them may get there."""
    fill(client, 1, v=n(0))
    gate, wins = threading.Barrier(2), []
    validate = models.UpdateExpressionValidator.validate

    def held(validator: Any) -> Any:
        try:
            gate.wait(0.5)
        except threading.BrokenBarrierError:
            pass
        return validate(validator)

    def update() -> None:
        try:
            client.update_item(
                TableName="T",
                Key=key("a"),
                UpdateExpression="SET v = :new",
                ConditionExpression="v = :old",
                ExpressionAttributeValues={":old": n(0), ":new": n(1)},
            )
            wins.append(1)
        except ClientError:
            pass

    with mock.patch.object(models.UpdateExpressionValidator, "validate", held):
        threads = [threading.Thread(target=update) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return len(wins) == 1


@probe
def a_query_looks_at_its_page_only(client: Any) -> bool:
    fill(client, 30)
    looked = []
    sizes = Item.size

    def counted(item: Any) -> int:
        looked.append(1)
        return sizes(item)

    table = dynamodb_backends["123456789012"]["us-east-1"].tables["T"]
    original = type(table).all_items

    def all_items(self: Any) -> list[Any]:
        found = list(original(self))
        looked.extend([1] * len(found))
        return found

    with mock.patch.object(Item, "size", counted), mock.patch.object(type(table), "all_items", all_items):
        query(client, Limit=2)
    return len(looked) <= 4


@probe
def a_transaction_copies_no_table(client: Any) -> bool:
    fill(client, 30)
    copied = []
    original = Item.__deepcopy__

    def counted(item: Any, memo: dict[int, Any]) -> Any:
        copied.append(1)
        return original(item, memo)

    with mock.patch.object(Item, "__deepcopy__", counted):
        client.transact_write_items(TransactItems=[{"Put": {"TableName": "T", "Item": key("b")}}])
    return len(copied) <= 2


@probe
def a_client_token_makes_a_transaction_idempotent(client: Any) -> bool:
    for _ in range(2):
        client.transact_write_items(
            ClientRequestToken="t",
            TransactItems=[
                {
                    "Update": {
                        "TableName": "T",
                        "Key": key("a"),
                        "UpdateExpression": "ADD v :one",
                        "ExpressionAttributeValues": {":one": n(1)},
                    }
                }
            ],
        )
    return bool(client.get_item(TableName="T", Key=key("a"))["Item"]["v"] == n(1))


@probe
def a_transaction_reads_a_hundred_items(client: Any) -> bool:
    return not refused(
        lambda: client.transact_get_items(
            TransactItems=[{"Get": {"TableName": "T", "Key": key("a", r)}} for r in range(100)]
        )
    )


@probe
def a_transaction_reads_only_what_is_asked_for(client: Any) -> bool:
    fill(client, 1, v=n(1), w={"M": {"x": n(1), "y": {"B": b"1"}}})
    answer = client.transact_get_items(
        TransactItems=[
            {
                "Get": {
                    "TableName": "T",
                    "Key": key("a"),
                    "ProjectionExpression": "v, #w.y",
                    "ExpressionAttributeNames": {"#w": "w"},
                }
            }
        ]
    )
    return bool(answer["Responses"] == [{"Item": {"v": n(1), "w": {"M": {"y": {"B": b"1"}}}}}])


@probe
def what_is_copied_within_an_item_is_a_copy(client: Any) -> bool:
    """moto lets both attributes share one value, so a change of one changes the other."""
    fill(client, 1, v={"M": {"x": n(1)}})
    for expression in ("SET w = v", "REMOVE v.x"):
        client.update_item(TableName="T", Key=key("a"), UpdateExpression=expression)
    return bool(client.get_item(TableName="T", Key=key("a"))["Item"]["w"] == {"M": {"x": n(1)}})


@probe
def a_full_page_has_a_last_key(client: Any) -> bool:
    fill(client, 2)
    return "LastEvaluatedKey" in query(client, Limit=2)


@probe
def a_batch_of_26_is_refused(client: Any) -> bool:
    requests = [{"PutRequest": {"Item": key("a", r)}} for r in range(26)]
    return refused(lambda: client.batch_write_item(RequestItems={"T": requests}))


@probe
def a_batch_with_one_item_twice_is_refused(client: Any) -> bool:
    requests = [{"PutRequest": {"Item": {**key("a"), "v": n(r)}}} for r in range(2)]
    return refused(lambda: client.batch_write_item(RequestItems={"T": requests}))


@probe
def a_key_of_the_wrong_type_is_refused(client: Any) -> bool:
    return refused(lambda: client.get_item(TableName="T", Key={"p": n(1), "r": n(1)}))


@probe
def a_large_attribute_may_be_replaced_by_another(client: Any) -> bool:
    """moto adds the old and the new value up."""
    fill(client, 1, f=s("x" * 250_000))
    return not refused(
        lambda: client.update_item(
            TableName="T",
            Key=key("a"),
            UpdateExpression="SET f = :f",
            ExpressionAttributeValues={":f": s("y" * 250_000)},
        )
    )


@probe
def an_index_key_of_the_wrong_type_is_refused(client: Any) -> bool:
    return refused(lambda: client.put_item(TableName="T", Item={**key("a"), "g": n(1)}))


@probe
def reads_are_charged_by_their_size(client: Any) -> bool:
    client.put_item(TableName="T", Item={**key("a"), "f": s("x" * 40_000)})
    answer = client.get_item(TableName="T", Key=key("a"), ReturnConsumedCapacity="TOTAL")
    return bool(answer["ConsumedCapacity"]["CapacityUnits"] == 5.0)


@probe
def an_identical_put_leaves_no_stream_record(client: Any) -> bool:
    fill(client, 1)
    return stream_events(client) == stream_events(client, lambda: fill(client, 1))


@probe
def an_update_that_creates_is_one_stream_record(client: Any) -> bool:
    before = stream_events(client)
    after = stream_events(
        client,
        lambda: client.update_item(
            TableName="T", Key=key("a"), UpdateExpression="SET v = :v", ExpressionAttributeValues={":v": n(1)}
        ),
    )
    return after - before == 1


def stream_events(client: Any, act: Callable[[], Any] = lambda: None) -> int:
    act()
    return len(dynamodb_backends["123456789012"]["us-east-1"].tables["T"].stream_shard.items)


@probe
def items_are_not_kept_after_they_are_gone(client: Any) -> bool:
    fill(client, 1)
    kept = len(Item.instances_tracked)  # type: ignore[attr-defined]
    fill(client, 5)
    return len(Item.instances_tracked) == kept  # type: ignore[attr-defined]


@probe
def an_answer_is_written_without_walking_the_model_of_each_value(client: Any) -> bool:
    fill(client, 20, text=s("x"), map={"M": {"a": n(1), "b": {"L": [n(1), n(2)]}}})
    calls = []
    original = BaseJSONSerializer._serialize

    def counted(self: Any, *args: Any) -> Any:
        calls.append(1)
        return original(self, *args)

    with mock.patch.object(BaseJSONSerializer, "_serialize", counted):
        query(client)
    return len(calls) < 20 * 4 * 2


def ask() -> dict[str, bool]:
    """Every probe on a fresh table."""
    client = new_client()
    answers = {}
    for name, function in PROBES.items():
        create(client, indexes=(copy.deepcopy(gsi("by-g", "g")),), g="S")
        answers[name] = function(client)
        client.delete_table(TableName="T")
    return answers


if __name__ == "__main__":
    with mock_aws():
        print(json.dumps(ask()))
