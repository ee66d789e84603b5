"""Where a submission's files may come from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import Invalid
from chalicelib.core.model import Files
from chalicelib.core.uris import check_files, check_uri, image_uri
from tests.unit.cloud import spec

SCHEMES = ("s3", "s3a", "https", "local")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/a.py", "S3://bucket/a.py", "s3a://bucket/dir/", "https://example.com/a.jar?version=1",
        "local:///opt/x.jar", "/opt/spark/examples/src/main/python/pi.py", "/opt/ibm/spark/examples/jars/x.jar",
        "s3://bucket/%61.py", "s3://bucket/a..b/c.py",
    ],
)  # fmt: skip
def test_allowed_places_are_allowed(uri: str) -> None:
    check_uri(uri, field="program", schemes=SCHEMES)


@pytest.mark.parametrize(
    "uri",
    [
        "", " ", "file:///etc/passwd", "FILE:/etc/passwd", "/etc/passwd", "/tmp/a.py", "a.py", "../a.py", "hdfs://x/a.py",
        "http://example.com/a.py", "ftp://x/y", "dbfs:/x.jar", "gs://b/x", "/opt/sparkle/a.py", "/opt/spark",
        "/opt/spark/../../etc/passwd", "/opt/spark/%2e%2e/%2E%2E/etc/passwd", "s3://bucket/a/../b.py", "s3:///a.py",
        "https:///a.py", "s3://bucket/a\n.py", "s3://bucket/\x00", "s3://[bucket/a.py", "//host/a.py",
        "s3://bucket/a.jar,file:///etc/passwd",
    ],
)  # fmt: skip
def test_any_other_place_is_refused_with_the_fields_name(uri: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_uri(uri, field="program", schemes=SCHEMES)
    assert refused.value.field == "program"


@given(st.text(max_size=30) | st.text(max_size=20).map(lambda text: f"s3://{text}"))
def test_any_text_at_all_is_allowed_or_refused(uri: str) -> None:
    try:
        check_uri(uri, field="f", schemes=SCHEMES)
    except Invalid:
        return
    assert uri.lower().split(":")[0] in SCHEMES or uri.startswith("/opt/")


def test_a_deployment_may_allow_files() -> None:
    check_uri("/home/me/a.py", field="f", schemes=(*SCHEMES, "file"))
    with pytest.raises(Invalid):
        check_uri("/home/me/../you/a.py", field="f", schemes=(*SCHEMES, "file"))


@pytest.mark.parametrize("attribute", ["jars", "py_files", "files", "archives"])
def test_every_list_of_files_is_checked(attribute: str) -> None:
    good = replace(spec(), files=replace(Files(), **{attribute: ("s3://bucket/x#alias",)}))
    check_files(good, SCHEMES)
    bad = replace(spec(), files=replace(Files(), **{attribute: ("s3://bucket/x", "file:///etc/passwd")}))
    with pytest.raises(Invalid) as refused:
        check_files(bad, SCHEMES, {attribute: "the_dialects_word"})
    assert refused.value.field == "the_dialects_word"


@pytest.mark.parametrize("setting", ["spark.jars", "spark.files", "spark.archives", "spark.submit.pyFiles"])
def test_settings_that_list_files_are_checked_like_the_options(setting: str) -> None:
    check_files(replace(spec(), conf={setting: "s3://b/x.zip#y, s3://b/z"}), SCHEMES)
    with pytest.raises(Invalid):
        check_files(replace(spec(), conf={setting: "s3://b/x, file:///etc/passwd"}), SCHEMES)


def test_paths_of_the_seeds_images_become_paths_of_the_image_that_runs() -> None:
    assert image_uri("/opt/ibm/spark/examples/x.jar").startswith("local:///")
    assert image_uri("/opt/ibm/spark/examples/x.jar") == image_uri("/opt/spark/examples/x.jar")
    assert image_uri("s3://bucket/x.jar") == "s3://bucket/x.jar"
