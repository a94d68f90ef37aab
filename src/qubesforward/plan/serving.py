# SPDX-License-Identifier: GPL-2.0-or-later
"""Which gateway serves which qubes, and what must be open for that.

A qube whose programs may ask for ports is served by its netvm, or by a qube that the
netvm names: one behind it, to which the netvm then leads what is asked of itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from qubesforward.model.entry import (
    NEWS_PORT,
    PORTMAP_PORT,
    SSDP_PORT,
    Entrance,
    Entry,
)
from qubesforward.model.hosts import Address
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import ForwardType, Proto, Reach
from qubesforward.plan.chain import Unreachable, plan_chain
from qubesforward.plan.snapshot import Qube, Snapshot

IGD_PORT = 49000
"""Where a gateway tells of itself and is controlled by UPnP. Any would do."""

_SERVED = (
    (Proto.UDP, PORTMAP_PORT),
    (Proto.UDP, SSDP_PORT),
    (Proto.TCP, IGD_PORT),
)
_REDIRECTED = ((Proto.UDP, PORTMAP_PORT),)
"""Searches go to a group, which cannot be translated to one address; without them
nobody finds UPnP, and a gateway of its own does not speak it."""


@dataclass(frozen=True, slots=True)
class Serving:
    """`clients`: by gateway, the names of the qubes that it serves.

    `steps` are pairs of a qube's name and an entry that it must have for that.
    `watched` are the outermost hops of qubes whose programs reach the internet.
    """

    clients: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    steps: tuple[tuple[str, Entry], ...] = ()
    watched: frozenset[str] = frozenset()


def plan_serving(snapshot: Snapshot) -> Serving:
    """Plan what programs that ask for ports need to be heard."""
    clients: dict[str, list[str]] = {}
    steps: list[tuple[str, Entry]] = []
    watched: set[str] = set()
    for qube in snapshot.values():
        gateway = find_gateway(qube, snapshot)
        if gateway is not None:
            clients.setdefault(gateway.name, []).append(qube.name)
            steps += _plan_client(qube, gateway)
            watched |= _find_outermost(qube, snapshot)
    return Serving(
        {name: tuple(found) for name, found in clients.items()},
        tuple(steps),
        frozenset(watched),
    )


def _find_outermost(qube: Qube, snapshot: Snapshot) -> set[str]:
    """Return the hop whose router a qube's mappings are to be opened at, if one is."""
    if qube.portmap is None or qube.portmap.reach is not Reach.INTERNET:
        return set()
    try:
        _target, *hops = plan_chain(qube.name, ForwardType.EXTERNAL, snapshot)
    except Unreachable:
        return set()
    # Past a tunnel no mapping leads, so that router is nothing to this qube.
    is_whole = all(hop.running and not hop.tunnel for hop in hops)
    return {hops[-1].name} if is_whole else set()


def find_gateway(qube: Qube, snapshot: Snapshot) -> Qube | None:
    """Return the qube that serves the programs of another, None if nobody does."""
    netvm = snapshot.get(qube.netvm or "")
    if qube.portmap is None or not qube.running or netvm is None:
        return None
    if netvm.gateway in ("", netvm.name):
        gateway: Qube | None = netvm
    else:
        gateway = snapshot.get(netvm.gateway)
        if gateway is None or gateway.netvm != netvm.name or gateway is qube:
            return None
    needed = [each for each in (netvm, gateway) if each is not None]
    return gateway if all(each.running and each.agent for each in needed) else None


def _plan_client(client: Qube, gateway: Qube) -> Iterator[tuple[str, Entry]]:
    for address in (client.ip, client.ip6):
        if address is None:
            continue
        if gateway.name == client.netvm:
            for proto, port in _SERVED:
                yield gateway.name, _serve(Entrance.SERVE, proto, port, address)
            own = gateway.address(address.version)
            if own is not None and client.agent:
                # To the client's kernel, an answer to what was asked of a group
                # belongs to nothing; nor does what nobody asked for.
                yield client.name, _serve(Entrance.ANSWER, Proto.UDP, SSDP_PORT, own)
                yield client.name, _serve(Entrance.SELF, Proto.UDP, NEWS_PORT, own)
            continue
        to = gateway.address(address.version)
        if to is not None and client.netvm is not None:
            for proto, port in _REDIRECTED:
                yield client.netvm, _serve(Entrance.LOCAL, proto, port, address, to)
                yield gateway.name, _serve(Entrance.SELF, proto, port, address)


def _serve(
    entrance: Entrance,
    proto: Proto,
    port: int,
    address: Address,
    to: Address | None = None,
) -> Entry:
    ports = PortRange(port, port)
    toports = None if to is None else ports
    return Entry(entrance, proto, ports, ip_network(address), to, toports)
