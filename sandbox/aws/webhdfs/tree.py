"""S3 as a tree of files, as Hadoop sees one: `/<bucket>/<key>`.

An object is a file. A directory is an empty object whose key ends with a slash, or any key below it. A file is written
as an upload in parts and is there, whole, when its writer closes it, as on S3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

PART = 8 << 20
_MISSING = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})


class NoSuchFile(Exception):
    """There is nothing at the path."""


class Exists(Exception):
    """There is something at the path that is in the way."""


@dataclass(frozen=True)
class Node:
    """A file or directory; `changed` in epoch milliseconds."""

    name: str
    directory: bool
    size: int = 0
    changed: int = 0


@dataclass(frozen=True)
class Place:
    """A path: a bucket (empty for the root) and a key (empty for the bucket itself)."""

    bucket: str
    key: str

    @classmethod
    def of(cls, path: str) -> Place:
        bucket, _, key = path.strip("/").partition("/")
        return cls(bucket, key)

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def below(self) -> str:
        """What the keys of all that is in this directory begin with."""
        return f"{self.key}/" if self.key else ""

    @property
    def parent(self) -> Place:
        return Place(self.bucket, self.key.rpartition("/")[0])


class Tree:
    """The files of all buckets, through a client of S3. Raises NoSuchFile, Exists."""

    def __init__(self, s3: Callable[[], Any]) -> None:
        self._s3 = s3

    def buckets(self) -> list[str]:
        return [bucket["Name"] for bucket in self._s3().list_buckets()["Buckets"]]

    def find(self, place: Place) -> Node | None:
        """What is at a place, if anything."""
        if not place.key:
            return Node("", True) if not place.bucket or place.bucket in self.buckets() else None
        try:
            told = self._s3().head_object(Bucket=place.bucket, Key=place.key)
            return Node(place.name, False, told["ContentLength"], _milliseconds(told["LastModified"]))
        except ClientError as error:
            _pass_if_missing(error)
        first = next(self._keys(place.bucket, place.below, most=1), None)
        return Node(place.name, True, 0, first.changed if first.name == place.below else 0) if first else None

    def look(self, place: Place) -> Node:
        node = self.find(place)
        if node is None:
            raise NoSuchFile(place)
        return node

    def children(self, place: Place) -> list[Node]:
        """What is in a directory, by name; of a file, the file itself without a name."""
        node = self.look(place)
        if not node.directory:
            return [Node("", False, node.size, node.changed)]
        if not place.bucket:
            return [Node(bucket, True) for bucket in sorted(self.buckets())]
        pages = self._s3().get_paginator("list_objects_v2")
        found: dict[str, Node] = {}
        for page in pages.paginate(Bucket=place.bucket, Prefix=place.below, Delimiter="/"):
            for one in page.get("CommonPrefixes", ()):
                name = one["Prefix"][len(place.below) : -1]
                found[name] = Node(name, True)
            for one in page.get("Contents", ()):
                name = one["Key"][len(place.below) :]
                if name:
                    found[name] = Node(name, False, one["Size"], _milliseconds(one["LastModified"]))
        return [found[name] for name in sorted(found)]

    def _keys(self, bucket: str, prefix: str, most: int = 0) -> Iterator[Node]:
        pages = self._s3().get_paginator("list_objects_v2")
        limit = {"PaginationConfig": {"MaxItems": most}} if most else {}
        try:
            for page in pages.paginate(Bucket=bucket, Prefix=prefix, **limit):
                for one in page.get("Contents", ()):
                    yield Node(one["Key"], False, one["Size"], _milliseconds(one["LastModified"]))
        except ClientError as error:
            _pass_if_missing(error)

    def summary(self, place: Place) -> tuple[int, int, int]:
        """Bytes, files and directories of a place and all below it."""
        node = self.look(place)
        if not node.directory:
            return node.size, 1, 0
        keys = list(self._keys(place.bucket, place.below)) if place.bucket else []
        files = [one for one in keys if not one.name.endswith("/")]
        inside = [one.name.removeprefix(place.below) for one in keys]
        folders = {name[:at] for name in inside for at, character in enumerate(name) if character == "/"}
        return sum(one.size for one in files), len(files), len(folders) + 1

    def read(self, place: Place, offset: int, length: int | None) -> tuple[int, Iterator[bytes]]:
        """How many bytes there are from an offset on (`length` at most), and the bytes, read as they are taken."""
        node = self.look(place)
        if node.directory:
            raise NoSuchFile(place)
        end = node.size if length is None else min(node.size, offset + length)
        return max(0, end - offset), self._pieces(place, offset, end)

    def _pieces(self, place: Place, offset: int, end: int) -> Iterator[bytes]:
        size = 1 << 18  # most readers want a little, and then some of them all
        while offset < end:
            last = min(end, offset + size) - 1
            body = self._s3().get_object(Bucket=place.bucket, Key=place.key, Range=f"bytes={offset}-{last}")["Body"]
            piece = body.read()
            yield piece
            offset, size = offset + len(piece), PART

    def write(self, place: Place, read: Callable[[int], bytes], *, overwrite: bool) -> None:
        """A file of what `read` gives until it gives nothing; nothing at all when it fails in between."""
        self.check_writable(place, overwrite=overwrite)
        s3, about = self._s3(), {"Bucket": place.bucket, "Key": place.key}
        body = _filled(read)
        if len(body) < PART:
            s3.put_object(**about, Body=body)
            return
        about["UploadId"] = s3.create_multipart_upload(**about)["UploadId"]
        try:
            parts: list[dict[str, Any]] = []
            while body:
                number = len(parts) + 1
                parts.append({"PartNumber": number, **_etag(s3.upload_part(**about, PartNumber=number, Body=body))})
                body = _filled(read)
            s3.complete_multipart_upload(**about, MultipartUpload={"Parts": parts})
        except BaseException:
            s3.abort_multipart_upload(**about)
            raise

    def check_writable(self, place: Place, *, overwrite: bool) -> None:
        node = self.find(place)
        if node and (node.directory or not overwrite):
            raise Exists(place)
        if not place.key or place.bucket not in self.buckets():
            raise NoSuchFile(place)
        self._check_above(place)

    def _check_above(self, place: Place) -> None:
        above = place.parent
        while above.key:
            node = self.find(above)
            if node:
                if not node.directory:
                    raise Exists(above)
                return
            above = above.parent

    def make(self, place: Place) -> None:
        """A directory; no error when it is there."""
        node = self.find(place)
        if node is None:
            if not place.key:
                raise NoSuchFile(place)
            self._check_above(place)
            self._s3().put_object(Bucket=place.bucket, Key=place.below, Body=b"")
        elif not node.directory:
            raise Exists(place)

    def delete(self, place: Place, *, recursive: bool) -> bool:
        """Remove what is there, if anything is; the directory that it was in stays."""
        node = self.find(place)
        if node is None or not place.key:
            return False
        if not node.directory:
            names = [place.key]
        else:
            names = [one.name for one in self._keys(place.bucket, place.below)]
            if not recursive and any(name != place.below for name in names):
                raise Exists(place)
        self._keep(place.parent)
        self._remove(place.bucket, names)
        return True

    def _keep(self, place: Place) -> None:
        """Mark a directory that loses something, so that it is there when it has nothing left."""
        if place.key:
            self._s3().put_object(Bucket=place.bucket, Key=place.below, Body=b"")

    def _remove(self, bucket: str, names: list[str]) -> None:
        for at in range(0, len(names), 1000):
            batch = [{"Key": name} for name in names[at : at + 1000]]
            self._s3().delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})

    def rename(self, source: Place, target: Place) -> bool:
        """Move a file or a directory; into the target, when that is a directory. False when that cannot be."""
        node, there = self.find(source), self.find(target)
        if there and there.directory:
            target = Place(target.bucket, f"{target.below}{source.name}")
            there = self.find(target)
        inside = target.bucket == source.bucket and f"{target.key}/".startswith(source.below)
        if node is None or there or not source.key or inside or target.bucket not in self.buckets():
            return False
        names = [one.name for one in self._keys(source.bucket, source.below)] if node.directory else [source.key]
        for name in names:
            copied = {"Bucket": source.bucket, "Key": name}
            moved = f"{target.key}{name.removeprefix(source.key)}"
            self._s3().copy_object(CopySource=copied, Bucket=target.bucket, Key=moved)
        self._keep(source.parent)
        self._remove(source.bucket, names)
        return True


def _filled(read: Callable[[int], bytes]) -> bytes:
    """A part's worth of bytes; fewer only at the end."""
    pieces, size = [], 0
    while size < PART and (piece := read(min(1 << 20, PART - size))):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _etag(answer: Any) -> dict[str, str]:
    return {"ETag": answer["ETag"]}


def _milliseconds(instant: Any) -> int:
    return int(instant.timestamp() * 1000)


def _pass_if_missing(error: ClientError) -> None:
    if error.response["Error"]["Code"] not in _MISSING:
        raise error
