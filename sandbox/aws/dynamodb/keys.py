"""Key values as bytes: comparing two of them byte by byte gives DynamoDB's order for values of one type.

Used for the columns that SQLite sorts and seeks by. Strings order by UTF-8 bytes, binary by unsigned bytes, numbers
by value, so `1`, `1.0` and `10E-1` are one key.
"""

import base64
from decimal import Decimal
from typing import Any

EXPONENT_BIAS = 512  # DynamoDB's numbers lie within 1E-130 and 9.99E+125


def encode(kind: str, value: Any) -> bytes:
    """The sortable bytes of a key value; `kind` is DynamoDB's type: S, B or N."""
    if kind == "S":
        return str(value).encode()
    if kind == "B":
        return value if isinstance(value, bytes) else base64.b64decode(value)
    if kind == "N":
        return _encode_number(value)
    raise ValueError(f"a key cannot have the type {kind}")


def _encode_number(text: str) -> bytes:
    """Sign, exponent, digits. A negative number is the complement of its positive, closed by the highest byte."""
    negative, digits, exponent = Decimal(text).as_tuple()
    significant = "".join(map(str, digits)).lstrip("0")
    if not significant:
        return b"\x80"
    magnitude = (len(significant) + int(exponent) + EXPONENT_BIAS).to_bytes(2, "big")
    magnitude += bytes(int(digit) + 1 for digit in significant.rstrip("0"))
    if negative:
        return b"\x7f" + bytes(255 - byte for byte in magnitude) + b"\xff"
    return b"\x81" + magnitude


def after_prefix(prefix: bytes) -> bytes | None:
    """The lowest value above every value that begins with `prefix`; None when there is no such value."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None
