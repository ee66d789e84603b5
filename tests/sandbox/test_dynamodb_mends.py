"""Each mend of moto's DynamoDB is still needed: plain moto, in a process of its own, does not do it.

When one of these fails on moto's side, moto has learnt it, and the mend may go.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
from dynamodb_probe import PROBES, ask
from dynamodb_support import database

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def plain() -> dict[str, bool]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), str(HERE)])}
    done = subprocess.run(
        [sys.executable, str(HERE / "dynamodb_probe.py")], env=environment, capture_output=True, text=True, check=True
    )
    answers: dict[str, bool] = json.loads(done.stdout)
    return answers


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    with database(tmp_path_factory.mktemp("mended")):
        return ask()


@pytest.mark.parametrize("name", PROBES)
def test_the_sandbox_does_as_aws_and_plain_moto_does_not(
    name: str, plain: dict[str, bool], mended: dict[str, bool]
) -> None:
    assert mended[name]
    assert not plain[name], f"moto does this by itself now: {name}"
