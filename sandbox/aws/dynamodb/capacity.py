"""Consumed capacity, from the bytes that a request really read and wrote.

moto answers constants; here the numbers follow "Provisioned and on-demand capacity" of DynamoDB's guide, so a test can
hold a design to its read units: 4 KB a read unit (half when eventually consistent, double in a transaction), rounded
for each item of GetItem and BatchGetItem but once for a whole Query; 1 KB a write unit on the larger of the item before
and after (double in a transaction), and for each index whose entry changes (never double: indexes are written after the
transaction; measured on AWS by the authors of another emulator, dynoxide's pull request 188).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from moto.dynamodb.models.dynamo_type import Item

from sandbox.aws.dynamodb import documents
from sandbox.aws.dynamodb.layout import Index, Layout
from sandbox.aws.dynamodb.rows import Row
from sandbox.aws.dynamodb.storage import Unit

READ_BYTES = 4096
WRITE_BYTES = 1024
LISTED = frozenset({"batch_get_item", "batch_write_item", "transact_get_items", "transact_write_items"})
WRITES = frozenset({"put_item", "update_item", "delete_item", "batch_write_item", "transact_write_items"})
READS = frozenset({"get_item", "query", "scan", "batch_get_item", "transact_get_items"})


@dataclass
class Usage:
    """What one table was charged."""

    layout: Layout
    table: float = 0.0
    indexes: dict[str, float] = field(default_factory=dict)

    def add(self, index: str | None, units: float) -> None:
        if index is None:
            self.table += units
        else:
            self.indexes[index] = self.indexes.get(index, 0.0) + units

    def render(self, detailed: bool, kind: str | None) -> dict[str, Any]:
        """`kind` names the units apart (Read or Write), as the answers to transactions do."""

        def units(amount: float) -> dict[str, float]:
            return {"CapacityUnits": amount, **({f"{kind}CapacityUnits": amount} if kind else {})}

        answer: dict[str, Any] = {"TableName": self.layout.table, **units(self.table + sum(self.indexes.values()))}
        if detailed:
            answer["Table"] = units(self.table)
            for name, amount in self.indexes.items():
                scope = "Global" if self.layout.index(name).is_global else "Local"
                answer.setdefault(f"{scope}SecondaryIndexes", {})[name] = units(amount)
        return answer


def report(action: str, body: dict[str, Any], unit: Unit, result: dict[str, Any]) -> None:
    """Put what the request consumed into its answer, if it asked; take out what moto says of it either way."""
    if action not in READS | WRITES:
        return
    result.pop("ConsumedCapacity", None)
    asked = body.get("ReturnConsumedCapacity", "NONE")
    if asked == "NONE":
        return
    in_transaction = action.startswith("transact")
    if action in WRITES and not unit.reads:
        usages = _written(unit.touched.values(), 2 if in_transaction else 1)
        kind = "Write"
    else:
        usages = _read(unit, body, action)
        kind = "Read"
    rendered = [usage.render(asked == "INDEXES", kind if in_transaction else None) for usage in usages]
    if action in LISTED:
        result["ConsumedCapacity"] = rendered
    elif rendered:
        result["ConsumedCapacity"] = rendered[0]


def _read(unit: Unit, body: dict[str, Any], action: str) -> list[Usage]:
    usages: dict[str, Usage] = {}
    for layout, index, size in unit.reads:
        usage = usages.setdefault(layout.sql, Usage(layout))
        usage.add(index, _factor(action, body, layout) * _units(size, READ_BYTES))
    return list(usages.values())


def _factor(action: str, body: dict[str, Any], layout: Layout) -> float:
    if action.startswith("transact"):
        return 2.0
    request = body
    if action == "batch_get_item":
        named = {name.rpartition("/")[2]: request for name, request in body["RequestItems"].items()}
        request = named[layout.table]
    return 1.0 if request.get("ConsistentRead") else 0.5


def _written(touched: Iterable[Row], factor: int) -> list[Usage]:
    usages: dict[str, Usage] = {}
    for row in touched:
        usage = usages.setdefault(row.layout.sql, Usage(row.layout))
        before = _stored_item(row)
        usage.add(None, factor * _units(max(row.stored_size, _size(row.item)), WRITE_BYTES))
        for index in row.layout.indexes:
            units = _index_units(index, before, row.item)
            if units:
                usage.add(index.name, units)
    return list(usages.values())


def _stored_item(row: Row) -> Item | None:
    if row.stored is None:
        return None
    return documents.load(row.stored, row.layout.hash_name, row.layout.range_name)


def _index_units(index: Index, before: Item | None, after: Item | None) -> int:
    """An entry that appears, goes or changes is one write; one that moves to another key is two."""
    old = index.entry(before) if before is not None else None
    new = index.entry(after) if after is not None else None
    if old is None or new is None:
        return _units(_size(old or new), WRITE_BYTES) if old is not new else 0
    if documents.dump(old.attrs) == documents.dump(new.attrs):
        return 0
    if any(old.attrs[key.attribute] != new.attrs[key.attribute] for key in index.keys):
        return _units(_size(old), WRITE_BYTES) + _units(_size(new), WRITE_BYTES)
    return _units(max(_size(old), _size(new)), WRITE_BYTES)


def _size(item: Item | None) -> int:
    return documents.size(item.attrs) if item is not None else 0


def _units(size: int, unit: int) -> int:
    return max(1, math.ceil(size / unit))
