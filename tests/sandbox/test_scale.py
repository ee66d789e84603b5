"""A workspace at its limits: 12,000 saved jobs and 100,000 past runs, counted on the emulated table."""

from __future__ import annotations

from typing import Any

import pytest

from bench.probe import ask
from chalicelib.dialects.http import ANSWER_MOST

FEW, SOME, MANY = (10, 10), (1_200, 1_000), (12_000, 100_000)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each operation used, while the workspace grew."""
    sizes = [str(number) for pair in (FEW, SOME, MANY) for number in pair]
    found: dict[str, Any] = ask("grow", str(tmp_path_factory.mktemp("grow")), *sizes, timeout=600)
    return found


@pytest.mark.parametrize("name", ["jobs/get", "runs/get", "runs/list"])
def test_a_read_costs_the_same_however_much_there_is(used: dict[str, Any], name: str) -> None:
    few, some, many = (used[f"{name}/{jobs}/{runs}"] for jobs, runs in (FEW, SOME, MANY))
    assert few["calls"] == some["calls"] == many["calls"]
    # A page of ten runs is shorter than one of twenty; from there on nothing grows.
    assert some["read_units"] == many["read_units"] >= few["read_units"] > 0


def test_the_list_of_all_jobs_is_linear_in_jobs(used: dict[str, Any]) -> None:
    some, many = (used[f"jobs/list/{jobs}/{runs}"] for jobs, runs in (SOME, MANY))
    assert many["read_units"] == pytest.approx(10 * some["read_units"], rel=0.1)


def test_the_list_of_all_jobs_is_compressed_and_inside_what_lambda_answers(used: dict[str, Any]) -> None:
    assert 0 < used["jobs/list/12000/100000"]["answer_bytes"] < ANSWER_MOST
