"""The gateway's own answers ("gateway responses"): a request that never reached the handler, or got nothing from it.

infra/gateway_responses.json customises them, here and on AWS. A type without an entry takes the template and headers of
DEFAULT_4XX or DEFAULT_5XX. A status given there for a DEFAULT type changes every type that gives none, as on AWS: so
the table gives none. INTEGRATION_FAILURE's own default is 504; the table sets 502, which is what Lambda proxy
integrations are known for. Templates know no logic, only variables: `$context.error.messageString` is quoted,
all others are bare.
Of header values, literals ('text') and `context.…` are imitated; a table with another kind is refused at the start.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from sandbox.front.answers import Answer

Kind = Literal[
    "API_CONFIGURATION_ERROR", "DEFAULT_4XX", "DEFAULT_5XX", "INTEGRATION_TIMEOUT", "MISSING_AUTHENTICATION_TOKEN",
    "REQUEST_TOO_LARGE",
]  # fmt: skip

# Type -> its status and message unless told otherwise, and what API Gateway puts into x-amzn-ErrorType.
_STOCK: dict[Kind, tuple[int, str, str]] = {
    "API_CONFIGURATION_ERROR": (500, "Internal server error", "InternalServerErrorException"),
    "DEFAULT_4XX": (400, "Bad Request", "BadRequestException"),
    "DEFAULT_5XX": (502, "Internal server error", "InternalServerErrorException"),
    "INTEGRATION_TIMEOUT": (504, "Endpoint request timed out", "InternalServerErrorException"),
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token", "MissingAuthenticationTokenException"),
    "REQUEST_TOO_LARGE": (413, "Request Too Long", "RequestTooLargeException"),
}
_STOCK_TEMPLATE = '{"message":$context.error.messageString}'
_VARIABLE = re.compile(r"\$context\.([A-Za-z]+(?:\.[A-Za-z]+)*)")
_HEADER = "gatewayresponse.header."


class Refusals:
    """Renders gateway responses from a table by type. Raises ValueError for a table with what it cannot imitate."""

    def __init__(self, table: Mapping[str, Mapping[str, Any]]) -> None:
        self._table = table
        for kind, entry in table.items():
            for name, value in entry.get("responseParameters", {}).items():
                if not name.startswith(_HEADER) or not (_is_literal(value) or value.startswith("context.")):
                    raise ValueError(f"gateway response {kind}: {name} = {value} is not imitated")

    def answer(
        self, kind: Kind, context: Mapping[str, str], status: int | None = None, message: str | None = None
    ) -> Answer:
        """The answer of a type; `context` holds `$context`'s values, `status` and `message` replace the stock ones."""
        stock_status, stock_message, error_type = _STOCK[kind]
        entry = self._entry(kind)
        text = message or stock_message
        values = {
            **context,
            "error.message": text,
            "error.messageString": json.dumps(text),
            "error.responseType": kind,
        }
        template = entry.get("responseTemplates", {}).get("application/json", _STOCK_TEMPLATE)
        body = _VARIABLE.sub(lambda found: values.get(found[1], ""), template)
        headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", error_type)]
        for name, value in entry.get("responseParameters", {}).items():
            chosen = value[1:-1] if _is_literal(value) else values.get(value.removeprefix("context."), "")
            headers.append((name.removeprefix(_HEADER), chosen))
        return Answer(int(entry.get("statusCode") or status or stock_status), tuple(headers), body.encode("utf-8"))

    def _entry(self, kind: Kind) -> Mapping[str, Any]:
        default = self._table.get("DEFAULT_5XX" if _STOCK[kind][0] >= 500 else "DEFAULT_4XX", {})
        own = self._table.get(kind)
        if own is None:
            return default
        return own if own.get("statusCode") else {**own, "statusCode": default.get("statusCode")}


def _is_literal(value: str) -> bool:
    return len(value) >= 2 and value[0] == value[-1] == "'"
