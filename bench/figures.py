# SPDX-License-Identifier: GPL-2.0-or-later
"""What was measured, and what the numbers of several runs say together."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

LOW, HIGH = 10, 90
"""The percentiles that are given as the spread."""


@dataclass(frozen=True)
class Figure:
    """The values of one thing in several runs.

    `side` is whose they are (ours, or what it is compared with), `size` how many
    forwards, qubes or rules there were, None where there is no such number. Values of
    the same `what` and `size` that have the same place were measured one right after
    the other, so that what disturbs the machine meets all sides alike.
    """

    what: str
    side: str
    size: int | None
    unit: str
    values: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """Percentiles 10 and 90."""
        return find_spread(self.values)


def find_spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the percentiles `LOW` and `HIGH` of one or more values."""
    if len(values) < 2:
        return values[0], values[0]
    cuts = quantiles(values, n=100, method="inclusive")
    return cuts[LOW - 1], cuts[HIGH - 1]


def divide(one: Figure, other: Figure) -> tuple[float, ...]:
    """Return how many times `other` each value of `one` is, run by run."""
    pairs = zip(one.values, other.values, strict=False)
    return tuple(a / b for a, b in pairs if b)


@dataclass(frozen=True)
class Growth:
    """How a cost grows with size: the exponents of size, 1 is in proportion.

    `whole` is fitted to all sizes; `top` is that between the two largest, where what
    costs the same at any size weighs least.
    """

    whole: float
    top: float
    sizes: tuple[int, ...]

    @property
    def is_above_n_log_n(self) -> bool:
        """Whether it grows faster at the top than N log N does there, clearly."""
        one, other = self.sizes[-2], self.sizes[-1]
        allowed = 1 + math.log(math.log(other) / math.log(max(one, 2))) / math.log(
            other / one
        )
        return self.top > allowed + _DOUBT


_DOUBT = 0.1
"""By how much an exponent may be off because the runs differ."""


def fit_growth(points: Mapping[int, float]) -> Growth | None:
    """Fit a power of size to costs; None for fewer than three sizes."""
    known = sorted((n, cost) for n, cost in points.items() if n > 0 and cost > 0)
    if len(known) < 3:
        return None
    xs = [math.log(n) for n, _ in known]
    ys = [math.log(cost) for _, cost in known]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    above = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    below = sum((x - mean_x) ** 2 for x in xs)
    top = (ys[-1] - ys[-2]) / (xs[-1] - xs[-2])
    return Growth(above / below, top, tuple(n for n, _ in known))


@dataclass(frozen=True)
class Record:
    """One run of one part: when (UTC), how long in seconds, on what, and its figures.

    `tiny` marks a run that only shows that the part works.
    """

    part: str
    when: str
    seconds: float
    machine: str
    figures: tuple[Figure, ...]
    tiny: bool = False

    def find(self, what: str, side: str, size: int | None = None) -> Figure | None:
        """Return one figure, None if it was not measured."""
        wanted = (what, side, size)
        for one in self.figures:
            if (one.what, one.side, one.size) == wanted:
                return one
        return None

    def sizes(self, what: str, side: str) -> dict[int, Figure]:
        """Return the figures of one thing and side by size, the smallest first."""
        found = {
            one.size: one
            for one in self.figures
            if (one.what, one.side) == (what, side) and one.size is not None
        }
        return dict(sorted(found.items()))


def save_record(record: Record, folder: Path) -> None:
    """Write a record into its file, in place of that of an earlier run."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(record), indent=1)
    (folder / f"{record.part}.json").write_text(text)


def load_record(part: str, folder: Path) -> Record | None:
    """Read the record of the last run of a part, None if there was none."""
    try:
        found: dict[str, Any] = json.loads((folder / f"{part}.json").read_text())
    except FileNotFoundError:
        return None
    figures = tuple(
        Figure(**{**one, "values": tuple(one["values"])})
        for one in found.pop("figures")
    )
    return Record(**found, figures=figures)


class Sheet:
    """Takes in values one by one, and gives figures of them."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, int | None, str], list[float]] = {}

    def note(
        self, what: str, side: str, value: float, unit: str, size: int | None = None
    ) -> None:
        """Add the value of one more run."""
        self._values.setdefault((what, side, size, unit), []).append(value)

    def note_all(
        self,
        what: str,
        side: str,
        values: Iterable[float],
        unit: str,
        size: int | None = None,
    ) -> None:
        """Add the values of more runs."""
        for value in values:
            self.note(what, side, value, unit, size)

    def figures(self) -> tuple[Figure, ...]:
        """Return everything, in the order of its first values."""
        return tuple(
            Figure(what, side, size, unit, tuple(values))
            for (what, side, size, unit), values in self._values.items()
        )
