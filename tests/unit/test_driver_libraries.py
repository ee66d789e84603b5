"""A run's libraries and init scripts, as the bootstrap sets them up: real pip, wheels by hand, an index on loopback."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.driver import archives
from chalicelib.driver.archives import BadArchive, check_wheel, unpack_egg
from chalicelib.driver.bundle import bundle, launch_file
from tests.wheels import archive, egg, index, served, wheel

SHOW = "import sys, os, json\n"
Start = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Start:
    """Runs a program through the bootstrap as spark-submit does, in a process of its own."""

    def start(source: str, *libraries: dict[str, str], **config: Any) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path / "home")}
        environ |= config.pop("environ", {})
        for name in ("tmp", "home", "work"):
            (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / "driver.zip").write_bytes(bundle())
        (tmp_path / "job.py").write_text(SHOW + source)
        whole = {"run": "acme.1", "api": "", "secret": "s3cret", "program": {"uri": f"file://{tmp_path}/job.py"}}
        (tmp_path / "launch.py").write_text(launch_file({**whole, "libraries": list(libraries), **config}))
        command = [sys.executable, str(tmp_path / "launch.py")]
        if config.get("without_pip"):  # as in an image whose Python has the standard library alone
            command[1:1] = ["-S"]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            env={**environ, "PYTHONPATH": str(tmp_path / "driver.zip")},
            cwd=tmp_path / "work",
            check=False,
        )

    return start


def pypi(name: str, repo: str) -> dict[str, str]:
    return {"kind": "pypi", "name": name, "repo": repo, "label": f'pypi {{ package: "{name}" }}'}


def file(kind: str, path: pathlib.Path | str) -> dict[str, str]:
    uri = str(path) if "://" in str(path) else f"file://{path}"
    return {"kind": kind, "name": uri, "label": f'{kind}: "dbfs:/{pathlib.Path(path).name}"'}


def failed(done: subprocess.CompletedProcess[str], label: str, reason: str) -> None:
    """Assert that the run ended for a library, before its program."""
    sentence = f"sparkplane: Library installation failed for library due to user error for {label}. Error messages: "
    assert done.returncode == 1
    assert done.stdout == ""
    assert sentence + reason in done.stderr
    assert "Traceback" not in done.stderr


def test_wheels_packages_and_eggs_are_importable_in_the_program_and_its_children(
    start: Start, tmp_path: pathlib.Path
) -> None:
    needed, package = wheel(tmp_path, "needed", "2.0"), wheel(tmp_path, "asked", "1.1", requires=["needed>=2"])
    own, old = wheel(tmp_path, "own", "3.0"), egg(tmp_path, "old")
    with index(tmp_path, needed, package, wheel(tmp_path, "asked", "1.2")) as repo:
        done = start(
            "import asked, needed, own, old, subprocess\n"
            "print(asked.VERSION, needed.VERSION, own.VERSION, old.VERSION, flush=True)\n"
            "subprocess.run([sys.executable, '-c', 'import asked, old; print(asked.VERSION, old.VERSION)'])\n",
            pypi("asked==1.1", repo),
            file("whl", own),
            file("egg", old),
        )
    assert done.stderr.count("Successfully installed") == 2, done.stderr
    assert done.stdout.splitlines() == ["1.1 2.0 3.0 egg", "1.1 egg"]
    assert list((tmp_path / "tmp").iterdir()) == [], "the run's own libraries are removed at its end"


def test_a_package_that_the_index_lacks_fails_the_run_with_pips_own_words(start: Start, tmp_path: pathlib.Path) -> None:
    with index(tmp_path, wheel(tmp_path, "good")) as repo:
        done = start("print('ran')", pypi("good", repo), pypi("nope==9", repo))
    failed(done, 'pypi { package: "nope==9" }', "Could not find a version that satisfies the requirement nope==9")
    assert "No matching distribution found for nope==9" in done.stderr


def test_libraries_that_cannot_be_installed_together_are_all_named(start: Start, tmp_path: pathlib.Path) -> None:
    wheels = [wheel(tmp_path, "low", requires=["base<2"]), wheel(tmp_path, "high", requires=["base>=2"])]
    with index(tmp_path, *wheels, wheel(tmp_path, "base", "1.0"), wheel(tmp_path, "base", "2.0")) as repo:
        done = start("print('ran')", pypi("low", repo), pypi("high", repo))
    failed(done, 'pypi { package: "low" }, pypi { package: "high" } together', "")
    assert "conflicting dependencies" in done.stderr


def test_a_repository_that_does_not_answer_fails_the_run(start: Start) -> None:
    retries = {"environment": {"PIP_RETRIES": "0"}}
    done = start("print('ran')", pypi("any", "http://127.0.0.1:1/simple"), **retries)
    failed(done, 'pypi { package: "any" }', "Could not find a version that satisfies the requirement any")


BAD_WHEELS: dict[str, tuple[Callable[[pathlib.Path], Any], str]] = {
    "text": (lambda path: path.write_text("not a zip"), "a-1.0-py3-none-any.whl is not a zip archive."),
    "empty": (lambda path: path.write_bytes(b""), "a-1.0-py3-none-any.whl is not a zip archive."),
    "other": (lambda path: archive(path, {"a/b": ""}), "a-1.0-py3-none-any.whl is not a wheel: it has no .dist-info"),
    "climbing": (
        lambda path: archive(path, {"../../etc/x": "", "a-1.0.dist-info/WHEEL": ""}),
        "a-1.0-py3-none-any.whl holds a file that would land outside of it: '../../etc/x'.",
    ),
    "absolute": (
        lambda path: archive(path, {"/etc/x": "", "a-1.0.dist-info/WHEEL": ""}),
        "a-1.0-py3-none-any.whl holds a file that would land outside of it: '/etc/x'.",
    ),
    "drive": (
        lambda path: archive(path, {"C:x": "", "a-1.0.dist-info/WHEEL": ""}),
        "a-1.0-py3-none-any.whl holds a file that would land outside of it: 'C:x'.",
    ),
    "bomb": (
        lambda path: archive(path, {"a-1.0.dist-info/WHEEL": "", "a/big": "0" * 70_000_000}),
        "a-1.0-py3-none-any.whl would unpack to 70000000 bytes, more than 200 times its size; it is not unpacked.",
    ),
}


@pytest.mark.parametrize("case", BAD_WHEELS)
def test_a_wheel_that_is_none_or_unsafe_is_told_before_anything_of_it_is_used(
    case: str, tmp_path: pathlib.Path
) -> None:
    make, reason = BAD_WHEELS[case]
    path = tmp_path / "a-1.0-py3-none-any.whl"
    make(path)
    with pytest.raises(BadArchive) as told:
        check_wheel(str(path))
    assert str(told.value).startswith(reason)


@pytest.mark.parametrize("name", ["a.whl", "a-1.0.whl", "a-1.0-py3.whl", "a 1-1.0-py3-none-any.whl"])
def test_a_wheel_must_be_named_as_one(name: str, tmp_path: pathlib.Path) -> None:
    path = archive(tmp_path / name, {"a-1.0.dist-info/WHEEL": ""})
    with pytest.raises(BadArchive, match="is not named as a wheel is"):
        check_wheel(str(path))
    check_wheel(str(path.rename(tmp_path / "a-1.0-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl")))


def test_links_encrypted_files_and_too_many_files_are_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path / "a-1.0-py3-none-any.whl", {"a-1.0.dist-info/WHEEL": "", "a/b": ""})
    with zipfile.ZipFile(path, "a") as opened:
        link = zipfile.ZipInfo("a/link")
        link.external_attr = 0o120777 << 16
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(BadArchive, match="holds a symbolic link: 'a/link'"):
        check_wheel(str(path))
    monkeypatch.setattr(archives, "ENTRIES_CAP", 2)
    with pytest.raises(BadArchive, match="holds 3 files; at most 2 are unpacked"):
        check_wheel(str(path))
    monkeypatch.setattr(archives, "ENTRIES_CAP", 3)
    monkeypatch.setattr(archives, "UNPACKED_CAP_BYTES", 5)
    with pytest.raises(BadArchive, match="would unpack to 11 bytes; at most 5"):
        check_wheel(str(path))


def test_an_egg_must_be_one(tmp_path: pathlib.Path) -> None:
    with pytest.raises(BadArchive, match=r"a\.egg is not an egg: it has no EGG-INFO"):
        unpack_egg(str(archive(tmp_path / "a.egg", {"a/b.py": ""})), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_bad_wheel_fails_the_run_before_its_program(start: Start, tmp_path: pathlib.Path) -> None:
    bad = archive(tmp_path / "a-1.0-py3-none-any.whl", {"../x": "", "a-1.0.dist-info/WHEEL": ""})
    done = start("print('ran')", file("whl", bad))
    failed(
        done,
        'whl: "dbfs:/a-1.0-py3-none-any.whl"',
        "a-1.0-py3-none-any.whl holds a file that would land outside of it: '../x'.",
    )


def test_a_file_that_cannot_be_had_fails_the_run(start: Start, tmp_path: pathlib.Path) -> None:
    done = start("print('ran')", file("whl", tmp_path / "gone-1.0-py3-none-any.whl"))
    failed(done, 'whl: "dbfs:/gone-1.0-py3-none-any.whl"', "The library file://")
    done = start("print('ran')", {"kind": "egg", "name": "s3://b/x.egg", "label": "egg"})
    failed(done, "egg", "The library s3://b/x.egg was not fetched: there is no x.egg among the files")


def test_a_wheel_of_the_web_is_fetched_by_the_driver(start: Start, tmp_path: pathlib.Path) -> None:
    (tmp_path / "web").mkdir()
    wheel(tmp_path / "web", "far")
    with served(tmp_path / "web") as url:
        done = start("import far; print(far.VERSION)", file("whl", f"{url}/far-1.0-py3-none-any.whl?signature=x"))
        gone = start("print('ran')", file("whl", f"{url}/no-1.0-py3-none-any.whl?signature=x"))
    assert done.stdout == "1.0\n", done.stderr
    label = 'whl: "dbfs:/no-1.0-py3-none-any.whl?signature=x"'
    reason = f"The library {url}/no-1.0-py3-none-any.whl could not be fetched: HTTP status 404."
    failed(gone, label, reason)


def test_sparks_own_packages_are_never_replaced(start: Start, tmp_path: pathlib.Path) -> None:
    wheels = [wheel(tmp_path, "fond", requires=["pyspark"]), wheel(tmp_path, "pyspark", "2.4.0", requires=["py4j"])]
    with index(tmp_path, *wheels, wheel(tmp_path, "py4j", "0.1")) as repo:
        done = start(
            "import fond\nfrom importlib.util import find_spec\n"
            "print([n for n in ('pyspark', 'py4j') if find_spec(n) and 'libraries-' in str(find_spec(n).origin)])",
            pypi("fond", repo),
        )
    assert done.stdout == "[]\n", done.stderr
    assert "sparkplane: pyspark came with a library; the driver keeps Spark's own" in done.stderr


def test_pip_reads_the_machines_configuration_only_when_its_owner_says_so(start: Start, tmp_path: pathlib.Path) -> None:
    with index(tmp_path, wheel(tmp_path, "inhouse")) as repo:
        (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {repo}\nretries = 0\n")
        (tmp_path / "home" / ".config" / "pip").mkdir(parents=True)
        (tmp_path / "pip.conf").rename(tmp_path / "home" / ".config" / "pip" / "pip.conf")
        program, nowhere = "import inhouse; print(inhouse.VERSION)", {"PIP_NO_INDEX": "1"}
        owned = start(program, pypi("inhouse", ""), environ={"SPARKPLANE_PIP_CONFIG": "1"})
        not_owned = start(program, pypi("inhouse", ""), environ=nowhere)
        by_the_run = start(program, pypi("inhouse", ""), environment={"PIP_INDEX_URL": repo})
    assert owned.stdout == "1.0\n", owned.stderr
    failed(not_owned, 'pypi { package: "inhouse" }', "Could not find a version")
    assert by_the_run.stdout == "1.0\n", by_the_run.stderr


def test_without_pip_or_r_a_sentence_says_so(start: Start, tmp_path: pathlib.Path) -> None:
    done = start("print('ran')", pypi("any", ""), environment={}, without_pip=True)
    failed(done, 'pypi { package: "any" }', f"pip is not installed for the driver's Python ({sys.executable}).")
    cran = {"kind": "cran", "name": "geojson", "label": 'cran { package: "geojson" }'}
    done = start("print('ran')", cran, environ={"PATH": "/nonexistent"})
    failed(done, 'cran { package: "geojson" }', "R is not installed where the driver runs: there is no Rscript")


def test_an_r_package_is_installed_into_a_library_of_the_run(start: Start, tmp_path: pathlib.Path) -> None:
    """R itself is not part of the test machine: a program of its name shows what it is asked."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "Rscript"
    fake.write_text(
        '#!/bin/sh\necho "R $3 $5"\n[ "$3" != nope ] || { echo "package nope is not available"; exit 1; }\n'
    )
    fake.chmod(0o755)
    environ = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    good = start("print(os.environ['R_LIBS'])", {"kind": "cran", "name": "geo", "repo": ""}, environ=environ)
    assert "R geo https://cloud.r-project.org" in good.stderr
    assert good.stdout.strip().endswith("/R")
    bad = start("print('ran')", {"kind": "cran", "name": "nope", "label": "cran"}, environ=environ)
    failed(bad, "cran", "package nope is not available")


# Init scripts


def script(path: pathlib.Path, text: str) -> dict[str, str]:
    path.write_text(text)
    return {"uri": f"file://{path}", "label": f"dbfs:/{path.name}"}


def test_init_scripts_run_in_order_with_the_clusters_environment_before_everything(
    start: Start, tmp_path: pathlib.Path
) -> None:
    first = script(tmp_path / "first.sh", 'echo "id=$DB_CLUSTER_ID $STAGE ${BASH_VERSION:+bash}" >> seen\n')
    second = script(tmp_path / "second.sh", "echo to-the-log; echo error >&2; cat seen > copy\n")
    done = start(
        "print(open('copy').read(), os.environ.get('DB_CLUSTER_ID'))",
        init_scripts=[first, second],
        init_environment={"DB_CLUSTER_ID": "0123-a"},
        environment={"STAGE": "test"},
    )
    assert done.stdout == "id=0123-a test bash\n None\n", done.stderr
    assert done.stderr.splitlines()[:2] == ["to-the-log", "error"]


def test_a_failing_init_script_fails_the_run_and_those_after_it_do_not_run(
    start: Start, tmp_path: pathlib.Path
) -> None:
    bad = script(tmp_path / "bad.sh", "echo why; exit 3\n")
    late = script(tmp_path / "late.sh", "touch late\n")
    done = start("print('ran')", init_scripts=[bad, late])
    assert (done.returncode, done.stdout) == (1, "")
    sentence = "Cluster scoped init script dbfs:/bad.sh failed: Script exit status is non-zero"
    assert done.stderr.splitlines() == ["why", f"sparkplane: {sentence}"]
    assert not (tmp_path / "work" / "late").exists()


def test_an_init_script_that_does_not_exist_fails_the_run(start: Start) -> None:
    done = start("print('ran')", init_scripts=[{"uri": "file:///no/such.sh", "label": "dbfs:/such.sh"}])
    assert done.returncode == 1
    assert "Cluster scoped init script dbfs:/such.sh failed: The init script file:///no/such.sh" in done.stderr


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"init_scripts": [{"uri": "file:///no/x.sh"}]}, "sparkplane.InitScript"),
        ({"libraries": [{"kind": "egg", "name": "file:///no/x.egg"}]}, "sparkplane.Library"),
    ],
)
def test_the_report_says_which_part_failed(start: Start, config: dict[str, Any], kind: str) -> None:
    reports: list[Any] = []
    from tests.unit.test_driver_launch import Api

    api = Api()
    try:
        start("print('ran')", api=api.url, **config)
        reports = api.reports
    finally:
        api.close()
    (told,) = reports
    assert (told["exit_code"], told["error"]["type"]) == (1, kind)
    assert json.dumps(told).count("s3cret") == 0
