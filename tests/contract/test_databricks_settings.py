"""What a job is changed to, and when it runs by itself: reset, update and schedules in Jobs 2.0 (seed 004)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.core.model import CronSchedule, Job
from tests.contract import seed_004
from tests.contract.databricks import CLUSTER, JOBS, create, get_run, jar, listed, python, refused, run_now
from tests.contract.wire import Answer, Client, Service

INVALID, MALFORMED = "INVALID_PARAMETER_VALUE", "MALFORMED_REQUEST"
QUARTZ = (
    "Databricks uses Quartz cron syntax, which is different from the standard cron syntax. See "
    "http://www.quartz-scheduler.org/documentation/quartz-2.1.x/tutorials/crontrigger.html for more details."
)
NIGHTLY = {"quartz_cron_expression": "0 15 22 * * ?", "timezone_id": "America/Los_Angeles"}
MINUTELY = {"quartz_cron_expression": "0 * * * * ?", "timezone_id": "UTC"}


def of_job(example: str, job: int) -> str:
    """An example's text about a job that exists: its id is all that changes."""
    number = json.loads(example)["job_id"]
    changed = example.replace(f'"job_id": {number},', f'"job_id": {job},', 1)
    assert json.loads(changed) == {**json.loads(example), "job_id": job}
    return changed


def reset(client: Client, job: int, settings: Any) -> Answer:
    return client.post(f"{JOBS}/reset", {"job_id": job, "new_settings": settings})


def update(client: Client, job: int, settings: Any = None, remove: Any = None) -> Answer:
    told = {"job_id": job, "new_settings": settings, "fields_to_remove": remove}
    return client.post(f"{JOBS}/update", {name: value for name, value in told.items() if value is not None})


def settings_of(client: Client, job: int) -> Any:
    """A job's settings, which get and list must answer alike."""
    answer = client.get(f"{JOBS}/get", job_id=job)
    assert answer.status == 200, answer.body
    (in_list,) = [one for one in client.get(f"{JOBS}/list").json["jobs"] if one["job_id"] == job]
    assert in_list == answer.json
    return answer.json["settings"]


def done(answer: Answer) -> None:
    """Assert the answer of a change that was made."""
    assert (answer.status, answer.json) == (200, {})


# Schedules.


def test_a_schedule_is_shown_with_its_status_which_is_unpaused_when_none_is_given(alice: Client) -> None:
    for told in (NIGHTLY, {**NIGHTLY, "pause_status": "UNPAUSED"}, {**NIGHTLY, "pause_status": None}):
        job = create(alice, python(schedule=told))
        assert settings_of(alice, job)["schedule"] == {**NIGHTLY, "pause_status": "UNPAUSED"}
    job = create(alice, python(schedule={**NIGHTLY, "pause_status": "PAUSED"}))
    assert settings_of(alice, job)["schedule"] == {**NIGHTLY, "pause_status": "PAUSED"}


def test_a_job_without_a_schedule_shows_none(alice: Client) -> None:
    assert "schedule" not in settings_of(alice, create(alice))
    assert "schedule" not in settings_of(alice, create(alice, python(schedule=None)))


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("15 22 * * *", "Unexpected end of expression."),
        (
            "0 30 2,7,11,15 * * *",
            "Support for specifying both a day-of-week AND a day-of-month parameter is not implemented.",
        ),
        ("0 60 2 * * ?", "Minute and Second values must be between 0 and 59"),
        ("0 0 24 * * ?", "Hour values must be between 0 and 23"),
        ("0 0 12 ? * ?", "'?' can only be specified for Day-of-Month -OR- Day-of-Week."),
        ("0 0 12 ? * FOO", "Invalid Day-of-Week value: 'FOO'"),
        ("", "Unexpected end of expression."),
    ],
)
def test_a_bad_expression_is_refused_in_quartzs_own_words(
    service: Service, alice: Client, expression: str, why: str
) -> None:
    message = f"Invalid quartz_cron_expression: {expression}. {why} {QUARTZ}"
    schedule = {**NIGHTLY, "quartz_cron_expression": expression}
    job = create(alice)
    with service.unchanged():
        refused(alice.post(f"{JOBS}/create", python(schedule=schedule)), 400, INVALID, message)
        refused(reset(alice, job, python(schedule=schedule)), 400, INVALID, message)
        refused(update(alice, job, {"schedule": schedule}), 400, INVALID, message)


@pytest.mark.parametrize(
    ("schedule", "code", "message"),
    [
        (
            {**NIGHTLY, "timezone_id": "Mars/Olympus"},
            INVALID,
            "schedule.timezone_id: 'Mars/Olympus' is not a time zone id such as America/Los_Angeles, UTC or GMT+2.",
        ),
        ({**NIGHTLY, "timezone_id": None}, INVALID, "Missing required field: schedule.timezone_id"),
        ({"timezone_id": "UTC"}, INVALID, "Missing required field: schedule.quartz_cron_expression"),
        (
            {**NIGHTLY, "pause_status": "paused"},
            INVALID,
            "Invalid value for field schedule.pause_status: one of the known values",
        ),
        (
            "0 15 22 * * ?",
            MALFORMED,
            "Could not parse request object: Expected object for field schedule, found STRING",
        ),
        (
            {**NIGHTLY, "quartz_cron_expression": 5},
            MALFORMED,
            "Could not parse request object: Expected string for field schedule.quartz_cron_expression, found NUMBER",
        ),
    ],
)
def test_a_schedule_that_is_none_is_refused_by_the_name_of_its_field(
    service: Service, alice: Client, schedule: Any, code: str, message: str
) -> None:
    job = create(alice)
    with service.unchanged():
        refused(alice.post(f"{JOBS}/create", python(schedule=schedule)), 400, code, message)
        refused(reset(alice, job, python(schedule=schedule)), 400, code, message)
        refused(update(alice, job, {"schedule": schedule}), 400, code, message)


def test_an_endless_expression_is_refused_without_repeating_it_all(service: Service, alice: Client) -> None:
    schedule = {**NIGHTLY, "quartz_cron_expression": "0," * 40_000 + "0 0 12 * * ?"}
    with service.unchanged():
        answer = alice.post(f"{JOBS}/create", python(schedule=schedule))
    assert (answer.status, answer.json["error_code"]) == (400, INVALID)
    assert answer.json["message"].startswith("Invalid quartz_cron_expression: 0,0,0,")
    assert len(answer.body) < 1000


def test_a_one_time_run_has_no_schedule(alice: Client) -> None:
    answer = alice.post(f"{JOBS}/runs/submit", python(schedule=NIGHTLY))
    assert answer.status == 200
    assert "schedule" not in get_run(alice, answer.json["run_id"])


def fires(service: Service, count: int) -> list[datetime]:
    """Let so many of the fires that are arranged come."""
    seen = []
    for _ in range(count):
        service.play()
        instant = service.timers.fires()[0][0]
        service.pass_time(instant)
        seen.append(datetime.fromtimestamp(instant / 1000, UTC))
    return seen


def test_a_scheduled_run_says_that_its_schedule_made_it_and_which(service: Service, alice: Client) -> None:
    job = create(alice, python(schedule=MINUTELY, max_concurrent_runs=9))
    by_hand = run_now(alice, job)
    fires(service, 2)
    third, second, first = (get_run(alice, run) for run in listed(alice, job_id=job))
    assert (first["run_id"], first["trigger"], "schedule" in first) == (by_hand, "ONE_TIME", False)
    for number, run in ((2, second), (3, third)):
        assert (run["trigger"], run["number_in_job"], run["job_id"]) == ("PERIODIC", number, job)
        assert run["schedule"] == {**MINUTELY, "pause_status": "UNPAUSED"}
        assert (run["run_type"], run["creator_user_name"]) == ("JOB_RUN", "alice")
        assert run["start_time"] % 60_000 == 0
    answer = alice.post(f"{JOBS}/run-now", {"job_id": job})
    assert answer.json["number_in_job"] == 4


def test_a_schedule_fires_at_its_hour_in_its_time_zone(service: Service, alice: Client) -> None:
    create(alice, seed_004.CREATE_JOB)
    rings = fires(service, 2)
    assert [f"{ring:%H:%M:%S}" for ring in rings] == ["05:14:00", "05:15:00"]  # a minute ahead, then when it is due
    (run,) = listed(alice)
    assert datetime.fromtimestamp(get_run(alice, run)["start_time"] / 1000, UTC).hour == 5


def test_at_its_limit_a_jobs_schedule_makes_runs_that_are_skipped(service: Service, alice: Client) -> None:
    job = create(alice, python(schedule=MINUTELY))
    fires(service, 2)
    skipped, first = (get_run(alice, run) for run in listed(alice, job_id=job))
    assert first["state"]["life_cycle_state"] == "PENDING"
    assert skipped["state"]["life_cycle_state"] == "SKIPPED"
    assert "result_state" not in skipped["state"]
    assert (skipped["trigger"], skipped["number_in_job"]) == ("PERIODIC", 2)


def test_pausing_stops_a_schedule_and_unpausing_lets_it_go_on(service: Service, alice: Client) -> None:
    job = create(alice, python(schedule=MINUTELY, max_concurrent_runs=9))
    fires(service, 1)
    done(update(alice, job, {"schedule": {**MINUTELY, "pause_status": "PAUSED"}}))
    service.pass_time(service.clock.now() + 600_000)
    assert len(listed(alice)) == 1
    done(update(alice, job, {"schedule": MINUTELY}))
    fires(service, 1)
    assert len(listed(alice)) == 2


def test_a_scheduled_run_follows_the_settings_of_its_moment_and_earlier_ones_keep_theirs(
    service: Service, alice: Client
) -> None:
    job = create(alice, python(schedule=MINUTELY, name="before", max_concurrent_runs=9))
    fires(service, 1)
    done(update(alice, job, {"name": "after", "spark_python_task": {"python_file": "s3://code/new.py"}}))
    fires(service, 1)
    second, first = (get_run(alice, run) for run in listed(alice, job_id=job))
    assert (first["run_name"], second["run_name"]) == ("before", "after")
    assert first["task"] == {"spark_python_task": python()["spark_python_task"]}
    assert second["task"] == {"spark_python_task": {"python_file": "s3://code/new.py"}}


# Reset.


def test_the_reset_example_replaces_all_settings(service: Service, alice: Client) -> None:
    job = create(alice, python(max_concurrent_runs=7, name="old"))
    created = alice.get(f"{JOBS}/get", job_id=job).json
    done(alice.post(f"{JOBS}/reset", of_job(seed_004.RESET_JOB, job)))
    given = json.loads(seed_004.RESET_JOB)["new_settings"]
    assert settings_of(alice, job) == {**given, "max_concurrent_runs": 1}
    after = alice.get(f"{JOBS}/get", job_id=job).json
    assert {**after, "settings": 0} == {**created, "settings": 0}
    stored = service.store.get(Job, "main", job)
    assert isinstance(stored.schedule, CronSchedule) and not stored.schedule.paused
    assert (stored.spec.policy.timeout_ms, stored.spec.policy.max_retries) == (100_000_000_000, 1)
    assert stored.max_concurrent_runs == 1


def test_reset_makes_a_job_like_another_one(alice: Client) -> None:
    one, two = create(alice, seed_004.CREATE_JOB), create(alice)
    done(reset(alice, two, settings_of(alice, one)))
    assert settings_of(alice, two) == settings_of(alice, one)


def test_a_reset_leaves_runs_that_there_are_as_they_are(service: Service, alice: Client) -> None:
    job = create(alice)
    run = run_now(alice, job)
    before = get_run(alice, run)
    done(reset(alice, job, jar(name="another")))
    assert get_run(alice, run) == before
    service.end(run)
    assert get_run(alice, run)["state"]["result_state"] == "SUCCESS"
    service.play()
    assert get_run(alice, run_now(alice, job))["run_name"] == "another"


# Update.


def test_the_update_example_puts_an_existing_cluster_in_place_of_the_new_one(alice: Client) -> None:
    job = create(alice, seed_004.CREATE_JOB)
    assert alice.post(f"{JOBS}/update", of_job(seed_004.UPDATE_JOB, job)).json == {}
    settings = alice.get(f"{JOBS}/get", job_id=job).json["settings"]
    assert settings["existing_cluster_id"] == "1201-my-cluster"
    assert not {"new_cluster", "libraries"} & set(settings)
    new_cluster = json.loads(seed_004.CREATE_JOB)["new_cluster"]
    back = {"new_cluster": new_cluster, "libraries": [{"jar": "dbfs:/my-jar.jar"}]}
    assert alice.post(f"{JOBS}/update", {"job_id": job, "new_settings": back}).json == {}
    assert "existing_cluster_id" not in alice.get(f"{JOBS}/get", job_id=job).json["settings"]


def test_the_update_example_without_its_cluster_adds_and_removes(alice: Client) -> None:
    task = {"spark_jar_task": None, "spark_python_task": {"python_file": "s3://code/main.py"}}
    given = {k: v for k, v in {**json.loads(seed_004.CREATE_JOB), **task}.items() if v is not None}
    job = create(alice, given)
    example = json.loads(seed_004.UPDATE_JOB)
    emails = {"email_notifications": example["new_settings"]["email_notifications"]}
    done(update(alice, job, emails, example["fields_to_remove"]))
    expected = {**given, **emails, "schedule": {**NIGHTLY, "pause_status": "UNPAUSED"}, "max_concurrent_runs": 1}
    del expected["libraries"]
    assert settings_of(alice, job) == expected


def test_an_update_replaces_a_top_level_field_whole_and_leaves_the_others(alice: Client) -> None:
    job = create(alice, python(name="old", timeout_seconds=60, max_concurrent_runs=4))
    other = {"spark_version": "15.4.x-scala2.12", "node_type_id": "m5.xlarge", "num_workers": 1}
    done(update(alice, job, {"new_cluster": other, "timeout_seconds": 0}))
    assert settings_of(alice, job) == {
        **python(name="old", max_concurrent_runs=4),
        "new_cluster": other,
        "timeout_seconds": 0,
    }


def test_what_an_update_changes_is_what_the_next_run_does(service: Service, alice: Client) -> None:
    job = create(alice, python(timeout_seconds=60, max_retries=2))
    done(update(alice, job, {"max_retries": 0}, ["timeout_seconds"]))
    policy = service.run(run_now(alice, job)).spec.policy
    assert (policy.timeout_ms, policy.max_retries) == (0, 0)


def test_setting_another_kind_of_task_clears_the_one_before(alice: Client) -> None:
    job = create(alice)
    done(update(alice, job, {"spark_jar_task": {"main_class_name": "A"}, "libraries": [{"jar": "s3://code/a.jar"}]}))
    found = settings_of(alice, job)
    assert found["spark_jar_task"] == {"main_class_name": "A"} and "spark_python_task" not in found
    assert list(get_run(alice, run_now(alice, job))["task"]) == ["spark_jar_task"]


def test_an_update_with_two_kinds_of_task_is_refused(service: Service, alice: Client) -> None:
    job = create(alice)
    told = {"spark_jar_task": {"main_class_name": "A"}, "spark_python_task": {"python_file": "s3://code/a.py"}}
    with service.unchanged():
        answer = update(alice, job, told)
        assert (answer.status, answer.json["error_code"]) == (400, INVALID)
        assert answer.json["message"].endswith("must be specified; found spark_jar_task and spark_python_task.")


def test_a_field_that_is_removed_goes_back_to_its_default(alice: Client) -> None:
    job = create(alice, python(name="old", max_concurrent_runs=4, schedule=NIGHTLY, timeout_seconds=60))
    done(update(alice, job, remove=["name", "max_concurrent_runs", "schedule", "timeout_seconds", "libraries"]))
    assert settings_of(alice, job) == {**python(name="Untitled"), "max_concurrent_runs": 1}


def test_a_field_that_is_both_removed_and_set_is_set(alice: Client) -> None:
    job = create(alice, python(name="old"))
    done(update(alice, job, {"name": "new"}, ["name"]))
    assert settings_of(alice, job)["name"] == "new"


def test_a_field_that_is_set_to_null_is_removed(alice: Client) -> None:
    job = create(alice, python(schedule=NIGHTLY))
    done(update(alice, job, {"schedule": None}))
    assert "schedule" not in settings_of(alice, job)


def test_an_update_that_says_nothing_changes_nothing(alice: Client) -> None:
    job = create(alice, seed_004.CREATE_JOB)
    before = settings_of(alice, job)
    for told in ((None, None), ({}, []), ({"color": "red"}, None)):
        done(update(alice, job, *told))
        assert settings_of(alice, job) == before


# What is refused of both.


@pytest.mark.parametrize(
    ("settings", "remove", "code", "message"),
    [
        (None, ["color"], INVALID, "fields_to_remove: 'color' is not a top-level field of a job."),
        (
            {"name": "new"},
            ["libraries", "new_cluster.num_workers"],
            INVALID,
            "fields_to_remove: 'new_cluster.num_workers' is not a top-level field of a job.",
        ),
        (None, ["schedule/pause_status"], INVALID,
         "fields_to_remove: 'schedule/pause_status' is not a top-level field of a job."),
        (None, ["new_cluster"], INVALID, "One of new_cluster or existing_cluster_id must be specified."),
        (None, ["spark_python_task"], INVALID, None),
        (None, "libraries", MALFORMED,
         "Could not parse request object: Expected array for field fields_to_remove, found STRING"),
        (None, [5], MALFORMED,
         "Could not parse request object: Expected string for field fields_to_remove.0, found NUMBER"),
        ([], None, MALFORMED, "Could not parse request object: Expected object for field new_settings, found ARRAY"),
        ({"tasks": []}, None, INVALID, "tasks is not part of Jobs API 2.0: this service runs single-task jobs."),
        ({"max_retries": "many"}, None, MALFORMED,
         "Could not parse request object: Expected integer for field max_retries, found STRING"),
        (
            {"new_cluster": {**CLUSTER, "instance_pool_id": "nowhere"}}, None, INVALID, "Pool nowhere does not exist."
        ),
        (
            {"new_cluster": {**CLUSTER, "spark_conf": {"spark.kubernetes.namespace": "kube-system"}}},
            None,
            INVALID,
            "new_cluster.spark_conf: spark.kubernetes.namespace is set by the platform and cannot be overridden.",
        ),
        ({"name": "x" * 4097}, None, INVALID, "The name is longer than 4096 bytes."),
    ],
)  # fmt: skip
def test_an_update_that_cannot_be_is_refused_by_name_and_changes_nothing(
    service: Service, alice: Client, settings: Any, remove: Any, code: str, message: str | None
) -> None:
    job = create(alice)
    with service.unchanged():
        answer = update(alice, job, settings, remove)
        refused(answer, 400, code, message if message is not None else answer.json["message"])


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        (None, INVALID, "Missing required field: new_settings"),
        ("all", MALFORMED, "Could not parse request object: Expected object for field new_settings, found STRING"),
        (python(new_cluster=None), INVALID, "One of new_cluster or existing_cluster_id must be specified."),
        (python(existing_cluster_id="1201-my-cluster"), INVALID,
         "Only one of new_cluster and existing_cluster_id may be specified."),
        (python(spark_python_task={}), INVALID, "Missing required field: spark_python_task.python_file"),
    ],
)  # fmt: skip
def test_a_reset_that_cannot_be_is_refused_by_name_and_changes_nothing(
    service: Service, alice: Client, settings: Any, code: str, message: str
) -> None:
    job = create(alice)
    with service.unchanged():
        refused(reset(alice, job, settings), 400, code, message)


@pytest.mark.parametrize("change", [reset, update])
@pytest.mark.parametrize("id", [0, 5, -5, (1 << 63) - 1])
def test_a_job_that_there_is_not_cannot_be_changed(service: Service, alice: Client, change: Any, id: int) -> None:
    with service.unchanged():
        refused(change(alice, id, python()), 400, INVALID, f"Job {id} does not exist.")


@pytest.mark.parametrize("change", [reset, update])
def test_another_workspaces_job_is_as_unknown_as_one_that_there_is_not(
    service: Service, alice: Client, eve: Client, change: Any
) -> None:
    job = create(alice, python(schedule=MINUTELY))
    with service.unchanged():
        refused(change(eve, job, python(name="mine")), 400, INVALID, f"Job {job} does not exist.")


@pytest.mark.parametrize("path", ["reset", "update"])
@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"new_settings": {}}, INVALID, "Missing required field: job_id"),
        (
            {"job_id": "one", "new_settings": {}},
            MALFORMED,
            "Could not parse request object: Expected integer for field job_id, found STRING",
        ),
    ],
)
def test_a_change_says_which_job(
    service: Service, alice: Client, path: str, body: Any, code: str, message: str
) -> None:
    with service.unchanged():
        refused(alice.post(f"{JOBS}/{path}", body), 400, code, message)
