"""The Lambda entry: one Chalice app with the dialects' routes and the workers. No logic of its own."""

from __future__ import annotations

from typing import Any

from chalice.app import Chalice

from chalicelib import wiring
from chalicelib.dialects import http
from chalicelib.dialects.analytics_engine import routes as analytics_engine
from chalicelib.dialects.console import routes as console
from chalicelib.dialects.databricks_jobs import routes as databricks_jobs
from chalicelib.dialects.driver_api import routes as driver_api

app = Chalice(app_name="sparkplane", configure_logs=False)
app.middleware("http")(http.remember_request)

DIALECTS = (databricks_jobs, analytics_engine, driver_api, console)
for dialect in DIALECTS:
    http.mount(app, dialect.VOICE, dialect.OPERATIONS, lambda: wiring.ports())  # looked up late: tests bring their own
http.mount_fallback(app, [dialect.VOICE for dialect in DIALECTS], databricks_jobs.VOICE)


@app.lambda_function()
def dispatch(event: dict[str, Any], context: Any) -> Any:
    """The table's stream: grant and start."""
    from chalicelib.workers.stream import dispatch_worker

    return dispatch_worker(wiring.ports(), wiring.decode_image, event)


@app.lambda_function()
def follow(event: dict[str, Any], context: Any) -> Any:
    """The table's stream: the feed, notices, cancels, removed jobs, schedules."""
    from chalicelib.workers.stream import follow_worker

    return follow_worker(wiring.ports(), wiring.decode_image, event, context)


@app.lambda_function()
def launch(event: dict[str, Any], context: Any) -> Any:
    """The run state machine: Launch and Watch."""
    from chalicelib.workers.execution import launch_worker

    return launch_worker(wiring.ports(), event)


@app.lambda_function()
def check(event: dict[str, Any], context: Any) -> Any:
    """The run state machine: Check."""
    from chalicelib.workers.execution import check_worker

    return check_worker(wiring.ports(), event)


@app.lambda_function()
def engine_event(event: dict[str, Any], context: Any) -> Any:
    """EventBridge: a driver changed state."""
    from chalicelib.workers.execution import engine_event_worker

    return engine_event_worker(wiring.ports(), event)


@app.lambda_function()
def ring(event: dict[str, Any], context: Any) -> Any:
    """The timer state machine: an instant has come."""
    from chalicelib.workers.execution import ring_worker

    return ring_worker(wiring.ports(), event)


@app.lambda_function()
def notify(event: dict[str, Any], context: Any) -> Any:
    """The notify state machine: send a notice."""
    from chalicelib.workers.execution import notify_worker

    return notify_worker(wiring.ports(), event)


@app.lambda_function()
def sweep(event: dict[str, Any], context: Any) -> Any:
    """EventBridge, hourly: repairs."""
    from chalicelib.workers.execution import sweep_worker

    return sweep_worker(wiring.ports(), event)


@app.lambda_function()
def instance_resource(event: dict[str, Any], context: Any) -> Any:
    """CloudFormation: instances as code."""
    from chalicelib.workers.instances import instance_worker

    return instance_worker(wiring.ports(), event, wiring.put_answer)
