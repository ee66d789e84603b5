"""The administrator's command: users, tokens, pools and instances of a deployment, from a shell.

    python -m chalicelib.admin user create --user alice --role user --password-stdin
    python -m chalicelib.admin token create --user alice --days 90
    python -m chalicelib.admin token revoke --token-stdin
    python -m chalicelib.admin pool set --pool etl --cores 64 --memory 256Gi --runs 8 --priority 10
    python -m chalicelib.admin pool show --pool etl
    python -m chalicelib.admin instance create --name etl --cores 20 --memory 80Gi
    python -m chalicelib.admin instance apply --file infra/instances.json
    python -m chalicelib.admin cluster limit --cores 512 --memory 4Ti

It works on the table directly, with the caller's AWS credentials and the environment that `wiring` reads; on AWS that
is the stack's outputs, for a sandbox `<home>/aws.env`. Secrets are read from standard input, never from arguments;
a token's text is printed once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from chalicelib import admin_instances
from chalicelib.core.capacity import EVERYTHING, UNLIMITED, Amount, PoolAccount
from chalicelib.core.errors import NotFound, SparkplaneError
from chalicelib.core.model import Pool, Principal, Role
from chalicelib.core.quantities import parse_cpu, parse_memory
from chalicelib.core.spark import check_conf, release_for
from chalicelib.dialects.analytics_engine.routes import instance_id
from chalicelib.ports import Ports
from chalicelib.services import access, pools
from chalicelib.wiring import ports as wired

DAY_MS = 86_400_000


def create_user(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Create a user; with a password from standard input if asked."""
    password = sys.stdin.readline().rstrip("\n") if args.password_stdin else ""
    user = access.create_user(ports, args.workspace, args.user, Role(args.role), password)
    return {"workspace": user.workspace, "user": user.name, "role": user.role}


def create_token(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Issue a token; its text is in the answer and nowhere else."""
    text = access.create_token(ports, args.workspace, args.user, ttl_ms=args.days * DAY_MS, label=args.label)
    return {"workspace": args.workspace, "user": args.user, "token": text}


def revoke_token(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Revoke the token whose text is on standard input."""
    access.revoke_token(ports, args.workspace, sys.stdin.readline().strip())
    return {"revoked": True}


def set_pool(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Create a pool or change its limits; what is not given stays."""
    known = _known(ports, args)
    maximum = None
    if any(value is not None for value in (args.cores, args.memory, args.gpus, args.runs)):
        maximum = _limits(args, known.account.maximum)
    pools.ensure_pool(
        ports,
        args.workspace,
        args.pool,
        maximum=maximum,
        priority=args.priority,
        defaults=_defaults(args, known.pool),
    )
    return show_pool(ports, args)


def _known(ports: Ports, args: argparse.Namespace) -> pools.PoolView:
    """The pool as it is, or as a new one begins."""
    try:
        return pools.get_pool(ports, _call(args), args.pool)
    except NotFound:
        return pools.PoolView(Pool(args.workspace, args.pool, 0), PoolAccount())


def _defaults(args: argparse.Namespace, pool: Pool) -> dict[str, Any]:
    """What is given of a pool's own fields; a setting without a value is taken out of its conf."""
    told = {"virtual_cluster": args.virtual_cluster, "execution_role": args.execution_role}
    placed = {name: value for name, value in told.items() if value is not None}
    conf = {**pool.conf, **dict(setting.partition("=")[::2] for setting in args.conf)}
    check_conf(conf, field="--conf")
    if args.spark_version:
        release_for(args.spark_version, field="--spark-version")
    return {
        **({"placement": replace(pool.placement, **placed)} if placed else {}),
        **({"conf": {name: value for name, value in conf.items() if value}} if args.conf else {}),
        **({"spark_version": args.spark_version} if args.spark_version is not None else {}),
    }


def _call(args: argparse.Namespace) -> access.Call:
    return access.Call(Principal(args.workspace, "administrator", Role.ADMIN))


def _limits(args: argparse.Namespace, now: Amount) -> Amount:
    return Amount(
        cores=parse_cpu(args.cores, field="--cores") if args.cores is not None else now.cores,
        memory=parse_memory(args.memory, field="--memory") if args.memory is not None else now.memory,
        gpus=args.gpus if args.gpus is not None else now.gpus,
        runs=args.runs if args.runs is not None else now.runs,
    )


def show_pool(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """A pool with its limits, what it uses, and its Analytics Engine instance id."""
    view = pools.get_pool(ports, _call(args), args.pool)
    return {
        "workspace": args.workspace,
        "pool": args.pool,
        "analytics_engine": instance_id(ports, args.workspace, args.pool),
        "priority": view.account.priority,
        "spark_version": view.pool.spark_version or ports.settings.default_spark,
        "conf": dict(view.pool.conf),
        "maximum": _shown(view.account.maximum),
        "used": _shown(view.account.used),
    }


def _shown(amount: Amount) -> dict[str, Any]:
    told = {
        "cores": amount.cores / 1000,
        "memory_gib": amount.memory / 1024,
        "gpus": amount.gpus,
        "runs": amount.runs,
    }
    limits = dict(zip(told, amount.vector(), strict=True))
    return {name: "unlimited" if limits[name] >= UNLIMITED else value for name, value in told.items()}


def limit_cluster(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Set what all pools together may hold; what is not given is unlimited."""
    total = _limits(args, EVERYTHING)
    pools.limit_cluster(ports, args.workspace, total)
    return {"cluster": ports.settings.cluster, "total": _shown(total)}


def parser() -> argparse.ArgumentParser:
    """The command's grammar."""
    root = argparse.ArgumentParser(prog="sparkplane-admin", description="Administer a Sparkplane deployment.")
    root.add_argument("--workspace", default=os.environ.get("SPARKPLANE_WORKSPACE", "main"))
    subjects = root.add_subparsers(required=True, metavar="SUBJECT")

    user = subjects.add_parser("user").add_subparsers(required=True, metavar="VERB")
    create = _verb(user, "create", create_user)
    create.add_argument("--user", required=True)
    create.add_argument("--role", choices=[role.value for role in Role], default="user")
    create.add_argument("--password-stdin", action="store_true")

    token = subjects.add_parser("token").add_subparsers(required=True, metavar="VERB")
    issue = _verb(token, "create", create_token)
    issue.add_argument("--user", required=True)
    issue.add_argument("--days", type=int, default=0, help="0 is for ever")
    issue.add_argument("--label", default="")
    _verb(token, "revoke", revoke_token).add_argument("--token-stdin", action="store_true", required=True)

    pool = subjects.add_parser("pool").add_subparsers(required=True, metavar="VERB")
    for name, handler in (("set", set_pool), ("show", show_pool)):
        _verb(pool, name, handler).add_argument("--pool", required=True)
    limited = _with_limits(pool.choices["set"])
    limited.add_argument("--priority", type=int)
    limited.add_argument("--spark-version", help="of runs that name none; empty for the deployment's")
    limited.add_argument("--conf", action="append", default=[], metavar="NAME=VALUE", help="a default; NAME= unsets it")
    limited.add_argument("--virtual-cluster", help="EMR virtual cluster id; empty for the deployment's")
    limited.add_argument("--execution-role", help="ARN of the drivers' role; empty for the deployment's")

    admin_instances.add_to(subjects, _verb)

    cluster = subjects.add_parser("cluster").add_subparsers(required=True, metavar="VERB")
    _with_limits(_verb(cluster, "limit", limit_cluster))
    return root


def _verb(subject: Any, name: str, handler: Any) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = subject.add_parser(name, help=handler.__doc__)
    verb.set_defaults(handler=handler)
    return verb


def _with_limits(verb: argparse.ArgumentParser) -> argparse.ArgumentParser:
    verb.add_argument("--cores", help="such as 64 or 500m")
    verb.add_argument("--memory", help="such as 256Gi")
    verb.add_argument("--gpus", type=int)
    verb.add_argument("--runs", type=int, help="drivers at once")
    return verb


def main(arguments: Sequence[str]) -> int:
    """Run the command: its answer as JSON on standard output. Returns the exit code."""
    args = parser().parse_args(arguments)
    try:
        print(json.dumps(args.handler(wired(), args), indent=2))
    except SparkplaneError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
