# SPDX-License-Identifier: GPL-2.0-or-later
"""What must be open, told in the simplest way: one rule, port and client at a time.

It shares nothing with the planner but the words. Slow and plain, so that the two are
not wrong in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from itertools import pairwise

CLIENTS = {
    "lan": ("192.168.1.20", "2001:db8:1::20"),
    "lan2": ("192.168.1.21", "2001:db8:1::21"),
    "internet": ("198.51.100.2", "2001:db8:ffff::2"),
    "neighbour": ("10.137.9.9", "fd09:24ef:4179::a89:909"),
    "stranger": ("203.0.113.9", "2001:db8:9::9"),
}
"""Addresses by place, of either family, with which every port is tried in thought."""

Point = tuple[str, str, int, str]
"""An entrance, a protocol, a port that is dialled, and a client's address."""


@dataclass(frozen=True)
class Rule:
    """A forward as a user has it. `src` and `expire` may be missing."""

    target: str
    external: bool
    protos: tuple[str, ...]
    first: int
    last: int
    inner: int | None = None
    src: str | None = None
    expire: int | None = None

    @property
    def line(self) -> str:
        """The rule as the Admin API has it."""
        words = [f"action=forward forwardtype={self._type}"]
        if len(self.protos) == 1:
            words.append(f"proto={self.protos[0]}")
        if self.src is not None:
            words.append(f"src{ip_network(self.src).version}={self.src}")
        words.append(f"srcports={self.first}-{self.last}")
        if self.inner is not None:
            words.append(f"dstports={self.inner}-{self.inner + self.last - self.first}")
        if self.expire is not None:
            words.append(f"expire={self.expire}")
        return " ".join(words)

    @property
    def _type(self) -> str:
        return "external" if self.external else "internal"

    def is_over(self, now: float) -> bool:
        """Whether its time is over."""
        return self.expire is not None and self.expire <= now

    def inner_of(self, port: int) -> int:
        """Return where in the target an outer port leads."""
        return port if self.inner is None else self.inner + port - self.first

    def ports(self) -> range:
        """Return the outer ports."""
        return range(self.first, self.last + 1)

    def lets_in(self, client: str) -> bool:
        """Whether a client may connect."""
        if self.src is None:
            return True
        network = ip_network(self.src)
        address = ip_address(client)
        return network.version == address.version and address in network

    def families(self) -> tuple[int, ...]:
        """Return the IP versions that it asks for."""
        return (4, 6) if self.src is None else (ip_network(self.src).version,)


@dataclass(frozen=True)
class Fact:
    """What qubesd says of a qube: its netvm, whether it runs, its addresses."""

    netvm: str
    running: bool
    addresses: Mapping[int, str]


@dataclass
class Expected:
    """`states` by target and line; `open` by qube: what each point leads to."""

    states: dict[tuple[str, str], str] = field(default_factory=dict)
    open: dict[str, dict[Point, str]] = field(default_factory=dict)


_Needed = dict[tuple[str, Point], str]
"""By qube and point: where it leads; a door leads to ``in``."""


def chain_of(rule: Rule, facts: Mapping[str, Fact]) -> list[str] | None:
    """Return the target and the hops it needs, the outermost last; None if none."""
    chain = [rule.target]
    while above := facts[chain[-1]].netvm:
        if above in chain:
            return None
        chain.append(above)
        if not rule.external:
            break
    return chain if len(chain) > 1 else None


def _families(rule: Rule, chain: Sequence[str], facts: Mapping[str, Fact]) -> list[int]:
    return [
        family
        for family in rule.families()
        if all(facts[qube].addresses.get(family) for qube in chain[:-1])
    ]


def _points(
    rule: Rule, chain: Sequence[str], family: int, facts: Mapping[str, Fact]
) -> Iterator[tuple[str, Point, str]]:
    clients = [pair[0 if family == 4 else 1] for pair in CLIENTS.values()]
    clients = [client for client in clients if rule.lets_in(client)]
    for proto in rule.protos:
        for port in rule.ports():
            for client in clients:
                for below, hop in pairwise(chain):
                    entrance = "uplink" if facts[hop].netvm else "external"
                    entrance = entrance if rule.external else "local"
                    to = facts[below].addresses[family]
                    inner = rule.inner_of(port) if below == rule.target else port
                    yield hop, (entrance, proto, port, client), f"{to} {inner}"
                door = ("self", proto, rule.inner_of(port), client)
                yield rule.target, door, "in"


def expect(rules: Iterable[Rule], facts: Mapping[str, Fact], now: float) -> Expected:
    """Say what must be open; `rules` are in the order of their age, oldest first."""
    expected = Expected(open={name: {} for name, f in facts.items() if f.running})
    taken: _Needed = {}
    for rule in rules:
        if rule.is_over(now):
            continue
        expected.states[rule.target, rule.line] = _take(rule, facts, taken, expected)
    return expected


def _take(
    rule: Rule, facts: Mapping[str, Fact], taken: _Needed, expected: Expected
) -> str:
    chain = chain_of(rule, facts)
    families = [] if chain is None else _families(rule, chain, facts)
    if chain is None or not families:
        return "unreachable"
    needed = [one for f in families for one in _points(rule, chain, f, facts)]
    if any(_is_taken(hop, point, taken) for hop, point, _to in needed):
        return "conflict"
    for hop, point, to in needed:
        taken[hop, point] = to
    if not all(facts[qube].running for qube in chain):
        return "pending"
    for hop, point, to in needed:
        expected.open[hop][point] = to
    return "active"


def _is_taken(hop: str, point: Point, taken: _Needed) -> bool:
    """Whether an older rule needs that very point, or one no packet can tell from it.

    A target's door and an uplink entry share the entrance; doors share each other.
    """
    entrance, proto, port, client = point
    others = {"self": ["uplink"], "uplink": ["uplink", "self"]}
    return any(
        (hop, (other, proto, port, client)) in taken
        for other in others.get(entrance, [entrance])
    )


def spread(openings: Iterable[str]) -> dict[Point, str]:
    """Spread openings, as a kernel has them, to points."""
    found: dict[Point, str] = {}
    clients = [address for pair in CLIENTS.values() for address in pair]
    for opening in openings:
        entrance, proto, ports, src, *target = opening.split(" ")
        first, last = map(int, ports.split("-"))
        network = ip_network(src)
        inside = [c for c in clients if ip_address(c) in network]
        for port in range(first, last + 1):
            to = "in" if entrance == "self" else _lead(target, port - first)
            for client in inside:
                found[entrance, proto, port, client] = to
    return found


def _lead(target: Sequence[str], offset: int) -> str:
    if len(target) < 3:
        return "nowhere"
    first, last = map(int, target[2].split("-"))
    return f"{target[1]} {min(first + offset, last)}"
