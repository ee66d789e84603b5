"""The two tables in infra/ that say how API Gateway behaves, read by the front and by the template alike."""

import json
from pathlib import Path
from typing import Any

INFRA = Path(__file__).resolve().parents[2] / "infra"


def gateway_responses(path: Path = INFRA / "gateway_responses.json") -> dict[str, dict[str, Any]]:
    """Gateway responses by type, in the form of OpenAPI's `x-amazon-apigateway-gateway-responses`."""
    table: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return table


def remapped_headers(path: Path = INFRA / "remapped_headers.json") -> dict[str, dict[str, Any]]:
    """Which headers API Gateway takes out of requests, and renames or takes out of a handler's answers."""
    table: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return table
