# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tools say, word for word."""

from ipaddress import ip_network
from typing import Any

import pytest

from qubesforward.cli.sentences import (
    When,
    describe_reason,
    describe_traffic,
    describe_until,
    describe_where,
    explain_forwards,
    format_mapping,
    format_size,
    format_source,
    group_by_source,
    join_choices,
    join_words,
    warn_of,
)
from qubesforward.cli.status import ForwardStatus, PathStep, State
from qubesforward.model.ports import parse_ports
from qubesforward.model.rule import REBOOT, ForwardRule, ForwardType, Proto, Reach

NOW = 1_790_000_000


def step(qube: str, state: State = State.ACTIVE, reason: str = "") -> PathStep:
    return PathStep(
        qube, "uplink", "tcp", "443-443", "0.0.0.0/0", "", "", state, reason, 0, 0
    )


def rule(
    outer: str = "443",
    inner: str | None = None,
    proto: Proto | None = Proto.TCP,
    source: str | None = None,
    kind: ForwardType = ForwardType.EXTERNAL,
    **more: Any,
) -> ForwardRule:
    return ForwardRule(
        kind,
        parse_ports(outer),
        None if inner is None else parse_ports(inner),
        proto,
        None if source is None else ip_network(source),
        **more,
    )


def forward(asked: ForwardRule | None = None, **more: Any) -> ForwardStatus:
    values: dict[str, Any] = {
        "line": "",
        "rule": asked or rule(),
        "owner": "work",
        "state": State.ACTIVE,
        "reason": "",
        "dial": ("192.168.1.10",),
        "tunnels": (),
        "listening": None,
        "packets": 0,
        "bytes": 0,
        "path": (step("sys-net"), step("sys-firewall"), step("work")),
    }
    return ForwardStatus(**{**values, **more})


def explain(*forwards: ForwardStatus, when: When = When.FROM_NOW) -> str:
    return explain_forwards(forwards, "work", NOW, when)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (
            forward(),
            "Any host on the networks of sys-net can now reach tcp port 443 of work at"
            " 192.168.1.10:443, until you close it.",
        ),
        (
            forward(rule("443", "8443", source="192.168.1.0/24")),
            "Hosts in 192.168.1.0/24 can now reach tcp port 8443 of work at"
            " 192.168.1.10:443, until you close it.",
        ),
        (
            forward(rule(source="192.168.1.7", proto=Proto.UDP)),
            "The host 192.168.1.7 can now reach udp port 443 of work at"
            " 192.168.1.10:443, until you close it.",
        ),
        (
            forward(rule(source="::/0", proto=None), dial=("fd00::1",)),
            "Any IPv6 host on the networks of sys-net can now reach tcp and udp port"
            " 443 of work at [fd00::1]:443, until you close it.",
        ),
        (
            forward(rule(expire=REBOOT, reach=Reach.INTERNET)),
            "Any host on the networks of sys-net, and on the internet if its router"
            " agrees, can now reach tcp port 443 of work at 192.168.1.10:443, until"
            " the computer is restarted.",
        ),
        (
            forward(rule("8000-8010", "9000-9010")),
            "Any host on the networks of sys-net can now reach tcp ports 9000-9010 of"
            " work at 192.168.1.10, ports 8000-8010 (8000 leads to 9000, 8010 to"
            " 9010), until you close it.",
        ),
        (
            forward(rule("8000-8010", "80"), dial=("10.0.0.1", "fd00::1")),
            "Any host on the networks of sys-net can now reach tcp port 80 of work at"
            " 10.0.0.1 or fd00::1, ports 8000-8010 (all of them lead to 80), until you"
            " close it.",
        ),
        (
            forward(
                rule(kind=ForwardType.INTERNAL),
                path=(step("sys-firewall"), step("work")),
                dial=("10.137.0.6",),
            ),
            "Any qube behind sys-firewall can now reach tcp port 443 of work at"
            " 10.137.0.6:443, until you close it.",
        ),
        (
            forward(
                rule(source="10.137.0.0/16", kind=ForwardType.INTERNAL),
                path=(step("sys-firewall"), step("work")),
            ),
            "Qubes in 10.137.0.0/16 can now reach tcp port 443 of work at"
            " 192.168.1.10:443, until you close it.",
        ),
        (
            forward(dial=()),
            "Any host on the networks of sys-net can now reach tcp port 443 of work at"
            " port 443 of sys-net, until you close it.",
        ),
        (
            forward(state=State.PENDING, reason="work is halted"),
            "Port 443/tcp of sys-net is not open yet (work is halted). As soon as"
            " that changes, any host on the networks of sys-net can reach tcp port 443"
            " of work at 192.168.1.10:443, until you close it.",
        ),
        (
            forward(state=State.CONFLICT, reason="personal has port 443 already"),
            "Port 443/tcp of sys-net is not open for work (personal has port 443"
            " already).",
        ),
        (
            forward(
                rule("1-2"),
                state=State.UNREACHABLE,
                reason="no netvm",
                path=(),
                dial=(),
            ),
            "Ports 1-2/tcp are not open for work (no netvm).",
        ),
    ],
)
def test_says_in_one_sentence_who_reaches_what_where_until_when(
    told: ForwardStatus, sentence: str
) -> None:
    assert explain(told) == sentence


def test_several_sources_are_one_sentence() -> None:
    sources = ["192.168.1.0/24", "10.0.0.7", "0.0.0.0/0", "::/0"]
    told = [forward(rule(source=source)) for source in sources]
    assert group_by_source(told) == [told]
    assert explain(*told[:2]).startswith("Hosts in 192.168.1.0/24 and 10.0.0.7 can")
    assert explain(told[1], forward(rule(source="10.0.0.8"))).startswith(
        "The hosts 10.0.0.7 and 10.0.0.8 can"
    )
    assert explain(*told[:3]).startswith(
        "Any IPv4 host on the networks of sys-net and hosts in 192.168.1.0/24 and"
        " 10.0.0.7 can"
    )
    assert explain(*told).startswith("Any host on the networks of sys-net can")
    assert explain(told[0], forward()).startswith("Any host on the networks")


def test_other_ports_states_and_ends_are_sentences_of_their_own() -> None:
    told = [
        forward(rule(source="10.0.0.7")),
        forward(rule(source="10.0.0.8", expire=NOW + 5)),
        forward(rule("444", source="10.0.0.8")),
        forward(rule(source="10.0.0.9"), state=State.PENDING),
    ]
    assert group_by_source(told) == [[one] for one in told]


def test_names_every_hop_that_is_missing_and_why() -> None:
    silent = "its agent has not answered yet"
    path = (
        step("sys-net", State.PENDING, silent),
        step("sys-firewall", State.REFUSED, "would bypass tunnel tun0"),
        step("sys-net", State.PENDING, silent),
        step("work", State.PENDING, silent),
    )
    assert describe_reason(forward(state=State.REFUSED, reason="x", path=path)) == (
        f"sys-net and work: {silent}; sys-firewall: would bypass tunnel tun0"
    )
    assert describe_reason(forward(state=State.PENDING)) == "it is pending"


def test_says_until_when() -> None:
    assert describe_until(rule(expire=NOW + 7200), NOW).endswith("(2 h from now)")


def test_many_addresses_are_counted_not_listed() -> None:
    dial = tuple(f"10.0.0.{number}" for number in range(1, 8))
    assert describe_where(forward(dial=dial)) == (
        "10.0.0.1:443, 10.0.0.2:443, 10.0.0.3:443, 10.0.0.4:443 or 3 more"
    )


def test_warns_of_an_unlimited_outside() -> None:
    for source in (None, "0.0.0.0/0", "::/0"):
        warnings = warn_of([forward(rule(source=source))], "work")
        assert warnings == [
            "every host on the networks of sys-net may connect; --from"
            " ADDRESS-OR-CIDR limits that."
        ]
    assert not warn_of([forward(rule(source="10.0.0.0/8"))], "work")
    assert not warn_of([forward(rule(kind=ForwardType.INTERNAL))], "work")
    assert not warn_of([forward(state=State.UNREACHABLE)], "work")


def test_warns_where_nothing_listens_and_only_where_that_is_known() -> None:
    asked = rule("443", "8443", source="10.0.0.7")
    assert warn_of([forward(asked, listening=False)], "work") == [
        "nothing listens on tcp port 8443 of work yet."
    ]
    assert not warn_of([forward(asked, listening=True)], "work")
    assert not warn_of([forward(asked, listening=None)], "work")
    pending = forward(asked, listening=False, state=State.PENDING)
    assert not warn_of([pending], "work")


def test_short_forms_can_be_typed_again() -> None:
    assert format_mapping(rule("443", "8443")) == "443:8443/tcp"
    assert format_mapping(rule("443", "443", proto=None)) == "443/tcp+udp"
    assert format_mapping(rule("1-3", "7")) == "1-3:7/tcp"


def test_sources_in_tables() -> None:
    internal = ForwardType.INTERNAL
    assert format_source(rule()) == "anyone"
    assert format_source(rule(source="0.0.0.0/0")) == "anyone (IPv4)"
    assert format_source(rule(source="::/0", kind=internal)) == "any qube (IPv6)"
    assert format_source(rule(source="10.0.0.7")) == "10.0.0.7"
    assert format_source(rule(source="fd00::/8")) == "fd00::/8"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (3400, "3.4 kB"),
        (34_400, "34 kB"),
        (999_600, "1.0 MB"),
        (10**12, "1.0 TB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert format_size(size) == text


def test_traffic() -> None:
    assert describe_traffic(0, 0) == ""
    assert describe_traffic(1, 60) == "1 packet (60 B)"
    assert describe_traffic(12, 3400) == "12 packets (3.4 kB)"


def test_joins_words() -> None:
    assert join_words([]) == ""
    assert join_words(["a"]) == "a"
    assert join_words(["a", "b", "c"]) == "a, b and c"
    assert join_choices(["a"]) == "a"
    assert join_choices(["a", "b", "c"]) == "a, b or c"


def test_an_internal_forward_by_way_of_a_tunnel_is_said_to_be_one() -> None:
    asked = rule(kind=ForwardType.INTERNAL)
    one = forward(asked, path=(step("sys-vpn"), step("work")), tunnels=("10.8.0.2",))
    assert "any host beyond its tunnel" in explain(one)
    assert warn_of([one], "work")[0].startswith(
        "every host beyond the tunnel of sys-vpn may connect"
    )
