# SPDX-License-Identifier: GPL-2.0-or-later
"""The client of the LAN's router: opening, renewing, withdrawing, and odd routers."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.portmap.client_events import (
    ClientEvent,
    EdgeChanged,
    MappingClosed,
    MappingLost,
    MappingOpened,
    MappingRefused,
    NoAnswer,
)
from qubesforward.portmap.igd_client import (
    EDGE_RETRY,
    EDGE_TIME,
    EXCHANGE_TIME,
    MAX_FAILURES,
)
from qubesforward.portmap.igd_finder import (
    FIRST_REST,
    LONGEST_REST,
    SEARCH_TIME,
    SEARCHES,
)
from qubesforward.portmap.igd_opening import ENDLESS, MAX_PORTS, REFUSED_FOR
from qubesforward.portmap.mapping import Key, Transport, Via
from qubesforward.portmap.ssdp import GROUP
from tests.portmap.igd_router import (
    EDGE,
    FOUND,
    OPENED,
    OWN,
    ROUTER,
    WEB,
    OurRouter,
    Pair,
    Scripted,
    opened,
)
from tests.qubes.running import UNHURRIED


def test_our_own_server_is_found_opens_and_closes() -> None:
    router = OurRouter()
    pair = Pair(router)
    pair.open()
    assert {address for _, address in pair.searches} == {ROUTER, GROUP}
    for search, _ in pair.searches:
        for answer, _ in router.server.receive_search(search, 40000, pair.now):
            pair.client.receive_datagram(answer, ROUTER)
    assert pair.turn() == [EdgeChanged(EDGE), OPENED]
    pair.open(Key(Transport.UDP, 500))
    assert router.held() == [("tcp", 443, 443), ("udp", 500, 500)]
    assert pair.close() == [MappingClosed(WEB, is_confirmed=True)]
    assert router.held() == [("udp", 500, 500)]


def test_nothing_is_sent_before_something_is_wanted() -> None:
    pair = Pair(Scripted())
    assert pair.pass_time(10_000) == []
    assert (pair.searches, pair.exchanges) == ([], 0)
    assert pair.client.is_idle


def test_router_is_asked_for_what_is_wanted_and_told_no_names() -> None:
    router = Scripted()
    opened(router)
    assert router.asked("AddPortMapping") == [
        {
            "NewRemoteHost": "",
            "NewExternalPort": "443",
            "NewProtocol": "TCP",
            "NewInternalPort": "443",
            "NewInternalClient": str(OWN),
            "NewEnabled": "1",
            "NewPortMappingDescription": "Qubes",
            "NewLeaseDuration": "7200",
        }
    ]


def test_mapping_is_renewed_at_half_of_its_life() -> None:
    router = Scripted()
    pair = opened(router)
    assert pair.pass_time(3599) == []
    assert pair.pass_time(2) == [OPENED]
    assert pair.pass_time(7200) == [OPENED, OPENED]


def test_another_lifetime_is_asked_for_at_once() -> None:
    pair = opened(Scripted())
    pair.open(lifetime=60)
    assert pair.events[-1] == MappingOpened(WEB, 443, 60, EDGE)
    pair.events.clear()
    pair.open(lifetime=60)
    assert pair.events == []


def test_withdrawn_mapping_is_deleted_and_everything_rests() -> None:
    router = Scripted()
    pair = opened(router)
    assert pair.close() == [MappingClosed(WEB, is_confirmed=True)]
    (asked,) = router.asked("DeletePortMapping")
    assert asked == {
        "NewRemoteHost": "",
        "NewExternalPort": "443",
        "NewProtocol": "TCP",
    }
    assert pair.client.is_idle
    asked_before = pair.exchanges
    assert pair.pass_time(100_000) == []
    assert pair.exchanges == asked_before
    pair.open()
    assert pair.events[-1] == OPENED


def test_mapping_that_is_gone_already_counts_as_withdrawn() -> None:
    router = Scripted()
    pair = opened(router)
    router.faults["DeletePortMapping"] = [714]
    assert pair.close() == [MappingClosed(WEB, is_confirmed=True)]
    pair.open()
    router.faults["DeletePortMapping"] = [501]
    assert pair.close() == [MappingClosed(WEB, is_confirmed=False)]


def withdraw(router: Scripted) -> list[ClientEvent]:
    """Withdraw what a client of before may have opened."""
    pair = Pair(router)
    pair.client.withdraw(WEB, 8443, pair.now)
    pair.turn()
    return pair.find()


def answer_entry(router: Scripted, address: str, port: int) -> None:
    router.answers["GetSpecificPortMappingEntry"] = (
        ("NewInternalPort", str(port)),
        ("NewInternalClient", address),
    )


def test_what_an_earlier_run_opened_is_looked_at_and_deleted() -> None:
    router = Scripted()
    answer_entry(router, str(OWN), 443)
    assert withdraw(router)[-1] == MappingClosed(WEB, is_confirmed=True)
    (asked,) = router.asked("DeletePortMapping")
    assert (asked["NewExternalPort"], asked["NewProtocol"]) == ("8443", "TCP")


@pytest.mark.parametrize(("address", "port"), [("192.168.1.3", 443), (str(OWN), 80)])
def test_what_leads_elsewhere_by_now_is_not_deleted(address: str, port: int) -> None:
    router = Scripted()
    answer_entry(router, address, port)
    assert withdraw(router)[-1] == MappingClosed(WEB, is_confirmed=True)
    assert router.asked("DeletePortMapping") == []


@pytest.mark.parametrize(("code", "is_confirmed"), [(714, True), (501, False)])
def test_what_cannot_be_looked_at_is_not_deleted(code: int, is_confirmed: bool) -> None:
    router = Scripted()
    router.faults["GetSpecificPortMappingEntry"] = [code]
    assert withdraw(router)[-1] == MappingClosed(WEB, is_confirmed=is_confirmed)
    assert router.asked("DeletePortMapping") == []


def test_what_an_earlier_run_opened_is_wanted_again() -> None:
    router = Scripted()
    answer_entry(router, str(OWN), 443)
    pair = Pair(router)
    pair.client.withdraw(WEB, 443, pair.now)
    pair.open()
    assert pair.find() == [EdgeChanged(EDGE), OPENED]
    assert router.asked("DeletePortMapping") == []


def test_wanted_again_while_it_is_withdrawn() -> None:
    router = Scripted()
    pair = opened(router)
    pair.client.close(WEB, pair.now)
    exchange = pair.client.take_exchange(pair.now)
    assert exchange is not None
    pair.client.open(WEB, 443, 7200, pair.now)
    answer = router(exchange)
    assert answer is not None
    pair.client.receive(exchange, answer, pair.now)
    assert pair.turn() == [OPENED]
    assert [call.action for call in router.calls][-2:] == [
        "DeletePortMapping",
        "AddPortMapping",
    ]


def test_unwanted_while_it_is_asked_for() -> None:
    router = Scripted()
    pair = Pair(router)
    pair.open()
    pair.client.receive_datagram(FOUND, ROUTER)
    while not router.asked("GetExternalIPAddress"):
        exchange = pair.client.take_exchange(pair.now)
        assert exchange is not None
        pair.client.receive(exchange, router(exchange) or b"", pair.now)
    adding = pair.client.take_exchange(pair.now)
    assert adding is not None
    pair.client.close(WEB, pair.now)
    pair.client.receive(adding, router(adding) or b"", pair.now)
    assert pair.turn()[-1] == MappingClosed(WEB, is_confirmed=True)
    assert len(router.asked("DeletePortMapping")) == 1


def test_version_2_may_give_another_port_which_is_kept() -> None:
    router = Scripted(version=2)
    router.answers["AddAnyPortMapping"] = (("NewReservedPort", "4443"),)
    pair = Pair(router)
    pair.open()
    other = MappingOpened(WEB, 4443, 7200, EDGE)
    assert pair.find()[-1] == other
    assert pair.pass_time(3601) == [other]
    assert [one["NewExternalPort"] for one in router.asked("AddPortMapping")] == [
        "4443"
    ]
    pair.close()
    assert router.asked("DeletePortMapping")[0]["NewExternalPort"] == "4443"


def test_router_without_what_its_version_has() -> None:
    router = Scripted(version=2)
    opened(router)
    assert len(router.asked("AddAnyPortMapping")) == 1


@pytest.mark.parametrize("code", [725, 402])
def test_router_that_has_only_leases_without_end(code: int) -> None:
    router = Scripted()
    router.faults["AddPortMapping"] = [code]
    pair = Pair(router)
    pair.open()
    endless = MappingOpened(WEB, 443, ENDLESS, EDGE)
    assert pair.find() == [EdgeChanged(EDGE), endless]
    leases = [one["NewLeaseDuration"] for one in router.asked("AddPortMapping")]
    assert leases == ["7200", "0"]
    assert pair.pass_time(3601) == [endless]
    assert pair.close() == [MappingClosed(WEB, is_confirmed=True)]


def test_port_of_somebody_else_leads_to_another() -> None:
    router = Scripted()
    router.faults["AddPortMapping"] = [718, 718]
    pair = Pair(router)
    pair.open()
    event = pair.find()[-1]
    assert isinstance(event, MappingOpened)
    ports = [int(one["NewExternalPort"]) for one in router.asked("AddPortMapping")]
    assert ports[0] == 443
    assert len(set(ports)) == 3
    assert event.outer == ports[-1] >= 32768


def test_router_with_all_ports_taken_is_given_up_for_a_while() -> None:
    router = Scripted()
    router.faults["AddPortMapping"] = [718] * (MAX_PORTS + 1)
    pair = Pair(router)
    pair.open()
    assert pair.find()[-1] == MappingRefused(WEB, Via.IGD, 718, REFUSED_FOR)
    assert len(router.asked("AddPortMapping")) == MAX_PORTS + 1
    assert OPENED in pair.pass_time(REFUSED_FOR + 1)


def test_router_that_wants_the_same_ports() -> None:
    router = Scripted()
    router.faults["AddPortMapping"] = [724]
    pair = Pair(router)
    pair.client.open(WEB, 8443, 7200, pair.now)
    pair.turn()
    assert pair.find()[-1] == OPENED


@pytest.mark.parametrize("code", [606, 728, 501, 716])
def test_router_that_says_no(code: int) -> None:
    router = Scripted()
    router.faults["AddPortMapping"] = [code] * 2
    pair = Pair(router)
    pair.open()
    assert pair.find()[-1] == MappingRefused(WEB, Via.IGD, code, REFUSED_FOR)
    assert pair.close() == [MappingClosed(WEB, is_confirmed=True)]
    assert router.asked("DeletePortMapping") == []


def test_renewal_that_is_refused_loses_the_mapping() -> None:
    router = Scripted()
    pair = opened(router)
    router.faults["AddPortMapping"] = [606]
    refused = MappingRefused(WEB, Via.IGD, 606, REFUSED_FOR)
    assert pair.pass_time(3601) == [MappingLost(WEB), refused]


def test_router_that_falls_silent_is_searched_for_and_the_mapping_ends() -> None:
    router = Scripted()
    pair = opened(router)
    pair.searches.clear()
    router.is_silent = True
    asked = MAX_FAILURES * (EDGE_RETRY + EXCHANGE_TIME)
    assert pair.pass_time(EDGE_TIME + asked + SEARCHES * SEARCH_TIME) == [NoAnswer()]
    assert len(pair.silent) == MAX_FAILURES
    assert len(pair.searches) == SEARCHES * 8
    assert MappingLost(WEB) in pair.pass_time(7200)
    router.is_silent, pair.is_found = False, True
    assert pair.pass_time(LONGEST_REST) == [OPENED]


def test_silence_while_withdrawing_is_reported() -> None:
    router = Scripted()
    pair = opened(router)
    router.is_silent = True
    pair.close()
    assert pair.pass_time(60) == [MappingClosed(WEB, is_confirmed=False)]


def test_no_router_is_searched_for_ever_more_seldom() -> None:
    pair = Pair(Scripted())
    pair.open()
    assert len(pair.searches) == 8
    assert pair.pass_time(SEARCHES * SEARCH_TIME) == [NoAnswer()]
    assert len(pair.searches) == 8 * SEARCHES
    assert pair.pass_time(FIRST_REST - 1) == []
    assert pair.pass_time(1 + SEARCHES * SEARCH_TIME) == [NoAnswer()]
    assert pair.pass_time(FIRST_REST * 2 - 1) == []
    assert pair.close() == [MappingClosed(WEB, is_confirmed=True)]
    pair.searches.clear()
    assert pair.pass_time(100_000) == []
    assert pair.searches == []


def test_outside_address_is_followed_and_mappings_asked_for_again() -> None:
    router = Scripted()
    pair = opened(router)
    other = IPv4Address("198.51.100.8")
    router.answers["GetExternalIPAddress"] = (("NewExternalIPAddress", str(other)),)
    assert pair.pass_time(EDGE_TIME) == [
        EdgeChanged(other),
        MappingOpened(WEB, 443, 7200, other),
    ]


@pytest.mark.parametrize("address", ["", "0.0.0.0", "router", "224.0.0.1"])
def test_router_without_an_outside_address(address: str) -> None:
    router = Scripted()
    router.answers["GetExternalIPAddress"] = (("NewExternalIPAddress", address),)
    pair = Pair(router)
    pair.open()
    assert pair.find() == [MappingOpened(WEB, 443, 7200, None)]


STEPS = st.one_of(
    st.tuples(st.just("open"), st.integers(1, 3)),
    st.tuples(st.just("close"), st.integers(1, 3)),
    st.tuples(st.just("time"), st.integers(0, 9000)),
    st.tuples(st.just("fault"), st.sampled_from([401, 402, 501, 606, 718, 724, 714])),
    st.tuples(st.just("silent"), st.integers(0, 1)),
    st.tuples(st.just("found"), st.just(0)),
)


@UNHURRIED
@given(st.lists(STEPS, max_size=15), st.sampled_from([1, 2]))
def test_whatever_happens_what_is_wanted_is_open_in_the_end(
    steps: list[tuple[str, int]], version: int
) -> None:
    router = Scripted(version)
    router.answers["AddAnyPortMapping"] = (("NewReservedPort", "4443"),)
    pair = Pair(router)
    pair.is_found = True
    wanted: set[Key] = set()
    for kind, number in [*steps, ("silent", 0), ("time", 9000)]:
        key = Key(Transport.UDP, number or 1)
        if kind == "open":
            pair.open(key)
            wanted.add(key)
        elif kind == "close":
            pair.close(key)
            wanted.discard(key)
        elif kind == "time":
            pair.pass_time(number)
        elif kind == "fault":
            router.faults = {"AddPortMapping": [number], "DeletePortMapping": [number]}
        elif kind == "silent":
            router.is_silent = bool(number)
            pair.is_found = not router.is_silent
        elif kind == "found":
            pair.find()
    router.faults = {}
    pair.pass_time(9000)
    held: set[Key] = set()
    for event in pair.events:
        if isinstance(event, MappingOpened):
            held.add(event.key)
        elif isinstance(event, MappingLost | MappingClosed):
            held.discard(event.key)
    assert held == wanted
    assert pair.client.is_idle is not bool(wanted)
