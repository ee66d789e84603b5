"""An object of moto as a document of the index, and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from moto.s3.models import FakeDeleteMarker, FakeKey, FakeMultipart, S3Backend

from sandbox.aws.s3.store import Blob

# Attributes that are kept as they are: the name on FakeKey.
_PLAIN = (
    "_storage_class",
    "_etag",
    "encryption",
    "kms_key_id",
    "bucket_key_enabled",
    "lock_mode",
    "lock_legal_status",
    "lock_until",
    "checksum_algorithm",
    "checksum_value",
    "checksum_type",
    "checksum_parts",
    "website_redirect_location",
)


def document_of(version: FakeKey | FakeDeleteMarker, backend: S3Backend) -> dict[str, Any]:
    found: dict[str, Any] = {"version": version.version_id, "modified": version.last_modified.isoformat()}
    if isinstance(version, FakeDeleteMarker):
        return {**found, "deleted": True}
    blob: Blob = version._blob  # type: ignore[attr-defined]
    found["blob"] = {"id": blob.id, "size": blob.size, "md5": blob.md5}
    found["metadata"] = dict(version.metadata)
    if version._is_versioned:
        found["versioned"] = True
    if version.multipart is not None:
        # A CompleteMultipartUpload that is repeated must find its upload done.
        found["upload"] = version.multipart.id
    if tags := backend.tagger.get_tag_dict_for_resource(version.arn):
        found["tags"] = tags
    plain = {name: getattr(version, name) for name in _PLAIN}
    found["plain"] = {name: value for name, value in plain.items() if value is not None}
    return found


def version_of(bucket: str, name: str, document: dict[str, Any], older: Any, backend: S3Backend) -> Any:
    """The object or delete marker that `document_of` described. `older` is the version before it."""
    modified = datetime.fromisoformat(document["modified"])
    if document.get("deleted"):
        marker = FakeDeleteMarker(key=older)
        # A marker whose object's versions were all removed has none to take its name from.
        marker.name = name
        marker.last_modified, marker._version_id = modified, document["version"]
        return marker
    key = FakeKey(
        name=name,
        value=Blob(**document["blob"]),  # type: ignore[arg-type]
        account_id=backend.account_id,
        region_name=backend.region_name,
        is_versioned=document.get("versioned", False),
        version_id=document["version"],
        bucket_name=bucket,
    )
    key.last_modified = modified
    key._metadata.clear()
    key._metadata.update(document["metadata"])
    for attribute, value in document["plain"].items():
        setattr(key, attribute, value)
    if "upload" in document:
        key.multipart = FakeMultipart(name, {}, backend.account_id, backend.region_name)  # type: ignore[arg-type]
        key.multipart.id = document["upload"]
    if "tags" in document:
        backend.tagger.tag_resource(key.arn, backend.tagger.convert_dict_to_tags_input(document["tags"]))
    return key
