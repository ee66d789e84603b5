"""The short way from boto3 to moto's DynamoDB within one process.

Between botocore's serialised request and moto's handler lie signing, a prepared HTTP request, a WSGI request, a parser
and a serialiser for each direction: four fifths of the time of a call that writes one row, spent on turning JSON into
itself. For the hot actions the handler is called with the request's own JSON, and its result is the answer.

Only success takes this way. Whatever the handler raises, the request is done again on the long way, which knows how
each error is told; a unit of work that failed has left nothing behind. Binary values go the long way too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import botocore.handlers
from botocore.awsrequest import AWSResponse
from moto.core.models import botocore_stubber
from moto.dynamodb.responses import DynamoHandler

from sandbox.aws.patches import Patches

log = logging.getLogger(__name__)

ACTIONS = {
    "GetItem": "get_item",
    "BatchGetItem": "batch_get_item",
    "Query": "query",
    "PutItem": "put_item",
    "TransactWriteItems": "transact_write_items",
}
_BINARY = (b'"B"', b'"BS"', b'"NULL"')


def apply(patches: Patches) -> None:
    """Be asked by every botocore session that is made from now on, until undone. Older clients go the long way."""
    active: dict[str, bool] = {}
    patches.set_item(active, "active", True)  # absent again when undone; sessions keep the handler

    def before_call(model: Any, params: Mapping[str, Any], context: Mapping[str, Any], **_: Any) -> Any:
        if "active" not in active or not botocore_stubber.enabled:
            return None
        return answer(model.name, params, context["client_region"])

    handlers = botocore.handlers.BUILTIN_HANDLERS
    patches.set(botocore.handlers, "BUILTIN_HANDLERS", [*handlers, ("before-call.dynamodb", before_call)])


def answer(operation: str, request: Mapping[str, Any], region: str) -> tuple[AWSResponse, dict[str, Any]] | None:
    """What botocore takes for the HTTP answer and its parsed body; None for what has to go the long way."""
    action, body = ACTIONS.get(operation), request["body"]
    if action is None or not _is_aws(request["url"], region) or any(mark in body for mark in _BINARY):
        return None
    handler = DynamoHandler()
    handler.body = handler.params = json.loads(body)
    handler.region, handler.headers = region, {}
    handler.querystring = {}
    handler.current_account = handler.get_current_account()
    try:
        result: Any = getattr(handler, action)().result
    except Exception as error:  # noqa: BLE001 - told by the long way
        log.debug("%s goes the long way: %r", operation, error)
        return None
    metadata = {"HTTPStatusCode": 200, "HTTPHeaders": {}, "RequestId": "", "RetryAttempts": 0}
    return AWSResponse(request["url"], 200, {}, None), {**result, "ResponseMetadata": metadata}


def _is_aws(url: str, region: str) -> bool:
    return f".{region}.amazonaws.com" in url
