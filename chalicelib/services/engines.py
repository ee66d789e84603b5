"""What carries a run out, chosen by what the run is: the cluster's engine, or one here for a run without a driver.

Whoever brings a run to its end (`workflow`) asks `engine_of` and knows no difference.
"""

from __future__ import annotations

from chalicelib.core.model import ProgramKind, Run
from chalicelib.core.policy import Outcome
from chalicelib.core.states import RunState
from chalicelib.ports import Engine, EngineJob, EngineRefused, Launch, Ports
from chalicelib.services.children import Children
from chalicelib.services.driverless import Driverless


def engine_of(ports: Ports, run: Run) -> Engine:
    """The engine that carries a run out."""
    if run.spec.program.kind is ProgramKind.RUN_JOB:
        return Children(ports, run.workspace)
    return StandingClusters() if run.spec.existing_cluster else ports.engine


class StandingClusters(Driverless):
    """Runs on a cluster that exists already. There is none: each run has a cluster of its own, so that such a run ends
    as Databricks ends it (`wire/databricks_jobs_2_0.md`, "Runs get")."""

    def start(self, launch: Launch) -> str:
        """See Engine.start."""
        message = (
            f"Run executed on existing cluster ID {launch.run.spec.existing_cluster} failed since the cluster does "
            "not exist."
        )
        raise EngineRefused(message, Outcome(RunState.INTERNAL_ERROR, NO_CLUSTER, message))

    def find(self, run: Run) -> EngineJob | None:
        """See Engine.find."""
        return None

    def describe(self, engine_id: str) -> EngineJob | None:
        """See Engine.describe."""
        return None

    def cancel(self, engine_id: str) -> None:
        """See Engine.cancel."""


NO_CLUSTER = "CLUSTER_NOT_FOUND"
"""The reason of a run whose cluster does not exist."""
