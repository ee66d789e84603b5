"""The Kubernetes objects by which the API reaches a history server on AWS are about the pods that there are."""

from __future__ import annotations

import re
from pathlib import Path

from chalicelib.aws.relay import HttpRelay
from chalicelib.core.eventlogs import HISTORY_LABEL, HISTORY_PORT, history_spec
from chalicelib.core.ids import named_id
from chalicelib.core.model import Pool, Run
from infra.policies import grants_of

TEXT = (Path(__file__).parents[2] / "infra" / "history_service.yaml").read_text()
POOL = Pool("main", "default", 1)
SPEC = history_spec(POOL, "main", "s3://b/main/events/default", cores=1, memory=1024, version="3.5", idle_ms=1000)


def test_its_selectors_and_ports_are_the_pods() -> None:
    label = SPEC.conf[f"spark.kubernetes.driver.label.{HISTORY_LABEL}"]
    number = str(named_id("pool", "default"))
    assert f"{HISTORY_LABEL}: {label.replace(number, 'POOL_NUMBER')}\n" in TEXT
    assert f"key: {HISTORY_LABEL}, operator: Exists" in TEXT
    assert set(re.findall(r"[pP]ort: (\d+)", TEXT)) == {str(HISTORY_PORT)} == {SPEC.conf["spark.history.ui.port"]}
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", label), "a label that Kubernetes takes"


def test_the_name_that_it_asks_for_is_the_one_that_the_relay_fills_in() -> None:
    (template,) = re.findall(r"http://history-.+:18080", TEXT)
    address = HttpRelay(template)._address(Run("main", 7, SPEC, "alice", 1))
    record = f"history-main-{named_id('pool', 'default')}"
    assert address.startswith(f"http://{record}.") and "history-main-POOL_NUMBER" in TEXT


def test_the_function_that_asks_needs_no_endpoints_but_those_two() -> None:
    services = {action.partition(":")[0] for grant in grants_of("api") for action in grant.actions}
    assert services - {"logs"} == {"dynamodb", "s3"}, (
        "Lambda writes the logs by itself; history_service.yaml tells the rest"
    )
