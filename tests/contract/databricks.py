"""Bodies and short cuts for tests of the Jobs API 2.0."""

from __future__ import annotations

from typing import Any

from tests.contract.wire import Answer, Client

JOBS = "/api/2.0/jobs"

CLUSTER = {"spark_version": "15.4.x-scala2.12", "node_type_id": "m5.large", "num_workers": 2}


def cluster(**more: Any) -> dict[str, Any]:
    """A new cluster with settings changed; None takes one away."""
    return {name: value for name, value in {**CLUSTER, **more}.items() if value is not None}


def python(**more: Any) -> dict[str, Any]:
    """A body for create or submit: a Python file on a new cluster, with fields changed; None takes one away."""
    body = {
        "new_cluster": CLUSTER,
        "spark_python_task": {"python_file": "s3://code/main.py", "parameters": ["a", "b"]},
        **more,
    }
    return {name: value for name, value in body.items() if value is not None}


def jar(**more: Any) -> dict[str, Any]:
    """The same with a main class in a jar."""
    task = {"spark_jar_task": {"main_class_name": "org.Main"}, "libraries": [{"jar": "s3://code/main.jar"}]}
    return python(**{"spark_python_task": None, **task, **more})


def spark_submit(*parameters: str, **more: Any) -> dict[str, Any]:
    """The same with raw parameters."""
    return python(**{"spark_python_task": None, "spark_submit_task": {"parameters": list(parameters)}, **more})


def create(client: Client, body: Any = None) -> int:
    """Create a job; returns its id."""
    return made(client.post(f"{JOBS}/create", python() if body is None else body), "job_id")


def submit(client: Client, body: Any = None) -> int:
    """Submit a one-time run; returns its id."""
    return made(client.post(f"{JOBS}/runs/submit", python() if body is None else body), "run_id")


def run_now(client: Client, job: int, **more: Any) -> int:
    """Run a job; returns the run's id."""
    return made(client.post(f"{JOBS}/run-now", {"job_id": job, **more}), "run_id")


def made(answer: Answer, field: str) -> int:
    """The id in an answer that must be good."""
    assert answer.status == 200, answer.body
    number = answer.json[field]
    assert isinstance(number, int)
    return number


def get_run(client: Client, run: int) -> Any:
    """runs/get."""
    answer = client.get(f"{JOBS}/runs/get", run_id=run)
    assert answer.status == 200, answer.body
    return answer.json


def listed(client: Client, **query: Any) -> list[int]:
    """The ids that runs/list answers."""
    answer = client.get(f"{JOBS}/runs/list", **query)
    assert answer.status == 200, answer.body
    return [run["run_id"] for run in answer.json["runs"]]


def refused(answer: Answer, status: int, code: str, message: str) -> None:
    """Assert an error in Databricks' shape, whole."""
    assert (answer.status, answer.json) == (status, {"error_code": code, "message": message})
    assert answer.headers["content-type"] == "application/json"
