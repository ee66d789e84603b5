"""ClientRequestToken: a transaction that is sent twice with one token within ten minutes is applied once.

moto applies it twice. The token is written in the transaction of the changes, so it is known exactly when they are;
a cancelled transaction leaves none. SDKs put a token into every TransactWriteItems, and repeat it in their retries.
"""

import hashlib
import json
from typing import Any

from moto.dynamodb.exceptions import ERROR_TYPE_PREFIX, DynamodbException
from moto.dynamodb.models.dynamo_type import DynamoType

from sandbox.aws.dynamodb.layout import layout_of
from sandbox.aws.dynamodb.storage import Unit

REMEMBERED_SECONDS = 600


class IdempotentParameterMismatch(DynamodbException):
    """One token with two different requests."""

    def __init__(self) -> None:
        super().__init__(
            ERROR_TYPE_PREFIX + "IdempotentParameterMismatchException",
            "The request uses the same client token as a previous, but non-identical request.",
        )


def is_replay(unit: Unit, account: str, region: str, body: dict[str, Any]) -> bool:
    """True when this transaction is done already; otherwise remember its token with the changes to come."""
    token = body.get("ClientRequestToken")
    if not token:
        return False
    request = hashlib.sha256(json.dumps(body["TransactItems"], sort_keys=True, default=repr).encode()).hexdigest()
    known = unit.connection.execute(
        "select request from token where account=? and region=? and token=? and at>?",
        (account, region, token, unit.now - REMEMBERED_SECONDS),
    ).fetchone()
    if known is None:
        unit.connection.execute("replace into token values(?,?,?,?,?)", (account, region, token, request, unit.now))
        return False
    if known[0] != request:
        raise IdempotentParameterMismatch
    return True


def read_again(unit: Unit, tables: Any, body: dict[str, Any]) -> None:
    """A replay is charged as reads of its items, which is how a caller can tell it."""
    for action in body["TransactItems"]:
        ((kind, operation),) = action.items()
        layout = layout_of(tables(operation["TableName"]))
        values = operation["Item" if kind == "Put" else "Key"]
        pair = [DynamoType(values[name]) for name in layout.key_names]
        row = unit.row(layout, pair[0], pair[1] if len(pair) > 1 else None)
        unit.reads.append((layout, None, row.stored_size))


def forget_old(unit: Unit) -> None:
    unit.connection.execute("delete from token where at<=?", (unit.now - REMEMBERED_SECONDS,))
