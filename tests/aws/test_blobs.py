"""The Blobs port on moto's S3: what services rely on beyond put and get."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

from chalicelib.aws import clients
from chalicelib.aws.blobs import S3Blobs


@pytest.fixture
def blobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Blobs]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    clients.client.cache_clear()
    boto3.client("s3").create_bucket(Bucket="things")
    yield S3Blobs("things")
    server.stop()
    clients.client.cache_clear()


def test_a_window_of_a_body(blobs: S3Blobs) -> None:
    blobs.put("a", b"0123456789")
    assert blobs.get("a") == b"0123456789"
    assert blobs.get("a", offset=2, limit=3) == b"234"
    assert blobs.get("a", offset=8) == b"89"
    assert blobs.get("a", limit=3, tail=True) == b"789"
    assert blobs.get("a", offset=10) == b""
    assert blobs.get("nothing", offset=10) is None


def test_what_is_known_of_a_body(blobs: S3Blobs) -> None:
    blobs.put("a", b"xyz")
    found = blobs.stat("a")
    assert found is not None and (found.name, found.size) == ("a", 3) and found.changed_at > 1_600_000_000_000
    assert blobs.stat("b") is None


def test_a_listing_goes_on_where_it_stopped_and_folds_what_is_below(blobs: S3Blobs) -> None:
    for name in ("p/a", "p/b/1", "p/b/2", "p/c", "q"):
        blobs.put(name, b".")
    whole = blobs.list("p/", delimiter="/")
    assert [b.name for b in whole.blobs] == ["p/a", "p/c"] and whole.prefixes == ("p/b/",) and not whole.next
    assert [b.name for b in blobs.list("p/").blobs] == ["p/a", "p/b/1", "p/b/2", "p/c"]
    seen: list[str] = []
    after = ""
    while True:
        page = blobs.list("p/", after=after, limit=1, delimiter="/")
        seen += [b.name for b in page.blobs] + list(page.prefixes)
        after = page.next
        if not after:
            break
    assert sorted(seen) == ["p/a", "p/b/", "p/c"]


def test_copying_and_deleting(blobs: S3Blobs) -> None:
    blobs.put("a", b"1")
    blobs.copy("a", "b")
    blobs.delete(["a", "nothing"])
    assert blobs.get("a") is None and blobs.get("b") == b"1"
    blobs.delete([])


def test_links_work_without_credentials(blobs: S3Blobs) -> None:
    assert requests.put(blobs.put_link("up", seconds=60), data=b"body", timeout=10).ok
    assert requests.get(blobs.get_link("up", seconds=60), timeout=10).content == b"body"


def test_a_link_for_a_size_is_signed_for_that_size(blobs: S3Blobs) -> None:
    """moto checks no signature; the sandbox's S3 does (`tests/sandbox/test_s3.py`), and S3 itself."""
    told = parse_qs(urlsplit(blobs.put_link("up", seconds=60, size=4)).query)
    assert told["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert told["X-Amz-SignedHeaders"] == ["content-length;host"]


def test_copying_many_passes_over_what_is_gone(blobs: S3Blobs) -> None:
    for number in range(25):
        blobs.put(f"a/{number}", b"%d" % number)
    blobs.copy_all({f"a/{number}": f"b/{number}" for number in range(30)})
    assert {one.name: blobs.get(one.name) for one in blobs.list("b/").blobs} == {f"b/{n}": b"%d" % n for n in range(25)}


PART = bytes(5 << 20)


def test_a_body_in_parts_is_seen_once_it_is_finished(blobs: S3Blobs) -> None:
    upload = blobs.begin("whole")
    for _ in range(2):
        assert blobs.part("whole", upload, 1, PART)
    assert blobs.part("whole", upload, 2, b"end")
    assert blobs.stat("whole") is None
    size = len(PART) + 3
    assert blobs.finish("whole", upload, 2, size)
    found = blobs.stat("whole")
    assert found and found.size == size
    assert blobs.get("whole", offset=len(PART)) == b"end"
    assert not blobs.finish("whole", upload, 2, size), "an attempt is over once it is finished"


@pytest.mark.parametrize(("parts", "size"), [(1, 9), (2, 3), (3, len(PART) + 3), (2, len(PART) + 4)])
def test_a_body_is_not_made_of_other_parts_than_were_meant(blobs: S3Blobs, parts: int, size: int) -> None:
    upload = blobs.begin("big")
    assert blobs.part("big", upload, 1, PART) and blobs.part("big", upload, 2, b"end")
    assert not blobs.finish("big", upload, parts, size)
    assert blobs.stat("big") is None
    assert blobs.finish("big", upload, 2, len(PART) + 3)
    blobs.delete(["big"])


def test_an_attempt_that_is_unknown(blobs: S3Blobs) -> None:
    assert not blobs.finish("big", "no-such-upload", 1, 1)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_link_names_the_buckets_region_and_is_signed_as_new_buckets_want(
    monkeypatch: pytest.MonkeyPatch, region: str
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    clients.client.cache_clear()
    link = S3Blobs("stack-bucket").get_link("a/b", seconds=60)
    clients.client.cache_clear()
    assert link.startswith(f"https://stack-bucket.s3.{region}.amazonaws.com/a/b?X-Amz-Algorithm=AWS4-HMAC-SHA256&")
