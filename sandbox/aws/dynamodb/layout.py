"""The SQL table of a DynamoDB table, derived from moto's definition of it.

    pk, sk       the primary key as sortable bytes (sk is empty when the table has no range key)
    size, doc    the item: its size in DynamoDB's counting, and its JSON
    "<index>:<position>:<attribute>:<type>"
                 a key of a secondary index; NULL in every column of that index unless the item has all of its keys,
                 since DynamoDB then leaves the item out of the index
    "ttl:<attribute>"
                 the expiry in epoch seconds, while time to live is enabled

Each secondary index is a partial SQL index over its columns and (pk, sk), so a page is one seek and a walk.
"""

import sqlite3
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from moto.dynamodb.exceptions import MockValidationException
from moto.dynamodb.models.dynamo_type import DynamoType, Item

from sandbox.aws.dynamodb import documents, keys

BACKFILL_PAGE = 500


@dataclass(frozen=True)
class KeyColumn:
    """One key of a secondary index: the SQL column, and the attribute and type that it holds."""

    column: str
    attribute: str
    kind: str


@dataclass(frozen=True)
class Index:
    """A secondary index. `projected` names the attributes it carries; None means all of them."""

    name: str
    is_global: bool
    keys: tuple[KeyColumn, ...]
    projected: frozenset[str] | None

    def entry(self, item: Item) -> Item | None:
        """The item as this index carries it; None when the item lacks one of the index's keys."""
        if any(key.attribute not in item.attrs for key in self.keys):
            return None
        if self.projected is None:
            return item
        return documents.pick(item, [name for name in item.attrs if name in self.projected])


@dataclass(frozen=True)
class Layout:
    """Everything that reading and writing a row needs to know about its table."""

    account: str
    region: str
    table: str
    hash_name: str
    hash_kind: str
    range_name: str | None
    range_kind: str | None
    indexes: tuple[Index, ...]
    ttl: str | None
    stream_arn: str | None
    stream_view: str

    @cached_property
    def sql(self) -> str:
        """The quoted name of the SQL table."""
        return quote(f"{self.account}/{self.region}/{self.table}")

    @cached_property
    def key_names(self) -> tuple[str, ...]:
        return (self.hash_name,) if self.range_name is None else (self.hash_name, self.range_name)

    @cached_property
    def key_columns(self) -> tuple[KeyColumn, ...]:
        return tuple(key for index in self.indexes for key in index.keys)

    @cached_property
    def extra_columns(self) -> tuple[str, ...]:
        """The columns beyond pk, sk, size and doc, in the order of `extra_values`."""
        return (*(key.column for key in self.key_columns), *([quote(f"ttl:{self.ttl}")] if self.ttl else []))

    @cached_property
    def upsert(self) -> str:
        columns = ("pk", "sk", "size", "doc", *self.extra_columns)
        updates = ",".join(f"{column}=excluded.{column}" for column in columns[2:])
        return (
            f"insert into {self.sql}({','.join(columns)}) values({','.join('?' * len(columns))}) "
            f"on conflict(pk,sk) do update set {updates}"
        )

    def index(self, name: str) -> Index:
        return next(index for index in self.indexes if index.name == name)

    def extra_values(self, item: Item) -> list[bytes | float | None]:
        """What the extra columns hold for an item.

        Raises MockValidationException when an index key has the wrong type or is empty, as DynamoDB does on a write.
        """
        values: list[bytes | float | None] = []
        for index in self.indexes:
            encoded = [_index_key(index, key, item) for key in index.keys]
            values += [None] * len(encoded) if None in encoded else encoded
        if self.ttl:
            values.append(expiry(item.attrs.get(self.ttl)))
        return values


def layout_of(table: Any) -> Layout:
    """The layout of a moto table; kept on the table until `forget_layout`."""
    known: Layout | None = table.__dict__.get("_layout")
    if known is None:
        known = table.__dict__["_layout"] = _derive(table)
    return known


def forget_layout(table: Any) -> None:
    """To be called after a change of the table's definition."""
    table.__dict__.pop("_layout", None)


def _derive(table: Any) -> Layout:
    kinds = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in table.attr}
    stream = table.stream_specification or {}
    streaming = bool(stream.get("StreamEnabled"))
    return Layout(
        account=table.account_id,
        region=table.region_name,
        table=table.name,
        hash_name=table.hash_key_attr,
        hash_kind=table.hash_key_type,
        range_name=table.range_key_attr,
        range_kind=table.range_key_type,
        indexes=tuple(_index(index, kinds, index in table.global_indexes) for index in table.all_indexes()),
        ttl=table.ttl.get("AttributeName") if table.ttl["TimeToLiveStatus"] == "ENABLED" else None,
        stream_arn=f"{table.table_arn}/stream/{table.latest_stream_label}" if streaming else None,
        stream_view=stream.get("StreamViewType", "") if streaming else "",
    )


def _index(index: Any, kinds: dict[str, str], is_global: bool) -> Index:
    columns = tuple(
        KeyColumn(quote(f"{index.name}:{position}:{name}:{kinds[name]}"), name, kinds[name])
        for position, name in enumerate(index.schema_key_attrs)
    )
    projection = index.projection or {}
    projected = None
    if projection.get("ProjectionType", "ALL") != "ALL":
        included = projection.get("NonKeyAttributes", [])
        projected = frozenset([*index.table_key_attrs, *index.schema_key_attrs, *included])
    return Index(index.name, is_global, columns, projected)


def _index_key(index: Index, key: KeyColumn, item: Item) -> bytes | None:
    value: DynamoType | None = item.attrs.get(key.attribute)
    if value is None:
        return None
    if value.type != key.kind:
        raise MockValidationException(
            f"One or more parameter values were invalid: Type mismatch for Index Key {key.attribute} "
            f"Expected: {key.kind} Actual: {value.type} IndexName: {index.name}"
        )
    encoded = keys.encode(value.type, value.value)
    if not encoded:
        raise MockValidationException(
            "One or more parameter values are not valid. A value specified for a secondary index key is not supported. "
            "The AttributeValue for a key attribute cannot contain an empty string value. "
            f"IndexName: {index.name}, IndexKey: {key.attribute}"
        )
    return encoded


def expiry(value: DynamoType | None) -> float | None:
    """Epoch seconds at which an item expires; None for never (time to live reads numbers only)."""
    return float(value.value) if value is not None and value.type == "N" else None


def quote(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def build(connection: sqlite3.Connection, layout: Layout) -> None:
    """Create the SQL table, or bring it to a changed definition: add and fill new indexes, drop those that are gone."""
    connection.execute(
        f"create table if not exists {layout.sql}"
        "(pk blob not null, sk blob not null, size integer not null, doc text not null, primary key(pk,sk))"
    )
    wanted = dict(_index_statements(layout))
    name = f"{layout.account}/{layout.region}/{layout.table}"
    there = dict(
        connection.execute(
            "select name,sql from sqlite_master where type='index' and tbl_name=? and sql is not null", (name,)
        ).fetchall()
    )
    for index in there.keys() - {n for n, statement in wanted.items() if there.get(n) == statement}:
        connection.execute(f"drop index {quote(index)}")
    columns = {quote(row[1]) for row in connection.execute(f"pragma table_info({layout.sql})")}
    columns -= {quote(column) for column in ("pk", "sk", "size", "doc")}
    for column in columns - set(layout.extra_columns):
        connection.execute(f"alter table {layout.sql} drop column {column}")
    added = [column for column in layout.extra_columns if column not in columns]
    for column in added:
        connection.execute(f"alter table {layout.sql} add column {column}")
    if added:
        _backfill(connection, layout)
    for index, statement in wanted.items():
        if there.get(index) != statement:
            connection.execute(statement)


def drop(connection: sqlite3.Connection, layout: Layout) -> None:
    connection.execute(f"drop table {layout.sql}")


def _index_statements(layout: Layout) -> list[tuple[str, str]]:
    """SQL index names and the statements that make them. The condition is on the first column only: SQLite would
    otherwise take `is not null` on a later one as the bound to seek by, and read past the start of the page."""
    shapes = [(f"index:{index.name}", [key.column for key in index.keys]) for index in layout.indexes]
    if layout.ttl:
        shapes.append(("ttl", [layout.extra_columns[-1]]))
    statements = []
    for suffix, columns in shapes:
        name = f"{layout.account}/{layout.region}/{layout.table}#{suffix}"
        over = ",".join([*columns, "pk", "sk"])
        statements.append((name, f"CREATE INDEX {quote(name)} on {layout.sql}({over}) where {columns[0]} is not null"))
    return statements


def _backfill(connection: sqlite3.Connection, layout: Layout) -> None:
    """Fill the extra columns of every row. An item that does not fit a new index stays out of it, as on AWS."""
    assignments = ",".join(f"{column}=?" for column in layout.extra_columns)
    position: tuple[bytes, bytes] = (b"", b"")
    started = False
    while True:
        where = "where (pk,sk)>(?,?)" if started else ""
        rows = connection.execute(
            f"select pk,sk,doc from {layout.sql} {where} order by pk,sk limit {BACKFILL_PAGE}",
            position if started else (),
        ).fetchall()
        for pk, sk, doc in rows:
            item = documents.load(doc, layout.hash_name, layout.range_name)
            connection.execute(
                f"update {layout.sql} set {assignments} where pk=? and sk=?", (*_lenient_values(layout, item), pk, sk)
            )
        if len(rows) < BACKFILL_PAGE:
            return
        position, started = rows[-1][:2], True


def _lenient_values(layout: Layout, item: Item) -> list[bytes | float | None]:
    values: list[bytes | float | None] = []
    for index in layout.indexes:
        try:
            encoded = [_index_key(index, key, item) for key in index.keys]
        except MockValidationException:
            encoded = [None]
        values += [None] * len(index.keys) if None in encoded else encoded
    if layout.ttl:
        values.append(expiry(item.attrs.get(layout.ttl)))
    return values
