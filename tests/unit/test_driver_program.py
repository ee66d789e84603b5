"""Where the driver looks for the user's program and for the files that its arguments name."""

from __future__ import annotations

import http.server
import pathlib
import threading
from collections.abc import Iterator

import pytest

from chalicelib.driver import program
from chalicelib.driver.program import ProgramNotFound, find_program, map_argument

ROOTS = ["/opt/no-such-spark", "/opt/ibm/no-such-spark"]


@pytest.fixture
def spark_home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    home = tmp_path / "spark"
    (home / "examples").mkdir(parents=True)
    (home / "examples" / "pi.py").write_text("")
    (home / "examples" / "app_2.13-4.3.0.jar").write_text("")
    monkeypatch.setenv("SPARK_HOME", str(home))
    monkeypatch.delenv("SPARKPLANE_IMAGE_OVERLAY", raising=False)
    return home


def nothing_fetched() -> list[str]:
    return []


@pytest.mark.parametrize("form", ["{}", "file://{}", "file:{}", "local://{}", "file://localhost{}"])
def test_a_path_is_found_in_every_way_to_write_it(tmp_path: pathlib.Path, form: str) -> None:
    (tmp_path / "x.py").write_text("")
    assert find_program(form.format(tmp_path / "x.py"), ROOTS, nothing_fetched) == str(tmp_path / "x.py")


def test_a_name_with_a_blank_is_found_literally_and_encoded(tmp_path: pathlib.Path) -> None:
    (tmp_path / "my job.py").write_text("")
    for uri in (f"file://{tmp_path}/my%20job.py", f"file://{tmp_path}/my job.py"):
        assert find_program(uri, ROOTS, nothing_fetched) == str(tmp_path / "my job.py")


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("scheme", ["", "local://", "file://"])
def test_a_path_of_another_image_is_looked_for_in_the_spark_that_runs(
    spark_home: pathlib.Path, root: str, scheme: str
) -> None:
    found = find_program(f"{scheme}{root}/examples/pi.py", ROOTS, nothing_fetched)
    assert found == str(spark_home / "examples" / "pi.py")


def test_an_overlay_comes_before_the_spark_that_runs(
    spark_home: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlay = tmp_path / "overlay"
    (overlay / "examples").mkdir(parents=True)
    (overlay / "examples" / "pi.py").write_text("")
    monkeypatch.setenv("SPARKPLANE_IMAGE_OVERLAY", str(overlay))
    assert find_program(f"{ROOTS[0]}/examples/pi.py", ROOTS, nothing_fetched) == str(overlay / "examples" / "pi.py")
    assert map_argument(f"{ROOTS[0]}/examples/app_*.jar", ROOTS) == str(spark_home / "examples" / "app_2.13-4.3.0.jar")


def test_a_path_outside_the_image_roots_is_not_looked_for_elsewhere(spark_home: pathlib.Path) -> None:
    with pytest.raises(ProgramNotFound, match="/opt/no-such-sparkling/examples/pi.py"):
        find_program("/opt/no-such-sparkling/examples/pi.py", ROOTS, nothing_fetched)


def test_a_pattern_names_one_program_or_none(spark_home: pathlib.Path) -> None:
    assert find_program(f"{ROOTS[0]}/*/p?.py", ROOTS, nothing_fetched) == str(spark_home / "examples" / "pi.py")
    (spark_home / "examples" / "pj.py").write_text("")
    with pytest.raises(ProgramNotFound, match="matches 2 files"):
        find_program(f"{ROOTS[0]}/*/p?.py", ROOTS, nothing_fetched)


def test_a_directory_is_not_a_program(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ProgramNotFound, match="is not a file"):
        find_program(str(tmp_path), ROOTS, nothing_fetched)


def test_arguments_are_mapped_only_where_something_stands_in(spark_home: pathlib.Path) -> None:
    pi = str(spark_home / "examples" / "pi.py")
    assert map_argument(f"{ROOTS[0]}/examples/pi.py", ROOTS) == pi
    assert map_argument(f"local://{ROOTS[1]}/examples/pi.py", ROOTS) == f"local://{pi}"
    assert map_argument(f"{ROOTS[0]}/examples/*", ROOTS) == str(spark_home / "examples" / "*")
    for untouched in (f"{ROOTS[0]}/examples/no.txt", "s3://opt/no-such-spark/x", "--n=3", "", "12:30", pi, "[a-z]*"):
        assert map_argument(untouched, ROOTS) == untouched


def test_an_argument_that_exists_is_left_alone(spark_home: pathlib.Path, tmp_path: pathlib.Path) -> None:
    root = tmp_path / "image"
    (root / "examples").mkdir(parents=True)
    (root / "examples" / "pi.py").write_text("")
    assert map_argument(f"{root}/examples/pi.py", [str(root)]) == f"{root}/examples/pi.py"


def test_a_remote_program_is_taken_from_the_working_directory(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.py").write_text("")
    (tmp_path / "y.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert find_program("s3://bucket/dir/x.py", ROOTS, nothing_fetched) == str(tmp_path / "x.py")
    assert find_program("s3a://bucket/dir/x.py#y.py", ROOTS, nothing_fetched) == str(tmp_path / "y.py")


def test_a_remote_program_is_taken_from_what_spark_submit_fetched(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fetched").mkdir()
    (tmp_path / "fetched" / "x.py").write_text("")
    monkeypatch.chdir(tmp_path)
    fetched = ["file:///gone/x.py", f"file://{tmp_path}/fetched/other.py", f"file://{tmp_path}/fetched/x.py"]
    assert find_program("s3://bucket/dir/x.py", ROOTS, lambda: fetched) == str(tmp_path / "fetched" / "x.py")


def test_a_remote_program_that_was_not_fetched_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProgramNotFound, match=r"s3://bucket/dir/x\.py"):
        find_program("s3://bucket/dir/x.py", ROOTS, nothing_fetched)


class _Files(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        body = {"/dir/job.py": b"print(1)\n", "/big.py": b"#" * 2_000}.get(path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_program_on_the_web_is_fetched_under_its_own_name(web: str) -> None:
    path = pathlib.Path(find_program(f"{web}/dir/job.py?signature=abc", ROOTS, nothing_fetched))
    assert (path.name, path.read_text()) == ("job.py", "print(1)\n")


def test_a_program_on_the_web_that_is_missing_is_named_without_its_signature(web: str) -> None:
    with pytest.raises(ProgramNotFound, match="404") as caught:
        find_program(f"{web}/dir/no.py?signature=abc", ROOTS, nothing_fetched)
    assert "/dir/no.py" in str(caught.value)
    assert "abc" not in str(caught.value)


def test_a_program_on_the_web_has_a_largest_size(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "DOWNLOAD_CAP_BYTES", 1_999)
    with pytest.raises(ProgramNotFound, match="larger than"):
        find_program(f"{web}/big.py", ROOTS, nothing_fetched)


def test_a_host_that_does_not_answer_is_a_missing_program() -> None:
    with pytest.raises(ProgramNotFound, match=r"https://127\.0\.0\.1:9/x\.py could not be fetched"):
        find_program("https://127.0.0.1:9/x.py", ROOTS, nothing_fetched)
