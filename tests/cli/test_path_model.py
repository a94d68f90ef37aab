# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands in the picture of a path."""

from __future__ import annotations

import pytest

from qubesforward.cli.path_model import PathNode, Place, build_path
from qubesforward.cli.status import Extent, ForwardStatus, PathStep, State
from qubesforward.model.rule import ForwardType, Reach
from tests.cli.test_sentences import forward, rule

LABELS = {"work": "blue", "sys-net": "red"}


def step(
    qube: str, ports: str, to: str = "", toports: str = "", **more: object
) -> PathStep:
    values: dict[str, object] = {
        "state": State.ACTIVE,
        "reason": "",
        "packets": 1,
        "bytes": 100,
    }
    values |= more
    return PathStep(qube, "uplink", "tcp", ports, "0.0.0.0/0", to, toports, **values)  # type: ignore[arg-type]


def chain(**more: object) -> tuple[PathStep, ...]:
    """443 outside to 8443 of work; `more` is of sys-firewall's step."""
    return (
        step("sys-net", "443-443", "10.137.0.6", "443-443"),
        step("sys-firewall", "443-443", "10.137.0.20", "8443-8443", **more),
        step("work", "8443-8443"),
    )


def nodes_of(asked: ForwardStatus) -> tuple[PathNode, ...]:
    return build_path(asked, "work", LABELS).nodes


def test_it_goes_from_outside_over_every_hop_to_the_qube() -> None:
    nodes = nodes_of(forward(rule("443", "8443"), path=chain()))
    assert [(node.place, node.name) for node in nodes] == [
        (Place.LAN, "anyone"),
        (Place.HOP, "sys-net"),
        (Place.HOP, "sys-firewall"),
        (Place.TARGET, "work"),
    ]
    assert [node.addresses for node in nodes[1:]] == [
        ("192.168.1.10",),
        ("10.137.0.6",),
        ("10.137.0.20",),
    ]
    ports = [(node.port_in, node.port_out) for node in nodes[1:]]
    assert ports == [("443", "443"), ("443", "8443"), ("8443", "")]
    assert [node.label for node in nodes[1:]] == ["red", "", "blue"]


def test_a_qube_is_there_once_whatever_it_does() -> None:
    udp = [step(each.qube, each.ports, each.to, each.toports) for each in chain()]
    v6 = step("sys-net", "443-443", "fd09::6", "443-443", state=State.PENDING)
    nodes = nodes_of(forward(path=(*chain(), *udp, v6)))
    assert [node.name for node in nodes[1:]] == ["sys-net", "sys-firewall", "work"]
    assert nodes[1].packets == 3
    assert nodes[1].bytes == 300
    assert nodes[1].state is State.PENDING
    assert nodes[2].addresses == ("10.137.0.6", "fd09::6")


def test_a_hop_that_refuses_says_why_and_the_others_what_they_do() -> None:
    path = chain(state=State.REFUSED, reason="would bypass tunnel tun0")
    nodes = nodes_of(forward(path=path, state=State.REFUSED))
    assert nodes[2].reason == "would bypass tunnel tun0"
    assert [node.state for node in nodes[1:]] == [
        State.ACTIVE,
        State.REFUSED,
        State.ACTIVE,
    ]


def test_what_is_not_planned_at_all_is_open_nowhere() -> None:
    asked = forward(
        path=chain(state=State.PENDING), state=State.CONFLICT, reason="vault has it"
    )
    nodes = nodes_of(asked)
    assert {node.state for node in nodes[1:]} == {State.CONFLICT}
    assert {node.reason for node in nodes[1:]} == {"vault has it"}


def test_without_a_way_there_is_the_qube_and_the_reason() -> None:
    asked = forward(path=(), state=State.UNREACHABLE, reason="work has no netvm")
    outside, work = nodes_of(asked)
    assert outside.is_outside
    assert (work.name, work.state, work.reason) == (
        "work",
        State.UNREACHABLE,
        "work has no netvm",
    )


@pytest.mark.parametrize(
    ("extent", "state"),
    [
        (Extent.INTERNET, State.ACTIVE),
        (Extent.LAN, State.PENDING),
        (Extent.CARRIER, State.REFUSED),
        (Extent.SILENT, State.REFUSED),
        (Extent.REFUSED, State.REFUSED),
    ],
)
def test_for_the_internet_the_router_is_a_place_of_the_way(
    extent: Extent, state: State
) -> None:
    asked = forward(
        rule(reach=Reach.INTERNET), path=chain(), extent=extent, edge="203.0.113.7:4443"
    )
    internet, router = nodes_of(asked)[:2]
    assert internet.place is Place.INTERNET
    assert (router.addresses, router.port_in) == (("203.0.113.7",), "4443")
    assert router.state is state


def test_an_internal_forward_comes_from_other_qubes() -> None:
    nodes = nodes_of(forward(rule(kind=ForwardType.INTERNAL), path=chain()[1:]))
    assert nodes[0].place is Place.QUBES


def test_what_is_only_planned_has_no_states() -> None:
    path = chain(state=State.PENDING, reason="not published yet")
    asked = forward(path=path, state=State.PENDING)
    planned = build_path(asked, "work", LABELS, planned=True)
    assert {node.state for node in planned.nodes} == {None}
    refused = build_path(
        forward(path=path, state=State.CONFLICT), "work", LABELS, planned=True
    )
    assert State.CONFLICT in {node.state for node in refused.nodes}
