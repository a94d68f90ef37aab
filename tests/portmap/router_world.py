# SPDX-License-Identifier: GPL-2.0-or-later
"""A client and the router that it asks, in memory, with a clock that tests turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from random import Random

from qubesforward.portmap.client_events import ClientEvent
from qubesforward.portmap.datagram_client import DatagramClient
from qubesforward.portmap.mapping import Address, Key, Transport
from qubesforward.portmap.natpmp_server import NatPmpServer
from qubesforward.portmap.pcp_result import Result
from qubesforward.portmap.pcp_wire import (
    MapResponse,
    encode_error,
    encode_map_response,
)
from tests.portmap.server_world import CLIENT, FIRST, OUTSIDE, World

ROUTER = ip_address("10.137.0.1")
KEY = Key(Transport.TCP, 8080)
OTHER = Key(Transport.UDP, 8081)

Router = Callable[[bytes, float], list[bytes]]


EDGE = ip_address("203.0.113.9")
"""The outside address of a router made by hand."""


def opened(
    outer: int = 443, lifetime: int = 3600, *, epoch: int = 0, nonce: bytes = FIRST
) -> bytes:
    return encode_map_response(
        MapResponse(0, lifetime, epoch, nonce, 6, 8080, outer, EDGE)
    )


def silent(data: bytes, now: float) -> list[bytes]:
    return []


@dataclass
class Network:
    """The client asks `router`; of a hundred datagrams `loss` are lost each way."""

    router: Router = silent
    own: Address = CLIENT
    address: Address = ROUTER
    loss: int = 0
    seed: int = 1
    now: float = 0.0
    sent: list[tuple[float, bytes]] = field(default_factory=list)
    events: list[ClientEvent] = field(default_factory=list)
    world: World | None = None

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self.client = DatagramClient(self.address, self.own, self._random.random)

    def start(self, key: Key = KEY, outer: int = 443, lifetime: int = 3600) -> None:
        self.client.start(key, outer, lifetime, FIRST, self.now)
        self.run(0)

    def run(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due."""
        end = self.now + seconds
        while True:
            due = [self.client.get_timer()]
            if self.world:
                due += [self.world.server.get_timer(), self.world.table.find_next_end()]
            times = [time for time in due if time is not None and time <= end]
            if not times:
                break
            self._step(max(self.now, min(times)))
        self.now = end
        self._listen()

    def _step(self, now: float) -> None:
        self.now = now
        if self.world:
            self.world.now = now
            self.world.table.expire(now)
            for announcement in self.world.server.take_announcements(now):
                self.deliver(announcement.data)
            for update, _port in self.world.server.take_updates(now):
                self.deliver(update)
        self.client.handle_timer(now)
        for data in self.client.datagrams_to_send():
            self.sent.append((now, data))
            if self._arrives():
                for answer in self.router(data, now):
                    self.deliver(answer)
        self._listen()

    def deliver(self, data: bytes) -> None:
        """Let a datagram of the router come to the client, if it is not lost."""
        if self._arrives():
            self.client.receive_datagram(data, self.address, 5351, self.now)
            self._listen()

    def _arrives(self) -> bool:
        return self._random.randrange(100) >= self.loss

    def _listen(self) -> None:
        while event := self.client.next_event():
            self.events.append(event)

    def take_events(self) -> list[ClientEvent]:
        events, self.events = self.events, []
        return events

    def take_sent(self) -> list[tuple[float, bytes]]:
        sent, self.sent = self.sent, []
        return sent


def of_both(loss: int = 0, seed: int = 1, speaks: str = "both") -> Network:
    """Pair a client with our own server, as a router that speaks one or both.

    An `old` one speaks NAT-PMP, and drops what it does not know.
    """
    world = World(now=0.0)
    natpmp = NatPmpServer(world.table, 86400)

    def answer(data: bytes, now: float) -> list[bytes]:
        if speaks == "old" and data[0] == 2:
            return []
        if speaks == "natpmp" and data[0] == 2:
            refusal = natpmp.receive(data, 1, None, int(now), now)
            return [refusal] if refusal else []
        if speaks == "pcp" and data[0] == 0:
            return [
                encode_error(
                    data, Result.UNSUPP_VERSION, 1800, int(now), is_parsed=False
                )
            ]
        reply = world.send(data)
        return [reply] if reply else []

    network = Network(answer, loss=loss, seed=seed, world=world)
    if speaks != "both":
        # A router that speaks one protocol announces in that one only; not at all here.
        world.server.set_outside(None, 0.0)
        world.server.take_announcements(0.0)
        world.server._outside = OUTSIDE
    return network
