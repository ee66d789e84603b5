"""Modules that are imported when they are first used, because a cold start that does not need them should not pay.

Every function that is deployed imports all dialects, and a request needs one of them; a worker needs none. A dialect's
routes hold its mapping and schemas this way, and with them pydantic, which is more than half of all import time.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class later:
    """Stands for the module `name`; any attribute of it imports it. For type checkers, import the module beside it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value
