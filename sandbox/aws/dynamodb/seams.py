"""Every place where moto is replaced, and why. `install` applies it; all of it is undone when the storage closes.

Requests become units of work at the level of moto's handler, not its backend: ReturnValues=ALL_OLD, for one, reads the
item in the handler before the backend writes it, and both must see one state.
"""

import collections
import datetime
import functools
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb import models, responses
from moto.dynamodb.exceptions import (
    ERROR_TYPE_PREFIX,
    DynamodbException,
    ItemSizeTooLarge,
    ItemSizeToUpdateTooLarge,
    MockValidationException,
)
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models import table as table_module
from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict
from moto.dynamodb.models.table import StreamShard, Table
from moto.dynamodb.models.utilities import dynamo_to_dict
from moto.dynamodb.responses import DynamoHandler

from sandbox.aws.dynamodb import capacity, definitions, documents, serializer, streams, transactions
from sandbox.aws.dynamodb import layout as layouts
from sandbox.aws.dynamodb.layout import layout_of
from sandbox.aws.dynamodb.storage import Storage
from sandbox.aws.dynamodb.tables import Items, Reader
from sandbox.aws.patches import Patches

READING_ACTIONS = ("get_item", "query", "scan", "batch_get_item", "transact_get_items", "describe_table")
WRITING_ACTIONS = (
    "put_item",
    "update_item",
    "delete_item",
    "batch_write_item",
    "transact_write_items",
    "execute_statement",
    "execute_transaction",
    "batch_execute_statement",
    "create_table",
    "delete_table",
    "update_table",
    "update_time_to_live",
    "update_continuous_backups",
    "tag_resource",
    "untag_resource",
)
REDEFINING = ("update_table", "update_time_to_live", "update_continuous_backups", "tag_resource", "untag_resource")
REFUSED_ACTIONS = ("create_backup", "restore_table_from_backup", "restore_table_to_point_in_time")
BATCH_WRITE_ITEMS = 25
TRANSACT_GET_ITEMS = 100
CONDITIONS = 1000


def apply(patches: Patches, storage: Storage) -> None:
    """Put the storage under moto."""
    _items(patches)
    _tables(patches, storage)
    _shards(patches, storage)
    _backends(patches, storage)
    _handlers(patches, storage)
    _conditions(patches)
    slow = BaseJSONSerializer._serialize_type_structure
    patches.set(BaseJSONSerializer, "_serialize_type_structure", serializer.quick(slow))


def reload(backend: Any, storage: Storage) -> None:
    """Give a backend the tables that are in the file."""
    with storage.unit(write=False) as unit:
        tables = definitions.load(unit.connection, backend.account_id, backend.region_name)
    backend.tables = collections.OrderedDict((table.name, table) for table in tables)


def _items(patches: Patches) -> None:
    # BaseModel keeps every instance in a list for ever, so each item ever written would stay in memory
    patches.set(Item, "__new__", staticmethod(lambda cls, *args, **kwargs: object.__new__(cls)))
    # sums up the whole item for each attribute that is set, and counts a replaced value with its successor; the size
    # is checked once, when the row is written
    patches.set(LimitedSizeDict, "__setitem__", dict.__setitem__)


def _conditions(patches: Patches) -> None:
    """moto parses a condition anew at each use, twice for each part of a transaction. The outcome has no state."""
    known: dict[tuple[str | None, str, str], Any] = {}

    def remembered(expression: str | None, names: Any, values: Any) -> Any:
        key = (expression, repr(names), repr(values))
        found = known.get(key)
        if found is None:
            if len(known) >= CONDITIONS:
                known.clear()
            found = known[key] = vanilla(expression, names, values)
        return found

    vanilla = patches.set(models, "get_filter_expression", remembered)
    patches.set(table_module, "get_filter_expression", remembered)


def _tables(patches: Patches, storage: Storage) -> None:
    reader = Reader(lambda: storage)
    # moto's constructor assigns an empty dict; the setter drops it
    patches.set(Table, "items", property(lambda table: Items(storage, table), lambda table, value: None))
    patches.set(Table, "get_item", lambda table, *args, **kwargs: reader.get_item(table, *args, **kwargs))
    patches.set(Table, "query", lambda table, *args, **kwargs: reader.query(table, *args, **kwargs))
    patches.set(Table, "scan", lambda table, *args, **kwargs: reader.scan(table, *args, **kwargs))
    patches.set(Table, "all_items", lambda table: reader.all_items(table))
    patches.set(Table, "__len__", lambda table: reader.count(table))
    # a transaction copies every table that it touches, to put it back when it fails: here it rolls back
    patches.set(Table, "__deepcopy__", lambda table, memo: table)
    for name in ("put_item", "delete_item"):  # also called past the backend: by PartiQL and by imports
        _within_unit(patches, storage, Table, name, write=True)


def _shards(patches: Patches, storage: Storage) -> None:
    """moto's streams API on the outbox; its own shard calls Lambda within the write and is lost with the process."""

    def get(shard: Any, start: int, quantity: int) -> list[dict[str, Any]]:
        arn = layout_of(shard.table).stream_arn
        with storage.unit(write=False) as unit:
            after = int(start) - streams.FIRST_SEQUENCE_NUMBER - 1
            records = streams.read(unit.connection, "arn", arn or "", after, quantity)
        return [_api_record(record) for _, record in records]

    def positions(shard: Any) -> range:
        with storage.unit(write=False) as unit:  # moto takes its length for the position after the last record
            return range(streams.last_records(unit.connection).get(shard.table.name, 0) + 1)

    patches.set(StreamShard, "add", lambda shard, old, new: None)
    patches.set(StreamShard, "get", get)
    patches.set(StreamShard, "items", property(positions, lambda shard, value: None))


def _api_record(record: dict[str, Any]) -> dict[str, Any]:
    """A Lambda event's record as GetRecords answers it."""
    at = datetime.datetime.fromtimestamp(record["dynamodb"]["ApproximateCreationDateTime"], datetime.UTC)
    answer = {**record, "dynamodb": {**record["dynamodb"], "ApproximateCreationDateTime": at.replace(tzinfo=None)}}
    del answer["eventSourceARN"]
    identity = answer.pop("userIdentity", None)
    if identity:
        answer["userIdentity"] = {"Type": identity["type"], "PrincipalId": identity["principalId"]}
    return answer


def _backends(patches: Patches, storage: Storage) -> None:
    def start(backend: Any, region_name: str, account_id: str) -> None:
        vanilla_start(backend, region_name, account_id)
        reload(backend, storage)

    def create_table(backend: Any, *args: Any, **kwargs: Any) -> Table:
        with storage.unit(write=True) as unit:
            unit.on_rollback.append(lambda: reload(backend, storage))
            table: Table = vanilla_create(backend, *args, **kwargs)
            _define(storage, table)
        return table

    def delete_table(backend: Any, name: str) -> Table:
        with storage.unit(write=True) as unit:
            unit.on_rollback.append(lambda: reload(backend, storage))
            table: Table = vanilla_delete(backend, name)
            definitions.remove(unit.connection, table)
            layouts.drop(unit.connection, layout_of(table))
            table.__dict__["_dropped"] = True
        return table

    vanilla_start = patches.set(DynamoDBBackend, "__init__", start)
    vanilla_create = patches.set(DynamoDBBackend, "create_table", create_table)
    vanilla_delete = patches.set(DynamoDBBackend, "delete_table", delete_table)
    for name in REDEFINING:
        _redefining(patches, storage, name)
    for name in ("put_item", "update_item", "delete_item", "transact_write_items", "execute_statement"):
        _within_unit(patches, storage, DynamoDBBackend, name, write=True)
    for name in ("get_item", "query", "scan", "describe_table"):
        _within_unit(patches, storage, DynamoDBBackend, name, write=False)


def _redefining(patches: Patches, storage: Storage, name: str) -> None:
    def change(backend: Any, *args: Any, **kwargs: Any) -> Any:
        target = args[0] if args else kwargs.get("name") or kwargs.get("table_name") or kwargs.get("arn")
        with storage.unit(write=True) as unit:
            unit.on_rollback.append(lambda: reload(backend, storage))
            result = vanilla(backend, *args, **kwargs)
            _define(storage, backend.get_table(target))
        return result

    vanilla = patches.set(DynamoDBBackend, name, change)


def _define(storage: Storage, table: Any) -> None:
    """Bring the file to a table's definition."""
    with storage.unit(write=True) as unit:
        layouts.forget_layout(table)
        layouts.build(unit.connection, layout_of(table))
        definitions.save(unit.connection, table)


def _within_unit(patches: Patches, storage: Storage, owner: Any, name: str, write: bool) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def method(*args: Any, **kwargs: Any) -> Any:
        with storage.unit(write):
            return original(*args, **kwargs)

    patches.set(owner, name, method)


def _handlers(patches: Patches, storage: Storage) -> None:
    patches.set(responses, "TRANSACTION_MAX_ITEMS", TRANSACT_GET_ITEMS)  # moto still has the limit of 2018, 25
    patches.set(DynamoHandler, "transact_write_items", _once(storage, DynamoHandler.transact_write_items))
    patches.set(DynamoHandler, "transact_get_items", _projected(DynamoHandler.transact_get_items))
    patches.set(DynamoHandler, "batch_write_item", _limited(DynamoHandler.batch_write_item))
    for name in READING_ACTIONS:
        _action(patches, storage, name, write=False)
    for name in WRITING_ACTIONS:
        _action(patches, storage, name, write=True)
    for name in REFUSED_ACTIONS:
        patches.set(DynamoHandler, name, _refuse)


def _action(patches: Patches, storage: Storage, name: str, write: bool) -> None:
    """One action of the API as one unit of work. It is flushed before it answers, so what only the write finds (the
    type of an index key) is still an answer of the API."""
    original = getattr(DynamoHandler, name)

    @functools.wraps(original)
    def action(handler: Any) -> Any:
        with storage.unit(write) as unit:
            result = original(handler)
            capacity.report(name, handler.body, unit, result.result)
            try:
                unit.flush()
            except ItemSizeTooLarge:
                raise ItemSizeToUpdateTooLarge if name == "update_item" else ItemSizeTooLarge from None
        return result

    patches.set(DynamoHandler, name, action)


def _once(storage: Storage, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(original)
    def transact_write_items(handler: Any) -> Any:
        with storage.unit(write=True) as unit:
            if transactions.is_replay(unit, handler.current_account, handler.region, handler.body):
                transactions.read_again(unit, handler.dynamodb_backend.get_table, handler.body)
                return ActionResult({})
            return original(handler)

    return transact_write_items


def _projected(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The ProjectionExpression of each Get, which moto leaves out of account."""

    @functools.wraps(original)
    def transact_get_items(handler: Any) -> Any:
        gets = [request["Get"] for request in handler.body["TransactItems"]]
        paths = [
            responses.ProjectionExpressionParser(
                get.get("ProjectionExpression"), get.get("ExpressionAttributeNames")
            ).parse()
            for get in gets
        ]
        result = original(handler)
        for wanted, answer in zip(paths, result.result["Responses"], strict=True):
            if wanted and "Item" in answer:
                item = documents.bare({name: DynamoType(value) for name, value in answer["Item"].items()})
                answer["Item"] = dynamo_to_dict(documents.project(item, wanted).attrs)
        return result

    return transact_get_items


def _limited(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The limits of BatchWriteItem: 25 requests, and one for an item (moto compares whole items, not keys)."""

    @functools.wraps(original)
    def batch_write_item(handler: Any) -> Any:
        requests = handler.body["RequestItems"]
        if sum(map(len, requests.values())) > BATCH_WRITE_ITEMS:
            raise MockValidationException("Too many items requested for the BatchWriteItem call")
        for name, table_requests in requests.items():
            layout = layout_of(handler.dynamodb_backend.get_table(name))
            found = [_request_key(layout, request) for request in table_requests]
            if len(set(found)) < len(found):
                raise MockValidationException("Provided list of item keys contains duplicates")
        return original(handler)

    return batch_write_item


def _request_key(layout: layouts.Layout, request: dict[str, Any]) -> str:
    ((kind, content),) = request.items()
    values = content["Item" if kind == "PutRequest" else "Key"]
    return documents.dump({name: DynamoType(values[name]) for name in layout.key_names if name in values})


def _refuse(handler: Any) -> Any:
    raise DynamodbException(ERROR_TYPE_PREFIX + "UnknownOperationException", "The sandbox keeps no backups of tables")
