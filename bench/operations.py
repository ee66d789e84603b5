"""The AWS calls and read units of single operations, in the child process. See `calls`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.emulated import Api, Tally, Used, start

JOBS = "/api/2.0/jobs"
PAGE = "20"
SUBMISSION = {
    "run_name": "bench",
    "new_cluster": {"spark_version": "16.4.x-scala2.12", "node_type_id": "m5.large", "num_workers": 2},
    "spark_python_task": {"python_file": "s3://bucket/program.py", "parameters": ["one", "two"]},
}


def count(tally: Tally, home: Path, sizes: Sequence[int]) -> dict[str, Used]:
    """What each operation used, by name; pages of lists as `page/<dialect>/<runs in the list>`."""
    instance, storage = start(home)
    api = Api()
    found: dict[str, Used] = {}

    def counted(name: str, method: str, path: str, query: dict[str, str] | None = None, body: Any = None) -> Any:
        found[name] = Used()
        with tally.counting(found[name]):
            return api.call(method, path, query, body)

    applications = f"/v4/analytics_engines/{instance}/spark_applications"
    details = {"application_details": {"application": "s3://bucket/program.py", "arguments": ["one"]}}
    api.call("POST", applications, None, details)  # the deployment's secret is read once a process
    job = api.call("POST", f"{JOBS}/create", None, {"name": "bench", **SUBMISSION})["job_id"]
    run = counted("submit/jobs", "POST", f"{JOBS}/runs/submit", None, SUBMISSION)["run_id"]
    counted("run-now/jobs", "POST", f"{JOBS}/run-now", None, {"job_id": job})
    counted("get/jobs", "GET", f"{JOBS}/runs/get", {"run_id": str(run)})
    counted("cancel/jobs", "POST", f"{JOBS}/runs/cancel", None, {"run_id": run})
    application = counted("submit/engine", "POST", applications, None, details)["application_id"]
    counted("get/engine", "GET", f"{applications}/{application}")
    counted("cancel/engine", "DELETE", f"{applications}/{application}")
    for size in sizes:
        _fill(storage, "run", run, size)
        counted(f"page/jobs/{size}", "GET", f"{JOBS}/runs/list", {"limit": PAGE})
        counted(f"page/engine/{size}", "GET", applications, {"limit": PAGE})
    return found


def grow(tally: Tally, home: Path, jobs: Sequence[int], runs: Sequence[int]) -> dict[str, Used]:
    """What lists and single reads use while a workspace grows to so many saved jobs and past runs: `jobs/list`, a job,
    a run and a page of runs, each as `<operation>/<jobs>/<runs>`; `jobs/list` with the bytes of its answer."""
    _, storage = start(home)
    api = Api()
    job = api.call("POST", f"{JOBS}/create", None, {"name": "bench", **SUBMISSION})["job_id"]
    run = api.call("POST", f"{JOBS}/run-now", None, {"job_id": job})["run_id"]
    found: dict[str, Used] = {}
    for saved, past in zip(jobs, runs, strict=True):
        _fill(storage, "job", job, saved)
        _fill(storage, "run", run, past)
        for name, path, query in (
            ("jobs/list", f"{JOBS}/list", None),
            ("jobs/get", f"{JOBS}/get", {"job_id": str(job)}),
            ("runs/get", f"{JOBS}/runs/get", {"run_id": str(run)}),
            ("runs/list", f"{JOBS}/runs/list", {"limit": PAGE}),
        ):
            used = found[f"{name}/{saved}/{past}"] = Used()
            with tally.counting(used):
                answer = api.answer("GET", path, query, compressed=True)
            used.answer_bytes = len(answer["body"])
    return found


def _fill(storage: Any, kind: str, pattern_id: int, size: int) -> None:
    """Bring the table to `size` runs or jobs: copies of one under other ids, written past the API (hours)."""
    from moto.dynamodb.models import dynamodb_backends

    from sandbox.aws.dynamodb import documents, rows
    from sandbox.aws.dynamodb.layout import layout_of

    layout = layout_of(dynamodb_backends["123456789012"]["us-east-1"].get_table("sparkplane"))
    with storage.unit(write=False) as unit:
        found = unit.connection.execute(f"select doc from {layout.sql} where sk=?", (kind.encode(),)).fetchall()
    pattern = next(doc for (doc,) in found if str(pattern_id) in doc)
    for begin in range(len(found), size, 5_000):
        with storage.unit(write=True) as unit:
            for number in range(begin, min(size, begin + 5_000)):
                item = documents.load(pattern.replace(str(pattern_id), str(pattern_id - 1 - number)), "pk", "sk")
                key = rows.key_bytes(item.hash_key, item.range_key)
                rows.write(unit.connection, rows.Row(layout, item.hash_key, item.range_key, *key, None, 0, item))
