"""The workspace's tree: what is there, what was there at an instant, and that no kill breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from chalicelib.core.errors import AlreadyExists, Conflict, Invalid, NotEmpty, NotFound
from chalicelib.core.model import Language, ObjectType, Principal, WorkspaceObject
from chalicelib.core.tree import ALWAYS, MAX_PATH, ancestors, check_path, raw_file, recognized, source_notebook
from chalicelib.services import notebooks, tree
from chalicelib.services.access import Call
from tests.unit.fakes import Killed, World

CALL = Call(Principal("main", "alice"))


def notebook(text: str = "x = 1") -> tree.Content:
    return source_notebook(f"# Databricks notebook source\n{text}\n".encode(), Language.PYTHON)


def names(world: World, path: str) -> list[str]:
    return [one.name for one in tree.list_objects(world.ports, "main", path)]


def put(world: World, path: str, text: str = "x = 1", *, overwrite: bool = False) -> WorkspaceObject:
    return tree.store_content(world.ports, CALL, path, notebook(text), overwrite=overwrite)


def code(world: World, path: str, revision: int = 0) -> str:
    return str(notebooks.read_notebook(world.ports, "main", path, revision).content["cells"][0]["source"])


def check(world: World) -> None:
    """Whatever happened: each object's directory is there, and each revision has its body."""
    for one in world.store.all(WorkspaceObject):
        parents = ancestors(one.path)
        assert not parents or world.store.records[tree.object_key("main", parents[-1])].type is ObjectType.DIRECTORY
        if not one.gone:
            assert all(tree.body_name(one, revision) in world.blobs.bodies for revision in one.revisions)


@pytest.mark.parametrize(
    "path", ["", "a", "a/b", "//", "/a//b", "/a/", "/a/../b", "/..", "/.", "/a/./b", "/a\n", "/a\x00", "/\x7f",
             "/\ud800",
             "/" + "ä" * MAX_PATH, "/" + "a/" * 60 + "b"]
)  # fmt: skip
def test_what_is_no_path_is_refused(path: str) -> None:
    if path == "/a/":
        assert check_path(path) == "/a"
        return
    with pytest.raises(Invalid):
        check_path(path)


@pytest.mark.parametrize("path", ["/", "/Users/a@b.c/Ünï ☃", "/a#b", "/.hidden", "/a..b", "/~", "/" + "a" * 899])
def test_any_unicode_is_a_path(path: str) -> None:
    assert check_path(path) == path


def test_some_directories_are_always_there() -> None:
    world = World()
    assert names(world, "/") == ["Shared", "Users"]
    assert [tree.find(world.ports, "main", path).type for path in ALWAYS] == [ObjectType.DIRECTORY] * 3
    for path in ALWAYS:
        tree.make_directory(world.ports, CALL, path)
        with pytest.raises(Invalid):
            tree.remove(world.ports, CALL, path, recursive=True)
        with pytest.raises(AlreadyExists):
            put(world, path, overwrite=True)
    assert not world.store.records


def test_a_directory_is_made_with_all_above_it_in_one_write() -> None:
    world = World()
    tree.make_directory(world.ports, CALL, "/Users/alice/a/b")
    assert world.store.counts["commit"] == 1
    assert names(world, "/Users") == ["alice"] and names(world, "/Users/alice/a") == ["b"]
    tree.make_directory(world.ports, CALL, "/Users/alice/a/b")
    assert world.store.counts["commit"] == 1
    with pytest.raises(AlreadyExists):
        put(world, "/Users/alice/n") and tree.make_directory(world.ports, CALL, "/Users/alice/n/below")
    assert names(world, "/Users/alice") == ["a", "n"]


def test_an_object_needs_its_directory() -> None:
    world = World()
    put(world, "/n")
    for path in ("/missing/n", "/n/below"):
        with pytest.raises(NotFound, match="The parent folder"):
            put(world, path)
    assert names(world, "/") == ["Shared", "Users", "n"]


def test_revisions_are_kept_and_chosen_by_an_instant() -> None:
    world = World()
    first = put(world, "/n", "one")
    world.clock.advance(1000)
    second = put(world, "/n", "two", overwrite=True)
    third = put(world, "/n", "three", overwrite=True)
    assert first.id == second.id == third.id and first.created_at == third.created_at
    instants = [revision.at for revision in third.revisions]
    assert instants == sorted(set(instants)) and len(instants) == 3
    assert code(world, "/n") == "three"
    assert [code(world, "/n", at) for at in instants] == ["one", "two", "three"]
    assert code(world, "/n", instants[1] - 1) == "one" and code(world, "/n", instants[2] + 10**6) == "three"
    with pytest.raises(NotFound, match="Revision"):
        code(world, "/n", instants[0] - 1)


def test_the_oldest_revisions_go_with_their_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "REVISIONS_KEPT", 3)
    world = World()
    for number in range(6):
        put(world, "/n", str(number), overwrite=True)
    found = tree.find(world.ports, "main", "/n")
    assert [code(world, "/n", revision.at) for revision in found.revisions] == ["3", "4", "5"]
    assert len(world.blobs.bodies) == 3


def test_nothing_is_overwritten_unasked_nor_by_another_kind_of_thing() -> None:
    world = World()
    put(world, "/n")
    tree.make_directory(world.ports, CALL, "/d")
    before, bodies = world.store.snapshot(), dict(world.blobs.bodies)
    with pytest.raises(AlreadyExists):
        put(world, "/n")
    with pytest.raises(AlreadyExists, match="directory"):
        put(world, "/d", overwrite=True)
    with pytest.raises(Invalid, match="NOTEBOOK"):
        tree.store_content(world.ports, CALL, "/n", raw_file(b"x"), overwrite=True)
    assert world.store.records == before and world.blobs.bodies == bodies


def grown(world: World) -> None:
    """A directory with files and directories."""
    for path in ("/d/a/b", "/d/c", "/e"):
        tree.make_directory(world.ports, CALL, path)
    for number in range(60):
        put(world, f"/d/n{number}")
    for path in ("/d/a/n", "/d/a/b/n", "/e/n"):
        put(world, path)
        put(world, path, "again", overwrite=True)


def test_a_directory_goes_with_all_that_is_in_it_only_when_told_so() -> None:
    world = World()
    grown(world)
    before, bodies = world.store.snapshot(), dict(world.blobs.bodies)
    with pytest.raises(NotEmpty):
        tree.remove(world.ports, CALL, "/d")
    assert world.store.records == before and world.blobs.bodies == bodies
    tree.remove(world.ports, CALL, "/d", recursive=True)
    assert names(world, "/") == ["Shared", "Users", "e"]
    tree.remove(world.ports, CALL, "/e/n")
    tree.remove(world.ports, CALL, "/e")
    assert not world.store.records and not world.blobs.bodies
    with pytest.raises(NotFound):
        tree.remove(world.ports, CALL, "/e")


def test_more_than_one_call_can_remove_is_removed_by_several(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    grown(world)
    now = world.clock.now
    monkeypatch.setattr(world.clock, "now", lambda: world.clock.advance(1000) or now())
    calls = 0
    while True:
        calls += 1
        try:
            tree.remove(world.ports, CALL, "/d", recursive=True)
            break
        except Conflict:
            assert calls < 50
    assert calls > 1
    assert names(world, "/") == ["Shared", "Users", "e"]


STEPS: dict[str, Callable[[World], object]] = {
    "make": lambda world: tree.make_directory(world.ports, CALL, "/d/x/y"),
    "import": lambda world: put(world, "/d/new", "new", overwrite=True),
    "overwrite": lambda world: put(world, "/d/a/n", "newer", overwrite=True),
    "remove": lambda world: tree.remove(world.ports, CALL, "/d/a/n"),
    "remove all": lambda world: tree.remove(world.ports, CALL, "/d", recursive=True),
}


def small(world: World) -> None:
    tree.make_directory(world.ports, CALL, "/d/a")
    for path in ("/d/a/n", "/d/m"):
        put(world, path)
        put(world, path, "again", overwrite=True)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_whoever_is_killed_may_be_called_again(step: str, after: bool) -> None:
    def played(at: int) -> tuple[World, int]:
        world = World()
        small(world)
        world.tripwire.arm(at, after=after)
        try:
            STEPS[step](world)
        except Killed:
            check(world)
            try:
                STEPS[step](world)
            except NotFound:
                assert step.startswith("remove")
        check(world)
        return world, world.tripwire.calls

    peaceful, calls = played(0)
    shape = {one.path: len(one.revisions) for one in peaceful.store.all(WorkspaceObject)}
    for number in range(1, calls + 1):
        world, _ = played(number)
        found = {one.path: one for one in world.store.all(WorkspaceObject)}
        assert set(found) == set(shape), number
        assert all(shape[path] <= len(one.revisions) <= shape[path] + 1 for path, one in found.items())
        if step == "remove all":
            assert not world.blobs.bodies


VISITS: dict[str, Callable[[World], object]] = {
    **STEPS,
    "add": lambda world: put(world, "/d/other", "other"),
    "add deep": lambda world: put(world, "/d/a/other", "other"),
}


@pytest.mark.parametrize("visit", VISITS)
@pytest.mark.parametrize("step", STEPS)
def test_two_at_once_leave_a_whole_tree(step: str, visit: str) -> None:
    calls = 1
    number = 0
    while number < calls:
        number += 1
        world = World()
        small(world)

        def meanwhile(world: World = world) -> None:
            try:
                VISITS[visit](world)
            except (NotFound, AlreadyExists):
                pass

        world.tripwire.admit(number, meanwhile)
        try:
            STEPS[step](world)
        except NotFound:
            assert "remove" in visit or "remove" in step, number
        calls = max(calls, world.tripwire.calls if number == 1 else calls)
        check(world)


def test_an_empty_directory_that_somebody_adds_to_stays() -> None:
    for number in range(1, 8):
        world = World()
        tree.make_directory(world.ports, CALL, "/d")
        world.tripwire.admit(number, lambda world=world: put(world, "/d/n"))  # type: ignore[misc]
        try:
            tree.remove(world.ports, CALL, "/d")
            removed = True
        except NotEmpty:
            removed = False
        added = world.tripwire.sprung
        world.tripwire.disarm()
        assert added is (not removed), number
        if added:
            assert code(world, "/d/n") == "x = 1"
        check(world)


def test_what_was_cut_off_while_it_was_removed_is_gone_and_its_place_is_free() -> None:
    world = World()
    first = put(world, "/n")
    world.tripwire.arm(3, after=False)  # the read, the mark; killed before the bodies go
    with pytest.raises(Killed):
        tree.remove(world.ports, CALL, "/n")
    assert names(world, "/") == ["Shared", "Users"]
    with pytest.raises(NotFound):
        code(world, "/n")
    again = put(world, "/n", "again")
    assert again.id != first.id and code(world, "/n") == "again" and len(world.blobs.bodies) == 1
    tree.remove(world.ports, CALL, "/n")
    world.store.seed(replace(again, removing=True, version=0))
    tree.make_directory(world.ports, CALL, "/n/d")
    assert names(world, "/n") == ["d"]


@pytest.mark.parametrize(
    ("path", "body", "where", "type", "language"),
    [
        ("/a.py", b"# Databricks notebook source\nx", "/a", ObjectType.NOTEBOOK, Language.PYTHON),
        ("/a.SQL", b"-- Databricks notebook source\r\nx", "/a", ObjectType.NOTEBOOK, Language.SQL),
        ("/a.scala", b"// Databricks notebook source", "/a", ObjectType.NOTEBOOK, Language.SCALA),
        ("/a.r", b"# Databricks notebook source\nx", "/a", ObjectType.NOTEBOOK, Language.R),
        ("/a.ipynb", b'{"nbformat": 4, "cells": []}', "/a", ObjectType.NOTEBOOK, Language.PYTHON),
        ("/a.py", b"x = 1", "/a.py", ObjectType.FILE, None),
        ("/a.sql", b"# Databricks notebook source", "/a.sql", ObjectType.FILE, None),
        ("/a.csv", b"a,b", "/a.csv", ObjectType.FILE, None),
        ("/d.py/a", b"# Databricks notebook source\nx", "/d.py/a", ObjectType.FILE, None),
        ("/.py", b"# Databricks notebook source\nx", "/.py", ObjectType.FILE, None),
    ],
)
def test_a_file_is_recognized_by_its_extension_and_its_first_line(
    path: str, body: bytes, where: str, type: ObjectType, language: Language | None
) -> None:
    found, content = recognized(path, body)
    assert (found, content.type, content.language) == (where, type, language)


def test_a_notebook_is_no_file_and_a_file_no_notebook() -> None:
    world = World()
    put(world, "/n")
    tree.store_content(world.ports, CALL, "/f.txt", raw_file(b"\x00\xff"))
    assert notebooks.read_file(world.ports, "main", "/f.txt") == b"\x00\xff"
    with pytest.raises(NotFound, match="File"):
        notebooks.read_file(world.ports, "main", "/n")
    for path in ("/f.txt", "/Users"):
        with pytest.raises(NotFound, match="Notebook"):
            notebooks.read_notebook(world.ports, "main", path)
    with pytest.raises(NotFound, match="Path"):
        notebooks.read_notebook(world.ports, "elsewhere", "/n")
