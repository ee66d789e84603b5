"""Answers to CloudFormation: one PUT to a presigned URL of S3."""

from __future__ import annotations

import urllib.request

SECONDS = 10.0
"""How long a connection, or a silence, may last."""


def put_answer(url: str, body: bytes) -> None:
    """Put a body. Raises OSError when it is not taken. The signature is for no content type."""
    request = urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")
    with urllib.request.urlopen(request, timeout=SECONDS):
        pass
