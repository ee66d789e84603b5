"""The workspace's tree: directories, notebooks and files, each a record below its directory; their contents are blobs.

What must hold at any instant, whoever is killed: an object's directory is there. So what is added to a directory
checks it in the same transaction, and a directory is removed in two steps: it is marked, then (when a look after that
finds nothing in it) removed as marked. Whoever adds to a marked directory takes the mark off.

A notebook or file that is removed is first marked, which hides it; then its bodies go, then the record. A body is
stored before the record that names it: what was cut off in between is a blob that nobody names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from chalicelib.core.errors import AlreadyExists, Conflict, Invalid, NotEmpty, NotFound
from chalicelib.core.model import ObjectType, Revision, WorkspaceObject
from chalicelib.core.tree import ALWAYS, ROOT, Content, always_there, ancestors, split
from chalicelib.ports import Change, Check, Clash, Delete, Key, Ports, Put, children_of, key
from chalicelib.services.access import Call
from chalicelib.services.listings import pages
from chalicelib.services.submission import ATTEMPTS

REVISIONS_KEPT = 100
"""How many contents of a notebook or file are kept; the oldest go first."""

AT_ONCE = 45
"""Objects that are removed in one step: a transaction for the marks, one for the records, and their bodies between."""

REMOVING_MS = 20_000
"""How long one call goes on removing; after that it is to be called again, before the function is out of time."""

TREE_ID_BITS = 53


def object_key(workspace: str, path: str) -> Key:
    """The key of the object at a checked path."""
    return key(WorkspaceObject, workspace, *split(path))


def prefix(found: WorkspaceObject) -> str:
    """Where an object's bodies are."""
    return f"{found.workspace}/workspace/{found.id}/"


def find(ports: Ports, workspace: str, path: str) -> WorkspaceObject:
    """The object at a checked path. Raises NotFound."""
    if path in ALWAYS:
        return always_there(workspace, path)
    wanted = object_key(workspace, path)
    found: WorkspaceObject | None = ports.store.fetch([wanted]).get(wanted)
    if found is None or found.gone:
        raise _missing(path)
    return found


def _missing(path: str) -> NotFound:
    return NotFound("Path", f"({path})")


def list_objects(ports: Ports, workspace: str, path: str) -> list[WorkspaceObject]:
    """What is in a directory, by name; of what is no directory, itself. Raises NotFound."""
    found = find(ports, workspace, path)
    if found.type is not ObjectType.DIRECTORY:
        return [found]
    there = {one.name: one for one in _children(ports, workspace, path) if not one.gone}
    if path == ROOT:
        there |= {one.name: one for one in (always_there(workspace, p) for p in ALWAYS[1:])}
    return [there[name] for name in sorted(there)]


def _children(ports: Ports, workspace: str, path: str) -> Iterable[WorkspaceObject]:
    return (one for page in pages(ports, children_of(workspace, path), size=500) for one in page)


def make_directory(ports: Ports, call: Call, path: str) -> None:
    """Make a directory and those above it that are missing, all or none; no error when it is there. Raises
    AlreadyExists when something else stands in the way."""
    wanted = [one for one in (*ancestors(path), path) if one not in ALWAYS]
    if not wanted:
        return
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        keys = [object_key(call.workspace, one) for one in wanted]
        found = ports.store.fetch(keys)
        there = [found[k] for k in keys if k in found and not found[k].gone]
        for one in there:
            if one.type is not ObjectType.DIRECTORY:
                raise AlreadyExists(f"Path ({one.path}) already exists, and is not a directory.", field="path")
        if len(there) == len(wanted):
            return
        missing = [one for one, k in zip(wanted, keys, strict=True) if k not in found or found[k].gone]
        leftovers = [found[k] for k in keys if k in found and found[k].gone]
        _drop_bodies(ports, leftovers)
        versions = {one.path: one.version for one in leftovers}
        made = [_new(ports, call, one, ObjectType.DIRECTORY, versions.get(one, 0)) for one in missing]
        try:
            ports.store.commit([*(Put(one) for one in made), *_keeping(there[-1:])])
            return
        except Clash:
            continue
    raise _busy()


def _new(ports: Ports, call: Call, path: str, type: ObjectType, version: int) -> WorkspaceObject:
    parent, name = split(path)
    id = ports.dice.bits(TREE_ID_BITS) or 1
    return WorkspaceObject(
        call.workspace, parent, name, id, type, call.principal.name, ports.clock.now(), version=version
    )


def _keeping(directories: Sequence[WorkspaceObject]) -> list[Change]:
    """What makes a transaction fail if a directory is removed meanwhile, or stops its removal."""
    return [Put(replace(one, removing=False)) if one.removing else Check(one) for one in directories]


def _busy() -> Conflict:
    return Conflict("This part of the workspace is being changed by too many at once; please try again.")


def store_content(ports: Ports, call: Call, path: str, content: Content, *, overwrite: bool = False) -> WorkspaceObject:
    """Make a notebook or file at a checked path, or give the one that is there a new revision. Raises NotFound for its
    directory, AlreadyExists, and Invalid for a path that is another kind of thing."""
    if path in ALWAYS:
        raise AlreadyExists(f"Path ({path}) already exists, and is a directory.", field="path")
    here_key = object_key(call.workspace, path)
    parent_keys = [object_key(call.workspace, one) for one in ancestors(path)[-1:] if one not in ALWAYS]
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        found = ports.store.fetch([here_key, *parent_keys])
        parents = [found[k] for k in parent_keys if k in found and found[k].type is ObjectType.DIRECTORY]
        if len(parents) < len(parent_keys):
            raise NotFound("The parent folder", f"({split(path)[0]})")
        here: WorkspaceObject | None = found.get(here_key)
        if here and not here.gone:
            _may_be_replaced(here, content, overwrite)
            base, beside = here, list[Change]()
        else:
            _drop_bodies(ports, [here] if here else [])
            base = _new(ports, call, path, content.type, here.version if here else 0)
            beside = _keeping(parents)
        stored, outdated = _with_revision(ports, base, content)
        ports.blobs.put(body_name(stored), content.body)
        try:
            ports.store.commit([Put(stored), *beside])
        except Clash:
            ports.blobs.delete([body_name(stored)])
            continue
        ports.blobs.delete(outdated)
        return stored
    raise _busy()


def _may_be_replaced(here: WorkspaceObject, content: Content, overwrite: bool) -> None:
    if here.type is ObjectType.DIRECTORY:
        raise AlreadyExists(f"Path ({here.path}) already exists, and is a directory.", field="path")
    if not overwrite:
        raise AlreadyExists(f"Path ({here.path}) already exists.", field="path")
    if here.type is not content.type:
        raise Invalid(
            f"Path ({here.path}) is a {here.type}; it cannot be overwritten with a {content.type}. Delete it first.",
            field="path",
        )


def _with_revision(ports: Ports, base: WorkspaceObject, content: Content) -> tuple[WorkspaceObject, list[str]]:
    """The object with a new revision, and the names of the bodies that are kept no longer."""
    at = max(ports.clock.now(), base.revisions[-1].at + 1 if base.revisions else 0)
    name = f"{at:014d}-{ports.dice.bits(64):016x}"
    revision = Revision(at, name, content.format, len(content.body), content.language)
    revisions = (*base.revisions, revision)
    outdated = [f"{prefix(base)}{one.name}" for one in revisions[:-REVISIONS_KEPT]]
    return replace(base, revisions=revisions[-REVISIONS_KEPT:]), outdated


def body_name(found: WorkspaceObject, revision: Revision | None = None) -> str:
    """The blob of a revision, by default of the newest."""
    return f"{prefix(found)}{(revision or found.revisions[-1]).name}"


def remove(ports: Ports, call: Call, path: str, *, recursive: bool = False) -> None:
    """Remove what is at a checked path, a directory with all that is in it when `recursive`. That is not done at once,
    and what is left when it is interrupted is removed by the next call. Raises NotFound, NotEmpty, Conflict when there
    is more than one call can do, and Invalid for what is always there."""
    if path in ALWAYS:
        raise Invalid(f"Path ({path}) cannot be deleted.", field="path")
    here_key = object_key(call.workspace, path)
    found: WorkspaceObject | None = ports.store.fetch([here_key]).get(here_key)
    if found is None:
        raise _missing(path)
    until = ports.clock.now() + REMOVING_MS
    if found.type is ObjectType.DIRECTORY:
        if not recursive:
            _must_be_empty(found, _children(ports, call.workspace, path))
        _remove_directory(ports, found, recursive, until)
        return
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        if found is None or _remove_contents(ports, [found]):
            return
        found = ports.store.fetch([here_key]).get(here_key)
        if found and found.type is ObjectType.DIRECTORY:
            break
    raise _busy()


def _must_be_empty(directory: WorkspaceObject, children: Iterable[WorkspaceObject]) -> None:
    if any(not one.gone for one in children):
        raise NotEmpty(f"Path ({directory.path}) is not empty; recursive deletes it with all that is in it.")


def _remove_directory(ports: Ports, directory: WorkspaceObject, recursive: bool, until: int) -> None:
    own_key = object_key(directory.workspace, directory.path)
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        found: WorkspaceObject | None = directory if attempt == 0 else ports.store.fetch([own_key]).get(own_key)
        if found is None or found.type is not ObjectType.DIRECTORY:
            return
        try:
            if not found.removing:
                ports.store.commit([Put(replace(found, removing=True))])
                found = replace(found, removing=True, version=found.version + 1)
            _empty(ports, found, recursive, until)
            ports.store.commit([Delete(found)])
            return
        except Clash:
            continue
    raise _busy()


def _empty(ports: Ports, directory: WorkspaceObject, recursive: bool, until: int) -> None:
    """Remove what is in a directory, as far as may be. Raises NotEmpty, and Conflict when time is up."""
    listing = children_of(directory.workspace, directory.path)
    while True:
        children = ports.store.page(listing, limit=AT_ONCE, newest_first=False).records
        if not recursive:
            _must_be_empty(directory, children)
        if not children:
            return
        _remove_contents(ports, [one for one in children if one.type is not ObjectType.DIRECTORY])
        for one in children:
            if one.type is ObjectType.DIRECTORY:
                _remove_directory(ports, one, recursive, until)
            if ports.clock.now() > until:
                raise Conflict(f"There is more below ({directory.path}) than one call can delete; please call again.")


def _remove_contents(ports: Ports, objects: Sequence[WorkspaceObject]) -> bool:
    """Remove notebooks and files; False when some were changed meanwhile, and nothing is lost."""
    marked = [one if one.removing else replace(one, removing=True) for one in objects]
    try:
        if fresh := [Put(one) for one, before in zip(marked, objects, strict=True) if not before.removing]:
            ports.store.commit(fresh)
        _drop_bodies(ports, marked)
        if marked:
            written = [
                one if before.removing else replace(one, version=one.version + 1)
                for one, before in zip(marked, objects, strict=True)
            ]
            ports.store.commit([Delete(one) for one in written])
    except Clash:
        return False
    return True


def _drop_bodies(ports: Ports, objects: Iterable[WorkspaceObject]) -> None:
    if names := [body_name(one, revision) for one in objects for revision in one.revisions]:
        ports.blobs.delete(names)
