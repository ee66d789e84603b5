"""Brings the files that a submission names onto this machine, before Spark is started.

The pyspark package has no S3 file system, so what Spark would fetch itself on EMR is downloaded here: the entry
point, and the files of spark.jars, spark.submit.pyFiles, spark.files and spark.archives when they are on S3. Files in
the image are looked up (`image.py`). Everything else (http, hdfs, …) is left to Spark. As in a driver's pod, files
and unpacked archives appear in the driver's working directory, under the name after `#` where one is given.

Only the program's own files are staged. Data that the program reads or writes by `s3://` reach Spark through
`sandbox.aws.webhdfs`.
"""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.exceptions import ClientError

from sandbox.aws.emr.image import Image
from sandbox.aws.emr.submission import Submission

S3_SCHEMES = ("s3", "s3a", "s3n")
LISTS = ("spark.jars", "spark.submit.pyFiles", "spark.files", "spark.archives")
_GONE = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})


class MissingFile(Exception):
    """A file that the submission names is not there; the text is a sentence that names it."""


class Stager:
    """Stages the files of one job run into `staged` and its working directory."""

    def __init__(self, s3: Callable[[], Any], image: Image, staged: Path, work: Path) -> None:
        self._s3 = s3
        self._image = image
        self._staged = staged
        self._work = work
        self._count = 0

    def stage(self, submission: Submission) -> Submission:
        """The same submission with every file on this machine; raises MissingFile."""
        self._staged.mkdir(parents=True, exist_ok=True)
        self._work.mkdir(parents=True, exist_ok=True)
        conf = dict(submission.conf)
        for key in LISTS:
            items = [item.strip() for item in conf.get(key, "").split(",") if item.strip()]
            if items:
                conf[key] = ",".join(self._listed(key, item) for item in items)
        entry_point = self._local(submission.entry_point, "the entry point")
        arguments = tuple(self._image.argument(argument) for argument in submission.arguments)
        return replace(submission, entry_point=entry_point, arguments=arguments, conf=conf)

    def _listed(self, key: str, item: str) -> str:
        uri, mark, alias = item.partition("#")
        path = self._local(uri, key)
        name = alias or unquote(uri.rstrip("/").rpartition("/")[2])
        if Path(path).is_absolute() and Path(name).name == name and name not in ("", ".", ".."):
            if key == "spark.files" and Path(path).is_file():
                shutil.copy(path, self._work / name)
            elif key == "spark.archives":
                _unpack(Path(path), self._work / name)
        return f"{path}#{alias}" if mark else path

    def _local(self, uri: str, what: str) -> str:
        """Where the file is on this machine; a URI that Spark can fetch itself, and `spark-internal`, stay."""
        parts = urlsplit(uri)
        if parts.scheme in S3_SCHEMES:
            return str(self._download(uri, parts.netloc, uri.split("/", 3)[3:], what))
        if parts.scheme not in ("", "local", "file"):
            return uri
        path = unquote(parts.path) if parts.scheme else uri
        if not path.startswith("/"):
            return uri
        found = self._image.find(path)
        if found is None:
            raise MissingFile(f"The file {uri}, named as {what}, does not exist.")
        return found

    def _download(self, uri: str, bucket: str, rest: list[str], what: str) -> Path:
        key = rest[0] if rest else ""
        if not bucket or not key:
            raise MissingFile(f"{uri}, named as {what}, does not name an object in S3.")
        # A directory for each: two files of the same name must not meet, and Python needs the name as it is.
        target = self._staged / str(self._count) / (key.rstrip("/").rpartition("/")[2] or "object")
        self._count += 1
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            body = self._s3().get_object(Bucket=bucket, Key=key)["Body"]
            with target.open("wb") as file:
                shutil.copyfileobj(body, file, 1 << 20)
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                raise MissingFile(f"The file {uri}, named as {what}, does not exist.") from error
            raise
        return target


def _unpack(archive: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    try:
        if archive.suffix in (".zip", ".jar", ".whl", ".egg"):
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(target)
        else:
            with tarfile.open(archive) as opened:
                opened.extractall(target, filter="tar")
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise MissingFile(f"The archive {archive.name} cannot be unpacked: {error}.") from error
