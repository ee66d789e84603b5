"""The administrator's command, over fakes."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from chalicelib import admin
from chalicelib.core.credentials import digest_of
from chalicelib.core.model import Role, Token, User
from tests.unit.cloud import Cloud


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    made = Cloud()
    monkeypatch.setattr(admin, "wired", lambda: made.ports)
    return made


def command(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """Run the command, which must succeed; its answer."""
    assert admin.main(words) == 0
    return json.loads(capsys.readouterr().out)


def test_a_user_and_its_token_are_made_and_only_the_digest_is_kept(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    command(capsys, "user", "create", "--user", "ada", "--role", "admin")
    text = command(capsys, "token", "create", "--user", "ada", "--days", "1")["token"]
    kept = cloud.store.get(Token, "main", digest_of(text))
    assert (kept.principal, kept.role, kept.expires_at) == ("ada", Role.ADMIN, cloud.clock.time + 86_400_000)
    assert text not in repr(kept)


def test_a_password_is_read_from_standard_input_and_kept_only_derived(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
    command(capsys, "user", "create", "--user", "ada", "--password-stdin")
    assert cloud.store.get(User, "main", "ada").password.startswith("scrypt$")


def test_a_revoked_token_is_gone(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command(capsys, "user", "create", "--user", "ada")
    text = command(capsys, "token", "create", "--user", "ada")["token"]
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    command(capsys, "token", "revoke", "--token-stdin")
    assert cloud.store.get(Token, "main", digest_of(text)) is None


def test_a_pools_limits_and_defaults_change_one_by_one(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    command(capsys, "pool", "set", "--pool", "etl", "--cores", "64", "--memory", "256Gi", "--runs", "4")
    command(capsys, "pool", "set", "--pool", "etl", "--runs", "8", "--conf", "spark.a=1", "--conf", "spark.b=2")
    shown = command(capsys, "pool", "set", "--pool", "etl", "--conf", "spark.a=", "--spark-version", "3.4")
    assert shown["maximum"] == {"cores": 64.0, "memory_gib": 256.0, "gpus": "unlimited", "runs": 8}
    assert (shown["conf"], shown["spark_version"]) == ({"spark.b": "2"}, "3.4")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("token", "create", "--user", "nobody"), "User nobody does not exist."),
        (("pool", "show", "--pool", "none"), "Pool none does not exist."),
        (("pool", "set", "--pool", "etl", "--memory", "lots"), "--memory: 'lots' is not an amount of memory"),
        (("pool", "set", "--pool", "etl", "--conf", "spark.kubernetes.namespace=x"), "is set by the platform"),
        (("pool", "set", "--pool", "etl", "--spark-version", "9.9"), "Spark 9.9 is not available."),
        (("--workspace", "Not One", "user", "create", "--user", "ada"), "is not a workspace name"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence_and_changes_nothing(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    before = cloud.store.snapshot()
    assert admin.main(words) == 1
    assert said in capsys.readouterr().err
    assert cloud.store.snapshot() == before
