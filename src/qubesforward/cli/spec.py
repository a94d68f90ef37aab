# SPDX-License-Identifier: GPL-2.0-or-later
"""``OUTER[:INNER][/PROTO]``, the short form of what to forward."""

from __future__ import annotations

import re
from dataclasses import dataclass
from socket import getservbyname

from qubesforward.errors import InvalidRule
from qubesforward.model.ports import PortRange, parse_ports
from qubesforward.model.rule import ForwardRule, Proto

_PROTOS: dict[str, Proto | None] = {
    "tcp": Proto.TCP,
    "udp": Proto.UDP,
    "tcp+udp": None,
    "udp+tcp": None,
    "both": None,
}
_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")


@dataclass(frozen=True, slots=True)
class PortSpec:
    """What a short form says, and no more than it says.

    `inner` is None where no inner port was given. `proto` None is both, unless
    `any_proto`: no protocol was given.
    """

    outer: PortRange
    inner: PortRange | None
    proto: Proto | None
    any_proto: bool

    def __str__(self) -> str:
        inner = "" if self.inner is None else f":{self.inner.short}"
        proto = "" if self.any_proto else f"/{self.proto or 'both'}"
        return f"{self.outer.short}{inner}{proto}"

    def matches(self, rule: ForwardRule) -> bool:
        """Whether a forward is what this names; what was not said is not compared."""
        return (
            rule.srcports == self.outer
            and (self.inner is None or rule.inner_ports == self.inner)
            and (self.any_proto or rule.proto == self.proto)
        )


def parse_spec(text: str) -> PortSpec:
    """Read ``443``, ``443:8443/tcp``, ``8000-8010:9000-9010/udp`` or ``https``.

    Service names are those of this computer. Raise `InvalidRule` for the rest.
    """
    ports, slash, proto_text = text.partition("/")
    if slash and proto_text not in _PROTOS:
        raise InvalidRule(f"{text[:60]!a}: the protocol is tcp, udp or both")
    proto = _PROTOS[proto_text] if slash else Proto.TCP
    outer, colon, inner = ports.partition(":")
    return PortSpec(
        outer=_parse_side(outer, "outer port", proto),
        inner=_parse_side(inner, "inner port", proto) if colon else None,
        proto=proto,
        any_proto=not slash,
    )


def _parse_side(text: str, side: str, proto: Proto | None) -> PortRange:
    if _SERVICE.match(text):
        try:
            port = getservbyname(text, proto or Proto.TCP)
        except OSError:
            raise InvalidRule(f"{side} {text!a}: no such port or service") from None
        return PortRange(port, port)
    try:
        return parse_ports(text, side)
    except InvalidRule as error:
        raise InvalidRule(str(error).replace("=", " ", 1)) from None
