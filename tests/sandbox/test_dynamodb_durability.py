"""What survives: threads that race, a process that is killed, a restart, a long life."""

from __future__ import annotations

import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from dynamodb_support import Clock, Database, create, database, gsi, key, n, new_client, s
from moto import mock_aws
from moto.core.common_models import BaseModel
from moto.dynamodb.models.dynamo_type import Item
from moto.server import ThreadedMotoServer

from sandbox.aws.dynamodb import install
from sandbox.aws.dynamodb.storage import StorageError

HERE = pathlib.Path(__file__).parent


@pytest.fixture
def db(tmp_path: pathlib.Path) -> Iterator[Database]:
    with database(tmp_path) as opened:
        yield opened


def together(count: int, work: Callable[[int], None]) -> None:
    """Run `work` on `count` threads; the first exception of any of them is raised."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as failure:  # noqa: BLE001  (raised by the caller)
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if failures:
        raise failures[0]


def increment(client: Any, times: int) -> None:
    """Read, then write on the condition that nobody else did: the way optimistic locking is done."""
    done = 0
    while done < times:
        version = client.get_item(TableName="T", Key=key("c"), ConsistentRead=True)["Item"]["v"]["N"]
        try:
            client.update_item(
                TableName="T",
                Key=key("c"),
                UpdateExpression="SET v = :new",
                ConditionExpression="v = :old",
                ExpressionAttributeValues={":new": n(int(version) + 1), ":old": n(version)},
            )
        except client.exceptions.ConditionalCheckFailedException:
            continue
        done += 1


def test_sixteen_threads_that_count_up_lose_no_step(db: Database) -> None:
    create(db.client)
    db.client.put_item(TableName="T", Item={**key("c"), "v": n(0)})
    together(16, lambda _: increment(db.client, 5))
    assert db.client.get_item(TableName="T", Key=key("c"))["Item"]["v"] == n(80)
    versions = [int(record["dynamodb"]["NewImage"]["v"]["N"]) for record in db.records()]
    assert versions == list(range(81))


def test_one_thing_is_claimed_by_one_thread_over_http_too(db: Database) -> None:
    create(db.client)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        client = new_client(f"http://{host}:{port}")
        wins: list[int] = []

        def claim(number: int) -> None:
            for thing in range(10):
                try:
                    client.transact_write_items(
                        TransactItems=[
                            {
                                "Put": {
                                    "TableName": "T",
                                    "Item": {**key(f"thing-{thing}"), "by": n(number)},
                                    "ConditionExpression": "attribute_not_exists(p)",
                                }
                            },
                            {
                                "Update": {
                                    "TableName": "T",
                                    "Key": key("count"),
                                    "UpdateExpression": "ADD v :one",
                                    "ExpressionAttributeValues": {":one": n(1)},
                                }
                            },
                        ]
                    )
                    wins.append(thing)
                except client.exceptions.TransactionCanceledException:
                    pass

        together(6, claim)
    finally:
        server.stop()
    assert sorted(wins) == list(range(10))
    assert db.client.get_item(TableName="T", Key=key("count"))["Item"]["v"] == n(10)


def test_a_read_does_not_wait_for_a_write_in_progress(db: Database) -> None:
    create(db.client)
    db.client.put_item(TableName="T", Item={**key("a"), "v": n(1)})
    found: list[dict[str, Any]] = []
    reader = threading.Thread(
        target=lambda: found.append(db.client.get_item(TableName="T", Key=key("a"), ConsistentRead=True)["Item"])
    )
    with db.installed._storage.unit(write=True) as unit:
        db.client.put_item(TableName="T", Item={**key("a"), "v": n(2)})
        unit.flush()
        reader.start()
        reader.join(20)
        assert found == [{**key("a"), "v": n(1)}]
    assert db.client.get_item(TableName="T", Key=key("a"))["Item"]["v"] == n(2)


def test_a_batch_read_is_of_one_moment(db: Database) -> None:
    create(db.client)
    stop = threading.Event()

    def put(number: int) -> None:
        db.client.transact_write_items(
            TransactItems=[{"Put": {"TableName": "T", "Item": {**key("a", r), "v": n(number)}}} for r in range(3)]
        )

    def write() -> None:
        for number in range(60):
            put(number)
        stop.set()

    put(0)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not stop.is_set():
            found = db.client.transact_get_items(
                TransactItems=[{"Get": {"TableName": "T", "Key": key("a", r)}} for r in range(3)]
            )
            assert len({one["Item"]["v"]["N"] for one in found["Responses"]}) == 1
    finally:
        writer.join(60)


def test_after_kill_nothing_acknowledged_is_missing_and_no_transaction_is_half_there(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "dynamodb.sqlite"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), str(HERE)])}
    with subprocess.Popen(
        [sys.executable, str(HERE / "dynamodb_writer.py"), str(path)],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(300)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    acknowledged = {tuple(line.split()) for line in lines if line.endswith("\n")}
    assert len(acknowledged) >= 300

    with mock_aws():
        installed = install(path)
        try:
            there, inserted = set(), []
            for page in new_client().get_paginator("scan").paginate(TableName="T"):
                there |= {(item["p"]["S"], item["r"]["N"]) for item in page["Items"]}
            for _, record in installed.read_records("T", 0, 1_000_000):
                assert record["eventName"] == "INSERT"
                keys = record["dynamodb"]["Keys"]
                inserted.append((keys["p"]["S"], keys["r"]["N"]))
        finally:
            installed.close()
    for kind, thread, number in acknowledged:
        for part in ("put",) if kind == "put" else ("left", "right"):
            assert (f"{part}-{thread}", number) in there
    halves = {(p.partition("-")[2], r) for p, r in there if p.startswith("left")}
    assert halves == {(p.partition("-")[2], r) for p, r in there if p.startswith("right")}
    assert sorted(inserted) == sorted(there)
    assert sqlite3.connect(path).execute("pragma integrity_check").fetchone() == ("ok",)


def test_a_restart_finds_the_tables_as_they_were(db: Database) -> None:
    local = {
        "IndexName": "local",
        "Projection": {"ProjectionType": "KEYS_ONLY"},
        "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "h", "KeyType": "RANGE"}],
    }
    create(db.client, indexes=(gsi("by-g", "g", "h"),), local=(local,), g="S", h="N")
    create(db.client, "Gone")
    db.client.put_item(TableName="T", Item={**key("a", 1), "g": s("x"), "h": n(1)})
    arn = db.client.describe_table(TableName="T")["Table"]["TableArn"]
    db.client.tag_resource(ResourceArn=arn, Tags=[{"Key": "k", "Value": "v"}])
    db.client.update_time_to_live(TableName="T", TimeToLiveSpecification={"Enabled": True, "AttributeName": "gone"})
    db.client.update_continuous_backups(
        TableName="T", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    db.client.delete_table(TableName="Gone")

    def described() -> list[Any]:
        answers = [
            db.client.describe_table(TableName="T")["Table"],
            db.client.describe_time_to_live(TableName="T")["TimeToLiveDescription"],
            db.client.describe_continuous_backups(TableName="T")["ContinuousBackupsDescription"],
            db.client.list_tags_of_resource(ResourceArn=arn)["Tags"],
            db.client.list_tables()["TableNames"],
            db.client.get_item(TableName="T", Key=key("a", 1))["Item"],
        ]
        return answers

    before = described()
    db.restart()
    assert described() == before
    assert before[0]["ItemCount"] == 1 and before[4] == ["T"]


def test_a_table_made_again_is_empty(db: Database) -> None:
    create(db.client)
    db.client.put_item(TableName="T", Item=key("a"))
    assert db.client.delete_table(TableName="T")["TableDescription"]["TableName"] == "T"
    create(db.client)
    assert db.client.scan(TableName="T")["Count"] == 0
    db.client.put_item(TableName="T", Item=key("a"))
    assert db.client.describe_table(TableName="T")["Table"]["ItemCount"] == 1


def test_a_definition_that_could_not_be_written_is_not_there(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("sandbox.aws.dynamodb.definitions.save", full)
        with pytest.raises(sqlite3.OperationalError):
            create(db.client)
    assert db.client.list_tables()["TableNames"] == []
    create(db.client)
    assert db.client.scan(TableName="T")["Count"] == 0


def test_a_second_install_takes_the_place_of_the_first(db: Database, tmp_path: pathlib.Path) -> None:
    create(db.client)
    other = install(tmp_path / "other.sqlite", sync="off")
    assert db.client.list_tables()["TableNames"] == []
    with pytest.raises(StorageError):
        db.installed.committed_cursor("c")
    db.installed.close()
    create(db.client, "Other")
    db.installed = install(db.path, sync="off")
    assert db.client.list_tables()["TableNames"] == ["T"]
    other.close()


def test_after_close_moto_is_as_it_was(tmp_path: pathlib.Path) -> None:
    with mock_aws():
        installed = install(tmp_path / "dynamodb.sqlite", sync="off")
        client = new_client()
        create(client)
        installed.close()
        assert client.list_tables()["TableNames"] == []
        create(client)
        client.put_item(TableName="T", Item=key("a"))
        assert client.scan(TableName="T")["Count"] == 1


def test_tables_of_the_file_are_there_whether_the_mock_starts_before_or_after(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "dynamodb.sqlite"
    with mock_aws():
        install(path, sync="off")
        create(new_client())
    with mock_aws():
        assert new_client().list_tables()["TableNames"] == ["T"]
        installed = install(path, sync="off")
        assert new_client().list_tables()["TableNames"] == ["T"]
    installed.close()


def test_a_file_of_another_version_or_of_a_running_process_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "dynamodb.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version=99")
    with pytest.raises(StorageError, match="version 99"):
        install(path)
    busy = tmp_path / "busy.sqlite"
    installed = install(busy, sync="off")
    try:
        program = "import pathlib,sys; from sandbox.aws.dynamodb import install; install(pathlib.Path(sys.argv[1]))"
        other = subprocess.run(
            [sys.executable, "-c", program, str(busy)],
            cwd=HERE.parent.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert other.returncode != 0 and "in use by another process" in other.stderr
    finally:
        installed.close()


def test_a_request_after_close_is_an_error_not_an_empty_answer(db: Database) -> None:
    storage = db.installed._storage
    db.installed.close()
    with pytest.raises(StorageError, match="closed"), storage.unit(write=False):
        pass


def test_a_long_life_does_not_collect_objects(db: Database) -> None:
    create(db.client)

    def tracked() -> int:
        known, found = [BaseModel], 0
        while known:
            model = known.pop()
            known += model.__subclasses__()
            found += len(vars(model).get("instances_tracked", []))
        return found

    def use() -> None:
        for r in range(20):
            db.client.put_item(TableName="T", Item=key("a", r))
        db.client.query(
            TableName="T",
            KeyConditionExpression="p = :p",
            ExpressionAttributeValues={":p": s("a")},
            ProjectionExpression="p",
        )
        db.installed.expire(db.clock.now)

    use()
    before, items = tracked(), len(Item.instances_tracked)  # type: ignore[attr-defined]
    for _ in range(5):
        use()
    assert (tracked(), len(Item.instances_tracked)) == (before, items)  # type: ignore[attr-defined]


def test_the_clock_of_a_test_is_the_clock_of_the_records(tmp_path: pathlib.Path) -> None:
    with mock_aws():
        installed = install(tmp_path / "x.sqlite", sync="off", clock=Clock(123.9))
        create(new_client())
        new_client().put_item(TableName="T", Item=key("a"))
        ((_, record),) = installed.read_records("T", 0, 10)
        assert record["dynamodb"]["ApproximateCreationDateTime"] == 123
        installed.close()


def test_an_unknown_table_is_an_error_of_the_api(db: Database) -> None:
    with pytest.raises(ClientError) as error:
        db.client.get_item(TableName="Nowhere", Key=key("a"))
    assert error.value.response["Error"]["Code"] == "ResourceNotFoundException"
