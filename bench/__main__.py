"""`make bench`: the numbers that the project holds itself to, each beside what it is compared with, in one run.

Everything listens on the loopback interface and lives below a temporary directory; what was started is ended. All of
it takes about five minutes on two cores, `--full` some minutes more. Names of measurements limit it to those.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from bench import calls, cost, first_result, imports, machine, package_size, servers, submission
from bench.rows import Section, as_markdown, as_text

ENGINE = Path(".venv-engine").absolute()
NAMES = ("imports", "calls", "cost", "package", "submit", "first-result")


def main() -> int:
    """Measure what was asked for and print it; 0 when nothing is missed."""
    asked = _parse()
    about = machine.describe(ENGINE / "bin" / "python")
    print("\n".join([*about, ""]), file=sys.stderr if asked.markdown else sys.stdout, flush=True)
    sections: list[Section] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        for section in _sections(asked, Path(place)):
            sections.append(section)
            print(as_text(section), file=sys.stderr if asked.markdown else sys.stdout, flush=True)
    if asked.markdown:
        print("\n".join([as_markdown(sections), "", *about]))
    missed = [row.what for section in sections for row in section.rows if row.verdict == "MISSED"]
    print(f"{time.monotonic() - began:.0f} s; missed: {', '.join(missed) or 'nothing'}", file=sys.stderr)
    return 1 if missed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="measurement", help=f"any of {', '.join(NAMES)}; all by default")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of cold runs (default: 5)")
    parser.add_argument("--submissions", type=int, default=200, help="submissions a side (default: 200)")
    parser.add_argument("--processes", type=int, default=9, help="fresh processes an import (default: 9)")
    parser.add_argument("--full", action="store_true", help="a list of a million runs too (minutes, GBs of disk)")
    parser.add_argument("--markdown", action="store_true", help="a Markdown table on standard output only")
    asked = parser.parse_args()
    if unknown := set(asked.only) - set(NAMES):
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}")
    asked.only = asked.only or list(NAMES)
    return asked


def _sections(asked: argparse.Namespace, place: Path) -> Iterator[Section]:
    alone: dict[str, Callable[[], Section]] = {
        "imports": lambda: imports.measure(asked.processes),
        "calls": lambda: calls.measure(place, full=asked.full),
        "cost": lambda: cost.measure(place),
        "package": package_size.measure,
    }
    for name, measure in alone.items():
        if name in asked.only:
            yield measure()
    if not {"submit", "first-result"} & set(asked.only):
        return
    with ExitStack() as running:
        sandbox = running.enter_context(servers.sandbox(place))
        if "first-result" in asked.only:
            yield first_result.measure(sandbox, ENGINE, place, asked.pairs)
        if "submit" in asked.only:
            master = running.enter_context(servers.spark_master(ENGINE, place))
            yield submission.measure(sandbox, master, place, asked.submissions)


if __name__ == "__main__":
    sys.exit(main())
