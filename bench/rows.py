"""What a measurement yields: a row with our number, the one beside it, their ratio and what is to be held; as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HEADS = ("what", "ours", "against", "ratio", "hold", "reach", "verdict")


@dataclass(frozen=True)
class Row:
    """One line of a table. `value` is what `hold` and `reach` bound from above: a ratio, a count or an amount.

    `unit` tells what `value` is ("" for a ratio); without a `hold` the row informs and has no verdict.
    """

    what: str
    ours: str
    against: str = "–"
    value: float | None = None
    hold: float | None = None
    reach: float | None = None
    unit: str = ""

    @property
    def verdict(self) -> str:
        """`reached`, `held` or `MISSED`; a dash where nothing is to be held."""
        if self.value is None or self.hold is None:
            return "–"
        if self.reach is not None and self.value <= self.reach:
            return "reached"
        return "held" if self.value <= self.hold else "MISSED"

    def cells(self) -> tuple[str, ...]:
        """The row's texts, in the order of HEADS."""
        ratio = "–" if self.value is None or self.unit else f"{self.value:.2f}"
        bounds = (self._bound(self.hold), self._bound(self.reach))
        return (self.what, self.ours, self.against, ratio, *bounds, self.verdict)

    def _bound(self, bound: float | None) -> str:
        if bound is None:
            return "–"
        return f"≤ ${bound:.2f}" if self.unit == "$" else f"≤ {bound:g}{f' {self.unit}' if self.unit else ''}"


@dataclass(frozen=True)
class Section:
    """A titled table with the conditions under which it was measured, and a free table of details below it."""

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    details: Sequence[Sequence[str]] = ()


def as_text(section: Section) -> str:
    """A section as plain text, columns aligned."""
    lines = [f"== {section.title}", *_aligned([HEADS, *(row.cells() for row in section.rows)])]
    if section.details:
        lines += ["", *_aligned(section.details)]
    return "\n".join([*lines, *(f"   {note}" for note in section.notes), ""])


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return ["   " + "  ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)).rstrip() for line in table]


def as_markdown(sections: Sequence[Section]) -> str:
    """All rows of all sections as one Markdown table."""
    lines = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    lines += ["| " + " | ".join(row.cells()) + " |" for section in sections for row in section.rows]
    return "\n".join(lines)


def median(values: Sequence[float]) -> float:
    """The middle of the values."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def p95(values: Sequence[float]) -> float:
    """The value that 95 of 100 do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def spread(values: Sequence[float], digits: int = 2, unit: str = "s") -> str:
    """Median and range: `4.61 s (4.40 to 5.02)`."""
    return f"{median(values):.{digits}f} {unit} ({min(values):.{digits}f} to {max(values):.{digits}f})"
