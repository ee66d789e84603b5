"""The two ways by which moto calls a Lambda function, turned to `Functions`.

1. `LambdaBackend.invoke` and its `simple` sibling serve the Invoke API. Stock moto starts a Docker container, or
   echoes the event.
2. Step Functions' `lambda:invoke` makes a new boto3 client for every task (tens of milliseconds of CPU, and boto3's
   default
   session is not safe to use from several threads); we call the function directly.

Names that the registry does not know go the stock way.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from moto.awslambda.models import LambdaBackend
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.core.exceptions import JsonRESTError
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils

from sandbox.aws.functions import FunctionError, PayloadTooLarge, UnknownFunction
from sandbox.aws.patches import Patches

if TYPE_CHECKING:
    from sandbox.aws.functions import Functions


class _ApiError(JsonRESTError):
    def __init__(self, status: int, error: FunctionError) -> None:
        super().__init__(error.code, str(error))
        self.code = status


def install(functions: Functions) -> Patches:
    patches = Patches()
    for backend in (LambdaBackend, LambdaSimpleBackend):
        patches.set(backend, "invoke", _api_invoke(functions, backend.invoke))
    patches.set(lambda_eval_utils, "_invoke_lambda_function", _task_invoke(functions))
    return patches


def _api_invoke(functions: Functions, stock: Any) -> Any:
    def invoke(
        self: Any, function_name: str, qualifier: str | None, body: Any, headers: Any, response_headers: dict[str, str]
    ) -> bytes | str | None:
        if function_name not in functions:
            # The stock backends differ in what they do here; both must refuse a name that nobody registered.
            self.get_function(function_name, qualifier)
            return stock(self, function_name, qualifier, body, headers, response_headers)
        payload = body.encode() if isinstance(body, str) else bytes(body or b"")
        kind = headers.get("x-amz-invocation-type") or headers.get("X-Amz-Invocation-Type") or "RequestResponse"
        try:
            if kind == "DryRun":
                return b""
            if kind == "Event":
                functions.invoke_later(function_name, json.loads(payload) if payload else {})
                return b""
            answer = functions.call(function_name, payload)
        except UnknownFunction as error:
            raise _ApiError(404, error) from error
        except PayloadTooLarge as error:
            raise _ApiError(413, error) from error
        if answer.error:
            response_headers["x-amz-function-error"] = answer.error
        return answer.payload

    return invoke


def _call(functions: Functions, parameters: dict[str, Any]) -> dict[str, Any]:
    """The Invoke API's response for a task, its payload parsed; refusals are the errors that botocore raises."""
    payload = parameters.get("Payload") or b"{}"
    try:
        answer = functions.call(
            parameters["FunctionName"], payload if isinstance(payload, bytes) else str(payload).encode()
        )
    except (UnknownFunction, PayloadTooLarge) as error:
        status = 404 if isinstance(error, UnknownFunction) else 413
        response = {
            "Error": {"Code": error.code, "Message": str(error)},
            "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": ""},
        }
        raise ClientError(response, "Invoke") from error  # type: ignore[arg-type]
    found: dict[str, Any] = {
        "StatusCode": 200,
        "ExecutedVersion": "$LATEST",
        "Payload": json.loads(answer.payload),
    }
    if answer.error:
        found["FunctionError"] = answer.error
    return found


def _task_invoke(functions: Functions) -> Any:
    def _invoke_lambda_function(parameters: dict[str, Any], region: str, state_credentials: Any) -> dict[str, Any]:
        return _call(functions, parameters)

    return _invoke_lambda_function
