"""Queries and scans: what they find, in which order, page by page, and at what cost."""

from __future__ import annotations

import pathlib
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError
from dynamodb_support import Database, create, database, gsi, key, n, s
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType

from sandbox.aws.dynamodb.layout import layout_of
from sandbox.aws.dynamodb.query import Search, read_page


@pytest.fixture
def db(tmp_path: pathlib.Path) -> Iterator[Database]:
    with database(tmp_path) as opened:
        yield opened


def pages(call: Callable[..., dict[str, Any]], **arguments: Any) -> list[dict[str, Any]]:
    answers = [call(**arguments)]
    while "LastEvaluatedKey" in answers[-1]:
        answers.append(call(**arguments, ExclusiveStartKey=answers[-1]["LastEvaluatedKey"]))
        assert len(answers) < 1000
    return answers


def walk(db: Database, condition: str, values: dict[str, Any], **arguments: Any) -> list[dict[str, Any]]:
    """Every item of a query, read in pages."""
    answers = pages(
        db.client.query, TableName="T", KeyConditionExpression=condition, ExpressionAttributeValues=values, **arguments
    )
    return [item for answer in answers for item in answer["Items"]]


def test_numbers_come_in_the_order_of_their_values(db: Database) -> None:
    create(db.client)
    chance = random.Random(7)
    values = {Decimal(chance.randint(-(10**12), 10**12)).scaleb(chance.randint(-20, 20)) for _ in range(200)}
    values |= {Decimal(text) for text in ("0", "-1", "1", "1E-130", "9.9E+125", "-9.9E+125", "-1E-130")}
    for value in values:
        db.client.put_item(TableName="T", Item=key("a", str(value)))
    for forward in (True, False):
        found = walk(db, "p = :p", {":p": s("a")}, ScanIndexForward=forward, Limit=17)
        assert [Decimal(item["r"]["N"]) for item in found] == sorted(values, reverse=not forward)


RANGES: list[tuple[str, dict[str, Any], Callable[[int], bool]]] = [
    ("p = :p", {}, lambda r: True),
    ("p = :p AND r = :x", {":x": n(7)}, lambda r: r == 7),
    ("p = :p AND r < :x", {":x": n(7)}, lambda r: r < 7),
    ("p = :p AND r <= :x", {":x": n(7)}, lambda r: r <= 7),
    ("p = :p AND r > :x", {":x": n(7)}, lambda r: r > 7),
    ("p = :p AND r >= :x", {":x": n(7)}, lambda r: r >= 7),
    ("p = :p AND r BETWEEN :x AND :y", {":x": n(-3), ":y": n(11)}, lambda r: -3 <= r <= 11),
]


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("limit", [1, 4, 100])
def test_every_condition_on_the_range_key_finds_the_same_items_in_any_page_size(
    db: Database, limit: int, forward: bool
) -> None:
    create(db.client)
    for r in range(-5, 16):
        db.client.put_item(TableName="T", Item=key("a", r))
    db.client.put_item(TableName="T", Item=key("b", 7))
    for condition, values, wanted in RANGES:
        found = walk(db, condition, {":p": s("a"), **values}, Limit=limit, ScanIndexForward=forward)
        expected = sorted((r for r in range(-5, 16) if wanted(r)), reverse=not forward)
        assert [int(item["r"]["N"]) for item in found] == expected, condition


@pytest.mark.parametrize("forward", [True, False])
def test_begins_with_pages_through_exactly_its_prefix(db: Database, forward: bool) -> None:
    create(db.client, indexes=(gsi("by-g", "g", "h"),), g="S", h="S")
    names = ["a", "aa", "ab", "ab\u00ff", "ab\U0010ffff", "ac", "b", "ab#1", "ab#2"]
    for number, name in enumerate(names):
        db.client.put_item(TableName="T", Item={**key("x", number), "g": s("g"), "h": s(name)})
    found = walk(
        db,
        "g = :g AND begins_with(h, :h)",
        {":g": s("g"), ":h": s("ab")},
        IndexName="by-g",
        Limit=2,
        ScanIndexForward=forward,
    )
    expected = sorted((name for name in names if name.startswith("ab")), key=str.encode, reverse=not forward)
    assert [item["h"]["S"] for item in found] == expected


@pytest.mark.parametrize("forward", [True, False])
def test_items_with_equal_index_keys_are_each_seen_once(db: Database, forward: bool) -> None:
    create(db.client, indexes=(gsi("by-g", "g", "h"),), g="S", h="N")
    for r in range(23):
        db.client.put_item(TableName="T", Item={**key(f"p{r % 3}", r), "g": s("g"), "h": n(r % 2)})
    found = walk(db, "g = :g", {":g": s("g")}, IndexName="by-g", Limit=2, ScanIndexForward=forward)
    order = [(int(item["h"]["N"]), item["p"]["S"], int(item["r"]["N"])) for item in found]
    assert len(set(order)) == 23
    assert order == sorted(order, reverse=not forward)


def test_an_index_holds_the_items_that_have_all_its_keys_and_follows_changes(db: Database) -> None:
    create(db.client, indexes=(gsi("by-g", "g", "h"),), g="S", h="N")
    db.client.put_item(TableName="T", Item={**key("a", 1), "g": s("x"), "h": n(1)})
    db.client.put_item(TableName="T", Item={**key("a", 2), "g": s("x")})
    db.client.put_item(TableName="T", Item={**key("a", 3), "h": n(1)})

    def listed(g: str) -> list[str]:
        return [item["r"]["N"] for item in walk(db, "g = :g", {":g": s(g)}, IndexName="by-g")]

    assert listed("x") == ["1"]
    db.client.update_item(
        TableName="T", Key=key("a", 1), UpdateExpression="SET g = :y", ExpressionAttributeValues={":y": s("y")}
    )
    assert (listed("x"), listed("y")) == ([], ["1"])
    db.client.update_item(TableName="T", Key=key("a", 1), UpdateExpression="REMOVE g")
    assert listed("y") == []


def test_a_full_last_page_still_has_a_key_to_go_on_from(db: Database) -> None:
    create(db.client)
    for r in range(4):
        db.client.put_item(TableName="T", Item=key("a", r))
    answers = pages(
        db.client.query,
        TableName="T",
        Limit=2,
        KeyConditionExpression="p = :p",
        ExpressionAttributeValues={":p": s("a")},
    )
    assert [answer["Count"] for answer in answers] == [2, 2, 0]


def test_a_limit_counts_what_is_read_and_the_filter_comes_after(db: Database) -> None:
    create(db.client)
    for r in range(10):
        db.client.put_item(TableName="T", Item={**key("a", r), "even": {"BOOL": r % 2 == 0}})
    answer = db.client.query(
        TableName="T",
        KeyConditionExpression="p = :p",
        FilterExpression="even = :yes",
        Limit=5,
        ExpressionAttributeValues={":p": s("a"), ":yes": {"BOOL": True}},
    )
    assert (answer["Count"], answer["ScannedCount"]) == (3, 5)
    assert answer["LastEvaluatedKey"] == key("a", 4)


def test_a_page_ends_at_one_megabyte_before_the_filter(db: Database) -> None:
    create(db.client)
    for r in range(5):
        db.client.put_item(TableName="T", Item={**key("a", r), "fill": s("x" * 300_000)})
    answers = pages(
        db.client.query,
        TableName="T",
        KeyConditionExpression="p = :p",
        FilterExpression="attribute_not_exists(fill)",
        ExpressionAttributeValues={":p": s("a")},
    )
    assert [answer["ScannedCount"] for answer in answers] == [3, 2]
    assert sum(answer["Count"] for answer in answers) == 0


def test_projections_of_the_request_and_of_the_index_both_apply(db: Database) -> None:
    projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["kept"]}
    keys_only = {"ProjectionType": "KEYS_ONLY"}
    create(db.client, indexes=(gsi("by-g", "g", None, projection), gsi("keys", "g", None, keys_only)), g="S")
    item = {**key("a", 1), "g": s("g"), "kept": {"M": {"x": n(1), "y": n(2)}}, "dropped": s("z")}
    db.client.put_item(TableName="T", Item=item)
    values = {":g": s("g")}
    assert walk(db, "g = :g", values, IndexName="keys") == [{**key("a", 1), "g": s("g")}]
    assert walk(db, "g = :g", values, IndexName="by-g") == [{k: v for k, v in item.items() if k != "dropped"}]
    nested = walk(db, "g = :g", values, IndexName="by-g", ProjectionExpression="p, kept.x, dropped")
    assert nested == [{"p": s("a"), "kept": {"M": {"x": n(1)}}}]


def test_a_local_index_orders_a_partition_and_reads_consistently(db: Database) -> None:
    local = {
        "IndexName": "by-age",
        "Projection": {"ProjectionType": "ALL"},
        "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "age", "KeyType": "RANGE"}],
    }
    create(db.client, local=(local,), age="N")
    for r in range(6):
        db.client.put_item(TableName="T", Item={**key("a", r), "age": n(10 - r)})
    db.client.put_item(TableName="T", Item={**key("b", 0), "age": n(8)})
    found = walk(
        db, "p = :p AND age > :x", {":p": s("a"), ":x": n(7)}, IndexName="by-age", ConsistentRead=True, Limit=2
    )
    assert [item["age"]["N"] for item in found] == ["8", "9", "10"]


def test_binary_keys_order_by_their_bytes(db: Database) -> None:
    create(db.client, indexes=(gsi("by-raw", "g", "raw"),), g="S", raw="B")
    values = [b"\x00", b"\x00\x01", b"\x7f", b"\x80", b"\xff", b"\xff\xff"]
    for number, raw in enumerate(reversed(values)):
        db.client.put_item(TableName="T", Item={**key("a", number), "g": s("g"), "raw": {"B": raw}})
    found = walk(db, "g = :g", {":g": s("g")}, IndexName="by-raw", Limit=2)
    assert [item["raw"]["B"] for item in found] == values
    assert (
        len(
            walk(
                db, "g = :g AND begins_with(raw, :x)", {":g": s("g"), ":x": {"B": b"\xff"}}, IndexName="by-raw", Limit=1
            )
        )
        == 2
    )


def test_scans_and_segments_see_every_item_once(db: Database) -> None:
    create(db.client, indexes=(gsi("by-g", "g"),), g="S")
    for i in range(40):
        db.client.put_item(TableName="T", Item={**key(f"p{i}", i), **({"g": s(f"g{i % 3}")} if i % 2 else {})})
    every = {(f"p{i}", str(i)) for i in range(40)}

    def scanned(**arguments: Any) -> list[tuple[str, str]]:
        answers = pages(db.client.scan, TableName="T", Limit=7, **arguments)
        return [(item["p"]["S"], item["r"]["N"]) for answer in answers for item in answer["Items"]]

    assert sorted(scanned()) == sorted(every)
    parts = [scanned(Segment=segment, TotalSegments=3) for segment in range(3)]
    assert sorted(one for part in parts for one in part) == sorted(every)
    assert sorted(scanned(IndexName="by-g")) == sorted(one for one in every if int(one[1]) % 2)


@pytest.mark.parametrize(
    "start",
    [
        {"p": s("a")},
        {**key("a", 1), "x": s("y")},
        {"p": s("a"), "r": s("1")},
        key("b", 1),
        key("a", 0),
    ],
)
def test_a_start_key_that_is_not_of_this_query_is_refused(db: Database, start: dict[str, Any]) -> None:
    create(db.client)
    with pytest.raises(ClientError) as error:
        db.client.query(
            TableName="T",
            KeyConditionExpression="p = :p AND r > :x",
            ExclusiveStartKey=start,
            ExpressionAttributeValues={":p": s("a"), ":x": n(0.5)},
        )
    assert error.value.response["Error"]["Code"] == "ValidationException"


def test_an_index_added_later_is_filled_and_one_removed_is_gone(db: Database) -> None:
    create(db.client)
    db.client.put_item(TableName="T", Item={**key("a", 1), "g": s("x")})
    db.client.put_item(TableName="T", Item={**key("a", 2), "g": n(1)})  # does not fit: AWS leaves it out
    db.client.put_item(TableName="T", Item=key("a", 3))

    def update(*changes: dict[str, Any], **kinds: str) -> None:
        attributes = {"p": "S", "r": "N", **kinds}
        db.client.update_table(
            TableName="T",
            GlobalSecondaryIndexUpdates=list(changes),
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": v} for k, v in attributes.items()],
        )

    def listed(value: dict[str, Any]) -> list[str]:
        return [item["r"]["N"] for item in walk(db, "g = :g", {":g": value}, IndexName="by-g")]

    update({"Create": gsi("by-g", "g")}, g="S")
    assert listed(s("x")) == ["1"]
    db.restart()
    assert listed(s("x")) == ["1"]
    update({"Delete": {"IndexName": "by-g"}})
    with pytest.raises(ClientError):
        listed(s("x"))
    update({"Create": gsi("by-g", "g")}, g="N")  # the same name over another type
    assert listed(n(1)) == ["2"]


def test_the_cost_of_a_page_does_not_grow_with_the_table_nor_with_the_position(db: Database) -> None:
    """SQLite's own steps, counted: 20 rows cost the same of 200 and of 5,000, at the start and in the middle."""
    create(db.client, stream=False, indexes=(gsi("by-g", "g", "h"),), g="S", h="S")
    table = dynamodb_backends["123456789012"]["us-east-1"].tables["T"]
    layout = layout_of(table)
    storage = db.installed._storage

    def fill(first: int, last: int) -> None:
        with storage.unit(write=True):
            for r in range(first, last):
                table.put_item({**key("a", r), "g": s("x"), "h": s("same")})

    def steps(**where: Any) -> int:
        typed = {
            "equal": [(name, DynamoType(value)) for name, value in where.pop("equal", [])],
            "ranges": [(name, op, [DynamoType(v) for v in values]) for name, op, values in where.pop("ranges", [])],
        }
        count = 0

        def tick() -> int:
            nonlocal count
            count += 1
            return 0

        search = Search(layout, **{"index": None, "start": None, **typed, **where})
        with storage.unit(write=False) as unit:
            unit.connection.set_progress_handler(tick, 1)
            try:
                assert read_page(unit.connection, search, 20).scanned == 20
            finally:
                unit.connection.set_progress_handler(None, 0)
        return count

    def everything(middle: int) -> list[int]:
        index, start = layout.index("by-g"), key("a", middle)
        index_start = {**start, "g": s("x"), "h": s("same")}
        low_to_high = [("r", "BETWEEN", [n(0), n(10_000)])]
        counts = []
        for forward in (True, False):
            base: dict[str, Any] = {"equal": [("p", s("a"))], "forward": forward}
            over: dict[str, Any] = {"equal": [("g", s("x"))], "forward": forward, "index": index}
            counts += [
                steps(**base),
                steps(**base, start=start),
                steps(**base, start=start, ranges=low_to_high),
                steps(**over),
                steps(**over, start=index_start),
                steps(**over, start=index_start, ranges=[("h", "BEGINS_WITH", [s("sa")])]),
            ]
        return [*counts, steps(), steps(start=start), steps(index=index), steps(index=index, start=index_start)]

    fill(0, 200)
    steps()  # a new connection reads the schema once
    small = everything(100)
    fill(200, 5000)
    assert everything(2500) == small
    assert max(small) < 500
