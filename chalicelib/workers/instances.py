"""Instances as code: the function behind CloudFormation's custom resource `Custom::SparkplaneInstance`.

Its properties are an entry of `dialects.analytics_engine.declared`, and `workspace`, which is the deployment's unless
told. Its physical id is `<workspace>/<name>`, so that another name is another instance; its attributes are `InstanceId`
and `Path`, where the instance answers below the API's URL.

- Create and Update do what `instance apply` does. An instance that exists is adopted. What the resource said before and
  says no more is as if nobody had ever said it.
- Delete leaves the instance as it is, with its quota: its runs and their history are in it, and a stack that names it
  again finds it under the same id. There is no removal of pools.
- What can never be is answered FAILED, with the sentence. Anything else that goes wrong is raised and not answered:
  Lambda brings the event again, and doing it again changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from chalicelib.core.credentials import WORKSPACE
from chalicelib.core.errors import Conflict, Invalid, SparkplaneError
from chalicelib.core.model import Principal, Role
from chalicelib.dialects.analytics_engine.declared import UNTOLD, attributes_of, wanted_of
from chalicelib.dialects.analytics_engine.reading import BASE
from chalicelib.observe import logger
from chalicelib.ports import Ports
from chalicelib.services import instances
from chalicelib.services.access import Call
from chalicelib.services.pools import instance_id

Answer = Callable[[str, bytes], None]
"""Puts a body to a presigned URL. Raises when it is not taken."""

MAX_REASON = 500
"""Characters of a refusal's sentence. An answer has at most 4,096 bytes."""

_CLOUDFORMATIONS = frozenset({"ServiceToken", "ServiceTimeout"})
"""Properties that are CloudFormation's own."""


def instance_worker(ports: Ports, event: Mapping[str, Any], answer: Answer) -> None:
    """Do what a stack asks for an instance, and answer it, once."""
    told = _answer_to(ports, event)
    logger().info("instance", request=event["RequestType"], stack=event["StackId"], **told)
    same = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    answer(event["ResponseURL"], json.dumps({**same, **told}, ensure_ascii=False).encode(errors="replace"))


def _answer_to(ports: Ports, event: Mapping[str, Any]) -> dict[str, Any]:
    known = event.get("PhysicalResourceId", "")
    if event["RequestType"] == "Delete":
        return {"Status": "SUCCESS", "PhysicalResourceId": known}
    try:
        return _applied(ports, event, known)
    except Conflict:
        raise
    except SparkplaneError as refused:
        id = known or event["LogicalResourceId"]
        return {"Status": "FAILED", "Reason": refused.message[:MAX_REASON], "PhysicalResourceId": id}


def _applied(ports: Ports, event: Mapping[str, Any], known: str) -> dict[str, Any]:
    """Bring the instance to what the resource says. Raises Invalid."""
    told = {name: value for name, value in event["ResourceProperties"].items() if name not in _CLOUDFORMATIONS}
    workspace = told.pop("workspace", ports.settings.workspace)
    if not isinstance(workspace, str) or not WORKSPACE.fullmatch(workspace):
        raise Invalid(f"workspace: {workspace!r} cannot be a workspace's name.", field="workspace")
    wanted = wanted_of(told, ports.settings.uri_schemes)
    physical = f"{workspace}/{wanted.name}"
    if known == physical:
        gone = attributes_of(event.get("OldResourceProperties", {})) - attributes_of(told)
        wanted = replace(wanted, **{name: UNTOLD[name] for name in gone})
    instances.apply(ports, Call(Principal(workspace, "cloudformation", Role.ADMIN)), wanted)
    id = instance_id(ports, workspace, wanted.name)
    data = {"InstanceId": id, "Path": BASE.format(instance_id=id)}
    return {"Status": "SUCCESS", "PhysicalResourceId": physical, "Data": data}
