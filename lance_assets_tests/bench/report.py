"""What a benchmark gives back: rows of one table, and the goals that an issue set for figures of this very run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Value = float | int | str | None
#: Factor and unit in which people see a figure, by the end of its name in the JSON.
UNITS = {"_s": (1000, "ms"), "_bytes": (1 / 1000, "kB")}


@dataclass(frozen=True)
class Goal:
    """Met where `measured` is at most `bound`."""

    name: str
    measured: float
    bound: float

    @property
    def met(self) -> bool:
        return self.measured <= self.bound


@dataclass(frozen=True)
class Report:
    """`rows` have `what` and `case` and any figures; the names of figures end with their unit (`_s`, `_bytes`)."""

    title: str
    rows: Sequence[Mapping[str, Value]]
    goals: Sequence[Goal]

    def as_json(self) -> dict[str, Any]:
        """Follows bench.schema.json."""
        return {"rows": list(self.rows), "goals": [{**asdict(goal), "met": goal.met} for goal in self.goals]}

    def lines(self) -> list[str]:
        """The table and the goals for people."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        cells = [[_cell(name, row.get(name)) for name in names] for row in self.rows]
        goals = [(goal.name, f"{goal.measured:,.2f}", f"{goal.bound:,g}", _verdict(goal)) for goal in self.goals]
        return [
            self.title,
            "",
            *aligned([[_header(name) for name in names], *cells]),
            "",
            *aligned([("goal", "measured", "at most", ""), *goals]),
        ]


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns as wide as their widest cell: text to the left, numbers to the right."""
    wide = [max(map(len, column)) for column in zip(*table, strict=True)]
    text = [not any(map(_number, column[1:])) for column in zip(*table, strict=True)]
    lines: list[str] = []
    for row in table:
        cells = zip(row, wide, text, strict=True)
        lines.append(
            "  ".join(cell.ljust(width) if left else cell.rjust(width) for cell, width, left in cells).rstrip()
        )
    return lines


def _number(cell: str) -> bool:
    return cell.replace(",", "").replace(".", "", 1).isdigit()


def _verdict(goal: Goal) -> str:
    return "met" if goal.met else "MISSED"


def _unit(name: str) -> tuple[str, float, str]:
    for end, (factor, unit) in UNITS.items():
        if name.endswith(end):
            return name.removesuffix(end), factor, unit
    return name, 1, ""


def _header(name: str) -> str:
    stem, _, unit = _unit(name)
    return f"{stem.replace('_', ' ')} {unit}".strip()


def _cell(name: str, value: Value) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    _, factor, unit = _unit(name)
    return f"{value * factor:,.1f}" if unit else f"{value:,g}"
