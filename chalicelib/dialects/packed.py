"""Bodies that come compressed: `ibm-cloud-sdk-core` sends gzip when it is told to, with any method.

What a body may unpack to is bounded before it is unpacked, so that a small one that would grow without end costs no
more memory than the largest plain one.
"""

from __future__ import annotations

from chalicelib.core.errors import BodyTooLarge, Malformed, UnsupportedMedia

BODY_MOST = 10 * 1024 * 1024
"""Bytes of a body when it is unpacked: as many as API Gateway takes of a plain one."""

_GZIP, _ZLIB, _RAW = 31, 15, -15
"""zlib's `wbits`."""


def unpacked(body: bytes, encoding: str) -> bytes:
    """A body without its coding (the value of Content-Encoding): gzip or deflate, once, or none.

    Raises UnsupportedMedia for any other coding or several, Malformed for a stream that is damaged, cut short or
    followed by something, and BodyTooLarge.
    """
    codings = [coding for part in encoding.lower().split(",") if (coding := part.strip()) not in {"", "identity"}]
    if not codings or not body:
        return body
    if codings not in (["gzip"], ["x-gzip"], ["deflate"]):
        raise UnsupportedMedia(f"Content-Encoding {encoding!r} is not supported; gzip and deflate are.")
    import zlib

    wbits = _GZIP if codings != ["deflate"] else _ZLIB if _has_zlib_header(body) else _RAW
    stream = zlib.decompressobj(wbits)
    try:
        plain = stream.decompress(body, BODY_MOST + 1)
    except zlib.error:
        raise Malformed(f"The body of the request is not {codings[0]}, as its Content-Encoding says.") from None
    if len(plain) > BODY_MOST:
        raise BodyTooLarge(f"The body of the request unpacks to more than {BODY_MOST} bytes.")
    if not stream.eof or stream.unused_data:
        raise Malformed(f"The body of the request is not one whole stream of {codings[0]}.")
    return plain


def _has_zlib_header(body: bytes) -> bool:
    """Whether `deflate` means zlib's format (RFC 9110, 8.4.1.2), which some clients send without its header."""
    return body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
