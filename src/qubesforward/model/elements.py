# SPDX-License-Identifier: GPL-2.0-or-later
"""The elements of rules: their names, their values, and which rule takes which.

Text lines, XML and the command line differ in how they carry elements. What an
element means is the same in all of them, and is said here once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qubesforward.errors import InvalidRule
from qubesforward.model.dsthost import LONGEST_NAME, parse_dsthost
from qubesforward.model.hosts import parse_network
from qubesforward.model.ports import parse_ports
from qubesforward.model.rule import (
    LAST_ICMP_TYPE,
    LAST_OUTBOUND_PORT,
    REBOOT,
    Action,
    ForwardRule,
    ForwardType,
    OutboundRule,
    Proto,
    Reach,
    Rule,
)
from qubesforward.model.values import (
    LONGEST_COMMENT,
    parse_choice,
    parse_moment,
    parse_number,
    parse_yes,
)

SYNONYMS = {
    "dst4": "dsthost",
    "dst6": "dsthost",
    "dstname": "dsthost",
    "src4": "srchost",
    "src6": "srchost",
}
"""Names taken in texts, and the element that each stands for."""

SHARED = frozenset({"action", "proto", "dstports", "expire", "comment"})
OUTBOUND_ONLY = frozenset({"dsthost", "icmptype", "specialtarget"})
FORWARD_ONLY = frozenset(
    {"forwardtype", "srcports", "srchost", "reach", "bypass", "disposables"}
)
ELEMENTS = SHARED | OUTBOUND_ONLY | FORWARD_ONLY

_INSTEAD = {
    "dsthost": "it leads to the qube itself; srchost says who may connect",
    "icmptype": "it takes tcp or udp",
    "specialtarget": "it takes ports",
}


def collect_elements(untrusted_pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Bring named values under one name each.

    Raises `InvalidRule` for a name that is unknown or given twice, for a value that
    is too long, and for ``src4``/``src6`` that are not of their family. The values
    are still untrusted.
    """
    untrusted_values: dict[str, str] = {}
    for untrusted_name, untrusted_value in untrusted_pairs:
        name = SYNONYMS.get(untrusted_name, untrusted_name)
        if name not in ELEMENTS:
            raise InvalidRule(f"{untrusted_name[:40]!a}: not an element of a rule")
        if name in untrusted_values:
            raise InvalidRule(f"{name}: given twice; give it once")
        longest = LONGEST_COMMENT if name == "comment" else LONGEST_NAME
        if len(untrusted_value) > longest:
            raise InvalidRule(
                f"{name}: {len(untrusted_value)} characters; at most {longest} fit"
            )
        if untrusted_name in ("src4", "src6"):
            _require_family(untrusted_name, untrusted_value)
        untrusted_values[name] = untrusted_value
    return untrusted_values


def _require_family(name: str, untrusted_value: str) -> None:
    network = parse_network(untrusted_value, name)
    if not name.endswith(str(network.version)):
        raise InvalidRule(
            f"{name}={network}: that is IPv{network.version};"
            f" write src{network.version}={network}"
        )


def parse_elements(untrusted_values: Mapping[str, str]) -> Rule:
    """Make a rule of the values that `collect_elements` returned.

    Raises `InvalidRule`.
    """
    if "action" not in untrusted_values:
        raise InvalidRule(f"action: missing; give one of {', '.join(Action)}")
    action = parse_choice(Action, untrusted_values["action"], "action")
    if action is Action.FORWARD:
        return _parse_forward(untrusted_values)
    return _parse_outbound(action, untrusted_values)


def _parse_outbound(
    action: Action, untrusted_values: Mapping[str, str]
) -> OutboundRule:
    for name in untrusted_values:
        if name in FORWARD_ONLY:
            raise InvalidRule(f"{name}: only a forward takes it (action=forward)")
    get = untrusted_values.get
    dsthost, proto, dstports = get("dsthost"), get("proto"), get("dstports")
    icmptype, expire = get("icmptype"), get("expire")
    return OutboundRule(
        action,
        dsthost=None if dsthost is None else parse_dsthost(dsthost),
        proto=None if proto is None else parse_choice(Proto, proto, "proto"),
        specialtarget=get("specialtarget"),
        dstports=None if dstports is None else _parse_outbound_ports(dstports),
        icmptype=None if icmptype is None else _parse_icmptype(icmptype),
        expire=None if expire is None else _parse_outbound_expire(expire),
        comment=get("comment", ""),
    )


def _parse_forward(untrusted_values: Mapping[str, str]) -> ForwardRule:
    for name in untrusted_values:
        if name in OUTBOUND_ONLY:
            raise InvalidRule(f"{name}: a forward does not take it; {_INSTEAD[name]}")
    for name, advice in (
        ("forwardtype", f"give one of {', '.join(ForwardType)}"),
        ("srcports", "give the port that the outside dials"),
    ):
        if name not in untrusted_values:
            raise InvalidRule(f"{name}: missing; {advice}")
    get = untrusted_values.get
    dstports, proto, srchost = get("dstports"), get("proto"), get("srchost")
    expire, bypass, disposables = get("expire"), get("bypass"), get("disposables")
    return ForwardRule(
        parse_choice(ForwardType, untrusted_values["forwardtype"], "forwardtype"),
        parse_ports(untrusted_values["srcports"], "srcports"),
        dstports=None if dstports is None else parse_ports(dstports, "dstports"),
        proto=None if proto is None else parse_choice(Proto, proto, "proto"),
        srchost=None if srchost is None else parse_network(srchost),
        expire=None if expire is None else _parse_forward_expire(expire),
        reach=parse_choice(Reach, get("reach", Reach.LAN), "reach"),
        bypass=bypass is not None and parse_yes(bypass, "bypass"),
        disposables=disposables is not None and parse_yes(disposables, "disposables"),
        comment=get("comment", ""),
    )


def _parse_outbound_ports(untrusted_value: str) -> tuple[int, int]:
    untrusted_first, dash, untrusted_last = untrusted_value.partition("-")
    first, last = (
        parse_number(
            untrusted_port,
            "dstports",
            LAST_OUTBOUND_PORT,
            "give a port or FIRST-LAST; ports are 1-65535",
        )
        for untrusted_port in (
            untrusted_first,
            untrusted_last if dash else untrusted_first,
        )
    )
    return first, last


def _parse_icmptype(untrusted_value: str) -> int:
    return parse_number(
        untrusted_value,
        "icmptype",
        LAST_ICMP_TYPE,
        f"ICMP types are 0-{LAST_ICMP_TYPE}",
    )


def _parse_outbound_expire(untrusted_value: str) -> int:
    if untrusted_value == REBOOT:
        raise InvalidRule("expire=reboot: only a forward can end with the boot")
    return parse_moment(untrusted_value, "expire")


def _parse_forward_expire(untrusted_value: str) -> int | str:
    if untrusted_value == REBOOT:
        return REBOOT
    return parse_moment(untrusted_value, "expire")
