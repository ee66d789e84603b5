"""Files that are written in blocks: create, add blocks, close. Called by the dialects.

A block is stored as it comes and noted in the Upload, by its version: of two writers of one handle the second reads
again, so no block is lost or doubled. Once there is enough for a part of the file, its first blocks become one. Which
blocks make a part follows from the Upload alone, so whoever is killed in between, or does it a second time, makes the
same part. Nothing is seen at the path before `close`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from chalicelib.core.errors import BlockTooLarge, Conflict, Invalid, InvalidState, NotFound
from chalicelib.core.ids import RANDOM_BITS, make_id
from chalicelib.core.model import Block, Upload
from chalicelib.core.paths import blob
from chalicelib.ports import Clash, Delete, Ports, Put, key
from chalicelib.services.access import Call
from chalicelib.services.dbfs import MAX_BLOCK, check_writable
from chalicelib.services.submission import ATTEMPTS

IDLE_MS = 600_000
"""How long a handle lives after its last use (DBFS API 2.0, "Create")."""

PART = 8 << 20
"""Bytes from which on blocks become a part of the file."""

MAX_PARTS = 10_000
"""Parts that S3 takes of one file: about 80 GB."""


def create(ports: Ports, call: Call, path: str, *, overwrite: bool) -> int:
    """Open a file for writing; returns the handle. Raises as `check_writable` does."""
    check_writable(ports, call, path, overwrite=overwrite)
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        now = ports.clock.now()
        handle = make_id(now, ports.dice.bits(RANDOM_BITS))
        try:
            ports.store.commit([Put(Upload(call.workspace, handle, path, overwrite, expires_at=now + IDLE_MS))])
            return handle
        except Clash:
            continue
    raise Conflict("Too many files are being created at once; please try again.")


def add_block(ports: Ports, call: Call, handle: int, body: bytes) -> None:
    """Append bytes to the file. Raises BlockTooLarge; NotFound for a handle that is unknown, closed or expired; Invalid
    when the file becomes larger than the blob store takes."""
    if len(body) > MAX_BLOCK:
        raise BlockTooLarge(f"The block is larger than {MAX_BLOCK} bytes.", field="data")
    open_upload(ports, call, handle)
    block = Block(f"{call.workspace}/uploads/{handle}/{ports.dice.text()}", len(body))
    ports.blobs.put(block.name, body)

    def append(upload: Upload) -> Upload:
        if upload.parts >= MAX_PARTS - 1:
            raise Invalid(f"{upload.path} is larger than a file can be.", field="data")
        return replace(upload, size=upload.size + block.size, blocks=(*upload.blocks, block))

    upload = _change(ports, call, handle, append)
    while head := _head(upload):
        upload = _make_part(ports, call, upload, head)


def close(ports: Ports, call: Call, handle: int) -> None:
    """The file is complete: now it is at its path. Raises NotFound as `add_block` does, and as `check_writable` when
    somebody else has written there meanwhile."""
    upload = open_upload(ports, call, handle, closing=True)
    if not upload.closing:
        check_writable(ports, call, upload.path, overwrite=upload.overwrite)
        upload = _change(ports, call, handle, lambda found: replace(found, closing=True), closing=True)
    _complete(ports, call, upload)
    try:
        ports.store.commit([Delete(upload)])
    except Clash:
        pass  # who else closed the same has ended it
    ports.blobs.delete([block.name for block in upload.blocks])


def open_upload(ports: Ports, call: Call, handle: int, *, closing: bool = False) -> Upload:
    """The upload of a handle. Raises NotFound when it is unknown or expired, or (but for `closing`) being closed."""
    upload_key = key(Upload, call.workspace, handle)
    found: Upload | None = ports.store.fetch([upload_key]).get(upload_key)
    if found is None or found.expires_at <= ports.clock.now() or (found.closing and not closing):
        raise NotFound("Handle", handle, field="handle")
    return found


def _change(
    ports: Ports, call: Call, handle: int, edit: Callable[[Upload], Upload], *, closing: bool = False
) -> Upload:
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        found = open_upload(ports, call, handle, closing=closing)
        changed = replace(edit(found), expires_at=ports.clock.now() + IDLE_MS)
        try:
            ports.store.commit([Put(changed)])
            return replace(changed, version=changed.version + 1)
        except Clash:
            continue
    raise Conflict("The file is being written by too many at once; please try again.")


def _head(upload: Upload) -> tuple[Block, ...]:
    """The blocks that make the next part; none while there are too few."""
    size = 0
    for count, block in enumerate(upload.blocks, 1):
        size += block.size
        if size >= PART:
            return upload.blocks[:count]
    return ()


def _make_part(ports: Ports, call: Call, upload: Upload, head: tuple[Block, ...]) -> Upload:
    """The upload with its first blocks as a part. Somebody else may be doing the same: then it is done."""
    name = blob(call.workspace, upload.path)
    if not upload.multipart:
        id = ports.blobs.begin(name)
        upload = _change(ports, call, upload.handle, lambda found: replace(found, multipart=found.multipart or id))
        if _head(upload) != head or upload.parts:
            return upload
    number, content = upload.parts + 1, _content(ports, head)
    if content is None or not ports.blobs.part(name, upload.multipart, number, content):
        found = open_upload(ports, call, upload.handle)
        if found.parts != upload.parts:
            return found
        raise _lost(upload)

    def cut(found: Upload) -> Upload:
        if found.parts != upload.parts:
            return found
        return replace(found, parts=number, blocks=found.blocks[len(head) :])

    changed = _change(ports, call, upload.handle, cut)
    ports.blobs.delete([block.name for block in head])
    return changed


def _content(ports: Ports, blocks: tuple[Block, ...]) -> bytes | None:
    """The blocks' bytes; None when one of them is gone, because somebody else has put them where they belong."""
    found = [ports.blobs.get(block.name) for block in blocks]
    return None if None in found else b"".join(one for one in found if one)


def _complete(ports: Ports, call: Call, upload: Upload) -> None:
    """Put the file at its path; a second time is no error."""
    name, content = blob(call.workspace, upload.path), _content(ports, upload.blocks)
    if content is not None and not upload.multipart:
        ports.blobs.put(name, content)
        return
    if content is not None and _finish(ports, name, upload, content):
        return
    there = ports.blobs.stat(name)
    if there is None or there.size != upload.size:
        raise _lost(upload)


def _finish(ports: Ports, name: str, upload: Upload, rest: bytes) -> bool:
    last = upload.parts + bool(rest)
    if rest and not ports.blobs.part(name, upload.multipart, last, rest):
        return False
    return ports.blobs.finish(name, upload.multipart, last, upload.size)


def _lost(upload: Upload) -> InvalidState:
    return InvalidState(f"What was written of {upload.path} is no longer there; please write it again.")
