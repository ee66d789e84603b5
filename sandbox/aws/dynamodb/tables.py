"""The methods of moto's Table that touch items, on top of the storage.

moto's own `put_item` and `delete_item` run unchanged against `Items`, which looks like the dicts they know. Reading
is replaced: moto walks and sorts the whole table for a query, and leaves out LastEvaluatedKey on a page that ends
exactly at its limit.
"""

from collections.abc import Callable, Mapping
from typing import Any

from moto.dynamodb.exceptions import KeyIsEmptyStringException, MockValidationException, ProvidedKeyDoesNotExist
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table

from sandbox.aws.dynamodb import documents
from sandbox.aws.dynamodb.layout import Layout, layout_of
from sandbox.aws.dynamodb.query import Page, Search, read_page
from sandbox.aws.dynamodb.rows import Row
from sandbox.aws.dynamodb.storage import Storage, Unit

Filters = Mapping[str, tuple[str, list[DynamoType]]]
ALL_ITEMS_PAGE = 500


class Items:
    """`Table.items[hash][range]` as moto's put_item and delete_item use it, within a writing unit of work."""

    def __init__(self, storage: Storage, table: Any) -> None:
        self._storage = storage
        self._layout = layout_of(table)

    def row(self, hash_key: DynamoType, range_key: DynamoType | None) -> Row:
        with self._storage.unit(write=True) as unit:
            return unit.row(self._layout, hash_key, range_key)

    def __getitem__(self, hash_key: DynamoType) -> "Partition":
        return Partition(self, hash_key)

    def __setitem__(self, hash_key: DynamoType, item: Item) -> None:
        self.row(hash_key, None).item = item

    def pop(self, hash_key: DynamoType) -> Item:
        return Partition(self, hash_key).pop(None)


class Partition:
    """`Table.items[hash]` of a table with a range key."""

    def __init__(self, items: Items, hash_key: DynamoType) -> None:
        self._items = items
        self._hash_key = hash_key

    def __setitem__(self, range_key: DynamoType, item: Item) -> None:
        self._items.row(self._hash_key, range_key).item = item

    def pop(self, range_key: DynamoType | None) -> Item:
        row = self._items.row(self._hash_key, range_key)
        if row.item is None:
            raise KeyError(range_key)
        item, row.item = row.item, None
        return item


class Reader:
    """The reading methods, made for one storage and put in place of moto's."""

    def __init__(self, storage: Callable[[], Storage]) -> None:
        self._storage = storage

    def get_item(
        self,
        table: Table,
        hash_key: DynamoType,
        range_key: DynamoType | None = None,
        projection_expression: list[list[str]] | None = None,
    ) -> Item | None:
        layout = layout_of(table)
        _check_key(layout, hash_key, range_key)
        with self._storage().unit(write=False) as unit:
            item = unit.row(layout, hash_key, range_key).item
        return documents.project(item, projection_expression) if item is not None and projection_expression else item

    def query(
        self,
        table: Table,
        hash_key: DynamoType | None,
        range_comparison: str | None,
        range_objs: list[DynamoType],
        limit: int | None,
        exclusive_start_key: dict[str, Any] | None,
        scan_index_forward: bool | None,
        projection_expressions: list[list[str]] | None,
        index_name: str | None = None,
        consistent_read: bool = False,
        filter_expression: Any = None,
        hash_key_conditions: list[tuple[str, DynamoType]] | None = None,
        range_key_conditions: list[tuple[str, str, list[DynamoType]]] | None = None,
        **filters: Any,
    ) -> tuple[list[Item], int, dict[str, Any] | None]:
        layout = layout_of(table)
        ranges = range_key_conditions or []
        if range_comparison and not ranges:
            ranges = [(layout.range_name or layout.hash_name, range_comparison, range_objs)]
        equal = hash_key_conditions or ([(layout.hash_name, hash_key)] if hash_key is not None else [])
        search = Search(
            layout,
            _index(table, index_name, consistent_read),
            equal,
            ranges,
            exclusive_start_key,
            scan_index_forward is not False,
        )
        legacy = {
            name: (condition["ComparisonOperator"], [DynamoType(v) for v in condition.get("AttributeValueList", [])])
            for name, condition in filters.items()
        }
        page = self._page(search, limit, keep=_keep(legacy, filter_expression), paths=projection_expressions)
        return page.items, page.scanned, page.last_key

    def scan(
        self,
        table: Table,
        filters: Filters,
        limit: int | None,
        exclusive_start_key: dict[str, Any] | None,
        filter_expression: Any = None,
        index_name: str | None = None,
        consistent_read: bool = False,
        projection_expression: list[list[str]] | None = None,
        segments: tuple[Any, Any] = (None, None),
    ) -> tuple[list[Item], int, dict[str, Any] | None]:
        index = _index(table, index_name, consistent_read)
        search = Search(layout_of(table), index, [], [], exclusive_start_key)
        within = None if segments == (None, None) else lambda item: bool(item.is_within_segment(segments))
        page = self._page(
            search, limit, within=within, keep=_keep(filters, filter_expression), paths=projection_expression
        )
        return page.items, page.scanned, page.last_key

    def all_items(self, table: Table) -> list[Item]:
        """Every item, for PartiQL and exports; O(table) by its nature."""
        items: list[Item] = []
        start: dict[str, Any] | None = None
        with self._storage().unit(write=False):
            while True:
                page = self._page(Search(layout_of(table), None, [], [], start), ALL_ITEMS_PAGE)
                items += page.items
                if page.last_key is None:
                    return items
                start = {name: documents.plain(value) for name, value in page.last_key.items()}

    def count(self, table: Table) -> int:
        if table.__dict__.get("_dropped"):  # DeleteTable describes the table after it is gone
            return 0
        with self._storage().unit(write=False) as unit:
            (items,) = unit.connection.execute(f"select count(*) from {layout_of(table).sql}").fetchone()
        return int(items)

    def _page(self, search: Search, limit: int | None, **options: Any) -> Page:
        with self._storage().unit(write=False) as unit:
            unit.flush()  # a statement of a transaction sees the ones before it
            page = read_page(unit.connection, search, limit, **options)
            _charge(unit, search, page)
        return page


def _charge(unit: Unit, search: Search, page: Page) -> None:
    unit.reads.append((search.layout, search.index.name if search.index else None, page.bytes_read))


def _check_key(layout: Layout, hash_key: DynamoType, range_key: DynamoType | None) -> None:
    if layout.range_name is not None and range_key is None:
        raise MockValidationException("Table has a range key, but no range key was passed into get_item")
    if hash_key.type != layout.hash_kind or (range_key is not None and range_key.type != layout.range_kind):
        raise ProvidedKeyDoesNotExist
    if not hash_key.value:
        raise KeyIsEmptyStringException(layout.hash_name)
    if range_key is not None and not range_key.value:
        raise KeyIsEmptyStringException(layout.range_name or "")


def _index(table: Any, name: str | None, consistent_read: bool) -> Any:
    if not name:
        return None
    index = table.get_index(name, error_if_not=True)
    if consistent_read and index in table.global_indexes:
        raise MockValidationException("Consistent reads are not supported on global secondary indexes")
    return layout_of(table).index(name)


def _keep(filters: Filters, expression: Any) -> Callable[[Item], bool] | None:
    """The filter of a request, if it has one: the old-style conditions, and the expression as moto evaluates it."""
    if not filters and expression is None:
        return None
    return lambda item: _passes(item, filters) and (expression is None or bool(expression.expr(item)))


def _passes(item: Item, filters: Filters) -> bool:
    for name, (operator, operands) in filters.items():
        if name not in item.attrs:
            if operator != "NULL":
                return False
        elif not item.attrs[name].compare(operator, operands):
            return False
    return True
