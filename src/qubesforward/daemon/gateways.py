# SPDX-License-Identifier: GPL-2.0-or-later
"""What gateways are told: whom they serve, what is granted, what their router shall do.

Every gateway is told of its own clients only, by their addresses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from qubesforward.daemon.edges import Edges, list_opens
from qubesforward.daemon.gateway_links import Link
from qubesforward.daemon.hops import Hops
from qubesforward.daemon.mappings import Mapping, Mappings, Place
from qubesforward.daemon.reconciler import Reconciler
from qubesforward.daemon.topology import Topology
from qubesforward.model.hosts import Address
from qubesforward.model.rule import ForwardRule, Reach
from qubesforward.plan.snapshot import Qube
from qubesforward.qubes.mapping_wire import (
    Client,
    Close,
    Failed,
    Gone,
    GrantedMap,
    Held,
    NoClient,
    Opened,
)

_EDGE_PATIENCE = 1.0
"""Seconds that a program waits for the LAN's router; then it is told of the LAN."""


class Gateways:
    """The gateways that are connected. `now` is wall-clock time.

    `edges` is what their routers said.
    """

    def __init__(
        self,
        mappings: Mappings,
        topology: Topology,
        hops: Hops,
        reconciler: Reconciler,
        now: Callable[[], float],
    ) -> None:
        self.edges = Edges()
        self._mappings = mappings
        self._topology = topology
        self._hops = hops
        self._reconciler = reconciler
        self._now = now
        self._links: dict[str, Link] = {}
        self._told: dict[Place, str] = {}

    def attach(self, link: Link) -> None:
        """Take in a gateway's new connection, in place of an older one."""
        old = self._links.pop(link.source, None)
        if old is not None:
            old.close()
        self._links[link.source] = link
        self._tell(link)

    def detach(self, link: Link) -> None:
        """Let a gateway go; what its qubes have stays until it ends."""
        if self.is_current(link):
            del self._links[link.source]

    def is_current(self, link: Link) -> bool:
        """Whether this is the connection of its gateway, and not an older one."""
        return self._links.get(link.source) is link

    def find_client(self, link: Link, address: Address) -> Qube | None:
        """Return the qube behind a gateway that has an address, if one does."""
        qube = self._topology.snapshot.get(link.names.get(address, ""))
        if qube is None or not qube.running or address not in (qube.ip, qube.ip6):
            return None
        return qube

    def forget(self, place: Place) -> None:
        """Note that a gateway has let a mapping go by itself."""
        self._told.pop(place, None)

    def tell_all(self) -> None:
        """Tell all what has changed with the plan, and with the mappings."""
        for place, source in list(self._told.items()):
            if self._mappings.find(place) is None:
                del self._told[place]
                if (link := self._links.get(source)) is not None:
                    link.send(Gone(*place))
        for link in self._links.values():
            self._tell(link)

    def _tell(self, link: Link) -> None:
        """Tell a gateway which qubes it serves now, and what its router shall do."""
        plan, snapshot = self._reconciler.plan, self._topology.snapshot
        wanted: dict[Address, Client] = {}
        names: dict[Address, str] = {}
        for name in plan.clients.get(link.source, ()):
            qube = snapshot.get(name)
            if qube is None or qube.portmap is None:
                continue
            for address in (qube.ip, qube.ip6):
                if address is not None:
                    names[address] = name
                    outside = self._find_outside(qube, address.version)
                    client = Client(address, qube.portmap.mappings, outside)
                    wanted[address] = client
        link.names = names
        for address in link.clients.keys() - wanted.keys():
            link.send(NoClient(address))
        fresh = wanted.keys() - link.clients.keys()
        for address, client in wanted.items():
            if link.clients.get(address) != client:
                link.send(client)
        link.clients = wanted
        self._tell_held(link, fresh)
        self._tell_opens(link, plan.edges.get(link.source, ()))

    def _tell_held(self, link: Link, fresh: Iterable[Address]) -> None:
        addresses = set(fresh)
        if not addresses:
            return
        for each in self._mappings:
            left = int(each.until - self._now())
            if each.client in addresses and left > 0:
                self._told[each.place] = link.source
                outer = self._outer_of(each)
                link.send(Held(*each.place, outer, left, each.holders, each.src))

    def _tell_opens(self, link: Link, rules: Iterable[ForwardRule]) -> None:
        wanted = list_opens(rules)
        for spot, open_ in link.opens.items():
            if spot not in wanted:
                link.send(Close(open_.proto, open_.port))
        for spot, open_ in wanted.items():
            if spot not in link.opens:
                link.send(open_)
        link.opens = wanted
        self.edges.keep(link.source, wanted)

    def _find_outside(self, qube: Qube, family: int) -> Address | None:
        """Return the address at which the outside dials a qube's mappings."""
        hop = self._find_outermost(qube)
        if family == 4 and qube.portmap and qube.portmap.reach is Reach.INTERNET:
            edge = self.edges.address(hop)
            if edge is not None:
                return edge
        outside = self._hops.open[hop].outside if hop in self._hops.open else ()
        return next((each for each in outside if each.version == family), None)

    def _find_outermost(self, qube: Qube) -> str:
        snapshot = self._topology.snapshot
        name, seen = qube.name, {qube.name}
        while name in snapshot and (netvm := snapshot[name].netvm) is not None:
            if netvm in seen:
                return ""
            seen.add(netvm)
            name = netvm
        return name

    def _outer_of(self, mapping: Mapping) -> int:
        """Return the port that the outside dials: the router's, if it leads here."""
        qube = self._topology.snapshot.get(mapping.qube)
        if qube is None or mapping.reach is not Reach.INTERNET:
            return mapping.outer
        hop = self._find_outermost(qube)
        said = self.edges.find(hop, mapping.proto, mapping.outer)
        return said.outer if isinstance(said, Opened) else mapping.outer

    def answer(self, mapping: Mapping) -> None:
        """Tell the gateway of a mapping, once the router outside has answered."""
        qube = self._topology.snapshot.get(mapping.qube)
        hop = "" if qube is None else self._find_outermost(qube)
        waits = (
            mapping.reach is Reach.INTERNET
            and hop in self._reconciler.plan.edges
            and self.edges.find(hop, mapping.proto, mapping.outer) is None
        )
        if waits:
            asyncio.get_running_loop().call_later(
                _EDGE_PATIENCE, self._answer_late, mapping
            )
        else:
            self._answer_now(mapping)

    def _answer_late(self, mapping: Mapping) -> None:
        if mapping.place not in self._told:
            self._answer_now(mapping)

    def _answer_now(self, mapping: Mapping) -> None:
        link = self._links.get(mapping.gateway)
        left = int(mapping.until - self._now() + 0.5)
        if link is None or left <= 0:
            return
        if self._mappings.find(mapping.place) is not mapping:
            link.send(Gone(*mapping.place))
            return
        self._told[mapping.place] = link.source
        link.send(GrantedMap(*mapping.place, self._outer_of(mapping), left))

    def note_edge(self, link: Link, message: Opened | Failed) -> None:
        """Take in what the router of a hop has said."""
        if (str(message.proto), message.port) not in link.opens:
            return
        before = self.edges.address(link.source)
        self.edges.note(link.source, message)
        if self.edges.address(link.source) != before:
            for other in self._links.values():
                self._tell(other)
        for each in list(self._mappings):
            is_it = (each.proto, each.outer) == (message.proto, message.port)
            if is_it and each.reach is Reach.INTERNET:
                self._answer_now(each)
