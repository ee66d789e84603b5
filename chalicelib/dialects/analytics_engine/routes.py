"""The operations of Analytics Engine v4, and the way to a token."""

from __future__ import annotations

from chalicelib.dialects.analytics_engine import applications, authentication, history, instances
from chalicelib.dialects.analytics_engine.errors import VOICE
from chalicelib.dialects.http import OpenOperation, Operation

__all__ = ["OPERATIONS", "VOICE"]

OPERATIONS: list[Operation | OpenOperation] = [
    *authentication.OPERATIONS,
    *instances.OPERATIONS,
    *applications.OPERATIONS,
    *history.OPERATIONS,
]
