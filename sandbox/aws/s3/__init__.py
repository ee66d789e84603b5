"""S3 whose objects survive: moto's S3 with the bytes in files and everything else in an index on disk.

Stock moto keeps objects in memory and temporary files, so a restart loses them; checks neither the expiry nor the
signature of a presigned URL; lets two conditional writes both win; and reads a whole object to answer for a range of
it. After `install`:

- a PutObject, CopyObject, DeleteObject(s) or CompleteMultipartUpload that was answered is there after kill -9 and a
  new start (`store`, `records`, `backend`);
- `If-None-Match` and `If-Match` admit one writer, ranges read what they need (`requests`);
- with `credentials`, a request must carry a signature: of a presigned URL it is verified with its expiry, of other
  requests the access key is (`signatures`).

Kept of an object: bytes, metadata, tags, versions and delete markers, checksums, storage class, encryption headers,
locks. Of a bucket: name, region, creation date, versioning; other settings are the provisioner's to make at every
start. Not kept: ACLs, and uploads in parts that were not completed (as if an administrator had aborted them).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sandbox.aws.patches import Patches
from sandbox.aws.s3 import backend, requests
from sandbox.aws.s3.signatures import Credentials
from sandbox.aws.s3.store import Store
from sandbox.aws.tracking import forget_instances

__all__ = ["Credentials", "InstalledS3", "install"]


@dataclass(frozen=True)
class InstalledS3:
    """What `install` made. `close` puts moto back as it was and lets go of the directory."""

    store: Store
    patches: Patches

    def close(self) -> None:
        self.patches.undo()
        self.store.close()


def install(directory: Path, *, credentials: Credentials | None = None) -> InstalledS3:
    """Mend moto's S3 in this process and load what `directory` holds.

    Call it after `mock_aws` was started (which empties moto's backends). Without `credentials` requests are not
    checked.
    """
    store = Store(directory)
    patches = Patches()
    forget_instances(patches)
    journal = backend.install(patches, store)
    requests.install(patches, journal, credentials)
    backend.load(store)
    return InstalledS3(store, patches)
