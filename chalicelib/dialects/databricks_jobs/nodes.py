"""What a node type holds: cores and memory, for the instance families of the three clouds that clients name.

A family's memory is given as GiB a core; sizes follow from the name. A name that no rule knows is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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


_AWS_SIZES: Mapping[str, tuple[str, str]] = {
    "m4": ("General Purpose", "large xlarge 2xlarge 4xlarge 10xlarge 16xlarge"),
    "m5": ("General Purpose", "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"),
    "m5d": ("General Purpose", "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"),
    "c4": ("Compute Optimized", "xlarge 2xlarge 4xlarge"),
    "c5": ("Compute Optimized", "xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge"),
    "c5d": ("Compute Optimized", "xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge"),
    "r4": ("Memory Optimized", "large xlarge 2xlarge 4xlarge 8xlarge 16xlarge"),
    "r5": ("Memory Optimized", "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"),
    "r5d": ("Memory Optimized", "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"),
    "i3": ("Storage Optimized", "large xlarge 2xlarge 4xlarge 8xlarge 16xlarge"),
}
_GCP_SIZES: Mapping[str, tuple[str, str]] = {
    "n1-standard": ("General Purpose", "4 8 16 32 64 96"),
    "n1-highmem": ("Memory Optimized", "4 8 16 32 64 96"),
    "n1-highcpu": ("Compute Optimized", "16 32 64 96"),
    "n2-standard": ("General Purpose", "4 8 16 32 48 64 80"),
    "e2-standard": ("General Purpose", "4 8 16 32"),
}
_AZURE_SIZES: Mapping[str, str] = {
    "General Purpose": "DS3_v2 DS4_v2 DS5_v2 D4s_v3 D8s_v3 D16s_v3 D32s_v3 D64s_v3",
    "Memory Optimized": "DS12_v2 DS13_v2 DS14_v2 DS15_v2 E4s_v3 E8s_v3 E16s_v3 E32s_v3 E64s_v3",
    "Compute Optimized": "F4s F8s F16s",
    "Storage Optimized": "L4s L8s L16s L32s",
}
"""Names in common use, by their category; other names of the same families are taken too."""


def _listed() -> Iterator[tuple[str, str]]:
    for family, (category, sizes) in _AWS_SIZES.items():
        yield from ((f"{family}.{size}", category) for size in sizes.split())
    for family, (category, sizes) in _GCP_SIZES.items():
        yield from ((f"{family}-{size}", category) for size in sizes.split())
    for category, sizes in _AZURE_SIZES.items():
        yield from ((f"Standard_{size}", category) for size in sizes.split())


def node_types_body() -> dict[str, Any]:
    """What clusters/list-node-types answers: for each type the cores and memory of such a machine, and in its
    description what a driver or an executor on it gets."""
    return {"node_types": [_type_body(name, category) for name, category in _listed()]}


def _type_body(name: str, category: str) -> dict[str, Any]:
    held = node(name, field="node_type_id")
    memory = round(held.memory / USABLE)
    return {
        "node_type_id": name,
        "memory_mb": memory,
        "num_cores": float(held.cores),
        "num_gpus": 0,
        "description": f"{name}: a pod of {held.cores} cores whose JVM has {held.memory} MB",
        "instance_type_id": name,
        "category": category,
        "is_deprecated": False,
        "is_hidden": False,
        "support_cluster_tags": True,
        "support_ebs_volumes": False,
        "node_instance_type": {"instance_type_id": name, "local_disks": 0},
    }
