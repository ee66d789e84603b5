"""The Hooks port on Python's own HTTP client: one POST to a URL that somebody else chose.

The host is resolved once, all its addresses must be ones that may be reached (`core.webhooks`), and the connection is
made to one of those very addresses, while TLS asks for the host by its name: no second look-up can lead elsewhere.
Redirects are not followed, proxies not asked, the answer's body not read, and all of it takes bounded time.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from ipaddress import ip_address

from chalicelib.core.errors import Invalid
from chalicelib.core.webhooks import Address, Network, Target, may_reach, networks_of, target_of
from chalicelib.ports import Undeliverable, Undelivered

STEP_SECONDS = 5.0
"""How long a connection, or a silence, may last."""

WHOLE_SECONDS = 15.0
"""How long an exchange may last, however busy it is."""


class HttpHooks:
    """Posts by HTTPS; by plain HTTP too, to the networks that the owner allows."""

    def __init__(self, networks: Sequence[str], *, step: float = STEP_SECONDS, whole: float = WHOLE_SECONDS) -> None:
        self._texts = networks
        self._step, self._whole = step, whole

    @cached_property
    def _networks(self) -> tuple[Network, ...]:
        return networks_of(self._texts)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """See Hooks.post."""
        try:
            target = target_of(url, self._networks)
        except Invalid as invalid:
            raise Undeliverable(invalid.message) from None
        address = self._address(target)
        try:
            return self._exchange(target, address, headers, body)
        except TimeoutError:
            raise Undelivered(f"{target.host} did not answer in time.") from None
        except (OSError, http.client.HTTPException) as error:
            raise Undelivered(f"{target.host} could not be posted to: {error or type(error).__name__}") from None

    def _address(self, target: Target) -> Address:
        """An address of the host. Raises Undelivered when it has none, Undeliverable when one of them is off limits."""
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise Undelivered(f"The host {target.host} is not known.") from None
        addresses = [ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found]
        for address in addresses:
            if not may_reach(address, self._networks, secure=target.secure):
                raise Undeliverable(f"{target.host} is at {address}, which destinations may not be posted to.")
        return addresses[0]

    def _exchange(self, target: Target, address: Address, headers: Mapping[str, str], body: bytes) -> int:
        with self._connect(target, address) as connected:
            out_of_time = threading.Event()
            timer = threading.Timer(self._whole, _hang_up, (connected, out_of_time))
            timer.daemon = True
            timer.start()
            try:
                return _converse(target, connected, headers, body)
            except (OSError, http.client.HTTPException):
                if out_of_time.is_set():
                    raise TimeoutError from None
                raise
            finally:
                timer.cancel()

    def _connect(self, target: Target, address: Address) -> socket.socket:
        plain = socket.create_connection((str(address), target.port), self._step)
        if not target.secure:
            return plain
        return self._tls.wrap_socket(plain, server_hostname=target.host, do_handshake_on_connect=False)


def _converse(target: Target, connected: socket.socket, headers: Mapping[str, str], body: bytes) -> int:
    if isinstance(connected, ssl.SSLSocket):
        connected.do_handshake()
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = connected
    usual = target.port == (443 if target.secure else 80)
    name = f"[{target.host}]" if ":" in target.host else target.host
    host = name if usual else f"{name}:{target.port}"
    connection.request("POST", target.path, body, {**headers, "Host": host, "Connection": "close"})
    return connection.getresponse().status


def _hang_up(connected: socket.socket, out_of_time: threading.Event) -> None:
    """End an exchange from outside: whatever waits on the connection then fails."""
    out_of_time.set()
    try:
        connected.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is over
