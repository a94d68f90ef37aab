# SPDX-License-Identifier: GPL-2.0-or-later
"""What a qube that lies, floods and garbles gets from its gateway."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.portmap.http_server import LINGER_TIME, REQUEST_TIME
from qubesforward.portmap.igd import IgdLimits
from qubesforward.portmap.igd_actions import MAX_LISTED
from qubesforward.portmap.igd_services import SERVICES
from qubesforward.portmap.ssdp import NEWEST
from qubesforward.portmap.xml_reader import Element, parse_xml
from tests.portmap.igd_rig import (
    CLIENT,
    GATEWAY,
    PATH,
    UUID,
    V1,
    V2,
    Rig,
    mapping,
    ports,
    read_answer,
    render_post,
)
from tests.qubes.running import UNHURRIED

SEARCH = (
    b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMX: 3\r\n"
    b'MAN: "ssdp:discover"\r\nST: ssdp:all\r\n\r\n'
)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def status(rig: Rig, data: bytes) -> int:
    connection = rig.connect()
    code, _ = read_answer(rig.send(data, connection))
    connection.lose()
    return code


def texts(root: Element, name: str) -> list[str]:
    found = [root.text] if root.name == name else []
    return found + [text for child in root.children for text in texts(child, name)]


@pytest.mark.parametrize("version", range(1, NEWEST + 1))
def test_description_leads_to_every_service(rig: Rig, version: int) -> None:
    code, body = rig.get(f"/{version}/gateway.xml")
    assert code == 200
    root = parse_xml(body, 200)
    assert root.namespace == "urn:schemas-upnp-org:device-1-0"
    devices = texts(root, "deviceType")
    names = ("InternetGatewayDevice", "WANDevice", "WANConnectionDevice")
    urn = "urn:schemas-upnp-org:device"
    assert devices == [f"{urn}:{name}:{version}" for name in names]
    assert f"urn:schemas-upnp-org:service:WANIPConnection:{version}" in texts(
        root, "serviceType"
    )
    assert texts(root, "UDN")[0] == f"uuid:{UUID}"
    assert len(set(texts(root, "UDN"))) == 3
    assert set(texts(root, "friendlyName")) == {"Qubes network qube"}
    assert texts(root, "eventSubURL") == ["", "", ""]
    for path in texts(root, "SCPDURL"):
        assert rig.get(path)[0] == 200
    for path in texts(root, "controlURL"):
        assert status(rig, render_post(b"", "", path=path)) == 400


@pytest.mark.parametrize("version", range(1, NEWEST + 1))
@pytest.mark.parametrize("service", SERVICES, ids=lambda one: one.path)
def test_service_describes_what_it_does(
    rig: Rig, service: object, version: int
) -> None:
    assert service in SERVICES
    (one,) = [each for each in SERVICES if each == service]
    _, body = rig.get(f"/{version}/{one.path}.xml")
    root = parse_xml(body, 1000)
    actions = root.find("actionList")
    assert actions is not None
    listed = {action.children[0].text for action in actions.children}
    assert listed == {
        name for name, action in one.actions.items() if action.since <= version
    }
    table = root.find("serviceStateTable")
    assert table is not None
    declared = {variable.children[0].text for variable in table.children}
    assert declared == set(texts(root, "relatedStateVariable"))


def test_every_action_that_is_described_is_done(rig: Rig) -> None:
    for service in SERVICES:
        for name, action in service.actions.items():
            arguments = tuple((each, "") for each, _ in action.inputs)
            kind = service.type(service.newest)
            assert rig.fault(name, arguments, kind, f"/control/{service.path}") != 401


def request(method: str, path: str, *fields: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {GATEWAY}:5000", *fields, "", ""]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (request("GET", "/"), 404),
        (request("GET", "/3/gateway.xml"), 404),
        (request("GET", "/1/../1/gateway.xml"), 404),
        (request("GET", "/1/gateway.xml?x"), 404),
        (request("GET", "//1/gateway.xml"), 404),
        (request("HEAD", "/1/gateway.xml"), 405),
        (request("DELETE", "/1/gateway.xml"), 405),
        (request("GET", PATH), 405),
        (request("OPTIONS", PATH), 405),
        (request("M-POST", PATH), 405),
        (render_post(b"", "", path="/1/gateway.xml"), 405),
        (render_post(b"", "", path="/control"), 404),
        (request("SUBSCRIBE", PATH, "CALLBACK: <http://192.0.2.1/>"), 501),
        (request("SUBSCRIBE", "/", "NT: upnp:event"), 501),
        (request("UNSUBSCRIBE", PATH, "SID: uuid:1"), 412),
        (request("POST", PATH, "Content-Length: 1048576"), 413),
        (render_post(b"<a/>", f"{V1}#GetStatusInfo"), 400),
        (render_post(b"<!DOCTYPE a><a/>", f"{V1}#GetStatusInfo"), 400),
        (render_post(b"\xff" * 100, f"{V1}#GetStatusInfo"), 400),
    ],
)
def test_requests_for_anything_else_are_refused(
    rig: Rig, data: bytes, code: int
) -> None:
    assert status(rig, data) == code
    assert rig.asked == []


def test_form_of_a_web_page_is_refused(rig: Rig) -> None:
    post = rig.post("AddPortMapping", mapping())
    for kind in (b"text/plain", b"application/x-www-form-urlencoded"):
        assert status(rig, post.replace(b"text/xml", kind)) == 415
    assert status(rig, post.replace(b"SOAPAction", b"X")) == 400
    assert status(rig, post.replace(b"Host: 10.", b"Host: evil.example.")) == 403
    assert status(rig, post.replace(b"Host", b"Origin: null\r\nHost")) == 403
    assert rig.asked == []


def test_entities_are_refused_without_being_read(rig: Rig) -> None:
    bomb = (
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
        b'<!ENTITY b "&a;&a;&a;&a;">]>'
    )
    body = rig.post("AddPortMapping", mapping()).partition(b"\r\n\r\n")[2]
    action = f"{V1}#AddPortMapping"
    assert status(rig, render_post(bomb + body.partition(b"?>")[2], action)) == 400
    assert status(rig, render_post(body.replace(b"a program", b"&b;"), action)) == 400
    assert rig.asked == []


def test_body_of_200_megabytes_is_refused_at_its_header(rig: Rig) -> None:
    piece = bytes(65536)
    connection = rig.connect()
    head = request("POST", PATH, f"Content-Length: {200 * 2**20}")
    tracemalloc.start()
    output = rig.send(head, connection)
    assert read_answer(output)[0] == 413
    assert connection.is_closing
    for _ in range(200 * 16):
        connection.receive(piece, rig.now)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_flood_of_connections_has_an_end_and_others_go_on(rig: Rig) -> None:
    held = [rig.connect() for _ in range(IgdLimits().connections)]
    assert rig.server.connect(rig.now) is None
    held.pop().lose()
    assert rig.call("GetNATRSIPStatus") != {}
    rig.now += REQUEST_TIME
    rig.server.handle_timer(rig.now)
    assert all(connection.is_closing for connection in held)
    rig.now += LINGER_TIME
    rig.server.handle_timer(rig.now)
    assert all(connection.is_lost for connection in held)
    assert rig.server.get_timer() is None


def test_flood_of_requests_is_refused_and_passes() -> None:
    rig = Rig(IgdLimits(requests=10))
    codes = [rig.get("/1/gateway.xml")[0] for _ in range(12)]
    assert codes == [200] * 10 + [503] * 2
    rig.now += 1
    assert rig.get("/1/gateway.xml")[0] == 200


def test_flood_of_searches_is_ignored_and_passes(rig: Rig) -> None:
    counts = [len(rig.server.receive_search(SEARCH, 40000, rig.now)) for _ in range(9)]
    assert counts == [10] * 6 + [0] * 3
    rig.now += 0.5
    answers = rig.server.receive_search(SEARCH, 40001, rig.now)
    assert {port for _, port in answers} == {40001}
    assert sum(len(answer) for answer, _ in answers) < 4000


def test_flood_of_wishes_ends_at_the_quota(rig: Rig) -> None:
    rig.allows = False
    pending = rig.table.limits.pending
    for port in range(1, pending + 1):
        connection = rig.connect()
        rig.send(rig.post("AddPortMapping", mapping(port, port)), connection)
        assert connection.take_output() == b""
        connection.lose()
    assert rig.fault("AddPortMapping", mapping(5000, 5000)) == 501
    assert rig.fault("AddAnyPortMapping", mapping(5000, 5000), V2) == 728
    assert len(rig.asked) == pending


def test_list_of_many_mappings_is_cut(rig: Rig) -> None:
    for port in range(1, MAX_LISTED + 10):
        rig.call(
            "AddPortMapping", mapping(port, port, PortMappingDescription="é" * 999)
        )
        rig.now += 1
    number = (("NewNumberOfPorts", "65535"),)
    post = rig.post("GetListOfPortMappings", ports(1, 65535, "TCP", *number), V2)
    output = rig.send(post)
    assert output.count(b"<p:PortMappingEntry>") == MAX_LISTED
    assert len(output) < 200_000


def test_answer_waits_for_a_client_that_sends_no_more(rig: Rig) -> None:
    connection = rig.connect()
    connection.receive(rig.post("AddPortMapping", mapping()), rig.now)
    connection.receive_end(rig.now)
    assert connection.take_output() == b""
    rig.turn()
    assert rig.read("AddPortMapping", connection.take_output()) == {}
    assert connection.is_closing


def test_client_that_does_not_take_its_answer_is_given_up(rig: Rig) -> None:
    connection = rig.connect()
    rig.send(request("GET", "/1/gateway.xml", "Connection: close"), connection)
    assert connection.is_closing
    assert not connection.is_lost
    rig.now += LINGER_TIME
    rig.server.handle_timer(rig.now)
    assert connection.is_lost


def test_announcements_go_out_for_our_own_address(rig: Rig) -> None:
    assert len(rig.server.render_alive()) == len(rig.server.render_byebye()) == 10
    assert all(
        f"http://{GATEWAY}:5000/".encode() in one for one in rig.server.render_alive()
    )


NUMBERS = st.integers(-5, 70000) | st.sampled_from([0, 1, 80, 65535, 65536])
ACTIONS = sorted({name for one in SERVICES for name in one.actions})
ARGUMENTS = sorted(
    {
        argument
        for one in SERVICES
        for action in one.actions.values()
        for argument, _ in action.inputs
    }
)
VALUES = st.one_of(
    NUMBERS.map(str),
    st.sampled_from(["", "TCP", "UDP", "udp", "1", "0", CLIENT, "10.137.0.21"]),
    st.text(st.characters(exclude_categories=["C"]), max_size=8),
)


@UNHURRIED
@given(
    st.lists(
        st.tuples(
            st.sampled_from(ACTIONS),
            st.sampled_from([V1, V2]),
            st.fixed_dictionaries({name: VALUES for name in ARGUMENTS}),
        ),
        max_size=20,
    )
)
def test_any_calls_are_answered_and_open_only_own_ports(
    calls: list[tuple[str, str, dict[str, str]]],
) -> None:
    rig = Rig()
    for action, service, arguments in calls:
        connection = rig.connect()
        post = rig.post(action, tuple(arguments.items()), service)
        assert read_answer(rig.send(post, connection))[0] in (200, 500)
        connection.lose()
    for _transport, outer, inner in rig.held():
        assert 0 < outer < 65536
        assert 0 < inner < 65536
    assert len({(one, outer) for one, outer, _ in rig.held()}) == len(rig.held())


@UNHURRIED
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes_are_taken(pieces: list[bytes]) -> None:
    rig = Rig()
    connection = rig.connect()
    for piece in pieces:
        rig.send(piece, connection)
        rig.server.receive_search(piece, 1, rig.now)
    assert rig.asked == []
