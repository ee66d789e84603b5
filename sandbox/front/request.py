"""One HTTP request's head, as the app reads it from the ASGI scope."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

RAW_HEADERS = "front.headers"  # where `protocol` leaves the header names as the client wrote them
_HEADER_OVERHEAD = 4  # ": " and the line's end count too, in API Gateway's limit on the size of headers


@dataclass(frozen=True)
class Head:
    """Method, path and query as they came (still encoded, without scheme and host), headers in order and case."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    scheme: str
    version: str
    client: str
    port: int

    @classmethod
    def of(cls, scope: MutableMapping[str, Any]) -> "Head":
        raw = scope.get(RAW_HEADERS) or scope["headers"]
        client, server = scope.get("client"), scope.get("server")
        return cls(
            method=scope["method"],
            path="/" + scope["raw_path"].decode("latin-1").lstrip("/"),
            query=scope["query_string"].decode("latin-1"),
            headers=tuple((name.decode("latin-1"), _text(value)) for name, value in raw),
            scheme=scope["scheme"],
            version=scope["http_version"],
            client=client[0] if client else "127.0.0.1",
            port=server[1] if server else 0,
        )

    def header(self, name: str) -> str | None:
        """The last value of a header, by its lower-case name."""
        return next((value for key, value in reversed(self.headers) if key.lower() == name), None)

    @property
    def header_bytes(self) -> int:
        return sum(len(name) + len(value) + _HEADER_OVERHEAD for name, value in self.headers)

    @property
    def content_length(self) -> int | None:
        """The announced length of the body; None when it is chunked."""
        if self.header("transfer-encoding") is not None:
            return None
        return int(self.header("content-length") or 0)

    @property
    def expects_continue(self) -> bool:
        return (self.header("expect") or "").lower() == "100-continue"


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
