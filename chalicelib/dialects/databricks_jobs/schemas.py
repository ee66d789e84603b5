"""The wire's shapes (seed 004, "Data structures"). Only here do Databricks' names stand; `mapping` makes core of them.

Tasks and features that have a schema but no engine yet are refused in `mapping`, by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from chalicelib.dialects.wire import Bool, Int, TextMap, Wire

Texts = tuple[str, ...]

MAX_POOL_NAME = 255
MAX_PATH = 4096
MAX_CLUSTER_ID = 255
PoolName = Annotated[str, Field(min_length=1, max_length=MAX_POOL_NAME)]


class AutoScale(Wire):
    """Workers between two bounds; the greater must be strictly greater."""

    min_workers: Int
    max_workers: Int


class Destination(Wire):
    """A place for a file or for logs; other members (region, encryption, …) have no effect."""

    destination: Annotated[str, Field(min_length=1)]


class InitScript(Wire):
    """Exactly one member is set: where a script is."""

    workspace: Destination | None = None
    dbfs: Destination | None = None
    gcs: Destination | None = None
    s3: Destination | None = None
    file: Destination | None = None
    volumes: Any = None
    abfss: Any = None


class ClusterLogConf(Wire):
    """Exactly one member is set: where a cluster's logs go."""

    dbfs: Destination | None = None
    s3: Any = None
    volumes: Any = None


class NewCluster(Wire):
    """A cluster for one run."""

    spark_version: str
    num_workers: Int | None = None
    autoscale: AutoScale | None = None
    node_type_id: str | None = None
    driver_node_type_id: str | None = None
    instance_pool_id: PoolName | None = None
    driver_instance_pool_id: PoolName | None = None
    spark_conf: TextMap = Field(default_factory=dict)
    spark_env_vars: TextMap = Field(default_factory=dict)
    custom_tags: TextMap = Field(default_factory=dict)
    aws_attributes: Any = None
    gcp_attributes: Any = None
    azure_attributes: Any = None
    cluster_log_conf: ClusterLogConf | None = None
    init_scripts: tuple[InitScript, ...] = ()
    ssh_public_keys: Any = None
    enable_elastic_disk: Any = None
    policy_id: Any = None
    data_security_mode: Any = None
    runtime_engine: Any = None
    single_user_name: Any = None


class MavenLibrary(Wire):
    """Maven coordinates, and where to look for them."""

    coordinates: str
    repo: str | None = None
    exclusions: Texts = ()


class PackageLibrary(Wire):
    """A package of PyPI or CRAN, and where to look for it."""

    package: str
    repo: str | None = None


class Library(Wire):
    """Exactly one member is set."""

    jar: str | None = None
    egg: str | None = None
    whl: str | None = None
    maven: MavenLibrary | None = None
    pypi: PackageLibrary | None = None
    cran: PackageLibrary | None = None
    requirements: Any = None


class SparkPythonTask(Wire):
    """A Python file by URI."""

    python_file: Annotated[str, Field(min_length=1)]
    parameters: Texts = ()


class SparkJarTask(Wire):
    """A main class in one of the libraries; `jar_uri` is the old way to name the jar."""

    main_class_name: str | None = None
    jar_uri: str | None = None
    parameters: Texts = ()


class SparkSubmitTask(Wire):
    """Raw spark-submit parameters."""

    parameters: Texts = ()


class RunJobTask(Wire):
    """Another saved job; its named parameters are from newer versions of the API."""

    job_id: Int
    job_parameters: TextMap = Field(default_factory=dict)


class PipelineTask(Wire):
    """A registered pipeline, by its id or its name."""

    pipeline_id: Annotated[str, Field(min_length=1, max_length=MAX_POOL_NAME)]
    full_refresh: Bool = False


class CronSchedule(Wire):
    """When a job runs by itself."""

    quartz_cron_expression: str
    timezone_id: str
    pause_status: Literal["PAUSED", "UNPAUSED"] = "UNPAUSED"


class NotebookTask(Wire):
    """A notebook of the workspace. `revision_timestamp` is an instant in epoch milliseconds."""

    notebook_path: Annotated[str, Field(min_length=1, max_length=MAX_PATH)]
    revision_timestamp: Annotated[Int, Field(ge=0)] | None = None
    base_parameters: TextMap = Field(default_factory=dict)
    source: Literal["WORKSPACE", "GIT"] = "WORKSPACE"


class EmailNotifications(Wire):
    """E-mail addresses by event."""

    on_start: Texts = ()
    on_success: Texts = ()
    on_failure: Texts = ()
    on_duration_warning_threshold_exceeded: Texts = ()
    no_alert_for_skipped_runs: Bool = False


class Webhook(Wire):
    """A destination by its id."""

    id: Annotated[str, Field(min_length=1, max_length=200)]


class WebhookNotifications(Wire):
    """Destinations by event."""

    on_start: tuple[Webhook, ...] = ()
    on_success: tuple[Webhook, ...] = ()
    on_failure: tuple[Webhook, ...] = ()
    on_duration_warning_threshold_exceeded: tuple[Webhook, ...] = ()


class NotificationSettings(Wire):
    """What the receivers of notifications are spared."""

    no_alert_for_skipped_runs: Bool = False
    no_alert_for_canceled_runs: Bool = False
    alert_on_last_attempt: Bool = False


class HealthRule(Wire):
    """One bound on one metric."""

    metric: str
    op: str
    value: Int


class Health(Wire):
    """A job's health rules."""

    rules: tuple[HealthRule, ...] = ()


TASKS = ("notebook_task", "spark_jar_task", "spark_python_task", "spark_submit_task", "pipeline_task", "run_job_task")
MULTI_TASK = ("tasks", "job_clusters", "git_source")
"""Fields of newer versions that change what a request means; ignoring them would run something else."""


class TaskSettings(Wire):
    """What a job and a one-time run have in common."""

    existing_cluster_id: Annotated[str, Field(min_length=1, max_length=MAX_CLUSTER_ID)] | None = None
    new_cluster: NewCluster | None = None
    spark_python_task: SparkPythonTask | None = None
    spark_jar_task: SparkJarTask | None = None
    spark_submit_task: SparkSubmitTask | None = None
    notebook_task: NotebookTask | None = None
    pipeline_task: PipelineTask | None = None
    run_job_task: RunJobTask | None = None
    libraries: tuple[Library, ...] = ()
    timeout_seconds: Annotated[Int, Field(ge=0)] = 0
    email_notifications: EmailNotifications = EmailNotifications()
    webhook_notifications: WebhookNotifications = WebhookNotifications()
    notification_settings: NotificationSettings = NotificationSettings()
    health: Health = Health()


class JobSettings(TaskSettings):
    """A job's settings, as create, reset and update take them and get and list return them."""

    name: str = "Untitled"
    max_retries: Annotated[Int, Field(ge=-1)] = 0
    min_retry_interval_millis: Annotated[Int, Field(ge=0)] = 0
    retry_on_timeout: Bool = False
    schedule: CronSchedule | None = None
    max_concurrent_runs: Annotated[Int, Field(ge=0, le=1000)] = 1


class Reset(Wire):
    """New settings in place of all old ones."""

    job_id: Int
    new_settings: dict[str, Any]


class Update(Wire):
    """New settings for some top-level fields, and fields that go."""

    job_id: Int
    new_settings: dict[str, Any] = Field(default_factory=dict)
    fields_to_remove: Texts = ()


class RunsSubmit(TaskSettings):
    """A one-time run."""

    run_name: str = "Untitled"
    idempotency_token: Annotated[str, Field(max_length=64)] = ""


class RunNow(Wire):
    """A run of a saved job, with parameters of its own."""

    job_id: Int
    jar_params: Texts | None = None
    notebook_params: TextMap | None = None
    python_params: Texts | None = None
    spark_submit_params: Texts | None = None
    idempotency_token: Annotated[str, Field(max_length=64)] = ""


class GenericWebhook(Wire):
    """A URL; users and passwords are not used here, what is sent is signed."""

    url: str
    username: Any = None
    password: Any = None


class DestinationConfig(Wire):
    """Exactly one member is set."""

    generic_webhook: GenericWebhook | None = None
    email: Any = None
    slack: Any = None
    pagerduty: Any = None
    microsoft_teams: Any = None


class CreateDestination(Wire):
    """A new notification destination."""

    display_name: str
    config: DestinationConfig


class JobId(Wire):
    """A request about one job."""

    job_id: Int


class RunId(Wire):
    """A request about one run."""

    run_id: Int


class RunsExport(Wire):
    """A request for a run's views."""

    run_id: Int
    views_to_export: Literal["CODE", "DASHBOARDS", "ALL"] = "CODE"


class RunsList(Wire):
    """The filters of runs/list."""

    active_only: Bool = False
    completed_only: Bool = False
    job_id: Int | None = None
    offset: Annotated[Int, Field(ge=0)] = 0
    limit: Annotated[Int, Field(ge=0)] = 20
    run_type: Literal["JOB_RUN", "WORKFLOW_RUN", "SUBMIT_RUN"] | None = None
