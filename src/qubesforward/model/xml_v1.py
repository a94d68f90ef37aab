# SPDX-License-Identifier: GPL-2.0-or-later
"""Version 1 of ``firewall.xml``, as Qubes 3 wrote it: read, never written.

One policy for the whole file; its rules are the exceptions from it and name no action.
Here in terms of the attributes that its XML elements bear.
"""

from __future__ import annotations

from collections.abc import Mapping

from qubesforward.errors import InvalidRule
from qubesforward.model.dsthost import parse_dsthost
from qubesforward.model.elements import collect_elements, parse_elements
from qubesforward.model.rule import Action, OutboundRule, Proto, Rule

_ATTRIBUTES = frozenset({"address", "netmask", "proto", "port", "toport", "expire"})
_ACTIONS = {"allow": Action.ACCEPT, "deny": Action.DROP}


class PolicyV1:
    """What the root's attributes say; raises `InvalidRule` if they give no policy.

    The other attributes fall back on the policy; ``yumProxy`` has had no meaning
    since Qubes 4.
    """

    def __init__(self, untrusted_attributes: Mapping[str, str]) -> None:
        untrusted_policy = untrusted_attributes.get("policy", "")
        if untrusted_policy not in _ACTIONS:
            raise InvalidRule(
                f"policy={untrusted_policy[:40]!a}: not one of {', '.join(_ACTIONS)}"
            )
        self._policy = untrusted_policy
        self._dns = self._service(untrusted_attributes, "dns")
        self._icmp = self._service(untrusted_attributes, "icmp")

    def _service(self, untrusted_attributes: Mapping[str, str], name: str) -> Action:
        allowed = untrusted_attributes.get(name, self._policy) == "allow"
        return Action.ACCEPT if allowed else Action.DROP

    def first_rules(self) -> list[OutboundRule]:
        """Return what comes before the rules of the file."""
        return [
            OutboundRule(self._dns, specialtarget="dns"),
            OutboundRule(self._icmp, proto=Proto.ICMP),
        ]

    def last_rules(self) -> list[OutboundRule]:
        """Return what comes after them; what no rule accepts is dropped anyway."""
        return [OutboundRule(Action.ACCEPT)] if self._policy == "allow" else []

    def parse_rule(self, untrusted_attributes: Mapping[str, str]) -> Rule:
        """Read a rule by its element's attributes; raise `InvalidRule` otherwise."""
        for untrusted_name in untrusted_attributes:
            if untrusted_name not in _ATTRIBUTES:
                raise InvalidRule(
                    f"{untrusted_name[:40]!a}: not an attribute of a version 1 rule"
                )
        untrusted = {name: text for name, text in untrusted_attributes.items() if text}
        action = Action.DROP if self._policy == "allow" else Action.ACCEPT
        pairs = [("action", str(action)), *_host(untrusted), *_ports(untrusted)]
        if "expire" in untrusted:
            pairs.append(("expire", untrusted["expire"]))
        return parse_elements(collect_elements(pairs))


def _host(untrusted: Mapping[str, str]) -> list[tuple[str, str]]:
    if "address" not in untrusted:
        return []
    host = untrusted["address"]
    if (
        "netmask" in untrusted
        and "/" not in host
        and parse_dsthost(host).kind != "dsthost"
    ):
        host += f"/{untrusted['netmask']}"
    return [("dsthost", host)]


def _ports(untrusted: Mapping[str, str]) -> list[tuple[str, str]]:
    pairs = []
    # Qubes 3 meant TCP where a rule has ports and names no protocol.
    proto = untrusted.get("proto", "tcp" if "port" in untrusted else "any")
    if proto != "any":
        pairs.append(("proto", proto))
    if "port" in untrusted:
        first = untrusted["port"]
        pairs.append(("dstports", f"{first}-{untrusted.get('toport', first)}"))
    return pairs
