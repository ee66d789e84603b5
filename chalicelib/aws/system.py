"""The Clock, Dice and Secret ports."""

from __future__ import annotations

import random
import secrets
import time

from chalicelib.core.model import Deployment
from chalicelib.ports import Clash, Put, Store, key


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """See Clock.now."""
        return time.time_ns() // 1_000_000

    def pause(self, attempt: int) -> None:
        """See Clock.pause: at random up to 5 ms, doubling to 320 ms."""
        if attempt:
            time.sleep(random.uniform(0, 0.005 * 2 ** min(attempt - 1, 6)))


class SystemDice:
    """The operating system's randomness."""

    def bits(self, count: int) -> int:
        """See Dice.bits."""
        return secrets.randbits(count)

    def text(self) -> str:
        """See Dice.text."""
        return secrets.token_urlsafe(32)


class StoredSecret:
    """The deployment's key: made by whoever needs it first, kept in the table, read once a process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._secret = b""

    def __call__(self) -> bytes:
        """See Secret."""
        if not self._secret:
            self._secret = bytes.fromhex(self._read_or_make().secret)
        return self._secret

    def _read_or_make(self) -> Deployment:
        deployment_key = key(Deployment)
        found = self._store.fetch([deployment_key]).get(deployment_key)
        if isinstance(found, Deployment):
            return found
        made = Deployment(secrets.token_hex(32))
        try:
            self._store.commit([Put(made)])
            return made
        except Clash:
            return self._read_or_make()
