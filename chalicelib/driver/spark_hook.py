"""Touches the SparkContext that a user's program makes: its executors' environment, and word of when it is active.

Installed by `bootstrap` before the program starts. PySpark is not imported for this: a program that never uses Spark
pays nothing. An import hook waits for the module that defines SparkContext and wraps two of its methods:

- `_initialize_context(jconf)` is the last step before the JVM's context is made: the conf is final, so what the
  program itself has set is seen and wins;
- `_do_init(…)` returns when the context is active.

What reaches executors by which way, and where it can be seen, is in `docs/decisions/secrets-in-executors.md`.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType
    from typing import Any

    from .libraries import Installed

# Spark 3.5 and Spark 4; both are wrapped when both exist, which is harmless: the class is wrapped once.
MODULES = ("pyspark.context", "pyspark.core.context")
_ENVIRONMENT = "spark.executorEnv."
_REDACTION = "spark.redaction.regex"
_REDACT_ENVIRONMENT = "|spark[.]executorEnv[.]"


class SparkHook:
    """What to do with a SparkContext when one is made in this process.

    `environment` goes to executors as `spark.executorEnv.*` (their JVMs and Python workers), redacted wherever Spark
    shows its conf; `secrets` goes to Python workers alone, with the functions that they run, and is never part of a
    conf. `started(application_id, spark_version, name)` is called for each context as soon as it is active. `libraries`
    are put on the path of Python workers, and brought to executors on other machines. With `local_cores` there are no
    executors: tasks run in the driver, so many at once.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        secrets: Mapping[str, str],
        started: Callable[[str, str, str], None],
        libraries: Installed | None = None,
        local_cores: int = 0,
    ) -> None:
        self._environment = environment
        self._secrets = secrets
        self._started = started
        self._libraries = libraries
        self._local_cores = local_cores

    def install(self) -> None:
        """Wrap SparkContext when it is imported, or now if it has been (a site's start-up file may do that)."""
        sys.meta_path.insert(0, _Finder(self.wrap))
        for name in MODULES:
            if name in sys.modules:
                self.wrap(sys.modules[name])

    def wrap(self, module: ModuleType) -> None:
        """Wrap the SparkContext of `module`, once."""
        context_class = getattr(module, "SparkContext", None)
        if context_class is None or getattr(context_class, "_sparkplane", None) is not None:
            return
        context_class._sparkplane = self
        create, start = context_class._initialize_context, context_class._do_init

        def initialize_context(context: Any, jconf: Any) -> Any:
            self._prepare(context, jconf)
            return create(context, jconf)

        def do_init(context: Any, *args: Any, **kwargs: Any) -> None:
            start(context, *args, **kwargs)
            context.environment.update({**self._secrets, **context.environment})
            self._bring_libraries(context)
            self._started(str(context.applicationId), str(context.version), str(context.appName))

        context_class._initialize_context, context_class._do_init = initialize_context, do_init

    def _prepare(self, context: Any, jconf: Any) -> None:
        """Complete the conf of a context that is about to be made; `context.environment` is PySpark's copy of it."""
        for name, value in self._environment.items():
            if not jconf.contains(_ENVIRONMENT + name):
                jconf.set(_ENVIRONMENT + name, value)
                context.environment.setdefault(name, value)
        if self._local_cores and not str(jconf.get("spark.master", "")).startswith("local"):
            jconf.set("spark.master", f"local[{self._local_cores}]")
            context.master = jconf.get("spark.master")
        if self._environment:
            pattern = jconf.get(_REDACTION) if jconf.contains(_REDACTION) else _default_redaction(context)
            jconf.set(_REDACTION, pattern + _REDACT_ENVIRONMENT)

    def _bring_libraries(self, context: Any) -> None:
        """Workers on this machine find the libraries where they are; others in the archive that they are sent."""
        if self._libraries is None or not self._libraries.python:
            return
        from .libraries import is_local, put_on_workers_path

        if not is_local(context):
            context.addArchive(self._libraries.archive())
        put_on_workers_path(context)


def version_on_disk() -> str:
    """The version that PySpark's own files name, for a driver that has made no SparkContext; empty where there is no
    PySpark. Nothing of it is imported."""
    import importlib.util
    import os
    import re

    try:
        spec: Any = importlib.util.find_spec("pyspark")
        text = spec.loader.get_data(os.path.join(os.path.dirname(spec.origin), "version.py")).decode()
    except (AttributeError, ImportError, OSError, TypeError, ValueError):
        return ""
    found = re.search(r"__version__[^=]*=\s*[\"']([^\"']+)", text)
    return found[1] if found else ""


def _default_redaction(context: Any) -> str:
    """Spark's own pattern. It differs between versions, and a copy of an older one would hide less than Spark does."""
    entries = getattr(getattr(context._jvm, "org.apache.spark.internal.config.package$"), "MODULE$")
    return str(entries.SECRET_REDACTION_PATTERN().defaultValueString())


class _Finder:
    """A meta path finder that lets the others find SparkContext's module, and sees it when it has been executed."""

    def __init__(self, seen: Callable[[ModuleType], None]) -> None:
        self._seen = seen

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> Any:  # Optional[ModuleSpec]: naming it would import importlib.machinery
        if name not in MODULES:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(name, path, target) for finder in others if hasattr(finder, "find_spec"))
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._seen)  # type: ignore[assignment]  # a loader by its behaviour
        return spec


class _Loader:
    """Loads as the module's own loader does, then shows the module and steps out of the way."""

    def __init__(self, loader: Any, seen: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._seen = seen

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec) if hasattr(self._loader, "create_module") else None

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        if hasattr(self._loader, "exec_module"):
            self._loader.exec_module(module)
        else:  # a zip's loader before Python 3.10
            exec(self._loader.get_code(module.__name__), module.__dict__)  # noqa: S102 - what exec_module does
        self._seen(module)
