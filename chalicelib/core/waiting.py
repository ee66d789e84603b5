"""Why a run waits, in numbers, and where it stands. Pure; what dialects show of a run that is QUEUED."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from chalicelib.core.capacity import DIMENSIONS, NOTHING, PATIENCE, Amount, Ledger, PoolAccount, Row, in_words


class Reason(StrEnum):
    """What a waiting run waits for.

    NOT_BEFORE: an instant. NO_POOL: its pool has no capacity in this cluster. APPLICATION and QUOTA: more than its pool
    allows one run, or than its pool has free. CLUSTER: more than the cluster has free. TURN: a free place among the
    drivers that its pool runs at once, or the runs of its pool before it. NEXT: nothing in its pool, where it is the
    next and has room, unless what is free is kept for other pools. DISPATCH: nothing any more; it is about to be
    granted.
    """

    NOT_BEFORE = "NOT_BEFORE"
    NO_POOL = "NO_POOL"
    APPLICATION = "APPLICATION"
    QUOTA = "QUOTA"
    CLUSTER = "CLUSTER"
    TURN = "TURN"
    NEXT = "NEXT"
    DISPATCH = "DISPATCH"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A waiting run's place in its pool's queue (1 is the next; 0 for none, since no limit admits it), what it waits
    for, and that as a sentence."""

    position: int
    reason: Reason
    message: str


def explain(
    ledger: Ledger, pool: str, amount: Amount, ahead: Sequence[Row], *, more: bool = False, not_before: int = 0
) -> Waiting:
    """Why a run that asks `amount` of a pool (its key in the ledger) is not granted now.

    `ahead` is who stands before it in its pool's queue and is ready, the next one first; `more` says that there are
    others than these. `not_before` is the instant (epoch ms) for which it waits, when that is to come.
    """
    account = ledger.pools.get(pool)
    name = pool.partition("/")[2]
    if account is None:
        return Waiting(0, Reason.NO_POOL, f"Pool {name} has no capacity in this cluster.")
    never = too_large(ledger, pool, amount)
    if never:
        return never
    ahead = [row for row in ahead if row.amount.fits(ledger.ceiling(pool))]
    place = len(ahead) + 1
    if not_before:
        at = datetime.fromtimestamp(not_before / 1000, UTC)
        return Waiting(
            place, Reason.NOT_BEFORE, f"Waiting until {at:%Y-%m-%dT%H:%M:%SZ}, before which it may not start."
        )
    rooms = _rooms(ledger, account, name)
    if bound := _bound(amount, ahead, rooms):
        room, dimension = bound
        if dimension == "runs":
            turn = Reason.TURN if room.reason is Reason.QUOTA else room.reason
            return Waiting(place, turn, _turn(room, ahead, more))
        told = _asked(amount, ahead, dimension, more)
        return Waiting(place, room.reason, f"{told}; {_free(dimension, room)} of {room.owner} are free.")
    if ahead:
        return Waiting(place, Reason.TURN, f"Waiting behind {_counted(ahead, more)} of pool {name}.")
    if any(other.passed >= PATIENCE or other.owed() != NOTHING for key, other in ledger.pools.items() if key != pool):
        return Waiting(1, Reason.NEXT, f"Next in pool {name}; what is free may be kept for pools with a better claim.")
    return Waiting(1, Reason.DISPATCH, f"Next in pool {name}; there is room for it.")


@dataclass(frozen=True, slots=True)
class _Room:
    """Whose capacity it is, what it is in all, and what of it is free."""

    reason: Reason
    owner: str
    limit: Amount
    free: Amount


def _rooms(ledger: Ledger, account: PoolAccount, name: str) -> list[_Room]:
    return [
        _Room(Reason.QUOTA, f"pool {name}", account.maximum, account.room),
        _Room(Reason.CLUSTER, "the cluster", ledger.total, ledger.free()),
    ]


def _bound(amount: Amount, ahead: Sequence[Row], rooms: Sequence[_Room]) -> tuple[_Room, str] | None:
    """What the queue comes to a stop at: where, and in which dimension of those that the run itself asks something of,
    there is first no room for who stands next, those before it included. None when there is room for all."""
    dimensions = [dimension for dimension in DIMENSIONS if getattr(amount, dimension)]
    together = NOTHING
    for next_ in (*(row.amount for row in ahead), amount):
        together += next_
        for room in rooms:
            for dimension in dimensions:
                if getattr(next_, dimension) and getattr(together, dimension) > getattr(room.free, dimension):
                    return room, dimension
    return None


def _turn(room: _Room, ahead: Sequence[Row], more: bool) -> str:
    limit, free = room.limit.runs, max(0, room.free.runs)
    told = f"Waiting for its turn: {room.owner} runs {limit} driver{'s' if limit != 1 else ''} at once"
    last = f", and {_counted(ahead, more)} ahead of it {'go' if len(ahead) > 1 or more else 'goes'} first"
    return f"{told}; {free} of these places {'is' if free == 1 else 'are'} free{last if ahead else ''}."


def _asked(amount: Amount, ahead: Sequence[Row], dimension: str, more: bool) -> str:
    before = sum((row.amount for row in ahead), NOTHING)
    mine, theirs = (in_words(dimension, getattr(asked, dimension)) for asked in (amount, before))
    told = f"Waiting for capacity: the run asks {mine}"
    verb = "ask" if len(ahead) > 1 or more else "asks"
    return f"{told}, {_counted(ahead, more)} ahead of it {verb} {theirs}" if ahead else told


def _counted(ahead: Sequence[Row], more: bool) -> str:
    count = f"more than {len(ahead)}" if more else f"the {len(ahead)}" if len(ahead) > 1 else "the one"
    return f"{count} run{'s' if len(ahead) > 1 or more else ''}"


def _free(dimension: str, room: _Room) -> str:
    number = in_words(dimension, getattr(room.free, dimension)).partition(" ")[0]
    return f"{number} of the {in_words(dimension, getattr(room.limit, dimension))}"


def too_large(ledger: Ledger, pool: str, amount: Amount) -> Waiting | None:
    """Why no run of this size could ever be granted to the pool under the present limits; None if one could."""
    account, name = ledger.pools.get(pool, PoolAccount(maximum=NOTHING)), pool.partition("/")[2]
    for reason, limit, owner in (
        (Reason.APPLICATION, account.application, f"pool {name} allows one run"),
        (Reason.QUOTA, account.maximum, f"pool {name} may ever hold"),
        (Reason.CLUSTER, ledger.total, "the cluster has"),
    ):
        for dimension in DIMENSIONS:
            asked, most = getattr(amount, dimension), getattr(limit, dimension)
            if asked > most:
                asks, allowed = in_words(dimension, asked), in_words(dimension, most)
                message = f"The run asks for {asks} in total, which is more than the {allowed} that {owner}."
                pools_own = dimension == "runs" and reason is not Reason.CLUSTER
                return Waiting(0, Reason.TURN if pools_own else reason, message)
    return None
