"""Posting to URLs that somebody else chose: real sockets, on loopback, which the owner allows here."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from chalicelib.aws.hooks import HttpHooks
from chalicelib.ports import Undeliverable, Undelivered

LOOPBACK = ("127.0.0.0/8", "::1/128")


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it gets, and answers as its server says."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *told: Any) -> None:
        """Silence."""


@contextmanager
def receiver(status: int = 200, tls: ssl.SSLContext | None = None) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.got, server.status, server.daemon_threads = [], status, True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def url(server: Any, scheme: str = "http", host: str = "127.0.0.1") -> str:
    return f"{scheme}://{host}:{server.server_address[1]}/hook?a=b"


def test_a_body_is_posted_with_its_headers() -> None:
    with receiver() as server:
        assert HttpHooks(LOOPBACK).post(url(server), {"X-A": "1"}, b"{}") == 200
    ((path, headers, body),) = server.got
    assert (path, headers["X-A"], body) == ("/hook?a=b", "1", b"{}")
    assert headers["Host"] == f"127.0.0.1:{server.server_address[1]}"


@pytest.mark.parametrize("status", [302, 307, 404, 500])
def test_any_answer_is_told_and_a_redirect_is_not_followed(status: int) -> None:
    with receiver(status) as server:
        assert HttpHooks(LOOPBACK).post(url(server), {}, b"{}") == status
    assert len(server.got) == 1


def test_what_the_owner_does_not_allow_is_never_connected_to() -> None:
    with receiver() as server:
        for target in (url(server), url(server, "https"), url(server, "https", "localhost")):
            with pytest.raises(Undeliverable):
                HttpHooks(()).post(target, {}, b"{}")
        with pytest.raises(Undeliverable, match="which destinations may not be posted to"):
            HttpHooks(("10.0.0.0/8",)).post(url(server, "http", "localhost"), {}, b"{}")
    assert server.got == []


def test_a_name_with_one_address_that_is_off_limits_is_off_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(*_: Any, **__: Any) -> Any:
        return [(2, 1, 6, "", ("93.184.215.14", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(Undeliverable, match="is at 10.0.0.1"):
        HttpHooks(()).post("https://hooks.example.com/", {}, b"{}")


def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that answers otherwise the second time finds nobody asking."""
    asked: list[str] = []
    with receiver() as server:
        port = server.server_address[1]

        def once(host: str, *_: Any, **__: Any) -> Any:
            asked.append(host)
            return [(2, 1, 6, "", ("127.0.0.1", port))]

        connect = socket.create_connection
        connected: list[Any] = []
        monkeypatch.setattr("chalicelib.aws.hooks.socket.getaddrinfo", once)

        def noted(address: Any, timeout: float) -> Any:
            connected.append(address)
            monkeypatch.undo()
            return connect(address, timeout)

        monkeypatch.setattr("chalicelib.aws.hooks.socket.create_connection", noted)
        assert HttpHooks(LOOPBACK).post(f"http://rebound.example.com:{port}/", {}, b"{}") == 200
    assert asked == ["rebound.example.com"] and connected == [("127.0.0.1", port)]
    assert server.got[0][1]["Host"] == f"rebound.example.com:{port}"


def test_a_host_that_nobody_knows_or_where_nobody_listens_is_worth_another_try() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    with pytest.raises(Undelivered) as refused:
        HttpHooks(LOOPBACK).post(f"http://127.0.0.1:{free}/", {}, b"{}")
    assert not isinstance(refused.value, Undeliverable)
    with pytest.raises(Undelivered, match="is not known") as unknown:
        HttpHooks(LOOPBACK).post("https://nowhere.invalid/", {}, b"{}")
    assert not isinstance(unknown.value, Undeliverable)


@contextmanager
def talker(words: bytes, pause: float) -> Iterator[int]:
    """Somebody who accepts, and then says one byte after another, for ever."""
    stop = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def talk() -> None:
        try:
            peer, _ = listening.accept()
        except OSError:
            return
        with peer:
            while not stop.wait(pause):
                try:
                    peer.sendall(words)
                except OSError:
                    return

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        stop.set()
        listening.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("words", [b"", b"x"], ids=["silent", "dripping"])
def test_who_is_silent_or_never_comes_to_an_end_is_left(words: bytes, scheme: str) -> None:
    with talker(words, 0.05) as port:
        began = time.monotonic()
        with pytest.raises(Undelivered):
            HttpHooks(LOOPBACK, step=0.5, whole=1.0).post(f"{scheme}://127.0.0.1:{port}/", {}, b"{}")
        assert time.monotonic() - began < 30, "it would have gone on for ever"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for the name `hooks.test`, and its key."""
    home = tmp_path_factory.mktemp("tls")
    made, secret = home / "cert.pem", home / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(secret), "-out", str(made), "-days", "2", "-subj", "/CN=hooks.test"]
    subprocess.run([*command, "-addext", "subjectAltName=DNS:hooks.test"], check=True, capture_output=True)
    return made, secret


def test_tls_asks_for_the_host_by_name_and_believes_only_its_certificate(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    names: list[str] = []
    tls.sni_callback = lambda connection, name, context: names.append(str(name))  # type: ignore[assignment]
    with receiver(tls=tls) as server:
        address = [(2, 1, 6, "", ("127.0.0.1", server.server_address[1]))]
        monkeypatch.setattr("chalicelib.aws.hooks.socket.getaddrinfo", lambda *_, **__: address)
        hooks = HttpHooks(LOOPBACK)
        with pytest.raises(Undelivered, match="certificate"):
            hooks.post(url(server, "https", "hooks.test"), {}, b"{}")
        hooks._tls.load_verify_locations(certificate[0])
        assert hooks.post(url(server, "https", "hooks.test"), {}, b"{}") == 200
        with pytest.raises(Undelivered, match="certificate"):
            hooks.post(url(server, "https", "other.test"), {}, b"{}")
    assert names == ["hooks.test", "hooks.test", "other.test"] and len(server.got) == 1
