"""Brings a run's logs to where its cluster's configuration wants them: `<destination>/<cluster id>/driver/stdout` and
the like, among the workspace's files (seed 004, "ClusterLogConf").

Called each time that somebody looks at a live driver, and before a run ends. Everything here may be done twice. While
a driver lives, a log that was delivered after it changed is left alone; the last delivery takes all of them.
"""

from __future__ import annotations

import zlib

from chalicelib.core.ids import cluster_id
from chalicelib.core.model import Run
from chalicelib.core.paths import blob
from chalicelib.ports import BlobInfo, Ports
from chalicelib.services.engines import engine_of

EVERY_S = 300
"""Seconds between deliveries while a driver runs (seed 004, "NewCluster": every five minutes)."""

MOST_PACKED, MOST_PLAIN = 16 << 20, 64 << 20
"""Bytes of a log, as it is stored and unpacked, that is delivered as plain text; a larger one is delivered as `.gz`."""

MOST_LOGS = 2_000
"""Logs of one run that are delivered: those of the driver and about a thousand executors."""


def deliver_logs(ports: Ports, run: Run, *, last: bool = False) -> int:
    """Deliver what is new in a run's logs, or at the `last` time all of them, where the run wants that; returns how
    many files were written."""
    if not run.spec.logs_to or not run.engine_id:
        return 0
    root, written, after = engine_of(ports, run).log_root(run), 0, ""
    for _ in range(MOST_LOGS // 1000):
        page = ports.blobs.list(root, after=after)
        for log in page.blobs:
            target = _target(run, log.name.removeprefix(root))
            if target and (last or not _delivered(ports, log, target)):
                _deliver(ports, log, target)
                written += 1
        after = page.next
        if not after:
            break
    return written


def _target(run: Run, path: str) -> str:
    """Where a log of the engine's goes (`<application>/<pod>/<stream>[.gz]`); empty for what is no log of Spark's."""
    parts = path.split("/")
    if len(parts) != 3:
        return ""
    _, pod, file = parts
    role = "driver" if pod.endswith("-driver") else f"executor/{pod}"
    below = "/".join([run.spec.logs_to.rstrip("/"), cluster_id(run.id), role, file.removesuffix(".gz")])
    return blob(run.workspace, below)


def _delivered(ports: Ports, log: BlobInfo, target: str) -> bool:
    """Whether a copy is newer than the log. Times are of whole seconds, so one of the same second may be older."""
    known = [ports.blobs.stat(name) for name in (target, f"{target}.gz")]
    return any(copy is not None and copy.changed_at > log.changed_at for copy in known)


def _deliver(ports: Ports, log: BlobInfo, target: str) -> None:
    body = (ports.blobs.get(log.name) or b"") if log.size <= MOST_PACKED else None
    text = body if body is None or not log.name.endswith(".gz") else unpacked(body, MOST_PLAIN)
    if text is not None:
        ports.blobs.put(target, text, "text/plain")
    elif log.name.endswith(".gz"):
        ports.blobs.copy(log.name, f"{target}.gz")
        ports.blobs.delete([target])
    else:
        ports.blobs.copy(log.name, target)


def unpacked(body: bytes, most: int) -> bytes | None:
    """The content of a gzip file that may still be growing, or None when that is more than `most` bytes."""
    text = bytearray()
    while body[:2] == b"\x1f\x8b":
        member = zlib.decompressobj(wbits=31)
        try:
            text += member.decompress(body, most + 1 - len(text))
        except zlib.error:
            break
        if len(text) > most:
            return None
        if not member.eof:
            break
        body = member.unused_data
    return bytes(text)
