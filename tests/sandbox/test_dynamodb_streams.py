"""Stream records: what they say, that each consumer gets them at its own pace, and what time removes."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from dynamodb_support import VIEW, Database, create, database, key, n, s, session
from moto.server import ThreadedMotoServer


@pytest.fixture
def db(tmp_path: pathlib.Path) -> Iterator[Database]:
    with database(tmp_path) as opened:
        create(opened.client)
        yield opened


def put(db: Database, p: str, table: str = "T", **more: Any) -> None:
    db.client.put_item(TableName=table, Item={**key(p), **more})


def test_records_tell_inserts_changes_and_removals_with_both_images(db: Database) -> None:
    put(db, "a", v=n(1))
    put(db, "a", v=n(2))
    db.client.delete_item(TableName="T", Key=key("a"))
    first, second, third = db.records()
    assert [record["eventName"] for record in (first, second, third)] == ["INSERT", "MODIFY", "REMOVE"]
    assert "OldImage" not in first["dynamodb"] and first["dynamodb"]["NewImage"] == {**key("a"), "v": n(1)}
    assert second["dynamodb"]["OldImage"]["v"] == n(1) and second["dynamodb"]["NewImage"]["v"] == n(2)
    assert "NewImage" not in third["dynamodb"] and third["dynamodb"]["OldImage"]["v"] == n(2)
    description = db.client.describe_table(TableName="T")["Table"]
    for record in (first, second, third):
        assert record["dynamodb"]["Keys"] == key("a")
        assert record["dynamodb"]["StreamViewType"] == VIEW
        assert record["dynamodb"]["ApproximateCreationDateTime"] == 1_700_000_000
        assert record["eventSource"] == "aws:dynamodb" and record["awsRegion"] == "us-east-1"
        assert record["eventSourceARN"] == description["LatestStreamArn"]
        assert "userIdentity" not in record
    numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in (first, second, third)]
    assert numbers == sorted(set(numbers))
    assert len({record["eventID"] for record in (first, second, third)}) == 3


def test_a_write_that_changes_nothing_leaves_no_record(db: Database) -> None:
    put(db, "a", v=n("1.50"), tags={"SS": ["x", "y"]}, map={"M": {"a": n(1), "b": n(2)}})
    put(db, "a", tags={"SS": ["y", "x"]}, map={"M": {"b": n("2.0"), "a": n(1)}}, v=n("1.5"))
    db.client.update_item(
        TableName="T", Key=key("a"), UpdateExpression="SET v = :v", ExpressionAttributeValues={":v": n("1.5")}
    )
    db.client.delete_item(TableName="T", Key=key("never there"))
    assert [record["eventName"] for record in db.records()] == ["INSERT"]


def test_an_update_that_creates_an_item_is_one_insert(db: Database) -> None:
    db.client.update_item(
        TableName="T", Key=key("a"), UpdateExpression="SET v = :v", ExpressionAttributeValues={":v": n(1)}
    )
    (record,) = db.records()
    assert record["eventName"] == "INSERT"
    assert record["dynamodb"]["NewImage"] == {**key("a"), "v": n(1)}


def test_a_transaction_leaves_one_record_for_each_item(db: Database) -> None:
    db.client.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": "T", "Item": key("a")}},
            {"ConditionCheck": {"TableName": "T", "Key": key("b"), "ConditionExpression": "attribute_not_exists(p)"}},
            {"Put": {"TableName": "T", "Item": key("c")}},
        ]
    )
    assert [record["dynamodb"]["Keys"]["p"]["S"] for record in db.records()] == ["a", "c"]


def test_the_view_type_says_which_images_there_are(db: Database) -> None:
    for view, images in (("KEYS_ONLY", set()), ("NEW_IMAGE", {"NewImage"}), ("OLD_IMAGE", {"OldImage"})):
        create(db.client, view, stream=False)
        db.client.update_table(TableName=view, StreamSpecification={"StreamEnabled": True, "StreamViewType": view})
        put(db, "a", view, v=n(1))
        put(db, "a", view, v=n(2))
        assert {name for name in db.records(view)[1]["dynamodb"] if name.endswith("Image")} == images


def test_a_table_without_a_stream_leaves_no_records(db: Database) -> None:
    create(db.client, "Quiet", stream=False)
    put(db, "a", "Quiet")
    assert db.records("Quiet") == []


def test_the_streams_api_reads_the_same_records(db: Database) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        streams = session().client("dynamodbstreams", endpoint_url=f"http://{host}:{port}")
        arn = db.client.describe_table(TableName="T")["Table"]["LatestStreamArn"]
        put(db, "a", v=n(1))
        (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]

        def start(kind: str) -> str:
            iterator: str = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType=kind)[
                "ShardIterator"
            ]
            return iterator

        oldest, newest = start("TRIM_HORIZON"), start("LATEST")
        put(db, "b")
        everything = streams.get_records(ShardIterator=oldest)
        assert [record["dynamodb"]["Keys"]["p"] for record in everything["Records"]] == [s("a"), s("b")]
        assert everything["Records"][0]["dynamodb"]["ApproximateCreationDateTime"].timestamp() == db.clock.now
        assert [r["dynamodb"]["Keys"]["p"] for r in streams.get_records(ShardIterator=newest)["Records"]] == [s("b")]
        assert streams.get_records(ShardIterator=everything["NextShardIterator"])["Records"] == []
    finally:
        server.stop()


def test_consumers_go_on_where_they_committed_even_after_a_restart(db: Database) -> None:
    for p in "abc":
        put(db, p)
    read = db.installed.read_records("T", 0, 2)
    assert [record["dynamodb"]["Keys"]["p"]["S"] for _, record in read] == ["a", "b"]
    db.installed.commit_cursor("quick", read[-1][0])
    db.restart()
    assert db.installed.committed_cursor("slow") == 0
    (rest,) = db.installed.read_records("T", db.installed.committed_cursor("quick"), 10)
    assert rest[1]["dynamodb"]["Keys"]["p"]["S"] == "c"
    assert len(db.records()) == 3
    again = db.installed.read_records("T", 0, 10)
    assert [record["eventID"] for _, record in again[:2]] == [record["eventID"] for _, record in read]


def test_a_cursor_never_goes_back(db: Database) -> None:
    db.installed.commit_cursor("c", 5)
    db.installed.commit_cursor("c", 3)
    assert db.installed.committed_cursor("c") == 5
    db.installed.forget_consumer("c")
    assert db.installed.committed_cursor("c") == 0


def test_waiting_ends_with_the_next_record_of_the_table(db: Database) -> None:
    create(db.client, "Other")
    assert db.installed.wait_for_records(0, 0.0, table="T") is False
    woken: list[bool] = []
    waiter = threading.Thread(target=lambda: woken.append(db.installed.wait_for_records(0, 20.0, table="T")))
    waiter.start()
    put(db, "a", "Other")
    assert db.installed.wait_for_records(0, 0.0, table="T") is False
    put(db, "a")
    waiter.join(20)
    assert woken == [True]
    last = db.installed.last_record("T")
    assert db.installed.wait_for_records(last - 1, 0.0) is True
    assert db.installed.wait_for_records(last, 0.0) is False
    db.restart()
    assert db.installed.wait_for_records(last - 1, 0.0, table="T") is True


def test_closing_ends_every_wait(db: Database) -> None:
    woken: list[bool] = []
    waiter = threading.Thread(target=lambda: woken.append(db.installed.wait_for_records(0, 60.0)))
    waiter.start()
    db.installed.close()
    waiter.join(20)
    assert woken == [False]


def test_a_record_goes_when_it_is_an_hour_old_and_everybody_has_passed_it(db: Database) -> None:
    put(db, "a")
    put(db, "b")
    first, second = (seq for seq, _ in db.installed.read_records("T", 0, 10))
    db.installed.commit_cursor("quick", second)
    db.installed.commit_cursor("slow", first)
    db.installed.commit_cursor("of another table", 0, table="Other")
    db.installed.expire(db.clock.now + 3599)
    assert len(db.records()) == 2
    db.installed.expire(db.clock.now + 3601)
    assert [seq for seq, _ in db.installed.read_records("T", 0, 10)] == [second]
    db.installed.forget_consumer("slow")
    db.installed.expire(db.clock.now + 3601)
    assert db.records() == []
    assert db.installed.wait_for_records(0, 0.0, table="T") is False


def test_positions_are_not_used_again_after_everything_was_removed(db: Database) -> None:
    put(db, "a")
    last = db.installed.last_record("T")
    db.installed.commit_cursor("c", last)
    db.installed.expire(db.clock.now + 3601)
    db.restart()
    put(db, "b")
    assert [seq for seq, _ in db.installed.read_records("T", last, 10)] == [last + 1]


def test_expired_items_are_removed_and_the_records_name_the_service(db: Database) -> None:
    now = db.clock.now
    put(db, "before", gone=n(now - 1))  # from before the setting
    db.client.update_time_to_live(TableName="T", TimeToLiveSpecification={"Enabled": True, "AttributeName": "gone"})
    put(db, "due", gone=n(now))
    put(db, "later", gone=n(now + 60))
    put(db, "text", gone=s(str(now - 1)))
    put(db, "never")
    put(db, "mistake", gone=n(1_000_000))  # longer ago than five years
    db.restart()
    seen = db.installed.last_record("T")
    assert db.installed.expire(now) == 2
    assert sorted(found["p"]["S"] for found in db.client.scan(TableName="T")["Items"]) == [
        "later",
        "mistake",
        "never",
        "text",
    ]
    removed = db.records(after=seen)
    assert {record["dynamodb"]["Keys"]["p"]["S"] for record in removed} == {"before", "due"}
    for record in removed:
        assert record["eventName"] == "REMOVE" and "OldImage" in record["dynamodb"]
        assert record["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    assert db.installed.expire(now) == 0


def test_an_item_whose_expiry_was_put_off_stays(db: Database) -> None:
    now = db.clock.now
    db.client.update_time_to_live(TableName="T", TimeToLiveSpecification={"Enabled": True, "AttributeName": "gone"})
    put(db, "a", gone=n(now))
    db.client.update_item(
        TableName="T", Key=key("a"), UpdateExpression="SET gone = :g", ExpressionAttributeValues={":g": n(now + 60)}
    )
    assert db.installed.expire(now) == 0
    assert db.installed.expire(now + 60) == 1


def test_many_expired_items_are_all_removed(db: Database) -> None:
    db.client.update_time_to_live(TableName="T", TimeToLiveSpecification={"Enabled": True, "AttributeName": "gone"})
    for first in range(0, 450, 25):
        db.client.batch_write_item(
            RequestItems={
                "T": [{"PutRequest": {"Item": {**key("a", first + i), "gone": n(db.clock.now)}}} for i in range(25)]
            }
        )
    assert db.installed.expire(db.clock.now) == 450
    assert db.client.scan(TableName="T")["Count"] == 0
