"""What a kernel does first: join Spark, and put into the namespace what notebooks expect. Kernel side.

`start` is called once, by code that the driver side (`client`) sends before the first cell.
"""

from __future__ import annotations

import os
import sys

from ..libraries import put_on_workers_path
from . import cells, show
from .dbutils import DBUtils, NotebookExit
from .link import Link
from .widgets import Widgets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def start(told: Mapping[str, Any]) -> None:
    """Make the kernel ready.

    told: "socket" (of the broker), "path" and "language" of the notebook, "parameters", "own_session" (whether Spark's
    session is one of its own), "tag" (for its Spark jobs) and "packages" (a directory for what `%pip` installs).
    """
    from IPython import get_ipython

    shell = get_ipython()
    _tolerate(shell.kernel.session)
    Notebook(shell, told).install()


class Notebook:
    """The notebook that this kernel runs: its names, its magics, its way of reading cells."""

    def __init__(self, shell: Any, told: Mapping[str, Any]) -> None:
        self.shell = shell
        self.link = Link(told["socket"])
        self.path = told["path"]
        self.language = told["language"]
        self.packages = told["packages"]
        self.spark = _join_spark(told, self.link) if os.environ.get("PYSPARK_GATEWAY_PORT") else None
        self.widgets = Widgets(told["parameters"])
        self.dbutils = DBUtils(self.link, self.path, self.widgets, self.spark)
        self.scala: Any = None

    def install(self) -> None:
        """Names, magics, and the exception that ends a notebook without being an error."""
        names: dict[str, Any] = {
            "dbutils": self.dbutils,
            "display": show.display,
            "displayHTML": show.displayHTML,
            "getArgument": self.widgets.getArgument,
        }
        if self.spark is not None:
            names.update(_spark_names(self.spark))
        self.shell.push(names, interactive=False)
        self.shell.set_custom_exc((NotebookExit,), lambda shell, kind, value, frames, tb_offset=None: None)
        self.shell.register_magic_function(self.cell, "cell", "sparkplane")
        self.shell.register_magic_function(self._pip, "line", "pip")
        self.shell.input_transformers_cleanup.insert(0, self._translate)
        if os.path.isdir(self.packages):
            sys.path.insert(0, self.packages)

    def _translate(self, lines: list[str]) -> list[str]:
        text = "".join(lines)
        kind, body = cells.read_cell(text, self.language)
        if kind == cells.PYTHON:
            return body.splitlines(keepends=True)
        return [f"get_ipython().run_cell_magic('sparkplane', {kind!r}, {body!r})\n"]

    def cell(self, kind: str, body: str) -> None:
        """Run a cell of any language but Python."""
        __tracebackhide__ = True
        runners = {
            "sql": self._sql, "run": self._run, "sh": self._sh, "fs": self._fs, "scala": self._scala, "r": self._r,
            "md": _markdown, "md-sandbox": _markdown,
        }  # fmt: skip
        runners[kind](body)

    def _sql(self, body: str) -> None:
        __tracebackhide__ = True
        from . import sql

        spark, frame = self._need_spark("%sql"), None
        for statement in sql.statements(body):
            values = self.widgets.getAll()
            text = sql.with_values(statement, values)
            arguments = sql.named(text, values)
            frame = spark.sql(text, args=arguments) if arguments else spark.sql(text)
        if frame is not None:
            self.shell.push({"_sqldf": frame}, interactive=False)
            if frame.columns:
                show.display(frame)

    def _run(self, body: str) -> None:
        """`%run`: the cells of another notebook, here and now, in this namespace."""
        __tracebackhide__ = True
        path, arguments = cells.run_target(body.strip())
        found = self.link.ask("notebook", path=path, base=self.path)
        self.widgets.told(arguments)
        before = self.path, self.language
        self.path, self.language = found["path"], found["language"]
        self.link.ask("entered", path=self.path)
        try:
            for source in found["cells"]:
                self._inline(source)
        finally:
            self.path, self.language = before
            self.link.ask("left")

    def _inline(self, source: str) -> None:
        __tracebackhide__ = True
        import ast

        text = self.shell.transform_cell(source)
        name = self.shell.compile.cache(text, 0)
        tree = ast.parse(text, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(self.shell.compile(tree, name, "exec"), self.shell.user_ns)  # noqa: S102 - running cells is its purpose
        if last is not None:
            exec(self.shell.compile(ast.Interactive([last]), name, "single"), self.shell.user_ns)  # noqa: S102

    def _sh(self, body: str) -> None:
        __tracebackhide__ = True
        from .shell import run_script

        run_script(body)

    def _fs(self, body: str) -> None:
        __tracebackhide__ = True
        from .shell import file_command

        self._need_spark("%fs")
        found = file_command(body.strip(), self.dbutils.fs)
        if isinstance(found, list):
            columns = [("path", "string"), ("name", "string"), ("size", "bigint"), ("modificationTime", "bigint")]
            show.show_table(columns, found)
        elif found is not None:
            print(found)

    def _pip(self, line: str) -> None:
        __tracebackhide__ = True
        from .shell import install

        install(line, self.packages, self.spark)

    def _scala(self, body: str) -> None:
        __tracebackhide__ = True
        from .scala import Interpreter

        if self.scala is None:
            self.scala = Interpreter(self._need_spark("%scala"))
        print(self.scala.run(body), end="")

    def _r(self, body: str) -> None:
        __tracebackhide__ = True
        import shutil
        import subprocess

        program = shutil.which("Rscript")
        if program is None:
            raise RuntimeError("%r: there is no R in this driver's image.")
        done = subprocess.run([program, "-"], input=body.encode(), capture_output=True, check=False)
        print(done.stdout.decode(errors="replace"), end="")
        if done.returncode:
            raise RuntimeError(f"%r: {done.stderr.decode(errors='replace').strip()}")

    def _need_spark(self, what: str) -> Any:
        __tracebackhide__ = True
        if self.spark is None:
            raise RuntimeError(f"{what} needs Spark, which this run has not.")
        return self.spark


def _markdown(body: str) -> None:
    from IPython.display import Markdown
    from IPython.display import display as show_markdown

    show_markdown(Markdown(body))


def _join_spark(told: Mapping[str, Any], link: Link) -> Any:
    """A SparkSession of the JVM that spark-submit has started, whose SparkContext the driver side has made."""
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    gateway = launch_gateway()
    jvm: Any = gateway.jvm
    SparkContext._ensure_initialized(gateway=gateway)
    jsc = jvm.org.apache.spark.api.java.JavaSparkContext.fromSparkContext(
        jvm.org.apache.spark.SparkContext.getOrCreate()
    )
    context = SparkContext(gateway=gateway, jsc=jsc, conf=SparkConf(_jvm=jvm, _jconf=jsc.getConf()))
    context.environment.update(link.ask("worker environment"))
    put_on_workers_path(context)
    session = SparkSession.builder.getOrCreate()
    if told["own_session"]:
        session = session.newSession()
        SparkSession._instantiatedSession = session
    context.addJobTag(told["tag"])
    _quieten()
    return session


def _tolerate(session: Any) -> None:
    """Let a message with half a surrogate pair out, with `?` in its place: a reply that cannot be written would be
    waited for without end."""
    import json

    pack = session.pack

    def packed(message: Any) -> bytes:
        try:
            return bytes(pack(message))
        except UnicodeEncodeError:
            return json.dumps(message, default=str, ensure_ascii=False).encode("utf-8", "replace")

    session.pack = packed


def _quieten() -> None:
    """Spark 4 also logs each of its exceptions as a line of JSON, which a cell would show before the exception."""
    try:
        from pyspark.logger import PySparkLogger
    except ImportError:
        return
    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        PySparkLogger.getLogger(name).disabled = True


def _spark_names(spark: Any) -> dict[str, Any]:
    from pyspark.sql import SQLContext

    return {
        "spark": spark,
        "sc": spark.sparkContext,
        "sqlContext": SQLContext(spark.sparkContext, spark),
        "sql": spark.sql,
    }
