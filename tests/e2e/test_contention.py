"""Three hundred applications of mixed sizes in three pools, while everything that works is killed at random.

The whole sandbox is real (HTTP, the table, its stream, executions, EMR's job runs and their processes) but for the
Spark: `java` is a script that lives for a moment and succeeds, so that what is measured is the sharing and not the
JVM. Every other application is submitted to Analytics Engine, the others to Databricks. kill -9 of the sandbox ends
every worker wherever it stands. Meanwhile the ledger is read every 100 ms, as an administrator would: no limit may ever
be exceeded, and what is held is what the ledger says. Afterwards the runs' records tell the same of every instant, and
how many rounds each run waited when it was the oldest of its pool (docs/decisions/capacity.md).

SPARKPLANE_LOAD_RUNS, SPARKPLANE_LOAD_KILLS and SPARKPLANE_LOAD_SEED make it another test.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import botocore.exceptions
import requests

from chalicelib.aws.codec import decode
from chalicelib.core.capacity import PATIENCE
from chalicelib.core.model import Run
from chalicelib.core.states import RunState
from tests.e2e.conftest import NewSandbox, Program
from tests.e2e.live import Sandbox, _items, capacity, eventually, python, run_record

RUNS = int(os.environ.get("SPARKPLANE_LOAD_RUNS", "300"))
KILLS = int(os.environ.get("SPARKPLANE_LOAD_KILLS", "3"))
SEED = int(os.environ.get("SPARKPLANE_LOAD_SEED", "20260101"))
CLIENTS = 6
SECONDS = 1500
LOOK_EVERY_S = 0.1
POOLS = {"default": 0, "etl": 3, "urgent": 9}
"""Pool -> priority."""

JAVA = """#!/bin/sh
case " $* " in
  *" -XX:ArchiveClassesAtExit="*) exit 1 ;;
  *" org.apache.spark.launcher.Main "*) exec {java} "$@" ;;
  *" org.apache.spark.deploy.SparkSubmit "*) sleep 0.2 ;;
  *) {java} "$@" 2>&1 | sed 's#java.home = .*#java.home = {home}#' ;;
esac
"""


def short_lived_java(place: Path) -> Path:
    """A JAVA_HOME whose `java` asks the real one about itself, and is done with a driver in a moment."""
    home = place / "java"
    (home / "bin").mkdir(parents=True)
    own = os.environ.get("JAVA_HOME")
    program = home / "bin" / "java"
    program.write_text(JAVA.format(java=f"{own}/bin/java" if own else shutil.which("java"), home=home))
    program.chmod(0o755)
    return home


def sizes(chance: random.Random) -> dict[str, Any]:
    """A cluster of 2 to 9 cores, and sometimes a GPU in each executor."""
    cores, workers = chance.choice([1, 1, 1, 2, 4]), chance.choice([1, 1, 2])
    conf = {"spark.driver.cores": "1", "spark.driver.memory": "1g", "spark.executor.memory": "1g",
            "spark.executor.cores": str(cores)}  # fmt: skip
    if chance.random() < 0.2:
        conf["spark.executor.resource.gpu.amount"] = "1"
    return {"spark_conf": conf, "num_workers": workers}


class Clients:
    """Threads that submit runs, and again until they are answered: to Databricks with an idempotency token; to
    Analytics Engine, which has none, only if the list does not have it already."""

    def __init__(self, sandbox: Sandbox, path: Path) -> None:
        self.accepted: set[str] = set()
        self._sandbox, self._path = sandbox, path
        shown = {pool: sandbox.admin("instance", "show", "--name", pool) for pool in POOLS}
        self._paths = {
            pool: f"/v4/analytics_engines/{told['instance_id']}/spark_applications" for pool, told in shown.items()
        }
        self.pool_of = {f"run-{n}": list(POOLS)[n % len(POOLS)] for n in range(RUNS)}
        self.threads = [threading.Thread(target=self._submit, args=(first,), daemon=True) for first in range(CLIENTS)]

    def _submit(self, first: int) -> None:
        chance = random.Random(SEED + first)
        deadline = time.monotonic() + SECONDS
        for label in list(self.pool_of)[first::CLIENTS]:
            ask = self._analytics_engine if int(label.partition("-")[2]) % 2 else self._databricks
            size, again = sizes(chance), False
            while label not in self.accepted and time.monotonic() < deadline:
                try:
                    ask(label, size, again)
                    self.accepted.add(label)
                except (requests.ConnectionError, requests.Timeout):
                    again = True
                    time.sleep(0.1)

    def _databricks(self, label: str, size: dict[str, Any], again: bool) -> None:
        cluster = {"spark_version": "15.4.x-scala2.12", "instance_pool_id": self.pool_of[label], **size}
        body = {"new_cluster": cluster, "idempotency_token": label, "run_name": label, **python(self._path)}
        self._sandbox.client().jobs("runs/submit", body)

    def _analytics_engine(self, label: str, size: dict[str, Any], again: bool) -> None:
        client, path = self._sandbox.client(), self._paths[self.pool_of[label]]
        known = client.ok("GET", path)["applications"] if again else ()
        if label in {one["spark_application_name"] for one in known}:
            return
        conf = {**size["spark_conf"], "spark.app.name": label, "ae.spark.executor.count": str(size["num_workers"])}
        client.ok("POST", path, {"application_details": {"application": f"file:{self._path}", "conf": conf}})


class Watch:
    """Reads the ledger every 100 ms, as often as it is there to be read. `gaps` are the seconds between two looks of
    which nothing came in between."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.samples = self.compared = 0
        self.gaps: list[float] = []
        self.wrong: list[str] = []
        self.most: Counter[str] = Counter()
        self._sandbox, self._stop = sandbox, threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        assert self.thread.is_alive(), "nobody has looked since"
        self.thread.join(60)

    def _sample(self) -> None:
        due = time.monotonic()
        last: float | None = None
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            looked = time.monotonic()
            due = max(due + LOOK_EVERY_S, looked)
            try:
                (before,) = _items(self._sandbox, "#cluster#default")
                holds = [json.loads(item["doc"]["S"]) for item in _items(self._sandbox, "#holds#default")]
                (after,) = _items(self._sandbox, "#cluster#default")
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError, ValueError, KeyError):
                last, due = None, looked + LOOK_EVERY_S
                continue  # the sandbox is down, or just coming up
            self.gaps += [looked - last] if last is not None else []
            last = looked
            self.samples += 1
            self._look(before)
            if before["version"] == after["version"]:
                self.compared += 1
                self._compare(before, holds)

    def _look(self, item: dict[str, Any]) -> None:
        doc = json.loads(item["doc"]["S"])
        dimensions = ("cores", "memory", "gpus", "runs")
        used = {pool: [int(item.get(f"used/{d}/{pool}", {"N": "0"})["N"]) for d in dimensions] for pool in doc["pools"]}
        whole = [sum(column) for column in zip(*used.values(), strict=True)]
        for owner, has, limit in [
            *((pool, used[pool], account["maximum"]) for pool, account in doc["pools"].items()),
            ("cluster", whole, doc["total"]),
        ]:
            self.most[owner] = max(self.most[owner], has[3])
            for name, amount, most in zip(dimensions, has, limit, strict=True):
                if not 0 <= amount <= most:
                    self.wrong.append(f"{owner}: {amount} of {most} {name}")

    def _compare(self, item: dict[str, Any], holds: list[dict[str, Any]]) -> None:
        held: Counter[str] = Counter()
        for hold in holds:
            for name, amount in hold["amount"].items():
                held[f"used/{name}/{hold['workspace']}/{hold['pool']}"] += amount
        told = {name: int(value["N"]) for name, value in item.items() if name.startswith("used/")}
        if {name: n for name, n in told.items() if n} != {name: n for name, n in held.items() if n}:
            self.wrong.append(f"the ledger says {told}, the holds say {dict(held)}")


MOST = {"cores": 14, "memory": 32, "gpus": 2, "runs": 5}
"""Of each pool, in whole cores and GiB."""
WHOLE = {"cores": 24, "memory": 64, "gpus": 3, "runs": 8}
"""Of the cluster."""


def told(limits: dict[str, int]) -> list[str]:
    return [word for name, most in limits.items() for word in (f"--{name}", f"{most}{'Gi' * (name == 'memory')}")]


def limits(sandbox: Sandbox) -> None:
    """Pools that cannot all have what they want."""
    for pool, priority in POOLS.items():
        claim = ["--min-runs", "1"] if pool == "etl" else []
        sandbox.admin("pool", "set", "--pool", pool, "--priority", str(priority), *told(MOST), *claim)
    sandbox.admin("cluster", "limit", *told(WHOLE))


def excesses(runs: Iterable[Run]) -> list[str]:
    """The instants at which more was held than a limit allows. A grant is dated after all ends that it was planned
    with, and an end before its capacity is given back, so what the records say is what was held."""
    instants = sorted(
        (instant for run in runs for instant in ((run.ended_at, 0, run), (run.granted_at, 1, run))),
        key=lambda one: one[:2],
    )
    held: Counter[tuple[str, str]] = Counter()
    wrong = []
    for at, begins, run in instants:
        amount = run.spec.amount()
        asked = {"cores": amount.cores / 1000, "memory": amount.memory / 1024, "gpus": amount.gpus, "runs": 1}
        for owner, limit in ((run.spec.pool, MOST), ("cluster", WHOLE)):
            for name, asks in asked.items():
                held[owner, name] += asks if begins else -asks
                if begins and held[owner, name] > limit[name]:
                    wrong.append(f"{owner}: {held[owner, name]} of {limit[name]} {name} at {at}")
    return wrong


def rounds_waited(run: Run, runs: Sequence[Run]) -> int:
    """How many rounds a run waited since it was the oldest of its pool. A round is over when all have ended who held
    capacity when it began."""
    older = [one.granted_at for one in runs if one.spec.pool == run.spec.pool and one.id < run.id]
    at, rounds = max(run.created_at, *older, 0), 0
    while at < run.granted_at:
        ends = [one.ended_at for one in runs if one.granted_at <= at < one.ended_at]
        at = max(ends) if ends else min(one.granted_at for one in runs if one.granted_at > at)
        rounds += bool(ends) and at < run.granted_at
    return rounds


def test_three_hundred_applications_share_three_pools_while_all_workers_are_killed(
    new_sandbox: NewSandbox, program: Program, tmp_path: Path
) -> None:
    sandbox, chance = new_sandbox(JAVA_HOME=str(short_lived_java(tmp_path))), random.Random(SEED)
    (sandbox.home / "spark").unlink()
    (sandbox.home / "spark").mkdir()  # what is learnt of this Java is nobody else's
    sandbox.start()
    limits(sandbox)
    clients, watch = Clients(sandbox, program("momentary.py", "")), Watch(sandbox)
    for thread in (*clients.threads, watch.thread):
        thread.start()
    for _ in range(KILLS):
        time.sleep(chance.uniform(3, 12))
        sandbox.kill()
        sandbox.start()
    for thread in clients.threads:
        thread.join(SECONDS)
    assert len(clients.accepted) == RUNS

    def all_over() -> bool:
        try:
            return not sandbox.client().jobs("runs/list", active_only="true", limit=1)["runs"]
        except requests.RequestException:
            return False

    eventually(all_over, "the end of all runs", SECONDS, pause=1)
    watch.stop()
    assert not watch.wrong, watch.wrong[:5]
    assert watch.samples > RUNS / 2 and watch.compared, "the ledger was hardly looked at"
    assert watch.most["cluster"] > 1, "they never ran at once"
    listed = everything(sandbox)
    assert sorted(run["run_name"] for run in listed) == sorted(clients.pool_of), "each is there once"
    runs: list[Run] = [decode(Run, run_record(sandbox, run["run_id"])) for run in listed]
    assert Counter(run.state for run in runs) == {RunState.SUCCEEDED: RUNS}
    assert not excesses(runs), excesses(runs)[:5]
    waited = max(rounds_waited(run, runs) for run in runs)
    assert waited < PATIENCE + 2 * len(POOLS), "somebody starved"
    order = sorted(runs, key=lambda run: run.granted_at)
    ranks = {pool: [rank for rank, run in enumerate(order) if run.spec.pool == pool] for pool in POOLS}
    mean = {pool: sum(places) / len(places) for pool, places in ranks.items()}
    assert mean["urgent"] < mean["default"], mean
    holds, used = capacity(sandbox)
    assert (holds, set(used.values())) == (0, {0})
    jobs = [record.parent for record in sandbox.home.glob("emr/*/record.json")]
    gaps = [round(statistics.quantiles(watch.gaps, n=100)[n - 1] * 1000) for n in (50, 90, 99)]
    print(f"{RUNS} runs {Counter(run.spec.dialect for run in runs)}, {KILLS} kills, most at once {watch.most}")
    print(f"{watch.samples} samples ({watch.compared} compared), ms between two: {gaps} (50, 90, 99 in 100)")
    print(f"mean rank of a grant {mean}, most rounds waited {waited}, {len(jobs)} job runs")
    assert len(jobs) == RUNS and all((job / "exit.json").exists() for job in jobs), "one driver each, and it has ended"


def everything(sandbox: Sandbox) -> list[Any]:
    """All runs, as Databricks lists them."""
    found: list[Any] = []
    while True:
        page = sandbox.client().jobs("runs/list", limit=150, offset=len(found))
        found += page.get("runs", ())
        if not page["has_more"]:
            return found
