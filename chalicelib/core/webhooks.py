"""Which URLs notices may be posted to: HTTPS, to addresses of the public internet, and what the owner allows beside.

A URL is looked at when a destination is made, as far as its text goes, and an address when it is posted to. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from chalicelib.core.errors import Invalid

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

URL_MOST = 2048
_NOT_PUBLIC = tuple(
    ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "fec0::/10")
)
"""What Python counts as global beside: IPv6 addresses that stand for any IPv4 address, and old site-local ones."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL's parts: what is connected to, and what is asked for there."""

    secure: bool
    host: str
    port: int
    path: str


def networks_of(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks that an owner names, such as 10.0.0.0/8. Raises ValueError."""
    return tuple(ip_network(text) for text in texts)


def target_of(url: str, networks: Sequence[Network]) -> Target:
    """The parts of a URL that may be posted to. Raises Invalid. Plain HTTP only where the owner allows networks."""
    if len(url) > URL_MOST or not url.isascii() or not url.isprintable() or " " in url:
        raise Invalid(f"A destination's URL has at most {URL_MOST} characters, all ASCII.", field="url")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Invalid(f"{url!r} is not a URL.", field="url") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and networks):
        raise Invalid("A destination's URL must begin with https://.", field="url")
    if not parts.hostname or parts.username is not None or parts.password is not None or port == 0:
        raise Invalid("A destination's URL must name a host, and no user.", field="url")
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = Target(secure, parts.hostname, port or (443 if secure else 80), path)
    literal = _literal(target.host)
    if literal is not None and not may_reach(literal, networks, secure=secure):
        raise Invalid(f"{target.host} is not an address that destinations may have.", field="url")
    return target


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def may_reach(address: Address, networks: Sequence[Network], *, secure: bool) -> bool:
    """Whether an address may be posted to: in a network that the owner allows, or, by HTTPS, a public one."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address in network for network in networks if network.version == address.version):
        return True
    hidden = any(address in network for network in _NOT_PUBLIC if network.version == address.version)
    return secure and address.is_global and not address.is_multicast and not hidden
