# SPDX-License-Identifier: GPL-2.0-or-later
"""What programs can do with their mappings by IGD."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from qubesforward.portmap.igd_mappings import LONGEST, MAX_HOSTS
from qubesforward.portmap.mapping import Holder, Key, Transport, Via, Wish
from qubesforward.portmap.xml_reader import parse_xml
from tests.portmap.igd_rig import (
    CLIENT,
    OUTSIDE,
    V1,
    V2,
    Rig,
    mapping,
    ports,
    read_answer,
    which,
)

LINK = "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1"
LAYER3 = "urn:schemas-upnp-org:service:Layer3Forwarding:1"
PCP = Holder(Via.PCP, b"nonce of 12 b")


@pytest.fixture
def rig() -> Rig:
    return Rig()


def hold_by_pcp(rig: Rig, inner: int, outer: int) -> None:
    rig.table.ask(Wish(Key(Transport.TCP, inner), PCP, outer, 600), rig.now)
    rig.turn()


def test_mapping_is_added_listed_and_deleted(rig: Rig) -> None:
    assert rig.call("AddPortMapping", mapping(80, 8080)) == {}
    assert rig.held() == [("tcp", 80, 8080)]
    rig.now += 10
    described = {
        "NewInternalPort": "8080",
        "NewInternalClient": CLIENT,
        "NewEnabled": "1",
        "NewPortMappingDescription": "a program",
        "NewLeaseDuration": "590",
    }
    assert rig.call("GetSpecificPortMappingEntry", which(80)) == described
    first = (("NewPortMappingIndex", "0"),)
    assert rig.call("GetGenericPortMappingEntry", first) == {
        "NewRemoteHost": "",
        "NewExternalPort": "80",
        "NewProtocol": "TCP",
        **described,
    }
    assert (
        rig.fault("GetGenericPortMappingEntry", (("NewPortMappingIndex", "1"),)) == 713
    )
    assert rig.fault("GetSpecificPortMappingEntry", which(80, "UDP")) == 714
    assert rig.call("DeletePortMapping", which(80)) == {}
    assert rig.held() == []
    assert rig.fault("DeletePortMapping", which(80)) == 714


def test_wish_says_what_the_program_asked(rig: Rig) -> None:
    rig.call(
        "AddPortMapping",
        mapping(81, 8081, Protocol="udp", RemoteHost="203.0.113.5", LeaseDuration=0),
    )
    (asked,) = rig.asked
    assert asked.wish == Wish(
        Key(Transport.UDP, 8081),
        Holder(Via.IGD, IPv4Address("203.0.113.5").packed),
        81,
        LONGEST,
        exact=True,
        sources=frozenset([IPv4Network("203.0.113.5")]),
        untrusted_name="a program",
    )


@pytest.mark.parametrize(
    ("lease", "held"), [(0, LONGEST), (60, 60), (2**32 - 1, LONGEST)]
)
def test_lease_is_a_week_at_most(rig: Rig, lease: int, held: int) -> None:
    rig.call("AddPortMapping", mapping(LeaseDuration=lease))
    entry = rig.call("GetSpecificPortMappingEntry", which())
    assert entry["NewLeaseDuration"] == str(held)


def test_repeating_renews(rig: Rig) -> None:
    rig.call("AddPortMapping", mapping())
    rig.now += 500
    rig.call("AddPortMapping", mapping())
    assert rig.call("GetSpecificPortMappingEntry", which())["NewLeaseDuration"] == "600"
    rig.now += 601
    rig.table.expire(rig.now)
    assert rig.fault("GetSpecificPortMappingEntry", which()) == 714


def test_port_that_now_leads_elsewhere_is_overwritten(rig: Rig) -> None:
    rig.call("AddPortMapping", mapping(80, 8080))
    rig.call("AddPortMapping", mapping(80, 9090))
    assert rig.held() == [("tcp", 80, 9090)]


def test_port_that_is_held_for_others_too_is_not_overwritten(rig: Rig) -> None:
    rig.call("AddPortMapping", mapping(80, 8080, RemoteHost="203.0.113.5"))
    assert rig.fault("AddPortMapping", mapping(80, 9090)) == 718
    hold_by_pcp(rig, 7000, 7000)
    assert rig.fault("AddPortMapping", mapping(7000, 9090)) == 718
    assert rig.fault("AddPortMapping", mapping(7000, 9090), V2) == 729
    assert rig.held() == [("tcp", 80, 8080), ("tcp", 7000, 7000)]


def test_second_outer_port_of_an_inner_one_is_refused(rig: Rig) -> None:
    rig.call("AddPortMapping", mapping(80, 8080))
    assert rig.fault("AddPortMapping", mapping(81, 8080)) == 718
    assert rig.held() == [("tcp", 80, 8080)]


def test_any_port_gives_the_one_that_is_there(rig: Rig) -> None:
    rig.allows = False
    connection = rig.connect()
    asking = rig.post("AddAnyPortMapping", mapping(80, 8080), V2)
    assert rig.send(asking, connection) == b""
    assert not rig.asked[0].wish.exact
    rig.table.grant(Key(Transport.TCP, 8080), 40000, 600, rig.now)
    rig.turn()
    output = connection.take_output()
    assert rig.read("AddAnyPortMapping", output) == {"NewReservedPort": "40000"}
    again = rig.call("AddAnyPortMapping", mapping(81, 8080), V2)
    assert again == {"NewReservedPort": "40000"}


def test_hosts_of_one_port_come_and_go_one_by_one(rig: Rig) -> None:
    for host in ("203.0.113.5", "203.0.113.6"):
        rig.now += 2
        rig.call("AddPortMapping", mapping(RemoteHost=host))
    ((_, record),) = rig.table.list_open()
    assert record.sources == {IPv4Network("203.0.113.5"), IPv4Network("203.0.113.6")}
    assert rig.fault("DeletePortMapping", which()) == 714
    rig.call("DeletePortMapping", which(remote="203.0.113.5"))
    listed = rig.call("GetGenericPortMappingEntry", (("NewPortMappingIndex", "0"),))
    assert listed["NewRemoteHost"] == "203.0.113.6"
    rig.call("DeletePortMapping", which(remote="203.0.113.6"))
    assert rig.held() == []


def test_hosts_of_one_port_are_few(rig: Rig) -> None:
    for number in range(MAX_HOSTS):
        rig.now += 2
        rig.call("AddPortMapping", mapping(RemoteHost=f"203.0.113.{number}"))
    assert rig.fault("AddPortMapping", mapping(RemoteHost="203.0.113.99")) == 501
    assert rig.fault("AddAnyPortMapping", mapping(RemoteHost="203.0.113.99"), V2) == 728
    assert rig.call("AddPortMapping", mapping(RemoteHost="203.0.113.1")) == {}


def test_mapping_of_another_protocol_is_listed_and_not_deleted(rig: Rig) -> None:
    hold_by_pcp(rig, 7000, 7000)
    listed = rig.call("GetGenericPortMappingEntry", (("NewPortMappingIndex", "0"),))
    assert (listed["NewExternalPort"], listed["NewRemoteHost"]) == ("7000", "")
    assert rig.fault("DeletePortMapping", which(7000)) == 606
    assert rig.fault("DeletePortMappingRange", ports(1, 65535), V2) == 730
    assert rig.held() == [("tcp", 7000, 7000)]


def test_mapping_that_pcp_holds_too_outlives_its_deletion(rig: Rig) -> None:
    rig.call("AddPortMapping", mapping(7000, 7000))
    hold_by_pcp(rig, 7000, 7000)
    rig.call("DeletePortMapping", which(7000))
    assert rig.held() == [("tcp", 7000, 7000)]


def test_range_is_listed_and_deleted(rig: Rig) -> None:
    for port in (300, 100, 200):
        rig.call("AddPortMapping", mapping(port, port, PortMappingDescription="<&>]]>"))
    all_of_them = (("NewNumberOfPorts", "0"),)
    output = rig.send(
        rig.post("GetListOfPortMappings", ports(100, 200, "TCP", *all_of_them), V2)
    )
    _, body = read_answer(output)
    document = body.partition(b"<![CDATA[")[2].partition(b"]]>")[0]
    listing = parse_xml(document, 100)
    assert listing.namespace == "urn:schemas-upnp-org:gw:WANIPConnection"
    entries = [
        {each.name: each.text for each in one.children} for one in listing.children
    ]
    assert [entry["NewExternalPort"] for entry in entries] == ["100", "200"]
    assert entries[0] == {
        "NewRemoteHost": "",
        "NewExternalPort": "100",
        "NewProtocol": "TCP",
        "NewInternalPort": "100",
        "NewInternalClient": CLIENT,
        "NewEnabled": "1",
        "NewDescription": "<&>]]>",
        "NewLeaseTime": "600",
    }
    rig.call("DeletePortMappingRange", ports(150, 65535), V2)
    assert rig.held() == [("tcp", 100, 100)]
    for action in ("GetListOfPortMappings", "DeletePortMappingRange"):
        assert rig.fault(action, ports(1, 99, "TCP", *all_of_them), V2) == 730
        assert rig.fault(action, ports(1, 99, "UDP", *all_of_them), V2) == 730
        assert rig.fault(action, ports(2, 1, "TCP", *all_of_them), V2) == 733


def test_one_of_a_range_can_be_asked_for(rig: Rig) -> None:
    for port in (100, 200):
        rig.call("AddPortMapping", mapping(port, port))
    one = (("NewNumberOfPorts", "1"),)
    output = rig.send(rig.post("GetListOfPortMappings", ports(1, 999, "TCP", *one), V2))
    assert output.count(b"<p:PortMappingEntry>") == 1


WRONG = {
    "another client": (606, {"InternalClient": "10.137.0.21"}),
    "the gateway": (606, {"InternalClient": "10.137.0.6"}),
    "everybody": (606, {"InternalClient": "255.255.255.255"}),
    "a name as client": (606, {"InternalClient": "work"}),
    "another spelling": (606, {"InternalClient": "010.137.0.20"}),
    "protocol 0": (402, {"Protocol": "0"}),
    "SCTP": (402, {"Protocol": "SCTP"}),
    "no protocol": (402, {"Protocol": ""}),
    "disabled": (501, {"Enabled": "0"}),
    "maybe": (402, {"Enabled": "2"}),
    "outer 0": (716, {"ExternalPort": "0"}),
    "outer too large": (402, {"ExternalPort": "65536"}),
    "outer negative": (402, {"ExternalPort": "-1"}),
    "outer a range": (402, {"ExternalPort": "1-2"}),
    "outer of other digits": (402, {"ExternalPort": "\u0661"}),
    "outer missing": (402, {"ExternalPort": ""}),
    "inner too large": (402, {"InternalPort": "70000"}),
    "lease too large": (402, {"LeaseDuration": "4294967296"}),
    "lease negative": (402, {"LeaseDuration": "-1"}),
    "host a name": (402, {"RemoteHost": "example.org"}),
    "host a network": (402, {"RemoteHost": "10.0.0.0/8"}),
    "host of IPv6": (402, {"RemoteHost": "2001:db8::1"}),
    "host 0.0.0.0": (402, {"RemoteHost": "0.0.0.0"}),
}


@pytest.mark.parametrize(("code", "change"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("action", ["AddPortMapping", "AddAnyPortMapping"])
def test_what_cannot_be_had_is_refused_and_never_asked(
    rig: Rig, action: str, code: int, change: dict[str, str]
) -> None:
    assert rig.fault(action, mapping(**change), V2) == code
    assert (rig.held(), rig.asked) == ([], [])


def test_inner_port_0_has_a_code_in_version_2(rig: Rig) -> None:
    assert rig.fault("AddPortMapping", mapping(80, 0)) == 402
    assert rig.fault("AddPortMapping", mapping(80, 0), V2) == 732
    assert rig.asked == []


def test_empty_client_is_the_one_that_asks(rig: Rig) -> None:
    rig.call("AddPortMapping", mapping(InternalClient=""))
    assert rig.held() == [("tcp", 80, 8080)]


@pytest.mark.parametrize("missing", range(8))
def test_missing_argument_is_refused(rig: Rig, missing: int) -> None:
    arguments = list(mapping())
    del arguments[missing]
    assert rig.fault("AddPortMapping", tuple(arguments)) == 402


def test_address_and_status_follow_the_outside(rig: Rig) -> None:
    rig.now += 5
    assert rig.call("GetExternalIPAddress") == {"NewExternalIPAddress": OUTSIDE}
    status = {
        "NewConnectionStatus": "Connected",
        "NewLastConnectionError": "ERROR_NONE",
        "NewUptime": "5",
    }
    assert rig.call("GetStatusInfo") == status
    assert rig.call("RequestConnection") == {}
    rig.server.set_outside(None, rig.now)
    assert rig.call("GetExternalIPAddress") == {"NewExternalIPAddress": ""}
    down = {**status, "NewConnectionStatus": "Disconnected", "NewUptime": "0"}
    assert rig.call("GetStatusInfo") == down
    assert rig.fault("RequestConnection") == 704
    rig.server.set_outside(IPv4Address("192.0.2.1"), rig.now)
    assert rig.call("GetStatusInfo")["NewUptime"] == "0"


def test_what_never_changes_is_told(rig: Rig) -> None:
    assert rig.call("GetConnectionTypeInfo") == {
        "NewConnectionType": "IP_Routed",
        "NewPossibleConnectionTypes": "IP_Routed",
    }
    assert rig.call("GetNATRSIPStatus") == {
        "NewRSIPAvailable": "0",
        "NewNATEnabled": "1",
    }
    link = rig.call("GetCommonLinkProperties", (), LINK, "/control/link")
    assert link["NewPhysicalLinkStatus"] == "Up"
    answer = rig.call("GetDefaultConnectionService", (), LAYER3, "/control/layer3")
    assert answer["NewDefaultConnectionService"].endswith(
        "ad:WANConnectionDevice:1,urn:upnp-org:serviceId:WANIPConn1"
    )


def test_nobody_can_change_the_connection(rig: Rig) -> None:
    kind = (("NewConnectionType", "IP_Bridged"),)
    assert rig.fault("SetConnectionType", kind) == 731
    assert rig.fault("ForceTermination") == 606
    service = (("NewDefaultConnectionService", "x"),)
    assert (
        rig.fault("SetDefaultConnectionService", service, LAYER3, "/control/layer3")
        == 606
    )


def test_what_is_not_served_is_an_invalid_action(rig: Rig) -> None:
    assert rig.fault("Reboot") == 401
    assert rig.fault("GetTotalBytesSent", (), LINK, "/control/link") == 401
    assert rig.fault("GetStatusInfo", (), V1.replace(":1", ":3")) == 401
    assert rig.fault("GetStatusInfo", (), LINK) == 401
    assert rig.fault("GetStatusInfo", (), V1, "/control/link") == 401


def test_answers_name_the_version_that_was_called(rig: Rig) -> None:
    for service in (V1, V2):
        output = rig.send(rig.post("GetStatusInfo", (), service))
        assert f'Response xmlns:u="{service}"'.encode() in output
        assert b"\r\nExt:\r\n" in output


def test_what_the_user_made_is_listed_and_stays(rig: Rig) -> None:
    rig.is_static = True
    assert rig.call("AddPortMapping", mapping(80, 8080)) == {}
    assert rig.fault("DeletePortMapping", which(80)) == 606
    # Not led elsewhere, either.
    assert rig.fault("AddPortMapping", mapping(80, 9090)) == 718
    assert rig.held() == [("tcp", 80, 8080)]
