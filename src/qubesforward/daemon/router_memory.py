# SPDX-License-Identifier: GPL-2.0-or-later
"""What routers were asked to open, until they have said that it is closed.

The gateway of a hop withdraws what is not wanted any more. It may be dead at that
moment, or its whole qube; the next one that is there is told then, by what is here. So
all of it is written down before a router is asked for anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qubesforward.daemon.run_file import read_run_file, write_run_file
from qubesforward.errors import InvalidRule
from qubesforward.model.rule import FORWARD_PROTOS, Proto
from qubesforward.model.values import parse_choice
from qubesforward.qubes.mapping_values_wire import LAST_PORT
from qubesforward.qubes.mapping_wire import Opened

_log = logging.getLogger(__name__)

_NO_FILE = (OSError, ValueError, KeyError, TypeError, AttributeError, InvalidRule)

LIFETIME = 600
"""Seconds asked for at a time; the gateway renews at half of them. RFC 6886 (3.3)
recommends two hours, but what nobody can withdraw is open for as long as this."""

MOST_LEFT = 1024
"""Ports of one hop that are not wanted any more and remembered, the newest."""

Port = tuple[Proto, int]
"""One port of a hop."""


@dataclass
class _Asked:
    """`outer` is the router's port, for `lifetime`, `until` seconds since 1970."""

    outer: int
    lifetime: int
    until: float


class RouterMemory:
    """All that routers may have open for hops, by hop. `now` is wall-clock time."""

    def __init__(self, file: Path, boot_id: str, now: Callable[[], float]) -> None:
        self._file = file
        self._boot_id = boot_id
        self._now = now
        self._asked: dict[str, dict[Port, _Asked]] = {}
        self._changed = False

    @property
    def hops(self) -> Collection[str]:
        """The hops whose router may have something open for them."""
        return self._asked.keys()

    def list_asked(self, hop: str) -> list[tuple[Port, int]]:
        """Return the ports of a hop, and which ones of its router lead there."""
        asked = self._asked.get(hop, {})
        return [(port, each.outer) for port, each in asked.items()]

    def note_asked(self, hop: str, wanted: Iterable[Port]) -> None:
        """Take in that a hop's router is being asked to lead something to these."""
        for port in wanted:
            asked = self._asked.setdefault(hop, {})
            if port not in asked:
                asked[port] = _Asked(port[1], LIFETIME, self._now() + LIFETIME)
                self._changed = True

    def note_opened(self, hop: str, message: Opened) -> None:
        """Take in where, and for how long, the router does so."""
        asked = self._asked.get(hop, {}).get((message.proto, message.port))
        if asked is None:
            return
        asked.until = self._now() + message.lifetime
        if (asked.outer, asked.lifetime) != (message.outer, message.lifetime):
            asked.outer, asked.lifetime = message.outer, message.lifetime
            self._changed = True

    def forget(self, hop: str, port: Port) -> None:
        """Take in that the router leads nothing to this port any more."""
        asked = self._asked.get(hop, {})
        if asked.pop(port, None) is not None:
            self._changed = True
        if not asked:
            self._asked.pop(hop, None)

    def drop_over(
        self, hop: str, wanted: Collection[Port], *, has_gateway: bool
    ) -> None:
        """Forget what is not wanted of a hop's router and has ended, or is too much.

        Without a gateway nothing counts as ended: it may have renewed without a word.
        """
        left = [port for port, _ in self.list_asked(hop) if port not in wanted]
        for port in left[: max(0, len(left) - MOST_LEFT)]:
            self.forget(hop, port)
        if has_gateway:
            for port in left:
                asked = self._asked.get(hop, {}).get(port)
                if asked is not None and asked.until <= self._now():
                    self.forget(hop, port)

    def ends(self) -> Iterator[float]:
        """Yield every moment at which `drop_over` may have something to do."""
        return (each.until for asked in self._asked.values() for each in asked.values())

    def save(self) -> None:
        """Write down what has changed."""
        if not self._changed:
            return
        self._changed = False
        try:
            write_run_file(self._file, self._boot_id, {"asked": self._describe()})
        except OSError as error:
            # It is withdrawn all the same, as long as this process knows of it.
            _log.error("what routers have open cannot be kept: %s", error)

    def _describe(self) -> dict[str, list[tuple[str, int, int, int]]]:
        return {
            hop: [
                (str(proto), port, each.outer, each.lifetime)
                for (proto, port), each in asked.items()
            ]
            for hop, asked in self._asked.items()
        }

    def load(self) -> None:
        """Take in what an earlier run of this boot wrote; all of it may be open."""
        try:
            found = read_run_file(self._file, self._boot_id)
            for hop, asked in ({} if found is None else found["asked"]).items():
                for word, port, outer, lifetime in asked:
                    proto = parse_choice(Proto, word, "proto")
                    if proto not in FORWARD_PROTOS or not 0 < int(port) <= LAST_PORT:
                        raise ValueError(f"{word} {port}")
                    until = self._now() + int(lifetime)
                    restored = _Asked(int(outer), int(lifetime), until)
                    self._asked.setdefault(hop, {})[proto, int(port)] = restored
        except _NO_FILE as error:
            _log.error("%s: nothing of it is taken: %s", self._file, error)
            self._asked.clear()
