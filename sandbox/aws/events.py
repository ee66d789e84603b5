"""EventBridge: rules that reach functions, in the background.

In stock moto a rule whose target is a function makes every PutEvents answer 500, and one rule with a schedule
expression (which has no pattern, and so matches everything) does that to all buses. Here PutEvents answers at once;
each matching rule calls its targets in the background, with the tries of `Functions.invoke_later`. Patterns are
matched by `sandbox.aws.patterns`. Targets other than functions and state machines go moto's way (SQS, Logs, another
bus); one that fails is logged and disturbs no other.

Events wait in memory. Rules with a schedule never fire: the product's schedules are EventBridge Scheduler's.
"""

from __future__ import annotations

import copy
import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from jsonpath_ng.ext import parse as parse_path
from moto.events.exceptions import InvalidEventPatternException
from moto.events.models import EventPatternParser, Rule, events_backends
from moto.events.utils import EventTemplateParser
from moto.stepfunctions.responses import get_backend as step_functions

from sandbox.aws.functions import ACCOUNT, REGION, Functions
from sandbox.aws.patches import Patches
from sandbox.aws.patterns import InvalidPattern, Pattern

log = logging.getLogger(__name__)

DeadLetter = Callable[[Any, Exception], None]

_pattern = lru_cache(maxsize=256)(Pattern.parse)


class Events:
    """The delivery of events. `on_failure` gets the input and the last error of what a function failed to take."""

    def __init__(self, functions: Functions, *, on_failure: DeadLetter | None = None) -> None:
        self._functions = functions
        self._on_failure = on_failure

    def install(self) -> Patches:
        """Make moto's rules deliver through this. The answer can undo it."""
        patches = Patches()
        patches.set(Rule, "send_to_targets", _send_to_targets(self, Rule.send_to_targets))
        patches.set(EventPatternParser, "parse", _parse_pattern(EventPatternParser.parse))
        return patches

    def deliver(self, event: Mapping[str, Any]) -> None:
        """Put an event of AWS itself (`source` is `aws.…`, which PutEvents refuses on AWS) on the default bus.

        `event` is the whole envelope: source, detail-type, detail, and optionally id, time (ISO 8601), resources.
        """
        message = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "account": ACCOUNT,
            "region": REGION,
            "resources": [],
            **event,
            "time": _epoch(event.get("time")),
            "ingestion-time": time.time(),
        }
        bus = events_backends[ACCOUNT][REGION].describe_event_bus("default")
        for rule in list(bus.rules.values()):
            rule.send_to_targets(copy.deepcopy(message))  # type: ignore[arg-type]

    def send(self, target: Mapping[str, Any], event: dict[str, Any]) -> bool:
        """Call a function or start an execution with what the target makes of the event; False for other targets."""
        service = target["Arn"].split(":")[2]
        if service == "lambda":
            self._functions.invoke_later(target["Arn"], target_input(target, event), on_failure=self._on_failure)
            return True
        if service == "states":
            text = json.dumps(target_input(target, event))
            step_functions(ACCOUNT, REGION).start_execution(target["Arn"], f"{event['id']}_{uuid.uuid4()}"[:80], text)
            return True
        return False


def target_input(target: Mapping[str, Any], event: dict[str, Any]) -> Any:
    """The event as the target sees it: as it is, or by `Input`, `InputPath` or `InputTransformer`."""
    if "Input" in target:
        return json.loads(target["Input"])
    seen = {**event, "time": _iso(event["time"])}
    arrived = seen.pop("ingestion-time", None)
    if "InputPath" in target:
        found = parse_path(target["InputPath"]).find(seen)
        return found[0].value if found else None
    transformer = target.get("InputTransformer")
    if transformer:
        whole: Any = {**seen, "ingestion-time": arrived}
        return EventTemplateParser.parse(transformer["InputTemplate"], transformer.get("InputPathsMap", {}), whole)
    return seen


def _send_to_targets(events: Events, stock: Any) -> Any:
    def send_to_targets(self: Rule, original_event: Any, transform_input: bool = True) -> None:
        text = self.event_pattern._raw_pattern
        if self.state == "DISABLED" or not text:
            return
        seen = {**original_event, "time": _iso(original_event["time"])}
        if not _pattern(text).matches(seen):
            return
        for target in list(self.targets):
            try:
                if not events.send(target, original_event):
                    one = copy.copy(self)
                    one.event_pattern, one.targets = _MATCHED, [target]
                    stock(one, copy.deepcopy(original_event), transform_input)
            except Exception:
                # AWS answered PutEvents long before a target fails; the other targets get the event all the same.
                log.exception("the rule %s could not reach %s", self.name, target["Arn"])

    return send_to_targets


class _Matched:
    """Stands in for a rule's pattern that was matched already."""

    def matches_event(self, event: Any) -> bool:
        return True


_MATCHED: Any = _Matched()


def _parse_pattern(stock: Any) -> Any:
    def parse(self: EventPatternParser) -> Any:
        parsed = stock(self)
        if self.pattern:
            try:
                Pattern(parsed)
            except InvalidPattern as error:
                raise InvalidEventPatternException(reason=str(error)) from error
        return parsed

    return parse


def _iso(moment: Any) -> str:
    if isinstance(moment, str) and not moment.replace(".", "", 1).isdigit():
        return moment
    return datetime.fromtimestamp(float(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _epoch(moment: str | None) -> float:
    return time.time() if moment is None else datetime.fromisoformat(moment).timestamp()
