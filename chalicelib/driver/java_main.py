"""Runs a main class in the JVM that spark-submit has started, and says how it ended. Used by `bootstrap` for JAR and R
programs that something is prepared for.

The class finds what spark-submit itself would give it: its jars in the context class loader, and a thread called "main"
that is no daemon, so threads that it starts keep the JVM alive. Its output is the JVM's own. Once main has returned, a
SparkContext that it left open is stopped, as in any driver on Kubernetes. System.exit ends the JVM with its code, and a
signal as ever; only that the JVM waits then until this Python has done what is to be done last, and has ended.
"""

from __future__ import annotations

import os
import socket
import threading

from .console import say
from .execute import Outcome, describe_text
from .jvm import array, bound, method, open_gateway
from .program import ProgramNotFound, fetched_by_spark_submit, find_program, is_in_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

R_RUNNER = "org.apache.spark.deploy.RRunner"
CLASS_NOT_FOUND = 101
"""spark-submit's exit code for a main class that cannot be loaded."""

LOOK_SECONDS = 0.5
_ENDS = "java.util.concurrent.CancellationException"
_EXIT = "org.apache.spark.SparkUserAppException"
_NOT_LOADED = ("java.lang.ClassNotFoundException", "java.lang.NoClassDefFoundError")
_WRAPPERS = (
    "java.util.concurrent.ExecutionException",
    "java.lang.reflect.InvocationTargetException",
    "java.lang.reflect.UndeclaredThrowableException",
)


def run_java_program(
    program: Mapping[str, Any], arguments: Sequence[str], roots: Sequence[str], started: Callable[[str, str, str], None]
) -> Outcome:
    """Run a program of "language" "jar" or "r": a JAR's "main_class", or else the one that its manifest names.

    `started(application_id, spark_version, name)` is called when its SparkContext is up. What the program raises is an
    Outcome; of an R script that fails and of a JVM that ends before main does, its exit status and log tell, and no
    report. A JVM that is gone without a word takes this Python with it. Raises ProgramNotFound.
    """
    gateway = open_gateway()
    if gateway is None:
        raise ProgramNotFound(f"The program {program['uri']} needs the JVM of spark-submit, and there is none.")
    if program["language"] == "r":
        script = find_program(program["uri"], roots, fetched_by_spark_submit)
        return _run(gateway, R_RUNNER, [script, *arguments], started)
    return _run(gateway, _main_class(gateway.jvm, program, roots), arguments, started)


def _main_class(jvm: Any, program: Mapping[str, Any], roots: Sequence[str]) -> str:
    """The name of the main class, whose jar is on the class path then. Raises ProgramNotFound.

    A jar of the image is put there now, and into `spark.jars` for the executors; others spark-submit has fetched.
    """
    uri, named, path = program["uri"], str(program.get("main_class") or ""), ""
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    if uri and is_in_image(uri):
        path = find_program(uri, roots, tuple)
        loader.addURL(jvm.java.io.File(path).toURI().toURL())
        system = jvm.java.lang.System
        jars = [system.getProperty("spark.jars"), f"local:{path}"]
        system.setProperty("spark.jars", ",".join(jar for jar in jars if jar))
    elif not named:
        path = find_program(uri, roots, lambda: [url.toString() for url in loader.getURLs()])
    return named or _of_manifest(jvm, path, uri)


def _of_manifest(jvm: Any, path: str, uri: str) -> str:
    try:
        with_manifest = jvm.java.util.jar.JarFile(path)
        manifest = with_manifest.getManifest()
        named = manifest.getMainAttributes().getValue("Main-Class") if manifest else None
        with_manifest.close()
    except _py4j().Py4JJavaError as error:
        raise ProgramNotFound(f"The program {uri} is no jar: {error.java_exception.getMessage()}.") from None
    if not named:
        raise ProgramNotFound(f"The program {uri} names no main class in its manifest, and none was given.")
    return str(named)


def _run(gateway: Any, main_class: str, arguments: Sequence[str], started: Callable[[str, str, str], None]) -> Outcome:
    over = threading.Event()
    threading.Thread(target=_watch, args=(gateway.jvm, started, over), name="sparkplane-watch", daemon=True).start()
    try:
        thrown = _call_main(gateway, main_class, arguments)
        outcome = _failed(gateway.jvm, main_class, thrown) if thrown else Outcome(SystemExit(0))
    except _py4j().Py4JJavaError as error:
        if _name(error.java_exception) == _ENDS:
            _ending.append(gateway)
            return Outcome(SystemExit(0), silent=True)
        outcome = _failed(gateway.jvm, main_class, error.java_exception)
    except (_py4j().Py4JError, OSError):
        os._exit(1)  # the JVM was killed, and nobody waits
    finally:
        over.set()
    _stop_spark(gateway.jvm)
    return outcome


def _call_main(gateway: Any, main_class: str, arguments: Sequence[str]) -> Any:
    """Call a class's main in a thread of its own, and wait for its end, or the JVM's. What it raises, or what is wrong
    with it, is a Throwable that is returned, or raised within a Py4JJavaError; Py4JError for a JVM that is gone."""
    java = gateway.jvm.java
    words = array(gateway, java.lang.String, arguments)
    main = method(gateway, main_class, "main", [words.getClass()])
    if not java.lang.reflect.Modifier.isStatic(main.getModifiers()):
        return java.lang.IllegalStateException("The main method in the given main class must be static")
    task = java.util.concurrent.FutureTask(bound(gateway, "java.util.concurrent.Callable", main, [words]))
    _be_waited_for(gateway, task)
    thread = java.lang.Thread(task, "main")
    thread.setDaemon(False)
    thread.start()
    task.get()
    return None


_held: list[Any] = []
"""What lives as long as this Python: the connection by whose end the JVM sees it end."""


def _be_waited_for(gateway: Any, task: Any) -> None:
    """Have the JVM, when it ends, give up waiting for `task`, and wait for the end of this Python."""
    java = gateway.jvm.java
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream = java.net.Socket("127.0.0.1", server.getsockname()[1]).getInputStream()
        _held.append(server.accept()[0])
    cancel = method(gateway, "java.util.concurrent.FutureTask", "cancel", [java.lang.Boolean.TYPE])
    read = method(gateway, "java.io.InputStream", "read", [])
    for called, arguments in ((cancel, [task, False]), (read, [stream])):
        hook = java.lang.Thread(bound(gateway, "java.lang.Runnable", called, arguments))
        java.lang.Runtime.getRuntime().addShutdownHook(hook)


def halt(code: int) -> None:
    """End a JVM that is ending, and waits for this Python, with another exit code than its own."""
    for gateway in _ending:
        try:
            gateway.jvm.java.lang.Runtime.getRuntime().halt(code)
        except (_py4j().Py4JError, OSError):
            return


_ending: list[Any] = []
"""The gateway to a JVM that ends by itself."""


def _failed(jvm: Any, main_class: str, thrown: Any) -> Outcome:
    """How a Throwable ends the run, as spark-submit would have it: shown where the JVM shows one that nobody caught."""
    while _name(thrown) in _WRAPPERS and thrown.getCause() is not None:
        thrown = thrown.getCause()
    kind = _name(thrown)
    if kind == _EXIT:  # what RRunner throws; what R has said is in the log
        return Outcome(SystemExit(int(thrown.exitCode())), silent=True)
    text, message = _stack_trace(jvm, thrown), str(thrown.getMessage() or "")
    if kind in _NOT_LOADED and message.replace("/", ".") == main_class:
        sentence = f"Failed to load class {main_class}."
        say(sentence)
        return Outcome(SystemExit(CLASS_NOT_FOUND), describe_text("ProgramNotFound", sentence))
    thread = jvm.java.lang.Thread.currentThread()
    thread.setName("main")
    thread.getThreadGroup().uncaughtException(thread, thrown)
    return Outcome(SystemExit(1), describe_text(kind, message, text))


def _name(thrown: Any) -> str:
    return str(thrown.getClass().getName())


def _stack_trace(jvm: Any, thrown: Any) -> str:
    written = jvm.java.io.StringWriter()
    thrown.printStackTrace(jvm.java.io.PrintWriter(written))
    return str(written.toString())


def _watch(jvm: Any, started: Callable[[str, str, str], None], over: threading.Event) -> None:
    """Wait for the program's first SparkContext and tell of it, unless the program is over before."""
    while not over.wait(LOOK_SECONDS):
        try:
            active = _active_context(jvm)
            if active is not None:
                return started(str(active.applicationId()), str(active.version()), str(active.appName()))
        except (_py4j().Py4JError, OSError):
            return None
    return None


def _active_context(jvm: Any) -> Any:
    found = getattr(getattr(jvm, "org.apache.spark.SparkContext$"), "MODULE$").getActive()
    return found.get() if found.isDefined() else None


def _stop_spark(jvm: Any) -> None:
    try:
        context = _active_context(jvm)
        if context is not None:
            context.stop()
    except (_py4j().Py4JError, OSError) as error:
        say(f"Spark did not stop cleanly: {type(error).__name__}")


def _py4j() -> Any:
    from importlib import import_module

    return import_module("py4j.protocol")
