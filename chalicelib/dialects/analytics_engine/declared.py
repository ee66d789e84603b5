"""Instances as code, in Analytics Engine's words: seed 002 has no endpoint that makes one.

An entry is `{"name", "max_cores", "max_memory", "spark_version", "default_configs"}`, of which only `name` is required.
A file of them (`{"instances": […]}`) is what the administrator's command applies and what a package is made with; the
same words are the properties of CloudFormation's `Custom::SparkplaneInstance` (`workers.instances`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from chalicelib.core.capacity import UNLIMITED
from chalicelib.core.errors import Invalid
from chalicelib.core.ids import named_id
from chalicelib.core.quantities import memory_with_unit, parse_cpu
from chalicelib.core.spark import release_for
from chalicelib.dialects.analytics_engine.mapping import default_conf
from chalicelib.dialects.analytics_engine.quotas import limits_body
from chalicelib.ports import Ports
from chalicelib.services.instances import Wanted
from chalicelib.services.pools import PoolView, check_pool_name, instance_id


def _version(told: Any, schemes: Collection[str]) -> str:
    release_for(str(told))
    return str(told)


def _conf(told: Any, schemes: Collection[str]) -> dict[str, str]:
    if not isinstance(told, dict):
        raise Invalid("default_configs: expected an object of texts.", field="default_configs")
    return default_conf(told, schemes)


_READERS: Mapping[str, tuple[str, Callable[[Any, Collection[str]], Any]]] = {
    "max_cores": ("cores", lambda told, schemes: parse_cpu(told, field="max_cores")),
    "max_memory": ("memory", lambda told, schemes: memory_with_unit(told, field="max_memory")),
    "spark_version": ("spark_version", _version),
    "default_configs": ("conf", _conf),
}
"""Field of an entry -> the attribute of Wanted that it gives, and what reads it."""

UNTOLD: Mapping[str, Any] = {"cores": UNLIMITED, "memory": UNLIMITED, "spark_version": "", "conf": {}}
"""What the attributes of an instance are when nobody ever said anything."""

FIELDS = frozenset({"name", *_READERS})


def attributes_of(fields: Collection[str]) -> set[str]:
    """The attributes of Wanted that these fields of an entry give."""
    return {_READERS[name][0] for name in fields if name in _READERS}


def entries_of(text: str) -> list[Any]:
    """The entries in the text of a file, which are not looked at. Raises Invalid."""
    try:
        told = json.loads(text)
    except ValueError as error:
        raise Invalid(f"it is not JSON: {error}.") from None
    entries = told.get("instances") if isinstance(told, dict) else None
    if not isinstance(entries, list):
        raise Invalid('it is not of the form {"instances": […]}.')
    return entries


def all_wanted(entries: Sequence[Any], schemes: Collection[str]) -> list[Wanted]:
    """What the entries of a file say. Raises Invalid, naming the entry, when one of them cannot be, or comes twice."""
    wanted: dict[str, Wanted] = {}
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict) or not entry.get("name"):
            raise Invalid(f"instances[{position}]: an instance must be an object with a name.", field="name")
        one = wanted_of(entry, schemes)
        if one.name in wanted:
            raise Invalid(f"{one.name}: the name is there twice.", field="name")
        wanted[one.name] = one
    return list(wanted.values())


def wanted_of(told: Mapping[str, Any], schemes: Collection[str]) -> Wanted:
    """One entry. `schemes` are those of URIs that submissions may use. Raises Invalid, naming the instance and the
    field."""
    name = told.get("name")
    if not isinstance(name, str) or not name:
        raise Invalid("An instance must have a name.", field="name")
    check_pool_name(name, what="an instance's", field="name")
    if unknown := sorted(set(told) - FIELDS):
        raise Invalid(f"{name}: unknown field {unknown[0]!r}; known are {', '.join(sorted(FIELDS))}.", field=unknown[0])
    try:
        read = {_READERS[n][0]: _READERS[n][1](value, schemes) for n, value in told.items() if n in _READERS}
    except Invalid as invalid:
        raise Invalid(f"{name}: {invalid.message}", field=invalid.field) from None
    return Wanted(name, **read)


def shown(ports: Ports, view: PoolView) -> dict[str, Any]:
    """An instance as an administrator sees it."""
    pool = view.pool
    return {
        "name": pool.name,
        "instance_id": instance_id(ports, pool.workspace, pool.name),
        "pool_number": named_id("pool", pool.name),
        **limits_body(view.account.maximum),
        "spark_version": pool.spark_version or ports.settings.default_spark,
        "default_configs": dict(pool.conf),
    }
