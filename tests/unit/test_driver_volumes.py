"""The driver's side of volumes, against a control plane on the loopback interface."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from chalicelib.driver.volumes import NotStaged, map_argument, stage

PAGES: dict[str, Any] = {
    "": {"files": ["a.txt", "b/c.txt"], "next": "b/c.txt"},
    "b/c.txt": {"files": ["d"]},
}


@pytest.fixture
def api() -> Iterator[str]:
    """Volume 0 has three files in two pages, volume 1 one whose link is broken, or in another run one that climbs."""

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            from urllib.parse import parse_qs, urlsplit

            parts = urlsplit(self.path)
            if parts.path.startswith("/files/"):
                return self._say(parts.path.encode())
            if parts.path.startswith("/gone"):
                return self.send_error(404)
            if self.headers["Authorization"] != "Bearer secret":
                return self.send_error(401)
            number, after = parts.path[-1], parse_qs(parts.query).get("after", [""])[0]
            page = PAGES[after] if number == "0" else {"files": ["../../x" if "main.2" in parts.path else "x"]}
            where = "gone" if number == "1" and "main.1" in parts.path else "files"
            base = f"http://127.0.0.1:{self.server.server_address[1]}/{where}"
            files = [{"path": path, "link": f"{base}/{path}"} for path in page["files"]]
            self._say(json.dumps({**page, "files": files}).encode())

        def _say(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def volume(mount: str) -> dict[str, str]:
    return {"name": "ns::vol", "mount_path": mount}


def test_files_are_put_where_a_pod_has_a_place_for_them(api: str, tmp_path: Path) -> None:
    places = stage([volume(str(tmp_path))], api, "main.1", "secret")
    assert places == {str(tmp_path): str(tmp_path)}
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()) == [
        "a.txt",
        "b/c.txt",
        "d",
    ]
    assert (tmp_path / "b/c.txt").read_text() == "/files/b/c.txt"


@pytest.mark.parametrize("exists", [True, False])
def test_elsewhere_they_are_put_apart_and_arguments_follow(api: str, tmp_path: Path, exists: bool) -> None:
    mount = tmp_path / "mount"
    if exists:
        mount.mkdir()
        (mount / "mine").write_text("untouched")
    places = stage([volume(str(mount))], api, "main.1", "secret")
    place = places[str(mount)]
    assert place != str(mount) and (Path(place) / "a.txt").exists()
    assert exists is mount.exists() and (not exists or [p.name for p in mount.iterdir()] == ["mine"])
    assert map_argument(f"{mount}/a.txt", places) == f"{place}/a.txt"
    assert map_argument(str(mount), places) == place
    assert map_argument(f"{mount}-other/a.txt", places) == f"{mount}-other/a.txt"
    assert map_argument("plain", places) == "plain"


@pytest.mark.parametrize(("run", "secret"), [("main.1", "secret"), ("main.2", "secret"), ("main.1", "wrong")])
def test_what_cannot_be_fetched_is_said_in_one_sentence(api: str, tmp_path: Path, run: str, secret: str) -> None:
    wanted = [volume(str(tmp_path / "a")), volume(str(tmp_path / "b"))]
    with pytest.raises(NotStaged, match=r"The volume ns::vol could not be staged: .+\.$"):
        stage(wanted, api, run, secret)
    assert not (tmp_path.parent / "x").exists()
