# SPDX-License-Identifier: GPL-2.0-or-later
"""The firewall calls as qubes-forwardd serves them, in memory.

The contracts that tools could break are enforced for real: what is a rule, what is
a conflict, who has which call, that a removal names rules that are there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from qubesforward.errors import InvalidRule
from qubesforward.model.entry import Entrance, Entry
from qubesforward.model.rule import ForwardRule, ForwardType, Origin, OutboundRule
from qubesforward.model.text import format_rule, parse_rules
from qubesforward.plan.planner import (
    Forwards,
    Outcome,
    Verdict,
    plan_forwards,
)
from qubesforward.plan.snapshot import Qube
from qubesforward.qubes.admin_server import AdminException, Call, Refused
from tests.cli.fake_portmap import FakePortmap

BOOT = "this-boot"
NOW = 1_790_000_000

STATES = {
    Verdict.HALTED: "pending",
    Verdict.CONFLICT: "conflict",
    Verdict.UNCONFIRMED: "unconfirmed",
    Verdict.EXPIRED: "expired",
    Verdict.UNREACHABLE: "unreachable",
}


@dataclass
class FakeHop:
    """What a test can make of a hop: `polls` is after how many it answers."""

    polls: int = 0
    refuses: str = ""
    outside: tuple[str, ...] = ()
    dead: bool = False


@dataclass
class FakeDaemon:
    """A computer with sys-net, sys-firewall, work, personal and vault.

    `calls` is what was called: the method with its argument, and the qube.
    """

    now: int = NOW
    calls: list[tuple[str, str]] = field(default_factory=list)
    outbound: dict[str, list[str]] = field(default_factory=dict)
    forwards: dict[str, list[ForwardRule]] = field(default_factory=dict)
    unreadable: dict[str, list[str]] = field(default_factory=dict)
    cones: dict[str, str] = field(default_factory=dict)
    unconfirmed: set[str] = field(default_factory=set)
    listening: set[int] = field(default_factory=set)
    log: list[dict[str, Any]] = field(default_factory=list)
    more: bool = False
    audit: str = ""
    since: int = -1
    traffic: tuple[int, int] = (0, 0)
    qubes: dict[str, Qube] = field(default_factory=dict)
    hops: dict[str, FakeHop] = field(default_factory=dict)
    diagnosis: dict[str, Any] = field(default_factory=dict)
    diagnosed: list[str] = field(default_factory=list)
    portmap: FakePortmap = field(init=False)

    def __post_init__(self) -> None:
        self.portmap = FakePortmap(self.now)
        for name, netvm, number in (
            ("sys-net", None, 5),
            ("sys-firewall", "sys-net", 6),
            ("work", "sys-firewall", 20),
            ("personal", "sys-firewall", 21),
            ("vault", None, 24),
        ):
            ip, ip6 = IPv4Address(f"10.137.0.{number}"), IPv6Address(f"fd09::{number}")
            self.qubes[name] = Qube(name, f"uuid-{name}", netvm=netvm, ip=ip, ip6=ip6)
            self.outbound[name] = ["action=accept"]
            self.hops[name] = FakeHop()
        self.hops["sys-net"].outside = ("192.168.1.10",)

    async def answer(self, call: Call) -> bytes:
        """Answer a call as qubes-forwardd."""
        self.calls.append((f"{call.method}+{call.arg}", call.dest))
        name = call.method.removeprefix("admin.vm.firewall.")
        handler = {
            ("Get", ""): self._get,
            ("Set", ""): self._set,
            ("Reload", ""): self._reload,
            ("Reload", "forward"): self._reload,
            ("Get", "forward"): self._get_forwards,
            ("Set", "forward"): self._set_forwards,
            ("Add", "forward"): self._add,
            ("Remove", "forward"): self._remove,
            ("Plan", "forward"): self._plan,
            ("Status", "forward"): self._status,
            ("Confirm", "forward"): self._confirm,
            ("Diagnose", "forward"): self._diagnose,
            ("Log", "forward"): self._log,
            ("Requests", "forward"): self.portmap.list_questions,
            ("Grant", "forward"): self.portmap.grant,
            ("Deny", "forward"): self.portmap.deny,
        }.get((name, call.arg))
        if handler is None or call.source != "dom0":
            raise Refused(call.method)
        is_of_all = name in ("Status", "Log", "Requests") and call.dest == "dom0"
        if call.dest not in self.qubes and not is_of_all:
            raise AdminException(
                "QubesVMNotFoundError", "no such qube: %s", f"{call.dest!a}"
            )
        try:
            return handler(call.dest, call.payload)
        except InvalidRule as error:
            raise AdminException("InvalidRule", "%s", str(error)) from None

    async def answer_as_qubesd(self, call: Call) -> bytes:
        """Answer a call as a stock qubesd: it knows no arguments of firewall calls."""
        if call.method == "admin.vm.List":
            lines = [f"{name} class=AppVM state=Running\n" for name in self.qubes]
            return "".join(lines).encode()
        if call.method.startswith("admin.vm.feature."):
            return self.portmap.answer_feature(call)
        if call.arg:
            raise Refused(call.arg)
        return await self.answer(call)

    def _get(self, dest: str, payload: bytes) -> bytes:
        return _join(self.outbound[dest])

    def _set(self, dest: str, payload: bytes) -> bytes:
        rules = parse_rules(payload.decode("ascii"))
        if not all(isinstance(rule, OutboundRule) for rule in rules):
            raise InvalidRule("action=forward: this call sets outbound rules")
        self.outbound[dest] = [format_rule(rule) for rule in rules]
        return b""

    def _reload(self, dest: str, payload: bytes) -> bytes:
        return b""

    def _get_forwards(self, dest: str, payload: bytes) -> bytes:
        return _join([format_rule(rule) for rule in self.forwards.get(dest, [])])

    def _set_forwards(self, dest: str, payload: bytes) -> bytes:
        self.forwards[dest] = [self._adopt(rule) for rule in _parse(payload)]
        return b""

    def _adopt(self, rule: ForwardRule) -> ForwardRule:
        age = max((r.created for rs in self.forwards.values() for r in rs), default=0)
        return replace(rule, created=age + 1, boot_id=BOOT)

    def _with_added(self, dest: str, added: list[ForwardRule]) -> list[ForwardRule]:
        rules = {_place(rule): rule for rule in self.forwards.get(dest, [])}
        for rule in added:
            old = rules.get(_place(rule))
            new = self._adopt(rule)
            rules[_place(rule)] = replace(new, created=old.created) if old else new
        return list(rules.values())

    def _add(self, dest: str, payload: bytes) -> bytes:
        first, _, rest = payload.partition(b"\n")
        force = first == b"force=yes"
        added = _parse(rest if force else payload)
        if not added:
            raise InvalidRule("no rule given; send one rule a line")
        if dest in self.unconfirmed:
            raise AdminException("Conflict", "the forwards of %s are a copy", dest)
        forwards = self._with_added(dest, added)
        for outcome in self._outcomes({**self.forwards, dest: forwards}):
            is_new = outcome.asked.rule in added and not force
            if is_new and outcome.verdict is Verdict.CONFLICT:
                raise AdminException("Conflict", "%s; or use --force", outcome.reason)
        self.forwards[dest] = forwards
        return b""

    def _remove(self, dest: str, payload: bytes) -> bytes:
        left = list(self.forwards.get(dest, []))
        for rule in self.portmap.close(dest, _parse(payload)):
            if rule not in left:
                raise InvalidRule(f"{dest} has no such rule: {format_rule(rule)}")
            left.remove(rule)
        self.forwards[dest] = left
        return b""

    def _confirm(self, dest: str, payload: bytes) -> bytes:
        self.unconfirmed.discard(dest)
        return b""

    def _log(self, dest: str, payload: bytes) -> bytes:
        self.since = int(payload or b"0")
        told = {"events": self.log, "more": self.more, "problem": self.audit}
        return json.dumps(told).encode()

    def _diagnose(self, dest: str, payload: bytes) -> bytes:
        self.diagnosed.append(payload.decode("ascii"))
        return json.dumps(self.diagnosis).encode()

    def _outcomes(self, forwards: dict[str, list[ForwardRule]]) -> tuple[Outcome, ...]:
        asked = {
            name: Forwards(tuple(rules), name not in self.unconfirmed)
            for name, rules in forwards.items()
        }
        return plan_forwards(asked, self.qubes, self.now, BOOT).outcomes

    def _plan(self, dest: str, payload: bytes) -> bytes:
        added = _parse(payload)
        forwards = self._with_added(dest, added)
        outcomes = self._outcomes({**self.forwards, dest: forwards})
        told = []
        for outcome in outcomes:
            if outcome.asked.target == dest and outcome.asked.rule in added:
                fields = self._describe(outcome)
                if outcome.verdict is Verdict.READY:
                    fields |= {"state": "active", "reason": ""}
                told.append(fields)
        return json.dumps({"forwards": told, "hops": self._describe_hops()}).encode()

    def _status(self, dest: str, payload: bytes) -> bytes:
        for hop in self.hops.values():
            hop.polls = max(hop.polls - 1, 0)
        mapped = self.portmap.mappings
        outcomes = self._outcomes(
            {
                name: [*self.forwards.get(name, []), *mapped.get(name, [])]
                for name in {**self.forwards, **mapped}
            }
        )
        qubes = [
            {
                "name": name,
                "unconfirmed": name in self.unconfirmed,
                "problem": "",
                "forwards": [
                    self._describe(outcome)
                    for outcome in outcomes
                    if outcome.asked.target == name
                ],
                "unreadable": self.unreadable.get(name, []),
                "cone": self.cones.get(name, ""),
            }
            for name in sorted(self.qubes)
            if dest in ("dom0", name)
        ]
        hops = self._describe_hops()
        told = {"qubes": qubes, "hops": hops, "audit": self.audit}
        return json.dumps(told).encode()

    def _describe(self, outcome: Outcome) -> dict[str, Any]:
        path = [
            self._describe_step(step.qube, step.entry, outcome)
            for step in outcome.steps
        ]
        state, reason = STATES.get(outcome.verdict, "active"), outcome.reason
        for step in path:
            if state == "active" and step["state"] != "active":
                state, reason = step["state"], f"{step['qube']}: {step['reason']}"
        rule = outcome.asked.rule
        doors = [step["listening"] for step in path if step["listening"] is not None]
        return {
            "rule": format_rule(rule),
            "state": state,
            "reason": reason,
            "created": rule.created,
            "origin": str(rule.origin),
            "from": outcome.asked.owner,
            "dial": [*self._find_dial(outcome), *self._find_tunnels(outcome)],
            "tunnels": self._find_tunnels(outcome),
            "listening": any(doors) if doors else None,
            "agent": self.qubes[outcome.asked.target].agent,
            "packets": self.traffic[0] if path else 0,
            "bytes": self.traffic[1] if path else 0,
            "path": path,
            **(self.portmap.told if rule.origin is Origin.PORTMAP else {}),
        }

    def _describe_step(
        self, name: str, entry: Entry, outcome: Outcome
    ) -> dict[str, Any]:
        hop, state, reason = self.hops[name], "active", ""
        if outcome.verdict is not Verdict.READY:
            state = "pending"
        elif hop.refuses:
            state, reason = "refused", hop.refuses
        elif hop.polls or hop.dead:
            state, reason = "pending", "its agent has not answered yet"
        is_door = entry.entrance is Entrance.SELF
        listening = any(port in entry.ports for port in self.listening)
        return {
            "qube": name,
            "in": str(entry.entrance),
            "proto": str(entry.proto),
            "ports": str(entry.ports),
            "src": str(entry.src),
            "to": None if entry.to is None else str(entry.to),
            "toports": None if entry.toports is None else str(entry.toports),
            "until": entry.until,
            "state": state,
            "reason": reason,
            "packets": self.traffic[0],
            "bytes": self.traffic[1],
            "listening": listening if is_door and state == "active" else None,
        }

    def _find_dial(self, outcome: Outcome) -> list[str]:
        if not outcome.steps:
            return []
        families = {step.entry.family for step in outcome.steps}
        name = outcome.steps[0].qube
        if outcome.asked.rule.forwardtype is ForwardType.EXTERNAL:
            found = self.hops[name].outside
            return [a for a in found if (6 if ":" in a else 4) in families]
        return [str(self.qubes[name].address(family)) for family in sorted(families)]

    def _find_tunnels(self, outcome: Outcome) -> list[str]:
        is_internal = outcome.asked.rule.forwardtype is ForwardType.INTERNAL
        if not outcome.steps or not is_internal:
            return []
        name = outcome.steps[0].qube
        if self.qubes[name].netvm is None:
            return []
        families = {step.entry.family for step in outcome.steps}
        found = self.hops[name].outside
        return [a for a in found if (6 if ":" in a else 4) in families]

    def _describe_hops(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "state": self._judge_hop(name, hop),
                "reason": "",
                "outside": list(hop.outside),
            }
            for name, hop in sorted(self.hops.items())
            if name != "vault"
        ]

    def _judge_hop(self, name: str, hop: FakeHop) -> str:
        if not self.qubes[name].running:
            return "halted"
        return "silent" if hop.polls or hop.dead else "ok"

    def make_instance(self, name: str, template: str) -> None:
        """Make a qube a disposable of another."""
        self.qubes[name] = replace(
            self.qubes[name], klass="DispVM", template=template, xid=7
        )

    def halt(self, name: str) -> None:
        """Shut a qube down."""
        self.qubes[name] = replace(self.qubes[name], running=False)


def _place(rule: ForwardRule) -> ForwardRule:
    return replace(rule, expire=None, comment="")


def _parse(payload: bytes) -> list[ForwardRule]:
    rules = parse_rules(payload.decode("ascii"))
    forwards = [rule for rule in rules if isinstance(rule, ForwardRule)]
    if len(forwards) != len(rules):
        raise InvalidRule("this call takes forwards only")
    return forwards


def _join(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("ascii")
