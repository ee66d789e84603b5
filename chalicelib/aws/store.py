"""The Store port on DynamoDB, laid out as `table` says."""

from __future__ import annotations

import base64
import json
import random
import time
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from chalicelib.aws.clients import client
from chalicelib.aws.codec import decode, encode
from chalicelib.aws.table import INDEXED, SORT, TTL, TYPES, expiry, item_key, list_partition, stream_facts
from chalicelib.core.capacity import DIMENSIONS, Amount, Ledger, PoolAccount
from chalicelib.core.model import Run
from chalicelib.ports import (
    Blobs,
    Change,
    Check,
    Clash,
    Delete,
    Key,
    Listing,
    Page,
    Put,
    Record,
    Release,
    key,
    key_at,
    key_of,
    position,
)

BATCH = 100
INLINE = 24_000
"""Bytes of a record's JSON that stay in the item. Indexes repeat the item, so a larger one goes to S3."""

BUSY_RETRIES = 8

_KEPT = ("policy", "notifications")
"""Parts of a large spec that stay in the item: they may change, and the stream's readers need them."""

Item = dict[str, dict[str, Any]]


class DynamoStore:
    """Records in one table; bodies over INLINE in `blobs`."""

    def __init__(self, table: str, blobs: Blobs, retention_days: int) -> None:
        self._table = table
        self._blobs = blobs
        self._retention = retention_days

    def fetch(self, keys: Collection[Key]) -> dict[Key, Any]:
        """See Store.fetch."""
        wanted = {item_key(k): k for k in keys}
        names = list(wanted)
        found: dict[Key, Any] = {}
        for start in range(0, len(names), BATCH):
            found |= self._fetch_batch({name: wanted[name] for name in names[start : start + BATCH]})
        return found

    def _fetch_batch(self, wanted: Mapping[tuple[str, str], Key]) -> dict[Key, Any]:
        if len(wanted) == 1:
            ((pk, sk),) = wanted
            answer = client("dynamodb").get_item(TableName=self._table, Key=_key(pk, sk), ConsistentRead=True)
            items = [answer["Item"]] if "Item" in answer else []
        else:
            items = self._batch_get([_key(pk, sk) for pk, sk in wanted])
        return {wanted[item["pk"]["S"], item["sk"]["S"]]: self._decode(item) for item in items}

    def _batch_get(self, keys: list[Item]) -> list[Item]:
        items: list[Item] = []
        asked: dict[str, Any] = {self._table: {"Keys": keys, "ConsistentRead": True}}
        for attempt in range(BUSY_RETRIES):
            answer = client("dynamodb").batch_get_item(RequestItems=asked)
            items += answer["Responses"].get(self._table, [])
            asked = answer.get("UnprocessedKeys") or {}
            if not asked:
                return items
            _pause(attempt)
        raise TimeoutError("DynamoDB did not answer all keys of a batch.")

    def commit(self, changes: Sequence[Change]) -> None:
        """See Store.commit. A write that meets another one is tried again; only a failed condition is a Clash."""
        requests = [self._request(change) for change in changes]
        keys = [_subject(change) for change in changes]
        for attempt in range(BUSY_RETRIES):
            failed = _write_one(requests[0], keys) if len(requests) == 1 else _write_all(requests, keys)
            if failed is None:
                return
            if failed:
                raise Clash(failed)
            _pause(attempt)
        raise Clash(keys)

    def _request(self, change: Change) -> dict[str, Any]:
        if isinstance(change, Put):
            return {"Put": self._put(change.record)}
        if isinstance(change, Delete):
            pk, sk = item_key(key_of(change.record))
            return {"Delete": {"TableName": self._table, "Key": _key(pk, sk), **_expect(change.record.version)}}
        if isinstance(change, Check):
            pk, sk = item_key(key_of(change.record))
            return {"ConditionCheck": {"TableName": self._table, "Key": _key(pk, sk), **_expect(change.record.version)}}
        return {"Update": self._release(change)}

    def _put(self, record: Record) -> dict[str, Any]:
        pk, sk = item_key(key_of(record))
        after = replace(record, version=record.version + 1)
        item: Item = {
            **_key(pk, sk),
            "kind": {"S": type(record).__name__},
            "version": {"N": str(after.version)},
            **{name: {"S": value} for name, value in stream_facts(record).items()},
        }
        if type(record) in INDEXED:
            item |= {name: {"S": value} for name, value in INDEXED[type(record)](record).items()}
        if expires := expiry(record, self._retention):
            item[TTL] = {"N": str(expires)}
        if isinstance(record, Ledger):
            item |= _ledger_attributes(record)
        else:
            item |= _packed(after, self._document(after))
        return {"TableName": self._table, "Item": item, **_expect(record.version)}

    def _document(self, record: Record) -> str:
        """The record's JSON; of a run whose spec is large, with the spec in a blob of its own."""
        data = encode(record)
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        if len(text) <= INLINE or not isinstance(record, Run):
            return text
        name = f"{record.workspace}/runs/{record.id}/spec.json"
        if record.version == 1:
            self._blobs.put(name, json.dumps(data["spec"], ensure_ascii=False).encode(), "application/json")
        slim = {
            "name": record.spec.name,
            "pool": record.spec.pool,
            "kind": record.spec.kind,
            "program": {"kind": record.spec.program.kind},
            **{part: data["spec"].get(part, {}) for part in _KEPT},
        }
        return json.dumps({**data, "spec": slim, "spec_in": name}, separators=(",", ":"), ensure_ascii=False)

    def _release(self, change: Release) -> dict[str, Any]:
        """Usage is kept as one number attribute a pool and dimension, so that a release needs no read."""
        pk, sk = item_key(key(Ledger, change.cluster))
        names = {f"#u{i}": f"used/{d}/{change.pool}" for i, d in enumerate(DIMENSIONS)}
        values = {f":u{i}": {"N": str(-getattr(change.amount, d))} for i, d in enumerate(DIMENSIONS)}
        adds = ", ".join(f"#u{i} :u{i}" for i in range(len(DIMENSIONS)))
        return {
            "TableName": self._table,
            "Key": _key(pk, sk),
            "UpdateExpression": f"ADD {adds}, version :one",
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {**values, ":one": {"N": "1"}},
        }

    def page(self, listing: Listing, *, limit: int, after: str = "", newest_first: bool = True) -> Page:
        """See Store.page."""
        index, partition, prefix = list_partition(listing)
        sort = SORT if index else "sk"
        request: dict[str, Any] = {
            "TableName": self._table,
            "Limit": limit,
            "ScanIndexForward": not newest_first,
            "ExpressionAttributeNames": {"#p": index or "pk"},
            "ExpressionAttributeValues": {":p": {"S": partition}},
            "KeyConditionExpression": "#p = :p",
            **({"IndexName": index} if index else {"ConsistentRead": True}),
        }
        if prefix:
            request["ExpressionAttributeNames"]["#s"] = sort
            request["ExpressionAttributeValues"][":s"] = {"S": prefix}
            request["KeyConditionExpression"] += " and begins_with(#s, :s)"
        if after:
            request["ExclusiveStartKey"] = self._start(listing, index, partition, prefix + after)
        answer = client("dynamodb").query(**request)
        records = tuple(self._decode(item) for item in answer["Items"])
        more = "LastEvaluatedKey" in answer and bool(records)
        return Page(records, position(listing, records[-1]) if more else "")

    def _start(self, listing: Listing, index: str, partition: str, sort: str) -> Item:
        if not index:
            return _key(partition, sort)
        pk, sk = item_key(key_at(listing, sort))
        return {index: {"S": partition}, SORT: {"S": sort}, **_key(pk, sk)}

    def _decode(self, item: Item) -> Any:
        return record_of(item, self._blobs)


def _write_one(request: dict[str, Any], keys: list[Key]) -> list[Key] | None:
    """One change, without a transaction, which would cost twice the units. Answers as `_write_all` does."""
    dynamodb = client("dynamodb")
    writes = {"Put": dynamodb.put_item, "Delete": dynamodb.delete_item, "Update": dynamodb.update_item}
    ((verb, arguments),) = request.items()
    try:
        writes[verb](**arguments)
        return None
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return keys
    except dynamodb.exceptions.TransactionConflictException:
        return []


def _write_all(requests: list[dict[str, Any]], keys: list[Key]) -> list[Key] | None:
    """All changes or none. None when they are written, else the keys whose condition failed; none of them when it was
    only busy."""
    dynamodb = client("dynamodb")
    try:
        dynamodb.transact_write_items(TransactItems=requests)
        return None
    except dynamodb.exceptions.TransactionCanceledException as cancelled:
        codes = [reason.get("Code") for reason in cancelled.response.get("CancellationReasons", [])]
        failed = [k for k, code in zip(keys, codes, strict=False) if code == "ConditionalCheckFailed"]
        if not failed and not {"TransactionConflict", "ThrottlingError"} & set(codes):
            raise
        return failed
    except dynamodb.exceptions.TransactionInProgressException:
        return []


def record_of(item: Item, blobs: Blobs | None = None) -> Any:
    """The record in an item, as a read or a stream brings it. A large spec is fetched only if `blobs` is given."""
    cls = TYPES[item["kind"]["S"]]
    version = int(item["version"]["N"])
    if cls is Ledger:
        return _ledger(item, version)
    data = json.loads(_unpacked(item))
    if blobs and (name := data.get("spec_in")):
        kept = {part: data["spec"][part] for part in _KEPT if part in data["spec"]}
        data["spec"] = json.loads(blobs.get(name) or b"{}") | kept
    return decode(cls, {**data, "version": version})


def _packed(record: Record, text: str) -> Item:
    """A record's JSON as an attribute. A run's is deflated: it is repeated in every index and written at every state
    change, and DynamoDB counts whole kilobytes. Other records stay readable."""
    if not isinstance(record, Run):
        return {"doc": {"S": text}}
    return {"deflated": {"S": base64.b85encode(zlib.compress(text.encode())).decode()}}


def _unpacked(item: Item) -> str:
    """The JSON that `_packed` put into an item."""
    if "doc" in item:
        return str(item["doc"]["S"])
    return zlib.decompress(base64.b85decode(item["deflated"]["S"])).decode()


def _ledger_attributes(ledger: Ledger) -> Item:
    limits = {name: _limits(account) for name, account in ledger.pools.items()}
    doc = {"cluster": ledger.cluster, "total": ledger.total.vector(), "pools": limits}
    used = {f"used/{d}/{name}": {"N": str(getattr(a.used, d))} for name, a in ledger.pools.items() for d in DIMENSIONS}
    return {"doc": {"S": json.dumps(doc, separators=(",", ":"))}, **used}


def _limits(account: PoolAccount) -> dict[str, Any]:
    """A pool's account but for what is used; amounts as vectors, defaults left out: it is written at every grant."""
    told = {f.name: getattr(account, f.name) for f in fields(account) if f.name != "used"}
    return {
        name: value.vector() if isinstance(value, Amount) else value
        for name, value in told.items()
        if value != getattr(PoolAccount(), name)
    }


def _ledger(item: Item, version: int) -> Ledger:
    doc = json.loads(item["doc"]["S"])
    pools = {
        name: {
            **{n: dict(zip(DIMENSIONS, v, strict=True)) if isinstance(v, list) else v for n, v in limits.items()},
            "used": {d: int(item.get(f"used/{d}/{name}", {"N": "0"})["N"]) for d in DIMENSIONS},
        }
        for name, limits in doc["pools"].items()
    }
    total = dict(zip(DIMENSIONS, doc["total"], strict=True))
    ledger: Ledger = decode(Ledger, {"cluster": doc["cluster"], "total": total, "pools": pools, "version": version})
    return ledger


def _key(pk: str, sk: str) -> Item:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _expect(version: int) -> dict[str, Any]:
    """The condition of a write: the stored version, or that there is none."""
    if version == 0:
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    return {"ConditionExpression": "version = :v", "ExpressionAttributeValues": {":v": {"N": str(version)}}}


def _subject(change: Change) -> Key:
    return key(Ledger, change.cluster) if isinstance(change, Release) else key_of(change.record)


def _pause(attempt: int) -> None:
    """Full-jitter back-off: 10 ms doubling to 640 ms."""
    time.sleep(random.uniform(0, 0.01 * 2 ** min(attempt, 6)))
