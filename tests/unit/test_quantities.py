"""Memory and CPU in every notation that the services' clients write."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import Invalid
from chalicelib.core.quantities import MAX_MIB, format_memory, parse_cpu, parse_memory, whole_cores

GOOD_MEMORY: dict[Any, int] = {
    "512m": 512,
    "4g": 4096,
    "4G": 4096,
    "20Gi": 20_480,
    "1024Mi": 1024,
    "2GB": 2048,
    "2GiB": 2048,
    "1.5g": 1536,
    "1 g": 1024,
    " 1g ": 1024,
    "1t": 1 << 20,
    "1024k": 1,
    "1025k": 2,
    "700": 700,
    700: 700,
}
NOT_MEMORY: list[Any] = [
    "", " ", "-1", "-1g", "0", "0g", "1e99", "1e3m", "g", "Gi", "1x", "1gg", "1 g b", "512b", "1iB", "½g", "٣g",
    "1k", "20KI", "0.5m", "1023k", "nan", "inf", "1,5g", "1.g", ".5g", "1.2.3g", "9" * 5000, "2p", True, None,
    1.5, [], {"a": 1},
]  # fmt: skip
GOOD_CPU: dict[Any, int] = {"1": 1000, 1: 1000, "1.5": 1500, 1.5: 1500, "1000m": 1000, "250m": 250, "0.001": 1}
NOT_CPU: list[Any] = [
    "", "-1", -1, 0, "0", "0m", "1e99", 1e99, float("nan"), float("inf"), "m", "1 m", "1000M", "1k", "0.0001", "0.5m",
    "1,5", "٣", "9" * 5000, 10**7, True, None, [], "1.5.1",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD_MEMORY, ids=str)
def test_memory_is_read_in_all_notations_as_whole_mib(text: Any) -> None:
    assert parse_memory(text, field="f") == GOOD_MEMORY[text]


@pytest.mark.parametrize("text", NOT_MEMORY, ids=lambda text: repr(text)[:12])
def test_what_is_no_amount_of_memory_is_refused_with_the_fields_name(text: Any) -> None:
    with pytest.raises(Invalid) as refused:
        parse_memory(text, field="driver_memory")
    assert refused.value.field == "driver_memory"
    assert "driver_memory" in refused.value.message


@pytest.mark.parametrize("text", GOOD_CPU, ids=repr)
def test_cpu_is_read_in_all_notations_as_whole_millicores(text: Any) -> None:
    assert parse_cpu(text, field="f") == GOOD_CPU[text]


@pytest.mark.parametrize("text", NOT_CPU, ids=lambda text: repr(text)[:12])
def test_what_is_no_number_of_cores_is_refused_with_the_fields_name(text: Any) -> None:
    with pytest.raises(Invalid) as refused:
        parse_cpu(text, field="driver_cores")
    assert refused.value.field == "driver_cores"


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans()))
def test_anything_at_all_is_either_read_or_refused(value: object) -> None:
    for parse in (parse_memory, parse_cpu, whole_cores):
        try:
            assert parse(value, field="f") > 0
        except Invalid:
            pass


@given(st.integers(1, MAX_MIB))
def test_a_formatted_amount_reads_back(mib: int) -> None:
    assert parse_memory(format_memory(mib), field="f") == mib


@pytest.mark.parametrize("text", ["1.5", "500m", 0.5])
def test_spark_is_given_whole_cores_only(text: Any) -> None:
    with pytest.raises(Invalid, match="whole number of cores"):
        whole_cores(text, field="f")
    assert whole_cores("2000m", field="f") == 2


def test_a_number_without_a_unit_counts_in_the_unit_that_is_asked_for() -> None:
    assert parse_memory("4", field="f", bare="g") == 4096
