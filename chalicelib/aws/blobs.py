"""The Blobs port on S3."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from chalicelib.aws.clients import client
from chalicelib.ports import BlobInfo, BlobPage

DELETED_AT_ONCE = 1000
COPIED_AT_ONCE = 10

_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


class S3Blobs:
    """Byte strings in one bucket; names are keys."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    def put(self, name: str, body: bytes, content_type: str = "application/octet-stream") -> None:
        """See Blobs.put."""
        client("s3").put_object(Bucket=self._bucket, Key=name, Body=body, ContentType=content_type)

    def get(self, name: str, *, offset: int = 0, limit: int = 0, tail: bool = False) -> bytes | None:
        """See Blobs.get."""
        s3 = client("s3")
        try:
            answer = s3.get_object(Bucket=self._bucket, Key=name, **_window(offset, limit, tail))
        except s3.exceptions.NoSuchKey:
            return None
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "InvalidRange":
                return b""
            raise
        body: bytes = answer["Body"].read()
        return body

    def stat(self, name: str) -> BlobInfo | None:
        """See Blobs.stat."""
        s3 = client("s3")
        try:
            told = s3.head_object(Bucket=self._bucket, Key=name)
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return None
            raise
        return _info(name, told["ContentLength"], told["LastModified"])

    def list(self, prefix: str, *, after: str = "", limit: int = 1000, delimiter: str = "") -> BlobPage:
        """See Blobs.list."""
        told = client("s3").list_objects_v2(
            Bucket=self._bucket, Prefix=prefix, StartAfter=after, MaxKeys=limit, Delimiter=delimiter
        )
        blobs = tuple(_info(one["Key"], one["Size"], one["LastModified"]) for one in told.get("Contents", ()))
        prefixes = tuple(one["Prefix"] for one in told.get("CommonPrefixes", ()))
        # What comes after a prefix is what comes after all that begins with it.
        last = max([blob.name for blob in blobs] + [f"{common}\U0010ffff" for common in prefixes], default="")
        return BlobPage(blobs, prefixes, last if told.get("IsTruncated") else "")

    def copy(self, source: str, target: str) -> None:
        """See Blobs.copy."""
        client("s3").copy({"Bucket": self._bucket, "Key": source}, self._bucket, target)

    def copy_all(self, pairs: Mapping[str, str]) -> None:
        """See Blobs.copy_all."""
        from concurrent.futures import ThreadPoolExecutor

        client("s3")  # made before there are threads
        with ThreadPoolExecutor(COPIED_AT_ONCE) as threads:
            list(threads.map(self._copy_if_there, pairs, pairs.values()))

    def _copy_if_there(self, source: str, target: str) -> None:
        try:
            self.copy(source, target)
        except client("s3").exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in _MISSING:
                raise

    def begin(self, name: str) -> str:
        """See Blobs.begin."""
        return str(client("s3").create_multipart_upload(Bucket=self._bucket, Key=name)["UploadId"])

    def part(self, name: str, upload: str, number: int, body: bytes) -> bool:
        """See Blobs.part."""
        s3 = client("s3")
        try:
            s3.upload_part(Bucket=self._bucket, Key=name, UploadId=upload, PartNumber=number, Body=body)
            return True
        except s3.exceptions.NoSuchUpload:
            return False

    def finish(self, name: str, upload: str, parts: int, size: int) -> bool:
        """See Blobs.finish."""
        s3, about = client("s3"), {"Bucket": self._bucket, "Key": name, "UploadId": upload}
        try:
            pages = s3.get_paginator("list_parts").paginate(**about)
            stored = [part for page in pages for part in page.get("Parts", ())][:parts]
            if [p["PartNumber"] for p in stored] != [*range(1, parts + 1)] or sum(p["Size"] for p in stored) != size:
                return False
            chosen = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in stored]
            s3.complete_multipart_upload(**about, MultipartUpload={"Parts": chosen})
            return True
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in {"NoSuchUpload", "InvalidPart"}:
                return False
            raise

    def delete(self, names: Collection[str]) -> None:
        """See Blobs.delete."""
        keys = [{"Key": name} for name in names]
        for start in range(0, len(keys), DELETED_AT_ONCE):
            batch = {"Objects": keys[start : start + DELETED_AT_ONCE], "Quiet": True}
            told = client("s3").delete_objects(Bucket=self._bucket, Delete=batch)
            if told.get("Errors"):
                raise RuntimeError(f"S3 did not delete {told['Errors'][0]['Key']}: {told['Errors'][0]['Code']}")

    def uri(self, name: str) -> str:
        """See Blobs.uri."""
        return f"s3://{self._bucket}/{name}"

    def get_link(self, name: str, *, seconds: int, head: bool = False, disposition: str = "") -> str:
        """See Blobs.get_link."""
        signed = {"ResponseContentDisposition": disposition} if disposition else {}
        return self._link("head_object" if head else "get_object", name, seconds, signed)

    def put_link(self, name: str, *, seconds: int, size: int | None = None) -> str:
        """See Blobs.put_link."""
        return self._link("put_object", name, seconds, {} if size is None else {"ContentLength": size})

    def _link(self, operation: str, name: str, seconds: int, signed: Mapping[str, Any]) -> str:
        params = {"Bucket": self._bucket, "Key": name, **signed}
        return str(client("s3").generate_presigned_url(operation, Params=params, ExpiresIn=seconds))


def _window(offset: int, limit: int, tail: bool) -> dict[str, str]:
    if tail and limit:
        return {"Range": f"bytes=-{limit}"}
    if offset or limit:
        return {"Range": f"bytes={offset}-{offset + limit - 1 if limit else ''}"}
    return {}


def _info(name: str, size: int, changed: Any) -> BlobInfo:
    return BlobInfo(name, size, int(changed.timestamp() * 1000))
