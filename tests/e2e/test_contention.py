"""Three hundred applications of mixed sizes in three pools, while everything that works is killed at random.

The whole sandbox is real (HTTP, the table, its stream, executions, EMR's job runs and their processes) but for the
Spark: `java` is a script that lives for a moment and succeeds, so that what is measured is the sharing and not the
JVM. kill -9 of the sandbox ends every worker wherever it stands. Meanwhile the ledger is read every 100 ms, as an
administrator would: no limit may ever be exceeded, and what is held is what the ledger says.

SPARKPLANE_LOAD_RUNS, SPARKPLANE_LOAD_KILLS and SPARKPLANE_LOAD_SEED make it another test.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import botocore.exceptions
import requests

from tests.e2e.conftest import NewSandbox, Program
from tests.e2e.live import Sandbox, _items, capacity, eventually, python, run_record

RUNS = int(os.environ.get("SPARKPLANE_LOAD_RUNS", "300"))
KILLS = int(os.environ.get("SPARKPLANE_LOAD_KILLS", "3"))
SEED = int(os.environ.get("SPARKPLANE_LOAD_SEED", "20260101"))
CLIENTS = 6
SECONDS = 1500
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
    """Threads that submit runs, each with an idempotency token, and again until they are answered."""

    def __init__(self, sandbox: Sandbox, path: Path) -> None:
        self.accepted: dict[str, int] = {}
        self._sandbox, self._path = sandbox, path
        self.pool_of = {f"run-{n}": list(POOLS)[n % len(POOLS)] for n in range(RUNS)}
        self.threads = [threading.Thread(target=self._submit, args=(first,), daemon=True) for first in range(CLIENTS)]

    def _submit(self, first: int) -> None:
        chance = random.Random(SEED + first)
        deadline = time.monotonic() + SECONDS
        for label in list(self.pool_of)[first::CLIENTS]:
            cluster = {"spark_version": "15.4.x-scala2.12", "instance_pool_id": self.pool_of[label], **sizes(chance)}
            body = {"new_cluster": cluster, "idempotency_token": label, "run_name": label, **python(self._path)}
            while label not in self.accepted and time.monotonic() < deadline:
                try:
                    self.accepted[label] = self._sandbox.client().jobs("runs/submit", body)["run_id"]
                except (requests.ConnectionError, requests.Timeout):
                    time.sleep(0.1)


class Watch:
    """Reads the ledger every 100 ms, as often as it is there to be read."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.samples = self.compared = 0
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
        while not self._stop.wait(0.1):
            try:
                (before,) = _items(self._sandbox, "#cluster#default")
                holds = [json.loads(item["doc"]["S"]) for item in _items(self._sandbox, "#holds#default")]
                (after,) = _items(self._sandbox, "#cluster#default")
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError, ValueError, KeyError):
                continue  # the sandbox is down, or just coming up
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


def limits(sandbox: Sandbox) -> None:
    """Pools that cannot all have what they want."""
    for pool, priority in POOLS.items():
        claim = ["--min-runs", "1"] if pool == "etl" else []
        most = ["--cores", "14", "--memory", "32Gi", "--gpus", "2", "--runs", "5"]
        sandbox.admin("pool", "set", "--pool", pool, "--priority", str(priority), *most, *claim)
    sandbox.admin("cluster", "limit", "--cores", "24", "--memory", "64Gi", "--gpus", "3", "--runs", "8")


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
    runs = clients.accepted
    assert len(set(runs.values())) == RUNS

    def all_over() -> bool:
        try:
            return not sandbox.client().jobs("runs/list", active_only="true", limit=1)["runs"]
        except requests.RequestException:
            return False

    eventually(all_over, "the end of all runs", SECONDS, pause=1)
    watch.stop()
    assert not watch.wrong, watch.wrong[:5]
    assert watch.samples > RUNS / 10 and watch.compared, "the ledger was hardly looked at"
    assert watch.most["cluster"] > 1, "they never ran at once"
    records = {label: run_record(sandbox, run) for label, run in runs.items()}
    assert Counter(record["state"] for record in records.values()) == {"SUCCEEDED": RUNS}
    ranks: dict[str, list[int]] = {pool: [] for pool in POOLS}
    for rank, label in enumerate(sorted(records, key=lambda label: records[label]["granted_at"])):
        ranks[clients.pool_of[label]].append(rank)
    mean = {pool: sum(places) / len(places) for pool, places in ranks.items()}
    assert mean["urgent"] < mean["default"], mean
    holds, used = capacity(sandbox)
    assert (holds, set(used.values())) == (0, {0})
    names = subprocess.run(["ls", str(sandbox.home / "emr")], capture_output=True, text=True, check=True).stdout.split()
    print(
        f"{RUNS} runs, {KILLS} kills, {watch.samples} samples ({watch.compared} compared), most at once {watch.most},"
    )
    print(f"mean rank of a grant {mean}, {len(names)} job runs")
    assert len([name for name in names if (sandbox.home / "emr" / name / "exit.json").exists()]) == RUNS
