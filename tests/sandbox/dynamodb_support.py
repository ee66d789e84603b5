"""What the tests of the sandbox's DynamoDB share: a table, a clock, and short ways to write attribute values."""

from __future__ import annotations

import contextlib
import functools
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from moto import mock_aws

from sandbox.aws.dynamodb import Installed, install

REGION = "us-east-1"
VIEW = "NEW_AND_OLD_IMAGES"


class Clock:
    """Epoch seconds that a test sets."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class Database:
    """An installed storage, a client of it, and the clock it reads."""

    client: Any
    installed: Installed
    clock: Clock
    path: pathlib.Path

    def restart(self) -> None:
        """As after the end of the process: nothing but the file is left."""
        self.installed.close()
        self.installed = install(self.path, sync="off", clock=self.clock)

    def records(self, table: str = "T", after: int = 0) -> list[dict[str, Any]]:
        return [record for _, record in self.installed.read_records(table, after, 10_000)]


@functools.cache
def session() -> Any:
    """One for all tests: it keeps the service models, which take longer to read than a test to run."""
    return boto3.Session(region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x")


@functools.cache
def new_client(endpoint: str | None = None, validate: bool = True) -> Any:
    """A client of DynamoDB; `validate=False` leaves all validation to the service."""
    return session().client("dynamodb", endpoint_url=endpoint, config=Config(parameter_validation=validate))


@contextlib.contextmanager
def database(directory: pathlib.Path) -> Iterator[Database]:
    path, clock = directory / "dynamodb.sqlite", Clock()
    with mock_aws():
        installed = install(path, sync="off", clock=clock)
        opened = Database(new_client(), installed, clock, path)
        try:
            yield opened
        finally:
            opened.installed.close()


def s(value: str) -> dict[str, str]:
    return {"S": value}


def n(value: float | str) -> dict[str, str]:
    return {"N": str(value)}


def key(p: str, r: float | str = 0) -> dict[str, Any]:
    return {"p": s(p), "r": n(r)}


def gsi(
    name: str, hash_name: str, range_name: str | None = None, projection: dict[str, Any] | None = None
) -> dict[str, Any]:
    schema = [{"AttributeName": hash_name, "KeyType": "HASH"}]
    if range_name:
        schema.append({"AttributeName": range_name, "KeyType": "RANGE"})
    return {"IndexName": name, "KeySchema": schema, "Projection": projection or {"ProjectionType": "ALL"}}


def create(
    client: Any,
    name: str = "T",
    *,
    indexes: tuple[dict[str, Any], ...] = (),
    range_key: bool = True,
    local: tuple[dict[str, Any], ...] = (),
    stream: bool = True,
    **kinds: str,
) -> None:
    """A table with the string key `p` and the number key `r`; `kinds` are the types of further key attributes."""
    attributes = {"p": "S", **({"r": "N"} if range_key else {}), **kinds}
    schema = [{"AttributeName": "p", "KeyType": "HASH"}]
    if range_key:
        schema.append({"AttributeName": "r", "KeyType": "RANGE"})
    more: dict[str, Any] = {"GlobalSecondaryIndexes": list(indexes)} if indexes else {}
    if local:
        more["LocalSecondaryIndexes"] = list(local)
    if stream:
        more["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": VIEW}
    client.create_table(
        TableName=name,
        KeySchema=schema,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": k, "AttributeType": v} for k, v in attributes.items()],
        **more,
    )
