# SPDX-License-Identifier: GPL-2.0-or-later
"""What it may cost (design, section 14 of the mission), and what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from bench.figures import Record, divide
from bench.hop import ANYONE, NETWORK
from bench.numbers import format_number
from bench.parts.desktop import FRAME, SIZES, STALL, START, WINDOWS
from bench.parts.portmap import OURS, RATE, SLOWEST
from bench.window import PLAIN

Records = Mapping[str, Record]


@dataclass(frozen=True)
class Target:
    """One promise: `find` gives the measured number, None where there is none."""

    what: str
    limit: float
    unit: str
    find: Callable[[Records], float | None]
    is_least: bool = False

    def is_met(self, found: float) -> bool:
        """Whether a measured number keeps it."""
        return found >= self.limit if self.is_least else found <= self.limit

    @property
    def text(self) -> str:
        """The limit as it is written."""
        sign = "≥" if self.is_least else "≤"
        return f"{sign} {format_number(self.limit)}{self.unit}"


def _middle(
    part: str, what: str, side: str, size: int | None = None
) -> Callable[[Records], float | None]:
    def find(records: Records) -> float | None:
        record = records.get(part)
        figure = record.find(what, side, size) if record else None
        return figure.middle if figure else None

    return find


def _ratio(
    part: str, what: str, sides: tuple[str, str], size: int | None = None
) -> Callable[[Records], float | None]:
    """Divide the first side by the second, run by run."""

    def find(records: Records) -> float | None:
        record = records.get(part)
        one, other = (
            record.find(what, side, size) if record else None for side in sides
        )
        return median(divide(one, other)) if one and other else None

    return find


_OURS, _TYPED = "qubes-forward", "documented commands"
_ACKNOWLEDGED = "every hop acknowledged"
_MANY = 10_000
_HELD = 1000

TARGETS = (
    Target(
        "API call until every hop has acknowledged, two network qubes",
        15,
        " ms",
        _middle("open", _ACKNOWLEDGED, _OURS, 2),
    ),
    Target(
        "the same with a script of the documented commands ÷ ours",
        4,
        "",
        _ratio("open", _ACKNOWLEDGED, (_TYPED, _OURS), 2),
        is_least=True,
    ),
    *(
        Target(
            f"connecting through 10,000 forwards {kind} ÷ through one",
            1.10,
            "",
            _ratio(
                "connect", "time to connect", (kind, "a single forward beside"), _MANY
            ),
        )
        for kind in (ANYONE, NETWORK)
    ),
    *(
        Target(
            f"throughput through the chain ÷ plain routing, {what}",
            0.97,
            "",
            _ratio("throughput", what, (_OURS, "plain routing")),
            is_least=True,
        )
        for what in ("TCP, 1 stream", "TCP, 8 streams", "UDP, 1 stream")
    ),
    Target(
        "agent: one more forward beside 10,000",
        5,
        " ms",
        _middle("agent", "one more", ANYONE, _MANY),
    ),
    *(
        Target(
            f"agent: cold load of 10,000 {kind}",
            300,
            " ms",
            _middle("agent", "cold load", kind, _MANY),
        )
        for kind in (ANYONE, NETWORK)
    ),
    Target(
        "agent: memory with 10,000 forwards",
        40,
        " MB",
        _middle("agent", "memory after it", ANYONE, _MANY),
    ),
    Target(
        "plan of 1,000 qubes and 10,000 forwards",
        300,
        " ms",
        _middle("planner", "plan of everything", "by forwards, for 1,000 qubes", _MANY),
    ),
    Target(
        "the same after one change",
        5,
        " ms",
        _middle("planner", "one more forward", "by forwards, for 1,000 qubes", _MANY),
    ),
    Target(
        "`qvm-forward` listing, whole process",
        80,
        " ms",
        _middle("tools", "whole process", "qvm-forward", 10),
    ),
    *(
        Target(
            f"{name}: {what}, with 1,000 forwards",
            limit,
            " ms",
            _middle("desktop", figure, name, SIZES[-1]),
        )
        for kind, name in WINDOWS.items()
        if kind != PLAIN
        for what, figure, limit in (
            ("start until it can be used", START, 1000),
            ("the slowest of 100 frames, processor time", FRAME, 1000 / 60),
            ("longest pause under 100 events a second", STALL, 100),
        )
    ),
    Target(
        "mappings a second, a thousand in a row, with a thousand held",
        2000,
        "",
        _middle("portmap", RATE, OURS, _HELD),
        is_least=True,
    ),
    Target(
        "the slowest of 100 answers in it",
        5,
        " ms",
        _middle("portmap", SLOWEST, OURS, _HELD),
    ),
)
