"""Why a driver failed, in one sentence, from the tail of what it wrote to standard error.

The control plane calls `last_error` for programs that start natively (JVM, R) and for Python programs that ended
without a report. The text is a log that anyone's code may have written to, so this is a reading of conventions:
spark-submit's `Error: …`, the JVM's uncaught exceptions, Python's tracebacks, R's `Error in …`, and last of all
log4j's ERROR lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

LIMIT = 2_000

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# A class's full name, or Python's short one, and what it says: `java.lang.IllegalStateException: boom`.
_JAVA_ERROR = re.compile(r"(?:[a-z_][\w$]*\.)+[A-Z][\w$]*(?::.*|$)")
_PYTHON_ERROR = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Warning|Exit)(?::.*|$)")
_UNCAUGHT = re.compile(r'Exception in thread "(?P<thread>[^"]*)" (?P<error>\S.*)')
_R_ERROR = re.compile(r"Error in .+ : ?.*")
_LOG_LINE = re.compile(r"\S+ \S+ (?P<level>TRACE|DEBUG|INFO|WARN|ERROR|FATAL) (?P<source>[^\s:]+): ?(?P<text>.*)")
_NO_SCRIPT = re.compile(r"\S*python[\d.]*: can't open file ")
_CAUSE = "Caused by: "
_TRACEBACK = "Traceback (most recent call last):"
_EPILOGUE = "Error: A fatal exception has occurred. Program will exit."
_MAIN_THREADS = ("main", "Driver")
# Once Spark stops, what follows it (lost connections, interrupted threads) is consequence, not cause.
_STOPPING = ("Invoking stop() from shutdown hook", "Shutdown hook called")
# Said for every failed Python or R program: true and useless.
_EMPTY_WORDS = ("org.apache.spark.SparkUserAppException",)

_Rule = Callable[[Sequence[str], int], str]


def last_error(stderr_tail: str) -> str:
    """The sentence that best says why the driver ended, at most `LIMIT` characters on one line; empty if none is found.

    An error that ends a program (uncaught, or spark-submit's own) counts before one that was only thrown or logged, and
    within each kind the last one counts. Of a chain of causes the innermost is told, unless its outer one says
    the same with more words.
    """
    lines = [_ANSI.sub("", line).rstrip() for line in stderr_tail.splitlines()]
    for rules in ((_uncaught, _traceback, _submit, _r), (_other_thread, _thrown), (_logged,)):
        searched = lines if _uncaught in rules else _before_stopping(lines)
        found = _last(searched, rules)
        if found:
            return " ".join(found.split())[:LIMIT]
    return ""


def _last(lines: Sequence[str], rules: Sequence[_Rule]) -> str:
    for index in reversed(range(len(lines))):
        for rule in rules:
            found = rule(lines, index)
            if found and not found.startswith(_EMPTY_WORDS):
                return found
    return ""


def _before_stopping(lines: Sequence[str]) -> Sequence[str]:
    for index, line in enumerate(lines):
        if any(sign in line for sign in _STOPPING):
            return lines[:index]
    return lines


def _uncaught(lines: Sequence[str], index: int) -> str:
    match = _UNCAUGHT.match(lines[index])
    return _innermost(lines, index, match["error"]) if match and match["thread"] in _MAIN_THREADS else ""


def _other_thread(lines: Sequence[str], index: int) -> str:
    match = _UNCAUGHT.match(lines[index])
    return _innermost(lines, index, match["error"]) if match else ""


def _traceback(lines: Sequence[str], index: int) -> str:
    """The line below a traceback's frames. py4j puts the JVM's own error on the line after, behind a colon."""
    if lines[index] != _TRACEBACK:
        return ""
    for below in range(index + 1, len(lines)):
        line = lines[below]
        if line and not line.startswith(" "):
            java = lines[below + 1] if below + 1 < len(lines) else ""
            return _innermost(lines, below + 1, java[2:]) if java.startswith(": ") else line
    return ""


def _submit(lines: Sequence[str], index: int) -> str:
    """`Error: …` of spark-submit, java and R. Of a JVM that cannot start, the reason stands one line above."""
    line = lines[index]
    if line.startswith("Error: Could not create the Java Virtual Machine") and index:
        return lines[index - 1]
    if line.startswith("Error occurred during initialization of VM"):
        return " ".join([line + ":", *lines[index + 1 : index + 2]])
    if line.startswith("# There is insufficient memory for the Java Runtime Environment"):
        return line[2:]
    if _NO_SCRIPT.match(line):
        return line.partition(": ")[2]
    return line if line.startswith("Error: ") and not line.startswith(_EPILOGUE) else ""


def _r(lines: Sequence[str], index: int) -> str:
    """R wraps: a call that fills its line has its message, indented, on the next."""
    line = lines[index]
    if not _R_ERROR.match(line + " "):
        return ""
    message = lines[index + 1 : index + 2] if line.endswith(":") else []
    return " ".join([line, *message])


def _thrown(lines: Sequence[str], index: int) -> str:
    """An exception at the start of a line, or of a log line's text, with its frames around it."""
    match = _LOG_LINE.match(lines[index])
    if match and match["level"] not in ("ERROR", "FATAL"):
        return ""
    text = match["text"] if match else lines[index]
    # A cause alone: the head of this stack was cut off, or is nothing that this function knows.
    text = text.removeprefix(_CAUSE)
    if _JAVA_ERROR.match(text) and _is_frame(lines, index + 1):
        return "" if _below_a_warning(lines, index) else _innermost(lines, index, text)
    above = lines[index - 1] if index else ""
    return text if _PYTHON_ERROR.match(text) and above.startswith("    ") else ""


def _logged(lines: Sequence[str], index: int) -> str:
    match = _LOG_LINE.match(lines[index])
    return match["text"] if match and match["level"] in ("ERROR", "FATAL") else ""


def _is_frame(lines: Sequence[str], index: int) -> bool:
    return index < len(lines) and lines[index].lstrip().startswith(("at ", "..."))


def _below_a_warning(lines: Sequence[str], index: int) -> bool:
    """Whether the exception belongs to a log line that only warns: the program went on."""
    match = _LOG_LINE.match(lines[index - 1]) if index else None
    return match is not None and match["level"] not in ("ERROR", "FATAL")


def _innermost(lines: Sequence[str], index: int, outer: str) -> str:
    """The last `Caused by` of the stack that starts at `index`, or `outer` if that has the same class and says more."""
    inner = ""
    for line in lines[index + 1 :]:
        if _LOG_LINE.match(line) or _UNCAUGHT.match(line) or line == _TRACEBACK:
            break
        if line.startswith(_CAUSE):  # indented, it would be the cause of a suppressed exception
            inner = line[len(_CAUSE) :]
    if not inner or (_class_of(inner) == _class_of(outer) and len(outer) > len(inner)):
        return outer
    return inner if ":" in inner or ":" not in outer else outer


def _class_of(error: str) -> str:
    return error.partition(":")[0]
