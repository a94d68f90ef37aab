# SPDX-License-Identifier: GPL-2.0-or-later
"""What gateways are told: whom they serve, what is granted, what their router shall do.

Every gateway is told of its own clients only, by their addresses.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable

from qubesforward.daemon.edges import Edges, Spot, list_opens
from qubesforward.daemon.gateway_links import Link
from qubesforward.daemon.hops import Hops
from qubesforward.daemon.mappings import Mapping, Mappings, Place
from qubesforward.daemon.reconciler import Reconciler
from qubesforward.daemon.router_memory import RouterMemory
from qubesforward.daemon.standing import Standing
from qubesforward.daemon.topology import Topology
from qubesforward.model.hosts import Address
from qubesforward.model.rule import ForwardRule, Proto, Reach
from qubesforward.plan.snapshot import Qube
from qubesforward.qubes.mapping_values_wire import LAST_LIFETIME
from qubesforward.qubes.mapping_wire import (
    Client,
    Close,
    Closed,
    Denial,
    Denied,
    Failed,
    Gone,
    GrantedMap,
    Held,
    Map,
    NoClient,
    Opened,
    Outside,
    Seed,
    Watch,
)

_EDGE_PATIENCE = 1.0
"""Seconds that a program waits for the LAN's router; then it is told of the LAN."""

_TOGETHER = 0.02
"""Seconds in which what routers say is told as one: whoever says something else all the
time costs dom0, and the other gateways, little."""


class Gateways:
    """The gateways that are connected. `now` is wall-clock time.

    `edges` is what their routers said, `routers` what these may have open;
    `edge_changed` is called with a hop whose router said something new.
    """

    def __init__(
        self,
        mappings: Mappings,
        topology: Topology,
        hops: Hops,
        reconciler: Reconciler,
        routers: RouterMemory,
        now: Callable[[], float],
        boot_id: str = "",
        edge_changed: Callable[[str], None] = lambda _hop: None,
    ) -> None:
        self.edges = Edges()
        self._edge_changed = edge_changed
        self._boot_id = boot_id
        self._heard: set[Spot] = set()
        self._heard_of: set[str] = set()
        self._late: dict[Place, asyncio.TimerHandle] = {}
        self._mappings = mappings
        self._topology = topology
        self._hops = hops
        self._reconciler = reconciler
        self._routers = routers
        self._now = now
        self._links: dict[str, Link] = {}
        self._told: dict[Place, str] = {}

    def attach(self, link: Link) -> None:
        """Take in a gateway's new connection, in place of an older one."""
        old = self._links.pop(link.source, None)
        if old is not None:
            old.close()
        self._links[link.source] = link
        # The boot's id is known to no qube.
        text = f"{self._boot_id} {link.source}"
        link.send(Seed(hashlib.sha256(text.encode()).hexdigest()))
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

    def deny(self, link: Link, asked: Map, reason: Denial, retry: int) -> None:
        """Tell a gateway that a wish is not granted."""
        qube = self.find_client(link, asked.client)
        place = asked.client, asked.proto, asked.inner
        policy = None if qube is None else qube.portmap
        link.deny(place, Denied(*place, reason, retry), policy)

    def tell_standing(
        self, link: Link, qube: Qube, asked: Map, found: Standing
    ) -> None:
        """Tell a gateway that the user's own forward leads to a port already."""
        left = LAST_LIFETIME
        if found.until is not None:
            left = min(left, int(found.until - self._now()))
        outer = self._dialled(qube, asked.proto, found.outer)
        place = asked.client, asked.proto, asked.inner
        if left > 0:
            link.send(GrantedMap(*place, outer, left, static=True))

    def tell_gone(self, source: str, place: Place) -> None:
        """Tell a gateway that a port that it was told of leads nowhere any more."""
        if (link := self._links.get(source)) is not None:
            link.send(Gone(*place))

    def lift(self, qube: Qube) -> None:
        """Take back what was denied to a qube: its programs may ask again at once."""
        for link in self._links.values():
            self._lift(link, {a for a in (qube.ip, qube.ip6) if a is not None})

    def _lift(self, link: Link, addresses: set[Address]) -> None:
        for place in [each for each in link.denied if each[0] in addresses]:
            del link.denied[place]
            if self._mappings.find(place) is None:
                link.send(Gone(*place))

    def forget(self, place: Place) -> None:
        """Note that a gateway has let a mapping go by itself."""
        self._told.pop(place, None)

    def tell_all(self) -> None:
        """Tell all what has changed with the plan, and with the mappings."""
        for place, source in list(self._told.items()):
            if self._mappings.find(place) is None:
                del self._told[place]
                self.tell_gone(source, place)
        for place in self._mappings.take_cut():
            if place in self._told and (found := self._mappings.find(place)):
                self._answer_now(found)
        for link in self._links.values():
            self._tell(link)
        self._drop_over()

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
                    wanted[address] = Client(
                        address,
                        qube.portmap.mappings,
                        outside,
                        beside=qube.netvm != link.source,
                    )
        link.names = names
        for address in link.clients.keys() - wanted.keys():
            link.send(NoClient(address))
        fresh = wanted.keys() - link.clients.keys()
        for address, client in wanted.items():
            if link.clients.get(address) != client:
                link.send(client)
        link.clients = wanted
        self._tell_held(link, fresh)
        self._tell_lifted(link)
        self._tell_opens(link, plan.edges.get(link.source, ()))
        self._tell_watched(link, link.source in plan.watched)

    def _tell_lifted(self, link: Link) -> None:
        """Take back what was denied by a policy that is another one now."""
        snapshot = self._topology.snapshot
        lifted = set()
        for (address, _, _), policy in link.denied.items():
            qube = snapshot.get(link.names.get(address, ""))
            if qube is not None and qube.portmap != policy:
                lifted.add(address)
        self._lift(link, lifted)

    def _tell_watched(self, link: Link, watched: bool) -> None:
        if watched != link.watches:
            link.watches = watched
            link.send(Watch(watched))
            if not watched:
                self.edges.note_outside(link.source, None)

    def _tell_held(self, link: Link, fresh: Iterable[Address]) -> None:
        addresses = set(fresh)
        if not addresses:
            return
        for each in self._mappings:
            left = int(each.until - self._now())
            is_its = link.names.get(each.client) == each.qube
            if each.client in addresses and is_its and left > 0 and each.holders:
                self._told[each.place] = link.source
                outer = self._outer_of(each)
                link.send(Held(*each.place, outer, left, each.holders, each.src))

    def _tell_opens(self, link: Link, rules: Iterable[ForwardRule]) -> None:
        """Tell a gateway what its router shall do, and what it shall not do any more.

        Others may have asked for that, which ended before they could withdraw it.
        """
        wanted = list_opens(rules)
        self._routers.note_asked(link.source, wanted)
        self._routers.save()
        asked = dict(self._routers.list_asked(link.source))
        is_known = self._reconciler.has_planned
        unwanted = asked.keys() - wanted.keys() if is_known else set()
        for proto, port in unwanted - link.closes:
            link.send(Close(proto, port, asked[proto, port]))
        link.closes = unwanted
        for spot, open_ in wanted.items():
            if spot not in link.opens:
                link.send(open_)
        link.opens = wanted
        self.edges.keep(link.source, wanted)

    def _drop_over(self) -> None:
        """Forget what no router can have open any more."""
        before = set(self._routers.hops)
        edges = self._reconciler.plan.edges
        for hop in before:
            # A qube that was removed does not come back.
            is_heard = hop in self._links or hop not in self._topology.snapshot
            wanted = list_opens(edges.get(hop, ()))
            self._routers.drop_over(hop, wanted, has_gateway=is_heard)
        if self._routers.hops != before:
            self._reconciler.wake()

    def note_closed(self, link: Link, message: Closed) -> None:
        """Take in that the router of a hop leads nothing to a port any more."""
        port = message.proto, message.port
        if port in link.closes:
            link.closes.discard(port)
            self._routers.forget(link.source, port)
            if link.source not in self._routers.hops:
                # Its gateway may have nothing to do now.
                self._reconciler.wake()

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
        return self._dialled(qube, mapping.proto, mapping.outer)

    def _dialled(self, qube: Qube, proto: Proto, outer: int) -> int:
        said = self.edges.find(self._find_outermost(qube), proto, outer)
        return said.outer if isinstance(said, Opened) else outer

    def answer(self, mapping: Mapping) -> None:
        """Tell the gateway of a mapping, once the router outside has answered."""
        qube = self._topology.snapshot.get(mapping.qube)
        hop = "" if qube is None else self._find_outermost(qube)
        waits = (
            mapping.reach is Reach.INTERNET
            and mapping.place not in self._told
            and (hop in self._links or hop in self._reconciler.plan.watched)
            and self.edges.find(hop, mapping.proto, mapping.outer) is None
        )
        if not waits:
            self._answer_now(mapping)
        elif mapping.place not in self._late:
            self._late[mapping.place] = asyncio.get_running_loop().call_later(
                _EDGE_PATIENCE, self._answer_now, mapping
            )

    def _answer_now(self, mapping: Mapping) -> None:
        late = self._late.pop(mapping.place, None)
        if late is not None:
            late.cancel()
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
        """Take in what the router of a hop has said of a port."""
        spot = link.source, message.proto, message.port
        if _is_of_another_family(message):
            return
        if isinstance(message, Opened):
            self._routers.note_opened(link.source, message)
        if spot[1:] not in link.opens:
            return
        if self.edges.find(link.source, message.proto, message.port) != message:
            self.edges.note(link.source, message)
            self._heard.add(spot)
            self._hear(link.source)

    def note_outside(self, link: Link, message: Outside) -> None:
        """Take in which address the router of a hop has on its other side."""
        if link.watches and not _is_of_another_family(message):
            self.edges.note_outside(link.source, message.address)
            self._hear(link.source)

    def _hear(self, hop: str) -> None:
        if not self._heard_of:
            asyncio.get_running_loop().call_later(_TOGETHER, self._tell_heard)
        self._heard_of.add(hop)

    def _tell_heard(self) -> None:
        """Tell everybody what routers have said since the last time."""
        heard, self._heard = self._heard, set()
        hops, self._heard_of = self._heard_of, set()
        for link in self._links.values():
            self._tell(link)
        snapshot = self._topology.snapshot
        for each in list(self._mappings) if heard else ():
            qube = snapshot.get(each.qube)
            # A cone's port that no program has asked for is nothing to tell of.
            if qube is None or each.reach is not Reach.INTERNET or not each.holders:
                continue
            if (self._find_outermost(qube), str(each.proto), each.outer) in heard:
                self._answer_now(each)
        for hop in hops:
            self._edge_changed(hop)


def _is_of_another_family(message: Opened | Failed | Outside) -> bool:
    """Whether a router claims an address that IPv4 does not know."""
    address = None if isinstance(message, Failed) else message.address
    return address is not None and address.version != 4
