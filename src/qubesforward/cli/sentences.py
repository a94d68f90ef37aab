# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tools say of forwards in plain sentences.

Functions that take several forwards take such as differ in who may connect only.
The time now is an argument, in seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from qubesforward.cli.durations import format_duration, format_moment
from qubesforward.cli.reaching import describe_beyond
from qubesforward.cli.status import ForwardStatus, State
from qubesforward.model.hosts import Network
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import REBOOT, ForwardRule, ForwardType

_COMING = (State.ACTIVE, State.PENDING)

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


def join_words(words: Sequence[str], last: str = "and") -> str:
    """Write ``a``, ``a and b`` or ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def name_some(words: Sequence[str]) -> str:
    """Write words like `join_words`, the later ones of many only counted."""
    if len(words) <= _MOST_NAMED:
        return join_words(words)
    return join_words([*words[:_MOST_NAMED], f"{len(words) - _MOST_NAMED} more"])


def count_noun(count: int, noun: str) -> str:
    """Write ``1 forward`` or ``2 forwards``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def describe_service(rule: ForwardRule, qube: str) -> str:
    """Say what is reached: ``tcp port 8443 of work``."""
    return f"{' and '.join(rule.protos)} {_count_ports(rule.inner_ports)} of {qube}"


def _count_ports(ports: PortRange) -> str:
    return f"{'port' if len(ports) == 1 else 'ports'} {ports.short}"


def find_entrance(forward: ForwardStatus) -> str:
    """Return the hop that is dialled, or nothing if there is no path."""
    return forward.path[0].qube if forward.path else ""


def describe_who(forwards: Sequence[ForwardStatus]) -> str:
    """Say who may connect, to stand inside a sentence."""
    first = forwards[0]
    sources = [forward.rule.srchost for forward in forwards]
    kind = "qube" if first.rule.forwardtype is ForwardType.INTERNAL else "host"
    versions = {source.version for source in sources if source and is_unlimited(source)}
    if None in sources or len(versions) == 2:
        return f"any {kind} {_describe_around(first)}"
    who = [f"any IPv{v} {kind} {_describe_around(first)}" for v in versions]
    limited = [source for source in sources if source and not is_unlimited(source)]
    names = [_format_source(source) for source in limited]
    if names and all(source.num_addresses == 1 for source in limited):
        who.append(f"the {kind}{'' if len(names) == 1 else 's'} {join_words(names)}")
    elif names:
        who.append(f"{kind}s in {join_words(names)}")
    return join_words(who)


def _format_source(source: Network) -> str:
    if source.num_addresses == 1:
        return str(source.network_address)
    return str(source)


def _describe_around(forward: ForwardStatus) -> str:
    hop = find_entrance(forward)
    if forward.rule.forwardtype is ForwardType.INTERNAL:
        around = f"behind {hop or 'the same netvm'}"
        if forward.tunnels:
            around += ", and any host beyond its tunnel,"
        return around
    around = f"on the networks of {hop or 'the outermost qube'}"
    return around + describe_beyond(forward)


def format_source(rule: ForwardRule) -> str:
    """Say in a word or two who may connect, for tables."""
    is_internal = rule.forwardtype is ForwardType.INTERNAL
    if rule.srchost is None or is_unlimited(rule.srchost):
        anyone = "any qube" if is_internal else "anyone"
        return (
            anyone if rule.srchost is None else f"{anyone} (IPv{rule.srchost.version})"
        )
    return _format_source(rule.srchost)


def describe_where(forward: ForwardStatus) -> str:
    """Say at which addresses and outer ports it is reached.

    Without a known address it is the hop that is named.
    """
    ports = forward.rule.srcports
    shown = forward.dial[:_MOST_ADDRESSES]
    if not shown:
        hop = find_entrance(forward)
        return _count_ports(ports) + (f" of {hop}" if hop else "")
    more = len(forward.dial) - len(shown)
    extra = [f"{more} more"] if more else []
    if len(ports) == 1:
        return join_words([*(_format_dial(a, ports) for a in shown), *extra], "or")
    return f"{join_words([*shown, *extra], 'or')}, {_count_ports(ports)}"


def _format_dial(address: str, ports: PortRange) -> str:
    return (
        f"[{address}]:{ports.short}" if ":" in address else f"{address}:{ports.short}"
    )


def describe_until(rule: ForwardRule, now: int) -> str:
    """Say until when it stays open."""
    if rule.expire == REBOOT:
        return "until the computer is restarted"
    if isinstance(rule.expire, int):
        left = format_duration(rule.expire - now)
        return f"until {format_moment(rule.expire, now)} ({left} from now)"
    return "until you close it"


def describe_offset(rule: ForwardRule) -> str:
    """Say how the ports of a range are mapped, where that is not one to one."""
    outer, inner = rule.srcports, rule.inner_ports
    if len(outer) == 1 or outer == inner:
        return ""
    if len(inner) == 1:
        return f" (all of them lead to {inner.first})"
    return f" ({outer.first} leads to {inner.first}, {outer.last} to {inner.last})"


def describe_reach(
    forwards: Sequence[ForwardStatus], qube: str, now: int, verb: str
) -> str:
    """Say who reaches what, where and until when, to stand inside a sentence."""
    first = forwards[0]
    return (
        f"{describe_who(forwards)} {verb} {describe_service(first.rule, qube)}"
        f" at {describe_where(first)}{describe_offset(first.rule)},"
        f" {describe_until(first.rule, now)}"
    )


def explain_forwards(
    forwards: Sequence[ForwardStatus], qube: str, now: int, verb: str = "can reach"
) -> str:
    """Say in a sentence what holds now, and for what is not open, why."""
    first = forwards[0]
    if first.state is State.ACTIVE:
        return _start(describe_reach(forwards, qube, now, verb)) + "."
    ports = f"{_start(_count_ports(first.rule.srcports))}/{format_protos(first.rule)}"
    hop = find_entrance(first)
    where = f" of {hop}" if hop else ""
    reasons = join_words(unique(describe_reason(forward) for forward in forwards))
    is_open = "is" if len(first.rule.srcports) == 1 else "are"
    if first.state is State.PENDING:
        then = describe_reach(forwards, qube, now, "can reach")
        missing = f"{ports}{where} {is_open} not open yet ({reasons})."
        return f"{missing} As soon as that changes, {then}."
    return f"{ports}{where} {is_open} not open for {qube} ({reasons})."


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]


def unique(words: Iterable[str]) -> list[str]:
    """Return every word once, in the order of its first appearance."""
    return list(dict.fromkeys(words))


def describe_reason(forward: ForwardStatus) -> str:
    """Say why a forward is not active: every hop that stands in its way."""
    missing: dict[str, list[str]] = {}
    for step in forward.path:
        if step.state is not State.ACTIVE and step.reason:
            missing.setdefault(step.reason, []).append(step.qube)
    told = [f"{join_words(unique(hops))}: {why}" for why, hops in missing.items()]
    return "; ".join(told) or forward.reason or f"it is {forward.state}"


def describe_traffic(packets: int, size: int) -> str:
    """Say how much has come through: ``12 packets (3.4 kB)``; nothing for none."""
    if not packets:
        return ""
    return f"{packets} packet{'' if packets == 1 else 's'} ({format_size(size)})"


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
        where = _describe_around(first)
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
        return f"the firewall of {qube} itself is its own business: no agent opens it"
    if forward.state is State.ACTIVE and forward.listening is False:
        return f"nothing listens on {describe_service(forward.rule, qube)} yet"
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
