"""Amounts of memory and CPU in the notations that the services use, as whole MiB and whole millicores.

Spark writes memory as `512m`, `4g`, `20G`; Kubernetes and Analytics Engine write `20Gi`, `1024Mi`, `4G`, and CPU as
`1`, `1.5`, `1000m`. Every unit is binary here, as it is to Spark and the JVM: `4G` is 4096 MiB.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from chalicelib.core.errors import Invalid

_MEMORY = re.compile(
    r"(?P<number>\d{1,30}(?:\.\d{1,30})?)\s*(?:(?P<unit>[kmgtp])(?:ib?|b)?)?", re.IGNORECASE | re.ASCII
)
_UNIT_KIB = {"k": 1, "m": 1024, "g": 1024**2, "t": 1024**3, "p": 1024**4}
MAX_MIB = 1 << 30
MAX_MILLICORES = 10**9


def parse_memory(text: object, *, field: str, bare: str = "m") -> int:
    """MiB of a memory text, rounded up. A number without a unit counts in `bare` (Spark's rule is MiB).

    Raises Invalid for anything else, below one MiB, and above a pebibyte.
    """
    match = _MEMORY.fullmatch(str(text).strip()) if isinstance(text, str | int) and not isinstance(text, bool) else None
    if not match:
        raise Invalid(f"{field}: {text!r} is not an amount of memory such as 512m, 4g or 20Gi.", field=field)
    unit = (match["unit"] or bare).lower()
    kib = Fraction(match["number"]) * _UNIT_KIB[unit]
    if not 1024 <= kib <= 1024 * MAX_MIB:
        told = "less than one mebibyte" if kib < 1024 else "out of range"
        raise Invalid(f"{field}: {text!r} is {told}.", field=field)
    return int(-(-kib // 1024))


def memory_with_unit(text: object, *, field: str) -> int:
    """`parse_memory`, but a number without a unit is refused: it means bytes to some and mebibytes to others."""
    if re.fullmatch(r"\s*[\d.]+\s*", str(text)):
        raise Invalid(f"{field}: {text!r} has no unit; write it as 20Gi or 4G.", field=field)
    return parse_memory(text, field=field)


def format_memory(mib: int) -> str:
    """Spark's text for an amount: `4g` when whole, else `1536m`."""
    return f"{mib // 1024}g" if mib % 1024 == 0 else f"{mib}m"


def parse_cpu(text: object, *, field: str) -> int:
    """Millicores of a CPU text (`1`, `"1.5"`, `1000m`). Raises Invalid for all else, zero, or over a million cores."""
    raw = str(text).strip() if isinstance(text, str | int | float) and not isinstance(text, bool) else ""
    milli, number = (raw.endswith("m"), raw.removesuffix("m"))
    try:
        if not re.fullmatch(r"[0-9]{1,30}(\.[0-9]{1,30})?", number):
            raise InvalidOperation
        amount = Decimal(number) * (1 if milli else 1000)
    except InvalidOperation:
        raise Invalid(f"{field}: {text!r} is not a number of cores such as 2, 1.5 or 500m.", field=field) from None
    if not 0 < amount <= MAX_MILLICORES or amount != int(amount):
        raise Invalid(f"{field}: {text!r} is out of range.", field=field)
    return int(amount)


def whole_cores(text: object, *, field: str) -> int:
    """Cores that Spark can be given: a CPU text that is a whole number of cores."""
    milli = parse_cpu(text, field=field)
    if milli % 1000:
        raise Invalid(f"{field}: {text!r} is not a whole number of cores.", field=field)
    return milli // 1000


def whole_number(text: object, *, field: str, most: int = 1000) -> int:
    """A count such as of GPUs: 0 to `most`. Raises Invalid."""
    raw = str(text).strip() if isinstance(text, str | int) and not isinstance(text, bool) else ""
    if not re.fullmatch(r"[0-9]{1,9}", raw) or int(raw) > most:
        raise Invalid(f"{field}: {text!r} is not a whole number up to {most}.", field=field)
    return int(raw)


MAX_COUNT = 1_000_000


def count_of(text: object, *, field: str) -> int:
    """A number of things such as executors, of which there is at least one. Raises Invalid."""
    raw = str(text).strip() if isinstance(text, str | int) and not isinstance(text, bool) else ""
    if not re.fullmatch(r"[0-9]{1,9}", raw) or not 1 <= int(raw) <= MAX_COUNT:
        raise Invalid(f"{field}: {text!r} is not a whole number from 1 to {MAX_COUNT}.", field=field)
    return int(raw)
