"""Consumed capacity follows the bytes that were read and written, as on AWS."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from dynamodb_support import Database, create, database, gsi, key, n, s

KB = 1024


@pytest.fixture
def db(tmp_path: pathlib.Path) -> Iterator[Database]:
    with database(tmp_path) as opened:
        keys_only = gsi("keys", "g", None, {"ProjectionType": "KEYS_ONLY"})
        create(opened.client, indexes=(gsi("by-g", "g"), keys_only), g="S")
        yield opened


def sized(p: str, r: int, size: int, **more: Any) -> dict[str, Any]:
    """An item of exactly `size` bytes: p (1 + its text), r (1 + 2, a one-digit number), f (1 + the fill)."""
    rest = sum(len(name) + len(value["S"]) for name, value in more.items())
    return {**key(p, r), "f": s("x" * (size - 1 - len(p) - 3 - 1 - rest)), **more}


def put(db: Database, item: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = db.client.put_item(TableName="T", Item=item, ReturnConsumedCapacity="INDEXES", **more)
    used: dict[str, Any] = answer["ConsumedCapacity"]
    return used


@pytest.mark.parametrize("size, units", [(100, 1), (4 * KB, 1), (4 * KB + 1, 2), (40 * KB, 10)])
def test_reading_an_item_costs_a_unit_for_four_kilobytes_and_half_when_eventual(
    db: Database, size: int, units: int
) -> None:
    put(db, sized("a", 1, size))
    request = {"TableName": "T", "Key": key("a", 1), "ReturnConsumedCapacity": "TOTAL"}
    assert db.client.get_item(**request)["ConsumedCapacity"] == {"TableName": "T", "CapacityUnits": units / 2}
    assert db.client.get_item(**request, ConsistentRead=True)["ConsumedCapacity"]["CapacityUnits"] == units
    transact = db.client.transact_get_items(
        TransactItems=[{"Get": {"TableName": "T", "Key": key("a", 1)}}], ReturnConsumedCapacity="TOTAL"
    )
    assert transact["ConsumedCapacity"] == [
        {"TableName": "T", "CapacityUnits": 2.0 * units, "ReadCapacityUnits": 2.0 * units}
    ]


def test_a_missing_item_costs_as_much_as_a_small_one(db: Database) -> None:
    answer = db.client.get_item(TableName="T", Key=key("none"), ReturnConsumedCapacity="INDEXES")
    assert answer["ConsumedCapacity"] == {"TableName": "T", "CapacityUnits": 0.5, "Table": {"CapacityUnits": 0.5}}


def test_a_batch_rounds_each_item_and_a_query_the_sum(db: Database) -> None:
    for r in range(8):
        put(db, sized("a", r, KB))
    for consistent, factor in ((False, 0.5), (True, 1.0)):
        batch = db.client.batch_get_item(
            RequestItems={"T": {"Keys": [key("a", r) for r in range(8)], "ConsistentRead": consistent}},
            ReturnConsumedCapacity="TOTAL",
        )
        assert batch["ConsumedCapacity"] == [{"TableName": "T", "CapacityUnits": 8 * factor}]
        query = db.client.query(
            TableName="T",
            KeyConditionExpression="p = :p",
            FilterExpression="attribute_not_exists(f)",
            ExpressionAttributeValues={":p": s("a")},
            ConsistentRead=consistent,
            ReturnConsumedCapacity="TOTAL",
        )
        assert query["Count"] == 0
        assert query["ConsumedCapacity"]["CapacityUnits"] == 2 * factor


def test_a_query_of_an_index_is_charged_to_the_index_for_what_it_carries(db: Database) -> None:
    for r in range(8):
        put(db, sized("a", r, KB, g=s("x")))

    def query(name: str) -> dict[str, Any]:
        answer: dict[str, Any] = db.client.query(
            TableName="T",
            IndexName=name,
            KeyConditionExpression="g = :g",
            ReturnConsumedCapacity="INDEXES",
            ExpressionAttributeValues={":g": s("x")},
        )
        used: dict[str, Any] = answer["ConsumedCapacity"]
        return used

    assert query("by-g") == {
        "TableName": "T",
        "CapacityUnits": 1.0,
        "Table": {"CapacityUnits": 0.0},
        "GlobalSecondaryIndexes": {"by-g": {"CapacityUnits": 1.0}},
    }
    assert query("keys")["CapacityUnits"] == 0.5


def test_a_write_costs_a_unit_for_each_kilobyte_of_the_larger_image(db: Database) -> None:
    assert put(db, sized("a", 1, KB))["CapacityUnits"] == 1
    assert put(db, sized("a", 1, KB + 1))["CapacityUnits"] == 2
    assert put(db, sized("a", 1, 100))["CapacityUnits"] == 2
    deleted = db.client.delete_item(TableName="T", Key=key("none"), ReturnConsumedCapacity="TOTAL")
    assert deleted["ConsumedCapacity"] == {"TableName": "T", "CapacityUnits": 1.0}


def test_an_index_is_charged_only_when_its_entry_changes(db: Database) -> None:
    def update(expression: str, **values: Any) -> dict[str, float]:
        answer = db.client.update_item(
            TableName="T",
            Key=key("a", 1),
            UpdateExpression=expression,
            ReturnConsumedCapacity="INDEXES",
            **({"ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}} if values else {}),
        )
        used = answer["ConsumedCapacity"]
        return {
            "Table": used["Table"]["CapacityUnits"],
            **{name: one["CapacityUnits"] for name, one in used.get("GlobalSecondaryIndexes", {}).items()},
        }

    assert update("SET v = :v", v=n(1)) == {"Table": 1.0}
    assert update("SET g = :g", g=s("x")) == {"Table": 1.0, "by-g": 1.0, "keys": 1.0}
    assert update("SET v = :v", v=n(2)) == {"Table": 1.0, "by-g": 1.0}
    assert update("SET g = :g", g=s("y")) == {"Table": 1.0, "by-g": 2.0, "keys": 2.0}
    assert update("SET g = :g", g=s("y")) == {"Table": 1.0}
    assert update("REMOVE g") == {"Table": 1.0, "by-g": 1.0, "keys": 1.0}


def test_an_index_costs_in_a_transaction_what_it_costs_outside(db: Database) -> None:
    def written(g: str) -> dict[str, Any]:
        answer = db.client.transact_write_items(
            TransactItems=[{"Put": {"TableName": "T", "Item": sized("a", 1, KB, g=s(g))}}],
            ReturnConsumedCapacity="INDEXES",
        )
        (used,) = answer["ConsumedCapacity"]
        indexes = {name: one["WriteCapacityUnits"] for name, one in used["GlobalSecondaryIndexes"].items()}
        return {"all": used["CapacityUnits"], "Table": used["Table"]["WriteCapacityUnits"], **indexes}

    assert written("x") == {"all": 4.0, "Table": 2.0, "by-g": 1.0, "keys": 1.0}
    assert written("y") == {"all": 6.0, "Table": 2.0, "by-g": 2.0, "keys": 2.0}


def test_a_transaction_costs_double_and_a_batch_the_sum(db: Database) -> None:
    transact = db.client.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": "T", "Item": sized("a", 1, KB + 1)}},
            {"ConditionCheck": {"TableName": "T", "Key": key("b"), "ConditionExpression": "attribute_not_exists(p)"}},
        ],
        ReturnConsumedCapacity="INDEXES",
    )
    assert transact["ConsumedCapacity"] == [
        {
            "TableName": "T",
            "CapacityUnits": 6.0,
            "WriteCapacityUnits": 6.0,
            "Table": {"CapacityUnits": 6.0, "WriteCapacityUnits": 6.0},
        }
    ]
    batch = db.client.batch_write_item(
        RequestItems={
            "T": [
                {"PutRequest": {"Item": sized("c", 1, KB + 1)}},
                {"DeleteRequest": {"Key": key("a", 1)}},
            ]
        },
        ReturnConsumedCapacity="TOTAL",
    )
    assert batch["ConsumedCapacity"] == [{"TableName": "T", "CapacityUnits": 4.0}]


def test_nothing_is_said_of_capacity_unless_asked(db: Database) -> None:
    for answer in (
        db.client.put_item(TableName="T", Item=key("a")),
        db.client.get_item(TableName="T", Key=key("a")),
        db.client.update_item(TableName="T", Key=key("a"), UpdateExpression="REMOVE v"),
        db.client.batch_get_item(RequestItems={"T": {"Keys": [key("a")]}}),
        db.client.batch_write_item(RequestItems={"T": [{"DeleteRequest": {"Key": key("a")}}]}),
    ):
        assert "ConsumedCapacity" not in answer


def test_a_page_costs_the_same_however_large_the_table(db: Database) -> None:
    def page() -> float:
        answer = db.client.query(
            TableName="T",
            KeyConditionExpression="p = :p",
            ExpressionAttributeValues={":p": s("a")},
            Limit=20,
            ReturnConsumedCapacity="TOTAL",
        )
        return float(answer["ConsumedCapacity"]["CapacityUnits"])

    for r in range(30):
        db.client.put_item(TableName="T", Item={**key("a", r), "f": s("x" * 500)})
    few = page()
    for first in range(30, 530, 25):
        db.client.batch_write_item(
            RequestItems={
                "T": [{"PutRequest": {"Item": {**key("a", first + i), "f": s("x" * 500)}}} for i in range(25)]
            }
        )
    assert page() == few
