"""The things that Sparkplane keeps, as frozen values. Each record has a `version` that the store raises at each write.

Times are epoch milliseconds, 0 for "not yet". Memory is MiB, CPU is millicores unless a name says cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chalicelib.core.capacity import NOTHING, Amount
from chalicelib.core.states import HOLDING, TERMINAL, Intent, RunState

NO_JOB = 0


class RunKind(StrEnum):
    """What a run is for (DESIGN, section 1)."""

    BATCH = "BATCH"
    SESSION = "SESSION"
    CONNECT = "CONNECT"
    NOTEBOOK = "NOTEBOOK"
    HISTORY = "HISTORY"


class ProgramKind(StrEnum):
    """The language of the program. Raw spark-submit parameters are parsed into one of these (`core.spark`)."""

    PYTHON = "PYTHON"
    JAR = "JAR"
    R = "R"
    RUN_JOB = "RUN_JOB"
    NOTEBOOK = "NOTEBOOK"
    PIPELINE = "PIPELINE"


FILE_KINDS = frozenset({ProgramKind.PYTHON, ProgramKind.JAR, ProgramKind.R})
"""Kinds of program that are a file: what names them is a URI."""

IN_PYTHON = frozenset({ProgramKind.PYTHON, ProgramKind.NOTEBOOK, ProgramKind.PIPELINE})
"""Kinds of program that run in the driver's Python, and are always started by our bootstrap (`core.spark`)."""

NATIVE = frozenset({ProgramKind.JAR, ProgramKind.R})
"""Kinds of program that run in a JVM or R, which spark-submit can start as they are."""


class Language(StrEnum):
    """A language that notebooks are written in."""

    PYTHON = "PYTHON"
    SQL = "SQL"
    SCALA = "SCALA"
    R = "R"


class ObjectType(StrEnum):
    """What stands at a path of the workspace's tree."""

    DIRECTORY = "DIRECTORY"
    NOTEBOOK = "NOTEBOOK"
    FILE = "FILE"


class ContentFormat(StrEnum):
    """How a notebook or file is stored: as it was given."""

    SOURCE = "SOURCE"
    JUPYTER = "JUPYTER"
    RAW = "RAW"


class Permission(StrEnum):
    """What a principal may do with the secrets of a scope; each includes those before it."""

    READ = "READ"
    WRITE = "WRITE"
    MANAGE = "MANAGE"


class Trigger(StrEnum):
    """What made the run."""

    ON_DEMAND = "ON_DEMAND"
    SCHEDULE = "SCHEDULE"
    RETRY = "RETRY"
    RUN_JOB = "RUN_JOB"


@dataclass(frozen=True, slots=True)
class Program:
    """What the driver executes. `resource` is a URI, or empty for a JAR run whose main class is in `Files.jars`; of a
    run that runs another job it is that job's id; of a notebook it is the path in the workspace; of an update of a
    pipeline it is the pipeline's id or name. `parameters` are named ones, a notebook's widgets' values among them.
    `revision` is the instant whose newest revision is meant, 0 for the newest of all."""

    kind: ProgramKind
    resource: str = ""
    main_class: str = ""
    arguments: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Files:
    """What travels with the program: URIs, and Maven coordinates with the repositories to search."""

    jars: tuple[str, ...] = ()
    py_files: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    exclude_packages: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()


class LibraryKind(StrEnum):
    """What a library is to Python or R. (JVM libraries are `Files.jars` and `Files.packages`.)"""

    PYPI = "pypi"
    WHEEL = "whl"
    EGG = "egg"
    CRAN = "cran"


@dataclass(frozen=True, slots=True)
class Library:
    """A library to install before the program starts. `name` is a package (with its version) of the index `repo`
    (empty: the default one), or a URI; `label` is how messages name it."""

    kind: LibraryKind
    name: str
    repo: str = ""
    label: str = ""

    @property
    def uri(self) -> str:
        """Where the library's file is; empty for one that an index has."""
        return self.name if self.kind in {LibraryKind.WHEEL, LibraryKind.EGG} else ""


@dataclass(frozen=True, slots=True)
class InitScript:
    """A shell script to run before the program: its URI, or its path in the workspace, and how messages name it."""

    uri: str = ""
    label: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is done where the driver runs before the program starts: init scripts, with their environment (in which
    references are replaced, `{{cluster_id}}` too), then a Python program's libraries, each in its order."""

    init_scripts: tuple[InitScript, ...] = ()
    init_environment: Mapping[str, str] = field(default_factory=dict)
    libraries: tuple[Library, ...] = ()


@dataclass(frozen=True, slots=True)
class Volume:
    """Files of which the driver gets a copy: a prefix of the workspace's files, and where the copy is to be. Unless it
    is read-only, what the program leaves changed in the copy is stored below the prefix when the program ends."""

    name: str
    prefix: str
    mount_path: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class Size:
    """What the run asks of the cluster. `executors_max` above `executors` asks for dynamic allocation; a Python program
    without executors runs its tasks in the driver."""

    driver_cores: int = 1
    driver_memory: int = 1024
    executors: int = 1
    executors_max: int = 0
    executor_cores: int = 1
    executor_memory: int = 1024
    driver_gpus: int = 0
    executor_gpus: int = 0

    def amount(self) -> Amount:
        """The capacity that the run holds while it lives: its driver and the most executors it may have."""
        executors = max(self.executors, self.executors_max)
        return Amount(
            cores=1000 * (self.driver_cores + executors * self.executor_cores),
            memory=self.driver_memory + executors * self.executor_memory,
            gpus=self.driver_gpus + executors * self.executor_gpus,
            runs=1,
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """What happens around a run. `max_retries` -1 retries for ever; `timeout_ms` 0 is no time-out."""

    timeout_ms: int = 0
    max_retries: int = 0
    min_retry_interval_ms: int = 0
    retry_on_timeout: bool = False


class NoticeEvent(StrEnum):
    """What people and programs are told of, in the words of seed 004's fields; REMOVED is a job's own end."""

    START = "on_start"
    SUCCESS = "on_success"
    FAILURE = "on_failure"
    DURATION = "on_duration_warning_threshold_exceeded"
    REMOVED = "on_removed"


class Channel(StrEnum):
    """How a notice travels: to an e-mail address, or to a destination by its id."""

    EMAIL = "email"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class Notifications:
    """Whom a run tells of what: e-mail addresses and ids of destinations for each NoticeEvent, and what they are
    spared. `duration_ms` is how long a run may last before the DURATION event, 0 for as long as it likes.

    `last_attempt_only` (seed 004's `alert_on_last_attempt`): no START of retries, and no FAILURE while one will follow.
    """

    emails: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    destinations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped_by_mail: bool = True
    skipped: bool = True
    canceled: bool = True
    last_attempt_only: bool = False
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a run's driver goes, as its pool says: virtual cluster and execution role; empty is the deployment's.

    `scheduler` (a name in `core.spark.SCHEDULERS`) and `queue` hand its pods to a batch scheduler that the cluster has;
    `pod_group` is the template of their group, where the scheduler takes one. Empty is Kubernetes' own scheduler.
    """

    virtual_cluster: str = ""
    execution_role: str = ""
    scheduler: str = ""
    queue: str = ""
    pod_group: str = ""


@dataclass(frozen=True, slots=True)
class References:
    """Whether dynamic value references in a run's arguments are replaced at its launch (`core.references`), and what
    the arguments must still obey then. `everywhere` replaces them in the program, its files and the conf too."""

    wanted: bool = False
    everywhere: bool = False
    ascii_only: bool = False
    most_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What was asked for; of it only a live run's time-out and notifications change, with its job's. `original` is the
    request in its dialect's words, for that dialect only.

    `existing_cluster` is the id of a standing cluster that the run is to use instead of a driver of its own. `tags` are
    the engine's. `late_schemes` are URI schemes that are judged at the launch, not at submission. `logs_to` is the
    directory of the workspace's files that logs are delivered to as well; empty for none.
    """

    name: str
    program: Program
    kind: RunKind = RunKind.BATCH
    pool: str = "default"
    existing_cluster: str = ""
    files: Files = Files()
    conf: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    size: Size = Size()
    spark_version: str = ""
    placement: Placement = Placement()
    policy: Policy = Policy()
    notifications: Notifications = Notifications()
    references: References = References()
    preparation: Preparation = Preparation()
    volumes: tuple[Volume, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    late_schemes: tuple[str, ...] = ()
    logs_to: str = ""
    dialect: str = ""
    original: Mapping[str, Any] = field(default_factory=dict)

    @property
    def main_file(self) -> str:
        """The URI of the file that the driver executes: of a JAR run that names none, its first jar."""
        jars = self.files.jars if self.program.kind is ProgramKind.JAR else ()
        return self.program.resource or next(iter(jars), "")

    def amount(self) -> Amount:
        """The capacity that the run holds while it lives: none, where it asks for no driver of its own."""
        driverless = self.existing_cluster or self.program.kind is ProgramKind.RUN_JOB
        return NOTHING if driverless else self.size.amount()


@dataclass(frozen=True, slots=True)
class Run:
    """One Spark driver from submission to a terminal state: its spec, its place among runs, and its state.

    A `hidden` run is one whose job was removed: no dialect shows it any more (seed 004, "Delete"), but it still ends
    properly and gives back what it holds. `parent` is the run that made this one and waits for it, `depth` how many
    there are above it. `next_attempt` is the run that was made when this one failed.
    """

    workspace: str
    id: int
    spec: RunSpec
    created_by: str
    created_at: int
    job: int = NO_JOB
    number_in_job: int = 1
    first_attempt: int = 0
    attempt: int = 0
    trigger: Trigger = Trigger.ON_DEMAND
    parent: int = 0
    depth: int = 0
    next_attempt: int = 0
    not_before: int = 0
    idempotency: str = ""
    state: RunState = RunState.QUEUED
    intent: Intent = Intent.NONE
    reason: str = ""
    message: str = ""
    granted_at: int = 0
    launched_at: int = 0
    started_at: int = 0
    ending_at: int = 0
    ended_at: int = 0
    generation: int = 1
    engine_id: str = ""
    application_id: str = ""
    application_name: str = ""
    engine_version: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)
    hidden: bool = False
    used_at: int = 0
    version: int = 0

    @property
    def ended(self) -> bool:
        """Whether the state is terminal."""
        return self.state in TERMINAL

    @property
    def holding(self) -> bool:
        """Whether the run holds capacity."""
        return self.state in HOLDING

    @property
    def deadline(self) -> int:
        """When the time-out strikes; 0 for never or not yet known. It counts from the launch, or from the last use of
        what is there to be used."""
        if not self.launched_at or not self.spec.policy.timeout_ms:
            return 0
        return max(self.launched_at, self.used_at) + self.spec.policy.timeout_ms


@dataclass(frozen=True, slots=True)
class Waiter:
    """The execution that waits for news of a run's driver, by its task token. Apart from the run, which is listed in
    many places and would be written again in all of them."""

    workspace: str
    run: int
    generation: int
    token: str
    expires_at: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What a run's own driver said at its end: exit code and error. It becomes part of the run when the run ends."""

    workspace: str
    run: int
    told: Mapping[str, Any] = field(default_factory=dict)
    expires_at: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes that an upload took and that are not part of a file yet: where they are kept, and how many they are."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of the workspace that is being written in blocks. `parts` of it are with the blob store under the id
    `multipart`; `blocks` come after them. `closing` once its writer has said that all is there."""

    workspace: str
    handle: int
    path: str
    overwrite: bool = False
    size: int = 0
    multipart: str = ""
    parts: int = 0
    blocks: tuple[Block, ...] = ()
    closing: bool = False
    expires_at: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """A file or directory of the workspace that is being moved: a second request goes on where the first was cut."""

    workspace: str
    source: str
    target: str
    expires_at: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """When a job runs by itself: a Quartz expression in a time zone, since an instant."""

    expression: str
    zone: str
    since: int
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A saved definition that makes runs: of `spec`. `settings` is what its dialect answers with."""

    workspace: str
    id: int
    spec: RunSpec
    created_by: str
    created_at: int
    max_concurrent_runs: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    schedule: CronSchedule | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """One source of a pipeline: a notebook or a file of the workspace by its path, or files by a URI, which may be a
    pattern."""

    uri: str
    notebook: bool = False


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A declarative pipeline: sources that say which tables there are, and where Spark keeps them. An update is a run.

    `storage` is the URI of its checkpoints and tables, empty for the workspace's own. `latest` are the newest updates'
    runs, the last one first. `settings` is what its dialect answers with.
    """

    workspace: str
    id: int
    name: str
    created_by: str
    created_at: int
    sources: tuple[Source, ...] = ()
    configuration: Mapping[str, str] = field(default_factory=dict)
    catalog: str = ""
    schema: str = ""
    storage: str = ""
    pool: str = "default"
    conf: Mapping[str, str] = field(default_factory=dict)
    size: Size = Size()
    settings: Mapping[str, Any] = field(default_factory=dict)
    changed_at: int = 0
    latest: tuple[int, ...] = ()
    version: int = 0


@dataclass(frozen=True, slots=True)
class PipelineName:
    """Which pipeline has a name: no two of a workspace have the same."""

    workspace: str
    name: str
    pipeline: int
    version: int = 0


@dataclass(frozen=True, slots=True)
class JobActivity:
    """A job's counters, apart from the job so that lists stay slim: the last run's number, the runs that live, and the
    newest fire of its schedule that made a run."""

    workspace: str
    job: int
    last_number: int = 0
    active: frozenset[int] = frozenset()
    fired: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Pool:
    """A named capacity with defaults. The limits that grants obey live in the ledger; facets are the dialects'."""

    workspace: str
    name: str
    created_at: int
    spark_version: str = ""
    conf: Mapping[str, str] = field(default_factory=dict)
    placement: Placement = Placement()
    facets: Mapping[str, Any] = field(default_factory=dict)
    changed_at: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A run's place in its pool's queue, ordered by `ready_at`: its age, or its `not_before` when that is later."""

    cluster: str
    workspace: str
    pool: str
    run: int
    ready_at: int
    amount: Amount
    version: int = 0


@dataclass(frozen=True, slots=True)
class Hold:
    """The capacity that one run holds: what the ledger's usage must add up to."""

    cluster: str
    workspace: str
    run: int
    pool: str
    amount: Amount
    version: int = 0


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The run that a caller's idempotency token made; kept after the run is deleted, so that reuse is an error."""

    workspace: str
    token: str
    run: int
    deleted: bool = False
    expires_at: int = 0
    version: int = 0


class Role(StrEnum):
    """What a principal may do: users run and read; administrators also manage pools, users and tokens."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, and in which workspace."""

    workspace: str
    name: str
    role: Role = Role.USER

    @property
    def is_admin(self) -> bool:
        """Whether the principal may administer its workspace."""
        return self.role is Role.ADMIN


@dataclass(frozen=True, slots=True)
class Token:
    """A credential that names a principal. Only the text's digest is kept. One with `pages` is good for nothing but
    the pages below that path; one that was `exchanged` for another credential is not exchanged for a longer one."""

    workspace: str
    digest: str
    principal: str
    role: Role
    created_at: int
    expires_at: int = 0
    label: str = ""
    pages: str = ""
    exchanged: bool = False
    version: int = 0


@dataclass(frozen=True, slots=True)
class User:
    """A principal who may have a password. `password` is a salted scrypt text, or empty for none."""

    workspace: str
    name: str
    role: Role
    created_at: int
    password: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Departed:
    """The users of a workspace that were removed, each with the instant: what a name made until then, tokens among it,
    is no user's any more, also when the name is given to somebody else."""

    workspace: str
    users: Mapping[str, int] = field(default_factory=dict)
    version: int = 0


@dataclass(frozen=True, slots=True)
class Deployment:
    """What one deployment keeps for itself: the key that signs page tokens, UUIDs and run secrets."""

    secret: str
    version: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One state change of a run in the workspace's feed, numbered by the feed (`sequence`) and run (`run_version`)."""

    workspace: str
    sequence: int
    run: int
    run_version: int
    job: int
    pool: str
    state: RunState
    at: int
    reason: str = ""
    message: str = ""
    expires_at: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class FeedHead:
    """The last sequence number of a workspace's feed, how many runs came to each state, how many live (`active`), and
    how many were made in an hour (`made_in_hour`, of the `hour`-th since 1970; retries are not counted).

    Exact as far as the feed goes, which is about a second behind. `doubt` is by how much `active` was wrong when the
    sweep last counted, if it was.
    """

    workspace: str
    sequence: int = 0
    totals: Mapping[str, int] = field(default_factory=dict)
    active: int = 0
    hour: int = 0
    made_in_hour: int = 0
    doubt: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class JobTally:
    """How many jobs a workspace keeps, and how many it made in an hour, counted as in FeedHead; exact at all times."""

    workspace: str
    saved: int = 0
    hour: int = 0
    made_in_hour: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class FeedMark:
    """The newest version of a run that its feed has: what makes appending idempotent."""

    workspace: str
    run: int
    run_version: int
    expires_at: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Revision:
    """What a notebook or file was from an instant on. `name` is its body's, below the object's own prefix."""

    at: int
    name: str
    format: ContentFormat
    size: int
    language: Language | None = None


@dataclass(frozen=True, slots=True)
class WorkspaceObject:
    """A directory, notebook or file in the workspace's tree. `revisions` are its contents, oldest first.

    A notebook or file that is `removing` is gone for everybody; only its bodies may still be there. A directory that is
    `removing` is still there, and whoever adds to it takes the mark off, by which the one who removes it notices.
    """

    workspace: str
    parent: str
    name: str
    id: int
    type: ObjectType
    created_by: str
    created_at: int
    revisions: tuple[Revision, ...] = ()
    removing: bool = False
    version: int = 0

    @property
    def path(self) -> str:
        """The absolute path."""
        return f"{self.parent.rstrip('/')}/{self.name}"

    @property
    def gone(self) -> bool:
        """Whether nobody sees it any more."""
        return self.removing and self.type is not ObjectType.DIRECTORY


@dataclass(frozen=True, slots=True)
class SecretScopes:
    """The names of a workspace's secret scopes, so that they can be counted and listed in one read."""

    workspace: str
    names: tuple[str, ...] = ()
    version: int = 0


@dataclass(frozen=True, slots=True)
class SecretScope:
    """A named set of secrets: when each key was last written, and who may do what. `id` is the name in lower case,
    because names that differ only in case are one."""

    workspace: str
    id: str
    name: str
    created_by: str
    created_at: int
    keys: Mapping[str, int] = field(default_factory=dict)
    acls: Mapping[str, str] = field(default_factory=dict)
    version: int = 0


@dataclass(frozen=True, slots=True)
class SecretValue:
    """One secret's value, in base64. Only the driver's door reads it."""

    workspace: str
    scope: str
    key: str
    value: str = field(repr=False)
    is_text: bool = True
    version: int = 0


class NoticeStatus(StrEnum):
    """Where a notice is on its way. DEAD ones are given up."""

    PENDING = "PENDING"
    SENT = "SENT"
    DEAD = "DEAD"


@dataclass(frozen=True, slots=True)
class Notice:
    """One event told to one target: an e-mail address or a destination's id. It is made once, whoever makes it, since
    its key says all that it is; and it carries what it tells, so that it can be sent when its run is long gone.

    `subject` is the run's id, or the job's when the job was removed. `generation` is of its delivery.
    """

    workspace: str
    subject: int
    event: NoticeEvent
    channel: Channel
    target: str
    at: int = 0
    job: int = NO_JOB
    name: str = ""
    number_in_job: int = 1
    attempt: int = 0
    state: str = ""
    message: str = ""
    threshold_ms: int = 0
    created_at: int = 0
    started_at: int = 0
    ended_at: int = 0
    status: NoticeStatus = NoticeStatus.PENDING
    error: str = ""
    generation: int = 1
    expires_at: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Destination:
    """A system destination (seed 004, "Webhook"): a URL that notices are posted to, which an administrator keeps. The
    secret that signs them follows from the deployment's own (`services.destinations`)."""

    workspace: str
    id: str
    name: str
    url: str
    created_by: str
    created_at: int
    version: int = 0
