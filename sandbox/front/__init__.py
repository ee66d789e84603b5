"""The front: HTTP on one side, API Gateway's Lambda proxy events on the other.

It imitates a REGIONAL API Gateway REST API on a custom domain, mapped at its root, so that clients meet the same
routes, limits, refusals and headers on a laptop as in an AWS account. The composition of the sandbox calls `front` with
the handler of the Chalice app and its routes, and `serve` to listen.

    app = front(invoke, chalice_app.routes, binary_types=["*/*"], responses=gateway_responses())
    server = serve(app, "127.0.0.1", 8080, ready=lambda port: print("ready", port))
    ...
    server.stop()

One request goes: `protocol` (bytes to ASGI, header names as they came) -> `app` (limits, time-out) -> `routes` ->
`event` -> `pool` (the handler's thread) -> `answers` (the handler's dict to HTTP) or `refusals` (the gateway's own
answers, from infra/gateway_responses.json).
"""

from sandbox.front.app import Front, Settings, front
from sandbox.front.server import Server, serve
from sandbox.front.tables import gateway_responses, remapped_headers

__all__ = ["Front", "Server", "Settings", "front", "gateway_responses", "remapped_headers", "serve"]
