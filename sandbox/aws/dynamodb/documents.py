"""Items as JSON text and back, and the size of an item in DynamoDB's own counting.

The text is canonical (sorted attributes and sets, numbers in one spelling), so two equal items have equal texts: that
is how a write that changes nothing is told from a change, as DynamoDB does.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict

Plain = dict[str, Any]  # an attribute value as JSON: {"S": "text"}


def plain(value: DynamoType) -> Plain:
    """An attribute value of moto as canonical JSON; binary becomes base64."""
    kind, content = value.type, value.value
    if kind == "N":
        return {"N": number(content)}
    if kind == "M":
        return {"M": {name: plain(member) for name, member in content.items()}}
    if kind == "L":
        return {"L": [plain(member) for member in content]}
    if kind == "B":
        return {"B": _base64(content)}
    if kind == "BS":
        return {"BS": sorted(_base64(member) for member in content)}
    if kind == "NS":
        return {"NS": sorted(map(number, content), key=Decimal)}
    if kind == "SS":
        return {"SS": sorted(content)}
    return {kind: content}


def number(text: str) -> str:
    """A number as DynamoDB answers it: plain digits, without zeros at the ends."""
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and digits[0] != "0":
        return text
    value = Decimal(text)
    if not value:
        return "0"
    spelled = format(value, "f")
    return spelled.rstrip("0").rstrip(".") if "." in spelled else spelled


def _base64(content: Any) -> str:
    return base64.b64encode(content).decode() if isinstance(content, bytes) else str(content)


def dump(attributes: Mapping[str, DynamoType]) -> str:
    """The canonical JSON text of an item."""
    return json.dumps(
        {name: plain(value) for name, value in attributes.items()},
        separators=(",", ":"),
        ensure_ascii=False,
        sort_keys=True,
    )


def revive(value: Plain) -> DynamoType:
    """The opposite of `plain`; binary comes back as bytes, as moto's request parser gives it."""
    result: DynamoType = object.__new__(DynamoType)
    ((kind, content),) = value.items()
    if kind == "M":
        content = {name: revive(member) for name, member in content.items()}
    elif kind == "L":
        content = [revive(member) for member in content]
    elif kind == "B":
        content = base64.b64decode(content)
    elif kind == "BS":
        content = [base64.b64decode(member) for member in content]
    result.type, result.value = kind, content
    return result


def load(text: str, hash_name: str, range_name: str | None) -> Item:
    """An item from its text. Past moto's constructor, which checks the size again for each attribute: O(n²)."""
    attributes = {name: revive(value) for name, value in json.loads(text).items()}
    return bare(attributes, attributes[hash_name], attributes[range_name] if range_name else None)


def bare(
    attributes: Mapping[str, DynamoType], hash_key: DynamoType | None = None, range_key: DynamoType | None = None
) -> Item:
    """An item of these attributes, as they are."""
    item: Any = object.__new__(Item)
    item.attrs = LimitedSizeDict.__new__(LimitedSizeDict)
    for name, value in attributes.items():
        dict.__setitem__(item.attrs, name, value)
    item.hash_key, item.range_key = hash_key, range_key
    result: Item = item
    return result


def project(item: Item, paths: list[list[str]]) -> Item:
    """The item with the named paths only. Whole attributes, the usual case, are picked without moto's conversions."""
    if any(len(path) > 1 or "[" in path[0] for path in paths):
        return item.project(paths)
    return pick(item, [path[0] for path in paths])


def pick(item: Item, names: Iterable[str]) -> Item:
    """The item with the named attributes only."""
    found = {name: item.attrs[name] for name in names if name in item.attrs}
    return bare(found, item.hash_key, item.range_key)


def size(attributes: Mapping[str, DynamoType]) -> int:
    """Bytes of an item as DynamoDB counts them: names and values, see "DynamoDB item sizes and formats"."""
    return sum(len(name.encode()) + _value_size(value.type, value.value) for name, value in attributes.items())


def _value_size(kind: str, content: Any) -> int:
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        return _number_size(content)
    if kind in ("BOOL", "NULL"):
        return 1
    if kind == "B":
        return len(content if isinstance(content, bytes) else base64.b64decode(content))
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + _value_size(v.type, v.value) for name, v in content.items())
    if kind == "L":
        return 3 + sum(1 + _value_size(member.type, member.value) for member in content)
    return sum(_value_size(kind[0], member) for member in content)  # SS, NS, BS


def _number_size(text: str) -> int:
    """One byte for two significant digits, one more, and one for a minus; at most 21."""
    negative, digits, _ = Decimal(text).as_tuple()
    significant = "".join(map(str, digits)).strip("0")
    return min(21, (len(significant) + 1) // 2 + 1 + negative)
