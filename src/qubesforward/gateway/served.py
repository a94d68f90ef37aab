# SPDX-License-Identifier: GPL-2.0-or-later
"""One client: its table, and the servers of all protocols in front of it.

Knows no sockets. What dom0 says goes in by `take`; what dom0 is to be asked goes out by
`say`, and datagrams to the client by `send`.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

from qubesforward.model.hosts import Address
from qubesforward.model.rule import Proto
from qubesforward.portmap.datagram_server import Announcement, DatagramServer
from qubesforward.portmap.igd import IgdConnection, IgdServer
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


class Served:
    """One client of this gateway, which is known by its address.

    `say` sends dom0 a message, and returns False if it cannot be reached. `igd` is
    there for clients of IPv4 that can search for it.
    """

    def __init__(
        self,
        client: Client,
        say: Callable[[FromGateway], bool],
        send: Callable[[list[Datagram]], None],
        now: float,
        igd: Callable[[Table], IgdServer | None],
    ) -> None:
        self.address: Address = client.address
        self.table = Table()
        self.datagrams = DatagramServer(self.table, client.address, now)
        self.igd = igd(self.table)
        self.movers: dict[IgdConnection, Callable[[], None]] = {}
        """By connection, what moves its bytes."""
        self._say = say
        self._send = send
        self._checked: set[Key] = set()
        self.update(client, now)

    def update(self, client: Client, now: float) -> None:
        """Take in what dom0 says of the client."""
        self.table.limits = Limits(client.mappings, _PENDING)
        self.datagrams.set_outside(client.outside, now)
        if self.igd is not None:
            outside = client.outside
            is_its = outside is None or isinstance(outside, IPv4Address)
            self.igd.set_outside(outside if is_its else None, now)  # type: ignore[arg-type]

    def check_all(self) -> None:
        """Ask dom0, which may have forgotten or closed it, for all that is held."""
        for key, record in self.table.list_open():
            lease = next(iter(record.leases.values()), None)
            if lease is not None:
                self._checked.add(key)
                self._ask(Asked(lease.wish, record.sources, renews=True))
        self.table.ask_again()

    def receive_datagram(
        self, untrusted_data: bytes, port: int, now: float
    ) -> list[Datagram]:
        """Return what is to be answered at once."""
        answers = self.datagrams.receive_datagram(untrusted_data, port, now)
        self.pump(now)
        return answers

    def take(self, message: GrantedMap | Denied | Gone | Held, now: float) -> None:
        """Take in what dom0 decided."""
        key = Key(Transport(str(message.proto)), message.inner)
        was_checked = key in self._checked
        self._checked.discard(key)
        if isinstance(message, GrantedMap):
            self.table.grant(key, message.outer, message.lifetime, now)
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
        self.pump(now)
        return self.datagrams.take_announcements(now)

    @property
    def is_idle(self) -> bool:
        """Whether `tick` has nothing to do, now and later."""
        return self.datagrams.get_timer() is None and self.table.find_next_end() is None

    def pump(self, now: float) -> None:
        """Do what the table asks for, until it asks for no more."""
        while events := self.table.take_events():
            for event in events:
                self._handle(event, now)
        for connection in () if self.igd is None else self.igd.take_ready():
            if (move := self.movers.get(connection)) is not None:
                move()

    def _handle(self, event: Event, now: float) -> None:
        if isinstance(event, Asked):
            if not self._ask(event):
                key = event.wish.key
                self.table.deny(key, Reason.NETWORK, NETWORK_RETRY, now)
        elif isinstance(event, Released):
            self._checked.discard(event.key)
            key = event.key
            self._say(Unmap(self.address, Proto(str(key.transport)), key.inner))
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
            )
        )


def _format_holder(holder: Holder) -> str:
    return f"{holder.via}:{holder.nonce.hex()}" if holder.nonce else str(holder.via)


def _parse_holder(text: str) -> Holder:
    via, _, nonce = text.partition(":")
    return Holder(Via(via), bytes.fromhex(nonce))
