"""Destinations of notifications from a shell. A part of `chalicelib.admin`.

    python -m chalicelib.admin destination create --name pager --url https://hooks.example.com/spark
    python -m chalicelib.admin destination list
    python -m chalicelib.admin destination delete --id bf2fbd0a-4a05-4300-98a5-303fc8132233

What is created has a secret that signs what is sent there; it is printed once.
"""

from __future__ import annotations

import argparse
from typing import Any

from chalicelib.core.model import Destination, Principal, Role
from chalicelib.ports import Ports
from chalicelib.services import destinations
from chalicelib.services.access import Call


def create_destination(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Make a destination for notifications; the secret that signs them is in the answer and nowhere else."""
    made, secret = destinations.create_destination(ports, _call(args), args.name, args.url)
    return {**_shown(made), "signing_secret": secret}


def list_destinations(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """All destinations of the workspace."""
    found = destinations.list_destinations(ports, _call(args))
    return {"workspace": args.workspace, "destinations": [_shown(one) for one in found]}


def delete_destination(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Remove a destination; what is still to be sent there is given up."""
    destinations.delete_destination(ports, _call(args), args.id)
    return {"deleted": args.id}


def _call(args: argparse.Namespace) -> Call:
    return Call(Principal(args.workspace, "administrator", Role.ADMIN))


def _shown(one: Destination) -> dict[str, Any]:
    return {"id": one.id, "name": one.name, "url": one.url}


def add_to(subjects: Any, verb: Any) -> None:
    """Declare `destination` and its verbs; `verb` adds one with its handler."""
    destination = subjects.add_parser("destination", help="where notifications are posted").add_subparsers(
        required=True, metavar="VERB"
    )
    create = verb(destination, "create", create_destination)
    create.add_argument("--name", required=True)
    create.add_argument("--url", required=True)
    verb(destination, "list", list_destinations)
    verb(destination, "delete", delete_destination).add_argument("--id", required=True)
