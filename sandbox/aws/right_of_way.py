"""Answers come first: what the stream sets off waits for a gap between requests, for a moment at most.

On AWS a request and the functions behind the table's stream run on different machines, and Lambda looks at a stream
four times a second. Here they share one interpreter, so that each submission of a burst would be slowed by the
bookkeeping of the one before. Waiting briefly also makes batches of a burst's records, as it does on AWS. A single
submission is not held up: its stream records are delivered as soon as it is answered.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType


class RightOfWay:
    """A context manager around every request, and `wait` before every delivery."""

    def __init__(self, quiet: float = 0.004, most: float = 0.1) -> None:
        """`quiet`: seconds without a request that make a gap; `most`: seconds after which a delivery goes anyway."""
        self._quiet, self._most = quiet, most
        self._lock = threading.Lock()
        self._inside = 0
        self._left = 0.0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._inside -= 1
            self._left = time.monotonic()

    def wait(self) -> None:
        """Return in a gap between requests, or when the time is up."""
        until = time.monotonic() + self._most
        while (now := time.monotonic()) < until:
            with self._lock:
                gap = 0.0 if self._inside else now - self._left
            if gap >= self._quiet:
                return
            time.sleep(min(self._quiet - gap + 0.0005, until - now))
