"""The state machines of `workflow`, as resources. Neither logs nor traces: the functions do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from infra.cfn import Json, attribute, sub
from infra.functions import LOGICAL
from infra.workflow import notify_machine, ring_machine, run_machine


def _machine(name: str, definition: Mapping[str, Any], functions: tuple[str, ...]) -> Json:
    """A standard state machine. Its name is fixed, because functions name it and it names functions."""
    return {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "StateMachineName": sub(f"${{AWS::StackName}}-{name}"),
            "StateMachineType": "STANDARD",
            "RoleArn": attribute("MachinesRole", "Arn"),
            "DefinitionString": json.dumps(definition, separators=(",", ":")),
            "DefinitionSubstitutions": {LOGICAL[f]: attribute(LOGICAL[f], "Arn") for f in functions},
        },
    }


def resources() -> Json:
    """The run machine, the notify machine and the ring machine."""

    def placeholder(function: str) -> str:
        return f"${{{LOGICAL[function]}}}"

    return {
        "RunMachine": _machine("run", run_machine(placeholder), ("launch", "check")),
        "NotifyMachine": _machine("notify", notify_machine(placeholder), ("notify",)),
        "RingMachine": _machine("ring", ring_machine(placeholder), ("ring",)),
    }
