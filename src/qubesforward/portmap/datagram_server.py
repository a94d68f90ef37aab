# SPDX-License-Identifier: GPL-2.0-or-later
"""The server of NAT-PMP and PCP for one client, on its port 5351.

Bytes and the time in, bytes out. The table says what the client may have; while it says
`Pending`, nothing is answered, and the newest request for each key waits for `settle`.
What is kept for a client is bounded by the table's limits and by `waiting.MOST`.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

from qubesforward.portmap import natpmp_wire
from qubesforward.portmap.mapping import Address, Key
from qubesforward.portmap.natpmp_server import NatPmpServer, encode_address
from qubesforward.portmap.pcp_server import PcpServer
from qubesforward.portmap.pcp_wire import encode_announcement
from qubesforward.portmap.table import Table, Withdrawn
from qubesforward.portmap.updates import Updates
from qubesforward.portmap.waiting import Datagram

SERVER_PORT = 5351
CLIENT_PORT = 5350
"""Where clients listen for what they did not ask for: RFC 6886, 3.2.1; 6887, 14."""

ALL_HOSTS = {4: ip_address("224.0.0.1"), 6: ip_address("ff02::1")}

_ANNOUNCEMENTS = 10
_FIRST_PAUSE = 0.25
"""Seconds, doubled each time: RFC 6886, 3.2.1, and RFC 6887, 14.1.3."""

SHORTEST = 120
LONGEST = 24 * 60 * 60
"""Seconds of a mapping, as RFC 6887 (15) recommends. The shortest is PCP's only."""

_EPOCH_BITS = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Announcement:
    """A datagram for everybody on the client's link, from the server's port."""

    data: bytes
    destination: Address
    port: int = CLIENT_PORT


class DatagramServer:
    """Serves the one client that has the address `client`.

    `started`: when the table was made, on the clock of all `now`: the epoch. A client
    with addresses of both families has two servers, each with a table of its own.
    """

    def __init__(
        self,
        table: Table,
        client: Address,
        started: float,
        shortest: int = SHORTEST,
        longest: int = LONGEST,
    ) -> None:
        self._client = client
        self._started = started
        self._outside: Address | None = None
        self._former: Address | None = None
        self._natpmp = NatPmpServer(table, longest)
        self._pcp = PcpServer(table, client, shortest, longest)
        self._updates = Updates()
        self._announced = _ANNOUNCEMENTS
        self._next_announcement = started

    @property
    def waiting(self) -> int:
        """How many requests wait for an answer."""
        return len(self._natpmp.waiting) + len(self._pcp.waiting)

    def receive_datagram(
        self, untrusted_data: bytes, port: int, now: float
    ) -> list[Datagram]:
        """Return the answers to a datagram that came from the client and this port."""
        answer = self._answer(untrusted_data, port, now)
        return [] if answer is None else [(answer, port)]

    def _answer(self, untrusted_data: bytes, port: int, now: float) -> bytes | None:
        epoch = self._epoch(now)
        is_natpmp = untrusted_data[:1] == bytes((natpmp_wire.VERSION,))
        # NAT-PMP knows of IPv4 only; an IPv6 client is told so by PCP.
        if is_natpmp and isinstance(self._client, IPv4Address):
            outside = self._outside if isinstance(self._outside, IPv4Address) else None
            return self._natpmp.receive(untrusted_data, port, outside, epoch, now)
        return self._pcp.receive(untrusted_data, port, self._outside, epoch, now)

    def _epoch(self, now: float) -> int:
        return max(0, int(now - self._started)) & _EPOCH_BITS

    def settle(self, key: Key, now: float) -> list[Datagram]:
        """Return answers to the requests that wait for this key; some may go on to."""
        answers = []
        for waiting in (self._natpmp.waiting, self._pcp.waiting):
            request = waiting.take(key)
            if request is not None:
                self._updates.drop(key)
                answers += self.receive_datagram(*request, now)
        return answers

    def withdraw(self, event: Withdrawn, now: float) -> list[Datagram]:
        """Return what tells the client that a mapping ended before its time.

        NAT-PMP has no words for that.
        """
        updates = self._pcp.update(event, self._outside, self._epoch(now))
        if updates:
            self._updates.put(event, now)
        return updates

    def take_updates(self, now: float) -> list[Datagram]:
        """Return what the client is to be told again now."""
        return [
            update
            for event in self._updates.take(now)
            for update in self._pcp.update(event, self._outside, self._epoch(now))
        ]

    def set_outside(self, address: Address | None, now: float) -> None:
        """Take in the address that answers carry, of the client's family; None: none.

        Another one than before resets the epoch and is announced (RFC 6886, 3.2.1 and
        3.6; RFC 6887, 8.5): mappings are where nobody looks for them.
        """
        if address == self._outside:
            return
        self._outside = address
        if address is None:
            self._announced = _ANNOUNCEMENTS
            return
        if self._former not in (None, address):
            self._started = now
        self._former = address
        self._announced = 0
        self._next_announcement = now

    def lose_state(self, now: float) -> None:
        """Take in that mappings were lost: the epoch begins again, and is announced."""
        self._started = now
        if self._outside is not None:
            self._announced = 0
            self._next_announcement = now

    def get_timer(self) -> float | None:
        """Return when there is something to tell or announce next; None for never."""
        due = [self._updates.get_timer()]
        if self._announced < _ANNOUNCEMENTS:
            due.append(self._next_announcement)
        return min((each for each in due if each is not None), default=None)

    def take_announcements(self, now: float) -> list[Announcement]:
        """Return what is to be announced now: ten times, ever more seldom."""
        if self._announced >= _ANNOUNCEMENTS or self._next_announcement > now:
            return []
        self._next_announcement = now + _FIRST_PAUSE * 2**self._announced
        self._announced += 1
        epoch = self._epoch(now)
        packets = [encode_announcement(epoch)]
        if isinstance(self._outside, IPv4Address):
            packets.insert(0, encode_address(self._outside, epoch))
        destination = ALL_HOSTS[self._client.version]
        return [Announcement(packet, destination) for packet in packets]
