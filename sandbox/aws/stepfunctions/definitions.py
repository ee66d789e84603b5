"""A definition is parsed once.

Stock moto parses the text at every StartExecution with ANTLR in pure Python: 5 ms for one state, 230 ms for thirty.
The components that parsing makes hold no state of an execution, with two exceptions that this module knows: Map and
Parallel keep workers in theirs, so such a definition is parsed each time; and every component makes up its `heap_key`
at first use, which two threads could do at once. Parsing holds a lock, because the preprocessor keeps its stack of
scopes on the class, where a definition that fails to parse leaves its own behind and spoils all that come after it.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from functools import lru_cache
from typing import Any

from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from moto.stepfunctions.parser.asl.utils import json_path

from sandbox.aws.patches import Patches

_KEEP = 64
_STATEFUL = {"Map", "Parallel"}


class Definitions:
    """Parsed definitions by their text."""

    def __init__(self, parse: Any) -> None:
        self._parse = parse
        self._known: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def parse(self, definition: str) -> tuple[Any, Any]:
        """As `AmazonStateLanguageParser.parse`: the program and its tree. Raises what that raises."""
        with self._lock:
            if definition in self._known:
                self._known.move_to_end(definition)
                return self._known[definition]  # type: ignore[no-any-return]
            Preprocessor._query_language_per_scope.clear()
            parsed = self._parse(definition)
            if not _STATEFUL & _types(json.loads(definition)):
                self._known[definition] = parsed
                if len(self._known) > _KEEP:
                    self._known.popitem(last=False)
            return parsed  # type: ignore[no-any-return]


def _types(value: Any) -> set[str]:
    """Every `Type` in a definition, at any depth."""
    if isinstance(value, dict):
        found = {value["Type"]} if isinstance(value.get("Type"), str) else set()
        return found.union(*(_types(one) for one in value.values()))
    if isinstance(value, list):
        return set().union(*(_types(one) for one in value))
    return set()


def install(patches: Patches) -> None:
    definitions = Definitions(AmazonStateLanguageParser.parse)
    patches.set(AmazonStateLanguageParser, "parse", staticmethod(definitions.parse))
    patches.set(EvalComponent, "heap_key", property(lambda self: f"{id(self):x}"))
    # A JSONPath is compiled at every use, which costs more than finding what it names.
    patches.set(json_path, "parse", lru_cache(maxsize=1024)(json_path.parse))
