"""Analytics Engine's instances from a shell: seed 002 has no endpoint that makes one. A part of `chalicelib.admin`.

    python -m chalicelib.admin instance create --name etl --cores 20 --memory 80Gi --spark-version 3.5
    python -m chalicelib.admin instance list
    python -m chalicelib.admin instance apply --file infra/instances.json

`apply` is for instances as code: a JSON file of the form `{"instances": [{"name", "max_cores", "max_memory",
"spark_version", "default_configs"}]}`, of which only `name` is required. Everything is checked before anything is
changed; what a file says replaces what an instance has, what it does not say stays, and instances that it does not name
are left alone. So it may be applied by every deployment.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalicelib.core.capacity import Amount, Ledger, PoolAccount
from chalicelib.core.errors import AlreadyExists, Invalid, NotFound
from chalicelib.core.ids import named_id
from chalicelib.core.model import Principal, Role
from chalicelib.core.quantities import parse_cpu, parse_memory
from chalicelib.core.spark import release_for
from chalicelib.dialects.analytics_engine.mapping import default_conf
from chalicelib.dialects.analytics_engine.quotas import limits_body
from chalicelib.dialects.analytics_engine.reading import instance_id
from chalicelib.ports import Ports, key
from chalicelib.services import pools
from chalicelib.services.access import Call

FIELDS = frozenset({"name", "max_cores", "max_memory", "spark_version", "default_configs"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one instance is to be. None leaves a thing as it is."""

    name: str
    cores: int | None = None
    memory: int | None = None
    spark_version: str | None = None
    conf: Mapping[str, str] | None = None


def wanted_of(told: Any, schemes: tuple[str, ...]) -> Wanted:
    """One entry of a file. Raises Invalid, naming the field."""
    if not isinstance(told, dict) or not isinstance(told.get("name"), str) or not told["name"]:
        raise Invalid("Each instance must be an object with a name.", field="name")
    name = told["name"]
    if "/" in name or len(name) > 100:
        raise Invalid(f"{name!r} cannot be an instance's name.", field="name")
    unknown = sorted(set(told) - FIELDS)
    if unknown:
        raise Invalid(f"{name}: unknown field {unknown[0]!r}; known are {', '.join(sorted(FIELDS))}.", field=unknown[0])
    version = told.get("spark_version")
    if version is not None:
        release_for(str(version), field=f"{name}: spark_version")
    return Wanted(
        name,
        parse_cpu(told["max_cores"], field=f"{name}: max_cores") if "max_cores" in told else None,
        parse_memory(told["max_memory"], field=f"{name}: max_memory") if "max_memory" in told else None,
        None if version is None else str(version),
        default_conf(told["default_configs"], schemes) if "default_configs" in told else None,
    )


def apply(ports: Ports, workspace: str, wanted: Wanted) -> dict[str, Any]:
    """Make one instance, or bring it to what is wanted."""
    known = _account(ports, workspace, wanted.name).maximum
    limited = wanted.cores is not None or wanted.memory is not None
    maximum = Amount(
        known.cores if wanted.cores is None else wanted.cores,
        known.memory if wanted.memory is None else wanted.memory,
        known.gpus,
        known.runs,
    )
    defaults: dict[str, Any] = {"spark_version": wanted.spark_version, "conf": wanted.conf}
    pools.ensure_pool(
        ports,
        workspace,
        wanted.name,
        maximum=maximum if limited else None,
        defaults={name: value for name, value in defaults.items() if value is not None},
    )
    return shown(ports, workspace, wanted.name)


def _account(ports: Ports, workspace: str, name: str) -> PoolAccount:
    try:
        return pools.get_pool(ports, _call(workspace), name).account
    except NotFound:
        return PoolAccount()


def _call(workspace: str) -> Call:
    return Call(Principal(workspace, "administrator", Role.ADMIN))


def shown(ports: Ports, workspace: str, name: str) -> dict[str, Any]:
    """An instance as an administrator sees it."""
    view = pools.get_pool(ports, _call(workspace), name)
    return {
        "name": name,
        "instance_id": instance_id(ports, workspace, name),
        "pool_number": named_id("pool", name),
        **limits_body(view.account.maximum),
        "spark_version": view.pool.spark_version or ports.settings.default_spark,
        "default_configs": dict(view.pool.conf),
    }


def create_instance(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Make an instance; one that exists is an error."""
    told = {"max_cores": args.cores, "max_memory": args.memory, "spark_version": args.spark_version}
    conf = dict(setting.partition("=")[::2] for setting in args.conf)
    wanted = wanted_of(
        {"name": args.name, **{name: value for name, value in told.items() if value}, "default_configs": conf},
        ports.settings.uri_schemes,
    )
    try:
        pools.get_pool(ports, _call(args.workspace), args.name)
    except NotFound:
        return apply(ports, args.workspace, wanted)
    raise AlreadyExists(f"Instance {args.name} exists in workspace {args.workspace}.", field="--name")


def show_instance(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """An instance with its id, quota and defaults."""
    return shown(ports, args.workspace, args.name)


def list_instances(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """The workspace's instances: its pools."""
    ledger_key = key(Ledger, ports.settings.cluster)
    ledger = ports.store.fetch([ledger_key]).get(ledger_key)
    names = sorted(pool for name in (ledger.pools if ledger else ()) for workspace, _, pool in [name.partition("/")]
                   if workspace == args.workspace)  # fmt: skip
    return {"instances": [shown(ports, args.workspace, name) for name in names]}


def apply_file(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Bring instances to what a file says."""
    try:
        told = json.loads(Path(args.file).read_text())
    except (OSError, ValueError) as error:
        raise Invalid(f"{args.file} cannot be read: {error}.", field="--file") from None
    entries = told.get("instances") if isinstance(told, dict) else None
    if not isinstance(entries, list):
        raise Invalid(f'{args.file} is not of the form {{"instances": […]}}.', field="--file")
    wanted = [wanted_of(entry, ports.settings.uri_schemes) for entry in entries]
    return {"instances": [apply(ports, args.workspace, one) for one in wanted]}


def add_to(subjects: Any, verb: Any) -> None:
    """Declare `instance` and its verbs; `verb` adds one with its handler."""
    instance = subjects.add_parser("instance", help="Analytics Engine's instances").add_subparsers(
        required=True, metavar="VERB"
    )
    create = verb(instance, "create", create_instance)
    create.add_argument("--name", required=True)
    create.add_argument("--cores", help="such as 20 or 1500m; without it, no limit")
    create.add_argument("--memory", help="such as 80Gi; without it, no limit")
    create.add_argument("--spark-version", help="of applications that name none; without it, the deployment's")
    create.add_argument("--conf", action="append", default=[], metavar="NAME=VALUE", help="a default")
    verb(instance, "show", show_instance).add_argument("--name", required=True)
    verb(instance, "list", list_instances)
    verb(instance, "apply", apply_file).add_argument("--file", required=True, help="JSON; see the module's help")
