"""Files of the workspace: writers that are killed, writers that meet, moves that are cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from chalicelib.core.errors import AlreadyExists, Conflict, InvalidState, NotFound
from chalicelib.core.model import Move, Principal, Role, Upload
from chalicelib.services import dbfs, uploads
from chalicelib.services.access import Call
from tests.unit.fakes import Killed, World

CALL = Call(Principal("main", "alice", Role.USER))
PART = 5 << 20
BLOCKS = [bytes([n]) * (1 << 20) for n in range(12)]


@dataclass
class Files(World):
    """A world whose parts are as small as S3 allows, so that tests are quick."""

    handle: int = field(default=0)

    def content(self, path: str) -> bytes | None:
        return self.blobs.bodies.get(f"main/dbfs{path}")

    def tried(self, step: Callable[[], None]) -> None:
        """Do it as a client does who hears nothing when the other side is killed: once more."""
        try:
            step()
        except Killed:
            step()

    def forgotten(self) -> bool:
        """Whether nothing is left of uploads and moves but what expires by itself."""
        return not self.store.all(Upload) and not self.store.all(Move)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PART", PART)


def written(world: Files, kill_at: int, *, after: bool) -> int:
    """Write a file with a kill at that call (0: none). A block whose writer was killed is not sent twice: whether it
    was taken is what its client cannot know, so the file may be with it or without it."""
    world.handle = uploads.create(world.ports, CALL, "/big", overwrite=False)
    world.tripwire.arm(kill_at, after=after)
    lost: list[bytes] = []
    for block in BLOCKS:
        try:
            uploads.add_block(world.ports, CALL, world.handle, block)
        except Killed:
            lost.append(block)
    while True:
        try:
            uploads.close(world.ports, CALL, world.handle)
            break
        except Killed:
            continue
        except NotFound:
            break  # the kill came after the very last step
    calls = world.tripwire.calls
    without = b"".join(block for block in BLOCKS if block not in lost)
    assert world.content("/big") in (b"".join(BLOCKS), without)
    assert world.forgotten()
    return calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_file_is_whole_whichever_call_its_writer_is_killed_at(after: bool) -> None:
    for number in range(1, written(Files(), 0, after=after) + 1):
        written(Files(), number, after=after)


def test_blocks_of_two_writers_are_all_there_however_they_meet() -> None:
    number = 0
    while True:
        number += 1
        world = Files()
        handle = uploads.create(world.ports, CALL, "/big", overwrite=False)
        for block in BLOCKS[:4]:
            uploads.add_block(world.ports, CALL, handle, block)

        def other(world: Files = world, handle: int = handle) -> None:
            uploads.add_block(world.ports, CALL, handle, BLOCKS[5])
            uploads.add_block(world.ports, CALL, handle, BLOCKS[6])

        world.tripwire.admit(number, other)
        uploads.add_block(world.ports, CALL, handle, BLOCKS[4])
        met = world.tripwire.sprung
        world.tripwire.disarm()
        uploads.close(world.ports, CALL, handle)
        content = world.content("/big") or b""
        if not met:
            assert content == b"".join(BLOCKS[:5])
            break
        assert content[: 4 << 20] == b"".join(BLOCKS[:4])
        rest = [content[at : at + 1] for at in range(4 << 20, len(content), 1 << 20)]
        assert sorted(rest) == [b"\4", b"\5", b"\6"] and rest.index(b"\5") < rest.index(b"\6")
        assert world.forgotten()
    assert number > 10


def test_closing_twice_at_once_makes_one_file() -> None:
    number, met = 0, True
    while met:
        number += 1
        world = Files()
        handle = uploads.create(world.ports, CALL, "/big", overwrite=False)
        for block in BLOCKS:
            uploads.add_block(world.ports, CALL, handle, block)
        outcomes: list[bool] = []

        def close(world: Files = world, handle: int = handle, outcomes: list[bool] = outcomes) -> None:
            try:
                uploads.close(world.ports, CALL, handle)
                outcomes.append(True)
            except (NotFound, AlreadyExists, Conflict, InvalidState):
                outcomes.append(False)

        world.tripwire.admit(number, close)
        close()
        met = world.tripwire.sprung
        assert any(outcomes)
        assert world.content("/big") == b"".join(BLOCKS)
        assert world.forgotten()
    assert number > 5


def test_a_block_that_comes_while_the_file_is_closed_is_in_it_or_refused() -> None:
    number, met = 0, True
    while met:
        number += 1
        world = Files()
        handle = uploads.create(world.ports, CALL, "/big", overwrite=False)
        for block in BLOCKS[:9]:
            uploads.add_block(world.ports, CALL, handle, block)
        taken: list[bool] = []

        def late(world: Files = world, handle: int = handle, taken: list[bool] = taken) -> None:
            try:
                uploads.add_block(world.ports, CALL, handle, BLOCKS[9])
                taken.append(True)
            except NotFound:
                taken.append(False)

        world.tripwire.admit(number, late)
        uploads.close(world.ports, CALL, handle)
        met = world.tripwire.sprung
        assert world.content("/big") == b"".join(BLOCKS[: 10 if taken == [True] else 9])
    assert number > 5


def test_a_file_whose_parts_are_lost_is_an_error_and_not_a_shorter_file() -> None:
    world = Files()
    handle = uploads.create(world.ports, CALL, "/big", overwrite=False)
    for block in BLOCKS:
        uploads.add_block(world.ports, CALL, handle, block)
    world.blobs.unfinished.clear()
    with pytest.raises(InvalidState, match="no longer there"):
        uploads.close(world.ports, CALL, handle)
    assert world.content("/big") is None


def test_a_block_that_is_lost_is_an_error_and_not_a_shorter_file() -> None:
    world = Files()
    handle = uploads.create(world.ports, CALL, "/big", overwrite=False)
    for block in BLOCKS[:2]:
        uploads.add_block(world.ports, CALL, handle, block)
    world.blobs.delete([next(name for name in world.blobs.bodies if "/uploads/" in name)])
    with pytest.raises(InvalidState, match="no longer there"):
        uploads.close(world.ports, CALL, handle)
    assert world.content("/big") is None


TREE = {"/d/a": b"a", "/d/e/b": b"b", "/d/e/c": b"c"}


def moved(world: Files, kill_at: int, *, after: bool, source: str, target: str) -> int:
    for path, body in TREE.items():
        dbfs.put(world.ports, CALL, path, body, overwrite=False)
    world.tripwire.arm(kill_at, after=after)
    try:
        world.tried(lambda: dbfs.move(world.ports, CALL, source, target))
    except NotFound:
        assert after  # the kill came after the very last step
    calls = world.tripwire.calls
    found = {name: body for name, body in world.blobs.bodies.items() if not name.endswith("/")}
    assert found == {
        f"main/dbfs{target + path.removeprefix(source) if path.startswith(source) else path}": body
        for path, body in TREE.items()
    }
    assert world.forgotten()
    return calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("source", "target"), [("/d", "/x/y"), ("/d/e/b", "/b")])
def test_a_move_that_was_killed_goes_on_when_it_is_asked_for_again(after: bool, source: str, target: str) -> None:
    for number in range(1, moved(Files(), 0, after=after, source=source, target=target) + 1):
        moved(Files(), number, after=after, source=source, target=target)


def test_a_move_that_was_cut_long_ago_is_begun_anew() -> None:
    world = Files()
    dbfs.put(world.ports, CALL, "/a", b"1", overwrite=False)
    world.tripwire.arm(6, after=True)
    with pytest.raises(Killed):
        dbfs.move(world.ports, CALL, "/a", "/b")
    assert world.store.all(Move)
    world.clock.advance(dbfs.MOVE_MS)
    dbfs.move(world.ports, CALL, "/a", "/c")
    assert world.content("/c") == b"1" and world.forgotten()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_deletion_that_was_killed_goes_on_when_it_is_asked_for_again(after: bool) -> None:
    for number in range(1, 12):
        world = Files()
        for path, body in TREE.items():
            dbfs.put(world.ports, CALL, path, body, overwrite=False)
        world.tripwire.arm(number, after=after)
        try:
            world.tried(partial(dbfs.delete, world.ports, CALL, "/d", recursive=True))
        except NotFound:
            pass  # all of it was gone already
        assert not [name for name in world.blobs.bodies if name.startswith("main/dbfs/d/")]
