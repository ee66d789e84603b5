"""What a node type holds: cores and memory, for the instance families of the three clouds that clients name.

A family's memory is given as GiB a core; sizes follow from the name. A name that no rule knows is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from chalicelib.core.errors import Invalid

USABLE = 0.75
"""The share of a node's memory that Spark's JVM gets; the rest is for the system and off-heap memory."""


@dataclass(frozen=True, slots=True)
class Node:
    """One machine: cores, and MiB that a JVM on it may use."""

    cores: int
    memory: int


_AWS = re.compile(r"(?P<family>[a-z]{1,3})\d[a-z0-9-]*\.(?:(?P<n>\d+)x)?(?P<size>large|xlarge)")
_GCP = re.compile(r"[a-z]\d[a-z]?-(?P<class>standard|highmem|highcpu)-(?P<cores>\d+)")
_AZURE = re.compile(r"Standard_(?P<family>[A-Z]+)(?P<cores>\d+)[a-z]*(?:-\d+)?[a-z]*(?:_v\d)?(?:_Promo)?")
_AZURE_OLD = {"1": 1, "2": 2, "3": 4, "4": 8, "5": 16, "11": 2, "12": 4, "13": 8, "14": 16, "15": 20}
"""Azure's D and DS v2 series count sizes, not cores; 11 and above have twice the memory."""

_GIB_A_CORE: Mapping[str, float] = {
    "m": 4, "t": 4, "c": 2, "r": 8, "x": 16, "z": 8, "i": 7.6, "d": 7.6, "h": 4, "p": 7.6, "g": 4, "hpc": 4,
    "standard": 3.75, "highmem": 6.5, "highcpu": 0.9,
    "D": 4, "DS": 4, "E": 8, "F": 2, "L": 8, "NC": 9.3, "M": 28,
}  # fmt: skip


def node(name: str, *, field: str) -> Node:
    """What a node type holds. Raises Invalid for a name of no known family."""
    if match := _AWS.fullmatch(name):
        cores = 2 if match["size"] == "large" else 4 * int(match["n"] or 1)
        family = next((f for f in (match["family"], match["family"][0]) if f in _GIB_A_CORE), "")
    elif match := _GCP.fullmatch(name):
        cores, family = int(match["cores"]), match["class"]
    elif match := _AZURE.fullmatch(name):
        old = name.endswith("_v2") and match["family"] in {"D", "DS"}
        cores = _AZURE_OLD.get(match["cores"], 0) if old else int(match["cores"])
        family = "E" if old and int(match["cores"]) > 10 else match["family"].rstrip("ABS") or match["family"]
    else:
        cores, family = 0, ""
    if not 0 < cores <= 512 or family not in _GIB_A_CORE:
        raise Invalid(f"Node type {name} is not supported.", field=field)
    return Node(cores, int(cores * _GIB_A_CORE[family] * 1024 * USABLE))
