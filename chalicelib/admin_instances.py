"""Analytics Engine's instances from a shell: seed 002 has no endpoint that makes one. A part of `chalicelib.admin`.

    python -m chalicelib.admin instance create --name etl --cores 20 --memory 80Gi --spark-version 3.5
    python -m chalicelib.admin instance list
    python -m chalicelib.admin instance apply --file infra/instances.json

`apply` is for instances as code: `dialects.analytics_engine.declared` tells the file's form. Everything is checked
before anything is changed; what a file says replaces what an instance has, what it does not say stays, and instances
that it does not name are left alone. On AWS the stack does the same (`infra.instances`).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from chalicelib.admin_pools import settings_of
from chalicelib.core.errors import AlreadyExists, Invalid, NotFound
from chalicelib.core.model import Principal, Role
from chalicelib.dialects.analytics_engine.declared import all_wanted, entries_of, shown, wanted_of
from chalicelib.ports import Ports
from chalicelib.services import instances, pools
from chalicelib.services.access import Call


def _call(args: argparse.Namespace) -> Call:
    return Call(Principal(args.workspace, "administrator", Role.ADMIN))


def create_instance(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Make an instance; one that exists is an error."""
    told = {"max_cores": args.cores, "max_memory": args.memory, "spark_version": args.spark_version}
    conf = settings_of(args.conf)
    wanted = wanted_of(
        {"name": args.name, **{name: value for name, value in told.items() if value}, "default_configs": conf},
        ports.settings.uri_schemes,
    )
    try:
        pools.get_pool(ports, _call(args), args.name)
    except NotFound:
        return shown(ports, instances.apply(ports, _call(args), wanted))
    raise AlreadyExists(f"Instance {args.name} exists in workspace {args.workspace}.", field="--name")


def show_instance(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """An instance with its id, quota and defaults."""
    return shown(ports, pools.get_pool(ports, _call(args), args.name))


def list_instances(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """The workspace's instances: its pools."""
    return {"instances": [shown(ports, view) for view in pools.list_pools(ports, _call(args))]}


def apply_file(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Bring instances to what a file says."""
    try:
        wanted = all_wanted(entries_of(Path(args.file).read_text()), ports.settings.uri_schemes)
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{args.file} cannot be read: {error}.", field="--file") from None
    except Invalid as invalid:
        raise Invalid(f"{args.file}: {invalid.message}", field="--file") from None
    return {"instances": [shown(ports, instances.apply(ports, _call(args), one)) for one in wanted]}


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
