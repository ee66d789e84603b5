"""A client and a service for tests of the wire: requests go in as API Gateway events, answers come out as HTTP.

Events are built, and results read, by the sandbox's front, which imitates a REST API; so a result that Lambda or API
Gateway would refuse fails the test. The store is a fake, but each record makes the way to the table's JSON and back.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import app
from chalicelib.aws.codec import decode, encode
from chalicelib.aws.table import item_key
from chalicelib.core.credentials import digest_of, hash_password
from chalicelib.core.ids import to_uuid
from chalicelib.core.model import Principal, Report, Role, Run, Token, User
from chalicelib.ports import Change, Delete, Key, Put, Settings
from chalicelib.services.access import Call
from chalicelib.services.pools import ensure_pool, instance_id
from sandbox.front.answers import Remapping, answer_of
from sandbox.front.event import Deployment, Ids, body_of, event_of
from sandbox.front.media import BinaryTypes
from sandbox.front.request import Head
from sandbox.front.routes import Routes
from sandbox.front.tables import remapped_headers
from tests.unit.cloud import Cloud
from tests.unit.fakes import SECRET, FakeStore, Written

REMAPPING = Remapping(remapped_headers())
BINARY = BinaryTypes(["*/*"])
ROUTES = Routes(app.app.routes)
RESULT_LIMIT = 6_291_556
KEY_LIMIT = 1024
"""Bytes of a key that DynamoDB takes as sort key; a caller's text in a key must never come near."""

PASSWORD = "correct horse"
PASSWORD_TEXT = hash_password(PASSWORD, bytes(16))
ALICE, BOB, EVE = "spk_main_" + "a" * 43, "spk_main_" + "b" * 43, "spk_elsewhere_" + "e" * 43
"""The tokens of alice (an administrator) and bob in `main`, and of eve in another workspace."""

FORM = "application/x-www-form-urlencoded"
"""What curl says of every body that `--data` sends."""


@dataclass(frozen=True)
class Answer:
    """What a client sees. `raw` is the handler's own result, before API Gateway."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    raw: Mapping[str, Any]

    @property
    def json(self) -> Any:
        """The body as JSON, unpacked if it came packed."""
        packed = self.headers.get("content-encoding") == "gzip"
        return json.loads(gzip.decompress(self.body) if packed else self.body)


def strict(value: Any) -> Any:
    """A record as the table gives it back. Raises if the table could not hold it."""
    text = json.dumps(encode(value), ensure_ascii=False, allow_nan=False)
    if not isinstance(value, Run) and len(text.encode()) > 400_000:
        raise AssertionError(f"an item of {len(text)} bytes, which the table would refuse")
    return decode(type(value), json.loads(text))


@dataclass(eq=False)
class TableLikeStore(FakeStore):
    """A fake store that refuses what the table would: keys and items over their size, and a key named twice."""

    def fetch(self, keys: Collection[Key]) -> dict[Key, Any]:
        assert len(set(keys)) == len(list(keys)), "a read that names a key twice"
        for k in keys:
            assert all(len(part.encode()) <= KEY_LIMIT for part in item_key(k)), "a key that the table would refuse"
        return super().fetch(keys)

    def _write(self, k: Key, change: Change) -> Written:
        written = super()._write(k, change)
        if isinstance(change, Put | Delete) and written.after is not None:
            self.records[k] = strict(written.after)
        return written


@dataclass
class Service(Cloud):
    """A deployment with two workspaces, and clients who call it."""

    settings: Settings = field(default_factory=lambda: Settings(api_url="https://api.test"))

    def __post_init__(self) -> None:
        super().__post_init__()
        store = TableLikeStore(self.tripwire, self.store.counts, self.store.records, self.store.on_commit)
        self.store, self.ports = store, replace(self.ports, store=store)
        ensure_pool(self.ports, "elsewhere", "default")
        for token, name, role in ((ALICE, "alice", Role.ADMIN), (BOB, "bob", Role.USER), (EVE, "eve", Role.ADMIN)):
            workspace = token.split("_")[1]
            self.add_token(token, name, workspace=workspace, role=role)
            store.seed(User(workspace, name, role, 1, PASSWORD_TEXT if name == "alice" else ""))
        self.play()

    def add_token(
        self, text: str, name: str, *, workspace: str = "main", role: Role = Role.USER, expires_at: int = 0
    ) -> None:
        """Put a token in the store."""
        self.store.seed(Token(workspace, digest_of(text), name, role, 1, expires_at=expires_at))

    def report(self, run: int, workspace: str = "main") -> dict[str, Any]:
        """What a run's driver has said of its end."""
        kept = self.store.get(Report, workspace, run)
        return dict(kept.told) if kept else {}

    @property
    def alice(self) -> Client:
        """An administrator of the workspace `main`, with a personal token."""
        return Client(self, f"Bearer {ALICE}")

    @property
    def bob(self) -> Client:
        """A plain user of the workspace `main`."""
        return Client(self, f"Bearer {BOB}")

    @property
    def eve(self) -> Client:
        """An administrator of another workspace."""
        return Client(self, f"Bearer {EVE}")

    @property
    def nobody(self) -> Client:
        """A caller without credentials."""
        return Client(self, None)

    def caller_of(self, workspace: str) -> Call:
        """A call, for services that a test uses directly."""
        return Call(Principal(workspace, "tester", Role.ADMIN))

    def instance(self, pool: str = "default", workspace: str = "main") -> str:
        """The Analytics Engine instance that a pool is."""
        return instance_id(self.ports, workspace, pool)

    def applications(self, pool: str = "default", workspace: str = "main") -> str:
        """The path of an instance's applications."""
        return f"/v4/analytics_engines/{self.instance(pool, workspace)}/spark_applications"

    def application(self, run: int, pool: str = "default") -> str:
        """The path of a run's application."""
        return f"{self.applications(pool)}/{to_uuid(run, 'run', 'main', SECRET)}"

    def start(self, run: int) -> None:
        """Bring a submitted run's driver to RUNNING."""
        self.play()
        for state in ("SUBMITTED", "RUNNING"):
            self.engine.become(self.driver(run), state)
        self.play()

    def end(self, run: int, state: str = "COMPLETED", **how: str) -> None:
        """Start a run if need be, and let its driver end."""
        self.play()
        if not self.run(run).started_at:
            self.start(run)
        self.clock.advance(60_000)
        self.engine.become(self.driver(run), state, **how)
        self.play()

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Nothing that is stored, and no driver, changes in this block."""
        records, bodies, drivers = self.store.snapshot(), dict(self.blobs.bodies), dict(self.engine.drivers)
        yield
        assert self.store.records == records
        assert self.blobs.bodies == bodies
        assert self.engine.drivers == drivers


@dataclass(frozen=True)
class Client:
    """Someone who calls the service. Time passes with each call, so that what is made has an order."""

    service: Service
    authorization: str | None = None

    def as_(self, authorization: str | None) -> Client:
        """The same service, with another Authorization header."""
        return Client(self.service, authorization)

    def get(self, path: str, /, **query: Any) -> Answer:
        """GET with a query."""
        return self.request("GET", path, query=list(query.items()))

    def post(self, path: str, body: Any = None, *, content_type: str = FORM) -> Answer:
        """POST a body (JSON, or text or bytes as they are), by default as curl does."""
        return self.request("POST", path, body=body, content_type=content_type)

    def delete(self, path: str) -> Answer:
        """DELETE."""
        return self.request("DELETE", path)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, Any]] = (),
        body: Any = None,
        content_type: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Any request at all."""
        told = {"Host": "api.test", "Accept": "*/*", **(headers or {})}
        if self.authorization is not None:
            told["Authorization"] = self.authorization
        if content_type:
            told["Content-Type"] = content_type
        content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else _json(body)
        head = Head(method, path, urlencode(query), tuple(told.items()), "https", "1.1", "192.0.2.1", 443)
        match = ROUTES.find(method, path)
        assert match is not None, "API Gateway itself would answer: no route at all"
        text, encoded, _ = body_of(head, content, BINARY)
        ids = Ids(f"request-{self.service.tripwire.calls}", "extended", "Root=1-0-0")
        event = event_of(head, match, text, encoded, Deployment(), ids, REMAPPING.dropped_from_requests)
        result = app.app(json.loads(json.dumps(event)), None)
        self.service.clock.advance(1000)
        seen = answer_of(result, REMAPPING, True, RESULT_LIMIT)
        return Answer(seen.status, {name.lower(): value for name, value in seen.headers}, seen.body, result)


def _json(body: Any) -> bytes:
    return b"" if body is None else json.dumps(body).encode()


def basic(user: str, secret: str, *, scheme: str = "Basic", end: str = "") -> str:
    """An Authorization header that packs a user and a secret."""
    return f"{scheme} {base64.b64encode(f'{user}:{secret}{end}'.encode()).decode()}"
