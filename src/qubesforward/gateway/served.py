# SPDX-License-Identifier: GPL-2.0-or-later
"""One client: its table, and the servers of all protocols in front of it.

Knows no sockets. What dom0 says goes in by `take`; what dom0 is to be asked goes out by
`say`, and datagrams to the client by `send`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Protocol

from qubesforward.model.hosts import Address
from qubesforward.model.rule import Proto
from qubesforward.portmap.datagram_server import Announcement, DatagramServer
from qubesforward.portmap.igd import Allowance, IgdConnection, IgdServer
from qubesforward.portmap.mapping import Holder, Key, Reason, Transport, Via
from qubesforward.portmap.table import (
    Asked,
    Event,
    Limits,
    Released,
    Settled,
    Table,
    Withdrawn,
)
from qubesforward.portmap.waiting import Datagram
from qubesforward.qubes.mapping_wire import (
    Client,
    Denied,
    FromGateway,
    Gone,
    GrantedMap,
    Held,
    Map,
    Unmap,
    clean_name,
)

NETWORK_RETRY = 30
"""Seconds after which a client may ask again when dom0 cannot be asked."""

_PENDING = 64

_DATAGRAMS = 5000.0
"""Datagrams taken from one client in a second: dom0, which all share, takes 8,000 lines
of one gateway."""


class Mover(Protocol):
    """What moves the bytes of a connection."""

    def move(self) -> None:
        """Send what there is to send."""

    def end(self) -> None:
        """Let go of it at once."""


class Served:
    """One client of this gateway, which is known by its address.

    `say` sends dom0 a message, and returns False if it cannot be reached; `arm` is told
    when to call `tick`. `igd` is there for clients of IPv4 that can search for it.
    """

    def __init__(
        self,
        client: Client,
        say: Callable[[FromGateway], bool],
        send: Callable[[list[Datagram]], None],
        arm: Callable[[float], None],
        now: float,
    ) -> None:
        self.address: Address = client.address
        self.table = Table()
        self.datagrams = DatagramServer(self.table, client.address, now)
        self.igd: IgdServer | None = None
        self.movers: dict[IgdConnection, Mover] = {}
        self._say = say
        self._send = send
        self._arm = arm
        self._checked: set[Key] = set()
        self._is_new = True
        self._allowance = Allowance(_DATAGRAMS, now)
        self._outside: IPv4Address | None = None
        self.update(client, now)

    def update(self, client: Client, now: float) -> None:
        """Take in what dom0 says of the client."""
        self.table.limits = Limits(client.mappings, _PENDING)
        outside = client.outside
        is_its = outside is None or outside.version == self.address.version
        self.datagrams.set_outside(outside if is_its else None, now)
        self._outside = outside if isinstance(outside, IPv4Address) else None
        if self.igd is not None:
            self.igd.set_outside(self._outside, now)
        self._arm_next()

    def enter(self, own: IPv4Address | None, http_port: int, now: float) -> None:
        """Take in by which address of ours it is served; None: not by UPnP."""
        self.igd = None
        if own is not None and isinstance(self.address, IPv4Address):
            name = str(uuid.uuid4())
            self.igd = IgdServer(self.table, self.address, own, http_port, name, now)
            self.igd.set_outside(self._outside, now)

    def leave(self) -> None:
        """End all connections: it is served no more where they came from."""
        for mover in list(self.movers.values()):
            mover.end()
        self.movers.clear()

    def check_all(self, now: float) -> None:
        """Ask dom0, which may have forgotten or closed it, for all that is held."""
        for key, record in self.table.list_open():
            lease = max(record.leases.values(), key=lambda one: one.end, default=None)
            if lease is not None:
                self._checked.add(key)
                # No longer than it is held anyway: whoever wants more asks for more.
                wish = replace(lease.wish, lifetime=max(1, int(lease.end - now)))
                self._ask(Asked(wish, record.sources, renews=True))
        self.table.ask_again()

    def is_told(self) -> None:
        """Take in that dom0 has told what was held before this client was served."""
        self._is_new = False

    def _release(self, key: Key) -> None:
        proto = Proto(str(key.transport))
        self._say(Unmap(self.address, proto, key.inner))

    def receive_datagram(
        self, untrusted_data: bytes, port: int, now: float
    ) -> list[Datagram]:
        """Return what is to be answered at once; what is too much is lost."""
        if not self._allowance.take(1, now):
            return []
        answers = self.datagrams.receive_datagram(untrusted_data, port, now)
        self.pump(now)
        return answers

    def take(self, message: GrantedMap | Denied | Gone | Held, now: float) -> None:
        """Take in what dom0 decided."""
        key = Key(Transport(str(message.proto)), message.inner)
        was_checked = key in self._checked
        self._checked.discard(key)
        if isinstance(message, GrantedMap):
            outer, lifetime = message.outer, message.lifetime
            is_static = message.static
            self.table.grant(key, outer, lifetime, now, is_static=is_static)
        elif isinstance(message, Held) and not self._is_new:
            # The client was told that it is gone, and dom0 did not hear of that.
            if self.table.find(key) is None:
                self._release(key)
        elif isinstance(message, Held):
            holders = [_parse_holder(text) for text in message.holder]
            self.table.restore(
                key,
                message.outer,
                message.lifetime,
                holders,
                now,
                frozenset(message.src),
            )
        elif isinstance(message, Gone) or was_checked:
            self.table.withdraw(key)
        else:
            reason = Reason(str(message.reason))
            self.table.deny(key, reason, message.retry, now)
        self.pump(now)

    def tick(self, now: float) -> list[Announcement]:
        """Let go of what has ended; return what is to be announced."""
        self.table.expire(now)
        self._send(self.datagrams.take_updates(now))
        announcements = self.datagrams.take_announcements(now)
        self.pump(now)
        return announcements

    def _arm_next(self) -> None:
        """Have `tick` called when something ends or is to be announced."""
        for at in (self.datagrams.get_timer(), self.table.find_next_end()):
            if at is not None:
                self._arm(at)

    def pump(self, now: float) -> None:
        """Do what the table asks for, until it asks for no more."""
        while events := self.table.take_events():
            for event in events:
                self._handle(event, now)
        for connection in () if self.igd is None else self.igd.take_ready():
            if (mover := self.movers.get(connection)) is not None:
                mover.move()
        self._arm_next()

    def _handle(self, event: Event, now: float) -> None:
        if isinstance(event, Asked):
            if not self._ask(event):
                key = event.wish.key
                self.table.deny(key, Reason.NETWORK, NETWORK_RETRY, now)
        elif isinstance(event, Released):
            self._checked.discard(event.key)
            self._release(event.key)
        elif isinstance(event, Settled):
            self._send(self.datagrams.settle(event.key, now))
            if self.igd is not None:
                self.igd.settle(event.key, now)
        elif isinstance(event, Withdrawn):
            self._send(self.datagrams.withdraw(event, now))

    def _ask(self, asked: Asked) -> bool:
        wish = asked.wish
        return self._say(
            Map(
                client=self.address,
                proto=Proto(str(wish.key.transport)),
                inner=wish.key.inner,
                outer=wish.outer,
                lifetime=wish.lifetime,
                holder=_format_holder(wish.holder),
                exact=wish.exact,
                src=tuple(sorted(asked.sources, key=str)),
                name=clean_name(wish.untrusted_name),
                again=asked.renews,
            )
        )


def _format_holder(holder: Holder) -> str:
    return f"{holder.via}:{holder.nonce.hex()}" if holder.nonce else str(holder.via)


def _parse_holder(text: str) -> Holder:
    via, _, nonce = text.partition(":")
    return Holder(Via(via), bytes.fromhex(nonce))
