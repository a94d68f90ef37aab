# SPDX-License-Identifier: GPL-2.0-or-later
"""Random operations: what users, faults and foreign programs do."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from qubesforward.nft.layout import TABLE
from tests.lab.standing import Refusal
from tests.soak.model import Rule
from tests.soak.topology import INNER, NETVMS, OUTER, TARGETS
from tests.soak.world import World

_SOURCES = (None, None, "192.168.1.20/32", "192.168.1.0/24", "10.137.0.0/16", "::/0")
_COPY = "copy"
_DAMAGE = (
    f"delete table inet {TABLE}",
    f"flush table inet {TABLE}",
    f"flush chain inet {TABLE} forward",
    f"flush chain inet {TABLE} prerouting",
    f"flush set inet {TABLE} live",
    f"flush map inet {TABLE} uplink4",
    "flush chain ip qubes custom-forward",
    "flush chain ip6 qubes custom-input",
)


class Operations:
    """Does one random thing after the other, and knows which rules there must be.

    `rules` are in the order of their age. `recent` are all that there were since
    `forget_recent`: what may just be closing. `done` counts what was done.
    """

    def __init__(self, world: World, seed: int) -> None:
        self.rules: list[Rule] = []
        self.recent: list[Rule] = []
        self.done: Counter[str] = Counter()
        self.quiet_since = 0.0
        self._world = world
        self._chance = random.Random(seed)
        self._paused: set[str] = set()
        self._kills: list[threading.Timer] = []
        self._weighted: list[tuple[int, Callable[[], None]]] = [
            (14, self.add),
            (6, self.add_timed),
            (5, self.extend),
            (8, self.remove),
            (1, self.close_all),
            (7, self.move),
            (4, self.stop),
            (7, self.start),
            (2, self.restart),
            (2, self.change_address),
            (1, self.switch_ipv6),
            (2, self.pause),
            (3, self.unpause),
            (5, self.harm),
            (2, self.flush),
            (2, self.restart_base),
            (1, self.clone),
            (1, self.make_anew),
            (3, self.kill_daemon),
            (4, self.kill_agent),
            (1, self.kill_qubesd),
            (1, self.kill_qubesdb),
        ]

    def step(self) -> str:
        """Do one thing; return what it was."""
        weights = [weight for weight, _ in self._weighted]
        act = self._chance.choices(self._weighted, weights)[0][1]
        name = act.__name__
        self.done[name] += 1
        try:
            act()
        except Refusal as error:
            # Refused for a reason, or nobody was there to answer: both are life.
            self.done[f"refused: {error.kind}"] += 1
        return name

    def _any(self, *names: str) -> str:
        return self._chance.choice(names)

    def _draw_rule(self) -> Rule:
        chance = self._chance
        first = chance.choice(OUTER)
        last = min(first + chance.choice((0, 0, 0, 1)), OUTER[-1])
        inner = None
        if chance.random() < 0.7:
            inner = chance.choice(INNER[: len(INNER) - (last - first)])
        protos = chance.choice((("tcp",), ("udp",), ("tcp", "udp")))
        src = chance.choice(_SOURCES)
        external = chance.random() < 0.75
        return Rule(self._any(*TARGETS), external, protos, first, last, inner, src)

    def add(self) -> None:
        """Add a rule."""
        self._add(self._draw_rule())

    def add_timed(self) -> None:
        """Add a rule that soon ends."""
        self._add(replace(self._draw_rule(), expire=self._soon()))

    def _soon(self) -> int:
        return int(time.time()) + self._chance.randint(1, 6)

    def extend(self) -> None:
        """Ask for a rule again, with another end."""
        if not self.rules:
            return
        end = self._chance.choice((None, self._soon(), int(time.time()) + 600))
        self._add(replace(self._chance.choice(self.rules), expire=end))

    def _add(self, rule: Rule) -> None:
        force = "force=yes\n" if self._chance.random() < 0.7 else ""
        self.recent.append(rule)
        payload = f"{force}{rule.line}\n"
        try:
            self._world.call("admin.vm.firewall.Add", rule.target, "forward", payload)
        except Refusal as error:
            if not error.is_silence:
                raise
            # The daemon was killed: it may have stored the rule, or may not.
            found = self._listed(rule.target)
            if rule.line not in found:
                return
        self._take(rule)

    def _take(self, rule: Rule) -> None:
        now = time.time()
        self.rules = [old for old in self.rules if not old.is_over(now)]
        for number, old in enumerate(self.rules):
            if replace(old, expire=rule.expire) == rule:
                # Who asks again extends: it keeps its place among the others.
                self.rules[number] = rule
                return
        self.rules.append(rule)

    def _listed(self, qube: str) -> list[str]:
        answer = self._world.insist("admin.vm.firewall.Get", qube, "forward")
        return answer.splitlines()

    def remove(self) -> None:
        """Remove one rule."""
        if not self.rules:
            return
        rule = self._chance.choice(self.rules)
        call = ("admin.vm.firewall.Remove", rule.target, "forward", f"{rule.line}\n")
        try:
            self._world.insist(*call)
        except Refusal:
            # Its time was over, or the answer to a first call was lost with a daemon.
            if rule.line in self._listed(rule.target):
                raise
        self.rules.remove(rule)

    def close_all(self) -> None:
        """Remove all rules of a qube."""
        qube = self._any(*TARGETS)
        self._world.insist("admin.vm.firewall.Set", qube, "forward")
        self._forget_rules(qube)

    def _forget_rules(self, qube: str) -> None:
        self.rules = [rule for rule in self.rules if rule.target != qube]

    def _set(self, qube: str, name: str, value: str) -> None:
        self._world.call("admin.vm.property.Set", qube, name, value)

    def move(self) -> None:
        """Give a qube another netvm, or none."""
        qube = self._any("work", "shop", "work", "shop", "fw1", "fw2")
        self._set(qube, "netvm", self._any(*NETVMS, *NETVMS, ""))

    def stop(self) -> None:
        """Kill a qube, or shut it down."""
        qube = self._any(*TARGETS, *NETVMS)
        self._paused.discard(qube)
        if self._chance.random() < 0.5:
            self._world.call("admin.vm.Kill", qube)
        else:
            self._world.call("admin.vm.Shutdown", qube, "force+wait")

    def start(self) -> None:
        """Start a qube that is halted."""
        halted = [n for n, s in self._world.states().items() if s == "Halted"]
        halted = [name for name in halted if name != "debian-12"]
        if halted:
            self._world.call("admin.vm.Start", self._any(*halted))

    def restart(self) -> None:
        """Kill a qube and start it at once."""
        qube = self._any(*TARGETS, *NETVMS)
        self._paused.discard(qube)
        self._world.call("admin.vm.Kill", qube)
        self._world.call("admin.vm.Start", qube)

    def change_address(self) -> None:
        """Give a qube an address that another may just have given up, or its own."""
        qube, other = self._chance.sample(("work", "shop"), 2)
        if self._chance.random() < 0.3:
            self._world.call("admin.vm.property.Reset", qube, "ip")
            return
        answer = self._world.call("admin.vm.property.Get", other, "ip")
        free = [f"10.137.5.{n}" for n in (1, 2, 3) if not answer.endswith(f".5.{n}")]
        self._set(qube, "ip", self._any(*free))

    def switch_ipv6(self) -> None:
        """Switch IPv6 off or on."""
        value = self._any("", "1", "1")
        self._world.call("admin.vm.feature.Set", "sys-net", "ipv6", value)

    def pause(self) -> None:
        """Pause a qube."""
        qube = self._any(*TARGETS, *NETVMS)
        self._world.call("admin.vm.Pause", qube)
        self._paused.add(qube)

    def unpause(self) -> None:
        """Let all paused qubes go on."""
        for name, state in self._world.states().items():
            if state == "Paused":
                self._world.insist("admin.vm.Unpause", name)
        self._paused.clear()

    def _awake(self) -> str:
        names = [n for n in (*TARGETS, *NETVMS) if n not in self._paused]
        return self._any(*names) if names else "sys-net"

    def harm(self) -> None:
        """Do something to rules of ours."""
        self._world.nft(self._awake(), self._any(*_DAMAGE))

    def flush(self) -> None:
        """Flush all rules of a qube, Qubes' own too; they come back later."""
        qube = self._awake()
        self._world.nft(qube, "flush ruleset")
        self._world.bare.add(qube)

    def restart_base(self) -> None:
        """Restart a base firewall."""
        qube = self._awake()
        if qube not in self._paused:
            self._world.restore_base(qube)

    def clone(self) -> None:
        """Restore a copy of work and start it, or remove the one there is."""
        if _COPY in self._world.states():
            self._drop(_COPY)
            return
        done = self._world.lab.exec(
            "dom0", ["qvm-clone", "--with-files", "work", _COPY]
        )
        if done.returncode == 0:
            self._world.call("admin.vm.Start", _COPY)

    def _drop(self, qube: str) -> None:
        if self._world.states().get(qube) != "Halted":
            self._world.insist("admin.vm.Kill", qube)
        self._world.insist("admin.vm.Remove", qube)

    def make_anew(self) -> None:
        """Remove shop and make another qube of the name, which has no rules."""
        self._paused.discard("shop")
        try:
            self._drop("shop")
        finally:
            self._have_shop()

    def _have_shop(self) -> None:
        if "shop" in self._world.states():
            return
        self._forget_rules("shop")
        while "shop" not in self._world.states():
            with suppress(Refusal):
                words = "name=shop label=red"
                make = "admin.vm.Create.AppVM"
                self._world.insist(make, "dom0", "debian-12", words)
        self._set("shop", "netvm", self._any("fw1", "fw2"))

    def _kill_soon(self, where: str, program: str) -> None:
        """Kill in a moment, while the next thing is done."""
        delay = self._chance.uniform(0, 0.06)
        timer = threading.Timer(delay, self._world.kill, (where, program))
        timer.start()
        self._kills.append(timer)

    def kill_daemon(self) -> None:
        """Kill qubes-forwardd."""
        self._kill_soon("dom0", "qubes-forwardd")

    def kill_agent(self) -> None:
        """Kill an agent."""
        self._kill_soon(self._awake(), "qubes-forward-agent")

    def kill_qubesd(self) -> None:
        """Kill qubesd."""
        self._kill_soon("dom0", "qubesd ")

    def kill_qubesdb(self) -> None:
        """Kill the QubesDB of a qube; qubesd starts another when it starts itself."""
        self._kill_soon("dom0", f"qubesdb_daemon {self._awake()} ")
        self._kill_soon("dom0", "qubesd ")

    def become_quiet(self) -> None:
        """End what is under way, and put right what nobody else would."""
        for timer in self._kills:
            timer.join()
        self._have_shop()
        self._kills.clear()
        self.unpause()
        for qube in sorted(self._world.bare):
            self._world.restore_base(qube)
        self._world.bare.clear()
        self.quiet_since = time.monotonic()
        now = time.time()
        self.rules = [rule for rule in self.rules if not rule.is_over(now)]

    def find_losses(self) -> list[str]:
        """Say of whose rules not all that were acknowledged are there, or others."""
        now = time.time() + 1
        wrong = []
        for qube in TARGETS:
            mine = {
                r.line for r in self.rules if r.target == qube and not r.is_over(now)
            }
            found = set(self._listed(qube))
            over = {r.line for r in (*self.recent, *self.rules) if r.is_over(now)}
            if mine - found or found - mine - over:
                wrong.append(f"{qube}: {sorted(found)} is not {sorted(mine)}")
        return wrong

    def forget_recent(self) -> None:
        """Begin anew to collect rules that there were."""
        self.recent = list(self.rules)
