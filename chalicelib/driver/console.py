"""The bootstrap's own words to the user: one line on standard error, where the program's output goes too."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print `sparkplane: text`. Standard error may be gone (the JVM that reads it has ended) or closed by the program;
    that must not keep the bootstrap from the rest of its work."""
    try:
        print(f"sparkplane: {text}", file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):
        return
