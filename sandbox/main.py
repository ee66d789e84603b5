"""The composition: one process that is AWS for the product, on the loopback interface, with a real Spark.

Order matters: storage before the first request, functions before what calls them, the front last. Nothing here is
deployed, and the product does not know of it: it finds an AWS in its environment.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sandbox.aws.right_of_way import RightOfWay
from sandbox.settings import BUCKET, REGION, ROLE, TABLE, WORKSPACE, SettingError, Settings, settings_from

FUNCTIONS = ("dispatch", "follow", "launch", "check", "engine_event", "ring", "notify", "sweep")
CORES, GIB = 1000, 8000
"""What the default pool holds, whatever the laptop has: sizes are asked for as on a cluster, and capped when run."""

MAIL_FROM = "sparkplane@sandbox.invalid"
LOOPBACK = "127.0.0.0/8"
"""Where notices may be posted to beside the public internet, unless the owner says otherwise."""

ACCESS_KEY, SECRET_KEY = "sandbox", "sandbox-secret"


def say(text: str) -> None:
    """Tell the owner something; standard output is for the ready line alone."""
    print(text, file=sys.stderr, flush=True)


@dataclass
class Sandbox:
    """A running sandbox. `close` stops it; drivers go on, and the next one finds them."""

    settings: Settings
    url: str = ""
    instance: str = ""
    aws_port: int = 0
    right_of_way: RightOfWay = field(default_factory=RightOfWay)
    closers: list[Callable[[], Any]] = field(default_factory=list)

    def close(self) -> None:
        """Stop in the reverse order of starting."""
        for closer in reversed(self.closers):
            closer()


def start(settings: Settings) -> Sandbox:
    """Start everything; returns when requests are answered. Raises SetUpError with what to install."""
    from sandbox.aws.emr import spark as engine_spark

    _check_port(settings.port)
    spark = engine_spark.prepare(settings.engine_python, os.environ, settings.home / "spark", say)
    sandbox = Sandbox(settings)
    os.environ.update(_aws_environment())
    storage = _emulate(sandbox)
    functions, events = _functions(sandbox)
    schedules = _schedules(sandbox, functions)
    engine = _engine(sandbox, spark, events.deliver)
    _provision(sandbox, functions, engine)
    sandbox.instance = _seed(settings)
    _stream(sandbox, functions, storage)
    schedules.start()
    engine.resume()
    functions.invoke("sweep", {})
    _expire(sandbox, storage)
    _serve(sandbox)
    return sandbox


def _check_port(port: int) -> None:
    """Raises OSError when somebody listens there: before anything is touched that the next start would have to mend."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        taken = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
        raise OSError(f"port {port} of 127.0.0.1 {taken}; SPARKPLANE_PORT chooses another.") from None


def _aws_environment() -> dict[str, str]:
    return {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
        "POWERTOOLS_SERVICE_NAME": "sparkplane",
        "POWERTOOLS_METRICS_DISABLED": "true",
    }


def _emulate(sandbox: Sandbox) -> Any:
    """moto in this process, mended and on disk; its HTTP server is for drivers, presigned URLs and administrators.

    Returns the table's storage, which has the stream.
    """
    import boto3
    from moto import mock_aws

    from sandbox.aws import dynamodb, s3, stepfunctions
    from sandbox.aws.server import AwsServer

    home = sandbox.settings.home
    storage = dynamodb.install(home / "dynamodb.sqlite")
    mock_aws(config={"core": {"mock_credentials": False}}).start()
    files = s3.install(home / "s3", credentials=s3.Credentials(ACCESS_KEY, SECRET_KEY))
    stepfunctions.install()
    server = AwsServer(_same_port(home / "aws.port"), cache(lambda: boto3.client("s3")))
    server.start()
    (home / "aws.port").write_text(str(server.port))
    os.environ["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{server.port}"
    sandbox.aws_port = server.port
    sandbox.closers += [storage.close, files.close, server.stop]
    return storage


def _same_port(file: Path) -> int:
    """The port that AWS had before, if it is free, so that drivers which outlived a restart still find it; else any."""
    port = int(file.read_text()) if file.exists() else 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def _functions(sandbox: Sandbox) -> tuple[Any, Any]:
    """The product's functions, callable as Lambda's are, and the event bus that reaches them."""
    from sandbox.aws.events import Events
    from sandbox.aws.functions import Functions
    from sandbox.aws.ses import Outbox

    outbox = Outbox(sandbox.settings.home / "outbox", MAIL_FROM)
    registry = {name: _handler(name) for name in FUNCTIONS}
    functions = Functions(registry | {"notify": outbox.ahead_of(registry["notify"])})
    functions.install()
    events = Events(functions, on_failure=lambda told, error: say(f"event not delivered: {error}"))
    events.install()
    sandbox.closers.append(functions.close)
    return functions, events


def _schedules(sandbox: Sandbox, functions: Any) -> Any:
    """EventBridge Scheduler, which fires once it is started."""
    from sandbox.aws.scheduler import Scheduler

    schedules = Scheduler(
        functions,
        sandbox.settings.home / "schedules.json",
        on_failure=lambda arn, told, error: say(f"schedule {arn} not delivered: {error}"),
    )
    schedules.install()
    sandbox.closers.append(schedules.close)
    return schedules


def _handler(name: str) -> Callable[[Any, Any], Any]:
    """A function of the product by name."""

    def call(event: Any, context: Any) -> Any:
        import app

        return getattr(app, name)(event, context)

    return call


def _engine(sandbox: Sandbox, spark: Any, deliver: Callable[[Any], None]) -> Any:
    """EMR on EKS with a real Spark. A driver finds of AWS what a pod's role would give it."""
    import boto3

    from sandbox.aws import emr, webhdfs
    from sandbox.aws.emr.history import Doors

    overlay = {"SPARKPLANE_IMAGE_OVERLAY": str(spark.extra)} if spark.extra else {}
    names = ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3")
    environment = {**{name: os.environ[name] for name in names}, **overlay, **sandbox.settings.pip}
    engine = emr.install(
        sandbox.settings.home,
        spark,
        deliver,
        cache(lambda: boto3.client("s3")),
        environment=environment,
        settings=emr.Settings(conf=webhdfs.conf(sandbox.aws_port)),
    )
    doors = Doors(engine.running)
    doors.start()
    os.environ["SPARKPLANE_HISTORY_URL"] = doors.url
    sandbox.closers += [engine.close, doors.close]
    return engine


def _provision(sandbox: Sandbox, functions: Any, engine: Any) -> None:
    """Make the resources, and tell the product where they are, as Lambda's environment does."""
    from sandbox import provision

    provision.table()
    provision.bucket()
    run_machine, notify_machine, ring_machine = provision.machines(functions.arn)
    provision.engine_rule(functions.arn("engine_event"))
    provision.sweep_schedule(functions.arn("sweep"))
    told = {
        "SPARKPLANE_TABLE": TABLE,
        "SPARKPLANE_BUCKET": BUCKET,
        "SPARKPLANE_WORKSPACE": WORKSPACE,
        "SPARKPLANE_RUN_MACHINE": run_machine,
        "SPARKPLANE_NOTIFY_MACHINE": notify_machine,
        "SPARKPLANE_RING_MACHINE": ring_machine,
        "SPARKPLANE_RING_FUNCTION": functions.arn("ring"),
        "SPARKPLANE_SCHEDULE_ROLE": ROLE,
        "SPARKPLANE_SCHEDULE_GROUP": provision.schedule_group(),
        "SPARKPLANE_VIRTUAL_CLUSTER": engine.ensure_virtual_cluster("sparkplane"),
        "SPARKPLANE_EXECUTION_ROLE": ROLE,
        "SPARKPLANE_URI_SCHEMES": sandbox.settings.schemes,
        "SPARKPLANE_MAIL_FROM": MAIL_FROM,
        "SPARKPLANE_WEBHOOK_NETWORKS": os.environ.get("SPARKPLANE_WEBHOOK_NETWORKS", LOOPBACK),
        "SPARKPLANE_API_URL": f"http://127.0.0.1:{sandbox.settings.port}",
    }
    if sandbox.settings.history_idle:
        told["SPARKPLANE_HISTORY_IDLE_SECONDS"] = str(sandbox.settings.history_idle)
    os.environ.update(told)
    _leave_environment(sandbox.settings, told)


def _leave_environment(settings: Settings, told: dict[str, str]) -> None:
    """Write `<home>/aws.env`, with which the administrator's command reaches this sandbox as if it were AWS."""
    endpoint = os.environ["AWS_ENDPOINT_URL_S3"]
    lines = {**_aws_environment(), "AWS_ENDPOINT_URL": endpoint, **told}
    path = settings.home / "aws.env"
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))


def _seed(settings: Settings) -> str:
    """The first administrator, its token and the default pool; returns the pool's Analytics Engine instance id."""
    from chalicelib import wiring
    from chalicelib.core.errors import AlreadyExists
    from chalicelib.core.model import Role
    from chalicelib.services import access
    from chalicelib.services.pools import instance_id

    ports = wiring.ports()
    with suppress(AlreadyExists):
        access.create_user(ports, WORKSPACE, "admin", Role.ADMIN)
    with suppress(AlreadyExists):
        access.create_token(ports, WORKSPACE, "admin", text=settings.token, label="sandbox")
    _seed_pool(ports, settings)
    return instance_id(ports, WORKSPACE, "default")


def _seed_pool(ports: Any, settings: Settings) -> None:
    """The default pool: made once, so that an administrator's limits stay; the number of drivers as the owner says."""
    from chalicelib.core.capacity import Amount
    from chalicelib.core.model import Pool
    from chalicelib.ports import key
    from chalicelib.services import pools

    known = bool(ports.store.fetch([key(Pool, WORKSPACE, "default")]))
    if not known or settings.max_drivers is not None:
        drivers = max(2, os.cpu_count() or 2) if settings.max_drivers is None else settings.max_drivers
        most = Amount(cores=CORES * 1000, memory=GIB * 1024, gpus=0, runs=drivers)
        pools.ensure_pool(ports, WORKSPACE, "default", maximum=most)


def _stream(sandbox: Sandbox, functions: Any, storage: Any) -> None:
    """The table's stream to the functions that infra names."""
    from infra.triggers import STREAM_TRIGGERS
    from sandbox.aws.streams import StreamTrigger

    for wanted in STREAM_TRIGGERS:
        trigger = StreamTrigger(
            wanted.function,
            TABLE,
            functions=functions,
            records=storage,
            filters=[dict(one) for one in wanted.filters],
            batch_size=wanted.batch_size,
            max_retries=wanted.max_retries,
            bisect=wanted.bisect,
            report_batch_item_failures=True,
            on_failure=_dead_letter(wanted.function),
            wait_turn=sandbox.right_of_way.wait,
        )
        sandbox.closers.append(trigger.stop)
        trigger.start()


def _dead_letter(function: str) -> Callable[[Any, Exception], None]:
    def tell(records: Any, error: Exception) -> None:
        say(f"dead letter: {function} gave up on {len(records)} records: {error}")

    return tell


def _expire(sandbox: Sandbox, storage: Any) -> None:
    """Remove what is past its time, each minute, as DynamoDB's TTL does."""
    stop = threading.Event()

    def reap() -> None:
        while not stop.wait(60):
            storage.expire(time.time())

    threading.Thread(target=reap, name="ttl", daemon=True).start()
    sandbox.closers.append(stop.set)


def _serve(sandbox: Sandbox) -> None:
    """The front. Raises OSError when the port is taken."""
    import app
    from sandbox.front import front, gateway_responses, serve

    def answer(event: Any) -> Any:
        with sandbox.right_of_way:
            return app.app(event, None)

    api = front(answer, app.app.routes, binary_types=["*/*"], responses=gateway_responses())
    server = serve(api, "127.0.0.1", sandbox.settings.port, lambda port: None)
    sandbox.url = f"http://127.0.0.1:{server.port}"
    sandbox.closers.append(server.stop)


def main() -> int:
    """`make run`: start, say where, and stay until a signal. Returns the exit code."""
    from sandbox.aws.dynamodb.storage import StorageError
    from sandbox.aws.emr.spark import SetUpError

    out, sys.stdout = sys.stdout, sys.stderr  # standard output is for the ready line alone
    os.environ.setdefault("POWERTOOLS_LOG_LEVEL", "WARNING")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = settings_from(os.environ)
        sandbox = start(settings)
    except (SetUpError, SettingError, StorageError, OSError) as missing:
        say(f"The sandbox cannot start: {missing}")
        return 1
    ready = f"ready {sandbox.url} user=admin token={settings.token} analytics_engine={sandbox.instance}"
    print(ready, file=out, flush=True)
    stop.wait()
    say("stopping; drivers go on, and the next start finds them")
    sandbox.close()
    return 0
