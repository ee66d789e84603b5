"""S3 over HTTP, as Spark and presigned URLs use it, and what is left of it after a crash."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.server import ThreadedMotoServer

from sandbox.aws import s3
from sandbox.aws.s3.store import Blob, Store

KEY, SECRET = "AKIASANDBOX", "sandbox-secret"
ROOT = Path(__file__).resolve().parents[2]
MB = 1024 * 1024


def client_for(url: str, signature: str = "s3v4", key: str = KEY, secret: str = SECRET) -> Any:
    config = Config(signature_version=signature, s3={"addressing_style": "path"}, retries={"max_attempts": 0})
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=config,
    )


@contextmanager
def running(home: Path, checked: bool = True) -> Iterator[str]:
    """A server over `home`; its address."""
    with mock_aws():
        installed = s3.install(home, credentials=s3.Credentials(KEY, SECRET) if checked else None)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        try:
            host, port = server.get_host_and_port()
            yield f"http://{host}:{port}"
        finally:
            server.stop()
            installed.close()


@pytest.fixture(scope="class")
def url(tmp_path_factory: Any) -> Iterator[str]:
    """One server for a class of tests that need no restart and count no files."""
    with running(tmp_path_factory.mktemp("s3")) as address:
        client_for(address).create_bucket(Bucket="bucket")
        yield address


@pytest.fixture(scope="class")
def shared(url: str) -> Any:
    return client_for(url)


@pytest.fixture
def client(shared: Any) -> Iterator[Any]:
    yield shared
    for one in shared.list_objects_v2(Bucket="bucket").get("Contents", []):
        shared.delete_object(Bucket="bucket", Key=one["Key"])


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Any]:
    """A client whose server has the test's own directory."""
    with running(tmp_path) as address:
        client = client_for(address)
        client.create_bucket(Bucket="bucket")
        yield client


def body(client: Any, key: str, **given: Any) -> bytes:
    return client.get_object(Bucket="bucket", Key=key, **given)["Body"].read()  # type: ignore[no-any-return]


def files(home: Path) -> int:
    return sum(1 for one in (home / "blobs").rglob("*") if one.is_file())


def test_objects_their_metadata_and_their_tags_are_there_after_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as url:
        client = client_for(url)
        client.create_bucket(Bucket="bucket")
        client.put_object(
            Bucket="bucket",
            Key="a/ü b+c.txt",
            Body=b"hello",
            ContentType="text/plain",
            ContentEncoding="gzip",
            Metadata={"owner": "me"},
            Tagging="team=data&x=1",
        )
        client.put_object(Bucket="bucket", Key="gone", Body=b"x")
        client.delete_object(Bucket="bucket", Key="gone")
        client.copy_object(Bucket="bucket", Key="copy", CopySource={"Bucket": "bucket", "Key": "a/ü b+c.txt"})
        before = client.head_object(Bucket="bucket", Key="a/ü b+c.txt")
        made = client.list_buckets()["Buckets"]
    with running(tmp_path) as url:
        client = client_for(url)
        assert client.list_buckets()["Buckets"] == made
        assert [one["Key"] for one in client.list_objects_v2(Bucket="bucket")["Contents"]] == ["a/ü b+c.txt", "copy"]
        after = client.head_object(Bucket="bucket", Key="a/ü b+c.txt")
        for name in ("ETag", "LastModified", "ContentLength", "ContentType", "ContentEncoding", "Metadata"):
            assert after[name] == before[name]
        assert body(client, "copy") == b"hello"
        tags = client.get_object_tagging(Bucket="bucket", Key="a/ü b+c.txt")["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "data", "x": "1"}


def test_versions_and_delete_markers_are_there_after_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as url:
        client = client_for(url)
        client.create_bucket(Bucket="bucket")
        client.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
        first = client.put_object(Bucket="bucket", Key="k", Body=b"one")["VersionId"]
        client.put_object(Bucket="bucket", Key="k", Body=b"two")
        client.delete_object(Bucket="bucket", Key="k")
    with running(tmp_path) as url:
        client = client_for(url)
        found = client.list_object_versions(Bucket="bucket")
        assert (len(found["Versions"]), len(found["DeleteMarkers"])) == (2, 1)
        assert body(client, "k", VersionId=first) == b"one"
        with pytest.raises(ClientError, match="NoSuchKey"):
            body(client, "k")


CRASH = """
import os, sys
sys.path.insert(0, os.getcwd())
from pathlib import Path
from tests.sandbox.test_s3 import client_for, running
with running(Path(sys.argv[1])) as url:
    client = client_for(url)
    client.create_bucket(Bucket="bucket")
    client.put_object(Bucket="bucket", Key="removed", Body=b"x")
    client.put_object(Bucket="bucket", Key="changed", Body=b"old", Metadata={"v": "1"})
    client.put_object(Bucket="bucket", Key="changed", Body=b"new", Metadata={"v": "2"})
    upload = client.create_multipart_upload(Bucket="bucket", Key="big")["UploadId"]
    part = client.upload_part(Bucket="bucket", Key="big", UploadId=upload, PartNumber=1, Body=b"y" * 1000)
    given = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    client.complete_multipart_upload(Bucket="bucket", Key="big", UploadId=upload, MultipartUpload=given)
    client.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "removed"}]})
    os.kill(os.getpid(), 9)
"""


def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path)], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    with running(tmp_path) as url:
        client = client_for(url)
        assert [one["Key"] for one in client.list_objects_v2(Bucket="bucket")["Contents"]] == ["big", "changed"]
        assert body(client, "changed") == b"new"
        assert client.head_object(Bucket="bucket", Key="changed")["Metadata"] == {"v": "2"}
        assert body(client, "big") == b"y" * 1000
        assert files(tmp_path) == 2


def test_an_upload_in_parts_is_joined_and_may_be_completed_twice(alone: Any, tmp_path: Path) -> None:
    content = os.urandom(5 * MB + 10)
    upload = alone.create_multipart_upload(Bucket="bucket", Key="big", Metadata={"n": "1"})["UploadId"]
    parts = []
    for number, chunk in enumerate((content[: 5 * MB], content[5 * MB :]), 1):
        made = alone.upload_part(Bucket="bucket", Key="big", UploadId=upload, PartNumber=number, Body=chunk)
        parts.append({"PartNumber": number, "ETag": made["ETag"]})
    for _ in range(2):
        given = {"Bucket": "bucket", "Key": "big", "UploadId": upload, "MultipartUpload": {"Parts": parts}}
        assert alone.complete_multipart_upload(**given)["ETag"].endswith('-2"')
    assert hashlib.sha256(body(alone, "big")).digest() == hashlib.sha256(content).digest()
    assert alone.head_object(Bucket="bucket", Key="big")["Metadata"] == {"n": "1"}
    assert files(tmp_path) == 1
    assert list((tmp_path / "parts").iterdir()) == []


def test_an_aborted_upload_leaves_no_files(alone: Any, tmp_path: Path) -> None:
    upload = alone.create_multipart_upload(Bucket="bucket", Key="k")["UploadId"]
    alone.upload_part(Bucket="bucket", Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    alone.abort_multipart_upload(Bucket="bucket", Key="k", UploadId=upload)
    assert list((tmp_path / "parts").iterdir()) == []


class TestRequests:
    """Over one server, each test beginning with an empty bucket."""

    def test_an_upload_that_nobody_knows_is_refused(self, client: Any) -> None:
        given = {"Parts": [{"PartNumber": 1, "ETag": "x"}]}
        with pytest.raises(ClientError, match="NoSuchUpload"):
            client.complete_multipart_upload(Bucket="bucket", Key="k", UploadId="nothing", MultipartUpload=given)

    @pytest.mark.parametrize(
        ("asked", "given", "where"),
        [
            ("bytes=0-3", b"0123", "bytes 0-3/10"),
            ("bytes=7-", b"789", "bytes 7-9/10"),
            ("bytes=-2", b"89", "bytes 8-9/10"),
            ("bytes=8-99", b"89", "bytes 8-9/10"),
        ],
    )
    def test_a_range_is_read_without_the_rest(
        self, client: Any, monkeypatch: Any, asked: str, given: bytes, where: str
    ) -> None:
        client.put_object(Bucket="bucket", Key="k", Body=b"0123456789")
        read: list[int] = []
        stock = Store.read

        def count(self: Store, *args: Any) -> bytes:
            found = stock(self, *args)
            read.append(len(found))
            return found

        monkeypatch.setattr(Store, "read", count)
        answer = client.get_object(Bucket="bucket", Key="k", Range=asked)
        assert (answer["Body"].read(), answer["ContentRange"]) == (given, where)
        assert sum(read) == len(given)

    def test_a_range_past_the_end_is_refused_and_a_strange_one_ignored(self, client: Any) -> None:
        client.put_object(Bucket="bucket", Key="k", Body=b"0123456789")
        with pytest.raises(ClientError, match="InvalidRange"):
            body(client, "k", Range="bytes=10-")
        assert body(client, "k", Range="bytes=0-1,4-5") == b"0123456789"

    def test_of_many_writers_that_want_to_be_first_one_is(self, client: Any) -> None:
        def write(n: int) -> int:
            try:
                client.put_object(Bucket="bucket", Key="lock", Body=str(n), IfNoneMatch="*")
            except ClientError as error:
                assert error.response["Error"]["Code"] == "PreconditionFailed"
                return 0
            return 1

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(write, range(16))) == 1

    def test_if_match_admits_the_writer_who_knows_the_newest(self, client: Any) -> None:
        old = client.put_object(Bucket="bucket", Key="k", Body=b"1")["ETag"]
        client.put_object(Bucket="bucket", Key="k", Body=b"2", IfMatch=old)
        for given in ({"IfMatch": old}, {"IfNoneMatch": "*"}):
            with pytest.raises(ClientError, match="PreconditionFailed"):
                client.put_object(Bucket="bucket", Key="k", Body=b"3", **given)
        assert body(client, "k") == b"2"

    def test_a_content_type_that_was_signed_must_be_sent(self, url: str) -> None:
        given = {"Bucket": "bucket", "Key": "k", "ContentType": "text/plain"}
        address = client_for(url).generate_presigned_url("put_object", Params=given)
        assert requests.put(address, data=b"x", headers={"Content-Type": "text/html"}, timeout=5).status_code == 403

    def test_a_size_that_was_signed_must_be_sent(self, url: str) -> None:
        given = {"Bucket": "bucket", "Key": "k", "ContentLength": 4}
        address = client_for(url, "s3v4").generate_presigned_url("put_object", Params=given)
        answers = [requests.put(address, data=data, timeout=5).status_code for data in (b"12345", b"123", b"1234")]
        assert answers == [403, 403, 200]

    def test_without_a_signature_and_with_a_foreign_key_nothing_goes(self, url: str, client: Any) -> None:
        client.put_object(Bucket="bucket", Key="k", Body=b"secret")
        assert requests.get(f"{url}/bucket/k", timeout=5).status_code == 403
        assert requests.get(f"{url}/bucket", timeout=5).status_code == 403
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            client_for(url, key="AKIAOTHER").list_objects_v2(Bucket="bucket")

    def test_a_body_in_chunks_is_put_together(self, url: str, client: Any) -> None:
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request",
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "Content-Encoding": "aws-chunked",
        }
        chunks = b"5\r\nhello\r\n3;x=y\r\n\r\nb\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
        assert requests.put(f"{url}/bucket/k", data=chunks, headers=headers, timeout=5).status_code == 200
        assert body(client, "k") == b"hello\r\nb"

    def test_memory_does_not_keep_what_was_overwritten(self, client: Any) -> None:
        from moto.s3.models import FakeKey

        for n in range(5):
            client.put_object(Bucket="bucket", Key="k", Body=str(n))
        assert FakeKey.instances_tracked == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
class TestPresignedUrls:
    """In both forms that boto3 makes."""

    def sign(self, url: str, signature: str, method: str, seconds: int = 60, **given: Any) -> str:
        client = client_for(url, signature)
        parameters = {"Bucket": "bucket", "Key": "dir/ü b+c.txt", **given}
        return str(client.generate_presigned_url(method, Params=parameters, ExpiresIn=seconds))

    def test_an_object_can_be_put_and_got(self, url: str, signature: str) -> None:
        kind = {"ContentType": "text/plain"}
        put = requests.put(
            self.sign(url, signature, "put_object", **kind),
            data=b"hi",
            headers={"Content-Type": "text/plain"},
            timeout=5,
        )
        got = requests.get(self.sign(url, signature, "get_object"), headers={"Range": "bytes=1-"}, timeout=5)
        assert (put.status_code, got.status_code, got.content) == (200, 206, b"i")
        assert got.headers["Content-Type"] == "text/plain"

    def test_it_holds_for_its_method_and_its_key_only(self, url: str, signature: str) -> None:
        address = self.sign(url, signature, "get_object")
        other = requests.get(address.replace("c.txt", "d.txt"), timeout=5)
        put = requests.put(address, data=b"x", timeout=5)
        assert (other.status_code, put.status_code) == (403, 403)
        assert "SignatureDoesNotMatch" in other.text

    def test_it_expires(self, url: str, signature: str, monkeypatch: Any) -> None:
        from datetime import UTC, datetime, timedelta

        from sandbox.aws.s3 import requests as handling

        class Later:
            @staticmethod
            def now(zone: Any) -> datetime:
                return datetime.now(UTC) + timedelta(seconds=61)

        address = self.sign(url, signature, "put_object")
        monkeypatch.setattr(handling, "datetime", Later)
        answer = requests.put(address, data=b"x", timeout=5)
        assert answer.status_code == 403
        assert "Request has expired" in answer.text


def test_without_credentials_requests_are_not_checked(tmp_path: Path) -> None:
    with running(tmp_path, checked=False) as url:
        client_for(url, key="anyone").create_bucket(Bucket="bucket")
        assert requests.put(f"{url}/bucket/k", data=b"x", timeout=5).status_code == 200


def test_bytes_that_no_object_names_are_removed_with_a_delay_or_at_the_next_start(tmp_path: Path) -> None:
    now = [0.0]
    store = Store(tmp_path, clock=lambda: now[0])
    first, second = store.write(b"1"), store.write(b"2")

    def versions(blob: Blob) -> Any:
        return lambda bucket, key: [{"blob": {"id": blob.id, "size": 1, "md5": blob.md5}}]

    store.save([("b", "k")], versions(first))
    store.save([("b", "k")], versions(second))
    assert store.read(first) == b"1"
    now[0] = 31.0
    store.save([("b", "k")], versions(second))
    assert files(tmp_path) == 1
    store.write(b"left behind by a crash")
    store.close()
    again = Store(tmp_path)
    assert files(tmp_path) == 1
    assert again.read(second) == b"2"
    again.close()


def test_stock_moto_still_accepts_an_expired_url() -> None:
    """When this fails, moto checks presigned URLs itself, and part of the mend may go."""
    with mock_aws():
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        client = client_for(f"http://{host}:{port}")
        client.create_bucket(Bucket="bucket")
        address = client.generate_presigned_url("put_object", Params={"Bucket": "bucket", "Key": "k"}, ExpiresIn=-60)
        assert requests.put(address, data=b"x", timeout=5).status_code == 200
        server.stop()
