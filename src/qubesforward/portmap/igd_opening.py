# SPDX-License-Identifier: GPL-2.0-or-later
"""One port that the router is to lead to us: what to ask next, what answers mean.

| state | added | fault | no answer | wanted | unwanted |
|---|---|---|---|---|---|
| asking | → open | stays, or → refused | stays | stays | → closing |
| open | stays | → asking, or → refused | at its end → asking | stays | → closing |
| refused | → open | stays | stays | other: → asking | → gone |
| closing | stays | stays | once more, then → gone | → asking | stays |

Deleted, closing is gone. Routers differ in what they take, so what a fault tells is
remembered: only leases without end (725; old ones call others an invalid argument),
only outer ports that equal the inner one (724), no AddAnyPortMapping (401).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from qubesforward.portmap.mapping import Key
from qubesforward.portmap.soap import Arguments

NAME = "Qubes"
"""What the router lists the mapping as: no word about which qube."""

CHECK, DELETE = "GetSpecificPortMappingEntry", "DeletePortMapping"
"""Actions of WANIPConnection."""

ENDLESS = 2**32 - 1
"""Seconds of a lease without an end."""

MAX_PORTS = 5
"""Outer ports that are tried when others have them."""

REFUSED_FOR = 300.0
"""Seconds until a router that said no is asked again."""

FIRST_RETRY = 5.0
LONGEST_RETRY = 300.0
"""Seconds between questions that are not answered: twice as long each time."""

_SOMEBODY_HAS_IT = {718, 729}
_ONLY_PERMANENT = {402, 725}
_NO_SUCH_ACTION = {401, 602}
_SAME_PORTS = 724


class State(StrEnum):
    """Of one opening."""

    ASKING = "asking"
    OPEN = "open"
    REFUSED = "refused"
    CLOSING = "closing"


@dataclass
class Quirks:
    """What has turned out about a router."""

    has_any: bool = False
    only_permanent: bool = False
    same_ports: bool = False


@dataclass
class Opening:
    """One port of ours. `due`: when to ask next; `end`: of what the router gave.

    `is_unsure`: its outer port may lead to somebody else, and be none of ours to close.
    """

    key: Key
    wanted: int
    lifetime: int
    due: float
    state: State = State.ASKING
    outer: int = 0
    end: float = 0.0
    ports_tried: int = 0
    failures: int = 0
    was_asked: bool = False
    is_unsure: bool = False

    def __post_init__(self) -> None:
        self.outer = self.wanted

    @property
    def is_open(self) -> bool:
        """Whether the router is known to lead its port to us."""
        return self.state is State.OPEN

    def want(self, outer: int, lifetime: int, now: float) -> None:
        """Take in that it is wanted, maybe in another way; what is open stays there."""
        is_closing = self.state is State.CLOSING
        if not is_closing and (outer, lifetime) == (self.wanted, self.lifetime):
            return
        if self.state is not State.OPEN:
            self.state, self.outer = State.ASKING, outer
        self.wanted, self.lifetime, self.due = outer, lifetime, now

    def action(self, quirks: Quirks) -> str:
        """Return what to call next."""
        if self.state is State.CLOSING:
            return CHECK if self.is_unsure else DELETE
        # What is open stays at its port, so it is renewed by its number.
        is_any = quirks.has_any and self.state is not State.OPEN
        return "AddAnyPortMapping" if is_any else "AddPortMapping"

    def arguments(self, own: IPv4Address, quirks: Quirks) -> Arguments:
        """Return the arguments of that call; `own`: where the router reaches us."""
        which = (
            ("NewRemoteHost", ""),
            ("NewExternalPort", str(self.outer)),
            ("NewProtocol", self.key.transport.upper()),
        )
        if self.state is State.CLOSING:
            return which
        return (
            *which,
            ("NewInternalPort", str(self.key.inner)),
            ("NewInternalClient", str(own)),
            ("NewEnabled", "1"),
            ("NewPortMappingDescription", NAME),
            ("NewLeaseDuration", str(0 if quirks.only_permanent else self.lifetime)),
        )

    def note_added(self, outer: int, now: float) -> None:
        """Take in that the router leads this outer port to us."""
        self.state, self.outer = State.OPEN, outer
        self.end = now + self.lifetime
        # One without an end is asked for again all the same: routers forget.
        self.due = now + self.lifetime / 2
        self.failures = self.ports_tried = 0

    def note_fault(self, code: int, quirks: Quirks, now: float) -> None:
        """Take in that the router refused; either another question is due now or no."""
        self.due = now
        if code in _NO_SUCH_ACTION and quirks.has_any:
            quirks.has_any = False
        elif code in _ONLY_PERMANENT and not quirks.only_permanent:
            quirks.only_permanent = True
        elif code == _SAME_PORTS and not quirks.same_ports:
            quirks.same_ports = True
            self.outer = self.key.inner
        elif self._can_move(code, quirks):
            self.ports_tried += 1
            self.outer = _next_port(self.outer)
        else:
            if code in _ONLY_PERMANENT:
                quirks.only_permanent = False
            self.state = State.REFUSED
            self.outer = self.wanted
            self.due = now + REFUSED_FOR
            self.ports_tried = 0
            return
        self.state = State.ASKING

    def _can_move(self, code: int, quirks: Quirks) -> bool:
        can_choose = not quirks.same_ports and self.ports_tried < MAX_PORTS
        return code in _SOMEBODY_HAS_IT and can_choose

    def note_silence(self, now: float) -> None:
        """Take in that no answer came, or none that can be understood."""
        self.failures += 1
        pause = FIRST_RETRY * 2.0 ** min(self.failures - 1, 10)
        self.due = now + min(pause, LONGEST_RETRY)

    def note_end(self, now: float) -> bool:
        """Take in that it is later; True if the router has let the mapping end."""
        if self.state is not State.OPEN or now < self.end:
            return False
        self.state = State.ASKING
        return True


def _next_port(port: int) -> int:
    """Return another port of the upper range; far off, as neighbours are often taken.

    It is a walk through all of 32768 to 65535 that does not repeat itself.
    """
    return 32768 + (port + 12347) % 32768
