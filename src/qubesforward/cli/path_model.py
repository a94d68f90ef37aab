# SPDX-License-Identifier: GPL-2.0-or-later
"""The way of a forward from outside to its qube, as the data of a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from qubesforward.cli.phrase import Phrase, Told, put_in_row
from qubesforward.cli.sentences import format_protos, format_source
from qubesforward.cli.status import Extent, ForwardStatus, PathStep, State
from qubesforward.model.rule import ForwardType, Reach

_WORST = (State.REFUSED, State.PENDING, State.ACTIVE)


class Place(StrEnum):
    """What stands at one place of the way."""

    INTERNET = "internet"
    LAN = "lan"
    QUBES = "qubes"
    """The other qubes behind the netvm, where an internal forward comes from."""
    ROUTER = "router"
    """The LAN's router, which is asked where the internet is to reach the qube."""
    HOP = "hop"
    TARGET = "target"


_OUTSIDE = (Place.INTERNET, Place.LAN, Place.QUBES)

_ROUTERS = {
    Extent.INTERNET: (State.ACTIVE, ""),
    Extent.LAN: (State.PENDING, Phrase("the router has not answered yet")),
    Extent.CARRIER: (State.REFUSED, Phrase("the router is behind another NAT")),
    Extent.SILENT: (State.REFUSED, Phrase("no router answers")),
    Extent.REFUSED: (State.REFUSED, Phrase("the router says no")),
}


@dataclass(frozen=True, slots=True)
class PathNode:
    """One place. `name` is a qube's, or tells who may connect from outside.

    `label` is the name of the qube's label, empty if nobody knows. `addresses` are
    where it is dialled, `port_in` on which port, `port_out` to which port it sends
    on; a target has no `port_out`. Counters are of what came in. Outside, and what is
    only planned, has no state (None).
    """

    place: Place
    name: str
    label: str = ""
    addresses: tuple[str, ...] = ()
    port_in: str = ""
    port_out: str = ""
    state: State | None = None
    reason: str = ""
    packets: int = 0
    bytes: int = 0

    @property
    def is_outside(self) -> bool:
        """Whether it is where clients are."""
        return self.place in _OUTSIDE


@dataclass(frozen=True, slots=True)
class PathModel:
    """The places from outside to the qube. `proto` is ``tcp``, ``udp`` or both.

    `state` and `reason` are those of the whole forward.
    """

    nodes: tuple[PathNode, ...]
    proto: str
    state: State
    reason: str

    def find(self, name: str) -> PathNode | None:
        """Return the qube or router of this name, None if there is none."""
        for node in self.nodes:
            if node.name == name and not node.is_outside:
                return node
        return None


def build_path(
    forward: ForwardStatus,
    qube: str,
    labels: Mapping[str, str],
    *,
    planned: bool = False,
) -> PathModel:
    """Make the picture's data of a forward to `qube`; `labels` are qube → label.

    Of one that is `planned` only, no hop has heard: where nothing is in its way, its
    places have no state.
    """
    nodes = _describe_outside(forward)
    groups = _group_steps(forward.path)
    addresses: tuple[str, ...] = forward.dial
    for name, steps in groups.items():
        nodes.append(_describe_qube(forward, qube, name, steps, addresses, labels))
        # Every hop sends on to the address of the next one.
        addresses = tuple(dict.fromkeys(step.to for step in steps if step.to))
    if qube not in groups:
        label = labels.get(qube, "")
        ports = forward.rule.inner_ports.short
        node = PathNode(
            Place.TARGET,
            qube,
            label,
            addresses if groups else (),
            ports,
            state=forward.state,
            reason=Told(forward.reason),
        )
        if groups and not forward.has_agent:
            # It is reached up to its door, and nobody knows more.
            node = replace(node, state=None, reason=Phrase("its own firewall"))
        nodes.append(node)
    if planned and forward.state in (State.ACTIVE, State.PENDING):
        nodes = [replace(node, state=None, reason="") for node in nodes]
    return PathModel(
        tuple(nodes), format_protos(forward.rule), forward.state, Told(forward.reason)
    )


def _describe_outside(forward: ForwardStatus) -> list[PathNode]:
    rule = forward.rule
    who = format_source(rule)
    if rule.forwardtype is ForwardType.INTERNAL:
        return [PathNode(Place.QUBES, who)]
    if rule.reach is not Reach.INTERNET:
        return [PathNode(Place.LAN, who)]
    state, reason = _ROUTERS[forward.extent]
    if forward.state is not State.ACTIVE and forward.extent is Extent.LAN:
        state, reason = State.PENDING, Phrase("asked as soon as the hops have it")
    address, _, port = forward.edge.rpartition(":")
    router = PathNode(
        Place.ROUTER,
        "router",
        "",
        (address,) if address else (),
        port or rule.srcports.short,
        rule.srcports.short,
        state,
        reason,
    )
    return [PathNode(Place.INTERNET, who), router]


def _group_steps(path: Sequence[PathStep]) -> dict[str, list[PathStep]]:
    """Put together what a qube does for several protocols and address families."""
    groups: dict[str, list[PathStep]] = {}
    for step in path:
        groups.setdefault(step.qube, []).append(step)
    return groups


def _describe_qube(
    forward: ForwardStatus,
    target: str,
    name: str,
    steps: Sequence[PathStep],
    addresses: tuple[str, ...],
    labels: Mapping[str, str],
) -> PathNode:
    state = min((step.state for step in steps), key=_WORST.index)
    if forward.state not in _WORST:
        # Of a forward that is not planned, no hop has heard.
        state, reasons = forward.state, {forward.reason: None}
    else:
        reasons = {step.reason: None for step in steps if step.state is state}
    return PathNode(
        Place.TARGET if name == target else Place.HOP,
        name,
        labels.get(name, ""),
        addresses,
        _join_ports(step.ports for step in steps),
        _join_ports(step.toports for step in steps if step.toports),
        state,
        put_in_row([Told(reason) for reason in reasons if reason], "; "),
        sum(step.packets for step in steps),
        sum(step.bytes for step in steps),
    )


def _join_ports(ports: Iterable[str]) -> str:
    shown = []
    for each in dict.fromkeys(ports):
        first, _, last = each.partition("-")
        shown.append(first if first == last else each)
    return ", ".join(shown)
