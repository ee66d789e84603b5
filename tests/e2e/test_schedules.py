"""Jobs that run by themselves in a real sandbox: on time, once each, and on again after kill -9."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.e2e.conftest import NewSandbox, Program
from tests.e2e.live import CLUSTER, Client, Sandbox, eventually, python, run_record

EVERY_FIVE_SECONDS = {"quartz_cron_expression": "0/5 * * * * ?", "timezone_id": "America/Los_Angeles"}
PERIOD_MS, LATE_MS, PROMPT_MS = 5000, 60_000, 2000


@dataclass(frozen=True, order=True)
class Fire:
    """An instant of the schedule that made a run, and when it did."""

    instant: int
    made_at: int


def schedule(client: Client, path: Path) -> int:
    """A job with a quick program every five seconds; where one runs still, the next is skipped, which is a run too."""
    settings = {"new_cluster": CLUSTER, **python(path), "schedule": EVERY_FIVE_SECONDS}
    return int(client.jobs("create", settings)["job_id"])


def pause(client: Client, job: int, status: str = "PAUSED") -> None:
    told = {"schedule": {**EVERY_FIVE_SECONDS, "pause_status": status}}
    assert client.jobs("update", {"job_id": job, "new_settings": told}) == {}


def runs_of(client: Client, job: int) -> list[Any]:
    found = client.jobs("runs/list", job_id=job, limit=500)["runs"]
    assert isinstance(found, list)
    return found


def fires(sandbox: Sandbox, client: Client, job: int) -> list[Fire]:
    """All fires that have made a run, in order; the record of a run has its fire's instant in its token."""
    made = [(run_record(sandbox, run["run_id"])["idempotency"], run["start_time"]) for run in runs_of(client, job)]
    return sorted(Fire(int(token.rpartition(":")[2]), at) for token, at in made)


def until(sandbox: Sandbox, client: Client, job: int, instant: float) -> list[Fire]:
    """The fires, once there is one at or after an instant."""

    def look() -> list[Fire] | None:
        found = fires(sandbox, client, job)
        return found if found and found[-1].instant >= instant else None

    return eventually(look, "a fire", 60)


def test_a_job_runs_by_itself_on_time_until_it_is_paused(new_sandbox: NewSandbox, program: Program) -> None:
    sandbox = new_sandbox().start()
    client = sandbox.client()
    begun = time.time() * 1000
    job = schedule(client, program("tick.py", "print('tick')\n"))
    found = until(sandbox, client, job, begun + 3 * PERIOD_MS)
    pause(client, job)
    assert [fire.instant for fire in found] == list(range(found[0].instant, found[-1].instant + 1, PERIOD_MS))
    assert all(0 <= fire.made_at - fire.instant < PROMPT_MS for fire in found), found
    assert found[0].instant - begun < 2 * PERIOD_MS

    paused_at = time.time() * 1000
    runs = runs_of(client, job)
    assert [run["number_in_job"] for run in runs] == list(range(len(runs), 0, -1))
    for run in runs:
        assert run["trigger"] == "PERIODIC"
        assert run["schedule"] == {**EVERY_FIVE_SECONDS, "pause_status": "UNPAUSED"}
    first = client.await_end(runs[-1]["run_id"])
    assert first["state"]["result_state"] == "SUCCESS"
    while time.time() * 1000 < paused_at + 2.5 * PERIOD_MS:
        assert all(fire.instant <= paused_at for fire in fires(sandbox, client, job))
        time.sleep(0.5)

    pause(client, job, "UNPAUSED")
    goes_on = time.time() * 1000
    later = [fire for fire in until(sandbox, client, job, goes_on) if fire.instant > paused_at]
    assert later[0].instant > goes_on - PROMPT_MS, datetime.fromtimestamp(later[0].instant / 1000)
    client.jobs("delete", {"job_id": job})


def test_a_schedule_outlives_the_death_of_the_sandbox_and_fires_at_no_instant_twice(
    new_sandbox: NewSandbox, program: Program
) -> None:
    sandbox = new_sandbox().start()
    client = sandbox.client()
    job = schedule(client, program("tick.py", "print('tick')\n"))
    before = until(sandbox, client, job, time.time() * 1000)
    sandbox.kill()
    time.sleep(12)
    client = sandbox.start().client()
    again = time.time() * 1000
    found = until(sandbox, client, job, again + PERIOD_MS)
    pause(client, job)

    assert set(before) <= set(found)
    instants = [fire.instant for fire in found]
    assert len(set(instants)) == len(instants)
    assert all(instant % PERIOD_MS == 0 for instant in instants)
    for one, next_one in pairwise(found):
        gone_on_from_now = one.made_at - one.instant >= LATE_MS
        assert next_one.instant == one.instant + PERIOD_MS or gone_on_from_now, found
    missed = [fire for fire in found if before[-1].instant < fire.instant < again - PROMPT_MS]
    assert missed, "what fell into the time without a sandbox is made up for"
    assert found[-1].made_at - found[-1].instant < PROMPT_MS
    client.jobs("delete", {"job_id": job})
