"""The store on (emulated) DynamoDB: what services rely on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from chalicelib.aws import store as dynamo
from chalicelib.aws.clients import client
from chalicelib.aws.table import KEYS, item_key
from chalicelib.core.capacity import Amount, Ledger, PoolAccount
from chalicelib.core.model import Hold, Job, Program, ProgramKind, Role, Run, RunKind, RunSpec, Token
from chalicelib.core.states import RunState
from chalicelib.ports import (
    Change,
    Check,
    Clash,
    Delete,
    Listing,
    Put,
    Record,
    Release,
    Store,
    active_runs,
    key,
    key_of,
    runs_in_state,
    runs_of_workspace,
)
from tests.aws.samples import AMOUNT, RECORDS, RUN, SPEC, run, written
from tests.aws.world import BUCKET, TABLE, World, deployed

DAY_S = 86_400


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    """One deployment for all tests here."""
    with pytest.MonkeyPatch.context() as patch, deployed(patch) as made:
        yield made


@pytest.fixture
def world(shared: World) -> World:
    """The deployment, emptied."""
    shared.empty()
    return shared


@pytest.fixture
def store(world: World) -> Store:
    """A store on an empty table."""
    return world.ports.store


def stored(record: Record) -> dict[str, Any]:
    """The item of a record, as DynamoDB has it."""
    pk, sk = item_key(key_of(record))
    answer = client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": pk}, "sk": {"S": sk}})
    found: dict[str, Any] = answer["Item"]
    return found


# Records.


def test_there_is_a_sample_of_every_type_of_record() -> None:
    assert {type(record) for record in RECORDS} == set(KEYS)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_as_it_was_put(store: Store, record: Record) -> None:
    store.commit([Put(record)])
    assert store.fetch([key_of(record)]) == {key_of(record): written(record)}


def test_a_record_with_defaults_only_comes_back_too(store: Store) -> None:
    plain = Run("main", 1, RunSpec("a", Program(ProgramKind.PYTHON)), "alice", 1)
    store.commit([Put(plain)])
    assert store.fetch([key_of(plain)]) == {key_of(plain): written(plain)}


def test_what_is_not_there_is_not_fetched(store: Store) -> None:
    assert store.fetch([key(Run, "main", 1), key(Run, "main", 2)]) == {}
    assert store.fetch([key(Run, "main", 1)]) == {}
    assert store.fetch([]) == {}


def test_workspaces_do_not_see_each_others_records(store: Store) -> None:
    store.commit([Put(RUN)])
    assert store.fetch([key(Run, "other", RUN.id)]) == {}
    assert store.page(runs_of_workspace("other", RunKind.SESSION), limit=10).records == ()


def test_more_than_a_hundred_records_are_fetched_in_batches(world: World) -> None:
    rows = [Hold("default", "main", n, "etl", AMOUNT) for n in range(1, 131)]
    for start in range(0, 130, 65):
        world.ports.store.commit([Put(row) for row in rows[start : start + 65]])
    with world.acting("test"):
        found = world.ports.store.fetch([key_of(row) for row in rows])
    assert {hold.run for hold in found.values()} == set(range(1, 131))
    assert [call.operation for call in world.calls] == ["BatchGetItem", "BatchGetItem"]


# Commits.


def test_each_write_raises_the_version(store: Store) -> None:
    store.commit([Put(RUN)])
    store.commit([Put(replace(RUN, version=1, message="again"))])
    assert store.fetch([key_of(RUN)])[key_of(RUN)] == replace(RUN, version=2, message="again")


def test_a_write_of_an_old_version_clashes_and_changes_nothing(store: Store) -> None:
    job = Job("main", 7, SPEC, "alice", 1)
    store.commit([Put(RUN)])
    store.commit([Put(replace(RUN, version=1, message="mine"))])
    with pytest.raises(Clash) as clash:
        store.commit([Put(job), Put(replace(RUN, version=1, message="yours"))])
    assert clash.value.keys == {key_of(RUN)}
    found = store.fetch([key_of(RUN), key_of(job)])
    assert set(found) == {key_of(RUN)}
    assert found[key_of(RUN)].message == "mine"


def test_creating_what_exists_clashes(store: Store) -> None:
    store.commit([Put(RUN)])
    with pytest.raises(Clash):
        store.commit([Put(RUN)])


def test_changing_what_was_removed_clashes(store: Store) -> None:
    store.commit([Put(RUN)])
    store.commit([Delete(written(RUN))])
    with pytest.raises(Clash):
        store.commit([Put(written(RUN))])
    assert store.fetch([key_of(RUN)]) == {}


def test_only_the_version_that_was_read_is_removed(store: Store) -> None:
    store.commit([Put(RUN)])
    with pytest.raises(Clash):
        store.commit([Delete(replace(RUN, version=2))])
    assert store.fetch([key_of(RUN)])
    store.commit([Delete(written(RUN))])
    with pytest.raises(Clash):
        store.commit([Delete(written(RUN))])


# Releases.

LEDGER = Ledger(
    "big", AMOUNT, {"main/etl": PoolAccount(used=Amount(10, 20, 30, 4)), "main/odd #/": PoolAccount(used=AMOUNT)}
)


def test_a_check_holds_for_the_version_that_was_read_and_writes_nothing(store: Store) -> None:
    other = replace(RUN, id=43)
    store.commit([Put(RUN)])
    store.commit([Put(other), Check(written(RUN))])
    assert store.fetch([key_of(RUN), key_of(other)]) == {key_of(RUN): written(RUN), key_of(other): written(other)}
    for stale in (RUN, replace(RUN, version=7), replace(RUN, id=44, version=1)):
        with pytest.raises(Clash) as clash:
            store.commit([Put(replace(RUN, id=45)), Check(stale)])
        assert clash.value.keys == {key_of(stale)}
    assert not store.fetch([key(Run, RUN.workspace, 45)])


def test_a_release_takes_off_what_a_pool_uses_whatever_the_version(store: Store) -> None:
    store.commit([Put(LEDGER)])
    store.commit([Release("big", "main/etl", Amount(1, 2, 3, 1))])
    store.commit([Release("big", "main/odd #/", AMOUNT)])
    found: Ledger = store.fetch([key_of(LEDGER)])[key_of(LEDGER)]
    assert found.pools["main/etl"].used == Amount(9, 18, 27, 3)
    assert found.pools["main/odd #/"].used == Amount()
    assert found.version == 3
    assert replace(found.pools["main/etl"], used=Amount(10, 20, 30, 4)) == LEDGER.pools["main/etl"]


def test_a_grant_of_a_ledger_that_was_released_meanwhile_clashes(store: Store) -> None:
    store.commit([Put(LEDGER)])
    store.commit([Release("big", "main/etl", AMOUNT)])
    with pytest.raises(Clash):
        store.commit([Put(written(LEDGER).hold("main/etl", AMOUNT))])


def test_a_release_is_undone_with_its_transaction(store: Store) -> None:
    store.commit([Put(LEDGER)])
    with pytest.raises(Clash):
        store.commit([Release("big", "main/etl", AMOUNT), Delete(written(RUN))])
    assert store.fetch([key_of(LEDGER)])[key_of(LEDGER)] == written(LEDGER)


def test_a_release_where_there_is_no_ledger_clashes(store: Store) -> None:
    with pytest.raises(Clash):
        store.commit([Release("nowhere", "main/etl", AMOUNT)])


# DynamoDB's bad days. moto has none, so the client's answers are replaced.

Answer = Callable[[], dict[str, Any]]


class BadDay:
    """Answers to an operation that come before DynamoDB's own."""

    def __init__(self, patch: pytest.MonkeyPatch, operation: str, answers: list[Answer]) -> None:
        self.asked = 0
        ask = BaseClient._make_api_call

        def answer(sender: BaseClient, name: str, parameters: Any) -> Any:
            if name != operation:
                return ask(sender, name, parameters)
            self.asked += 1
            return answers.pop(0)() if answers else ask(sender, name, parameters)

        patch.setattr(BaseClient, "_make_api_call", answer)
        patch.setattr(dynamo, "_pause", lambda attempt: None)


def cancelled(*codes: str) -> Answer:
    """A transaction that was cancelled, for a reason an item."""

    def answer() -> dict[str, Any]:
        exception = client("dynamodb").exceptions.TransactionCanceledException
        told = {"Error": {"Code": "TransactionCanceledException", "Message": ""}}
        raise exception({**told, "CancellationReasons": [{"Code": code} for code in codes]}, "TransactWriteItems")

    return answer


def refused(code: str, operation: str) -> Answer:
    """A call that DynamoDB refused."""

    def answer() -> dict[str, Any]:
        raise client("dynamodb").exceptions.from_code(code)({"Error": {"Code": code, "Message": ""}}, operation)

    return answer


TWO = [Put(RUN), Put(LEDGER)]
ALL_BUSY = [
    cancelled("TransactionConflict", "None"),
    cancelled("None", "ThrottlingError"),
    refused("TransactionInProgressException", "TransactWriteItems"),
]


def test_a_transaction_that_met_another_is_tried_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    day = BadDay(monkeypatch, "TransactWriteItems", list(ALL_BUSY))
    store.commit(TWO)
    assert day.asked == 4
    assert set(store.fetch([key_of(RUN), key_of(LEDGER)])) == {key_of(RUN), key_of(LEDGER)}


def test_a_single_write_that_met_a_transaction_is_tried_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    day = BadDay(monkeypatch, "PutItem", [refused("TransactionConflictException", "PutItem")])
    store.commit([Put(RUN)])
    assert day.asked == 2
    assert store.fetch([key_of(RUN)]) == {key_of(RUN): written(RUN)}


def test_a_failed_condition_is_a_clash_though_another_item_conflicted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = BadDay(monkeypatch, "TransactWriteItems", [cancelled("ConditionalCheckFailed", "TransactionConflict")])
    with pytest.raises(Clash) as clash:
        store.commit(TWO)
    assert (clash.value.keys, day.asked) == ({key_of(RUN)}, 1)


@pytest.mark.parametrize(
    ("changes", "operation", "busy"),
    [
        (TWO, "TransactWriteItems", cancelled("TransactionConflict", "None")),
        (TWO[:1], "PutItem", refused("TransactionConflictException", "PutItem")),
    ],
    ids=["transaction", "single write"],
)
def test_a_write_that_always_meets_others_ends_in_a_clash(
    store: Store, monkeypatch: pytest.MonkeyPatch, changes: list[Change], operation: str, busy: Answer
) -> None:
    day = BadDay(monkeypatch, operation, [busy] * 100)
    with pytest.raises(Clash):
        store.commit(changes)
    assert day.asked == dynamo.BUSY_RETRIES


def test_a_transaction_that_dynamodb_calls_wrong_is_not_hidden(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    day = BadDay(monkeypatch, "TransactWriteItems", [cancelled("ValidationError", "None")])
    with pytest.raises(ClientError):
        store.commit(TWO)
    assert day.asked == 1


def test_keys_that_dynamodb_left_over_are_asked_for_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.commit([Put(RUN), Put(LEDGER)])
    left = [{"pk": {"S": item_key(key_of(r))[0]}, "sk": {"S": item_key(key_of(r))[1]}} for r in (RUN, LEDGER)]

    def half() -> dict[str, Any]:
        return {"Responses": {TABLE: [stored(RUN)]}, "UnprocessedKeys": {TABLE: {"Keys": left[1:]}}}

    day = BadDay(monkeypatch, "BatchGetItem", [half])
    assert set(store.fetch([key_of(RUN), key_of(LEDGER)])) == {key_of(RUN), key_of(LEDGER)}
    assert day.asked == 2


def test_keys_that_are_never_answered_are_an_error_and_not_absent(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = {"Responses": {}, "UnprocessedKeys": {TABLE: {"Keys": []}}}
    BadDay(monkeypatch, "BatchGetItem", [lambda: busy] * 100)
    with pytest.raises(TimeoutError):
        store.fetch([key_of(RUN), key_of(LEDGER)])


# Lists that change.


def test_a_list_goes_on_from_a_record_that_was_removed(store: Store) -> None:
    store.commit([Put(run(number)) for number in (1, 2, 3)])
    listing = runs_of_workspace("main", RunKind.BATCH)
    place = store.page(listing, limit=2).next
    store.commit([Delete(written(run(2)))])
    assert [r.id for r in store.page(listing, limit=2, after=place).records] == [1]


def test_a_run_moves_between_lists_with_its_state(store: Store) -> None:
    def ids(listing: Listing) -> list[int]:
        return [r.id for r in store.page(listing, limit=10).records]

    store.commit([Put(run(1))])
    store.commit([Put(replace(run(1), version=1, state=RunState.SUCCEEDED, ended_at=5))])
    scope = ("main", "etl", RunKind.BATCH)
    assert ids(runs_in_state(*scope, RunState.QUEUED)) == []
    assert ids(runs_in_state(*scope, RunState.SUCCEEDED)) == [1]
    assert ids(active_runs("main", RunKind.BATCH)) == []
    assert ids(runs_of_workspace("main", RunKind.BATCH)) == [1]


# Large specs.

LARGE = replace(RUN, spec=replace(SPEC, environment={"LARGE": "é" * 200_000}))


def test_a_large_spec_is_kept_beside_the_table_and_comes_back(store: Store) -> None:
    store.commit([Put(LARGE)])
    assert len(str(stored(LARGE))) < dynamo.INLINE
    assert store.fetch([key_of(LARGE)]) == {key_of(LARGE): written(LARGE)}
    assert store.page(runs_of_workspace("main", RunKind.SESSION), limit=5).records == (written(LARGE),)


def test_a_large_spec_is_written_once_and_not_at_each_change_of_state(world: World) -> None:
    store = world.ports.store
    with world.acting("test"):
        store.commit([Put(LARGE)])
        store.commit([Put(replace(LARGE, version=1, message="on"))])
    assert [call.operation for call in world.calls if call.service == "s3"] == ["PutObject"]
    assert store.fetch([key_of(LARGE)])[key_of(LARGE)] == replace(LARGE, version=2, message="on")


def test_a_stream_image_of_a_large_run_is_decoded_without_its_spec(world: World) -> None:
    world.ports.store.commit([Put(LARGE)])
    item = stored(LARGE)
    with world.acting("test"):
        seen = dynamo.record_of(item)
    assert world.calls == []
    assert (seen.state, seen.spec.pool, seen.spec.kind) == (LARGE.state, "etl", RunKind.SESSION)
    assert seen.spec.environment == {}


def test_a_large_spec_stays_in_the_workspaces_own_folder(store: Store) -> None:
    store.commit([Put(LARGE)])
    names = [one["Key"] for one in client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert names == ["main/runs/42/spec.json"]


# What DynamoDB itself looks at.


def test_a_run_shows_the_stream_its_state_and_its_intent(store: Store) -> None:
    store.commit([Put(RUN)])
    seen = {name: stored(RUN)[name]["S"] for name in ("kind", "state", "intent")}
    assert seen == {"kind": "Run", "state": "TERMINATING", "intent": "TIME_OUT"}


def test_a_run_expires_after_it_ended_and_not_before(store: Store) -> None:
    store.commit([Put(RUN)])
    assert "expires" not in stored(RUN)
    store.commit([Put(replace(RUN, version=1, state=RunState.TIMED_OUT, ended_at=1_780_000_000_000))])
    assert int(stored(RUN)["expires"]["N"]) == 1_780_000_000 + 60 * DAY_S


def test_a_token_that_ends_expires_and_one_that_does_not_stays(store: Store) -> None:
    ending, lasting = Token("main", "a", "u", Role.USER, 1, 1_780_000_000_999), Token("main", "b", "u", Role.USER, 1)
    store.commit([Put(ending), Put(lasting)])
    assert stored(ending)["expires"] == {"N": "1780000000"}
    assert "expires" not in stored(lasting)
