"""Gives a process directories of its own at paths where the machine has something else, or nothing: what the volumes
of a pod are to its containers. Used by `shim.py`, in the process that becomes the driver, and only when it has mounts.

The process gets a mount namespace of its own, so nobody else sees any of this and it is gone with the process. Root
may make one; everyone else makes a user namespace first, in which they keep their own user and group. Where a mount
path exists, the directory is mounted over it. Where it does not, the machine's directories above it (mostly just `/`)
are made anew in memory, with all that is in them mounted at its place, and the process's root becomes that.

Standard library only, and Linux only: elsewhere, and where namespaces are not allowed, `enter` raises OSError.
"""

from __future__ import annotations

import ctypes
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

# <sched.h>, <sys/mount.h>
_NEW_MOUNTS, _NEW_USERS = 0x00020000, 0x10000000
_BIND, _RECURSIVE, _PRIVATE = 4096, 16384, 1 << 18
_DETACH = 2

_LIVING = {"/dev", "/proc", "/sys"}
"""Directories whose entries come and go: they cannot be made anew."""

MAX_ENTRIES = 2000
"""Entries of the directories that are made anew, together: each is a mount."""


def enter(mounts: Mapping[str, str], scratch: str) -> None:
    """Mount directories (mount path -> directory) for this process and those that it starts, and for no one else.

    `scratch` is an empty directory. Must be called by a process with one thread, which does not survive a failure:
    raises OSError, half done.
    """
    kernel = _Kernel()
    targets = {os.path.realpath(path): source for path, source in mounts.items()}
    above = {parent for path in targets if not os.path.isdir(path) for parent in _existing_above(path)}
    if above & _LIVING:
        raise OSError(f"nothing can be mounted at a path that does not exist below {' or '.join(sorted(_LIVING))}")
    kernel.unshare()
    kernel.mount("none", "/", "", _RECURSIVE | _PRIVATE)
    root = scratch if above else ""
    if root:
        kernel.mount("tmpfs", root, "tmpfs", 0)
        _remake(kernel, sorted(above), root)
    for path, source in targets.items():
        os.makedirs(root + path, exist_ok=True)
        kernel.mount(source, root + path, "", _BIND)
    if root:
        kernel.change_root(root)


def _existing_above(path: str) -> Iterable[str]:
    while path != "/":
        path = os.path.dirname(path)
        if os.path.isdir(path):
            yield path


def _remake(kernel: _Kernel, directories: Iterable[str], root: str) -> None:
    """Make these directories (parents first) below `root`, with what is in them mounted, except one another."""
    left, made = MAX_ENTRIES, set(directories)
    for directory in sorted(made):
        os.makedirs(root + directory, exist_ok=True)
        entries = [entry for entry in os.scandir(directory) if entry.path not in made]
        left -= len(entries)
        if left < 0:
            raise OSError(f"{directory} has too many entries")
        for entry in entries:
            _stand_in(kernel, entry, root + entry.path)
    for directory in made:
        os.chmod(root + directory, stat.S_IMODE(os.stat(directory).st_mode))


def _stand_in(kernel: _Kernel, entry: os.DirEntry[str], at: str) -> None:
    """The same link, or the same file or directory mounted. What may not be looked at is not there."""
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), at)
    elif entry.is_dir(follow_symlinks=False):
        os.mkdir(at)
        kernel.mount(entry.path, at, "", _BIND | _RECURSIVE, optional=True)
    else:
        os.close(os.open(at, os.O_CREAT | os.O_WRONLY, 0o600))
        kernel.mount(entry.path, at, "", _BIND, optional=True)


class _Kernel:
    """The calls that Python has no functions for."""

    def __init__(self) -> None:
        self._library: Any = ctypes.CDLL(None, use_errno=True)
        if not hasattr(self._library, "unshare"):
            raise OSError("this system has no namespaces")

    def unshare(self) -> None:
        """A mount namespace of this process's own; its user, groups and rights to files stay."""
        if os.geteuid() == 0 and self._library.unshare(_NEW_MOUNTS) == 0:
            return
        user, group = os.geteuid(), os.getegid()
        self._tell(self._library.unshare(_NEW_USERS | _NEW_MOUNTS), "unshare")
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)

    def mount(self, source: str, target: str, kind: str, flags: int, optional: bool = False) -> None:
        """mount(2)."""
        named = (os.fsencode(source), os.fsencode(target), kind.encode() or None)
        failed = self._library.mount(*named, ctypes.c_ulong(flags), None)
        if not optional:
            self._tell(failed, f"mount {target}")

    def change_root(self, root: str) -> None:
        """Make a mount the root directory, and forget the old one."""
        os.chdir(root)
        self._tell(self._library.pivot_root(b".", b"."), "pivot_root")
        self._tell(self._library.umount2(b".", _DETACH), "umount")
        os.chdir("/")

    def _tell(self, failed: int, what: str) -> None:
        if failed:
            error = ctypes.get_errno()
            raise OSError(error, f"{what}: {os.strerror(error)}")
