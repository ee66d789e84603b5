"""Ids: time-ordered integers with a text and a UUID form, and no others."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chalicelib.core.ids import (
    EPOCH_MS,
    KINDS,
    MAX_ID,
    RANDOM_BITS,
    UUID_PATTERN,
    cluster_id,
    external_name,
    from_uuid,
    instant_of,
    make_id,
    named_id,
    parse_external_name,
    parse_id,
    run_of_cluster,
    sort_text,
    to_uuid,
)
from tests.unit.fakes import SECRET

ids = st.integers(1, MAX_ID)
kinds = st.sampled_from(KINDS)
workspaces = st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True)


@given(id=ids, kind=kinds, workspace=workspaces)
def test_the_uuid_of_an_id_reads_back_as_the_id_and_fits_the_seeds_pattern(id: int, kind: str, workspace: str) -> None:
    text = to_uuid(id, kind, workspace, SECRET)
    assert UUID_PATTERN.fullmatch(text)
    assert uuid.UUID(text).version == 5
    assert uuid.UUID(text).variant == uuid.RFC_4122
    assert from_uuid(text, kind, workspace, SECRET) == id


@given(id=ids, kind=kinds, other=kinds)
def test_a_uuid_of_another_kind_is_foreign(id: int, kind: str, other: str) -> None:
    assume(kind != other)
    assert from_uuid(to_uuid(id, kind, "main", SECRET), other, "main", SECRET) is None


@given(id=ids, kind=kinds, workspace=workspaces, other=workspaces)
def test_a_uuid_of_another_workspace_or_deployment_is_foreign(id: int, kind: str, workspace: str, other: str) -> None:
    text = to_uuid(id, kind, workspace, SECRET)
    assert from_uuid(text, kind, workspace, b"another key of 32 bytes.........") is None
    assume(workspace != other)
    assert from_uuid(text, kind, other, SECRET) is None


@given(st.uuids().map(str) | st.text(max_size=40))
def test_a_stray_uuid_or_any_other_text_is_foreign(text: str) -> None:
    assert from_uuid(text, "run", "main", SECRET) is None


@given(id=ids, bit=st.integers(0, 127))
def test_a_uuid_with_any_bit_changed_is_foreign(id: int, bit: int) -> None:
    changed = str(uuid.UUID(int=uuid.UUID(to_uuid(id, "run", "main", SECRET)).int ^ 1 << bit))
    assert from_uuid(changed, "run", "main", SECRET) is None


@given(id=ids)
def test_an_upper_case_uuid_is_not_the_seeds_form(id: int) -> None:
    text = to_uuid(id, "run", "main", SECRET).upper()
    assume(not text.islower() and any(c.isalpha() for c in text))
    assert from_uuid(text, "run", "main", SECRET) is None


@given(id=ids)
def test_an_id_reads_back_from_its_decimal_text(id: int) -> None:
    assert parse_id(str(id)) == id
    assert parse_id(sort_text(id)) == id


@pytest.mark.parametrize("text", ["", "0", "-1", "+1", " 1", "1.0", "1e3", "0x1", "١٢٣", str(MAX_ID + 1), "9" * 17])
def test_a_text_that_can_be_no_id_is_none(text: str) -> None:
    assert parse_id(text) is None


@given(first=ids, second=ids)
def test_sort_texts_are_in_the_order_of_the_ids(first: int, second: int) -> None:
    assert (sort_text(first) < sort_text(second)) == (first < second)


@given(at=st.integers(EPOCH_MS, EPOCH_MS + (1 << 41) - 1), draw=st.integers(0, (1 << RANDOM_BITS) - 1))
def test_an_id_is_a_json_number_that_tells_its_instant(at: int, draw: int) -> None:
    id = make_id(at, draw)
    assert 0 <= id <= MAX_ID == 2**53 - 1
    assert instant_of(id) == at


@pytest.mark.parametrize(
    ("at", "draw"), [(EPOCH_MS - 1, 0), (EPOCH_MS + (1 << 41), 0), (EPOCH_MS, -1), (EPOCH_MS, 4096)]
)
def test_an_id_cannot_be_made_out_of_range(at: int, draw: int) -> None:
    with pytest.raises(ValueError):
        make_id(at, draw)


@given(workspace=workspaces, id=ids)
def test_an_external_name_reads_back_and_fits_emrs_limit(workspace: str, id: int) -> None:
    name = external_name(workspace, id)
    assert parse_external_name(name) == (workspace, id)
    assert len(name) <= 64


@pytest.mark.parametrize("name", ["", "main", "main.", ".5", "main.x", "main.0", "somebody's job"])
def test_a_foreign_driver_name_names_no_run(name: str) -> None:
    assert parse_external_name(name) is None


@given(name=st.text(max_size=30))
def test_a_named_things_id_is_stable_and_usable(name: str) -> None:
    assert 0 < named_id("pool", name) <= MAX_ID
    assert named_id("pool", name) == named_id("pool", name)


@given(id=ids)
def test_a_runs_cluster_id_has_databricks_form_and_reads_back_as_the_run(id: int) -> None:
    text = cluster_id(id)
    assert re.fullmatch(r"\d{4}-\d{6}-[0-9a-z]{1,11}", text)
    assert run_of_cluster(text) == id


@pytest.mark.parametrize("text", ["", "-", "1201-my-cluster", "1021-013622-bused793", "0101-000000-", "a" * 40, "１"])
def test_a_text_that_no_run_made_is_no_runs_cluster(text: str) -> None:
    assert run_of_cluster(text) is None
