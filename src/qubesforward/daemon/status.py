# SPDX-License-Identifier: GPL-2.0-or-later
"""What to tell about every forward and hop: the answers of Status and Plan.

A forward is active on nothing but every hop's acknowledgement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qubesforward.daemon.answers import Counter
from qubesforward.daemon.edges import Edges, Extent, extent_of
from qubesforward.daemon.hop import Hop
from qubesforward.model.entry import Entrance, Entry
from qubesforward.model.hosts import networks_overlap
from qubesforward.model.rule import ForwardType, Reach
from qubesforward.model.text import format_rule
from qubesforward.plan.planner import Outcome, Step, Verdict
from qubesforward.plan.snapshot import Snapshot
from qubesforward.qubes.mapping_wire import Opened

_STATES = {
    Verdict.HALTED: "pending",
    Verdict.CONFLICT: "conflict",
    Verdict.UNCONFIRMED: "unconfirmed",
    Verdict.EXPIRED: "expired",
    Verdict.UNREACHABLE: "unreachable",
    Verdict.REFUSED: "refused",
}

Fields = dict[str, Any]
"""One JSON object."""


def describe_forward(
    outcome: Outcome, snapshot: Snapshot, hops: Mapping[str, Hop]
) -> Fields:
    """Tell all about one forward: its state, why, and its path."""
    path = [_describe_step(step, outcome, hops) for step in outcome.steps]
    state, reason = _judge(outcome, path)
    entered = [field for field in path if field["in"] != Entrance.SELF]
    outermost = [field for field in entered if field["qube"] == entered[0]["qube"]]
    doors = [f["listening"] for f in path if f["listening"] is not None]
    rule = outcome.asked.rule
    tunnels = _tunnel_addresses(outcome, snapshot, hops)
    return {
        "rule": format_rule(rule),
        "state": state,
        "reason": reason,
        "created": rule.created,
        "origin": str(rule.origin),
        "from": outcome.asked.owner,
        "dial": [*_dial_addresses(outcome, snapshot, hops), *tunnels],
        "tunnels": tunnels,
        "listening": any(doors) if doors else None,
        "agent": _has_agent(outcome, snapshot),
        "packets": sum(field["packets"] for field in outermost),
        "bytes": sum(field["bytes"] for field in outermost),
        "path": path,
    }


def _has_agent(outcome: Outcome, snapshot: Snapshot) -> bool:
    """Whether the target's own firewall is opened for the forward by us."""
    target = snapshot.get(outcome.asked.target)
    return target is None or target.agent


def describe_edge(outcome: Outcome, edges: Edges) -> Fields:
    """Tell how far a forward reaches that is to reach the internet.

    `edge` is the address and port that the internet dials, if the router told.
    """
    rule = outcome.asked.rule
    if rule.reach is not Reach.INTERNET or outcome.verdict is not Verdict.READY:
        return {"extent": str(Extent.LAN), "edge": ""}
    hop = outcome.steps[0].qube
    said = [edges.find(hop, proto, rule.srcports.first) for proto in rule.protos]
    # The least that is true of all of them.
    extents = list(Extent)
    extent = max(map(extent_of, said), key=extents.index)
    opened = [each for each in said if isinstance(each, Opened)]
    edge = f"{opened[0].address}:{opened[0].outer}" if opened else ""
    return {"extent": str(extent), "edge": edge}


def _judge(outcome: Outcome, path: list[Fields]) -> tuple[str, str]:
    if outcome.verdict is not Verdict.READY:
        return _STATES[outcome.verdict], outcome.reason
    for state in ("refused", "pending"):
        for field in path:
            if field["state"] == state:
                return state, f"{field['qube']}: {field['reason']}"
    return "active", ""


def _dial_addresses(
    outcome: Outcome, snapshot: Snapshot, hops: Mapping[str, Hop]
) -> list[str]:
    """Return where clients connect to, of the families that the forward has."""
    if not outcome.steps:
        return []
    entered = outcome.steps[0].qube
    if outcome.asked.rule.forwardtype is ForwardType.EXTERNAL:
        return _outside_addresses(entered, outcome, hops)
    families = {step.entry.family for step in outcome.steps}
    qube = snapshot.get(entered)
    found = [] if qube is None else [qube.address(f) for f in sorted(families)]
    return [str(address) for address in found if address is not None]


def _tunnel_addresses(
    outcome: Outcome, snapshot: Snapshot, hops: Mapping[str, Hop]
) -> list[str]:
    """Return where an internal forward is entered from the other end of a tunnel.

    A hop with a netvm of its own has nothing else outside.
    """
    is_internal = outcome.asked.rule.forwardtype is ForwardType.INTERNAL
    if not outcome.steps or not is_internal:
        return []
    entered = outcome.steps[0].qube
    if entered not in snapshot or snapshot[entered].netvm is None:
        return []
    return _outside_addresses(entered, outcome, hops)


def _outside_addresses(
    name: str, outcome: Outcome, hops: Mapping[str, Hop]
) -> list[str]:
    families = {step.entry.family for step in outcome.steps}
    outside = hops[name].outside if name in hops else ()
    return [str(address) for address in outside if address.version in families]


def _describe_step(step: Step, outcome: Outcome, hops: Mapping[str, Hop]) -> Fields:
    entry = step.entry
    fields: Fields = {
        "qube": step.qube,
        "in": str(entry.entrance),
        "proto": str(entry.proto),
        "ports": str(entry.ports),
        "src": str(entry.src),
        "to": None if entry.to is None else str(entry.to),
        "toports": None if entry.toports is None else str(entry.toports),
        "until": entry.until,
    }
    hop = hops.get(step.qube)
    ids = [] if hop is None else find_ids(hop, entry)
    state, reason = "pending", ""
    if outcome.verdict is Verdict.READY:
        state, reason = _judge_step(hop, ids)
    counters = (
        [] if hop is None else [hop.counters[i] for i in ids if i in hop.counters]
    )
    return {**fields, "state": state, "reason": reason, **_sum_counters(counters)}


def find_ids(hop: Hop, entry: Entry) -> list[str]:
    """Return the IDs under which a hop has an entry, or the pieces of a door."""
    exact = hop.find_id(entry)
    if exact is not None:
        return [exact]
    if entry.entrance is not Entrance.SELF:
        return []
    # Doors that overlap are published in other pieces than they were asked for.
    return [
        entry_id
        for entry_id, door in hop.present.items()
        if door is not None
        and door.entrance is Entrance.SELF
        and door.proto == entry.proto
        and door.ports.overlaps(entry.ports)
        and networks_overlap(door.src, entry.src)
    ]


def _judge_step(hop: Hop | None, ids: list[str]) -> tuple[str, str]:
    if hop is None:
        return "pending", "its QubesDB does not answer"
    if not ids:
        return "pending", "not published yet"
    for entry_id in ids:
        if entry_id in hop.refused:
            return "refused", hop.refused[entry_id]
    if not all(hop.is_acknowledged(entry_id) for entry_id in ids):
        return "pending", "its agent has not answered yet"
    return "active", ""


def _sum_counters(counters: list[Counter]) -> Fields:
    known = [c.listening for c in counters if c.listening is not None]
    return {
        "packets": sum(counter.packets for counter in counters),
        "bytes": sum(counter.bytes for counter in counters),
        "listening": all(known) if known else None,
    }


def describe_hop(name: str, snapshot: Snapshot, hops: Mapping[str, Hop]) -> Fields:
    """Tell the state of one hop, whatever is forwarded through it."""
    hop = hops.get(name)
    state, reason = "ok", ""
    if name not in snapshot or not snapshot[name].running:
        state, reason = "halted", f"{name} is halted"
    elif hop is None:
        state, reason = "silent", "its QubesDB does not answer"
    elif hop.generation and not hop.has_answered:
        state, reason = "silent", "its agent has not answered yet"
    outside = [] if hop is None else [str(address) for address in hop.outside]
    return {"name": name, "state": state, "reason": reason, "outside": outside}
