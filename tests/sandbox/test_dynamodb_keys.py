"""Key values as sortable bytes, and items as canonical text."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.dynamodb.models.dynamo_type import DynamoType, Item

from sandbox.aws.dynamodb import documents, keys

numbers = st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(-(10**12), 10**12),
    st.integers(-100, 100),
)


@settings(max_examples=150)
@given(numbers, numbers)
def test_the_bytes_of_two_numbers_order_as_the_numbers(a: Decimal, b: Decimal) -> None:
    first, second = keys.encode("N", str(a)), keys.encode("N", str(b))
    assert (first < second, first == second) == (a < b, a == b)


@settings(max_examples=100)
@given(numbers, st.integers(0, 5))
def test_a_number_has_one_spelling(value: Decimal, zeros: int) -> None:
    spelled = documents.number(str(value))
    assert Decimal(spelled) == value and "E" not in spelled
    sign, digits, exponent = value.as_tuple()
    other = Decimal((sign, digits + (0,) * zeros, int(exponent) - zeros))
    assert documents.number(str(other)) == spelled


@pytest.mark.parametrize(
    "text, spelled",
    [
        ("0", "0"),
        ("-0", "0"),
        ("0.0", "0"),
        ("007", "7"),
        ("-1.50", "-1.5"),
        ("1E+3", "1000"),
        (".5", "0.5"),
    ],
)
def test_numbers_are_spelled_as_aws_answers_them(text: str, spelled: str) -> None:
    assert documents.number(text) == spelled


@settings(max_examples=100)
@given(st.binary(max_size=4), st.binary(max_size=4))
def test_the_end_of_a_prefix_is_the_first_value_beyond_it(prefix: bytes, value: bytes) -> None:
    end = keys.after_prefix(prefix)
    assert value.startswith(prefix) == (prefix <= value and (end is None or value < end))


def test_an_item_comes_back_from_its_text() -> None:
    attributes = {
        "p": {"S": "a"},
        "b": {"B": b"\x00"},
        "bs": {"BS": [b"2", b"1"]},
        "n": {"N": "1.0"},
        "none": {"NULL": True},
        "m": {"M": {"l": {"L": [{"BOOL": False}, {"SS": ["y", "x"]}]}}},
    }
    item = Item(DynamoType({"S": "a"}), None, attributes)
    again = documents.load(documents.dump(item.attrs), "p", None)
    assert again.attrs["b"].value == b"\x00" and again.attrs["bs"].value == [b"1", b"2"]
    assert again == item
    assert documents.dump(again.attrs) == documents.dump(item.attrs)


@pytest.mark.parametrize(
    "value, size",
    [
        ({"S": "ä"}, 2),
        ({"N": "0"}, 1),
        ({"N": "12"}, 2),
        ({"N": "-123"}, 4),
        ({"N": "1000"}, 2),
        ({"B": b"123"}, 3),
        ({"BOOL": True}, 1),
        ({"NULL": True}, 1),
        ({"SS": ["ab", "c"]}, 3),
        ({"L": []}, 3),
        ({"L": [{"S": "ab"}]}, 6),
        ({"M": {"ab": {"S": "c"}}}, 7),
    ],
)
def test_sizes_are_counted_as_dynamodb_counts(value: dict[str, object], size: int) -> None:
    assert documents.size({"x": DynamoType(value)}) == 1 + size
