"""`last_error` on what drivers write: Spark 3.5 and 4.3, java and R, shortened."""

from __future__ import annotations

import pytest

from chalicelib.core.diagnosis import LIMIT, last_error

SHUTDOWN = """\
26/11/21 00:29:32 INFO SparkContext: Invoking stop() from shutdown hook
26/11/21 00:29:32 ERROR Utils: Uncaught exception in thread shutdown-hook-0
java.lang.IllegalStateException: the listener bus is gone
	at org.apache.spark.util.Utils$.tryLogNonFatalError(Utils.scala:1399)
26/11/21 00:29:32 INFO ShutdownHookManager: Shutdown hook called
26/11/21 00:29:32 INFO ShutdownHookManager: Deleting directory /tmp/spark-2c946d6d
"""

UNCAUGHT = """\
26/11/21 00:29:30 INFO SparkContext: Running Spark version 4.3.0
Exception in thread "main" java.lang.IllegalStateException: boom
	at com.acme.App.main(App.java:7)
	at java.base/java.lang.reflect.Method.invoke(Method.java:569)
"""

STAGE_FAILURE = """\
26/11/21 00:29:30 WARN TaskSetManager: Lost task 0.0 in stage 0.0 (TID 0) (executor 1): java.lang.Exception: first
	at com.acme.App.lambda$main$0(App.java:11)
26/11/21 00:29:31 ERROR TaskSetManager: Task 0 in stage 0.0 failed 4 times; aborting job
Exception in thread "main" org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 failed
	at com.acme.App.lambda$main$0(App.java:11)

Driver stacktrace:
	at org.apache.spark.scheduler.DAGScheduler.failJobAndIndependentStages(DAGScheduler.scala:2856)
	Suppressed: java.io.IOException: not this one
	Caused by: java.io.IOException: nor this one
Caused by: java.lang.IllegalArgumentException: amount must not be negative: -3
	at com.acme.App.lambda$main$0(App.java:11)
	... 12 more
"""

PYTHON_IN_WORKER = """\
Traceback (most recent call last):
  File "/tmp/udfboom.py", line 4, in <module>
    spark.range(2).select(udf(lambda i: str(1//0))("id")).collect()
  File "/opt/spark/python/lib/pyspark.zip/pyspark/errors/exceptions/captured.py", line 262, in deco
pyspark.errors.exceptions.captured.PythonException: An exception was thrown from the Python worker:
Traceback (most recent call last):
  File "/tmp/udfboom.py", line 4, in <lambda>
    spark.range(2).select(udf(lambda i: str(1//0))("id")).collect()
                                            ~^^~
ZeroDivisionError: integer division or modulo by zero

"""

CHAINED_PYTHON = """\
Traceback (most recent call last):
  File "x.py", line 2, in <module>
KeyError: 'a'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "x.py", line 4, in <module>
acme.errors.ConfigError: no such setting: a
"""

PY4J = """\
Traceback (most recent call last):
  File "x.py", line 3, in <module>
    spark._jvm.com.acme.Tool.run()
py4j.protocol.Py4JJavaError: An error occurred while calling z:com.acme.Tool.run.
: org.apache.spark.SparkException: Job aborted.
	at com.acme.Tool.run(Tool.java:3)
Caused by: java.io.FileNotFoundException: File s3://lake/in.csv does not exist.
	... 3 more

"""

CONNECTION = """\
Exception in thread "main" java.net.ConnectException: Call From driver to namenode:8020 failed: Connection refused
	at org.apache.hadoop.ipc.Client.call(Client.java:1457)
Caused by: java.net.ConnectException: Connection refused
	... 35 more
"""

NO_MAIN_CLASS = """\
26/11/21 00:30:00 WARN SparkSubmit$$anon$2: Failed to load com.acme.Nope.
java.lang.ClassNotFoundException: com.acme.Nope
	at java.base/java.net.URLClassLoader.findClass(URLClassLoader.java:445)
Error: Failed to load class com.acme.Nope.
"""

LOGGED_EXCEPTION = """\
26/11/21 00:30:00 WARN Client: retrying
java.io.IOException: a warning only
	at com.acme.Client.call(Client.java:1)
26/11/21 00:30:01 ERROR SparkContext: Error initializing SparkContext.
java.io.FileNotFoundException: File file:/tmp/spark-events does not exist
	at org.apache.hadoop.fs.RawLocalFileSystem.getFileStatus(RawLocalFileSystem.java:917)
26/11/21 00:30:01 WARN Client: closing
java.io.IOException: closed
	at com.acme.Client.close(Client.java:9)
"""


@pytest.mark.parametrize(
    ("stderr", "sentence"),
    [
        pytest.param(UNCAUGHT, "java.lang.IllegalStateException: boom", id="an uncaught exception"),
        pytest.param(
            'Exception in thread "main" java.lang.NullPointerException\n\tat A.b(A.java:1)\n',
            "java.lang.NullPointerException",
            id="an exception without a message",
        ),
        pytest.param(
            STAGE_FAILURE, "java.lang.IllegalArgumentException: amount must not be negative: -3", id="a failed stage"
        ),
        pytest.param(
            CONNECTION,
            "java.net.ConnectException: Call From driver to namenode:8020 failed: Connection refused",
            id="a cause that says less than what it caused",
        ),
        pytest.param(NO_MAIN_CLASS, "Error: Failed to load class com.acme.Nope.", id="a main class that is not there"),
        pytest.param(
            'Exception in thread "main" java.lang.NoClassDefFoundError: com/acme/Lib\n\tat A.b(A.java:1)\n'
            "Caused by: java.lang.ClassNotFoundException: com.acme.Lib\n\t... 9 more\n",
            "java.lang.ClassNotFoundException: com.acme.Lib",
            id="a library that is not there",
        ),
        pytest.param(
            LOGGED_EXCEPTION,
            "java.io.FileNotFoundException: File file:/tmp/spark-events does not exist",
            id="an exception that was logged, among warnings",
        ),
        pytest.param(
            "26/11/21 00:30:01 ERROR Inbox: No\njava.lang.OutOfMemoryError: Java heap space\n\tat A.b(A.java:1)\n",
            "java.lang.OutOfMemoryError: Java heap space",
            id="no memory",
        ),
        pytest.param(
            "26/11/21 00:30:01 ERROR Executor: The disk is full\n26/11/21 00:30:02 INFO A: b\n",
            "The disk is full",
            id="a plain error line of the log",
        ),
        pytest.param(PYTHON_IN_WORKER, "ZeroDivisionError: integer division or modulo by zero", id="an error in a UDF"),
        pytest.param(CHAINED_PYTHON, "acme.errors.ConfigError: no such setting: a", id="chained Python errors"),
        pytest.param(
            PY4J, "java.io.FileNotFoundException: File s3://lake/in.csv does not exist.", id="a Java error behind py4j"
        ),
        pytest.param(
            '  File "x.py", line 1\n    x x\n      ^\nSyntaxError: invalid syntax\n',
            "SyntaxError: invalid syntax",
            id="Python that does not parse",
        ),
        pytest.param(
            "/usr/bin/python3.11: can't open file '/nope/x.py': [Errno 2] No such file or directory\n",
            "can't open file '/nope/x.py': [Errno 2] No such file or directory",
            id="Python without its script",
        ),
        pytest.param(
            "Error in library(nope) : there is no package called ‘nope’\nExecution halted\n",
            "Error in library(nope) : there is no package called ‘nope’",
            id="R",
        ),
        pytest.param(
            "Error in handleErrors(returnStatus, conn) : \n  java.lang.IllegalArgumentException: no\nCalls: read.df\n",
            "Error in handleErrors(returnStatus, conn) : java.lang.IllegalArgumentException: no",
            id="R that wraps its line",
        ),
        pytest.param(
            "Error: object 'x' not found\nExecution halted\n", "Error: object 'x' not found", id="R at top level"
        ),
        pytest.param(
            "Invalid maximum heap size: -Xmx0k\nError: Could not create the Java Virtual Machine.\n"
            "Error: A fatal exception has occurred. Program will exit.\n",
            "Invalid maximum heap size: -Xmx0k",
            id="a JVM that refuses its options",
        ),
        pytest.param(
            "Error occurred during initialization of VM\nCould not reserve enough space for object heap\n",
            "Error occurred during initialization of VM: Could not reserve enough space for object heap",
            id="a JVM that cannot start",
        ),
    ],
)
def test_the_sentence_that_tells_why_is_found(stderr: str, sentence: str) -> None:
    assert last_error(stderr) == sentence


@pytest.mark.parametrize("stderr", [UNCAUGHT, NO_MAIN_CLASS, PYTHON_IN_WORKER])
def test_noise_of_the_shutdown_does_not_hide_the_error(stderr: str) -> None:
    assert last_error(stderr + SHUTDOWN) == last_error(stderr) != ""


def test_an_exit_code_that_spark_wraps_in_an_exception_is_not_a_reason() -> None:
    wrapped = 'Exception in thread "main" org.apache.spark.SparkUserAppException: User application exited with 3\n'
    assert last_error(wrapped) == ""
    assert last_error(UNCAUGHT + wrapped) == "java.lang.IllegalStateException: boom"


@pytest.mark.parametrize(
    "stderr",
    ["", "\n\n", "26/11/21 00:29:30 INFO SparkContext: Successfully stopped SparkContext\n", "hello\nError:\n"],
)
def test_a_text_without_an_error_gives_no_sentence(stderr: str) -> None:
    assert last_error(stderr) == ""


def test_colours_and_control_of_length_do_not_reach_the_reader() -> None:
    long = last_error('\x1b[31mException in thread "main" a.b.Oops: ' + "x" * 9_000 + "\x1b[0m\n")
    assert long.startswith("a.b.Oops: xxx")
    assert len(long) == LIMIT


def test_a_tail_that_begins_in_the_middle_of_a_stack_still_gives_its_error() -> None:
    cut = "s.java:445)\n\tat A.b(A.java:1)\n" + UNCAUGHT.split("\n", 1)[1]
    assert last_error(cut) == "java.lang.IllegalStateException: boom"


def test_a_tail_that_begins_below_the_head_of_the_stack_gives_its_innermost_cause() -> None:
    cut = STAGE_FAILURE[STAGE_FAILURE.index("Driver stacktrace") :]
    assert last_error(cut) == "java.lang.IllegalArgumentException: amount must not be negative: -3"
