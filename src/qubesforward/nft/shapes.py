# SPDX-License-Identifier: GPL-2.0-or-later
"""The sets and maps of our table: of what kind their elements are.

What is in them is in `qubesforward.nft.forwards`, the rules that look things up in
them in `qubesforward.nft.layout`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FAMILIES = (4, 6)

USUAL: Mapping[int, tuple[int, ...]] = {4: (32, 24, 16, 8), 6: (128, 64, 56, 48)}
"""Prefix lengths of sources that have hashes of their own, by IP version.

Of an interval set the kernel copies all for each change: 25 ms with ten thousand."""


@dataclass(frozen=True, slots=True)
class SetShape:
    """A set or, where `data` is given, a map; types as nft writes them."""

    key: str
    data: str = ""
    flags: str = ""
    counter: bool = False

    @property
    def interval(self) -> bool:
        """Whether an element is a range of keys."""
        return "interval" in self.flags


_DOOR = "inet_proto . inet_service"


def _shapes_of(family: int) -> dict[str, SetShape]:
    address = f"ipv{family}_addr"
    sourced = f"{_DOOR} . {address}"
    shapes = {}
    for entrance in ("external", "uplink", "local", "self"):
        name, counter = f"{entrance}{family}", entrance == "self"
        data = "" if counter else "mark"
        shapes[name] = SetShape(_DOOR, data, "timeout", counter)
        for length in USUAL[family]:
            shapes[f"{name}_{length}"] = SetShape(sourced, data, "timeout", counter)
        shapes[f"{name}_wide"] = SetShape(sourced, data, "interval,timeout", counter)
    return shapes | {
        f"serve{family}": SetShape(sourced, "", "timeout", counter=True),
        f"answer{family}": SetShape(sourced, "", "timeout", counter=True),
        f"out{family}": SetShape(
            f"inet_proto . {address} . inet_service", "inet_service", "timeout"
        ),
        # A forward that keeps its ports, or takes them all to one, is one element
        # however long its range; only ranges that move need one for each port.
        f"keep{family}": SetShape("mark", address),
        f"fixed{family}": SetShape("mark", f"{address} . inet_service"),
        f"each{family}": SetShape("mark . inet_service", f"{address} . inet_service"),
        f"severed{family}": SetShape(
            f"inet_proto . {address} . inet_service . {address} . inet_service",
            flags="dynamic,timeout",
        ),
    }


SHAPES: Mapping[str, SetShape] = {
    **_shapes_of(4),
    **_shapes_of(6),
    "live": SetShape("mark", flags="timeout", counter=True),
    "detour": SetShape("mark", flags="timeout"),
    "held": SetShape("nf_proto . inet_proto . inet_service", flags="timeout"),
    "outermost": SetShape("nf_proto"),
    "astray": SetShape("nf_proto"),
    "asked": SetShape("inet_service", flags="dynamic,timeout"),
}
"""Every set of the table by name.

`live`: the marks of open forwards. `outermost`: both families while the hop has no
uplink. `severed`: target, its port, client, its port of connections that were cut.
`out`: the outer port with which leaves what a mapped inner socket sends; `held`: all
those outer ports. `asked`: ports of this qube from which a group was asked.
`detour`: marks whose answers go past a tunnel; `astray`: families in which the
target's own answers do.
"""


def render_set(name: str, shape: SetShape) -> list[str]:
    """Give the lines by which nft makes a set."""
    kind, types = "set", shape.key
    if shape.data:
        kind, types = "map", f"{shape.key} : {shape.data}"
    lines = [f"{kind} {name} {{", f"type {types}"]
    if shape.flags:
        lines.append(f"flags {shape.flags}")
    if "dynamic" in shape.flags:
        lines.append("size 65536")
    if shape.counter:
        lines.append("counter")
    return [*lines, "}"]
