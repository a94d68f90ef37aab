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

from qubesforward.gateway.links import Router, find_router
from qubesforward.gateway.router_datagrams import RouterDatagrams
from qubesforward.gateway.router_igd import RouterIgd
from qubesforward.gateway.withdrawals import By, Withdrawals
from qubesforward.model.hosts import Address
from qubesforward.model.rule import Proto
from qubesforward.portmap.client_events import (
    ClientEvent,
    EdgeChanged,
    MappingClosed,
    MappingLost,
    MappingOpened,
    MappingRefused,
    NoAnswer,
)
from qubesforward.portmap.mapping import Key, Transport
from qubesforward.qubes.mapping_wire import (
    Close,
    Closed,
    Failed,
    Failure,
    FromGateway,
    Open,
    Opened,
    Outside,
)

_log = logging.getLogger(__name__)

_ALONE = 0.75
"""Seconds that PCP and NAT-PMP have before UPnP is asked as well: programs wait, and
dom0 waits for one second in their stead."""

_LINGER = 5.0
"""Seconds after which a router that nothing is wanted of is forgotten."""


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
        self._closing = Withdrawals()
        self._edge: Address | None = None
        self._router: Router | None = None
        self._datagrams: RouterDatagrams | None = None
        self._igd: RouterIgd | None = None
        self._asks_igd = False
        self._by: By | None = None
        self._silent: set[By] = set()
        self._waiting: asyncio.TimerHandle | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._is_begun = False

    @property
    def _is_needed(self) -> bool:
        return bool(self._wanted or self._closing) or self._watches

    @property
    def _asked(self) -> dict[By, RouterDatagrams | RouterIgd]:
        asked: dict[By, RouterDatagrams | RouterIgd] = {}
        if self._datagrams is not None:
            asked[By.DATAGRAMS] = self._datagrams
        if self._igd is not None:
            asked[By.IGD] = self._igd
        return asked

    def open(self, wanted: Open) -> None:
        """Have the router lead something to one of this hop's ports."""
        key = Key(Transport(str(wanted.proto)), wanted.port)
        is_new = key not in self._wanted
        self._wanted[key] = wanted
        self._closing.drop(key)
        self._untold.discard(key)
        if not self._is_begun:
            self._begin()
        elif is_new and self._router is None:
            self._fail(key, Failure.SILENT)
        elif is_new:
            self._ask(key)
            self._wait_for_datagrams()

    def close(self, unwanted: Close) -> None:
        """Let it lead nothing there any more; dom0 is told when it does not.

        It may have been asked for by an earlier run, of which only dom0 knows.
        """
        key = Key(Transport(str(unwanted.proto)), unwanted.port)
        was_wanted = self._wanted.pop(key, None) is not None
        self._said.pop(key, None)
        outer, _ = self._opened.pop(key, (unwanted.outer, 0))
        if not was_wanted and outer is None:
            return
        self._closing.begin(key, outer or key.inner, ())
        if not self._is_begun:
            self._begin()
        elif self._router is not None:
            by = self._by if was_wanted else None
            self._withdraw(key, outer or key.inner, by, is_ours=was_wanted)
        self._linger()

    def _withdraw(
        self, key: Key, outer: int, by: By | None, *, is_ours: bool = False
    ) -> None:
        """Have the router close something; what is not ours, in every way there is."""
        if not is_ours:
            self._make_igd()
        asked = self._asked if by is None else {by: self._asked[by]}
        self._closing.begin(key, outer, asked)
        for one in asked.values():
            one.withdraw(key, outer)

    def watch(self, wanted: bool) -> None:
        """Tell dom0, or not any more, the router's address on its other side."""
        if wanted == self._watches:
            return
        self._watches = wanted
        if wanted and not self._is_begun:
            self._begin()
        else:
            for asked in self._asked.values():
                asked.watch(wanted)
            self._tell_outside()
        self._linger()

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
        self._closing.clear()
        loop = asyncio.get_running_loop()
        # What withdraws gets a moment to be heard.
        loop.call_later(1.0, self._end, *self._asked.values())
        self._forget()

    def _forget(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        self._is_begun = False
        self._router = self._datagrams = self._igd = self._by = self._edge = None
        self._asks_igd = False
        self._silent.clear()
        self._opened.clear()

    def _end(self, *asked: RouterDatagrams | RouterIgd) -> None:
        for one in asked:
            one.end()

    def _begin(self) -> None:
        """Ask the router of now for all that is wanted."""
        self._is_begun = True
        self._router = router = find_router()
        if router is None:
            self._give_up()
            return
        try:
            self._datagrams = RouterDatagrams(
                router, self.seed, lambda event: self._take(By.DATAGRAMS, event)
            )
        except OSError as error:
            _log.warning("router %s: %s", router.address, error)
        self._wait_for_datagrams()
        if self._watches and self._datagrams is not None:
            self._datagrams.watch(True)
        for key in self._wanted:
            self._ask(key)
        for key, outer in self._closing:
            self._withdraw(key, outer, None)

    def _ask(self, key: Key) -> None:
        lifetime = self._wanted[key].lifetime
        if self._datagrams is not None and self._by is not By.IGD:
            self._datagrams.open(key, lifetime)
        if self._igd and self._asks_igd and self._by is not By.DATAGRAMS:
            self._igd.open(key, lifetime)

    def _wait_for_datagrams(self) -> None:
        if self._waiting is None:
            loop = asyncio.get_running_loop()
            self._waiting = loop.call_later(_ALONE, self._ask_igd)

    def _ask_igd(self) -> None:
        """Ask by UPnP too, if nothing has been heard."""
        self._waiting = None
        has_heard = self._by is not None or (
            self._edge is not None and not self._wanted
        )
        if self._asks_igd or has_heard or self._router is None:
            return
        self._asks_igd = True
        self._make_igd()
        if self._igd is None:
            self._take(By.IGD, NoAnswer())
            return
        for key in self._wanted:
            self._igd.open(key, self._wanted[key].lifetime)

    def _make_igd(self) -> None:
        if self._igd is not None or self._router is None:
            return
        try:
            self._igd = RouterIgd(self._router, lambda event: self._take(By.IGD, event))
        except OSError as error:
            _log.warning("router %s: %s", self._router.address, error)
            return
        if self._watches:
            self._igd.watch(True)

    def _linger(self) -> None:
        """Forget the router soon, if nothing is wanted of it any more."""
        if self._is_begun and not self._is_needed and self._lingering is None:
            loop = asyncio.get_running_loop()
            self._lingering = loop.call_later(_LINGER, self._let_go)

    def _let_go(self) -> None:
        self._lingering = None
        if not self._is_needed:
            self._end(*self._asked.values())
            self._forget()

    def look(self) -> None:
        """Begin anew if the router, or our own address there, is another one now."""
        if self._is_begun and find_router() != self._router:
            _log.info("there is another router now")
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._end(*self._asked.values())
        for key in list(self._opened):
            self._fail(key, Failure.SILENT)
        self._forget()
        self._tell_outside()
        self._begin()

    def _take(self, by: By, event: ClientEvent) -> None:
        """Take in what happened; of one who is not kept to, only that he can open."""
        if isinstance(event, NoAnswer):
            for key, _ in self._closing:
                self._take_closed(by, MappingClosed(key, is_confirmed=False))
            self._take_silence(by)
            return
        if isinstance(event, MappingClosed):
            self._take_closed(by, event)
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

    def _take_closed(self, by: By, event: MappingClosed) -> None:
        key = event.key
        if self._closing.finish(key, by, is_confirmed=event.is_confirmed):
            self._say(Closed(Proto(str(key.transport)), key.inner))
        self._linger()

    def _take_silence(self, by: By) -> None:
        if by is self._by:
            # It may have another protocol by now, for one after an update.
            self._begin_anew()
            return
        self._silent.add(by)
        if by is By.DATAGRAMS:
            self._ask_igd()
        if self._silent == set(By) and self._by is None:
            self._give_up()

    def _keep_to(self, by: By) -> None:
        """Go on with one protocol, and take back what was asked by the other."""
        self._by = by
        _log.info("the router is asked by %s", by)
        other = self._igd if by is By.DATAGRAMS else self._datagrams
        if other is not None:
            for key in self._wanted:
                other.close(key)

    def _give_up(self) -> None:
        for key in self._wanted:
            self._fail(key, Failure.SILENT)

    def _fail(self, key: Key, reason: Failure) -> None:
        self._opened.pop(key, None)
        failed = Failed(Proto(str(key.transport)), key.inner, reason)
        if self._said.get(key) != failed:
            self._note(key, failed)

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
