# SPDX-License-Identifier: GPL-2.0-or-later
"""What programs ask for, as qubes-forwardd has it, and the features that allow it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from qubesforward.model.hosts import ANY4
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import ForwardRule, ForwardType, Origin, Proto
from qubesforward.qubes.admin_server import AdminException, Call, Event


@dataclass
class FakePortmap:
    """Questions, mappings and features.

    `has_ports`: what is granted is opened, too. `told` is what the status says of
    every mapping beside the rule. `hang_up` ends the connections for events;
    `listeners` are how many there are now.
    """

    now: int
    questions: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[str, str]] = field(default_factory=list)
    mappings: dict[str, list[ForwardRule]] = field(default_factory=dict)
    features: dict[tuple[str, str], str] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    has_ports: bool = True
    hang_up: bool = False
    listeners: int = 0
    news: list[Event] = field(default_factory=list)

    def ask(self, request_id: str, qube: str = "work", **more: Any) -> None:
        """Have a program ask."""
        question = {
            "id": request_id,
            "qube": qube,
            "inner": 51413,
            "protos": {"udp": 51413},
            "via": ["natpmp"],
            "name": "",
            "asked": self.now,
            "until": self.now + 60,
        }
        self.questions.append(question | more)
        self.news.append(Event(qube, "portmap-requested", {"id": request_id}))

    def open(self, qube: str, port: int, name: str = "", **more: Any) -> None:
        """Have a mapping, of UDP and to the same port if nothing else is said."""
        fields: dict[str, Any] = {"proto": Proto.UDP, "dstports": PortRange(port, port)}
        rule = ForwardRule(
            ForwardType.EXTERNAL,
            srcports=PortRange(port, port),
            srchost=ANY4,
            expire=self.now + 3600,
            comment=name,
            origin=Origin.PORTMAP,
            **(fields | more),
        )
        self.mappings.setdefault(qube, []).append(rule)

    def list_questions(self, dest: str, _payload: bytes) -> bytes:
        found = [q for q in self.questions if dest in ("dom0", q["qube"])]
        return json.dumps({"requests": found}).encode()

    def grant(self, dest: str, payload: bytes) -> bytes:
        question = self._take(dest, payload, ("once", "reboot", "always"))
        if self.has_ports:
            for proto, outer in question["protos"].items():
                inner = PortRange(question["inner"], question["inner"])
                self.open(dest, outer, proto=Proto(proto), dstports=inner)
        return b""

    def deny(self, dest: str, payload: bytes) -> bytes:
        self._take(dest, payload, ("once", "never"))
        return b""

    def _take(self, dest: str, payload: bytes, scopes: tuple[str, ...]) -> Any:
        request_id, scope = payload.decode().split(" ")
        assert scope in scopes
        self.answers.append((request_id, scope))
        for question in self.questions:
            if (question["id"], question["qube"]) == (request_id, dest):
                self.questions.remove(question)
                self.news.append(Event("dom0", "portmap-answered", {"id": request_id}))
                return question
        raise AdminException("NoSuchRequest", "there is no open request %s", request_id)

    def close(self, dest: str, rules: list[ForwardRule]) -> list[ForwardRule]:
        """Close mappings; return what are none."""
        places = {rule.place for rule in self.mappings.get(dest, [])}
        asked = {rule.place for rule in rules}
        left = [r for r in self.mappings.get(dest, []) if r.place not in asked]
        self.mappings[dest] = left
        return [rule for rule in rules if rule.place not in places]

    def answer_feature(self, call: Call) -> bytes:
        """Answer a call about features as qubesd."""
        key = call.dest, call.arg
        if call.method == "admin.vm.feature.Set":
            self.features[key] = call.payload.decode()
            return b""
        if key not in self.features:
            raise AdminException("QubesFeatureNotFoundError", "not set: %s", call.arg)
        return self.features[key].encode()

    async def subscribe(self, _call: Call) -> AsyncIterator[Event]:
        """Yield what happens from now on."""
        seen = len(self.news)
        self.listeners += 1
        try:
            while not self.hang_up:
                for event in self.news[seen:]:
                    seen += 1
                    yield event
                await asyncio.sleep(0.005)
        finally:
            self.listeners -= 1
