# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of ours in a hop's or target's kernel: what never changes about it.

All that changes is elements of its sets and maps (`qubesforward.nft.forwards`), so a
change of any kind is one batch of elements, and the rules cost the same with one
forward and with ten thousand.

A packet to the hop itself that a map knows by protocol, port and perhaps source gets
the forward's mark on its connection, and is translated by that mark. From then on
each packet of the connection passes only while the mark is in the set `live`. Since
elements carry timeouts, the kernel closes a forward in time by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from zlib import crc32

from qubesforward.model.entry import NEWS_PORT, PORTMAP_PORT, SSDP_PORT
from qubesforward.nft.marks import DETOUR, DOOR_MARKS, SELF, SERVED, TAG, TAG_MASK, TOLD
from qubesforward.nft.shapes import SHAPES, USUAL, render_set

TABLE = "qubes-forward"
"""Name of our table, family inet."""

COMMENT = "qubes-forward"
"""The comment by which our rules in chains of others are known."""

CUSTOM_FORWARD = "custom-forward"
CUSTOM_INPUT = "custom-input"
CUSTOM_TABLE = "qubes"
"""Where Qubes lets others put rules: chains of the tables ``ip`` and ``ip6 qubes``."""

TUNNEL_KINDS = (
    *("amneziawg", "erspan", "geneve", "gre", "gretap", "gtp", "ip6erspan"),
    *("ip6gre", "ip6gretap", "ip6tnl", "ipip", "l2tp_eth", "ovpn", "ovpn-dco"),
    *("ppp", "sit", "tun", "vti", "vti6", "vxlan", "wireguard", "xfrm"),
)
"""Kinds of links (IFLA_INFO_KIND) that carry a network inside another."""


_SEVERED_FOR = "10m"
"""Longer than any pause between retransmissions (TCP_RTO_MAX is two minutes)."""

_NEWS = f"udp sport {PORTMAP_PORT} udp dport {NEWS_PORT} ip daddr 224.0.0.1 goto doors"
"""What a gateway announces to all (RFC 6886, 3.2.1; RFC 6887, 14.1). By IPv6 it comes
from an address of the link's own, which no door is for."""

_SSDP_GROUPS = (
    f"udp dport {SSDP_PORT} ip daddr 239.255.255.250",
    f"udp dport {SSDP_PORT} ip6 daddr {{ ff02::c, ff05::c }}",
)
"""UPnP Device Architecture 1.1, 1.3.2 and A.3."""

_ASKED_FOR = "10s"
"""Who is asked has up to five seconds to answer (its 1.3.2), and may be late."""


def _each_family(template: str) -> list[str]:
    """Fill in a rule for both families: ``N`` is its digit, ``IP`` its nft word."""
    return [
        template.replace("IP", word).replace("N", str(family))
        for family, word in ((4, "ip"), (6, "ip6"))
    ]


def _entrance(name: str) -> list[str]:
    # Several look-ups instead of one wide map: hashes are flat with any number of
    # forwards, the interval map is for ranges and sources of unusual size only.
    door = "meta nfproto ipvN ct mark set meta l4proto . th dport"
    return [
        *_each_family(f"{door} map @{name}N goto translateN"),
        *(
            f"ct mark set {key} map @{name}{family}_{kind} goto translate{family}"
            for family, key, kind in _sourced("dport", "saddr")
        ),
    ]


def _sourced(port: str, address: str) -> Iterator[tuple[int, str, str]]:
    """Give family, key and kind of set of each look-up by protocol, port and source."""
    for family, word in ((4, "ip"), (6, "ip6")):
        door = f"meta l4proto . th {port}"
        for length in USUAL[family]:
            mask = ip_network((0 if family == 4 else bytes(16), length)).netmask
            # nft takes an expression within a concatenation in parentheses only.
            yield family, f"{door} . ({word} {address} & {mask})", str(length)
        yield family, f"{door} . {word} {address}", "wide"


def _translate(family: int, word: str) -> list[str]:
    # nft wants to see in the same rule that there are ports to translate.
    return [
        f"meta l4proto {{ tcp, udp }} dnat {word} to {target}"
        for target in (
            f"ct mark map @keep{family}",
            f"ct mark map @fixed{family}",
            f"ct mark . th dport map @each{family}",
        )
    ]


def _doors(port: str, address: str, then: str) -> list[str]:
    return [
        *_each_family(f"meta nfproto ipvN meta l4proto . th {port} @selfN {then}"),
        *(
            f"{key} @self{family}_{kind} {then}"
            for family, key, kind in _sourced(port, address)
        ),
    ]


def _single(name: str, port: str, address: str, then: str) -> list[str]:
    return _each_family(f"meta l4proto . th {port} . IP {address} @{name}N {then}")


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain: where it is hooked in, if it is, and its rules."""

    rules: tuple[str, ...]
    hook: str = ""


def _chain(*rules: str, hook: str = "") -> Chain:
    return Chain(rules, hook)


_IS_OURS = f"ct mark & 0x{TAG_MASK:08x} == 0x{TAG:08x}"

CHAINS: Mapping[str, Chain] = {
    "translate4": _chain(*_translate(4, "ip")),
    "translate6": _chain(*_translate(6, "ip6")),
    "external": _chain(*_entrance("external")),
    "uplink": _chain(*_entrance("uplink")),
    "local": _chain(*_entrance("local")),
    # Just before Qubes' own translation, so that it finds ours done.
    "prerouting": _chain(
        "meta l4proto != { tcp, udp } accept",
        'iifname "lo" accept',
        "fib daddr type != local accept",
        "iifgroup vmap { 1 : goto uplink, 2 : goto local }",
        "meta nfproto @outermost goto external",
        # Beside an uplink of its own, a hop's tunnels are where friends come in;
        # any other card there is not what `internal` may open to.
        "meta iifkind { " + ", ".join(f'"{kind}"' for kind in TUNNEL_KINDS) + " }"
        " goto local",
        hook="type nat hook prerouting priority dstnat - 10; policy accept;",
    ),
    # Conntrack takes up TCP in mid-stream and knows no streams of UDP: what a
    # target still sends on a connection that was cut, and whose entry is gone,
    # would pass as its own new one and bring the client's packets back in.
    "severed": _chain(
        *_each_family(
            "meta l4proto . IP saddr . th sport . IP daddr . th dport @severedN"
            " update @severedN { meta l4proto . IP saddr . th sport . IP daddr"
            f" . th dport timeout {_SEVERED_FOR} }} drop"
        )
    ),
    "passing": _chain("ct mark @live accept", "drop"),
    # What is not ours is not touched, also where conntrack does not track it:
    # therefore no rule here says what to do with all the rest.
    "forward": _chain(
        "ct state new iifgroup 2 meta l4proto { tcp, udp } jump severed",
        f"{_IS_OURS} goto passing",
        hook="type filter hook forward priority filter - 10; policy accept;",
    ),
    "doors": _chain(
        *_doors("dport", "saddr", f"ct mark set 0x{SELF:08x} accept"),
    ),
    "inside": _chain(
        "ct state related accept",
        *_doors("dport", "saddr", "accept"),
        "drop",
    ),
    # Answers come from who answers, not from the group that was asked: to conntrack
    # they are connections of others, and no qube would ever find a gateway.
    "answer": _chain(
        *_single("answer", "sport", "saddr", f"ct mark set 0x{TOLD:08x} accept"),
    ),
    "above": _chain(
        f"udp sport {SSDP_PORT} udp dport @asked jump answer",
        _NEWS,
        "fib daddr type local goto doors",
    ),
    "hearing": _chain(*_single("answer", "sport", "saddr", "accept"), "drop"),
    "serve": _chain(
        *_single("serve", "dport", "saddr", f"ct mark set 0x{SERVED:08x} accept"),
    ),
    # Nothing else that is sent to many is let in.
    "below": _chain(
        "fib daddr type local goto serve",
        *(f"{group} goto serve" for group in _SSDP_GROUPS),
    ),
    # Whoever is served no more is told what Qubes tells all others.
    "serving": _chain(
        "ct state related accept",
        *_single("serve", "dport", "saddr", "accept"),
        "reject with icmpx admin-prohibited",
    ),
    "ours": _chain(
        f"ct mark vmap {{ 0x{SELF:08x} : goto inside, 0x{SERVED:08x} : goto serving,"
        f" 0x{TOLD:08x} : goto hearing }}",
        "drop",
    ),
    "input": _chain(
        f"{_IS_OURS} goto ours",
        "ct state new meta l4proto { tcp, udp }"
        " iifgroup vmap { 1 : goto above, 2 : goto below }",
        hook="type filter hook input priority filter - 10; policy accept;",
    ),
    # Answers are cut too: a target that moved to another hop would else go on
    # sending through one that never heard of the connection.
    "answers": _chain(*_doors("sport", "daddr", "accept"), "drop"),
    "replies": _chain(*_single("serve", "sport", "daddr", "accept"), "drop"),
    # An answer to a question that was sent to a group is a connection of its own,
    # and the other side could go on in it when its door is closed.
    "telling": _chain(
        *_single("serve", "sport", "daddr", f"ct mark set 0x{SERVED:08x} accept"),
    ),
    "asking": _chain(
        *(
            f"{group} update @asked {{ udp sport timeout {_ASKED_FOR} }}"
            for group in _SSDP_GROUPS
        )
    ),
    "output": _chain(
        "meta l4proto { tcp, udp } ct mark vmap"
        f" {{ 0x{SELF:08x} : goto answers, 0x{SERVED:08x} : goto replies }}",
        "ct state new meta l4proto { tcp, udp }"
        " oifgroup vmap { 1 : goto asking, 2 : goto telling }",
        hook="type filter hook output priority filter - 10; policy accept;",
    ),
    # Whoever else sends from an outer port is moved to another: what a far end sends
    # to the mapped socket could otherwise be turned to him. Should a connection to
    # the same far end have that port all the same (TCP begun before the port was
    # mapped), then the kernel finds no other in a range of one, and drops the packet
    # when it is to confirm the connection, until the older one is forgotten.
    "outward": _chain(
        *_each_family(
            "meta l4proto { tcp, udp }"
            " masquerade to :meta l4proto . IP saddr . th sport map @outN"
        ),
        "meta nfproto . meta l4proto . th sport @held"
        " meta l4proto { tcp, udp } masquerade to :1024-65535 random",
    ),
    # Just before Qubes' own masquerading, which finds it done. Only where the
    # mapping is entered: what goes by a tunnel beside an uplink keeps its port.
    "postrouting": _chain(
        "meta l4proto != { tcp, udp } accept",
        "oifgroup vmap { 1 : goto outward, 2 : accept }",
        'meta nfproto @outermost oifname != "lo" goto outward',
        hook="type nat hook postrouting priority srcnat - 10; policy accept;",
    ),
    "detour-below": _chain(
        "iifgroup 2 ct direction reply ct mark @detour"
        f" meta mark set meta mark | 0x{DETOUR:08x}",
        hook="type filter hook prerouting priority mangle; policy accept;",
    ),
    "detour-self": _chain(
        f"meta nfproto @astray ct direction reply ct mark 0x{SELF:08x}"
        f" meta mark set meta mark | 0x{DETOUR:08x}",
        hook="type route hook output priority mangle; policy accept;",
    ),
}
"""Every chain by name, in an order in which each comes after those it goes to."""


def _render_body() -> str:
    lines = []
    for name, shape in SHAPES.items():
        lines += render_set(name, shape)
    for name, chain in CHAINS.items():
        lines += [f"chain {name} {{", *filter(None, [chain.hook]), *chain.rules, "}"]
    return "\n".join(lines)


_BODY = _render_body()

MARKER = f"layout-{crc32(_BODY.encode()):08x}"
"""An empty chain that tells which layout the table in the kernel has.

A table's comment would say it better, but nft before 1.0.9 does not list it in JSON.
"""

RULES_PER_CHAIN: Mapping[str, int] = {
    name: len(chain.rules) for name, chain in CHAINS.items()
}


def render_table() -> str:
    """Make the table, with no elements, in place of the one there is, if any."""
    return (
        f"add table inet {TABLE}\n"
        f"delete table inet {TABLE}\n"
        f"table inet {TABLE} {{\n"
        f'comment "port forwards; programs of qubes-forward keep this as it is"\n'
        f"chain {MARKER} {{\n}}\n"
        f"{_BODY}\n"
        "}\n"
    )


_ACCEPT = {
    CUSTOM_FORWARD: f"{_IS_OURS} ct status dnat accept",
    CUSTOM_INPUT: f"ct mark {{ {', '.join(map(hex, sorted(DOOR_MARKS)))} }} accept",
}
# Neither asks for the state: a packet without a connection has no mark, so what
# conntrack finds invalid goes on to Qubes' own rule, which drops it.


def render_farewell() -> str:
    """Tell the ends of connections through us that they are over.

    Their packets are only dropped otherwise, and what an end sends again when the
    table is gone would be taken for a connection of its own, and be let out.
    """
    lines = []
    for hook in ("forward", "input"):
        chain = f"inet {TABLE} farewell-{hook}"
        lines.append(
            f"add chain {chain} {{ type filter hook {hook} priority mangle; }}"
        )
        ours = f"add rule {chain} {_IS_OURS}"
        lines += [f"{ours} meta l4proto tcp reject with tcp reset", f"{ours} reject"]
    return "\n".join(lines) + "\n"


def render_removal() -> str:
    """Remove our table, whether it is there or not."""
    return f"add table inet {TABLE}\ndelete table inet {TABLE}\n"


def render_custom_removal(family: int, chain: str, handles: tuple[int, ...]) -> str:
    """Remove rules of ours from a custom chain of Qubes."""
    return "".join(
        f"delete rule {_custom_chain(family, chain)} handle {handle}\n"
        for handle in handles
    )


def render_custom_rule(family: int, chain: str, old_handles: tuple[int, ...]) -> str:
    """Put our one rule first in a custom chain of Qubes, in place of older ones."""
    where = _custom_chain(family, chain)
    added = f'insert rule {where} {_ACCEPT[chain]} comment "{COMMENT}"\n'
    return render_custom_removal(family, chain, old_handles) + added


def _custom_chain(family: int, chain: str) -> str:
    return f"{'ip' if family == 4 else 'ip6'} {CUSTOM_TABLE} {chain}"
