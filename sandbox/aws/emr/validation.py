"""What StartJobRun refuses, as EMR on EKS refuses it: before anything is stored.

The lengths, patterns and enumerations come from AWS's own service model, which ships with botocore; botocore itself
leaves most of them to the service. Further down stand the rules that no model states.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.model import OperationModel, Shape

_RELEASE = re.compile(r"emr-(spark-)?\d+\.\d{1,2}(\.\d{1,2})?(-[a-z0-9]+)*-(latest|\d{8})")


class Invalid(Exception):
    """The request breaks a rule; the text is a sentence for the caller."""


class NoSuchRelease(Exception):
    """The release label has the right shape but names nothing."""


@cache
def _operation(name: str) -> OperationModel:
    return botocore.session.get_session().get_service_model("emr-containers").operation_model(name)


def check(operation: str, request: dict[str, Any]) -> None:
    """Holds `request` against the model's input shape of `operation`; raises Invalid with every breach in it."""
    faults = list(_faults(_operation(operation).input_shape, request, ""))
    if faults:
        count = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected: "
        raise Invalid((count + "; ".join(faults))[:1024])


def _faults(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if value is None:
        return
    if shape.type_name == "structure":
        yield from _structure_faults(shape, value, path)
    elif shape.type_name == "list":
        yield from _length_faults(shape, len(value), path)
        for index, item in enumerate(value):
            yield from _faults(shape.member, item, f"{path}.{index + 1}.member")
    elif shape.type_name == "map":
        yield from _length_faults(shape, len(value), path)
        for key, item in value.items():
            yield from _faults(shape.key, key, f"{path} key")
            yield from _faults(shape.value, item, f"{path}.{key}")
    elif shape.type_name == "string":
        yield from _string_faults(shape, value, path)


def _structure_faults(shape: Shape, value: dict[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield _fault("null", _join(path, name), "Member must not be null")
    for name, member in shape.members.items():
        yield from _faults(member, value.get(name), _join(path, name))


def _string_faults(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield _fault(value, path, "Member must be a string")
        return
    yield from _length_faults(shape, len(value), path, value)
    if shape.enum and value not in shape.enum:
        yield _fault(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    pattern = shape.metadata.get("pattern")
    # A pattern speaks of the whole value; DOTALL, since ".*\S.*" is meant to say "not blank".
    if pattern and value and not re.fullmatch(pattern, value, re.DOTALL):
        yield _fault(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _length_faults(shape: Shape, length: int, path: str, value: str = "") -> Iterator[str]:
    lowest, highest = shape.metadata.get("min"), shape.metadata.get("max")
    if highest is not None and length > highest:
        yield _fault(value[:80], path, f"Member must have length less than or equal to {highest}")
    if lowest is not None and length < lowest:
        yield _fault(value, path, f"Member must have length greater than or equal to {lowest}")


def _fault(value: Any, path: str, constraint: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def check_start(request: dict[str, Any]) -> None:
    """Every rule for StartJobRun's own input; raises Invalid or NoSuchRelease."""
    check("StartJobRun", request)
    for name in ("jobTemplateId", "retryPolicyConfiguration"):
        if request.get(name) is not None:
            raise Invalid(f"The sandbox's EMR on EKS does not implement {name}.")
    for name in ("executionRoleArn", "releaseLabel", "jobDriver"):
        if request.get(name) is None:
            raise Invalid(f"{name} is required when no job template is given.")
    driver = request["jobDriver"]
    if driver.get("sparkSqlJobDriver") is not None:
        raise Invalid("The sandbox's EMR on EKS runs sparkSubmitJobDriver only, not sparkSqlJobDriver.")
    if driver.get("sparkSubmitJobDriver") is None:
        raise Invalid("jobDriver needs a sparkSubmitJobDriver.")
    if not _RELEASE.fullmatch(request["releaseLabel"]):
        raise NoSuchRelease(f"Release {request['releaseLabel']} doesn't exist.")
