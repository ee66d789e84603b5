"""The Blobs port on S3."""

from __future__ import annotations

from chalicelib.aws.clients import client


class S3Blobs:
    """Byte strings in one bucket; names are keys."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    def put(self, name: str, body: bytes, content_type: str = "application/octet-stream") -> None:
        """See Blobs.put."""
        client("s3").put_object(Bucket=self._bucket, Key=name, Body=body, ContentType=content_type)

    def get(self, name: str, *, limit: int = 0, tail: bool = False) -> bytes | None:
        """See Blobs.get."""
        s3 = client("s3")
        window = {"Range": f"bytes=-{limit}" if tail else f"bytes=0-{limit - 1}"} if limit else {}
        try:
            body: bytes = s3.get_object(Bucket=self._bucket, Key=name, **window)["Body"].read()
            return body
        except s3.exceptions.NoSuchKey:
            return None

    def uri(self, name: str) -> str:
        """See Blobs.uri."""
        return f"s3://{self._bucket}/{name}"
