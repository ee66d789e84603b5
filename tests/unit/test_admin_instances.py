"""The administrator's command for Analytics Engine's instances, over fakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib import admin
from chalicelib.core.ids import UUID_PATTERN, named_id
from chalicelib.core.model import Pool
from tests.unit.cloud import Cloud
from tests.unit.test_admin import cloud, command

__all__ = ["cloud"]
EXAMPLE = Path(__file__).resolve().parents[2] / "infra" / "instances.json"


def written(path: Path, told: Any) -> str:
    path.write_text(told if isinstance(told, str) else json.dumps(told))
    return str(path)


def test_an_instance_is_made_with_its_quota_and_shown(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--name", "etl", "--cores", "20", "--memory", "80Gi", "--spark-version", "3.4", "--conf", "spark.a=b=c"]
    made = command(capsys, "instance", "create", *words)
    assert UUID_PATTERN.fullmatch(made.pop("instance_id"))
    assert made.pop("pool_number") == named_id("pool", "etl")
    assert made == {
        "name": "etl",
        "max_cores": "20",
        "max_memory": "80Gi",
        "spark_version": "3.4",
        "default_configs": {"spark.a": "b=c"},
    }
    assert command(capsys, "instance", "show", "--name", "etl")["max_cores"] == "20"
    listed = command(capsys, "instance", "list")["instances"]
    assert [one["name"] for one in listed] == ["default", "etl"]


def test_an_instance_that_exists_is_not_made_again(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    command(capsys, "instance", "create", "--name", "etl")
    before = cloud.store.snapshot()
    assert admin.main(["instance", "create", "--name", "etl", "--cores", "4"]) == 1
    assert capsys.readouterr().err == "Instance etl exists in workspace main.\n"
    assert cloud.store.records == before


def test_instances_as_code_are_made_then_changed_then_left_alone(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = {"instances": [{"name": "a", "max_cores": "4", "max_memory": "8Gi"}, {"name": "b"}]}
    file = written(tmp_path / "instances.json", told)
    made = command(capsys, "instance", "apply", "--file", file)["instances"]
    assert [one.get("max_cores") for one in made] == ["4", None]
    told["instances"] = [{"name": "a", "max_cores": "2", "default_configs": {"x": "y"}, "spark_version": "3.3"}]
    written(Path(file), told)
    (changed,) = command(capsys, "instance", "apply", "--file", file)["instances"]
    assert (changed["max_cores"], changed["max_memory"], changed["default_configs"]) == ("2", "8Gi", {"x": "y"})
    before = cloud.store.snapshot()
    command(capsys, "instance", "apply", "--file", file)
    assert cloud.store.records == before


def test_the_file_in_infra_is_one_that_can_be_applied(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    (one,) = command(capsys, "instance", "apply", "--file", str(EXAMPLE))["instances"]
    assert (one["name"], one["max_cores"]) == ("default", "20")
    assert isinstance(cloud.store.get(Pool, "main", "default"), Pool)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("{", "it is not JSON"),
        ([], "it is not of the form"),
        ({"instances": [{"name": "a"}, {}]}, "instances[1]: an instance must be an object with a name."),
        ({"instances": ["a"]}, "instances[0]: an instance must be an object with a name."),
        ({"instances": [{"name": 5}]}, "An instance must have a name."),
        ({"instances": [{"name": "a"}, {"name": "a"}]}, "a: the name is there twice."),
        ({"instances": [{"name": "a\nb"}]}, "'a\\nb' cannot be an instance's name."),
        ({"instances": [{"name": "a/b"}]}, "'a/b' cannot be an instance's name."),
        ({"instances": [{"name": "a", "cores": 1}]}, "a: unknown field 'cores'"),
        ({"instances": [{"name": "a", "max_cores": "-1"}]}, "a: max_cores: '-1' is not a number of cores"),
        ({"instances": [{"name": "a"}, {"name": "b", "max_memory": "x"}]}, "b: max_memory: 'x' is not an amount"),
        ({"instances": [{"name": "a", "spark_version": "9.0"}]}, "a: Spark 9.0 is not available. Known versions"),
        ({"instances": [{"name": "a", "default_configs": {"b": {}}}]}, "a: b: expected text, found an object."),
    ],
)
def test_a_file_that_is_wrong_anywhere_changes_nothing(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], tmp_path: Path, told: Any, message: str
) -> None:
    before = cloud.store.snapshot()
    assert admin.main(["instance", "apply", "--file", written(tmp_path / "i.json", told)]) == 1
    assert message in capsys.readouterr().err
    assert cloud.store.records == before
