"""The short way from boto3 to moto's DynamoDB within one process.

Between a client's method and moto's handler lie validation, endpoint rules, serialisation, signing, a prepared HTTP
request, a WSGI request, a parser and a serialiser for each direction: six sevenths of the time of a call that writes
one row, spent on turning JSON into itself. For the hot actions the handler is called with the parameters as JSON, and
its result is the answer.

Only success takes this way. Whatever the handler raises, the call is done again on the long way, which knows how each
error is told; a unit of work that failed has left nothing behind. Binary values go the long way too. Hooks of botocore
see a call as ever, before and after it.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.client import BaseClient
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
_BINARY = ('"B"', '"BS"', '"NULL"')


def apply(patches: Patches) -> None:
    """Be asked at every call of every client, until undone."""
    slow = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if operation in ACTIONS and botocore_stubber.enabled and _is_aws(client.meta):
            told = answer(client, operation, parameters)
            if told is not None:
                return told
        return slow(client, operation, parameters)

    patches.set(BaseClient, "_make_api_call", call)


def answer(client: Any, operation: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
    """What a client's method returns; None for what has to go the long way."""
    meta = client.meta
    context = {"client_region": meta.region_name, "client_config": meta.config}
    model = meta.service_model.operation_model(operation)
    parameters = client._emit_api_params(parameters, model, context)
    handler = DynamoHandler()
    try:
        body = json.dumps(parameters)
        if any(mark in body for mark in _BINARY):
            return None
        handler.body = handler.params = json.loads(body)
        handler.region, handler.headers, handler.querystring = meta.region_name, {}, {}
        handler.current_account = handler.get_current_account()
        result: Any = getattr(handler, ACTIONS[operation])().result
    except Exception as error:  # noqa: BLE001 - told by the long way
        log.debug("%s goes the long way: %r", operation, error)
        return None
    metadata = {"HTTPStatusCode": 200, "HTTPHeaders": {}, "RequestId": "", "RetryAttempts": 0}
    told = {**result, "ResponseMetadata": metadata}
    http = AWSResponse(meta.endpoint_url, 200, {}, None)
    event = f"after-call.dynamodb.{operation}"
    meta.events.emit(event, http_response=http, parsed=told, model=model, context=context)
    return told


def _is_aws(meta: Any) -> bool:
    return meta.service_model.service_name == "dynamodb" and f".{meta.region_name}.amazonaws.com" in meta.endpoint_url
