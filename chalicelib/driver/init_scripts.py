"""Runs a cluster's init scripts in the driver, in order, before anything else of the run. Called by `bootstrap`."""

from __future__ import annotations

import os

from .program import Unavailable
from .relay import relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class InitScriptFailed(Exception):
    """An init script could not be had or did not succeed, as Databricks words it."""

    def __init__(self, script: Mapping[str, str], reason: str) -> None:
        label = script.get("label") or script.get("uri", "")
        super().__init__(f"Cluster scoped init script {label} failed: {reason}")


def run_scripts(
    scripts: Sequence[Mapping[str, str]], environment: Mapping[str, str], fetch: Callable[[str], str]
) -> None:
    """Run each script with bash, with `environment` beside the driver's own; what they write goes to standard error.

    A script has its "uri", which `fetch` makes a local path of, or its "text". Raises InitScriptFailed for the first
    one that ends with another status than 0; those after it are not run.
    """
    whole = {**os.environ, **environment}
    for script in scripts:
        try:
            command = ["bash", "-c", script["text"]] if "text" in script else ["bash", fetch(script["uri"])]
            status, _ = relay(command, whole)
        except Unavailable as error:
            raise InitScriptFailed(script, str(error)) from None
        except OSError as error:
            raise InitScriptFailed(script, f"bash could not be started: {error.strerror}.") from None
        if status:
            raise InitScriptFailed(script, "Script exit status is non-zero")
