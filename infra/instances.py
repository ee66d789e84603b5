"""Analytics Engine's instances that the stack makes: those of `instances.json`, each a custom resource whose function
is `workers.instances`. Other stacks may declare more, by the service token that this one exports.

They outlive the stack, as does the table that they are in. An update of the stack reaches an instance only when its
entry has changed: what an administrator changed meanwhile stays.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from chalicelib.core.errors import Invalid
from chalicelib.dialects.analytics_engine.declared import all_wanted, entries_of
from infra.cfn import Json, attribute, ref, sub
from infra.functions import LOGICAL

DECLARED = Path(__file__).with_name("instances.json")
TYPE = "Custom::SparkplaneInstance"

SERVICE_TIMEOUT = 600
"""Seconds that CloudFormation waits for an answer (an hour, unless told). Lambda's tries of an event take less."""

MAX_EVENT_AGE = 300
"""Seconds after which Lambda gives an event up, so that none comes when CloudFormation no longer waits for it."""

_FUNCTION = LOGICAL["instance_resource"]
_TRIES = f"{_FUNCTION}Tries"


def read(path: Path = DECLARED) -> list[Json]:
    """The entries of a file, each of which can be. Raises Invalid, naming the file, the entry and the field.

    Which schemes URIs may have is the stack's parameter, so the function says that; here any will do.
    """
    try:
        text = path.read_text()
        entries: list[Json] = entries_of(text)
        all_wanted(entries, {"file", "local", *re.findall(r"([a-z][a-z0-9+.-]*):", text.lower())})
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} cannot be read: {error}.") from None
    except Invalid as invalid:
        raise Invalid(f"{path}: {invalid.message}", field=invalid.field) from None
    return entries


def logical_id(name: str) -> str:
    """The logical id of an instance's resource: letters and digits, and of no other instance. A name of other than
    small letters and digits has a part of its digest in it."""
    plain = re.fullmatch(r"[a-z][a-z0-9]*", name)
    word = "".join(re.findall(r"[A-Za-z0-9]+", name.title()))
    return f"{word}{'' if plain else hashlib.sha256(name.encode()).hexdigest()[:8]}Instance"


def resources(entries: Sequence[Json]) -> Json:
    """An instance an entry, and how often its function is tried."""
    tries = {
        "Type": "AWS::Lambda::EventInvokeConfig",
        "Properties": {
            "FunctionName": ref(_FUNCTION),
            "Qualifier": "$LATEST",
            "MaximumRetryAttempts": 2,
            "MaximumEventAgeInSeconds": MAX_EVENT_AGE,
        },
    }
    return {_TRIES: tries, **{logical_id(entry["name"]): _instance(entry) for entry in entries}}


def _instance(entry: Json) -> Json:
    own = {"ServiceToken": attribute(_FUNCTION, "Arn"), "ServiceTimeout": SERVICE_TIMEOUT}
    return {
        "Type": TYPE,
        "DependsOn": [_TRIES],
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {**own, "workspace": ref("Workspace"), **entry},
    }


def outputs(entries: Sequence[Json]) -> Json:
    """The instances' ids, and what other stacks declare instances with."""
    token = {
        "Description": f"The ServiceToken of {TYPE} in other stacks",
        "Value": attribute(_FUNCTION, "Arn"),
        "Export": {"Name": sub("${AWS::StackName}-InstanceServiceToken")},
    }
    ids = {
        f"{logical_id(entry['name'])}Id": {
            "Description": f"The id of Analytics Engine's instance {entry['name']}",
            "Value": attribute(logical_id(entry["name"]), "InstanceId"),
        }
        for entry in entries
    }
    return {"InstanceServiceToken": token, **ids}
