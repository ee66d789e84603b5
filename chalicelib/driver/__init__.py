"""What runs inside a Spark driver: the bootstrap that starts a Python run, and what it needs.

This room stands apart: it uses the standard library (and py4j and pyspark, which Spark puts beside it), imports no
other room of ours, and is written for Python 3.9 and newer, Spark 3.5 and newer. `bundle.bundle()` packs it as a zip
in which the package is called `sparkplane_driver`, so its modules import one another relatively and nothing here
depends on the package's name.

Importing it must cost next to nothing: a user's program waits for it. What is seldom needed is imported where it is
needed.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn


def main(config: Mapping[str, Any]) -> NoReturn:
    """Run the program that `config` describes (see `bootstrap.main`) and leave with its exit code, by SystemExit."""
    from .bootstrap import main as start

    start(config)
