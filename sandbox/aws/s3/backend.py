"""moto's S3 models, writing through to the store.

Every change of a bucket's keys, and of an object's metadata or tags, notes the key; `Journal.flush` commits what was
noted. A request flushes once, before it is answered (`requests`); a change outside of any request is committed at
once.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML, NoSuchUpload
from moto.s3.models import (
    S3_UPLOAD_PART_MIN_SIZE,
    FakeBucket,
    FakeDeleteMarker,
    FakeKey,
    FakeMultipart,
    MultipartChecksumBuilder,
    S3Backend,
    s3_backends,
)
from moto.s3.utils import _VersionedKeyStore, compute_checksum

from sandbox.aws.functions import ACCOUNT, REGION
from sandbox.aws.patches import Patches
from sandbox.aws.s3.records import document_of, version_of
from sandbox.aws.s3.store import Blob, Store


class FileBody:
    """The bytes of an object as an answer's body, read when they are asked for: by a slice, or all of them."""

    def __init__(self, store: Store, blob: Blob) -> None:
        self._store = store
        self._blob = blob

    def __len__(self) -> int:
        return self._blob.size

    def __getitem__(self, part: slice) -> bytes:
        begin, end, _ = part.indices(self._blob.size)
        return self._store.read(self._blob, begin, end)

    def __bytes__(self) -> bytes:
        return self._store.read(self._blob)


class Journal:
    """Which keys changed and are not committed yet, by thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._local = threading.local()

    def note(self, bucket: str, key: str) -> None:
        changed = getattr(self._local, "changed", None)
        if changed is None:
            self._store.save([(bucket, key)], _versions)
        else:
            changed.add((bucket, key))

    @contextmanager
    def request(self) -> Iterator[None]:
        """What changes inside is committed at the end, at once; also when the request fails half-way."""
        if getattr(self._local, "changed", None) is not None:
            yield
            return
        self._local.changed = set()
        try:
            yield
        finally:
            changed, self._local.changed = self._local.changed, None
            if changed:
                self._store.save(sorted(changed), _versions)

    @contextmanager
    def lazily(self, lazy: bool) -> Iterator[None]:
        """Inside, `FakeKey.value` may be a `FileBody`."""
        self._local.lazy = lazy
        try:
            yield
        finally:
            self._local.lazy = False

    @property
    def lazy(self) -> bool:
        return getattr(self._local, "lazy", False)


class Keys(_VersionedKeyStore):
    """A bucket's keys. Their changes are noted; nothing is disposed of, because files belong to the store."""

    def __init__(self, bucket: str, journal: Journal) -> None:
        super().__init__()
        self._bucket = bucket
        self._journal = journal

    def pop(self, key: str) -> None:  # type: ignore[override]
        dict.pop(self, key)
        self._journal.note(self._bucket, key)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._journal.note(self._bucket, key)

    def setlist(self, key: Any, list_: Any) -> None:
        self.fill(key, list(list_))
        self._journal.note(self._bucket, key)

    def fill(self, key: str, versions: list[Any]) -> None:
        """As `setlist`, without noting it."""
        dict.__setitem__(self, key, versions)


def _backend() -> S3Backend:
    return s3_backends[ACCOUNT]["aws"]


def _versions(bucket: str, key: str) -> list[dict[str, Any]]:
    backend = _backend()
    found = backend.buckets.get(bucket)
    return [document_of(one, backend) for one in found.keys.getlist(key, [])] if found else []


def load(store: Store) -> None:
    """Fill moto's backend with what the store holds."""
    backend = _backend()
    for name, document in store.buckets():
        bucket = FakeBucket(name, ACCOUNT, document.get("region", REGION))
        bucket.creation_date = datetime.fromisoformat(document["created"])
        bucket.versioning_status = document.get("versioning")
        backend.buckets[name] = bucket
        for key, documents in store.objects(name):
            versions: list[Any] = []
            for one in documents:
                older = versions[-1] if versions else FakeDeleteMarker.__new__(FakeDeleteMarker)
                if not versions:
                    older.name = key
                versions.append(version_of(name, key, one, older, backend))
            bucket.keys.fill(key, versions)  # type: ignore[attr-defined]


def _install_buckets(patches: Patches, store: Store, journal: Journal) -> None:
    stock_init, stock_create = FakeBucket.__init__, S3Backend.create_bucket
    stock_delete, stock_versioning = S3Backend.delete_bucket, S3Backend.put_bucket_versioning

    def save(bucket: FakeBucket) -> None:
        document = {"region": bucket.region_name, "created": bucket.creation_date.isoformat()}
        if bucket.versioning_status:
            document["versioning"] = bucket.versioning_status
        store.put_bucket(bucket.name, document)

    def init(self: FakeBucket, *args: Any, **kwargs: Any) -> None:
        stock_init(self, *args, **kwargs)
        self.keys = Keys(self.name, journal)

    def create_bucket(self: S3Backend, *args: Any, **kwargs: Any) -> FakeBucket:
        bucket = stock_create(self, *args, **kwargs)
        save(bucket)
        return bucket

    def delete_bucket(self: S3Backend, bucket_name: str) -> FakeBucket | None:
        bucket = stock_delete(self, bucket_name)
        if bucket is not None:
            store.delete_bucket(bucket_name)
        return bucket

    def put_bucket_versioning(self: S3Backend, bucket_name: str, status: str) -> None:
        stock_versioning(self, bucket_name, status)
        save(self.get_bucket(bucket_name))

    patches.set(FakeBucket, "__init__", init)
    patches.set(S3Backend, "create_bucket", create_bucket)
    patches.set(S3Backend, "delete_bucket", delete_bucket)
    patches.set(S3Backend, "put_bucket_versioning", put_bucket_versioning)


def _install_values(patches: Patches, store: Store, journal: Journal) -> None:
    def value(self: FakeKey) -> Any:
        blob = self._blob  # type: ignore[attr-defined]
        return FileBody(store, blob) if journal.lazy else store.read(blob)

    def set_value(self: FakeKey, new_value: Any) -> None:
        if not isinstance(new_value, Blob):
            raw = new_value.encode() if isinstance(new_value, str) else bytes(new_value)
            # A part of an upload is the only FakeKey that belongs to no bucket.
            new_value = store.write(raw, part=self.bucket_name is None)
        self._blob, self.contentsize = new_value, new_value.size  # type: ignore[attr-defined]
        if self._etag is None:
            self._etag = new_value.md5

    def dispose(self: FakeKey, garbage: bool = False) -> None:
        if not self.disposed:
            self.disposed = True
            self._value_buffer.close()
            blob = getattr(self, "_blob", None)
            if blob is not None:
                store.drop_part(blob)

    patches.set(FakeKey, "value", property(value, set_value))
    patches.set(FakeKey, "etag", property(lambda self: f'"{self._etag}"'))
    patches.set(FakeKey, "dispose", dispose)


def _install_notes(patches: Patches, journal: Journal) -> None:
    """The changes of an object that leave its bucket's keys as they are."""

    def noting(stock: Any, key_of: Any) -> Any:
        def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = stock(self, *args, **kwargs)
            key = key_of(self, *args, **kwargs)
            if key is not None and key.bucket_name is not None:
                journal.note(key.bucket_name, key.name)
            return result

        return changed

    for name in ("set_metadata", "set_acl", "set_storage_class", "set_expiry"):
        patches.set(FakeKey, name, noting(getattr(FakeKey, name), lambda self, *args, **kwargs: self))
    tagging = noting(S3Backend.put_object_tagging, lambda self, key, tags: key)
    patches.set(S3Backend, "put_object_tagging", tagging)
    for name in ("delete_object_tagging", "put_object_legal_hold", "put_object_retention"):
        patches.set(S3Backend, name, noting(getattr(S3Backend, name), _named_key))


def _named_key(self: S3Backend, bucket_name: str, key_name: str, version_id: str | None = None, *rest: Any) -> Any:
    return self.get_object(bucket_name, key_name, version_id=version_id)


def _install_uploads(patches: Patches, store: Store) -> None:
    stock_complete = S3Backend.complete_multipart_upload

    def complete(self: FakeMultipart, body: Iterator[tuple[int, str]]) -> tuple[Any, str, Any]:
        parts = _chosen_parts(self, body)
        blob = store.join([part._blob for part in parts])  # type: ignore[attr-defined]
        digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
        etag = hashlib.md5(digests, usedforsecurity=False).hexdigest()
        return blob, f"{etag}-{len(parts)}", _checksum(self, parts, store, blob)

    def complete_multipart_upload(self: S3Backend, bucket_name: str, multipart_id: str, body: Any) -> FakeKey | None:
        if multipart_id not in self.get_bucket(bucket_name).multiparts:
            raise NoSuchUpload(upload_id=multipart_id)
        return stock_complete(self, bucket_name, multipart_id, body)

    stock_part = S3Backend.upload_part

    def upload_part(self: S3Backend, bucket_name: str, multipart_id: str, *args: Any, **kwargs: Any) -> FakeKey:
        """Stock moto has an internal error for an upload that it does not know."""
        if multipart_id not in self.get_bucket(bucket_name).multiparts:
            raise NoSuchUpload(upload_id=multipart_id)
        return stock_part(self, bucket_name, multipart_id, *args, **kwargs)

    patches.set(S3Backend, "upload_part", upload_part)
    patches.set(FakeMultipart, "complete", complete)
    patches.set(S3Backend, "complete_multipart_upload", complete_multipart_upload)


def _chosen_parts(upload: FakeMultipart, body: Iterator[tuple[int, str]]) -> list[FakeKey]:
    parts: list[FakeKey] = []
    for number, etag in body:
        part = upload.parts.get(number)
        if part is None or part.etag.strip('"') != etag.strip('"'):
            raise InvalidPart
        if parts and parts[-1].size < S3_UPLOAD_PART_MIN_SIZE:
            raise EntityTooSmall
        parts.append(part)
    if not parts:
        raise MalformedXML
    return parts


def _checksum(upload: FakeMultipart, parts: list[FakeKey], store: Store, blob: Blob) -> tuple[str, str, int] | None:
    algorithm = upload.metadata.get("x-amz-checksum-algorithm")
    if not algorithm:
        return None
    builder = MultipartChecksumBuilder(algorithm, upload.metadata.get("x-amz-checksum-type"))
    if builder.checksum_type != "COMPOSITE":
        whole = compute_checksum(store.read(blob), builder.checksum_algorithm).decode()
        return builder.checksum_type, whole, 1
    for part in parts:
        builder.addPart(part.value)
    return builder.build()


def install(patches: Patches, store: Store) -> Journal:
    journal = Journal(store)
    _install_buckets(patches, store, journal)
    _install_values(patches, store, journal)
    _install_notes(patches, journal)
    _install_uploads(patches, store)
    return journal
