"""Forms with files (`multipart/form-data`, RFC 7578), read by the standard library's parser of MIME."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message
from email.parser import BytesHeaderParser

from chalicelib.core.errors import Malformed

MAX_PARTS = 100


def is_form(headers: Mapping[str, str]) -> bool:
    """Whether a request with these headers (names in lower case) says that it brings a form with files."""
    return headers.get("content-type", "").lower().startswith("multipart/form-data")


def read_form(headers: Mapping[str, str], body: bytes) -> dict[str, bytes]:
    """The parts of a form by name; of parts of one name, the last. Raises Malformed."""
    boundary = _header("Content-Type", headers.get("content-type", "")).get_param("boundary")
    if not isinstance(boundary, str) or not boundary.isascii() or not 0 < len(boundary) <= 70:
        raise Malformed("The form does not name its boundary.")
    line = b"\r\n--" + boundary.encode()
    pieces = (b"\r\n" + body).split(line)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise Malformed("The form does not end with its boundary.")
    if len(pieces) > MAX_PARTS + 2:
        raise Malformed(f"The form has more than {MAX_PARTS} parts.")
    return dict(_part(piece) for piece in pieces[1:-1])


def _part(piece: bytes) -> tuple[str, bytes]:
    head, gap, content = piece.lstrip(b" \t").removeprefix(b"\r\n").partition(b"\r\n\r\n")
    told = BytesHeaderParser().parsebytes(head)
    name = told.get_param("name", header="Content-Disposition") if gap else None
    if not isinstance(name, str):
        raise Malformed("A part of the form has no name.")
    return name, content


def _header(name: str, value: str) -> Message:
    message = Message()
    message[name] = value
    return message


def text(name: str, value: bytes) -> str:
    """The text of a part that is no file. Raises Malformed."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Malformed(f"{name} is not UTF-8 text.") from None
