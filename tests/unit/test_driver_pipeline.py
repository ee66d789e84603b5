"""The driver's part of pipelines, as far as it needs no Spark."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chalicelib.driver import dlt, pipeline

spark: Any = None


def _stream() -> Any:
    return spark.readStream.table("a")


def _helper() -> Any:
    return _stream()


def reads() -> Any:
    return dlt.read("a")


def reads_a_stream() -> Any:
    return dlt.read_stream("a")


def reads_one_within() -> Any:
    def within() -> Any:
        return spark.readStream.table("a")

    return within()


def reads_one_by_a_helper() -> Any:
    return _helper()


def calls_itself() -> Any:
    return calls_itself()


@pytest.mark.parametrize(
    ("query", "streams"),
    [(reads, False), (reads_a_stream, True), (reads_one_within, True), (reads_one_by_a_helper, True),
     (calls_itself, False)],
)  # fmt: skip
def test_a_table_is_a_streaming_one_if_its_query_reads_a_stream(query: Callable[[], Any], streams: bool) -> None:
    assert dlt.reads_stream(query) is streams


@pytest.mark.parametrize(("name", "plain"), [("LIVE.a", "a"), ("live.a", "a"), ("a", "a"), ("lively", "lively")])
def test_the_schema_live_is_the_pipelines_own(name: str, plain: str) -> None:
    assert dlt._plain(name) == plain


def test_the_runner_is_told_the_pipeline_in_its_own_words() -> None:
    told = {"name": "p", "storage": "s3://b/p", "catalog": "", "schema": "gold", "configuration": {"a": "b"}}
    assert pipeline._spec(told) == {
        "name": "p",
        "storage": "s3://b/p",
        "database": "gold",
        "configuration": {"a": "b"},
        "libraries": [{"glob": {"include": "sources/**"}}],
    }


def test_two_sources_of_one_name_do_not_meet(tmp_path: Path) -> None:
    pipeline._write_sources(None, [{"name": "a.py", "text": "1"}, {"name": "a.py", "text": "2"}], str(tmp_path))
    assert sorted(file.read_text() for file in tmp_path.rglob("a.py")) == ["1", "2"]


def test_what_ended_without_a_word_is_told_by_its_exit_code(tmp_path: Path) -> None:
    assert "exit code -9" in pipeline._error(str(tmp_path / "none"), -9)["message"]
    (tmp_path / "error.json").write_text(json.dumps({"type": "ValueError", "message": "no"}))
    assert pipeline._error(str(tmp_path / "error.json"), 1)["type"] == "ValueError"
