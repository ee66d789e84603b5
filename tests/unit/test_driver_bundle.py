"""The bundle and the launch file: what the control plane hands to spark-submit."""

from __future__ import annotations

import ast
import io
import json
import pathlib
import subprocess
import sys
import zipfile

import pytest

from chalicelib.driver import bundle as bundle_module
from chalicelib.driver.bundle import bundle, launch_file

ROOM = pathlib.Path(bundle_module.__file__).parent


def test_the_same_sources_give_the_same_bytes() -> None:
    assert bundle() == bundle()


def test_the_bundle_holds_every_module_under_its_own_package_name() -> None:
    names = zipfile.ZipFile(io.BytesIO(bundle())).namelist()
    assert names == sorted(f"sparkplane_driver/{path.relative_to(ROOM).as_posix()}" for path in ROOM.rglob("*.py"))


def test_the_bundle_says_nothing_of_the_machine_that_made_it() -> None:
    entries = zipfile.ZipFile(io.BytesIO(bundle())).infolist()
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert {entry.external_attr >> 16 for entry in entries} == {0o644}


@pytest.mark.parametrize("path", sorted(ROOM.rglob("*.py")), ids=lambda path: path.name)
def test_every_module_parses_as_python_39_and_imports_no_other_room(path: pathlib.Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        assert not [name for name in names if name.split(".")[0] in ("chalicelib", "boto3", "sparkplane_driver")]


def test_starting_imports_nothing_costly(tmp_path: pathlib.Path) -> None:
    (tmp_path / "driver.zip").write_bytes(bundle())
    names = ("pyspark", "py4j", "urllib.request", "http.client", "traceback", "typing", "re", "pathlib", "zipfile")
    code = f"import sys, sparkplane_driver.bootstrap; print([n for n in {names} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(tmp_path / "driver.zip")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


NASTY = '\'); import os; os._exit(9) #\n""" \\ \u2028 {x} {config} é \x00'


def test_a_value_cannot_break_out_of_the_launch_file() -> None:
    config = {"run": NASTY, NASTY: [NASTY, 1, None]}
    text = launch_file(config)
    assert text.isascii()
    literals = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    assert json.loads(next(value for value in literals if isinstance(value, str) and value.startswith("{"))) == config


def test_the_launch_file_does_not_depend_on_the_order_of_its_config() -> None:
    assert launch_file({"a": 1, "b": 2}) == launch_file({"b": 2, "a": 1})


@pytest.mark.parametrize("value", [object(), float("nan")])
def test_what_json_cannot_say_is_refused_when_the_file_is_made(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        launch_file({"run": value})
