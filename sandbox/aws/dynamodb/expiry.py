"""Time to live: items whose expiry has passed are removed, with the stream records that AWS writes for it.

moto accepts the setting and never expires anything.
"""

from sandbox.aws.dynamodb.layout import Layout
from sandbox.aws.dynamodb.storage import Storage

BATCH = 200  # rows a transaction, so that requests get their turn between two
OLDEST_SECONDS = 5 * 365 * 24 * 3600  # an expiry longer ago than this is taken for a mistake, as on AWS
IDENTITY = "dynamodb.amazonaws.com"


def expire(storage: Storage, layout: Layout, now: float) -> int:
    """Remove what has expired by `now` (epoch seconds) from one table; returns how many items."""
    if layout.ttl is None:
        return 0
    removed = 0
    while True:
        count = _expire_batch(storage, layout, now)
        removed += count
        if count < BATCH:
            return removed


def _expire_batch(storage: Storage, layout: Layout, now: float) -> int:
    column = layout.extra_columns[-1]
    with storage.unit(write=True, identity=IDENTITY) as unit:
        due = unit.connection.execute(
            f"select doc from {layout.sql} where {column}<=? and {column}>=? order by {column} limit {BATCH}",
            (now, now - OLDEST_SECONDS),
        ).fetchall()
        for (doc,) in due:
            unit.load(layout, doc).item = None
    return len(due)
