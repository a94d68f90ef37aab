# SPDX-License-Identifier: GPL-2.0-or-later
"""Planning out of the last plan gives what planning from nothing gives."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from qubesforward.model.ports import PortRange
from qubesforward.model.rule import REBOOT, ForwardRule, ForwardType, Proto, Reach
from qubesforward.plan.planner import Forwards, Verdict, plan_forwards
from qubesforward.plan.replanner import Replanner
from qubesforward.plan.snapshot import PortmapPolicy, Qube
from tests.plan.test_planner import BOOT, NOW, WORLD, forward

TARGETS = ("work", "personal", "media", "direct", "sys-firewall")
OTHERS = ("disp1", "dvm")

# Few ports and sources, so that they meet often.
_ports = st.tuples(st.integers(1, 3), st.integers(0, 1)).map(
    lambda pair: PortRange(pair[0], pair[0] + pair[1])
)
_sources = st.sampled_from(
    [None, None, *map(IPv4Network, ("10.0.0.0/8", "10.1.0.0/16", "192.168.1.0/24"))]
)
_rules = st.builds(
    ForwardRule,
    st.sampled_from([*ForwardType, ForwardType.EXTERNAL]),
    _ports,
    st.one_of(st.none(), st.integers(1, 4).map(lambda port: PortRange(port, port))),
    st.sampled_from([Proto.TCP, Proto.UDP, None]),
    _sources,
    expire=st.sampled_from([None, None, REBOOT, int(NOW) + 5, int(NOW) + 50]),
    disposables=st.booleans(),
    reach=st.sampled_from(Reach),
    created=st.integers(0, 20),
    boot_id=st.sampled_from([BOOT, BOOT, "boot-0"]),
)


class Replanning(RuleBasedStateMachine):
    """One computer whose rules, qubes and clock change in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.replanner = Replanner()
        self.now = NOW
        self.forwards: dict[str, Forwards] = {}
        self.mappings: dict[str, list[ForwardRule]] = {}
        self.qubes = dict(WORLD)
        self.qubes["dvm"] = replace(WORLD["work"], name="dvm", running=False)

    @initialize(rules=st.lists(_rules, max_size=8))
    def begin(self, rules: list[ForwardRule]) -> None:
        for number, one in enumerate(rules):
            self.add(TARGETS[number % len(TARGETS)], one, 0)

    @rule(
        name=st.sampled_from([*TARGETS, *OTHERS]), one=_rules, place=st.integers(0, 5)
    )
    def add(self, name: str, one: ForwardRule, place: int) -> None:
        rules = list(self.forwards.get(name, Forwards(())).rules)
        rules.insert(place, one)
        self.forwards[name] = Forwards(tuple(rules))

    @rule(name=st.sampled_from([*TARGETS, *OTHERS]), place=st.integers(0, 5))
    def remove(self, name: str, place: int) -> None:
        listed = self.forwards.get(name, Forwards(()))
        rules = [one for number, one in enumerate(listed.rules) if number != place]
        self.forwards[name] = Forwards(tuple(rules), listed.confirmed)

    @rule(name=st.sampled_from([*TARGETS, *OTHERS]), number=st.integers(0, 20))
    def age(self, name: str, number: int) -> None:
        # What differs in age only is equal, and still another rule.
        listed = self.forwards.get(name, Forwards(()))
        rules = tuple(replace(one, created=number) for one in listed.rules)
        self.forwards[name] = Forwards(rules, listed.confirmed)

    @rule(name=st.sampled_from([*TARGETS, *OTHERS]))
    def confirm(self, name: str) -> None:
        listed = self.forwards.get(name, Forwards(()))
        self.forwards[name] = Forwards(listed.rules, not listed.confirmed)

    @rule(name=st.sampled_from([*TARGETS, *OTHERS]))
    def forget(self, name: str) -> None:
        self.forwards.pop(name, None)

    @rule(
        name=st.sampled_from(sorted(WORLD)),
        running=st.booleans(),
        netvm=st.sampled_from([None, "sys-net", "sys-firewall", "sys-vpn", "gone"]),
        tunnel=st.sampled_from(["", "", "", "tun0"]),
    )
    def change(self, name: str, running: bool, netvm: str | None, tunnel: str) -> None:
        old = self.qubes.get(name, WORLD[name])
        changed = replace(old, running=running, netvm=netvm, tunnel=tunnel)
        self.qubes[name] = changed

    @rule(name=st.sampled_from(sorted(WORLD)), comes_back=st.booleans())
    def vanish(self, name: str, comes_back: bool) -> None:
        self.qubes.pop(name, None)
        if comes_back:
            self.qubes[name] = WORLD[name]

    @rule(
        name=st.sampled_from(sorted(WORLD)),
        portmap=st.sampled_from([None, PortmapPolicy()]),
        gateway=st.sampled_from(["", "work"]),
    )
    def serve(self, name: str, portmap: PortmapPolicy | None, gateway: str) -> None:
        old = self.qubes.get(name, WORLD[name])
        self.qubes[name] = replace(old, portmap=portmap, gateway=gateway)

    @rule(name=st.sampled_from(TARGETS), rules=st.lists(_rules, max_size=3))
    def map(self, name: str, rules: list[ForwardRule]) -> None:
        self.mappings[name] = rules

    @rule(xid=st.integers(0, 9))
    def start_disposable(self, xid: int) -> None:
        self.qubes["disp1"] = Qube(
            "disp1",
            klass="DispVM",
            netvm="sys-firewall",
            ip=WORLD["work"].ip,
            template="dvm",
            xid=xid,
        )

    @rule(seconds=st.sampled_from([1, 5, 60, -10]))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def plans_alike(self) -> None:
        arguments = self.forwards, self.qubes, self.now, BOOT, self.mappings
        assert self.replanner.plan(*arguments) == plan_forwards(*arguments)


def test_any_changes_give_what_planning_from_nothing_gives() -> None:
    run_state_machine_as_test(
        Replanning,
        settings=settings(max_examples=100, stateful_step_count=25, deadline=None),
    )


def test_a_port_that_is_given_back_goes_to_the_next_in_age() -> None:
    oldest, middle, youngest = (forward("80-81", created=n) for n in (1, 2, 3))
    replanner = Replanner()

    def winner(**listed: ForwardRule) -> list[str]:
        lists = {name: Forwards((rule,)) for name, rule in listed.items()}
        plan = replanner.plan(lists, WORLD, NOW, BOOT)
        ready = [o for o in plan.outcomes if o.verdict is Verdict.READY]
        return [outcome.asked.target for outcome in ready]

    assert winner(work=oldest, personal=middle, media=youngest) == ["work"]
    assert winner(personal=middle, media=youngest) == ["personal"]
    assert winner(work=oldest, personal=middle, media=youngest) == ["work"]
    assert winner(media=youngest) == ["media"]


def test_a_hop_that_is_as_it_was_has_the_same_object() -> None:
    # The reconciler tells by it that there is nothing to compare.
    replanner = Replanner()
    work = Forwards((forward("80", created=1),))
    before = replanner.plan({"work": work}, WORLD, NOW, BOOT).entries
    direct = Forwards((forward("443", created=2),))
    after = replanner.plan({"work": work, "direct": direct}, WORLD, NOW, BOOT).entries
    assert after["sys-firewall"] is before["sys-firewall"]
    assert after["sys-net"] is not before["sys-net"]


@given(st.lists(_rules, max_size=30), st.lists(st.booleans(), min_size=30, max_size=30))
@settings(deadline=None)
def test_many_at_once_are_as_one_by_one(
    rules: list[ForwardRule], kept: list[bool]
) -> None:
    all_of_them = {"work": Forwards(tuple(rules * 3))}
    some = {
        "work": Forwards(tuple(r for r, keep in zip(rules, kept, strict=False) if keep))
    }
    replanner = Replanner()
    for lists in (all_of_them, some, all_of_them, {}, some):
        made = replanner.plan(lists, WORLD, NOW, BOOT)
        assert made == plan_forwards(lists, WORLD, NOW, BOOT)


@pytest.mark.parametrize("kind", ForwardType)
def test_after_an_error_it_starts_anew(kind: ForwardType) -> None:
    replanner = Replanner()
    good = {"work": Forwards((forward("80", forwardtype=kind),))}
    broken: dict[str, Forwards] = {"work": None}  # type: ignore[dict-item]
    replanner.plan(good, WORLD, NOW, BOOT)
    with pytest.raises(AttributeError):
        replanner.plan(broken, WORLD, NOW, BOOT)
    made = replanner.plan(good, WORLD, NOW, BOOT)
    assert made == plan_forwards(good, WORLD, NOW, BOOT)
