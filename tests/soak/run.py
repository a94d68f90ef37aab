# SPDX-License-Identifier: GPL-2.0-or-later
"""The soak: random operations, and after each quiet point a look at everything.

``python -m tests.soak.run``, with OPS and SEED in the environment, ends with figures
and with status 1 at the first difference. It goes in legs, each with a lab and a seed
of its own, so that one that was broken off can be gone on with.
"""

from __future__ import annotations

import os
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.lab.standing import Wanted
from tests.lab.traffic import Answer
from tests.soak.held import Held
from tests.soak.model import CLIENTS, Expected, Fact, Point, Rule, expect
from tests.soak.operations import Operations
from tests.soak.topology import OUTER, TARGETS
from tests.soak.world import PLACES, World, soaked_lab

LEG = 1000
"""Operations in one lab."""

PATIENCE = 15.0
"""Seconds after which what is not as it must be is a difference."""

_DOORS = ("192.168.1.10", "2001:db8:1::10")
_KILLS = ("kill_daemon", "kill_agent", "kill_qubesd", "kill_qubesdb")
_REPAIRS = ("harm", "flush", "restart_base")


class Difference(Exception):
    """Something is not as it must be, and stays so."""


@dataclass
class Figures:
    """What a soak has done and seen. Times are seconds from quiet to as it must be.

    `swift` are those without a kill before, which includes no restart of a program.
    """

    done: Counter[str] = field(default_factory=Counter)
    operations: int = 0
    looks: int = 0
    probes: int = 0
    held: int = 0
    active: int = 0
    leaks: list[str] = field(default_factory=list)
    swift: list[float] = field(default_factory=list)
    killed: list[float] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        """Take in those of another leg."""
        self.done += other.done
        numbers = ("operations", "looks", "probes", "held", "active")
        for name in (*numbers, "leaks", "swift", "killed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def render(self) -> str:
        """Return them for people."""
        kills = sum(self.done[name] for name in _KILLS)
        repairs = sum(self.done[name] for name in _REPAIRS)
        return (
            f"operations {self.operations}, kills {kills}, repairs {repairs},"
            f" looks {self.looks}, probes {self.probes}, connections {self.held},"
            f" forwards active at a look {self.active / max(1, self.looks):.1f},"
            f" leaks {len(self.leaks)}\n"
            f"seconds to converge: {_percentiles(self.swift)};"
            f" with kills: {_percentiles(self.killed)}\n"
            + ", ".join(f"{name} {n}" for name, n in sorted(self.done.items()))
        )


def _percentiles(values: list[float]) -> str:
    if not values:
        return "none"
    ordered = sorted(values)
    p50, p99 = (ordered[int(len(ordered) * part)] for part in (0.5, 0.99))
    return f"p50 {p50:.2f} p99 {p99:.2f} max {ordered[-1]:.2f}"


class Soak:
    """One leg."""

    def __init__(self, world: World, seed: int) -> None:
        self.figures = Figures()
        self._world = world
        self._chance = random.Random(seed + 1)
        self._operations = Operations(world, seed)
        self._trail: list[str] = []
        self._held: Held | None = None

    def run(self, operations: int, seconds: float = float("inf")) -> None:
        """Do so many operations, or those that there is time for."""
        end = time.monotonic() + seconds
        try:
            while self.figures.operations < operations and time.monotonic() < end:
                batch = self._chance.choice((1, 1, 2, 3, 5, 8, 13))
                batch = min(batch, operations - self.figures.operations)
                self._trail = [self._step() for _ in range(batch)]
                self._look()
        finally:
            self.figures.done = self._operations.done
            self._let_go()

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def _step(self) -> str:
        name = self._operations.step()
        self.figures.operations += 1
        if self._chance.random() < 0.2:
            self._probe(self._targets(self._world_addresses), 0.03)
        return name

    _world_addresses: tuple[str, str] = ("", "")
    """Those of fw1, as of the last look."""

    def _targets(self, inner: tuple[str, str]) -> dict[str, list[Wanted]]:
        targets = {}
        for place in PLACES:
            doors = inner if place == "neighbour" else _DOORS
            targets[place] = [
                (proto, address, port)
                for address in doors
                if address
                for proto in ("tcp", "udp")
                for port in OUTER
            ]
        return targets

    def _probe(
        self, targets: Mapping[str, Sequence[Wanted]], patience: float
    ) -> dict[tuple[str, Wanted], Answer | None]:
        """Try all, and see that whoever answers has, or just had, a rule for it."""
        answers = self._world.probe(targets, patience)
        self.figures.probes += len(answers)
        for (place, (proto, address, port)), answer in answers.items():
            if answer is None or answer.qube in self._world.bare:
                continue  # without Qubes' own rules a qube lets everybody in
            target = (proto, address, port)
            is_outside = place != "neighbour"
            if answer.client != CLIENTS[place][":" in address] or not any(
                rule.external == is_outside and _is_through(rule, target, answer)
                for rule in self._operations.recent
            ):
                self.figures.leaks.append(f"{place} {proto} {address} {port}: {answer}")
        return answers

    def _look(self) -> None:
        """Wait until everything is as it must be; raise `Difference`."""
        self._operations.become_quiet()
        quiet = self._operations.quiet_since
        facts = self._world.facts()
        self._world_addresses = (facts["fw1"].addresses[4], facts["fw1"].addresses[6])
        wrong = ["not looked yet"]
        while wrong:
            if time.monotonic() > quiet + PATIENCE:
                raise Difference(f"after {self._trail}:\n" + "\n".join(wrong))
            wrong = self._compare_kernels(facts)
        took = time.monotonic() - quiet
        was_killed = any(name in _KILLS for name in self._trail)
        (self.figures.killed if was_killed else self.figures.swift).append(took)
        self._look_closer(facts, quiet)
        self._look_at_held(facts)
        self._operations.forget_recent()
        self.figures.looks += 1
        states = self._expect(facts).states.values()
        self.figures.active += sum(state == "active" for state in states)
        if leaks := self.figures.leaks:
            raise Difference(f"after {self._trail}:\n" + "\n".join(leaks))

    def _expect(self, facts: dict[str, Fact]) -> Expected:
        return expect(self._operations.rules, facts, time.time())

    def _compare_kernels(self, facts: dict[str, Fact]) -> list[str]:
        found, wanted = self._world.kernels(), self._expect(facts).open
        return [
            f"{name}: {line}"
            for name in found.keys() | wanted.keys()
            for line in _differences(wanted.get(name, {}), found.get(name, {}))
        ]

    def _look_closer(self, facts: dict[str, Fact], quiet: float) -> None:
        """See that probers and status agree with the kernels."""
        while True:
            wrong = self._operations.find_losses()
            wrong += self._compare_status(facts) + self._compare_probes(facts)
            if not wrong:
                return
            if time.monotonic() > quiet + PATIENCE:
                raise Difference(f"after {self._trail}:\n" + "\n".join(wrong))

    def _look_at_held(self, facts: dict[str, Fact]) -> None:
        """See that a held connection has ended with its rule, and hold another."""
        now = time.time()
        rules = [r for r in self._operations.rules if not r.is_over(now)]
        if self._held is not None:
            if leak := self._held.find_leak(rules):
                self.figures.leaks.append(leak)
            self._let_go()
        opened = self._expect(facts).open
        for rule in rules:
            target = ("tcp", _DOORS[0], rule.first)
            answer = _follow("lan", target, opened, facts)
            lasts = rule.expire is None or rule.expire > now + 1
            if answer and lasts and _is_through(rule, target, answer):
                self._held = Held(self._world.lab, rule, *target[1:])
                self.figures.held += 1
                return

    def _compare_status(self, facts: dict[str, Fact]) -> list[str]:
        told = self._world.status()
        wanted = self._expect(facts).states
        mine = {key: state for key, state in told.items() if key[0] in TARGETS}
        strange = {s for key, (s, _) in told.items() if key[0] not in TARGETS}
        wrong = [
            f"status {key}: {mine.get(key)}, not {wanted.get(key)}"
            for key in mine.keys() | wanted.keys()
            if mine.get(key, ("",))[0] != wanted.get(key)
        ]
        if strange - {"unconfirmed"}:
            wrong.append(f"a copy is {strange}")
        return wrong

    def _compare_probes(self, facts: dict[str, Fact]) -> list[str]:
        targets = self._targets(self._world_addresses)
        wanted = self._expect(facts).open
        answers = self._probe(targets, 0.2)
        wrong = []
        for (place, target), answer in answers.items():
            want = _follow(place, target, wanted, facts)
            if answer != want:
                wrong.append(f"{place} {target}: {answer}, not {want}")
        return wrong


def _is_through(rule: Rule, target: Wanted, answer: Answer) -> bool:
    """Whether an answer to `target` may have come by this rule's forward."""
    proto, _address, port = target
    return (
        rule.target == answer.qube
        and proto in rule.protos
        and port in rule.ports()
        and rule.inner_of(port) == answer.port
        and rule.lets_in(answer.client)
    )


def _differences(wanted: dict[Point, str], found: dict[Point, str]) -> list[str]:
    return [
        f"{point}: {found.get(point)}, not {wanted.get(point)}"
        for point in wanted.keys() | found.keys()
        if wanted.get(point) != found.get(point)
    ]


def _follow(
    place: str,
    target: Wanted,
    opened: dict[str, dict[Point, str]],
    facts: dict[str, Fact],
) -> Answer | None:
    """Go from hop to hop with a packet, as the plan has it."""
    proto, address, port = target
    family = 6 if ":" in address else 4
    client = CLIENTS[place][family == 6]
    qube, entrance = (
        ("fw1", "local") if place == "neighbour" else ("sys-net", "external")
    )
    if place == "internet":
        return None  # nothing comes in through the LAN's router unasked
    while True:
        to = opened.get(qube, {}).get((entrance, proto, port, client))
        if to is None:
            is_door = (("self", proto, port, client)) in opened.get(qube, {})
            return (
                Answer(qube, client, port) if entrance == "uplink" and is_door else None
            )
        address, number = to.split(" ")
        port, entrance = int(number), "uplink"
        qube = next(
            name
            for name, fact in facts.items()
            if fact.addresses[family] == address and fact.netvm == qube
        )


def soak(operations: int, seed: int, seconds: float = float("inf")) -> Figures:
    """Soak one lab; raise `Difference`, with the seed."""
    with soaked_lab() as world:
        leg = Soak(world, seed)
        try:
            leg.run(operations, seconds)
        except Difference as error:
            raise Difference(f"SEED={seed}: {error}\n{leg.figures.render()}") from None
        return leg.figures


def main() -> int:
    """Soak as long as the environment says."""
    operations = int(os.environ.get("OPS") or 10_000)
    seed = int(os.environ.get("SEED") or secrets.randbits(31))
    figures = Figures()
    began = time.monotonic()
    while figures.operations < operations:
        left = operations - figures.operations
        print(f"{left} operations to go; from here: make soak OPS={left} SEED={seed}")
        try:
            figures.add(soak(min(LEG, left), seed))
        except Difference as error:
            print(error)
            print(figures.render())
            return 1
        print(f"{time.monotonic() - began:.0f} s: {figures.render()}", flush=True)
        seed += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
