"""Walking a whole listing, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chalicelib.ports import Listing, Ports


def pages(ports: Ports, listing: Listing, *, size: int, newest_first: bool = False) -> Iterator[tuple[Any, ...]]:
    """The records of a listing in pages of at most `size`. A page is read when it is asked for, so what was changed
    while the one before was looked at is seen."""
    after = ""
    while True:
        page = ports.store.page(listing, limit=size, after=after, newest_first=newest_first)
        yield page.records
        after = page.next
        if not after:
            return
