"""Ids of runs and jobs: 53-bit integers, time-ordered, safe as JSON numbers, with one text and one UUID form.

An id is 41 bits of milliseconds since 2024-01-01 UTC, then 12 bits that the caller draws at random. It lasts until
2093. Ids are made once and created with a conditional write; a collision is a new draw.

The UUID form (Analytics Engine's words for a run or an instance) encodes the id, its kind and a keyed checksum, so a
stray UUID is known to be foreign without a read. Version nibble 5, variant 8-b, as seed 002's regular expression asks.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from datetime import UTC, datetime

EPOCH_MS = 1_704_067_200_000
RANDOM_BITS = 12
MAX_ID = (1 << 53) - 1
_WIDTH = 16

UUID_PATTERN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
"""The pattern that seed 002 gives for instance and application ids."""

KINDS = ("run", "pool", "cluster", "kernel", "pipeline")


def make_id(now_ms: int, draw: int) -> int:
    """The id for an instant and a random draw of `RANDOM_BITS` bits."""
    if not 0 <= now_ms - EPOCH_MS < 1 << 41 or not 0 <= draw < 1 << RANDOM_BITS:
        raise ValueError("instant or draw out of range")
    return (now_ms - EPOCH_MS) << RANDOM_BITS | draw


def instant_of(id: int) -> int:
    """The millisecond in which an id was made."""
    return (id >> RANDOM_BITS) + EPOCH_MS


def sort_text(id: int) -> str:
    """Fixed-width text whose order is the ids' order: a sort key."""
    return f"{id:0{_WIDTH}d}"


def parse_id(text: str) -> int | None:
    """The id that a decimal text names, or None when it can be no id."""
    if text.isascii() and text.isdigit() and len(text) <= _WIDTH and 0 < int(text) <= MAX_ID:
        return int(text)
    return None


def named_id(kind: str, name: str) -> int:
    """The id of a thing that people name (a pool): the first 53 bits of the name's digest, so no table maps it."""
    return int.from_bytes(hashlib.sha256(f"{kind}:{name}".encode()).digest()[:8], "big") >> 11 or 1


def external_name(workspace: str, run: int) -> str:
    """A run's name outside the table: EMR's name and tag, the driver's path."""
    return f"{workspace}.{run}"


def parse_external_name(text: str) -> tuple[str, int] | None:
    """The (workspace, run) of an external name, or None."""
    workspace, dot, number = text.rpartition(".")
    run = parse_id(number)
    return (workspace, run) if dot and workspace and run is not None else None


_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def cluster_id(run: int) -> str:
    """The id of the cluster that was made for a run, in the form of Databricks' own (`1021-013622-bused793`): month and
    day, the time, and the run's id in base 36."""
    word, rest = "", run
    while rest:
        rest, digit = divmod(rest, 36)
        word = _DIGITS[digit] + word
    return f"{datetime.fromtimestamp(instant_of(run) // 1000, UTC):%m%d-%H%M%S}-{word}"


def run_of_cluster(text: str) -> int | None:
    """The run whose cluster has this id, or None for any text that `cluster_id` does not make."""
    word = text.rpartition("-")[2]
    if not word or len(word) > 11 or set(word) - set(_DIGITS) or not 0 < (run := int(word, 36)) <= MAX_ID:
        return None
    return run if cluster_id(run) == text else None


def to_uuid(id: int, kind: str, workspace: str, secret: bytes) -> str:
    """The UUID form of an id: 53 bits of id, 4 of kind, 65 of keyed checksum, and the version and variant bits."""
    payload = id << 4 | KINDS.index(kind)
    high, low = payload >> 9, payload & 0x1FF  # 48 bits fill the first two groups
    check = _checksum(payload, workspace, secret)  # 65 bits
    value = high << 80 | 5 << 76 | (check >> 62 & 0x7) << 73 | low << 64 | 0b10 << 62 | check & ((1 << 62) - 1)
    return str(uuid.UUID(int=value))


def from_uuid(text: str, kind: str, workspace: str, secret: bytes) -> int | None:
    """The id of a UUID that `to_uuid` made with the same kind, workspace and secret; None for any other text."""
    if not UUID_PATTERN.fullmatch(text):
        return None
    value = uuid.UUID(text).int
    payload = value >> 80 << 9 | value >> 64 & 0x1FF
    id = payload >> 4
    if payload & 0xF != KINDS.index(kind) or not 0 < id <= MAX_ID:
        return None
    return id if hmac.compare_digest(to_uuid(id, kind, workspace, secret), text) else None


def _checksum(payload: int, workspace: str, secret: bytes) -> int:
    digest = hmac.new(secret, f"{workspace}:{payload}".encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:9], "big") >> 7
