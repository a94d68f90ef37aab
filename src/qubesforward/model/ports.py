# SPDX-License-Identifier: GPL-2.0-or-later
"""Ports and port ranges."""

from __future__ import annotations

from dataclasses import dataclass

from qubesforward.errors import InvalidRule

LAST_PORT = 65535


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """An inclusive range of TCP or UDP ports, ``1 <= first <= last <= 65535``."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 1 <= self.first <= LAST_PORT or not 1 <= self.last <= LAST_PORT:
            raise InvalidRule(f"{self.first}-{self.last}: ports are 1-{LAST_PORT}")
        if self.first > self.last:
            raise InvalidRule(
                f"{self.first}-{self.last}: the first port is above the last"
            )

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def __str__(self) -> str:
        """Return the API form, always with both ends: ``443-443``."""
        return f"{self.first}-{self.last}"

    @property
    def short(self) -> str:
        """The form for people: ``443`` for a single port, else ``443-450``."""
        return str(self.first) if self.first == self.last else str(self)

    def overlaps(self, other: PortRange) -> bool:
        """Whether any port is in both."""
        return self.first <= other.last and other.first <= self.last


def parse_ports(untrusted_text: str, element: str = "ports") -> PortRange:
    """Read ``443`` or ``443-450``.

    `element` names the rule element in the message of the `InvalidRule` raised.
    """
    untrusted_first, dash, untrusted_last = untrusted_text.partition("-")
    if not dash:
        untrusted_last = untrusted_first
    ports = []
    for untrusted_port in (untrusted_first, untrusted_last):
        # isdecimal() alone lets other scripts' digits in; the length bounds int().
        if not (
            untrusted_port.isascii()
            and untrusted_port.isdecimal()
            and len(untrusted_port) <= 10
        ):
            raise InvalidRule(
                f"{element}={untrusted_text[:40]!a}: give a port or FIRST-LAST"
            )
        ports.append(int(untrusted_port))
    try:
        return PortRange(ports[0], ports[1])
    except InvalidRule as error:
        problem = str(error).partition(": ")[2]
        shown = str(ports[0]) if not dash else f"{ports[0]}-{ports[1]}"
        raise InvalidRule(f"{element}={shown}: {problem}") from None
