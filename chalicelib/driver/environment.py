"""Gives the driver's Python the environment that a run asks for. `bootstrap` calls it before the user's program."""

from __future__ import annotations

import os
import sys

from .console import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# Settled when Python or the JVM started: changing them now would make the driver disagree with its JVM or its workers.
# (PySpark hands the driver's PYTHONHASHSEED to every worker, while the driver itself already hashes with the old one.)
SETTLED = frozenset({"PYTHONHASHSEED", "PYSPARK_PIN_THREAD", "PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"})


# Clients name the Python of another platform's image, such as /databricks/python3/bin/python3.
INTERPRETERS = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")


def apply(environment: Mapping[str, str]) -> dict[str, str]:
    """Set `environment` in this process; returns the part of it that executors should have too: all but `SETTLED`, and
    but an interpreter's path that does not exist here.

    Two variables need more than being set: PYTHONPATH (read by Python at its start, so the entries are added to
    `sys.path`, and in front of what Spark put there, which child processes still need) and TZ (read by the C
    library).
    """
    wanted = dict(environment)
    for name in sorted(SETTLED & set(wanted)):
        say(f"{name} cannot be changed for a driver that has started; it is left as it is")
        del wanted[name]
    for name in INTERPRETERS:
        if os.path.isabs(wanted.get(name, "")) and not os.path.exists(wanted[name]):
            say(f"{name} is left as it is: there is no {wanted.pop(name)} in this image")
    inherited = os.environ.get("PYTHONPATH", "")
    os.environ.update(wanted)
    if "PYTHONPATH" in wanted:
        _extend_path(wanted["PYTHONPATH"], inherited)
    if "TZ" in wanted:
        import time

        time.tzset()
    return wanted


def _extend_path(wanted: str, inherited: str) -> None:
    os.environ["PYTHONPATH"] = os.pathsep.join(part for part in (wanted, inherited) if part)
    sys.path[1:1] = [os.path.abspath(entry) for entry in wanted.split(os.pathsep) if entry]
