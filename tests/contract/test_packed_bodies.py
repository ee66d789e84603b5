"""Bodies that come compressed (RFC 9110, 8.4; `ibm-cloud-sdk-core` sends gzip when it is told to)."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.dialects.packed import BODY_MOST, unpacked
from tests.contract.databricks import JOBS, python
from tests.contract.engine import details
from tests.contract.test_gate import message_of
from tests.contract.wire import Answer, Client, Service


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip in capitals": ("GZIP", gzip.compress),
    "its old name": ("x-gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "deflate without zlib's header": ("deflate", raw_deflate),
    "identity": ("identity", bytes),
    "identity and gzip": ("identity, gzip", gzip.compress),
}


def send(client: Client, path: str, body: bytes, encoding: str, method: str = "POST") -> Answer:
    return client.request(
        method, path, body=body, content_type="application/json", headers={"Content-Encoding": encoding}
    )


def places(service: Service) -> dict[str, tuple[str, Any]]:
    return {
        "databricks_jobs": (f"{JOBS}/runs/submit", python()),
        "analytics_engine": (service.applications(), details()),
    }


@pytest.mark.parametrize(("encoding", "pack"), PACKED.values(), ids=PACKED.keys())
def test_a_compressed_body_is_read_in_every_dialect(
    service: Service, alice: Client, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    for path, body in places(service).values():
        assert send(alice, path, pack(json.dumps(body).encode()), encoding).status in {200, 202}


def test_a_compressed_body_is_read_with_every_method_and_before_there_is_a_token(
    service: Service, alice: Client
) -> None:
    instance = service.applications().removesuffix("/spark_applications")
    packed = gzip.compress(b'{"spark.executor.cores": "2"}')
    for method in ("PUT", "PATCH"):
        assert send(alice, f"{instance}/default_configs", packed, "gzip", method).json == {"spark.executor.cores": "2"}
    login = gzip.compress(json.dumps({"username": "alice", "api_key": alice.authorization[7:]}).encode())  # type: ignore[index]
    assert send(service.nobody, "/icp4d-api/v1/authorize", login, "gzip").status == 200


WHOLE = gzip.compress(b'{"job_id": 1}')
DAMAGED: dict[str, tuple[bytes, str, int]] = {
    "plain text called gzip": (b"{}", "gzip", 400),
    "plain text called deflate": (b'{"a": 1}', "deflate", 400),
    "gzip called deflate": (WHOLE, "deflate", 400),
    "cut short": (WHOLE[:-3], "gzip", 400),
    "a header alone": (WHOLE[:10], "gzip", 400),
    "a wrong checksum": (WHOLE[:-8] + bytes(4) + WHOLE[-4:], "gzip", 400),
    "two streams": (WHOLE + WHOLE, "gzip", 400),
    "something after it": (WHOLE + b"x", "gzip", 400),
    "packed twice": (gzip.compress(WHOLE), "gzip, gzip", 415),
    "an unknown coding": (b"{}", "br", 415),
    "no coding at all": (b"{}", "*", 415),
    "one that grows without end": (gzip.compress(bytes(BODY_MOST + 1)), "gzip", 413),
    "the same as deflate": (zlib.compress(bytes(BODY_MOST + 1)), "deflate", 413),
}


@pytest.mark.parametrize(("body", "encoding", "status"), DAMAGED.values(), ids=DAMAGED.keys())
def test_what_cannot_be_unpacked_is_refused_and_changes_nothing(
    service: Service, alice: Client, body: bytes, encoding: str, status: int
) -> None:
    for voice, (path, _) in places(service).items():
        with service.unchanged():
            answer = send(alice, path, body, encoding)
        assert answer.status == status
        assert message_of(answer, voice)
    answer = send(alice, "/driver/v1/runs/main.1/report", body, encoding)
    assert answer.status == 401, "who has no secret is not told more"


def test_a_workspace_import_that_unpacks_to_too_much_is_too_large_as_everywhere(alice: Client) -> None:
    packed = gzip.compress(bytes(BODY_MOST + 1))
    assert send(alice, "/api/2.0/workspace/import", packed, "gzip").status == 413


def test_who_is_not_admitted_is_told_so_whatever_comes(service: Service) -> None:
    for body, encoding, _ in DAMAGED.values():
        assert send(service.nobody, f"{JOBS}/create", body, encoding).status == 401


def test_a_coding_without_a_body_is_nothing(service: Service, alice: Client) -> None:
    assert send(alice, f"{JOBS}/list", b"", "gzip", "GET").status == 200
    assert send(alice, service.applications(), b"", "br", "GET").status == 200


def test_a_body_may_unpack_to_as_much_as_a_plain_one_may_have() -> None:
    assert len(unpacked(gzip.compress(bytes(BODY_MOST)), "gzip")) == BODY_MOST


def test_a_bomb_costs_no_more_memory_than_the_largest_body() -> None:
    bomb = gzip.compress(bytes(8 * BODY_MOST))
    tracemalloc.start()
    try:
        with pytest.raises(Exception, match="unpacks to more than"):
            unpacked(bomb, "gzip")
        assert tracemalloc.get_traced_memory()[1] < 3 * BODY_MOST
    finally:
        tracemalloc.stop()
