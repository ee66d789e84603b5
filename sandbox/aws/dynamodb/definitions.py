"""Table definitions as JSON in the file, so that a restart finds the tables again.

What stands here is what moto's Table is made from, and the few things that change afterwards. A JSON body outlives a
change of moto's classes, which a pickle would not.
"""

import datetime
import json
import sqlite3
from typing import Any

from moto.dynamodb.models.table import StreamShard, Table

DEFINITION_VERSION = 1


def save(connection: sqlite3.Connection, table: Any) -> None:
    """Write a table's definition."""
    body = {
        "version": DEFINITION_VERSION,
        "arguments": {
            "schema": table.schema,
            "attr": table.attr,
            "throughput": table.throughput,
            "billing_mode": table.billing_mode,
            "indexes": [index.describe() for index in table.indexes],
            "global_indexes": [index.describe() for index in table.global_indexes],
            "streams": table.stream_specification,
            "sse_specification": table.sse_specification,
            "tags": table.tags,
            "deletion_protection_enabled": table.deletion_protection_enabled,
            "warm_throughput": table.warm_throughput,
        },
        "created_at": table.created_at.isoformat(),
        "ttl": table.ttl,
        "continuous_backups": table.continuous_backups,
        "stream_label": table.latest_stream_label,
        "stream_created_on": table.stream_shard.created_on.isoformat() if table.stream_shard else None,
    }
    connection.execute(
        "replace into definition(account,region,name,body) values(?,?,?,?)",
        (table.account_id, table.region_name, table.name, json.dumps(body)),
    )


def remove(connection: sqlite3.Connection, table: Any) -> None:
    connection.execute(
        "delete from definition where account=? and region=? and name=?",
        (table.account_id, table.region_name, table.name),
    )


def load(connection: sqlite3.Connection, account: str, region: str) -> list[Table]:
    """The tables of an account and region, as moto's objects."""
    found = connection.execute(
        "select name,body from definition where account=? and region=? order by name", (account, region)
    ).fetchall()
    return [_revive(name, account, region, json.loads(body)) for name, body in found]


def _revive(name: str, account: str, region: str, body: dict[str, Any]) -> Table:
    if body["version"] != DEFINITION_VERSION:
        raise ValueError(f"the definition of table {name} has version {body['version']}, not {DEFINITION_VERSION}")
    table = Table(name, account_id=account, region=region, **body["arguments"])  # type: ignore[abstract]
    table.created_at = datetime.datetime.fromisoformat(body["created_at"])
    table.ttl = body["ttl"]
    table.continuous_backups = body["continuous_backups"]
    table.latest_stream_label = body["stream_label"]
    if body["stream_created_on"]:
        table.stream_shard = StreamShard(account, table)
        table.stream_shard.created_on = datetime.datetime.fromisoformat(body["stream_created_on"])
    return table
