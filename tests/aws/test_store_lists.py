"""The store's lists, page by page, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from chalicelib.core.model import FeedHead, Hold, Job, ObjectType, QueueRow, RunKind, WorkspaceObject
from chalicelib.core.states import RunState
from chalicelib.ports import (
    Key,
    Listing,
    Put,
    Record,
    Store,
    active_runs,
    beyond,
    children_of,
    events_of,
    holds_of,
    jobs_of_workspace,
    key_of,
    queue_of,
    queues_of,
    runs_in_state,
    runs_of_job,
    runs_of_pool,
    runs_of_workspace,
)
from tests.aws.samples import AMOUNT, SPEC, event, run, written
from tests.aws.world import deployed

NUMBERS = (1, 2, 9, 10, 11, 1 << 45, (1 << 53) - 1)
OTHERS: list[Record] = [
    run(500, kind=RunKind.SESSION, job=8, pool="other", state=RunState.RUNNING),
    run(501, job=70, pool="etl2", state=RunState.SUCCEEDED, hidden=True),
    replace(run(502), workspace="main2"),
    replace(run(503, job=8, pool="other"), workspace="mai"),
    Job("main2", 500, SPEC, "bob", 1),
    QueueRow("default", "main", "etl2", 500, 5, AMOUNT),
    QueueRow("default2", "main", "etl", 500, 5, AMOUNT),
    Hold("default2", "main", 500, "etl", AMOUNT),
    FeedHead("main", 9, {}),
    replace(event(500), workspace="main2"),
    WorkspaceObject("main", "/d/e", "n", 1, ObjectType.DIRECTORY, "alice", 1),
    WorkspaceObject("main", "/", "d", 1, ObjectType.DIRECTORY, "alice", 1),
    WorkspaceObject("main2", "/d", "n", 1, ObjectType.DIRECTORY, "alice", 1),
]
"""Neighbours of each list that are in none of them."""

LISTS: dict[str, tuple[Listing, Callable[[int], Record]]] = {
    "runs": (runs_of_workspace("main", RunKind.BATCH), run),
    "active": (active_runs("main", RunKind.BATCH), run),
    "job": (runs_of_job("main", 7), run),
    "pool": (runs_of_pool("main", "etl", RunKind.BATCH), run),
    "state": (runs_in_state("main", "etl", RunKind.BATCH, RunState.QUEUED), run),
    "jobs": (jobs_of_workspace("main"), lambda n: Job("main", n, SPEC, "alice", n)),
    "queue": (queue_of("default", "main", "etl"), lambda n: QueueRow("default", "main", "etl", 1, n, AMOUNT)),
    "holds": (holds_of("default"), lambda n: Hold("default", "main", n, "etl", AMOUNT)),
    "feed": (events_of("main"), event),
    "children": (
        children_of("main", "/d"),
        lambda n: WorkspaceObject("main", "/d", f"{n:017d} ☃", n, ObjectType.DIRECTORY, "alice", n),
    ),
}


@pytest.fixture(scope="module")
def library() -> Iterator[Store]:
    """A store with a few of everything."""
    records: dict[Key, Record] = {key_of(r): r for r in OTHERS}
    for _, make in LISTS.values():
        records |= {key_of(made): made for made in map(make, NUMBERS)}
    with pytest.MonkeyPatch.context() as patch, deployed(patch) as world:
        for record in records.values():
            world.ports.store.commit([Put(record)])
        yield world.ports.store


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
@pytest.mark.parametrize("newest_first", [True, False], ids=["newest_first", "oldest_first"])
@pytest.mark.parametrize("name", LISTS)
def test_the_pages_of_a_list_are_the_list_in_order(library: Store, name: str, newest_first: bool, limit: int) -> None:
    listing, make = LISTS[name]
    expected = [written(make(number)) for number in sorted(NUMBERS, reverse=newest_first)]
    seen: list[Record] = []
    after, pages = "", 0
    while True:
        page = library.page(listing, limit=limit, after=after, newest_first=newest_first)
        assert len(page.records) <= limit
        seen += page.records
        pages += 1
        after = page.next
        if not after:
            break
    assert seen == expected
    assert pages <= len(expected) // limit + 1


def test_the_queues_of_a_cluster_are_read_pool_by_pool_and_may_be_skipped(library: Store) -> None:
    """Whatever pools are called; a position behind a pool's rows need not be a row's."""
    pools = ["a", "a#", "a#0000000000000001#", "a%23", "a/b", "a~", "ä b"]
    rows = [QueueRow("lanes", "main", pool, 1, n, AMOUNT) for pool in pools for n in NUMBERS]
    for row in rows:
        library.commit([Put(row)])
    mine = {
        pool: [written(row) for row in sorted(rows, key=lambda r: r.ready_at) if row.pool == pool] for pool in pools
    }
    for pool in pools:
        page = library.page(queue_of("lanes", "main", pool), limit=100, newest_first=False)
        assert list(page.records) == mine[pool]
    all_of_them = queues_of("lanes")
    whole = library.page(all_of_them, limit=100, newest_first=False).records
    order = list(dict.fromkeys(row.pool for row in whole))
    assert list(whole) == [row for pool in order for row in mine[pool]] and sorted(order) == sorted(pools)
    after, firsts = "", []
    while records := library.page(all_of_them, limit=2, after=after, newest_first=False).records:
        firsts.append(records[0])
        after = beyond(records[0])
    assert firsts == [mine[pool][0] for pool in order]
