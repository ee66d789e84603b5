"""Hides secrets in what a notebook leaves behind: outputs, page, exit value, report. Driver side; pure.

Databricks replaces the literal value of every secret that the notebook has read. So does this, also where the value
stands escaped: in a repr, in JSON, in HTML. What a program makes of a secret (its letters apart, its base64) is beyond
it, there as here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HIDDEN = "[REDACTED]"
SHORTEST = 3
"""Characters of the shortest value that is hidden: one or two letters would be found in every word."""


class Redactor:
    """Knows the secrets that were read, and hides them. Values may be added at any time, from any thread."""

    def __init__(self) -> None:
        self._values: tuple[str, ...] = ()

    def add(self, value: str) -> None:
        """Hide this value from now on, and each of its lines if it has several."""
        import html
        import json

        known = set(self._values)
        for text in (value, *value.splitlines()):
            if len(text.strip()) >= SHORTEST:
                escaped = text.encode("unicode_escape").decode()
                known |= {text, escaped, json.dumps(text)[1:-1], html.escape(text), html.escape(text, quote=False)}
        self._values = tuple(sorted(known, key=len, reverse=True))

    def text(self, text: str) -> str:
        """The text without the secrets."""
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return text

    def data(self, value: Any) -> Any:
        """JSON data without the secrets in its texts. Images are left as they are: their base64 holds no words."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (list, tuple)):
            return [self.data(item) for item in value]
        if isinstance(value, dict):
            return {
                self.text(name): inner if _is_image(name, inner) else self.data(inner) for name, inner in value.items()
            }
        return value


def _is_image(name: str, value: Any) -> bool:
    return name.startswith("image/") and name != "image/svg+xml" and isinstance(value, str)
