"""Pools and the cluster's total from a shell. A part of `chalicelib.admin`.

    python -m chalicelib.admin pool set --pool etl --cores 64 --memory 256Gi --gpus 4 --runs 8 --priority 10
    python -m chalicelib.admin pool set --pool etl --min-cores 16 --app-cores 32 --memory unlimited
    python -m chalicelib.admin pool show --pool etl
    python -m chalicelib.admin pool list
    python -m chalicelib.admin pool set --pool etl --scheduler yunikorn --queue root.etl
    python -m chalicelib.admin cluster limit --cores 512 --memory 4Ti
    python -m chalicelib.admin cluster show

Three groups of limits, each in cores, memory and GPUs: what all runs of a pool may hold together (`--cores`, also
`--max-cores`, and so on; `--runs` is how many), what it is guaranteed (`--min-cores`…; 0 is nothing) and what one run
may ask (`--app-cores`…). `unlimited` removes a limit; what is not given stays.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from chalicelib.core.capacity import DIMENSIONS, UNLIMITED, Amount, PoolAccount, in_words
from chalicelib.core.conf import check_name
from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.model import Placement, Pool, Principal, Role
from chalicelib.core.quantities import memory_with_unit, parse_cpu
from chalicelib.core.spark import SCHEDULERS, check_placement, release_for
from chalicelib.dialects.analytics_engine.mapping import default_conf
from chalicelib.ports import Ports
from chalicelib.services import access, pools
from chalicelib.services.pools import instance_id
from chalicelib.wiring import limit_virtual_cluster

MAXIMUM, MINIMUM, APPLICATION = "max", "min", "app"

MOST_JOB_RUNS = 1000
"""The highest limit of concurrent job runs that EMR on EKS takes for a virtual cluster."""

_HELP: Mapping[str, str] = {
    MAXIMUM: "what its runs may hold together",
    MINIMUM: "what it is guaranteed while it has somebody waiting",
    APPLICATION: "what one run may ask",
}


def set_pool(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Create a pool or change its limits; what is not given stays."""
    known = _known(ports, args)
    now = known.account
    maximum, minimum, application = (
        _limits(args, group, limits)
        for group, limits in ((MAXIMUM, now.maximum), (MINIMUM, now.minimum), (APPLICATION, now.application))
    )
    _check(replace(now, maximum=maximum, minimum=minimum))
    defaults = _defaults(ports, args, known.pool)
    if args.limit_virtual_cluster:
        placement = defaults.get("placement", known.pool.placement)
        _hand_over(placement.virtual_cluster, maximum.runs)
    pools.ensure_pool(
        ports,
        args.workspace,
        args.pool,
        maximum=maximum if maximum != now.maximum else None,
        minimum=minimum if minimum != now.minimum else None,
        application=application if application != now.application else None,
        priority=args.priority,
        defaults=defaults,
    )
    return show_pool(ports, args)


def _hand_over(cluster: str, runs: int) -> None:
    """Give the pool's number of runs to its own virtual cluster as well. Raises Invalid."""
    field = "--limit-virtual-cluster"
    if not cluster:
        raise Invalid("Only a pool with a virtual cluster of its own (--virtual-cluster) can limit it.", field=field)
    if not 1 <= runs <= MOST_JOB_RUNS:
        raise Invalid(f"{field}: a virtual cluster takes a limit of 1 to {MOST_JOB_RUNS} (--runs).", field=field)
    limit_virtual_cluster(cluster, runs)


def _check(account: PoolAccount) -> None:
    """Refuse a guarantee that the pool's own limit makes void."""
    for dimension in DIMENSIONS:
        least, most = getattr(account.minimum, dimension), getattr(account.maximum, dimension)
        if least > most:
            told = (
                f"the minimum of {in_words(dimension, least)} is more than the maximum of {in_words(dimension, most)}"
            )
            raise Invalid(f"--min-{dimension}: {told}.", field=f"--min-{dimension}")


def _known(ports: Ports, args: argparse.Namespace) -> pools.PoolView:
    """The pool as it is, or as a new one begins."""
    pools.check_pool_name(args.pool, field="--pool")
    try:
        return pools.get_pool(ports, _call(args), args.pool)
    except NotFound:
        return pools.PoolView(Pool(args.workspace, args.pool, 0), PoolAccount())


def settings_of(texts: Sequence[str]) -> dict[str, str]:
    """The settings in texts of the form NAME=VALUE. Raises Invalid."""
    told: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise Invalid(f"--conf: {text!r} is not of the form NAME=VALUE.", field="--conf")
        check_name(name, field="--conf")
        told[name] = value
    return told


def _defaults(ports: Ports, args: argparse.Namespace, pool: Pool) -> dict[str, Any]:
    """What is given of a pool's own fields; a setting without a value is taken out of its conf."""
    told = {field.name: getattr(args, field.name) for field in fields(Placement)}
    placed = {name: value for name, value in told.items() if value is not None}
    check_placement(replace(pool.placement, **placed))
    conf = {name: value for name, value in {**pool.conf, **settings_of(args.conf)}.items() if value}
    if args.conf:
        default_conf(conf, ports.settings.uri_schemes, field="--conf")
    if args.spark_version:
        release_for(args.spark_version, field="--spark-version")
    return {
        **({"placement": replace(pool.placement, **placed)} if placed else {}),
        **({"conf": conf} if args.conf else {}),
        **({"spark_version": args.spark_version} if args.spark_version is not None else {}),
    }


def _call(args: argparse.Namespace) -> access.Call:
    return access.Call(Principal(args.workspace, "administrator", Role.ADMIN))


def _limits(args: argparse.Namespace, group: str, now: Amount) -> Amount:
    """A group of limits with what is given of it. Raises Invalid."""
    told = {name: getattr(args, f"{group}_{name}", None) for name in DIMENSIONS}
    return replace(now, **{name: _limit(name, text, group) for name, text in told.items() if text is not None})


def _limit(dimension: str, text: str, group: str) -> int:
    field = f"--{dimension}" if group == MAXIMUM else f"--{group}-{dimension}"
    if text == "unlimited" and group != MINIMUM:
        return UNLIMITED
    if text == "0":
        return 0
    if dimension == "cores":
        return parse_cpu(text, field=field)
    if dimension == "memory":
        return memory_with_unit(text, field=field)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid(f"{field}: {text!r} is not a whole number.", field=field)
    return int(text)


def show_pool(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """A pool with its limits, what runs and waits in it, its defaults, and its Analytics Engine instance id."""
    view = pools.get_pool(ports, _call(args), args.pool)
    return {"workspace": args.workspace, **_shown(ports, view)}


def list_pools(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """The workspace's pools, each as `pool show` tells it."""
    views = pools.list_pools(ports, _call(args))
    return {"workspace": args.workspace, "pools": [_shown(ports, view) for view in views]}


def _shown(ports: Ports, view: pools.PoolView) -> dict[str, Any]:
    pool, account = view.pool, view.account
    waiting = pools.queued(ports, pool.workspace, pool.name)
    return {
        "pool": pool.name,
        "analytics_engine": instance_id(ports, pool.workspace, pool.name),
        "priority": account.priority,
        "running": account.used.runs,
        "queued": waiting.runs,
        "used": _amount(account.used),
        "asked": _amount(waiting),
        "maximum": _amount(account.maximum),
        "minimum": _amount(account.minimum),
        "application_maximum": _amount(account.application),
        "spark_version": pool.spark_version or ports.settings.default_spark,
        "conf": dict(pool.conf),
        **asdict(pool.placement),
    }


def _amount(amount: Amount) -> dict[str, Any]:
    told = {
        "cores": amount.cores / 1000,
        "memory_gib": amount.memory / 1024,
        "gpus": amount.gpus,
        "runs": amount.runs,
    }
    limits = dict(zip(told, amount.vector(), strict=True))
    return {name: "unlimited" if limits[name] >= UNLIMITED else value for name, value in told.items()}


def limit_cluster(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Set what all pools together may hold; what is not given stays."""
    now = pools.cluster_total(ports)
    total = _limits(args, MAXIMUM, now)
    if total != now:
        pools.limit_cluster(ports, args.workspace, total)
    return show_cluster(ports, args)


def show_cluster(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """What all pools together may hold."""
    return {"cluster": ports.settings.cluster, "total": _amount(pools.cluster_total(ports))}


def add_to(subjects: Any, verb: Any) -> None:
    """Declare `pool` and `cluster` and their verbs; `verb` adds one with its handler."""
    pool = subjects.add_parser("pool", help="capacity with limits and defaults").add_subparsers(
        required=True, metavar="VERB"
    )
    change = verb(pool, "set", set_pool)
    change.add_argument("--pool", required=True)
    _add_limits(change)
    for group in (MINIMUM, APPLICATION):
        for dimension in DIMENSIONS:
            if (group, dimension) != (APPLICATION, "runs"):
                change.add_argument(f"--{group}-{dimension}", metavar="AMOUNT", help=_HELP[group])
    change.add_argument("--priority", type=int, help="higher goes first")
    change.add_argument("--spark-version", help="of runs that name none; empty for the deployment's")
    change.add_argument("--conf", action="append", default=[], metavar="NAME=VALUE", help="a default; NAME= unsets it")
    change.add_argument("--virtual-cluster", help="EMR virtual cluster id; empty for the deployment's")
    change.add_argument(
        "--limit-virtual-cluster",
        action="store_true",
        help="give --runs to the pool's own virtual cluster as its limit",
    )
    change.add_argument("--execution-role", help="ARN of the drivers' role; empty for the deployment's")
    change.add_argument("--scheduler", choices=["", *SCHEDULERS], help="the cluster's batch scheduler; empty for none")
    change.add_argument("--queue", help="the queue of that scheduler, such as root.etl; empty for none")
    change.add_argument("--pod-group", help="volcano: the template of a run's pod group; empty for none")
    verb(pool, "show", show_pool).add_argument("--pool", required=True)
    verb(pool, "list", list_pools)
    cluster = subjects.add_parser("cluster", help="all pools together").add_subparsers(required=True, metavar="VERB")
    _add_limits(verb(cluster, "limit", limit_cluster))
    verb(cluster, "show", show_cluster)


def _add_limits(verb: argparse.ArgumentParser) -> None:
    examples = {"cores": "64 or 500m", "memory": "256Gi", "gpus": "4", "runs": "8"}
    for dimension in DIMENSIONS:
        verb.add_argument(
            f"--{dimension}",
            f"--max-{dimension}",
            dest=f"{MAXIMUM}_{dimension}",
            metavar="AMOUNT",
            help=f"{_HELP[MAXIMUM]}: such as {examples[dimension]}",
        )
