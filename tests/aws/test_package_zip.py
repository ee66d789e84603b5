"""The zip: small, with bytecode, without what the runtime brings, and able to answer by itself."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from chalicelib.aws import table
from infra import archive
from infra.package import ZIP
from infra.template import ENVIRONMENT
from tests.aws.world import REGION, TABLE, api_event

MOST_UNZIPPED = 15_000_000
SOURCE = "WORDS = frozenset({'a', 'b', 'c'})\n\n\ndef f(x):\n    return x in WORDS\n"
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")
"""What Lambda's runtime has: boto3, and what that needs."""


@pytest.fixture(scope="module")
def task(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip, unpacked, where nothing else is."""
    unpacked = tmp_path_factory.mktemp("task")
    with zipfile.ZipFile(package / ZIP) as opened:
        opened.extractall(unpacked)
    return unpacked


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """boto3 and its needs alone, from this environment."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in RUNTIME:
        found = importlib.util.find_spec(name)
        assert found and found.origin
        origin = Path(found.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (folder / source.name).symlink_to(source)
    return folder


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """A moto server with the table; gives its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    dynamodb = boto3.client("dynamodb", endpoint_url=url, region_name=REGION, **keys)
    dynamodb.create_table(**table.definition(TABLE))
    yield url
    server.stop()


def ask(method: str, path: str, resource: str = "/{proxy+}", token: str = "") -> dict[str, Any]:
    """An API Gateway event."""
    return api_event(method, path, resource, {"proxy": path.lstrip("/")} if "+" in resource else {}, {}, None, token)


REQUESTS = {
    "health": ask("GET", "/health", "/health"),
    "jobs": ask("GET", "/api/2.0/nothing"),
    "engines": ask("GET", "/v4/nothing"),
    "driver": ask("GET", "/driver/nothing"),
    "stranger": ask("GET", "/api/2.0/jobs/list", "/api/2.0/jobs/list", "spk_main_wrong"),
}


@pytest.fixture(scope="module")
def told(task: Path, runtime: Path, aws: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the zip says in a Python that has nothing else (no site-packages, no user's directory)."""
    events = tmp_path_factory.mktemp("events") / "events.json"
    events.write_text(json.dumps(list(REQUESTS.values())))
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": aws,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        **dict.fromkeys(ENVIRONMENT, "60"),
        "SPARKPLANE_TABLE": TABLE,
    }
    program = Path(__file__).with_name("runtime.py")
    command = [sys.executable, "-S", "-s", "-B", str(program), str(task), str(runtime), str(events)]
    done = subprocess.run(command, env=environment, cwd=task, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def answer(told: dict[str, Any], name: str) -> tuple[int, Any]:
    """The status and body of the answer to one of REQUESTS."""
    found = told["answers"][list(REQUESTS).index(name)]
    return found["statusCode"], json.loads(found["body"])


def test_the_zip_alone_says_that_it_is_well(told: dict[str, Any]) -> None:
    assert answer(told, "health") == (200, {"status": "ok"})


def test_the_zip_alone_knows_each_dialects_words_for_an_unknown_path(told: dict[str, Any]) -> None:
    assert answer(told, "jobs")[1]["error_code"] == "ENDPOINT_NOT_FOUND"
    assert answer(told, "engines")[1]["errors"][0]["code"] == "not_found"
    assert answer(told, "driver")[1]["message"].startswith("No such path")
    assert {answer(told, name)[0] for name in ("jobs", "engines", "driver")} == {404}


def test_the_zip_alone_refuses_a_token_that_nobody_has(told: dict[str, Any]) -> None:
    status, body = answer(told, "stranger")
    assert (status, body["error_code"]) == (401, "UNAUTHENTICATED")


def test_a_cold_start_compiles_nothing(told: dict[str, Any]) -> None:
    assert told["compiled"] == []


def test_all_of_the_product_imports_from_the_zip_alone(told: dict[str, Any]) -> None:
    assert told["foreign"] == []
    assert told["strangers"] == []


def test_the_zip_has_nothing_that_the_runtime_brings_or_that_is_not_deployed(package: Path) -> None:
    with zipfile.ZipFile(package / ZIP) as opened:
        roots = {name.split("/")[0] for name in opened.namelist()}
    assert roots & set(archive.FOREIGN) == set()
    assert {"app.py", "chalicelib", "chalice", "pydantic", "jwt"} <= roots


def test_the_zip_is_small(package: Path) -> None:
    assert archive.unpacked_size(package / ZIP) <= MOST_UNZIPPED


def test_every_source_in_the_zip_has_its_bytecode(package: Path) -> None:
    tag = sys.implementation.cache_tag
    with zipfile.ZipFile(package / ZIP) as opened:
        names = set(opened.namelist())
    sources = [Path(name) for name in names if name.endswith(".py")]
    missing = [s for s in sources if f"{(s.parent / '__pycache__' / s.stem).as_posix()}.{tag}.pyc" not in names]
    assert missing == []


def test_the_bytecode_names_the_paths_that_lambda_has(task: Path) -> None:
    tag = sys.implementation.cache_tag
    assert b"/var/task/app.py" in (task / "__pycache__" / f"app.{tag}.pyc").read_bytes()


def test_the_drivers_bundle_can_be_made_of_the_zip(task: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-c", "from chalicelib.driver.bundle import bundle; print(len(bundle()))"],
        cwd=task,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert int(done.stdout) > 10_000


def test_the_same_sources_make_the_same_zip(tmp_path: Path) -> None:
    made = []
    for name in ("one", "other"):
        root = tmp_path / name
        (root / "pkg" / "__pycache__").mkdir(parents=True)
        (root / "pkg" / "__init__.py").write_text(
            "WORDS = frozenset({'a', 'b', 'c'})\n\n\ndef f(x):\n    return x in WORDS\n"
        )
        (root / "pkg" / "__pycache__" / "old.pyc").write_bytes(b"stale")
        (root / "main.py").write_text("from pkg import f\n")
        os.utime(root / "main.py", (len(name), len(name)))
        archive.prune(root)
        archive.compile_all(root)
        archive.pack(root, tmp_path / f"{name}.zip")
        made.append((tmp_path / f"{name}.zip").read_bytes())
    assert made[0] == made[1]
    assert b"old.pyc" not in made[0]


def test_a_tree_with_boto3_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "boto3").mkdir()
    with pytest.raises(ValueError, match="boto3"):
        archive.prune(tmp_path)
