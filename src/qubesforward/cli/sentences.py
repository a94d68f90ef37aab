# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tools say of forwards in plain sentences.

Functions that take several forwards take such as differ in who may connect only.
The time now is an argument, in seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import Enum

from qubesforward.cli.durations import format_duration, format_moment
from qubesforward.cli.phrase import Phrase, Start, Told, put_in_row
from qubesforward.cli.reaching import describe_beyond
from qubesforward.cli.status import ForwardStatus, State
from qubesforward.model.hosts import Network
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import REBOOT, ForwardRule, ForwardType

_COMING = (State.ACTIVE, State.PENDING)

_BEING = {
    State.ACTIVE: Phrase("it is active"),
    State.PENDING: Phrase("it is pending"),
    State.REFUSED: Phrase("it is refused"),
    State.CONFLICT: Phrase("it is in conflict"),
    State.UNCONFIRMED: Phrase("it is unconfirmed"),
    State.EXPIRED: Phrase("it is expired"),
    State.UNREACHABLE: Phrase("it is unreachable"),
}

_MOST_NAMED = 6

_MOST_ADDRESSES = 4
"""A hop with more addresses than this gets the others counted, not listed."""


def is_unlimited(source: Network | None) -> bool:
    """Whether a rule with this source lets in everybody, of one family at least."""
    return source is None or source.prefixlen == 0


def format_protos(rule: ForwardRule) -> str:
    """Write ``tcp``, ``udp`` or ``tcp+udp``."""
    return "+".join(rule.protos)


def format_outer(rule: ForwardRule) -> str:
    """Write the outer side as it is typed: ``443/tcp``."""
    return f"{rule.srcports.short}/{format_protos(rule)}"


def format_mapping(rule: ForwardRule) -> str:
    """Write outer and inner ports as they are typed: ``443:8443/tcp``."""
    if rule.inner_ports == rule.srcports:
        return format_outer(rule)
    return f"{rule.srcports.short}:{rule.inner_ports.short}/{format_protos(rule)}"


def join_words(words: Sequence[str]) -> Phrase:
    """Write ``a``, ``a and b`` or ``a, b and c``."""
    if len(words) < 2:
        return put_in_row(words, "")
    return Phrase("{0} and {1}", put_in_row(words[:-1], ", "), words[-1])


def join_choices(words: Sequence[str]) -> Phrase:
    """Write ``a``, ``a or b`` or ``a, b or c``."""
    if len(words) < 2:
        return put_in_row(words, "")
    return Phrase("{0} or {1}", put_in_row(words[:-1], ", "), words[-1])


def name_some(words: Sequence[str]) -> Phrase:
    """Write words like `join_words`, the later ones of many only counted."""
    if len(words) <= _MOST_NAMED:
        return join_words(words)
    return join_words([*words[:_MOST_NAMED], _count_rest(len(words) - _MOST_NAMED)])


def _count_rest(count: int) -> Phrase:
    return Phrase("{0} more", str(count))


def count_noun(count: int, noun: str) -> str:
    """Write ``1 forward`` or ``2 forwards``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def describe_service(rule: ForwardRule, qube: str) -> Phrase:
    """Say what is reached: ``tcp port 8443 of work``."""
    protos = join_words(rule.protos)
    return Phrase("{0} {1} of {2}", protos, _count_ports(rule.inner_ports), qube)


def _count_ports(ports: PortRange) -> Phrase:
    if len(ports) == 1:
        return Phrase("port {0}", ports.short)
    return Phrase("ports {0}", ports.short)


def find_entrance(forward: ForwardStatus) -> str:
    """Return the hop that is dialled, or nothing if there is no path."""
    return forward.path[0].qube if forward.path else ""


def describe_who(forwards: Sequence[ForwardStatus]) -> Phrase:
    """Say who may connect, to stand inside a sentence."""
    first = forwards[0]
    sources = [forward.rule.srchost for forward in forwards]
    is_internal = first.rule.forwardtype is ForwardType.INTERNAL
    around = _describe_around(first)
    versions = {source.version for source in sources if source and is_unlimited(source)}
    if None in sources or len(versions) == 2:
        if is_internal:
            return Phrase("any qube {0}", around)
        return Phrase("any host {0}", around)
    who = [_describe_any(version, is_internal, around) for version in versions]
    limited = [source for source in sources if source and not is_unlimited(source)]
    if limited:
        who.append(_describe_some(limited, is_internal))
    return join_words(who)


def _describe_any(version: int, is_internal: bool, around: Phrase) -> Phrase:
    if is_internal:
        return Phrase("any IPv{0} qube {1}", str(version), around)
    return Phrase("any IPv{0} host {1}", str(version), around)


def _describe_some(sources: Sequence[Network], is_internal: bool) -> Phrase:
    names = join_words([_format_source(source) for source in sources])
    if any(source.num_addresses > 1 for source in sources):
        if is_internal:
            return Phrase("qubes in {0}", names)
        return Phrase("hosts in {0}", names)
    if len(sources) == 1:
        if is_internal:
            return Phrase("the qube {0}", names)
        return Phrase("the host {0}", names)
    if is_internal:
        return Phrase("the qubes {0}", names)
    return Phrase("the hosts {0}", names)


def _format_source(source: Network) -> str:
    if source.num_addresses == 1:
        return str(source.network_address)
    return str(source)


def _describe_around(forward: ForwardStatus) -> Phrase:
    hop = find_entrance(forward)
    if forward.rule.forwardtype is ForwardType.INTERNAL:
        behind = hop or Phrase("the same netvm")
        if forward.tunnels:
            return Phrase("behind {0}, and any host beyond its tunnel,", behind)
        return Phrase("behind {0}", behind)
    outermost = hop or Phrase("the outermost qube")
    beyond = describe_beyond(forward)
    return Phrase("on the networks of {0}{1}", outermost, beyond)


def format_source(rule: ForwardRule) -> str:
    """Say in a word or two who may connect, for tables."""
    is_internal = rule.forwardtype is ForwardType.INTERNAL
    if rule.srchost is None or is_unlimited(rule.srchost):
        anyone = "any qube" if is_internal else "anyone"
        return (
            anyone if rule.srchost is None else f"{anyone} (IPv{rule.srchost.version})"
        )
    return _format_source(rule.srchost)


def describe_where(forward: ForwardStatus) -> Phrase:
    """Say at which addresses and outer ports it is reached.

    Without a known address it is the hop that is named.
    """
    ports = forward.rule.srcports
    shown = list(forward.dial[:_MOST_ADDRESSES])
    if not shown:
        return _name_outer(forward)
    more = len(forward.dial) - len(shown)
    extra = [_count_rest(more)] if more else []
    if len(ports) == 1:
        return join_choices([*(_format_dial(a, ports) for a in shown), *extra])
    addresses = join_choices([*shown, *extra])
    return Phrase("{0}, {1}", addresses, _count_ports(ports))


def _name_outer(forward: ForwardStatus) -> Phrase:
    ports, hop = _count_ports(forward.rule.srcports), find_entrance(forward)
    return Phrase("{0} of {1}", ports, hop) if hop else ports


def _format_dial(address: str, ports: PortRange) -> str:
    return (
        f"[{address}]:{ports.short}" if ":" in address else f"{address}:{ports.short}"
    )


def describe_until(rule: ForwardRule, now: int) -> Phrase:
    """Say until when it stays open."""
    if rule.expire == REBOOT:
        return Phrase("until the computer is restarted")
    if isinstance(rule.expire, int):
        left = format_duration(rule.expire - now)
        moment = format_moment(rule.expire, now)
        return Phrase("until {0} ({1} from now)", moment, left)
    return Phrase("until you close it")


def describe_offset(rule: ForwardRule) -> str:
    """Say how the ports of a range are mapped, where that is not one to one."""
    outer, inner = rule.srcports, rule.inner_ports
    if len(outer) == 1 or outer == inner:
        return ""
    if len(inner) == 1:
        return Phrase(" (all of them lead to {0})", str(inner.first))
    ends = outer.first, inner.first, outer.last, inner.last
    return Phrase(" ({0} leads to {1}, {2} to {3})", *map(str, ends))


class When(Enum):
    """When somebody can reach a port."""

    NOW = "can reach"
    FROM_NOW = "can now reach"
    LATER = "will be able to reach"


def describe_reach(
    forwards: Sequence[ForwardStatus], qube: str, now: int, when: When
) -> Phrase:
    """Say who reaches what, where and until when, to stand inside a sentence."""
    first = forwards[0]
    who, service = describe_who(forwards), describe_service(first.rule, qube)
    where, offset = describe_where(first), describe_offset(first.rule)
    parts = who, service, where, offset, describe_until(first.rule, now)
    if when is When.LATER:
        return Phrase("{0} will be able to reach {1} at {2}{3}, {4}", *parts)
    if when is When.FROM_NOW:
        return Phrase("{0} can now reach {1} at {2}{3}, {4}", *parts)
    return Phrase("{0} can reach {1} at {2}{3}, {4}", *parts)


def explain_forwards(
    forwards: Sequence[ForwardStatus], qube: str, now: int, when: When = When.NOW
) -> Phrase:
    """Say in a sentence what holds now, and for what is not open, why."""
    first = forwards[0]
    if first.state is State.ACTIVE:
        return Phrase("{0}.", Start(describe_reach(forwards, qube, now, when)))
    missing = _describe_missing(forwards, qube)
    if first.state is State.PENDING:
        then = describe_reach(forwards, qube, now, When.NOW)
        return Phrase("{0} As soon as that changes, {1}.", missing, then)
    return missing


def _describe_missing(forwards: Sequence[ForwardStatus], qube: str) -> Phrase:
    """Say what is not open, or not yet, and why."""
    first = forwards[0]
    ports, hop = _count_ports(first.rule.srcports), find_entrance(first)
    outer = Start(Phrase("{0}/{1}", ports, format_protos(first.rule)))
    if hop:
        outer = Start(Phrase("{0} of {1}", outer, hop))
    reasons = join_words(unique(describe_reason(forward) for forward in forwards))
    is_one = len(first.rule.srcports) == 1
    if first.state is State.PENDING:
        if is_one:
            return Phrase("{0} is not open yet ({1}).", outer, reasons)
        return Phrase("{0} are not open yet ({1}).", outer, reasons)
    if is_one:
        return Phrase("{0} is not open for {1} ({2}).", outer, qube, reasons)
    return Phrase("{0} are not open for {1} ({2}).", outer, qube, reasons)


def unique(words: Iterable[str]) -> list[str]:
    """Return every word once, in the order of its first appearance."""
    return list(dict.fromkeys(words))


def describe_reason(forward: ForwardStatus) -> Phrase:
    """Say why a forward is not active: every hop that stands in its way."""
    missing: dict[str, list[str]] = {}
    for step in forward.path:
        if step.state is not State.ACTIVE and step.reason:
            missing.setdefault(step.reason, []).append(step.qube)
    told = [
        Phrase("{0}: {1}", join_words(unique(hops)), Told(why))
        for why, hops in missing.items()
    ]
    if told:
        return put_in_row(told, "; ")
    if forward.reason:
        return Told(forward.reason)
    return _BEING[forward.state]


def describe_traffic(packets: int, size: int) -> str:
    """Say how much has come through: ``12 packets (3.4 kB)``; nothing for none."""
    if not packets:
        return ""
    if packets == 1:
        return Phrase("1 packet ({0})", format_size(size))
    return Phrase("{0} packets ({1})", str(packets), format_size(size))


def format_size(size: int) -> str:
    """Write a number of bytes with a decimal unit: ``3.4 kB``."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return (
                f"{amount:.0f} {unit}"
                if amount >= 10 or unit == "B"
                else f"{amount:.1f} {unit}"
            )
        amount /= 1000
    return f"{amount:.1f} TB"


def warn_of(forwards: Sequence[ForwardStatus], qube: str) -> list[str]:
    """Say what the user may not have meant: open to everybody, or nothing there."""
    first = forwards[0]
    warnings = []
    is_external = first.rule.forwardtype is ForwardType.EXTERNAL
    if (
        (is_external or first.tunnels)
        and first.state in _COMING
        and any(is_unlimited(each.rule.srchost) for each in forwards)
    ):
        where: str = _describe_around(first)
        if first.tunnels:
            where = f"beyond the tunnel of {find_entrance(first)}"
        warnings.append(
            f"every host {where} may connect; --from ADDRESS-OR-CIDR limits that."
        )
    silence = describe_silence(first, qube)
    if silence:
        warnings.append(f"{silence}.")
    return warnings


def describe_silence(forward: ForwardStatus, qube: str) -> str:
    """Say why an open port may lead to nothing; nothing where nothing is known.

    A qube without our agent (Windows, say) is reached up to its door.
    """
    if forward.state in _COMING and not forward.has_agent:
        return Phrase(
            "the firewall of {0} itself is its own business: no agent opens it", qube
        )
    if forward.state is State.ACTIVE and forward.listening is False:
        service = describe_service(forward.rule, qube)
        return Phrase("nothing listens on {0} yet", service)
    return ""


def group_by_source(
    forwards: Iterable[ForwardStatus],
) -> list[list[ForwardStatus]]:
    """Put together what differs in who may connect only, and is in the same state."""
    groups: dict[tuple[object, ...], list[ForwardStatus]] = {}
    for forward in forwards:
        rule = replace(forward.rule, srchost=None)
        reached = forward.dial, forward.extent, forward.edge
        key = (rule, forward.is_mapping, forward.state, reached)
        groups.setdefault(key, []).append(forward)
    return list(groups.values())
