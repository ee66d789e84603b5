"""Which media types an API treats as binary (`binaryMediaTypes`).

API Gateway compares type and subtype only, without parameters, and knows the wildcards `type/*` and `*/*`. Of a header
that lists several types (`Accept`) it looks at the first alone. A missing header matches nothing but `*/*`. Note what
follows for answers: in a request, `Accept: */*` is no wildcard but the literal type `*/*`, so an API whose list lacks
`*/*` does not decode a base64 answer for a client such as curl or requests.
"""

from collections.abc import Iterable


class BinaryTypes:
    """The binary media types of one API; `in_header` says whether a header's value names one of them."""

    def __init__(self, types: Iterable[str]) -> None:
        cleaned = {_media_type(entry) for entry in types}
        self._everything = "*/*" in cleaned
        self._exact = frozenset(cleaned)
        self._families = frozenset(entry[:-1] for entry in cleaned if entry.endswith("/*"))

    def in_header(self, value: str | None) -> bool:
        if self._everything:
            return True
        if not value:
            return False
        first = _media_type(value.split(",", 1)[0])
        return first in self._exact or first.partition("/")[0] + "/" in self._families


def _media_type(value: str) -> str:
    return value.split(";", 1)[0].strip().lower()
