"""Replacing attributes of moto's classes, and putting them back.

Every mend in `sandbox.aws` goes through `Patches`, so that a test can install it and leave the process as it was.
"""

from __future__ import annotations

from typing import Any

_ABSENT = object()


class Patches:
    """An undo list. `undo` restores in reverse order, so that one attribute may be replaced twice."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, Any, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> Any:
        """Set `owner.name`; the answer is what stood there before (None if it was inherited or missing)."""
        before = vars(owner).get(name, _ABSENT)
        self._undo.append((owner, name, before))
        setattr(owner, name, value)
        return None if before is _ABSENT else before

    def set_item(self, owner: dict[Any, Any], key: Any, value: Any) -> None:
        """As `set`, for an entry of a dictionary."""
        before = owner.get(key, _ABSENT)
        self._undo.append((owner, key, before))
        owner[key] = value

    def undo(self) -> None:
        while self._undo:
            owner, name, before = self._undo.pop()
            if isinstance(owner, dict):
                owner.pop(name, None) if before is _ABSENT else owner.__setitem__(name, before)
            elif before is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
