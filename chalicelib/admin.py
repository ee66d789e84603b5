"""The administrator's command: users, tokens, pools, instances and destinations of a deployment, from a shell.

    python -m chalicelib.admin user create --user alice --role user --password-stdin
    python -m chalicelib.admin token create --user alice --days 90
    python -m chalicelib.admin token revoke --token-stdin
    python -m chalicelib.admin pool set --pool etl --cores 64 --memory 256Gi --runs 8 --priority 10 --min-cores 16
    python -m chalicelib.admin pool show --pool etl
    python -m chalicelib.admin pool list
    python -m chalicelib.admin instance create --name etl --cores 20 --memory 80Gi
    python -m chalicelib.admin instance apply --file infra/instances.json
    python -m chalicelib.admin cluster limit --cores 512 --memory 4Ti
    python -m chalicelib.admin destination create --name pager --url https://hooks.example.com/spark

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
from typing import Any

from chalicelib import admin_destinations, admin_instances, admin_pools
from chalicelib.core.errors import SparkplaneError
from chalicelib.core.model import Role
from chalicelib.ports import Ports
from chalicelib.services import access
from chalicelib.wiring import ports as wired

DAY_MS = 86_400_000


def create_user(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Create a user; with a password from standard input if asked."""
    password = sys.stdin.readline().rstrip("\n") if args.password_stdin else ""
    user = access.create_user(ports, args.workspace, args.user, Role(args.role), password)
    return {"workspace": user.workspace, "user": user.name, "role": user.role}


def delete_user(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Remove a user with its tokens; what it made stays."""
    access.delete_user(ports, args.workspace, args.user)
    return {"workspace": args.workspace, "deleted": args.user}


def create_token(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Issue a token; its text is in the answer and nowhere else."""
    text = access.create_token(ports, args.workspace, args.user, ttl_ms=args.days * DAY_MS, label=args.label)
    return {"workspace": args.workspace, "user": args.user, "token": text}


def revoke_token(ports: Ports, args: argparse.Namespace) -> dict[str, Any]:
    """Revoke the token whose text is on standard input."""
    access.revoke_token(ports, args.workspace, sys.stdin.readline().strip())
    return {"revoked": True}


def parser() -> argparse.ArgumentParser:
    """The command's grammar."""
    root = argparse.ArgumentParser(prog="sparkplane-admin", description="Administer a Sparkplane deployment.")
    root.add_argument("--workspace", default=os.environ.get("SPARKPLANE_WORKSPACE", "main"))
    subjects = root.add_subparsers(required=True, metavar="SUBJECT")

    user = subjects.add_parser("user", help="who may call").add_subparsers(required=True, metavar="VERB")
    create = _verb(user, "create", create_user)
    create.add_argument("--user", required=True)
    create.add_argument("--role", choices=[role.value for role in Role], default="user")
    create.add_argument("--password-stdin", action="store_true")
    _verb(user, "delete", delete_user).add_argument("--user", required=True)

    token = subjects.add_parser("token", help="credentials of users").add_subparsers(required=True, metavar="VERB")
    issue = _verb(token, "create", create_token)
    issue.add_argument("--user", required=True)
    issue.add_argument("--days", type=int, default=0, help="0 is for ever")
    issue.add_argument("--label", default="")
    _verb(token, "revoke", revoke_token).add_argument("--token-stdin", action="store_true", required=True)

    admin_pools.add_to(subjects, _verb)
    admin_destinations.add_to(subjects, _verb)
    admin_instances.add_to(subjects, _verb)
    return root


def _verb(subject: Any, name: str, handler: Any) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = subject.add_parser(name, help=handler.__doc__)
    verb.set_defaults(handler=handler)
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
