# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks the LAN's router to lead ports to this hop, as dom0 says.

PCP and NAT-PMP come first, as a router may answer them at once. UPnP is asked too when
they find nobody; whoever opens something first is kept to.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from enum import StrEnum

from qubesforward.gateway.links import Router, find_router
from qubesforward.gateway.router_datagrams import RouterDatagrams
from qubesforward.gateway.router_igd import RouterIgd
from qubesforward.model.hosts import Address
from qubesforward.model.rule import Proto
from qubesforward.portmap.client_events import (
    ClientEvent,
    EdgeChanged,
    MappingLost,
    MappingOpened,
    MappingRefused,
    NoAnswer,
)
from qubesforward.portmap.mapping import Key, Transport
from qubesforward.qubes.mapping_wire import (
    Close,
    Failed,
    Failure,
    FromGateway,
    Open,
    Opened,
    Outside,
)

_log = logging.getLogger(__name__)

_ALONE = 1.5
"""Seconds that PCP and NAT-PMP have before UPnP is asked as well: programs wait."""

_LOOK_AGAIN = 5.0
"""Seconds between looks whether there is another router now: a laptop moves."""


class _By(StrEnum):
    DATAGRAMS = "datagrams"
    IGD = "igd"


class Edge:
    """What is wanted of the router, and what it said. `say` tells dom0.

    `seed`: what nonces are made of.
    """

    def __init__(self, say: Callable[[FromGateway], bool]) -> None:
        self._say = say
        self.seed = secrets.token_bytes(32)
        self._wanted: dict[Key, Open] = {}
        self._untold: set[Key] = set()
        self._watches = False
        self._said: dict[Key, Opened | Failed] = {}
        self._opened: dict[Key, tuple[int, int]] = {}
        self._edge: Address | None = None
        self._router: Router | None = None
        self._datagrams: RouterDatagrams | None = None
        self._igd: RouterIgd | None = None
        self._by: _By | None = None
        self._silent: set[_By] = set()
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def _is_needed(self) -> bool:
        return bool(self._wanted) or self._watches

    @property
    def _asked(self) -> list[RouterDatagrams | RouterIgd]:
        return [one for one in (self._datagrams, self._igd) if one is not None]

    def open(self, wanted: Open) -> None:
        """Have the router lead something to one of this hop's ports."""
        key = Key(Transport(str(wanted.proto)), wanted.port)
        is_new = key not in self._wanted
        self._wanted[key] = wanted
        self._untold.discard(key)
        if not self._timers:
            self._begin()
        elif is_new and self._router is None:
            self._fail(key, Failure.SILENT)
        elif is_new:
            self._ask(key)
            loop = asyncio.get_running_loop()
            self._timers.append(loop.call_later(_ALONE, self._ask_igd))

    def close(self, unwanted: Close) -> None:
        """Let it lead nothing there any more."""
        key = Key(Transport(str(unwanted.proto)), unwanted.port)
        if self._wanted.pop(key, None) is None:
            return
        self._said.pop(key, None)
        self._opened.pop(key, None)
        for asked in self._asked:
            asked.close(key)

    def watch(self, wanted: bool) -> None:
        """Tell dom0, or not any more, the router's address on its other side."""
        if wanted == self._watches:
            return
        self._watches = wanted
        if wanted and not self._timers:
            self._begin()
        else:
            for asked in self._asked:
                asked.watch(wanted)
            self._tell_outside()

    def tell_all(self) -> None:
        """Tell dom0, which has forgotten it, all that the router said.

        What it does not ask for again, it does not want: see `drop_untold`.
        """
        self._untold = set(self._wanted)
        for said in self._said.values():
            self._say(said)

    def drop_untold(self) -> None:
        """Withdraw what dom0 has not asked for since `tell_all`."""
        for key in self._untold & self._wanted.keys():
            wanted = self._wanted[key]
            self.close(Close(wanted.proto, wanted.port))
        self._untold.clear()

    def leave(self) -> None:
        """Withdraw everything, and forget the router."""
        for wanted in list(self._wanted.values()):
            self.close(Close(wanted.proto, wanted.port))
        self._watches = False
        loop = asyncio.get_running_loop()
        # What withdraws gets a moment to be heard.
        loop.call_later(1.0, self._end, *self._asked)
        self._forget()

    def _forget(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = []
        self._router = self._datagrams = self._igd = self._by = self._edge = None
        self._silent.clear()
        self._opened.clear()

    def _end(self, *asked: RouterDatagrams | RouterIgd) -> None:
        for one in asked:
            one.end()

    def _begin(self) -> None:
        """Ask the router of now for all that is wanted."""
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(_LOOK_AGAIN, self._look_again))
        self._router = router = find_router()
        if router is None:
            self._give_up()
            return
        try:
            self._datagrams = RouterDatagrams(
                router, self.seed, lambda event: self._take(_By.DATAGRAMS, event)
            )
        except OSError as error:
            _log.warning("router %s: %s", router.address, error)
        self._timers.append(loop.call_later(_ALONE, self._ask_igd))
        if self._watches and self._datagrams is not None:
            self._datagrams.watch(True)
        for key in self._wanted:
            self._ask(key)

    def _ask(self, key: Key) -> None:
        lifetime = self._wanted[key].lifetime
        if self._datagrams is not None and self._by is not _By.IGD:
            self._datagrams.open(key, lifetime)
        if self._igd is not None and self._by is not _By.DATAGRAMS:
            self._igd.open(key, lifetime)

    def _ask_igd(self) -> None:
        """Ask by UPnP too, if nothing has been heard."""
        has_heard = self._by is not None or (
            self._edge is not None and not self._wanted
        )
        if self._igd is not None or has_heard or self._router is None:
            return
        try:
            self._igd = RouterIgd(
                self._router, lambda event: self._take(_By.IGD, event)
            )
        except OSError as error:
            _log.warning("router %s: %s", self._router.address, error)
            self._take(_By.IGD, NoAnswer())
            return
        if self._watches:
            self._igd.watch(True)
        for key in self._wanted:
            self._igd.open(key, self._wanted[key].lifetime)

    def _look_again(self) -> None:
        loop = asyncio.get_running_loop()
        self._timers = [loop.call_later(_LOOK_AGAIN, self._look_again)]
        if not self._is_needed:
            self._end(*self._asked)
            self._forget()
        else:
            self.look()

    def look(self) -> None:
        """Begin anew if the router, or our own address there, is another one now."""
        if self._timers and find_router() != self._router:
            _log.info("there is another router now")
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._end(*self._asked)
        for key in list(self._opened):
            self._fail(key, Failure.SILENT)
        self._forget()
        self._tell_outside()
        self._begin()

    def _take(self, by: _By, event: ClientEvent) -> None:
        """Take in what happened; of one who is not kept to, only that he can open."""
        if isinstance(event, NoAnswer):
            self._take_silence(by)
            return
        if isinstance(event, MappingOpened | MappingRefused) and self._by is None:
            self._keep_to(by)
        if by is not self._by:
            if isinstance(event, EdgeChanged) and self._by is None:
                self._note_edge(event.edge or self._edge)
            return
        if isinstance(event, MappingOpened):
            self._opened[event.key] = (event.outer, event.lifetime)
            self._note_edge(event.edge or self._edge)
            self._tell(event.key)
        elif isinstance(event, EdgeChanged):
            self._note_edge(event.edge)
        elif isinstance(event, MappingRefused):
            self._fail(event.key, Failure.REFUSED)
        elif isinstance(event, MappingLost):
            self._fail(event.key, Failure.SILENT)

    def _take_silence(self, by: _By) -> None:
        if by is self._by:
            # It may have another protocol by now, for one after an update.
            self._begin_anew()
            return
        self._silent.add(by)
        if by is _By.DATAGRAMS:
            self._ask_igd()
        if self._silent == set(_By) and self._by is None:
            self._give_up()

    def _keep_to(self, by: _By) -> None:
        """Go on with one protocol, and take back what was asked by the other."""
        self._by = by
        _log.info("the router is asked by %s", by)
        other = self._igd if by is _By.DATAGRAMS else self._datagrams
        if other is not None:
            for key in self._wanted:
                other.close(key)

    def _give_up(self) -> None:
        for key in self._wanted:
            self._fail(key, Failure.SILENT)

    def _fail(self, key: Key, reason: Failure) -> None:
        self._opened.pop(key, None)
        self._note(key, Failed(Proto(str(key.transport)), key.inner, reason))

    def _note_edge(self, edge: Address | None) -> None:
        if edge != self._edge:
            self._edge = edge
            for key in self._opened:
                self._tell(key)
            self._tell_outside()

    def _tell_outside(self) -> None:
        if self._watches:
            self._say(Outside(self._edge))

    def _tell(self, key: Key) -> None:
        outer, lifetime = self._opened[key]
        if self._edge is not None:
            proto = Proto(str(key.transport))
            said = Opened(proto, key.inner, outer, max(1, lifetime), self._edge)
            self._note(key, said)

    def _note(self, key: Key, said: Opened | Failed) -> None:
        if key in self._wanted:
            self._said[key] = said
            self._say(said)
