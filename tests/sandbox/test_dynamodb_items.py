"""Writing and reading items: conditions, transactions, batches, and what DynamoDB refuses."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from dynamodb_support import Database, create, database, gsi, key, n, new_client, s

INCREMENT: dict[str, Any] = {
    "Key": key("a"),
    "UpdateExpression": "ADD v :one",
    "ExpressionAttributeValues": {":one": n(1)},
}


@pytest.fixture
def db(tmp_path: pathlib.Path) -> Iterator[Database]:
    with database(tmp_path) as opened:
        create(opened.client, indexes=(gsi("by-g", "g"),), g="S")
        yield opened


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def item(db: Database, p: str, r: float | str = 0) -> dict[str, Any] | None:
    found: dict[str, Any] | None = db.client.get_item(TableName="T", Key=key(p, r)).get("Item")
    return found


def test_an_item_of_every_type_comes_back_as_it_went_in(db: Database) -> None:
    original = {
        **key("a", 1),
        "text": s("ä\u2028"),
        "bin": {"B": b"\x00\xff"},
        "yes": {"BOOL": True},
        "none": {"NULL": True},
        "list": {"L": [{"B": b"in list"}, {"M": {"deep": {"L": []}}}]},
        "map": {"M": {"b": {"B": b"in map"}}},
        "ss": {"SS": ["x", "y"]},
        "ns": {"NS": ["1", "10", "2.5"]},
        "bs": {"BS": [b"1", b"2"]},
        "empty": s(""),
    }
    db.client.put_item(TableName="T", Item=original)
    found = item(db, "a", 1)
    assert found is not None
    assert sorted(found.pop("ns")["NS"]) == sorted(original.pop("ns")["NS"])
    assert found == original


def test_a_number_key_is_one_key_however_it_is_spelled(db: Database) -> None:
    db.client.put_item(TableName="T", Item=key("a", "1.50"))
    db.client.update_item(
        TableName="T", Key=key("a", "15E-1"), UpdateExpression="SET v = :v", ExpressionAttributeValues={":v": n(1)}
    )
    assert item(db, "a", "1.5") == {**key("a", "1.5"), "v": n(1)}


def test_a_failed_condition_gives_the_old_item_when_asked(db: Database) -> None:
    db.client.put_item(TableName="T", Item={**key("a"), "v": n(1), "raw": {"B": b"\xff"}})
    for call, arguments in (
        (db.client.put_item, {"Item": key("a")}),
        (db.client.delete_item, {"Key": key("a")}),
        (db.client.update_item, {"Key": key("a"), "UpdateExpression": "SET w = v"}),
    ):
        with pytest.raises(ClientError) as error:
            call(
                TableName="T",
                ConditionExpression="attribute_not_exists(p)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **arguments,
            )
        assert code(error) == "ConditionalCheckFailedException"
        assert error.value.response["Item"]["v"] == n(1)
    assert item(db, "a") == {**key("a"), "v": n(1), "raw": {"B": b"\xff"}}


def test_a_condition_on_binary_compares_with_what_was_stored(db: Database) -> None:
    db.client.put_item(TableName="T", Item={**key("a"), "bits": {"B": b"\x00\xff"}})
    db.client.put_item(
        TableName="T",
        Item=key("a"),
        ConditionExpression="bits = :b",
        ExpressionAttributeValues={":b": {"B": b"\x00\xff"}},
    )
    assert item(db, "a") == key("a")


def test_return_values_show_the_state_before_and_after(db: Database) -> None:
    db.client.put_item(TableName="T", Item={**key("a"), "v": n(1)})
    update = {"TableName": "T", **INCREMENT}
    assert db.client.update_item(**update, ReturnValues="ALL_OLD")["Attributes"]["v"] == n(1)
    assert db.client.update_item(**update, ReturnValues="ALL_NEW")["Attributes"]["v"] == n(3)
    assert db.client.put_item(TableName="T", Item=key("a"), ReturnValues="ALL_OLD")["Attributes"]["v"] == n(3)
    assert db.client.delete_item(TableName="T", Key=key("a"), ReturnValues="ALL_OLD")["Attributes"] == key("a")


def test_an_update_that_fails_half_way_changes_nothing(db: Database) -> None:
    db.client.put_item(TableName="T", Item={**key("a"), "v": n(1), "text": s("x")})
    with pytest.raises(ClientError):
        db.client.update_item(
            TableName="T",
            Key=key("a"),
            UpdateExpression="SET v = :two, w = text + :two",
            ExpressionAttributeValues={":two": n(2)},
        )
    assert item(db, "a") == {**key("a"), "v": n(1), "text": s("x")}


def test_a_cancelled_transaction_gives_its_reasons_and_leaves_nothing_behind(db: Database) -> None:
    db.client.put_item(TableName="T", Item={**key("taken"), "v": n(1)})
    seen = len(db.records())
    with pytest.raises(ClientError) as error:
        db.client.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": "T", "Item": key("new")}},
                {
                    "Put": {
                        "TableName": "T",
                        "Item": key("taken"),
                        "ConditionExpression": "attribute_not_exists(p)",
                        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                    }
                },
                {
                    "Update": {
                        "TableName": "T",
                        "Key": key("counter"),
                        "UpdateExpression": "ADD v :one",
                        "ExpressionAttributeValues": {":one": n(1)},
                    }
                },
            ]
        )
    reasons = error.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None", "ConditionalCheckFailed", "None"]
    assert reasons[1]["Item"]["v"] == n(1)
    assert item(db, "new") is None and item(db, "counter") is None
    assert len(db.records()) == seen


def test_a_transaction_that_sdk_retries_is_applied_once(db: Database) -> None:
    request = {
        "ClientRequestToken": "t-1",
        "TransactItems": [
            {
                "Update": {
                    "TableName": "T",
                    **INCREMENT,
                }
            }
        ],
    }
    db.client.transact_write_items(**request)
    replay = db.client.transact_write_items(**request, ReturnConsumedCapacity="TOTAL")
    assert item(db, "a") == {**key("a"), "v": n(1)}
    assert replay["ConsumedCapacity"] == [{"TableName": "T", "CapacityUnits": 2.0, "ReadCapacityUnits": 2.0}]

    db.restart()
    db.clock.now += 599
    db.client.transact_write_items(**request)
    assert item(db, "a") == {**key("a"), "v": n(1)}
    db.clock.now += 2
    db.client.transact_write_items(**request)
    assert item(db, "a") == {**key("a"), "v": n(2)}


def test_a_token_with_another_request_is_refused(db: Database) -> None:
    def write(p: str) -> None:
        db.client.transact_write_items(
            ClientRequestToken="t-1", TransactItems=[{"Put": {"TableName": "T", "Item": key(p)}}]
        )

    write("a")
    with pytest.raises(ClientError) as error:
        write("b")
    assert code(error) == "IdempotentParameterMismatchException"
    assert item(db, "b") is None


def test_a_cancelled_transaction_may_be_sent_again_with_its_token(db: Database) -> None:
    request = {
        "ClientRequestToken": "t-1",
        "TransactItems": [
            {"Put": {"TableName": "T", "Item": key("a"), "ConditionExpression": "attribute_not_exists(p)"}}
        ],
    }
    db.client.put_item(TableName="T", Item=key("a"))
    with pytest.raises(ClientError):
        db.client.transact_write_items(**request)
    db.client.delete_item(TableName="T", Key=key("a"))
    db.client.transact_write_items(**request)
    assert item(db, "a") == key("a")


def test_two_operations_on_one_item_in_a_transaction_are_refused(db: Database) -> None:
    with pytest.raises(ClientError) as error:
        db.client.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": "T", "Item": key("a")}},
                {"Delete": {"TableName": "T", "Key": key("a")}},
            ]
        )
    assert code(error) == "ValidationException"


def test_a_batch_has_the_limits_of_aws(db: Database) -> None:
    def puts(count: int) -> dict[str, Any]:
        return {"T": [{"PutRequest": {"Item": key("b", i)}} for i in range(count)]}

    db.client.batch_write_item(RequestItems=puts(25))
    with pytest.raises(ClientError) as error:
        new_client(validate=False).batch_write_item(RequestItems=puts(26))
    assert code(error) == "ValidationException"
    with pytest.raises(ClientError) as error:
        new_client(validate=False).batch_get_item(RequestItems={"T": {"Keys": [key("b", i) for i in range(101)]}})
    assert code(error) == "ValidationException"
    with pytest.raises(ClientError) as error:
        db.client.batch_write_item(
            RequestItems={
                "T": [
                    {"PutRequest": {"Item": {**key("x"), "v": n(1)}}},
                    {"DeleteRequest": {"Key": key("x")}},
                ]
            }
        )
    assert code(error) == "ValidationException"
    found = db.client.batch_get_item(RequestItems={"T": {"Keys": [key("b", i) for i in range(30)]}})
    assert len(found["Responses"]["T"]) == 25


def test_a_transaction_reads_up_to_a_hundred_items(db: Database) -> None:
    db.client.put_item(TableName="T", Item=key("a", 7))
    answer = db.client.transact_get_items(
        TransactItems=[{"Get": {"TableName": "T", "Key": key("a", i)}} for i in range(100)]
    )
    assert [i for i, found in enumerate(answer["Responses"]) if "Item" in found] == [7]


@pytest.mark.parametrize(
    "bad",
    [
        {"p": n(1), "r": n(1)},
        {"p": s("a"), "r": s("1")},
        {"p": s("a")},
        {"p": s(""), "r": n(1)},
    ],
)
def test_a_key_that_does_not_fit_the_schema_is_refused(db: Database, bad: dict[str, Any]) -> None:
    for call in (
        lambda: db.client.get_item(TableName="T", Key=bad),
        lambda: db.client.put_item(TableName="T", Item=bad),
        lambda: db.client.delete_item(TableName="T", Key=bad),
        lambda: db.client.update_item(TableName="T", Key=bad, UpdateExpression="REMOVE v"),
    ):
        with pytest.raises(ClientError) as error:
            call()
        assert code(error) == "ValidationException"


def test_an_index_key_of_the_wrong_type_or_empty_is_refused_and_writes_nothing(db: Database) -> None:
    for bad in (n(1), s("")):
        with pytest.raises(ClientError) as error:
            db.client.put_item(TableName="T", Item={**key("a"), "g": bad})
        assert code(error) == "ValidationException"
        with pytest.raises(ClientError) as error:
            db.client.update_item(
                TableName="T", Key=key("a"), UpdateExpression="SET g = :g", ExpressionAttributeValues={":g": bad}
            )
        assert code(error) == "ValidationException"
    assert item(db, "a") is None


def test_an_item_is_at_most_400_kilobytes(db: Database) -> None:
    def filled(size: int) -> dict[str, str]:
        return s("x" * (size - len("p" + "a") - len("r") - 1 - len("f")))  # the number 0 is one byte

    db.client.put_item(TableName="T", Item={**key("a"), "f": filled(400 * 1024)})
    with pytest.raises(ClientError) as error:
        db.client.put_item(TableName="T", Item={**key("a"), "f": filled(400 * 1024 + 1)})
    assert "Item size has exceeded the maximum allowed size" in str(error.value)
    with pytest.raises(ClientError) as error:
        db.client.update_item(
            TableName="T", Key=key("a"), UpdateExpression="SET w = :w", ExpressionAttributeValues={":w": s("w")}
        )
    assert "Item size to update has exceeded the maximum allowed size" in str(error.value)
    assert set(item(db, "a") or ()) == {"p", "r", "f"}


def test_a_table_without_a_range_key_works_alike(db: Database) -> None:
    create(db.client, "Flat", range_key=False)
    db.client.put_item(TableName="Flat", Item={"p": s("a"), "v": n(1)})
    db.client.update_item(
        TableName="Flat", Key={"p": s("a")}, UpdateExpression="ADD v :one", ExpressionAttributeValues={":one": n(1)}
    )
    assert db.client.get_item(TableName="Flat", Key={"p": s("a")})["Item"]["v"] == n(2)
    assert db.client.scan(TableName="Flat")["Count"] == 1
    db.client.delete_item(TableName="Flat", Key={"p": s("a")})
    assert "Item" not in db.client.get_item(TableName="Flat", Key={"p": s("a")})


def test_backups_are_refused_plainly(db: Database) -> None:
    with pytest.raises(ClientError) as error:
        db.client.create_backup(TableName="T", BackupName="nightly")
    assert "no backups" in str(error.value)
