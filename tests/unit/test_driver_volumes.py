"""The driver's side of volumes, against a control plane and a store on the loopback interface."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

from chalicelib.driver import volumes
from chalicelib.driver.bundle import bundle, launch_file
from chalicelib.driver.volumes import NotStaged, Volumes, map_argument

ODD = ["a b.txt", "ü/ß.txt", "100%.txt", "50%25#1?x=y&z.txt", "+plus+.txt", "quote\"'\\.txt"]


class World:
    """A control plane that keeps the files of volumes, by number, and answers for them in pages of two. `broken`: the
    status with which a request is answered instead, as often as it says; `asked`: what was asked, in its order."""

    def __init__(self) -> None:
        self.files: dict[int, dict[str, bytes]] = {0: {}, 1: {}}
        self.broken: dict[str, list[int]] = {}
        self.asked: list[tuple[str, str]] = []
        self.reports: list[dict[str, Any]] = []
        self.hold = threading.Event()
        self.held = ""
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                world.answer(self)

            do_POST = do_PUT = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, call: BaseHTTPRequestHandler) -> None:
        body = call.rfile.read(int(call.headers["Content-Length"] or 0))
        parts = urlsplit(call.path)
        what = f"{call.command} {unquote(parts.path)}"
        self.asked.append((what, body.decode(errors="replace")))
        if self.held and any(self.held in asked for asked in self.asked[-1]):
            self.hold.wait(20)
        for broken, statuses in self.broken.items():
            if broken in what and statuses:
                return self._say(call, statuses.pop(0), b"{}")
        if parts.path.startswith("/store/"):
            return self._stored(call, parts, body)
        if call.headers["Authorization"] != "Bearer secret":
            return self._say(call, 401, b"{}")
        if parts.path.endswith("/report"):
            self.reports.append(json.loads(body))
            return self._say(call, 200, b"{}")
        told = self._volume(int(parts.path.rpartition("/")[2]), parse_qs(parts.query), body)
        self._say(call, 200, json.dumps(told).encode())

    def _volume(self, number: int, query: dict[str, list[str]], body: bytes) -> dict[str, Any]:
        files = self.files[number]
        if body:
            told = json.loads(body)
            for path in told.get("removed", ()):
                files.pop(path, None)
            return {"links": {path: self._link(number, path, size) for path, size in told.get("files", {}).items()}}
        names = sorted(name for name in files if name > query.get("after", [""])[0])
        found = [{"path": name, "link": self._link(number, name)} for name in names[:2]]
        return {"files": found, **({"next": names[1]} if len(names) > 2 else {})}

    def _link(self, number: int, path: str, size: int = -1) -> str:
        return f"{self.url}/store/{number}/{quote(path, safe='')}?size={size}"

    def _stored(self, call: BaseHTTPRequestHandler, parts: Any, body: bytes) -> None:
        number, name = parts.path.removeprefix("/store/").split("/")
        files = self.files[int(number)]
        if call.command == "GET":
            return self._say(call, 200, files[unquote(name)])
        right = int(parse_qs(parts.query)["size"][0]) == len(body) and call.headers["Authorization"] is None
        if right:
            files[unquote(name)] = body
        self._say(call, 200 if right else 403, b"")

    def _say(self, call: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        call.send_response(status)
        call.send_header("Content-Length", str(len(body)))
        call.end_headers()
        call.wfile.write(body)

    def puts(self) -> list[str]:
        """The files that were stored, in order."""
        return [what.rpartition("/")[2] for what, _ in self.asked if what.startswith("PUT ")]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(volumes, "BACK_OFF_SECONDS", (0.0, 0.0))
    world = World()
    yield world
    world.close()


def told(mount: Path, read_only: bool = False) -> dict[str, Any]:
    return {"name": "ns::vol", "mount_path": str(mount), "read_only": read_only}


def staged(world: World, *mounted: dict[str, Any], secret: str = "secret") -> Volumes:
    made = Volumes(mounted, world.url, "main.1", secret)
    made.stage()
    return made


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    (tmp_path / "mount").mkdir()
    return tmp_path / "mount"


def contents(place: Path) -> dict[str, bytes]:
    return {p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*") if p.is_file()}


def test_files_are_put_where_a_pod_has_a_place_for_them(world: World, mount: Path) -> None:
    world.files[0] = {"a.txt": b"1", "b/c.txt": b"2", "d": b"", **{name: name.encode() for name in ODD}}
    assert Volumes([told(mount)], world.url, "main.1", "secret").stage() == {str(mount): str(mount)}
    assert contents(mount) == world.files[0]


@pytest.mark.parametrize("exists", [True, False])
def test_elsewhere_they_are_put_apart_and_arguments_follow(world: World, tmp_path: Path, exists: bool) -> None:
    world.files[0] = {"a.txt": b"1"}
    mount = tmp_path / "mount"
    if exists:
        mount.mkdir()
        (mount / "mine").write_text("untouched")
    made = Volumes([told(mount, read_only=True)], world.url, "main.1", "secret")
    places = made.stage()
    place = places[str(mount)]
    assert place != str(mount) and (Path(place) / "a.txt").exists()
    assert exists is mount.exists() and (not exists or [p.name for p in mount.iterdir()] == ["mine"])
    assert map_argument(f"{mount}/a.txt", places) == f"{place}/a.txt"
    assert map_argument(str(mount), places) == place
    assert map_argument(f"{mount}-other/a.txt", places) == f"{mount}-other/a.txt"
    assert map_argument("plain", places) == "plain"
    made.remove()
    assert not Path(place).exists()


@pytest.mark.parametrize("broken", ["GET /driver", "GET /store"])
def test_what_fails_in_passing_is_fetched_all_the_same(world: World, mount: Path, broken: str) -> None:
    world.files[0] = {"a.txt": b"1"}
    world.broken = {broken: [503, 500]}
    staged(world, told(mount))
    assert contents(mount) == {"a.txt": b"1"}


@pytest.mark.parametrize(
    ("broken", "secret", "name"),
    [
        ({"GET /store": [404]}, "secret", "a"),
        ({"GET /store": [500] * 3}, "secret", "a"),
        ({"GET /driver": [500] * 3}, "secret", "a"),
        ({}, "wrong", "a"),
        ({}, "secret", "../../x"),
        ({}, "secret", "/x"),
    ],
)
def test_what_cannot_be_fetched_is_said_in_one_sentence_and_nothing_is_stored(
    world: World, mount: Path, broken: dict[str, list[int]], secret: str, name: str
) -> None:
    world.files[0], world.broken = {name: b""}, broken
    made = Volumes([told(mount)], world.url, "main.1", secret)
    with pytest.raises(NotStaged, match=r"^The volume ns::vol could not be staged: [^.]+\.$"):
        made.stage()
    (mount / "new").write_text("x")
    assert made.store() == "" and world.puts() == []
    assert not (mount.parent.parent / "x").exists() and not Path("/x").exists()


def test_what_is_new_changed_or_gone_is_stored_and_nothing_else_is_touched(world: World, mount: Path) -> None:
    world.files[0] = {"same": b"1", "changed": b"1", "same-size": b"1", "gone": b"1", "d/gone": b"1"}
    made = staged(world, told(mount))
    world.files[0]["same"] = b"by somebody else"
    (mount / "changed").write_text("22")
    (mount / "same-size").write_text("2")
    (mount / "gone").unlink()
    (mount / "d/gone").unlink()
    (mount / "d/e").mkdir()
    (mount / "d/e/new").write_text("3")
    (mount / "empty").touch()
    for name in ODD:
        (mount / name).parent.mkdir(exist_ok=True)
        (mount / name).write_text(name)
    assert made.store() == ""
    expected = {"same": b"by somebody else", "changed": b"22", "same-size": b"2", "d/e/new": b"3", "empty": b""}
    assert world.files[0] == {**expected, **{name: name.encode() for name in ODD}}
    before = len(world.asked)
    assert made.store() == "" and len(world.asked) == before, "nothing is stored twice"


def test_a_program_that_only_reads_costs_no_request(world: World, mount: Path) -> None:
    world.files[0] = {str(n): b"x" for n in range(5)}
    made = staged(world, told(mount))
    before = len(world.asked)
    assert contents(mount) and made.store() == ""
    assert len(world.asked) == before


def test_links_are_not_followed_and_checksums_not_kept(
    world: World, mount: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.files[0] = {".old.crc": b"1", "old": b"1"}
    made = staged(world, told(mount))
    (mount / "etc").symlink_to("/etc")
    (mount / "passwd").symlink_to("/etc/passwd")
    os.mkfifo(mount / "pipe")
    for name in ("part", ".part.crc", ".alone.crc", "old", ".old.crc", "d/p", "d/.p.crc"):
        (mount / "d").mkdir(exist_ok=True)
        (mount / name).write_text("22")
    assert made.store() == ""
    assert sorted(world.files[0]) == [".alone.crc", ".old.crc", "d/p", "old", "part"]
    assert world.files[0][".old.crc"] == b"22", "one that was brought is a file as any other"
    assert "not stored in the volume ns::vol: 3 links, pipes or sockets" in capsys.readouterr().err


def test_a_file_that_became_a_link_is_gone(world: World, mount: Path) -> None:
    world.files[0] = {"a": b"1"}
    made = staged(world, told(mount))
    (mount / "a").unlink()
    (mount / "a").symlink_to("/etc/passwd")
    assert made.store() == "" and world.files[0] == {}


def test_a_read_only_volume_is_protected_and_never_stored(world: World, mount: Path) -> None:
    world.files[0] = {"d/a": b"1"}
    made = staged(world, told(mount, read_only=True))
    assert [(mount / p).stat().st_mode & 0o777 for p in ("", "d", "d/a")] == [0o555, 0o555, 0o444]
    (mount / "d/a").chmod(0o600)
    (mount / "d/a").write_text("22")
    assert made.store() == "" and world.files[0] == {"d/a": b"1"}


def test_two_volumes_are_stored_each_in_its_place(world: World, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    made = staged(world, told(tmp_path / "a"), told(tmp_path / "b"))
    (tmp_path / "a/x").write_text("1")
    (tmp_path / "b/x").write_text("2")
    assert made.store() == "" and world.files == {0: {"x": b"1"}, 1: {"x": b"2"}}


def test_a_whole_directory_that_is_gone_is_gone(world: World, tmp_path: Path) -> None:
    world.files[0] = {"d/a": b"1", "b": b"1"}
    made = Volumes([told(tmp_path / "none")], world.url, "main.1", "secret")
    (place,) = made.stage().values()
    shutil.rmtree(place)
    assert made.store() == "" and world.files[0] == {}


@pytest.mark.parametrize("broken", ["POST /driver", "PUT /store"])
def test_what_fails_in_passing_is_stored_all_the_same(world: World, mount: Path, broken: str) -> None:
    made = staged(world, told(mount))
    world.broken = {broken: [503, 500]}
    (mount / "a").write_text("1")
    assert made.store() == "" and world.files[0] == {"a": b"1"}


FAULTS: dict[str, Callable[[World, Path, pytest.MonkeyPatch], object]] = {
    r"The control plane refused with HTTP status 403": lambda w, m, _: w.broken.update({"POST /driver": [403]}),
    r"The control plane did not answer: HTTP status 500": lambda w, m, _: w.broken.update({"PUT /store": [500] * 6}),
    r"there are 2 new or changed files, and 1 can be stored": lambda w, m, p: p.setattr(volumes, "MAX_FILES", 1),
    r"the new or changed files are too large: .* can be stored": lambda w, m, p: p.setattr(volumes, "MAX_FILE", 0),
    r"the new or changed files are too large:.* can be stored": lambda w, m, p: p.setattr(volumes, "MAX_BYTES", 1),
    r"the name 'a\\nb' has control characters or is not UTF-8": lambda w, m, _: (m / "a\nb").touch(),
    r"the name 'a\\udcff' has control characters or is not UTF-8": lambda w, m, _: (
        Path(os.fsdecode(bytes(m) + b"/a\xff"))
    ).touch(),
    r"[ab] became shorter meanwhile": lambda w, m, p: p.setattr(
        volumes, "_read", lambda path, size, of=volumes._read: of(path, size + 1)
    ),
}


@pytest.mark.parametrize("reason", FAULTS)
def test_what_cannot_be_stored_is_said_in_one_sentence_and_nothing_is_deleted(
    world: World, mount: Path, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.files[0] = {"gone": b"1"}
    made = staged(world, told(mount))
    (mount / "gone").unlink()
    (mount / "a").write_text("1")
    (mount / "b").write_text("1")
    FAULTS[reason](world, mount, monkeypatch)
    sentence = rf"What the program left in the volume ns::vol could not be stored: {reason}\."
    assert re.fullmatch(sentence, made.store())
    assert "gone" in world.files[0]


def test_a_name_that_cannot_be_stored_keeps_no_other_file_from_it(world: World, mount: Path) -> None:
    made = staged(world, told(mount))
    for name in ("a", "a\nb", "c"):
        (mount / name).write_text("1")
    assert "has control characters" in made.store()
    assert world.files[0] == {"a": b"1", "c": b"1"}


def test_a_directory_that_cannot_be_read_is_a_failure_and_not_a_deletion(
    world: World, mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.files[0] = {"d/a": b"1"}
    made = staged(world, told(mount))

    def scandir(path: str, scan: Any = os.scandir) -> Any:
        if path.endswith("/d/"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert made.store() == "What the program left in the volume ns::vol could not be stored: Permission denied."
    assert world.files[0] == {"d/a": b"1"}


def test_no_more_time_is_spent_than_there_is(world: World, mount: Path) -> None:
    made = staged(world, told(mount))
    (mount / "a").write_text("1")
    world.held = "PUT "
    assert made.store(0.2).endswith("could not be stored: there was no time left.")
    world.hold.set()
    assert made.store() == "" and world.files[0] == {"a": b"1"}, "a second call ends what the first began"


# --- In a process of its own, as spark-submit starts it ------------------------------------------------------------

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(world: World, tmp_path: Path, mount: Path) -> Iterator[Start]:
    """Starts a program that has volume 0 at `mount`; `V` is its path in the program."""
    started = []

    def start(source: str, **config: Any) -> subprocess.Popen[str]:
        (tmp_path / "driver.zip").write_bytes(bundle())
        (tmp_path / "job.py").write_text(f"import os\nV = {str(mount)!r}\n{source}")
        program = {"uri": f"file://{tmp_path}/job.py"}
        whole = {"run": "main.1", "api": world.url, "secret": "secret", "program": program, "volumes": [told(mount)]}
        (tmp_path / "launch.py").write_text(launch_file({**whole, **config}))
        environ = {"PYTHONPATH": str(tmp_path / "driver.zip"), "PATH": os.environ["PATH"]}
        command = [sys.executable, str(tmp_path / "launch.py")]
        started.append(subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=environ, cwd=tmp_path))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def last(world: World) -> dict[str, Any]:
    return next(report for report in world.reports if report.get("finished"))


def place_of(world: World, what: str) -> int:
    return next(n for n, (asked, _) in enumerate(world.asked) if what in asked)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("open(V + '/new', 'w').write('1')", 0),
        ("open(V + '/new', 'w').write('1'); os.remove(V + '/old'); 1 / 0", 1),
        ("open(V + '/new', 'w').write('1')\nimport sys; sys.exit(3)", 3),
        ("open(V + '/new', 'w').write('1'); os._exit(0)", 0),
        ("import atexit; atexit.register(lambda: open(V + '/new', 'w').write('1'))", 0),
        ("import threading, time\nthreading.Timer(0.2, lambda: open(V + '/new', 'w').write('1')).start()", 0),
        ("if not os.fork(): raise SystemExit\nos.wait()\nopen(V + '/new', 'w').write('1')", 0),
    ],
)
def test_however_a_program_ends_what_it_left_is_stored_before_the_end_is_told(
    world: World, start: Start, source: str, code: int
) -> None:
    world.files[0] = {"old": b"1"}
    process = start(source)
    assert process.wait(20) == code
    kept = {} if "remove" in source else {"old": b"1"}
    assert world.files[0] == {**kept, "new": b"1"}
    if "_exit" not in source:
        assert last(world)["exit_code"] == code
        assert place_of(world, "PUT ") < place_of(world, "/report")


@pytest.mark.parametrize("end", ["", "os._exit(0)"])
def test_a_run_whose_files_cannot_be_stored_fails_and_says_why(world: World, start: Start, end: str) -> None:
    world.broken = {"PUT ": [403]}
    process = start(f"open(V + '/new', 'w').write('1')\n{end}")
    _, said = process.communicate(timeout=20)
    sentence = (
        "What the program left in the volume ns::vol could not be stored: "
        "The control plane refused with HTTP status 403."
    )
    assert process.returncode == 1 and said == f"sparkplane: {sentence}\n"
    error = {"type": "sparkplane.Volume", "message": sentence, "traceback": ""}
    assert (last(world)["exit_code"], last(world)["error"]) == (1, error)


def test_a_program_that_failed_keeps_its_own_error(world: World, start: Start) -> None:
    world.broken = {"PUT ": [403]}
    process = start("open(V + '/new', 'w').write('1')\nraise ValueError('mine')")
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1 and "could not be stored" in said
    assert last(world)["error"]["type"] == "ValueError"


def test_a_driver_that_is_asked_to_stop_stores_what_there_is(world: World, start: Start) -> None:
    process = start("import time\nopen(V + '/new', 'w').write('1')\nprint('up', flush=True)\ntime.sleep(30)")
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    assert world.files[0] == {"new": b"1"} and last(world)["signal"] == signal.SIGTERM


def test_a_driver_that_is_asked_to_stop_while_it_stores_ends_what_it_began(world: World, start: Start) -> None:
    world.held = "PUT "
    process = start("for n in range(3): open(f'{V}/{n}', 'w').write('1')")
    while not world.puts():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    world.hold.set()
    assert process.wait(20) == -signal.SIGTERM
    assert world.files[0] == {"0": b"1", "1": b"1", "2": b"1"}


def test_a_second_signal_does_not_keep_what_there_is_from_being_stored(world: World, start: Start) -> None:
    world.held = "PUT "
    process = start("import time\nopen(V + '/new', 'w').write('1')\nprint('up', flush=True)\ntime.sleep(30)")
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    while not world.puts():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    world.hold.set()
    assert process.wait(20) == -signal.SIGTERM
    assert world.files[0] == {"new": b"1"} and last(world)["signal"] == signal.SIGTERM


def test_a_driver_that_is_asked_to_stop_says_what_it_could_not_store(world: World, start: Start) -> None:
    world.broken = {"PUT ": [403]}
    process = start("import time\nopen(V + '/new', 'w').write('1')\nprint('up', flush=True)\ntime.sleep(30)")
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    assert last(world)["error"]["type"] == "sparkplane.Volume"


@pytest.mark.parametrize("step", ["GET /driver", "GET /store", "files", "PUT /store/0/1", "PUT /store", "removed"])
def test_a_driver_that_is_killed_at_any_step_and_run_again_ends_right(
    world: World, start: Start, mount: Path, step: str
) -> None:
    """The program replaces a directory of parts, as Spark's overwrite does."""
    source = """
import shutil
shutil.rmtree(V + "/out")
os.mkdir(V + "/out")
for n in range(3): open(f"{V}/out/{os.getpid()}-{n}", "w").write("new")
open(V + "/1", "w").write("new")
"""
    world.files[0] = {"out/a": b"old", "out/b": b"old", "1": b"old"}
    world.held = step
    process = start(source)
    while not any(step in asked for asks in world.asked for asked in asks):
        assert process.poll() is None
    process.kill()
    process.wait()
    assert set(world.files[0].values()) <= {b"old", b"new"}, "whole files only"
    world.held = ""
    world.hold.set()
    shutil.rmtree(mount)
    mount.mkdir()
    again = start(source)
    assert again.wait(20) == 0
    assert set(world.files[0]) == {"1", *(f"out/{again.pid}-{n}" for n in range(3))}
