# SPDX-License-Identifier: GPL-2.0-or-later
"""A server with its table, and somebody who decides at once, later or not at all."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

from qubesforward.portmap.datagram_server import DatagramServer
from qubesforward.portmap.mapping import Address, Key, Network, Reason
from qubesforward.portmap.pcp_options import encode_options
from qubesforward.portmap.pcp_result import Result
from qubesforward.portmap.pcp_wire import (
    MapRequest,
    decode_response,
    encode_map_request,
)
from qubesforward.portmap.table import (
    Asked,
    Event,
    Limits,
    Released,
    Settled,
    Table,
    Withdrawn,
)

CLIENT = ip_address("10.137.0.20")
OUTSIDE = ip_address("192.168.1.10")
PORT = 40000
FIRST = b"first nonce!"
SECOND = b"second nonce"

NATPMP_MAP = struct.Struct(">BBxxHHI")
"""A request for a mapping in NAT-PMP."""


def natpmp_map(opcode: int, internal: int, external: int, lifetime: int) -> bytes:
    return NATPMP_MAP.pack(0, opcode, internal, external, lifetime)


def pcp_map(
    internal: int,
    nonce: bytes = FIRST,
    *,
    protocol: int = 6,
    suggested: int = 0,
    lifetime: int = 3600,
    exact: bool = False,
    filters: frozenset[Network] | None = None,
    address: str = "0.0.0.0",
    client: Address = CLIENT,
) -> bytes:
    outside = ip_address(address)
    request = MapRequest(lifetime, nonce, protocol, internal, suggested, outside)
    options = encode_options(exact=exact, filters=filters)
    return encode_map_request(request, client, options)


def result_of(answer: bytes | None) -> tuple[Result, int]:
    """Return the code and the lifetime of an answer in PCP."""
    assert answer is not None
    response = decode_response(answer)
    return Result(response.result), response.lifetime


@dataclass
class World:
    """`now` is set by tests. `decides`: grant at once; otherwise `asked` is kept.

    `is_static`: what is granted is there by the user's own forward.
    A grant gives the port that is wished for, or else the next free one from 50000 on.
    """

    decides: bool = True
    client: Address = CLIENT
    outside: Address | None = OUTSIDE
    longest: int = 86400
    is_static: bool = False
    now: float = 1000.0
    asked: list[Asked] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.table = Table(Limits(mappings=64, pending=16))
        self.server = DatagramServer(self.table, self.client, self.now)
        self.server.set_outside(self.outside, self.now)
        self._next = 50000
        self._taken: set[tuple[str, int]] = set()

    def send(self, data: bytes, port: int = PORT) -> bytes | None:
        """Return the answer, also one that comes because of a decision; None: none."""
        answers = self.server.receive_datagram(data, port, self.now)
        answers += list(self._run())
        assert len(answers) <= 1
        assert all(to == port for _, to in answers)
        return answers[0][0] if answers else None

    def _run(self) -> Iterator[tuple[bytes, int]]:
        while events := self.table.take_events():
            for event in events:
                self.events.append(event)
                if isinstance(event, Asked):
                    self.asked.append(event)
                    if self.decides:
                        self._grant(event)
                elif isinstance(event, Settled):
                    yield from self.server.settle(event.key, self.now)
                elif isinstance(event, Withdrawn):
                    yield from self.server.withdraw(event, self.now)

    def _grant(self, event: Asked) -> None:
        key, outer = event.wish.key, event.wish.outer
        record = self.table.find(key)
        assert record is not None
        if record.is_open:
            outer = record.outer
        elif not outer or (key.transport, outer) in self._taken:
            if event.wish.exact:
                self.table.deny(key, Reason.CONFLICT, 30, self.now)
                return
            outer, self._next = self._next, self._next + 1
        lifetime = min(event.wish.lifetime, self.longest)
        self.table.grant(key, outer, lifetime, self.now, is_static=self.is_static)

    def take(self, transport: str, outer: int) -> None:
        """Let an outer port be somebody else's."""
        self._taken.add((transport, outer))

    def grant(self, outer: int = 50000, lifetime: int = 3600) -> list[bytes]:
        """Grant what was asked for first; return what the client is sent."""
        self.table.grant(self.asked.pop(0).wish.key, outer, lifetime, self.now)
        return [data for data, _ in self._run()]

    def deny(self, reason: Reason = Reason.DENIED, retry: int = 1800) -> list[bytes]:
        """Deny what was asked for first; return what the client is sent."""
        self.table.deny(self.asked.pop(0).wish.key, reason, retry, self.now)
        return [data for data, _ in self._run()]

    def withdraw(self, key: Key) -> list[tuple[bytes, int]]:
        """End a mapping, as somebody in dom0 may; return what the client is sent."""
        self.table.withdraw(key)
        return list(self._run())

    @property
    def released(self) -> list[Key]:
        """What ended because nobody wanted it any more."""
        return [event.key for event in self.events if isinstance(event, Released)]
