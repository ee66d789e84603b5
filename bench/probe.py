"""A child process in which AWS is emulated and counted: `python -m bench.probe calls|grow|life <directory> [sizes…]`.

Prints one JSON object on standard output. `calls.py`, `cost.py` and the test of scale start it; `grow` takes pairs of
jobs and runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.emulated import Tally, Used


def ask(*arguments: str, timeout: float) -> Any:
    """Run the probe in a process of its own; its answer. Raises BenchError with what it said."""
    from bench.servers import BenchError

    done = subprocess.run(
        [sys.executable, "-m", "bench.probe", *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        raise BenchError(f"the probe {arguments[0]} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().rpartition("\n")[2])


def main() -> None:
    """The child."""
    from bench import life, operations

    what, home, *sizes = sys.argv[1:]
    tally = Tally()
    tally.install()
    if what == "calls":
        found: dict[str, Used] = operations.count(tally, Path(home), [int(size) for size in sizes])
    elif what == "grow":
        numbers = [int(size) for size in sizes]
        found = operations.grow(tally, Path(home), numbers[::2], numbers[1::2])
    else:
        found = life.count(tally, Path(home))
    print(json.dumps({name: vars(used) for name, used in found.items()}))


if __name__ == "__main__":
    main()
