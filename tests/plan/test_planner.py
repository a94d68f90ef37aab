# SPDX-License-Identifier: GPL-2.0-or-later
"""The planner: chains, families, translation, conflicts, and why not."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import pytest

from qubesforward.model.entry import format_entry
from qubesforward.model.ports import parse_ports
from qubesforward.model.rule import ForwardRule, ForwardType, Proto
from qubesforward.plan.planner import Forwards, Outcome, Plan, Verdict, plan_forwards
from qubesforward.plan.snapshot import Qube

BOOT = "boot-1"
NOW = 1_000.0


def qube(name: str, netvm: str | None, number: int, **more: Any) -> Qube:
    more.setdefault("ip", IPv4Address(f"10.137.0.{number}"))
    return Qube(name, uuid=f"uuid-{name}", netvm=netvm, **more)


QUBES = [
    qube("sys-net", None, 5),
    qube("sys-firewall", "sys-net", 6),
    qube("sys-vpn", "sys-firewall", 7),
    qube("work", "sys-firewall", 20),
    qube("personal", "sys-firewall", 21),
    qube("media", "sys-vpn", 22),
    qube("direct", "sys-net", 23),
    qube("vault", None, 24),
]
WORLD = {one.name: one for one in QUBES}


def forward(srcports: str, dstports: str | None = None, **more: Any) -> ForwardRule:
    more.setdefault("forwardtype", ForwardType.EXTERNAL)
    more.setdefault("proto", Proto.TCP)
    if "srchost" in more:
        more["srchost"] = ip_network(more["srchost"])
    return ForwardRule(
        srcports=parse_ports(srcports),
        dstports=None if dstports is None else parse_ports(dstports),
        **more,
    )


def plan(
    rules: dict[str, list[ForwardRule]], world: dict[str, Qube] | None = None
) -> Plan:
    forwards = {name: Forwards(tuple(found)) for name, found in rules.items()}
    return plan_forwards(forwards, WORLD if world is None else world, NOW, BOOT)


def texts(made: Plan) -> dict[str, list[str]]:
    return {
        name: sorted(format_entry(entry) for entry in entries)
        for name, entries in made.entries.items()
    }


def only(made: Plan) -> Outcome:
    assert len(made.outcomes) == 1
    return made.outcomes[0]


def changed(**changes: dict[str, Any]) -> dict[str, Qube]:
    named = {name.replace("_", "-"): more for name, more in changes.items()}
    return {name: replace(one, **named.get(name, {})) for name, one in WORLD.items()}


def test_external_keeps_the_outer_port_up_to_the_targets_own_netvm() -> None:
    made = plan({"work": [forward("443", "8443", srchost="192.168.1.0/24")]})
    src = "src=192.168.1.0/24"
    assert texts(made) == {
        "sys-net": [
            f"in=external proto=tcp ports=443-443 {src} to=10.137.0.6 toports=443-443"
        ],
        "sys-firewall": [
            f"in=uplink proto=tcp ports=443-443 {src} to=10.137.0.20 toports=8443-8443"
        ],
        "work": [f"in=self proto=tcp ports=8443-8443 {src}"],
    }
    assert only(made).verdict is Verdict.READY
    assert [step.qube for step in only(made).steps] == [
        "sys-net",
        "sys-firewall",
        "work",
    ]


def test_internal_uses_the_targets_own_netvm_only() -> None:
    rule = forward("80", "8000", forwardtype=ForwardType.INTERNAL)
    assert texts(plan({"work": [rule]})) == {
        "sys-firewall": [
            "in=local proto=tcp ports=80-80 src=0.0.0.0/0 to=10.137.0.20"
            " toports=8000-8000"
        ],
        "work": ["in=self proto=tcp ports=8000-8000 src=0.0.0.0/0"],
    }


@pytest.mark.parametrize(
    ("target", "hops"),
    [
        ("direct", ["sys-net"]),
        ("work", ["sys-net", "sys-firewall"]),
        ("media", ["sys-net", "sys-firewall", "sys-vpn"]),
    ],
)
def test_chains_of_every_length(target: str, hops: list[str]) -> None:
    outcome = only(plan({target: [forward("443")]}))
    assert [step.qube for step in outcome.steps] == [*hops, target]
    entrances = [str(step.entry.entrance) for step in outcome.steps]
    assert entrances == ["external", *["uplink"] * (len(hops) - 1), "self"]


def test_no_proto_is_both() -> None:
    made = plan({"work": [forward("53", proto=None)]})
    protos = {entry.proto for entry in made.entries["sys-net"]}
    assert protos == {Proto.TCP, Proto.UDP}


def test_each_family_where_the_whole_chain_has_it() -> None:
    v6 = IPv6Address("fd09:24ef:4179::a89:14")
    half = changed(work={"ip6": v6})
    whole = changed(work={"ip6": v6}, sys_firewall={"ip6": v6 + 1})
    rules = {"work": [forward("443")]}
    assert {e.family for e in plan(rules, half).entries["sys-net"]} == {4}
    assert {e.family for e in plan(rules, whole).entries["sys-net"]} == {4, 6}
    only6 = {"work": [forward("443", srchost="::/0")]}
    assert {e.family for e in plan(only6, whole).entries["sys-net"]} == {6}
    refused = only(plan(only6, half))
    assert refused.verdict is Verdict.UNREACHABLE
    assert refused.reason == "sys-firewall has no IPv6 address"


def test_ranges_keep_their_offset_and_n_to_one() -> None:
    made = plan({"work": [forward("8000-8009", "9000-9009"), forward("70-79", "80")]})
    hop = " ".join(texts(made)["sys-firewall"])
    assert "ports=8000-8009 src=0.0.0.0/0 to=10.137.0.20 toports=9000-9009" in hop
    assert "ports=70-79 src=0.0.0.0/0 to=10.137.0.20 toports=80-80" in hop
    assert "ports=80-80" in " ".join(texts(made)["work"])


def test_two_qubes_with_the_same_inner_port_stay_apart() -> None:
    made = plan({"work": [forward("443", "80")], "personal": [forward("444", "80")]})
    assert [outcome.verdict for outcome in made.outcomes] == [Verdict.READY] * 2
    assert len(made.entries["sys-firewall"]) == 2
    tos = {(str(e.ports), str(e.to)) for e in made.entries["sys-firewall"]}
    assert tos == {("443-443", "10.137.0.20"), ("444-444", "10.137.0.21")}


class TestConflicts:
    def verdicts(self, rules: dict[str, list[ForwardRule]]) -> dict[str, Verdict]:
        return {o.asked.target: o.verdict for o in plan(rules).outcomes}

    def test_the_older_wins(self) -> None:
        made = plan(
            {
                "work": [forward("443", created=20)],
                "personal": [forward("443", created=10)],
            }
        )
        by_target = {outcome.asked.target: outcome for outcome in made.outcomes}
        assert by_target["personal"].verdict is Verdict.READY
        assert by_target["work"].verdict is Verdict.CONFLICT
        assert by_target["work"].reason == "personal has port 443 of sys-net already"
        assert {str(e.to) for e in made.entries["sys-firewall"]} == {"10.137.0.21"}

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (forward("80"), forward("80", proto=None)),
            (forward("80"), forward("70-90")),
            (forward("70-90"), forward("80")),
            (forward("1-5"), forward("5-9")),
            (forward("80"), forward("80", srchost="10.0.0.0/8")),
            (forward("80", srchost="10.0.0.0/8"), forward("80", srchost="10.1.0.0/16")),
        ],
    )
    def test_overlaps_are_conflicts(self, one: ForwardRule, other: ForwardRule) -> None:
        found = self.verdicts(
            {"work": [replace(one, created=1)], "personal": [replace(other, created=2)]}
        )
        assert found == {"work": Verdict.READY, "personal": Verdict.CONFLICT}

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (forward("80"), forward("80", proto=Proto.UDP)),
            (forward("80"), forward("81")),
            (forward("1-4"), forward("5-9")),
            (forward("80", srchost="10.0.0.0/8"), forward("80", srchost="11.0.0.0/8")),
            (forward("80", srchost="10.0.0.0/8"), forward("80", srchost="::/0")),
            (forward("80"), forward("80", forwardtype=ForwardType.INTERNAL)),
        ],
    )
    def test_what_cannot_meet_is_none(
        self, one: ForwardRule, other: ForwardRule
    ) -> None:
        v6 = IPv6Address("fd09:24ef:4179::a89:14")
        world = {name: replace(found, ip6=v6) for name, found in WORLD.items()}
        made = plan(
            {
                "work": [replace(one, created=1)],
                "personal": [replace(other, created=2)],
            },
            world,
        )
        assert {o.verdict for o in made.outcomes} == {Verdict.READY}

    def test_a_hop_that_is_a_target_too_has_one_address_for_both(self) -> None:
        found = self.verdicts(
            {
                "media": [forward("8443", created=1)],
                "sys-vpn": [forward("443", "8443", created=2)],
            }
        )
        assert found == {"media": Verdict.READY, "sys-vpn": Verdict.CONFLICT}

    def test_two_forwards_to_one_inner_port_share_the_door(self) -> None:
        made = plan(
            {
                "work": [
                    forward("443", "8443"),
                    forward("80", "8443", forwardtype=ForwardType.INTERNAL),
                ]
            }
        )
        assert {o.verdict for o in made.outcomes} == {Verdict.READY}
        assert texts(made)["work"] == [
            "in=self proto=tcp ports=8443-8443 src=0.0.0.0/0"
        ]

    def test_a_halted_qube_keeps_its_port(self) -> None:
        made = plan(
            {
                "work": [forward("443", created=1)],
                "personal": [forward("443", created=2)],
            },
            changed(work={"running": False}),
        )
        by_target = {o.asked.target: o.verdict for o in made.outcomes}
        assert by_target == {"work": Verdict.HALTED, "personal": Verdict.CONFLICT}


class TestWhyNot:
    def test_no_netvm(self) -> None:
        outcome = only(plan({"vault": [forward("443")]}))
        assert (outcome.verdict, outcome.reason) == (
            Verdict.UNREACHABLE,
            "vault has no netvm",
        )

    def test_loop(self) -> None:
        world = changed(sys_net={"netvm": "sys-firewall"})
        outcome = only(plan({"work": [forward("443")]}, world))
        assert outcome.verdict is Verdict.UNREACHABLE
        assert "a loop" in outcome.reason

    def test_netvm_that_is_gone(self) -> None:
        world = {name: one for name, one in WORLD.items() if name != "sys-net"}
        outcome = only(plan({"work": [forward("443")]}, world))
        assert outcome.verdict is Verdict.UNREACHABLE
        assert "does not exist" in outcome.reason

    def test_hop_without_agent(self) -> None:
        world = changed(sys_net={"agent": False})
        outcome = only(plan({"work": [forward("443")]}, world))
        assert (outcome.verdict, outcome.reason) == (
            Verdict.UNREACHABLE,
            "sys-net has no forwarding agent",
        )

    def test_target_without_agent_is_reached_up_to_its_door(self) -> None:
        made = plan({"work": [forward("443")]}, changed(work={"agent": False}))
        assert only(made).verdict is Verdict.READY
        assert set(made.entries) == {"sys-net", "sys-firewall"}

    @pytest.mark.parametrize("hop", ["work", "sys_firewall", "sys_net"])
    def test_nothing_is_open_while_any_qube_of_the_chain_is_halted(
        self, hop: str
    ) -> None:
        made = plan({"work": [forward("443")]}, changed(**{hop: {"running": False}}))
        assert only(made).verdict is Verdict.HALTED
        assert only(made).reason == f"{hop.replace('_', '-')} is halted"
        assert made.entries == {}

    def test_expired(self) -> None:
        for rule in (
            forward("443", expire=int(NOW)),
            forward("443", expire="reboot", boot_id="boot-0"),
            forward("443", expire="reboot"),
        ):
            made = plan({"work": [rule]})
            assert only(made).verdict is Verdict.EXPIRED
            assert made.entries == {}

    def test_an_end_to_come_is_told_to_every_hop(self) -> None:
        made = plan({"work": [forward("443", expire=int(NOW) + 1)]})
        untils = {e.until for found in made.entries.values() for e in found}
        assert untils == {int(NOW) + 1}
        made = plan({"work": [forward("443", expire="reboot", boot_id=BOOT)]})
        assert only(made).verdict is Verdict.READY

    def test_a_copied_list_opens_nothing(self) -> None:
        forwards = {"work": Forwards((forward("443"),), confirmed=False)}
        made = plan_forwards(forwards, WORLD, NOW, BOOT)
        assert only(made).verdict is Verdict.UNCONFIRMED
        assert "qvm-firewall work confirm" in only(made).reason
        assert made.entries == {}

    def test_rules_of_a_qube_that_is_gone_open_nothing(self) -> None:
        assert plan({"gone": [forward("443")]}) == Plan()


class TestDisposables:
    def world(self) -> dict[str, Qube]:
        instances = [
            qube("disp2", "sys-firewall", 32, klass="DispVM", template="dvm", xid=9),
            qube("disp1", "sys-firewall", 31, klass="DispVM", template="dvm", xid=10),
        ]
        dvm = qube("dvm", "sys-firewall", 30, running=False)
        return {**WORLD, "dvm": dvm, **{one.name: one for one in instances}}

    def test_only_forwards_that_say_so_are_for_disposables(self) -> None:
        made = plan({"dvm": [forward("443")]}, self.world())
        assert [outcome.asked.target for outcome in made.outcomes] == ["dvm"]

    def test_the_first_instance_takes_the_port(self) -> None:
        rule = forward("443", disposables=True, forwardtype=ForwardType.INTERNAL)
        made = plan({"dvm": [rule]}, self.world())
        assert [(o.asked.target, o.verdict) for o in made.outcomes] == [
            ("dvm", Verdict.HALTED),
            ("disp2", Verdict.READY),
            ("disp1", Verdict.CONFLICT),
        ]


def test_hops_learn_no_names_and_no_comments() -> None:
    rule = forward("443", comment="secret server")
    for entries in texts(plan({"work": [rule]})).values():
        for text in entries:
            assert "work" not in text
            assert "secret" not in text


class TestTunnels:
    """A hop that is known to have a tunnel, whether that is up or not."""

    VPN = WORLD | {"sys-vpn": replace(WORLD["sys-vpn"], tunnel="tun0")}

    def plan_one(self, target: str = "media", **more: Any) -> Outcome:
        return plan({target: [forward("443", **more)]}, self.VPN).outcomes[0]

    def test_unasked_it_is_not_bypassed(self) -> None:
        made = plan({"media": [forward("443")]}, self.VPN)
        assert made.outcomes[0].verdict is Verdict.REFUSED
        assert made.outcomes[0].reason == "sys-vpn: would bypass tunnel tun0"
        assert made.entries == {}

    def test_what_is_refused_keeps_no_port_from_others(self) -> None:
        rules = {
            "media": [forward("443", created=1)],
            "work": [forward("443", created=2)],
        }
        verdicts = [one.verdict for one in plan(rules, self.VPN).outcomes]
        assert verdicts == [Verdict.REFUSED, Verdict.READY]

    def test_asked_and_internal_ones_are_planned(self) -> None:
        assert self.plan_one(bypass=True).verdict is Verdict.READY
        internal = self.plan_one(forwardtype=ForwardType.INTERNAL)
        assert internal.verdict is Verdict.READY

    def test_the_hop_itself_and_those_beside_it_are_reached(self) -> None:
        assert self.plan_one("sys-vpn").verdict is Verdict.READY
        assert self.plan_one("work").verdict is Verdict.READY
