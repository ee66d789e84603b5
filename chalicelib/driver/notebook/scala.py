"""Scala cells, through the compiler that ships with Spark, in the driver's JVM. Kernel side; Scala 2.13 (Spark 4).

The SparkContext must have been made with `spark.repl.class.outputDir`, where the compiler puts classes and executors
look for them: the driver side sets it for notebooks that have Scala in them.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OUTPUT_CONF = "spark.repl.class.outputDir"
_DECLARED = re.compile(r"(?m)^(?:lazy )?va[lr] (?=\w+: )")


class ScalaError(Exception):
    """What the compiler or the program says is wrong."""


class Interpreter:
    """One interpreter, with `spark` and `sc` in it. Raises RuntimeError where this Spark has none that is known."""

    def __init__(self, spark: Any) -> None:
        self._spark = spark
        self._jvm = jvm = spark.sparkContext._jvm
        directory = spark.sparkContext.getConf().get(OUTPUT_CONF)
        if int(str(spark.version).split(".")[0]) < 4:
            raise RuntimeError(f"Scala cells need Spark 4 or newer; this is Spark {spark.version}.")
        if not directory:
            raise RuntimeError("Scala cells work where the run's own notebook has at least one.")
        settings = jvm.scala.tools.nsc.Settings()
        class_path = jvm.java.lang.System.getProperty("java.class.path")
        settings.processArgumentString(
            f"-Wconf:any:s -Yrepl-class-based -Yrepl-outdir {directory} -classpath {class_path}"
        )
        self._said = jvm.java.io.StringWriter()
        self._printer = jvm.java.io.PrintWriter(self._said, True)
        reporter = jvm.scala.tools.nsc.interpreter.shell.ReplReporterImpl(settings, self._printer)
        self._main = jvm.scala.tools.nsc.interpreter.IMain(settings, reporter)
        self._main.initializeCompiler()
        self._console = getattr(getattr(jvm.scala, "Console$"), "MODULE$")
        for line in _PRELUDE:
            self.run(line)

    def run(self, code: str) -> str:
        """What a cell prints, and what its expressions are. Raises ScalaError."""
        jvm = self._jvm
        jvm.java.lang.Thread.currentThread().setContextClassLoader(self._main.classLoader())
        printed = jvm.java.io.ByteArrayOutputStream()
        stream = jvm.java.io.PrintStream(printed, True, "UTF-8")
        before = self._console.out(), self._console.err()
        self._said.getBuffer().setLength(0)
        self._console.setOutDirect(stream)
        self._console.setErrDirect(stream)
        try:
            status = self._main.interpret(code).toString()
        finally:
            self._console.setOutDirect(before[0])
            self._console.setErrDirect(before[1])
        self._printer.flush()
        said, output = str(self._said.toString()).strip(), str(printed.toString("UTF-8"))
        if status == "Incomplete":
            raise ScalaError(f"{output}The cell ends in the middle of an expression.")
        if status == "Error" and said:
            raise ScalaError(f"{output}{said}")
        return output + _DECLARED.sub("", said) + ("\n" if said else "")


_PRELUDE = (
    (
        "@transient val spark = org.apache.spark.sql.SparkSession.getDefaultSession.get"
        ".asInstanceOf[org.apache.spark.sql.classic.SparkSession]"
    ),
    "@transient val sc = spark.sparkContext",
    "import org.apache.spark.SparkContext._",
    "import spark.implicits._",
    "import spark.sql",
    "import org.apache.spark.sql.functions._",
)
