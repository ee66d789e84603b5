"""What engines have in common that start no drivers of their own."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from chalicelib.core.model import Run
from chalicelib.ports import EngineJob


class Driverless:
    """The part of the Engine port that is about drivers and their logs: there are none."""

    def live(self, clusters: Collection[str] = ()) -> list[EngineJob]:
        """See Engine.live."""
        return []

    def log_root(self, run: Run) -> str:
        """See Engine.log_root: nothing is below it."""
        return f"{run.workspace}/logs/none/"

    def log_names(self, run: Run, stream: str) -> Sequence[str]:
        """See Engine.log_names."""
        return ()
