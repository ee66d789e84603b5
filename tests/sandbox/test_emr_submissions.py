"""What reaches the driver: configuration, environment, files, and honest refusals."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from emr_support import World, configured, stand_in

from sandbox.aws.emr import launch, spark, sparkr
from sandbox.aws.emr.launch import Machine, cores, heap
from sandbox.aws.emr.submission import BadSubmission, parse

MACHINE = Machine(cores=4, heap=4 << 30)


def properties(world: World, job: str) -> dict[str, str]:
    lines = (world.folder(job) / "spark.properties").read_text().splitlines()
    return {key: value.replace("\\", "") for key, _, value in (line.partition(" ") for line in lines)}


def exports(**variables: str) -> dict:
    """What makes a job's driver have these variables."""
    inner = {"classification": "export", "properties": variables}
    return configured({"classification": "spark-env", "configurations": [inner]})


def submission(parameters: str = "", **defaults: str):
    driver = {"entryPoint": "s3://b/x.py", "sparkSubmitParameters": parameters}
    request = {"jobDriver": {"sparkSubmitJobDriver": driver}}
    request.update(configured({"classification": "spark-defaults", "properties": defaults}))
    return parse(request)


def test_an_option_wins_over_conf_and_conf_over_the_defaults() -> None:
    read = submission("--conf a=2 --conf b=2 -c spark.driver.memory=2g --driver-memory=3g", a="1", b="1", c="1")
    assert dict(read.conf) == {"a": "2", "b": "2", "c": "1", "spark.driver.memory": "3g"}


def test_quotes_in_parameters_hold_words_together() -> None:
    read = submission("""--class org.x.Main --conf "spark.driver.extraJavaOptions=-Da=1 -Db='2 3'" --name 'my run'""")
    assert read.main_class == "org.x.Main"
    assert read.conf["spark.driver.extraJavaOptions"] == "-Da=1 -Db='2 3'"
    assert read.conf["spark.app.name"] == "my run"


@pytest.mark.parametrize("parameters", ["--nonsense 1", "--conf novalue", "--jars", "--conf 'a=1", "--proxy-user me"])
def test_parameters_that_spark_submit_would_not_take_are_refused(parameters: str) -> None:
    with pytest.raises(BadSubmission):
        submission(parameters)


def test_cores_are_those_of_the_executors_or_the_driver_up_to_the_machines() -> None:
    assert cores({}, MACHINE) == 2
    assert cores({"spark.executor.instances": "1"}, MACHINE) == 1
    assert cores({"spark.executor.instances": "1", "spark.driver.cores": "3"}, MACHINE) == 3
    assert cores({"spark.executor.instances": "50", "spark.executor.cores": "8"}, MACHINE) == 4
    assert cores({"spark.executor.instances": "0"}, MACHINE) == 1
    dynamic = {"spark.dynamicAllocation.enabled": "true"}
    assert cores(dynamic, MACHINE) == 4
    assert cores({**dynamic, "spark.dynamicAllocation.maxExecutors": "3"}, MACHINE) == 3
    with pytest.raises(BadSubmission, match="spark.executor.cores is many"):
        cores({"spark.executor.cores": "many"}, MACHINE)


def test_the_heap_is_the_memory_asked_for_up_to_a_share_of_the_machines() -> None:
    assert heap({}, MACHINE) == "1024m"
    assert heap({"spark.driver.memory": "512m", "spark.executor.memory": "1G"}, MACHINE) == "2560m"
    assert heap({"spark.driver.memory": "800"}, MACHINE) == "800m"
    assert heap({"spark.driver.memory": "64g"}, MACHINE) == "4096m"
    with pytest.raises(BadSubmission):
        heap({"spark.driver.memory": "much"}, MACHINE)


def test_a_job_written_for_a_cluster_runs_on_this_machine(world: World) -> None:
    job = world.start(parameters="--master k8s://x --deploy-mode cluster --num-executors 9 --conf spark.x='é = \\n'")
    assert world.await_end(job)["state"] == "COMPLETED"
    conf = properties(world, job)
    assert (conf["spark.master"], conf["spark.submit.deployMode"]) == ("local[2]", "client")
    assert conf["spark.ui.enabled"] == "false"


def test_the_driver_has_the_sandboxs_and_the_jobs_environment_and_not_this_processs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARKPLANE_TOKEN", "secret")
    exports = {"classification": "export", "properties": {"MINE": "a b"}}
    asked = configured({"classification": "spark-env", "configurations": [exports]})
    job = world.start("env; pwd", parameters="--conf spark.kubernetes.driverEnv.OTHER=2", **asked)
    world.await_end(job)
    shown = world.output(job).splitlines()
    assert {"FROM_SANDBOX=yes", "MINE=a b", "OTHER=2", "SPARK_LOCAL_IP=127.0.0.1"} <= set(shown)
    assert f"PYSPARK_PYTHON={world.spark.python}" in shown
    assert not any("SPARKPLANE_TOKEN" in line for line in shown)
    assert shown[-1] == str(world.folder(job) / "work")


def test_files_on_s3_are_brought_to_the_machine(world: World) -> None:
    for name in ("lib/one.jar", "lib/two.jar", "code.zip", "settings.conf"):
        world.put(name, name)
    parameters = (
        "--jars s3://files/lib/one.jar,s3a://files/lib/two.jar --py-files s3://files/code.zip "
        "--files s3://files/settings.conf#here.conf"
    )
    job = world.start("cat here.conf $(sed -n 's/^spark.jars //p' $PROPERTIES | tr ',' ' ')", parameters=parameters)
    assert world.await_end(job)["state"] == "COMPLETED", world.output(job, "stderr")
    assert world.output(job) == "settings.conflib/one.jarlib/two.jar"
    assert properties(world, job)["spark.submit.pyFiles"].endswith("/code.zip")


def test_an_archive_is_unpacked_in_the_working_directory_under_its_alias(world: World) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("bin/tool")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"tool\n"))
    world.s3.put_object(Bucket="files", Key="env.tar.gz", Body=packed.getvalue())
    job = world.start("cat environment/bin/tool", parameters="--archives s3://files/env.tar.gz#environment")
    assert world.await_end(job)["state"] == "COMPLETED"
    assert world.output(job) == "tool\n"


@pytest.mark.parametrize(
    "request_part",
    [
        {"entry_point": "s3://files/absent.py"},
        {"entry_point": "s3://no-such-bucket/absent.py"},
        {"entry_point": "local:///opt/spark/absent.py"},
        {"parameters": "--jars local:///usr/lib/spark/absent.jar"},
        {"parameters": "--py-files s3a://files/absent.zip"},
    ],
)
def test_a_missing_file_is_named_in_the_runs_end(world: World, request_part: dict) -> None:
    ended = world.await_end(world.start(**request_part))
    assert (ended["state"], ended["failureReason"]) == ("FAILED", "USER_ERROR")
    assert "absent" in ended["stateDetails"]


def test_parameters_that_cannot_be_read_end_the_run_as_invalid(world: World) -> None:
    ended = world.await_end(world.start(parameters="--nonsense"))
    assert (ended["state"], ended["failureReason"]) == ("FAILED", "VALIDATION_ERROR")
    assert "--nonsense" in ended["stateDetails"]


def test_a_configuration_that_would_be_ignored_is_refused_instead(world: World) -> None:
    log4j = configured({"classification": "spark-log4j", "properties": {"rootLogger.level": "debug"}})
    ended = world.await_end(world.start(**log4j))
    assert (ended["failureReason"], "spark-log4j" in ended["stateDetails"]) == ("VALIDATION_ERROR", True)


def test_r_programs_need_r_and_say_how_to_have_it(world: World, tmp_path: Path) -> None:
    ended = world.await_end(world.start(entry_point=world.put("a.R", "x"), **exports(PATH=str(tmp_path))))
    assert (ended["state"], ended["failureReason"]) == ("FAILED", "VALIDATION_ERROR")
    assert ended["stateDetails"] == (
        "R programs need R, and there is no Rscript on this machine: apt install r-base-core."
    )


def test_the_sparkr_of_the_spark_that_runs_wins(world: World, tmp_path: Path) -> None:
    r = tmp_path / "Rscript"
    r.write_text("#!/bin/sh\nexit 1\n")
    r.chmod(0o755)
    sparkr = world.spark.path / "R" / "lib" / "SparkR"
    try:
        sparkr.mkdir(parents=True)
        path = exports(PATH=f"{tmp_path}:{os.environ['PATH']}")
        job = world.start(entry_point=world.put("b.R", "echo $SPARK_HOME"), **path)
        assert world.await_end(job)["state"] == "COMPLETED"
        assert world.output(job).strip() == str(world.spark.path)
    finally:
        shutil.rmtree(world.spark.path / "R")


def test_a_program_with_an_r_script_among_its_files_has_sparkr_where_there_is_r(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = f"--files {world.put('main.R', 'x')}"

    def spark_home(**more: str) -> str:
        job = world.start(parameters=asked, entry_point=world.put("launch.py", "echo $SPARK_HOME"), **exports(**more))
        assert world.await_end(job)["state"] == "COMPLETED"
        return world.output(job).strip()

    assert spark_home(PATH=str(tmp_path)) == str(world.spark.path), "it may be no more than a file"
    monkeypatch.setattr(sparkr, "home", lambda *_: tmp_path)
    assert spark_home() == str(tmp_path)


def test_an_r_that_does_not_take_the_package_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    home = replace(stand_in(tmp_path), extra=tmp_path / "cache" / "image")
    r = tmp_path / "bin" / "Rscript"
    (tmp_path / "cache").mkdir()
    r.parent.mkdir()
    r.write_text("#!/bin/sh\necho 'no room' >&2; exit 1\n")
    r.chmod(0o755)
    with pytest.raises(BadSubmission, match="R does not take the sandbox's SparkR: no room"):
        sparkr.home(home, {}, {"PATH": f"{r.parent}:{os.environ['PATH']}"})
    assert not list((tmp_path / "cache").iterdir())
    with pytest.raises(BadSubmission, match="there is no /nowhere/Rscript"):
        sparkr.home(home, {"spark.r.command": "/nowhere/Rscript"}, {})


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="there is no R (apt install r-base-core)")
def test_two_first_r_programs_at_once_install_one_package(tmp_path: Path) -> None:
    home = replace(stand_in(tmp_path), extra=tmp_path / "cache" / "image")
    (tmp_path / "cache").mkdir()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: sparkr.home(home, {}, {}), range(2))
    assert [first] == [second] == list((tmp_path / "cache").iterdir())
    assert {"DESCRIPTION", "profile", "NAMESPACE"} <= {path.name for path in (first / "R/lib/SparkR").iterdir()}
    (tmp_path / "cache" / "image" / "examples").mkdir(parents=True)
    assert (first / "examples").is_dir()
    assert sparkr.home(home, {}, {}) == first


@pytest.mark.parametrize("prefix", ["/opt/ibm/spark", "/opt/spark", "/usr/lib/spark", "local:///opt/ibm/spark"])
def test_paths_in_the_image_mean_the_spark_that_runs(world: World, prefix: str) -> None:
    jar = world.spark.path / "examples" / "jars" / "spark-examples_2.13-4.0.0.jar"
    jar.write_text('echo "$1"')
    job = world.start("", f"{prefix}/examples/jars", entry_point=f"{prefix}/examples/jars/spark-examples*.jar")
    assert world.await_end(job)["state"] == "COMPLETED"
    assert world.output(job).strip() == str(jar.parent)


def test_a_path_does_not_climb_out_of_the_image(world: World) -> None:
    (world.spark.path.parent / "outside.sh").write_text("exit 0")
    assert world.await_end(world.start(entry_point="local:///opt/spark/../outside.sh"))["state"] == "FAILED"


def java_options(tmp_path: Path, *asked: str, **changes: object) -> list[str]:
    home = replace(stand_in(tmp_path), archive=tmp_path / "classes.jsa", **changes)
    command = spark.driver_command(home, memory="1g", java_options=list(asked), submit=[])
    return command[3 : command.index(spark.MASTER_CLASS)]


def test_a_jobs_own_java_options_are_kept_and_win(tmp_path: Path) -> None:
    options = java_options(tmp_path, "-XX:TieredStopAtLevel=4", "-Dmine=1")
    assert options.index("-XX:TieredStopAtLevel=4") > options.index("-XX:TieredStopAtLevel=1")
    assert "-Dmine=1" in options
    assert "-Dspark=1" in options


def test_a_jobs_own_collector_takes_the_place_of_ours(tmp_path: Path) -> None:
    assert "-XX:+UseSerialGC" not in java_options(tmp_path, "-XX:+UseG1GC")


def test_the_archive_is_left_out_where_it_could_not_hold(tmp_path: Path) -> None:
    home = replace(stand_in(tmp_path), archive=tmp_path / "classes.jsa")
    command = spark.driver_command(home, memory="1g", java_options=[], submit=[], class_path="/mine.jar")
    assert not any("SharedArchiveFile" in word for word in command)
    assert command[2].startswith("/mine.jar:")


def test_quick_start_can_be_switched_off(tmp_path: Path) -> None:
    assert not set(java_options(tmp_path, quick=False)) & set(spark.QUICK_OPTIONS)


def test_a_missing_java_is_told_with_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(spark.SetUpError, match="Java 17 or newer"):
        spark.find_java({"PATH": str(tmp_path)})
    with pytest.raises(spark.SetUpError, match="JAVA_HOME is /nowhere"):
        spark.find_java({"JAVA_HOME": "/nowhere"})


def test_an_old_java_is_told_by_its_version(tmp_path: Path) -> None:
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho '    java.version = 1.8.0_402' >&2\n")
    old.chmod(0o755)
    with pytest.raises(spark.SetUpError, match="is Java 8"):
        spark.find_java({"JAVA_HOME": str(tmp_path)})


def test_properties_hold_any_text() -> None:
    assert launch._escaped("a =\t:\\\n é") == "a\\ \\=\\t\\:\\\\\\n\\ \\u00e9"
