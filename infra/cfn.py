"""CloudFormation's own small language, as functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def ref(name: str) -> Json:
    """A parameter's value, or what identifies a resource."""
    return {"Ref": name}


def attribute(resource: str, name: str) -> Json:
    """An attribute of a resource."""
    return {"Fn::GetAtt": [resource, name]}


def sub(text: str, **values: Any) -> Json:
    """A text in which `${…}` are parameters, resources, attributes (`${Table.Arn}`), or the values given here."""
    return {"Fn::Sub": [text, values] if values else text}


def join(between: str, parts: Any) -> Json:
    """Texts, joined."""
    return {"Fn::Join": [between, parts]}


def split(text: Any) -> Json:
    """The list in a text with commas."""
    return {"Fn::Split": [",", text]}


def when(condition: str, then: Any, otherwise: Any) -> Json:
    """One of two values."""
    return {"Fn::If": [condition, then, otherwise]}


NOTHING: Mapping[str, str] = {"Ref": "AWS::NoValue"}
"""As if the property were not there."""


def given(parameter: str) -> Json:
    """The condition that a parameter is not empty."""
    return {"Fn::Not": [{"Fn::Equals": [ref(parameter), ""]}]}


def own_arn(service: str, rest: str) -> str:
    """The text of an ARN in the stack's own account and region, for `sub`."""
    return f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{rest}"
