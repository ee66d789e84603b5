"""One item as a unit of work sees it: what is stored, and the live item that moto changes in place."""

import sqlite3
from dataclasses import dataclass

from moto.dynamodb.exceptions import ItemSizeTooLarge
from moto.dynamodb.models.dynamo_type import DynamoType, Item

from sandbox.aws.dynamodb import documents, keys
from sandbox.aws.dynamodb.layout import Layout

MAX_ITEM_BYTES = 400 * 1024


@dataclass
class Row:
    """A row that a unit of work has touched. `stored` is the text in the table (None: no such item); `item` is the
    item as moto leaves it (None: deleted, or never there)."""

    layout: Layout
    hash_key: DynamoType
    range_key: DynamoType | None
    pk: bytes
    sk: bytes
    stored: str | None
    stored_size: int
    item: Item | None


def key_bytes(hash_key: DynamoType, range_key: DynamoType | None) -> tuple[bytes, bytes]:
    """A primary key as the columns pk and sk hold it."""
    sk = keys.encode(range_key.type, range_key.value) if range_key is not None else b""
    return keys.encode(hash_key.type, hash_key.value), sk


def read(
    connection: sqlite3.Connection,
    layout: Layout,
    hash_key: DynamoType,
    range_key: DynamoType | None,
    key: tuple[bytes, bytes],
) -> Row:
    """The row of a key, whether or not there is an item."""
    found = connection.execute(f"select size,doc from {layout.sql} where pk=? and sk=?", key).fetchone()
    if found is None:
        return Row(layout, hash_key, range_key, *key, None, 0, None)
    item = documents.load(found[1], layout.hash_name, layout.range_name)
    return Row(layout, hash_key, range_key, *key, found[1], found[0], item)


@dataclass(frozen=True)
class Change:
    """What a write did to one row; the raw material of a stream record."""

    row: Row
    old: str | None
    old_size: int
    new: str | None
    new_size: int


def write(connection: sqlite3.Connection, row: Row) -> Change | None:
    """Bring the table to the row's live item; None when that is what it holds already.

    Raises ItemSizeTooLarge, and MockValidationException for an index key that does not fit.
    """
    new = None if row.item is None else documents.dump(row.item.attrs)
    if new == row.stored:
        return None
    new_size = 0
    if row.item is None:
        connection.execute(f"delete from {row.layout.sql} where pk=? and sk=?", (row.pk, row.sk))
    else:
        new_size = documents.size(row.item.attrs)
        if new_size > MAX_ITEM_BYTES:
            raise ItemSizeTooLarge
        values = (row.pk, row.sk, new_size, new, *row.layout.extra_values(row.item))
        connection.execute(row.layout.upsert, values)
    change = Change(row, row.stored, row.stored_size, new, new_size)
    row.stored, row.stored_size = new, new_size
    return change
