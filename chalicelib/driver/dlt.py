"""`import dlt` in a pipeline's sources, over `pyspark.pipelines`: Delta Live Tables' names for what Spark has.

What Spark's pipelines cannot do (expectations, change data capture) is refused by name when it is used.
"""

from __future__ import annotations

import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

STREAMING = frozenset({"readStream", "read_stream"})
_REFUSED = {
    **dict.fromkeys(
        ("expect", "expect_or_drop", "expect_or_fail", "expect_all", "expect_all_or_drop", "expect_all_or_fail"),
        "Spark's pipelines have no expectations; filter the rows in the query instead",
    ),
    **dict.fromkeys(
        ("apply_changes", "apply_changes_from_snapshot"), "Spark's pipelines do not apply change data by this name"
    ),
}


class NotSupported(Exception):
    """A part of `dlt` that Spark's pipelines do not have."""


def install() -> None:
    """Make `import dlt` find this, unless a real one is there."""
    from importlib.util import find_spec

    if "dlt" not in sys.modules and find_spec("dlt") is None:
        sys.modules["dlt"] = _module()


def _module() -> types.ModuleType:
    from pyspark import pipelines

    module: Any = types.ModuleType("dlt", __doc__)
    module.table = table
    module.create_table = table
    module.view = pipelines.temporary_view
    module.create_view = pipelines.temporary_view
    module.read = read
    module.read_stream = read_stream
    for name in ("append_flow", "create_streaming_table", "materialized_view", "temporary_view"):
        setattr(module, name, getattr(pipelines, name))
    module.create_target_table = pipelines.create_streaming_table
    module.create_streaming_live_table = pipelines.create_streaming_table
    module.__getattr__ = _other
    return module  # type: ignore[no-any-return]


def _other(name: str) -> Any:
    """Any other name: Spark's own, or a refusal when it is used."""
    from pyspark import pipelines

    if name in _REFUSED:
        raise NotSupported(f"dlt.{name} is not supported: {_REFUSED[name]}.")
    if name.startswith("_") or not hasattr(pipelines, name):
        raise AttributeError(f"module 'dlt' has no attribute {name!r}")
    return getattr(pipelines, name)


def table(query_function: Callable[[], Any] | None = None, **options: Any) -> Any:
    """`@dlt.table`: a streaming table if the function reads a stream, else a materialized view."""
    from pyspark import pipelines

    def decorate(function: Callable[[], Any]) -> None:
        kind = pipelines.table if reads_stream(function) else pipelines.materialized_view
        kind(**options)(function) if options else kind(function)

    return decorate if query_function is None else decorate(query_function)


def reads_stream(function: Callable[[], Any]) -> bool:
    """Whether a function, or one of its own module that it calls, names a way to read a stream. The query itself cannot
    be asked: it must not run before the whole pipeline is known."""
    seen: set[int] = set()
    waiting: list[Any] = [function]
    while waiting:
        code = getattr(waiting[-1], "__code__", None)
        names = _names(code) if code else set()
        called = waiting.pop()
        if names & STREAMING:
            return True
        space = getattr(called, "__globals__", {})
        found = [space[name] for name in names if isinstance(space.get(name), types.FunctionType)]
        waiting += [one for one in found if id(one) not in seen and one.__globals__ is space]
        seen |= {id(one) for one in found}
    return False


def _names(code: types.CodeType) -> set[str]:
    """The names that a function's code uses, those of functions within it too."""
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*inner)


def read(name: str) -> Any:
    """`dlt.read`: another table of the pipeline, or one of the catalog."""
    return _session().read.table(_plain(name))


def read_stream(name: str) -> Any:
    """`dlt.read_stream`: the same as a stream."""
    return _session().readStream.table(_plain(name))


def _session() -> Any:
    from pyspark.sql import SparkSession

    return SparkSession.builder.getOrCreate()


def _plain(name: str) -> str:
    """A table's name without the schema `LIVE`, which stood for the pipeline's own."""
    return name[5:] if name[:5].upper() == "LIVE." else name
