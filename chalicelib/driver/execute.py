"""Runs a Python file as `__main__`, as `python file.py` would, and says how it ended. Used by `bootstrap`.

The program finds sys.argv, sys.path[0], `__file__` and an empty `__main__` module as usual, and its tracebacks begin
in its own file. Python's own way of ending is kept: this module only looks at SystemExit, and prints a traceback
through sys.excepthook; waiting for threads and calling what is registered with atexit remains the interpreter's
affair.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType, TracebackType
    from typing import Any

MESSAGE_CHARACTERS = 2_000
TRACEBACK_CHARACTERS = 8_000


class Outcome:
    """How a program ended.

    `exit` is the SystemExit to leave with, `exit_code` what the process will end with (0 to 255), and `error` what went
    wrong ({"type", "message", "traceback"}) or None. `facts` is what else the last report says. Of a `silent` one
    nothing is reported: the process's exit status and its log say it better.
    """

    def __init__(
        self,
        exit: SystemExit,
        error: dict[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
        *,
        silent: bool = False,
    ) -> None:
        self.exit = exit
        self.exit_code = _exit_code(exit.code)
        self.error = error
        self.facts = dict(facts or {})
        self.silent = silent


def run_main(path: str, arguments: Sequence[str]) -> Outcome:
    """Run the file at the absolute `path` as `__main__`. Never raises: every end is an Outcome.

    A sys.exit of a text counts as an error with that text; of a number, as no error but its code.
    """
    module = _fresh_main(path)
    sys.argv[:] = [path, *arguments]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    try:
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 - running the user's program is what this is for
    except SystemExit as exit:
        said = None if exit.code is None or isinstance(exit.code, int) else str(exit.code)
        return Outcome(exit, said and describe_text("SystemExit", said) or None)
    except BaseException as error:  # noqa: BLE001 - shown and reported
        return _failed(error)
    return Outcome(SystemExit(0))


def describe_text(kind: str, message: str, traceback: str = "") -> dict[str, str]:
    """An error as the control plane takes it: the head of its message, the tail of its traceback."""
    return {
        "type": kind,
        "message": message[:MESSAGE_CHARACTERS],
        "traceback": traceback[-TRACEBACK_CHARACTERS:],
    }


def describe(error: BaseException, frames: TracebackType | None) -> dict[str, str]:
    """`error` for a report. Its own __str__ may fail; that must not hide the rest."""
    import traceback

    try:
        message = str(error)
    except Exception as second:  # noqa: BLE001 - the user's __str__
        message = f"<the error's text is not available: {type(second).__name__}>"
    try:
        text = "".join(traceback.format_exception(type(error), error, frames))
    except Exception as second:  # noqa: BLE001 - the user's __str__
        text = f"<the traceback is not available: {type(second).__name__}>"
    return describe_text(type(error).__name__, message, text)


def _failed(error: BaseException) -> Outcome:
    """Show an uncaught exception as Python does; the frame that stands for this module is taken off first."""
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    error.__traceback__ = frames
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, frames
    described = describe(error, frames)
    try:
        sys.excepthook(type(error), error, frames)
    except SystemExit as exit:
        return Outcome(exit, described)
    except BaseException as second:  # noqa: BLE001 - the user's excepthook; shown as Python does
        _show_both(second, error)
    return Outcome(SystemExit(130 if isinstance(error, KeyboardInterrupt) else 1), described)


def _show_both(second: BaseException, error: BaseException) -> None:
    """What Python prints when sys.excepthook itself fails with `second`; nothing if there is nowhere to print to."""
    for heading, shown in (("Error in sys.excepthook:", second), ("\nOriginal exception was:", error)):
        try:
            print(heading, file=sys.stderr)
        except (OSError, ValueError, AttributeError):
            return
        sys.__excepthook__(type(shown), shown, shown.__traceback__)


def _fresh_main(path: str) -> ModuleType:
    """A new `__main__` with what Python puts into one; the launch file's module stays alive in its own frame."""
    import builtins
    from importlib.machinery import SourceFileLoader

    module: Any = type(sys)("__main__")
    module.__file__ = path
    module.__loader__ = SourceFileLoader("__main__", path)
    module.__builtins__ = builtins
    module.__package__ = None
    module.__cached__ = None
    sys.modules["__main__"] = module
    return module  # type: ignore[no-any-return]


def _exit_code(code: object) -> int:
    """The status that a process ends with after SystemExit(code): None is 0, a number its low byte, the rest 1."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    return 1
