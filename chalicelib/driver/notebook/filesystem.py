"""`dbutils.fs`: files and directories wherever Hadoop's FileSystem reaches. Kernel side.

A path without a scheme is one of `dbfs:`, as on Databricks.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class FileInfo(namedtuple("FileInfo", ("path", "name", "size", "modificationTime"))):
    """A file or directory; a directory's name ends with a slash. Size in bytes, time in epoch milliseconds."""

    __slots__ = ()

    def isDir(self) -> bool:
        """Whether it is a directory."""
        return str(self.name).endswith("/")

    def isFile(self) -> bool:
        """Whether it is a file."""
        return not self.isDir()


class FileSystem:
    """Commands on files. All paths are URIs, or absolute paths of dbfs."""

    def __init__(self, spark: Any) -> None:
        self._jvm = spark.sparkContext._jvm
        self._conf = spark.sparkContext._jsc.hadoopConfiguration()

    def ls(self, dir: str) -> list[FileInfo]:
        """What a directory holds, or the file itself. Raises FileNotFoundError."""
        system, path = self._existing(dir)
        return [_info(status) for status in system.listStatus(path)]

    def head(self, file: str, maxBytes: int = 65536) -> str:
        """The beginning of a file as text. Raises FileNotFoundError."""
        system, path = self._existing(file)
        stream = system.open(path)
        try:
            return bytes(stream.readNBytes(int(maxBytes))).decode(errors="replace")
        finally:
            stream.close()

    def put(self, file: str, contents: str, overwrite: bool = False) -> bool:
        """Write a text into a file. Raises FileExistsError unless it may be overwritten."""
        system, path = self._at(file)
        if not overwrite and system.exists(path):
            raise FileExistsError(f"{file} exists; give overwrite=True to replace it.")
        body = contents.encode()
        stream = system.create(path, bool(overwrite))
        try:
            stream.write(bytearray(body))
        finally:
            stream.close()
        print(f"Wrote {len(body)} bytes.")
        return True

    def cp(self, source: str, to: str, recurse: bool = False) -> bool:
        """Copy a file, or with `recurse` a directory; between file systems too."""
        return self._copy(source, to, recurse, move=False)

    def mv(self, source: str, to: str, recurse: bool = False) -> bool:
        """Move a file, or with `recurse` a directory; between file systems too."""
        return self._copy(source, to, recurse, move=True)

    def rm(self, dir: str, recurse: bool = False) -> bool:
        """Remove a file, or with `recurse` a directory and all in it; False when there is none."""
        system, path = self._at(dir)
        if not system.exists(path):
            return False
        if not recurse and system.getFileStatus(path).isDirectory() and len(system.listStatus(path)):
            raise OSError(f"{dir} is a directory that is not empty; give recurse=True to remove all of it.")
        return bool(system.delete(path, bool(recurse)))

    def mkdirs(self, dir: str) -> bool:
        """Make a directory and those above it."""
        system, path = self._at(dir)
        return bool(system.mkdirs(path))

    def _copy(self, source: str, to: str, recurse: bool, *, move: bool) -> bool:
        before, origin = self._existing(source)
        after, target = self._at(to)
        if not recurse and before.getFileStatus(origin).isDirectory():
            raise IsADirectoryError(f"{source} is a directory; give recurse=True.")
        util = self._jvm.org.apache.hadoop.fs.FileUtil
        return bool(util.copy(before, origin, after, target, move, True, self._conf))

    def _at(self, path: str) -> tuple[Any, Any]:
        if not path.startswith("/") and ":" not in path.partition("/")[0]:
            raise ValueError(f"{path!r} is neither a URI nor an absolute path.")
        whole = self._jvm.org.apache.hadoop.fs.Path(f"dbfs:{path}" if path.startswith("/") else path)
        return whole.getFileSystem(self._conf), whole

    def _existing(self, path: str) -> tuple[Any, Any]:
        system, whole = self._at(path)
        if not system.exists(whole):
            raise FileNotFoundError(f"No such file or directory: {path}")
        return system, whole


def _info(status: Any) -> FileInfo:
    path, directory = status.getPath(), bool(status.isDirectory())
    end = "/" if directory else ""
    return FileInfo(
        str(path.toString()) + end, str(path.getName()) + end, int(status.getLen()), int(status.getModificationTime())
    )
