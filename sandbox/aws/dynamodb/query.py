"""Key conditions as SQL, and reading one page of a table or an index.

A page costs one seek and a walk over the rows that it reads, wherever in the table it lies. For that the statement
must give SQLite one lower and one upper bound to seek by, so a bound that the start key replaces is left out.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from moto.dynamodb.exceptions import MockValidationException
from moto.dynamodb.models.dynamo_type import DynamoType, Item

from sandbox.aws.dynamodb import documents, keys
from sandbox.aws.dynamodb.layout import Index, Layout

PAGE_BYTES = 1024 * 1024  # DynamoDB ends a page here, before any filter

OPERATORS = {"EQ": "=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}
OUTSIDE = "The provided starting key is outside query boundaries based on provided conditions"


@dataclass(frozen=True)
class Search:
    """Where to look. `equal` are the conditions on hash keys (none for a scan), `ranges` those on range keys."""

    layout: Layout
    index: Index | None
    equal: list[tuple[str, DynamoType]]
    ranges: list[tuple[str, str, list[DynamoType]]]
    start: Mapping[str, Any] | None
    forward: bool = True


@dataclass(frozen=True)
class Page:
    """What was read: the items that passed the filter, how many were looked at, their bytes, and where to go on."""

    items: list[Item]
    scanned: int
    bytes_read: int
    last_key: dict[str, DynamoType] | None


class Statement:
    """The SQL of a search, built condition by condition."""

    def __init__(self, search: Search) -> None:
        self.search = search
        layout, index = search.layout, search.index
        primary = [("pk", layout.hash_name, layout.hash_kind)]
        if layout.range_name is not None:
            primary.append(("sk", layout.range_name, layout.range_kind or ""))
        own = [(key.column, key.attribute, key.kind) for key in index.keys] if index else []
        self.columns = [*own, *primary]  # (column, attribute, type) in the order of the index
        self.by_attribute = {attribute: (column, kind) for column, attribute, kind in own or primary}
        self.start = self._start_position()
        self.where: list[str] = []
        self.values: list[bytes] = []
        self.fixed: set[str] = set()
        for attribute, value in search.equal:
            self._fix(attribute, value)
        for attribute, operator, operands in search.ranges:
            self._range(attribute, OPERATORS.get(operator.upper(), operator.upper()), operands)
        self._scan_of_index()
        self._after_start()

    def _start_position(self) -> dict[str, bytes] | None:
        """The start key as column values; refused unless it has exactly the keys of the table and the index."""
        start = self.search.start
        if start is None:
            return None
        wanted = {attribute: kind for _, attribute, kind in self.columns}
        if {name: next(iter(value)) for name, value in start.items()} != wanted:
            raise MockValidationException("The provided starting key is invalid")
        return {column: keys.encode(kind, start[attribute][kind]) for column, attribute, kind in self.columns}

    def _operand(self, attribute: str, value: DynamoType) -> tuple[str, bytes]:
        column, kind = self.by_attribute[attribute]
        if value.type != kind:
            raise MockValidationException(
                "One or more parameter values were invalid: Condition parameter type does not match schema type"
            )
        return column, keys.encode(value.type, value.value)

    def _fix(self, attribute: str, value: DynamoType) -> None:
        column, encoded = self._operand(attribute, value)
        if self.start is not None and self.start[column] != encoded:
            raise MockValidationException(OUTSIDE)
        self._add(f"{column}=?", encoded)
        self.fixed.add(column)

    def _range(self, attribute: str, operator: str, operands: list[DynamoType]) -> None:
        if operator == "=":
            self._fix(attribute, operands[0])
            return
        encoded = [self._operand(attribute, operand)[1] for operand in operands]
        column = self.by_attribute[attribute][0]
        if operator == "BETWEEN":
            self._bound(column, ">=", encoded[0])
            self._bound(column, "<=", encoded[1])
        elif operator == "BEGINS_WITH":
            if operands[0].type == "N":
                raise MockValidationException(
                    "Invalid KeyConditionExpression: Incorrect operand type for operator or function; "
                    "operator or function: begins_with, operand type: N"
                )
            self._bound(column, ">=", encoded[0])
            end = keys.after_prefix(encoded[0])
            if end is not None:
                self._bound(column, "<", end)
        elif operator in ("<", "<=", ">", ">="):
            self._bound(column, operator, encoded[0])
        else:
            raise MockValidationException(f"Unsupported operator on a key: {operator}")

    def _bound(self, column: str, operator: str, value: bytes) -> None:
        """A bound of the range. One on the side where the walk begins is implied by the start key: SQLite, given both,
        would seek to the bound and skip to the start key row by row."""
        if self.start is not None and (operator[0] == ">") == self.search.forward:
            position = self.start[column]
            if not (position >= value if self.search.forward else position <= value):
                raise MockValidationException(OUTSIDE)
            return
        self._add(f"{column}{operator}?", value)

    def _scan_of_index(self) -> None:
        """A scan of an index names its first column, or SQLite could not use an index that leaves NULLs out."""
        if self.search.index is not None and not self.search.equal:
            self.where.append(f"{self.columns[0][0]} is not null")

    def _after_start(self) -> None:
        self.order = [column for column, _, _ in self.columns if column not in self.fixed]
        if self.start is None:
            return
        if not self.order:  # every key is fixed: nothing comes after the one item that there can be
            self.where.append("0")
            return
        comparison = ">" if self.search.forward else "<"
        self.where.append(f"({','.join(self.order)}){comparison}({','.join('?' * len(self.order))})")
        self.values += [self.start[column] for column in self.order]

    def _add(self, condition: str, value: bytes) -> None:
        self.where.append(condition)
        self.values.append(value)

    @property
    def sql(self) -> str:
        where = f"where {' and '.join(self.where)} " if self.where else ""
        direction = "" if self.search.forward else " desc"
        order = ",".join(column + direction for column in self.order or ["pk"])
        return f"select size,doc from {self.search.layout.sql} {where}order by {order}"


def read_page(
    connection: sqlite3.Connection,
    search: Search,
    limit: int | None,
    *,
    within: Callable[[Item], bool] | None = None,
    keep: Callable[[Item], bool] | None = None,
    paths: list[list[str]] | None = None,
) -> Page:
    """One page. `within` chooses the rows that belong to the search (segments of a parallel scan), `keep` is the
    filter (what it drops counts as read), `paths` the projection.

    A page that ends at the limit carries a last key even when nothing follows, as on AWS.
    """
    items: list[Item] = []
    scanned = size = 0
    last: Item | None = None
    for stored_size, item in _walk(connection, search):
        if within is not None and not within(item):
            continue
        entry, entry_size = _entry(search.index, item, stored_size)
        if scanned and size + entry_size > PAGE_BYTES:
            return Page(items, scanned, size, _last_key(search, last))
        scanned, size, last = scanned + 1, size + entry_size, item
        if keep is None or keep(entry):
            items.append(documents.project(entry, paths) if paths else entry)
        if scanned == limit:
            return Page(items, scanned, size, _last_key(search, last))
    return Page(items, scanned, size, None)


def _walk(connection: sqlite3.Connection, search: Search) -> Iterator[tuple[int, Item]]:
    statement = Statement(search)
    layout = search.layout
    cursor = connection.execute(statement.sql, statement.values)
    try:
        for size, doc in cursor:
            yield size, documents.load(doc, layout.hash_name, layout.range_name)
    finally:
        cursor.close()


def _entry(index: Index | None, item: Item, stored_size: int) -> tuple[Item, int]:
    """The item as the index carries it, and the bytes that are read for it there."""
    if index is None or index.projected is None:
        return item, stored_size
    entry = index.entry(item) or item
    return entry, documents.size(entry.attrs)


def _last_key(search: Search, last: Item | None) -> dict[str, DynamoType] | None:
    if last is None:
        return None
    own = [key.attribute for key in search.index.keys] if search.index else []
    return {name: last.attrs[name] for name in dict.fromkeys([*search.layout.key_names, *own])}
