# SPDX-License-Identifier: GPL-2.0-or-later
"""The sockets on one interface, and to whom what comes in there belongs.

Sockets are open while somebody is served there and not longer: a client that is not
served finds nobody listening.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address

from qubesforward.gateway.links import find_address, find_index, is_downstream
from qubesforward.gateway.served import Served
from qubesforward.gateway.sockets import (
    HTTP_PORT,
    Peer,
    open_portmap,
    open_search,
    open_web,
    receive,
    send,
)
from qubesforward.gateway.web import Web
from qubesforward.model.hosts import Address
from qubesforward.portmap.datagram_server import Announcement
from qubesforward.portmap.ssdp import GROUP, MAX_MESSAGE
from qubesforward.portmap.ssdp import PORT as SSDP_PORT
from qubesforward.portmap.waiting import Datagram

_log = logging.getLogger(__name__)

_LARGEST_REQUEST = 1101
"""Bytes of a datagram that are read: one more than PCP allows (RFC 6887, 7)."""

_AT_ONCE = 32
"""Datagrams of one socket after which others get their turn."""


def _find_own(name: str) -> IPv4Address | None:
    return find_address(name) if is_downstream(name) else None


class Device:
    """One interface. `served` are its clients by address.

    `own` is its IPv4 address, where it leads to a qube below: only there can clients
    search for a gateway.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._index = find_index(name)
        self.served: dict[Address, Served] = {}
        self.own = _find_own(name)
        self._loop = asyncio.get_running_loop()
        self._portmap: dict[int, socket.socket] = {}
        self._search: socket.socket | None = None
        self._web: asyncio.Server | None = None
        self._peers: dict[Address, Peer] = {}

    @property
    def is_as_it_was(self) -> bool:
        """Whether it is still the interface, and has the address, of then."""
        is_it = self._index and find_index(self.name) == self._index
        return bool(is_it) and _find_own(self.name) == self.own

    async def add(self, served: Served) -> None:
        """Serve one more client; what cannot be opened is logged and left out."""
        self.served[served.address] = served
        served.enter(self.own, HTTP_PORT, self._loop.time())
        family = served.address.version
        if family not in self._portmap:
            one = self._open(lambda: open_portmap(self.name, family))
            if one is not None:
                self._portmap[family] = one
                self._loop.add_reader(one, self._read_portmap, one)
        if served.igd is not None and self.own is not None and self._web is None:
            await self._open_igd(self.own)
            for packet in served.igd.render_alive():
                self._announce(self._search, packet, (str(GROUP), SSDP_PORT))
        # It may have been removed while the server was being made.
        self._close_unused()

    async def _open_igd(self, own: IPv4Address) -> None:
        self._search = self._open(lambda: open_search(self.name, own))
        if self._search is not None:
            self._loop.add_reader(self._search, self._read_search, self._search)
        web = self._open(lambda: open_web(self.name, own))
        if web is not None:
            self._web = await self._loop.create_server(
                lambda: Web(self._find), sock=web
            )

    def _open(self, make: Callable[[], socket.socket]) -> socket.socket | None:
        try:
            return make()
        except OSError as error:
            _log.error("%s: cannot be served: %s", self.name, error)
            return None

    def remove(self, served: Served) -> None:
        """Serve a client no more; without any, all is closed."""
        self.served.pop(served.address, None)
        self._peers.pop(served.address, None)
        if served.igd is not None:
            for packet in served.igd.render_byebye():
                self._announce(self._search, packet, (str(GROUP), SSDP_PORT))
        served.leave()
        self._close_unused()

    def _close_unused(self) -> None:
        families = {each.version for each in self.served}
        for family in self._portmap.keys() - families:
            self._close(self._portmap.pop(family))
        if 4 not in families:
            if self._search is not None:
                self._close(self._search)
            if self._web is not None:
                self._web.close()
            self._search = self._web = None

    def _close(self, one: socket.socket) -> None:
        self._loop.remove_reader(one)
        one.close()

    def _find(self, untrusted_address: str) -> Served | None:
        return self.served.get(ip_address(untrusted_address.partition("%")[0]))

    def _read_portmap(self, one: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            found = receive(one, _LARGEST_REQUEST)
            if found is None:
                return
            untrusted_data, peer = found
            served = self._find(peer.address)
            if served is not None:
                self._peers[served.address] = peer
                now = self._loop.time()
                answers = served.receive_datagram(untrusted_data, peer.port, now)
                for answer, port in answers:
                    send(one, answer, peer, port)

    def send(self, served: Served, datagrams: list[Datagram]) -> None:
        """Send a client what it has waited for."""
        one = self._portmap.get(served.address.version)
        peer = self._peers.get(served.address)
        for data, port in datagrams if one is not None and peer is not None else ():
            send(one, data, peer, port)  # type: ignore[arg-type]

    def _read_search(self, one: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            found = receive(one, MAX_MESSAGE + 1)
            if found is None:
                return
            untrusted_data, peer = found
            served = self._find(peer.address)
            if served is not None and served.igd is not None:
                now = self._loop.time()
                answers = served.igd.receive_search(untrusted_data, peer.port, now)
                for answer, port in answers:
                    self._announce(one, answer, (peer.address, port))

    def announce(self, announcement: Announcement) -> None:
        """Send something to everybody on the link."""
        family = announcement.destination.version
        one = self._portmap.get(family)
        where = (str(announcement.destination), announcement.port)
        if family == 4:
            self._announce(one, announcement.data, where)
        else:
            self._announce(one, announcement.data, (*where, 0, self._index))

    def _announce(
        self,
        one: socket.socket | None,
        data: bytes,
        where: tuple[str, int] | tuple[str, int, int, int],
    ) -> None:
        if one is None:
            return
        try:
            one.sendto(data, where)
        except OSError as error:
            _log.info("%s: not announced: %s", self.name, error)
