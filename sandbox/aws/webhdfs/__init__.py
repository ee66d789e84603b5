"""S3 for the Spark of the sandbox, whose package has no file system for `s3://`: its WebHDFS client has.

`Endpoint` is a WSGI application beside moto's, below `/webhdfs/v1/<bucket>/<key>` (WebHDFS REST API, Hadoop 3). A view
file system of Hadoop (ViewFileSystemOverloadScheme) takes `s3` and `s3a` and looks up, for each bucket that a program
meets, where it is mounted: in a table that the endpoint writes at that moment, so any bucket works, whenever it was
made. `conf` is all that a driver needs for that; nothing of it is loaded before a program uses such a URI.

What is not there, as on S3: appending, truncating, permissions, owners, symbolic links.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from sandbox.aws.webhdfs.tree import Exists, Node, NoSuchFile, Place, Tree

log = logging.getLogger(__name__)

PREFIX = "/webhdfs/v1"
MOUNTS = "/.mounts"
"""Where the table of mounts is; no bucket can have this name."""

_TABLE = f"{MOUNTS}/mount-table.1.xml"
_BLOCK = 64 << 20
_VIEW = "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme"
_COMMITTER = "org.apache.hadoop.mapreduce.lib.output.FileOutputCommitterFactory"
_CLIENT = "org.apache.hadoop.hdfs.web.WebHdfsFileSystem"


def conf(port: int) -> dict[str, str]:
    """The Spark configuration with which `s3://` and `s3a://` are the buckets that the endpoint of this port has."""
    return {
        **{f"spark.hadoop.fs.{scheme}.impl": _VIEW for scheme in ("s3", "s3a")},
        "spark.hadoop.fs.viewfs.overload.scheme.target.webhdfs.impl": _CLIENT,
        "spark.hadoop.fs.viewfs.mounttable.path": f"webhdfs://127.0.0.1:{port}{MOUNTS}",
        # Hadoop's defaults name a committer of the package that is missing.
        "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3a": _COMMITTER,
        # While the sandbox is started again, a driver that rides it out waits: 500 ms, up to 120 times.
        "spark.hadoop.dfs.http.client.retry.policy.enabled": "true",
        "spark.hadoop.dfs.http.client.retry.policy.spec": "500,120",
    }


class Endpoint:
    """The WSGI application: WebHDFS for what is below PREFIX, another application for all else."""

    def __init__(self, s3: Callable[[], Any], other: Any) -> None:
        self._tree = Tree(s3)
        self._other = other

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"].encode("latin-1").decode(errors="replace")
        if not path.startswith(f"{PREFIX}/"):
            answer: Iterable[bytes] = self._other(environ, start)
            return answer
        status, headers, body = self._answer(environ, path.removeprefix(PREFIX))
        start(status, list(headers.items()))
        return body

    def _answer(self, environ: dict[str, Any], path: str) -> tuple[str, dict[str, str], Iterable[bytes]]:
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        call = _Call(self._tree, environ, path, query)
        operation = _OPERATIONS.get((environ["REQUEST_METHOD"], query.get("op", "").upper()))
        host = environ.get("HTTP_HOST", "").rpartition(":")[0]
        try:
            if host not in {"127.0.0.1", "localhost"}:  # a page of the web that calls itself by another name
                return _error("403 Forbidden", "java.lang.SecurityException", "This host is not served.")
            if operation is None:
                reason = f"{environ['REQUEST_METHOD']} {query.get('op')} is not possible on S3."
                return _error("400 Bad Request", "java.lang.UnsupportedOperationException", reason)
            return operation(call)
        except NoSuchFile:
            return _error("404 Not Found", "java.io.FileNotFoundException", f"File does not exist: {path}")
        except Exists as error:
            place = error.args[0]
            reason = f"/{place.bucket}/{place.key} exists, or has something in it."
            return _error("403 Forbidden", "org.apache.hadoop.fs.FileAlreadyExistsException", reason)
        except Exception as error:
            log.exception("WebHDFS %s %s", environ["REQUEST_METHOD"], path)
            return _error("500 Internal Server Error", "java.io.IOException", repr(error))


class _Call:
    """One request."""

    def __init__(self, tree: Tree, environ: dict[str, Any], path: str, query: dict[str, str]) -> None:
        self.tree, self.environ, self.query = tree, environ, query
        self.path = "/" + path.strip("/")
        self.place = Place.of(path)

    def flag(self, name: str) -> bool:
        return self.query.get(name, "false").lower() == "true"

    @property
    def url(self) -> str:
        return f"http://{self.environ['HTTP_HOST']}{self.environ['REQUEST_URI']}"


Answer = tuple[str, dict[str, str], Iterable[bytes]]


def _json(value: Any, status: str = "200 OK") -> Answer:
    """No content type: to parse one, Hadoop's shaded client looks for a class that its jars do not have."""
    body = json.dumps(value).encode()
    return status, {"Content-Length": str(len(body))}, [body]


def _empty(status: str = "200 OK", **headers: str) -> Answer:
    return status, {"Content-Length": "0", **headers}, []


def _error(status: str, java: str, message: str) -> Answer:
    told = {"exception": java.rpartition(".")[2], "javaClassName": java, "message": message}
    return _json({"RemoteException": told}, status)


def _status(node: Node, name: str) -> dict[str, Any]:
    kind = "DIRECTORY" if node.directory else "FILE"
    return {
        "accessTime": 0,
        "blockSize": 0 if node.directory else _BLOCK,
        "childrenNum": 0,
        "fileId": 0,
        "group": "sparkplane",
        "length": node.size,
        "modificationTime": node.changed,
        "owner": "sparkplane",
        "pathSuffix": name,
        "permission": "755" if node.directory else "644",
        "replication": 0 if node.directory else 1,
        "storagePolicy": 0,
        "type": kind,
    }


def _mounts(tree: Tree) -> bytes:
    """The table of mounts: each bucket of this moment, at the endpoint itself."""
    return b"".join(_mount_lines(tree.buckets()))


def _mount_lines(buckets: list[str]) -> Iterator[bytes]:
    yield b"<configuration>\n"
    for bucket in buckets:
        name = f"fs.viewfs.mounttable.{bucket}.linkFallback"
        yield f"<property><name>{escape(name)}</name><value>${{sparkplane.s3}}/{bucket}</value></property>\n".encode()
    yield b"</configuration>\n"


def _table(call: _Call) -> bytes:
    here = f"webhdfs://{call.environ['HTTP_HOST']}"
    return _mounts(call.tree).replace(b"${sparkplane.s3}", here.encode())


def _look(call: _Call) -> Node:
    if call.path == MOUNTS:
        return Node("", True)
    if call.path == _TABLE:
        return Node("", False, len(_table(call)), 1)
    return call.tree.look(call.place)


def _get_file_status(call: _Call) -> Answer:
    return _json({"FileStatus": _status(_look(call), "")})


def _listing(call: _Call) -> dict[str, Any]:
    if call.path == MOUNTS:
        nodes = [Node(_TABLE.rpartition("/")[2], False, len(_table(call)), 1)]
    else:
        nodes = call.tree.children(call.place)
    return {"FileStatuses": {"FileStatus": [_status(node, node.name) for node in nodes]}}


def _list_batch(call: _Call) -> Answer:
    return _json({"DirectoryListing": {"partialListing": _listing(call), "remainingEntries": 0}})


def _open(call: _Call) -> Answer:
    offset = int(call.query.get("offset", "0"))
    if call.path == _TABLE:
        body = _table(call)[offset:]
        size, pieces = len(body), iter([body])
    else:
        size, pieces = call.tree.read(call.place, offset, int(call.query["length"]) if "length" in call.query else None)
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    return "200 OK", headers, pieces


def _create(call: _Call) -> Answer:
    """In two steps, as the client wants it: told where to write, it writes there."""
    overwrite = call.flag("overwrite")
    if call.query.get("data") != "true":
        call.tree.check_writable(call.place, overwrite=overwrite)
        return _empty("307 Temporary Redirect", Location=f"{call.url}&data=true")
    call.tree.write(call.place, _reader(call.environ), overwrite=overwrite)
    return _empty("201 Created")


def _reader(environ: dict[str, Any]) -> Callable[[int], bytes]:
    """The request's body, read as it comes; raises EOFError when it ends before its time."""
    body, left = environ["wsgi.input"], environ.get("CONTENT_LENGTH")
    if environ.get("wsgi.input_terminated"):
        return lambda size: body.read(size) or b""
    remaining = [int(left or 0)]

    def read(size: int) -> bytes:
        piece: bytes = body.read(min(size, remaining[0])) if remaining[0] else b""
        if remaining[0] and not piece:
            raise EOFError("the body ended early")
        remaining[0] -= len(piece)
        return piece

    return read


def _make(call: _Call) -> Answer:
    call.tree.make(call.place)
    return _json({"boolean": True})


def _rename(call: _Call) -> Answer:
    return _json({"boolean": call.tree.rename(call.place, Place.of(call.query.get("destination", "")))})


def _delete(call: _Call) -> Answer:
    return _json({"boolean": call.tree.delete(call.place, recursive=call.flag("recursive"))})


def _summary(call: _Call) -> Answer:
    size, files, directories = call.tree.summary(call.place)
    counts = {"directoryCount": directories, "fileCount": files, "length": size, "spaceConsumed": size}
    return _json({"ContentSummary": {**counts, "quota": -1, "spaceQuota": -1, "typeQuota": {}}})


def _blocks(call: _Call) -> Answer:
    """The whole file on this machine: there is nothing to choose from."""
    node = _look(call)
    offset = int(call.query.get("offset", "0"))
    here: dict[str, Any] = {"names": ["127.0.0.1:0"], "hosts": ["localhost"], "topologyPaths": [], "cachedHosts": []}
    block = {**here, "storageIds": [], "storageTypes": [], "offset": offset, "length": node.size - offset}
    return _json({"BlockLocations": {"BlockLocation": [{**block, "corrupt": False}]}})


def _check(call: _Call) -> Answer:
    call.tree.look(call.place)
    return _empty()


def _nothing(call: _Call) -> Answer:
    """What S3 does not have: permissions and times that are set, also of a file whose writer has not closed it yet."""
    return _empty()


_OPERATIONS: dict[tuple[str, str], Callable[[_Call], Answer]] = {
    ("GET", "GETFILESTATUS"): _get_file_status,
    ("GET", "LISTSTATUS"): lambda call: _json(_listing(call)),
    ("GET", "LISTSTATUS_BATCH"): _list_batch,
    ("GET", "OPEN"): _open,
    ("GET", "GETCONTENTSUMMARY"): _summary,
    ("GET", "GETFILEBLOCKLOCATIONS"): _blocks,
    ("GET", "GETHOMEDIRECTORY"): lambda call: _json({"Path": "/"}),
    ("GET", "CHECKACCESS"): _check,
    ("PUT", "CREATE"): _create,
    ("PUT", "MKDIRS"): _make,
    ("PUT", "RENAME"): _rename,
    ("PUT", "SETPERMISSION"): _nothing,
    ("PUT", "SETTIMES"): _nothing,
    ("PUT", "SETOWNER"): _nothing,
    ("DELETE", "DELETE"): _delete,
}
