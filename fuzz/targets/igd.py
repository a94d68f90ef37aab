# SPDX-License-Identifier: GPL-2.0-or-later
"""UPnP: what a qube sends to its gateway, and what a router sends to its client."""

from __future__ import annotations

from ipaddress import IPv4Address

from fuzz.target import Target
from qubesforward.portmap.http_server import MAX_BODY, HttpConnection, Response
from qubesforward.portmap.igd import IgdServer
from qubesforward.portmap.igd_client import IgdClient
from qubesforward.portmap.igd_description import render_device
from qubesforward.portmap.mapping import Key, Transport
from qubesforward.portmap.soap import (
    MalformedSoap,
    parse_call,
    render_answer,
    render_call,
)
from qubesforward.portmap.ssdp import (
    Device,
    MalformedSearch,
    answer_search,
    parse_search,
)
from qubesforward.portmap.table import Asked, Table
from qubesforward.portmap.xml_reader import Element, MalformedXml, escape, parse_xml

_GATEWAY = IPv4Address("10.137.0.6")
_UUID = "7f3a0c52-9d1e-4b6f-8a57-0123456789ab"
_SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:2"
_MAPPING = (
    ("NewRemoteHost", ""),
    ("NewExternalPort", "80"),
    ("NewProtocol", "TCP"),
    ("NewInternalPort", "8080"),
    ("NewInternalClient", "10.137.0.20"),
    ("NewEnabled", "1"),
    ("NewPortMappingDescription", "a &amp; b"),
    ("NewLeaseDuration", "600"),
)
_RANGE = (
    ("NewStartPort", "1"),
    ("NewEndPort", "65535"),
    ("NewProtocol", "TCP"),
    ("NewManage", "0"),
    ("NewNumberOfPorts", "0"),
)
_SEARCH = (
    b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMX: 3\r\n"
    b'MAN: "ssdp:discover"\r\nST: ssdp:all\r\n\r\n'
)
_GET = b"GET /1/gateway.xml HTTP/1.1\r\nHost: 10.137.0.6:5000\r\n\r\n"


def _render_post(action: str, arguments: tuple[tuple[str, str], ...]) -> bytes:
    body = render_call(_SERVICE, action, arguments)
    head = (
        "POST /control/connection HTTP/1.1\r\nHost: 10.137.0.6:5000\r\n"
        f'SOAPAction: "{_SERVICE}#{action}"\r\nContent-Length: {len(body)}\r\n\r\n'
    )
    return head.encode() + body


_POSTS = (
    _render_post("AddPortMapping", _MAPPING),
    _render_post("AddAnyPortMapping", _MAPPING),
    _render_post("DeletePortMapping", _MAPPING[:3]),
    _render_post("GetSpecificPortMappingEntry", _MAPPING[:3]),
    _render_post("GetListOfPortMappings", _RANGE),
    _render_post("DeletePortMappingRange", _RANGE),
    _render_post("GetStatusInfo", ()),
)


def _count(element: Element) -> int:
    return 1 + sum(map(_count, element.children))


def _write(element: Element) -> str:
    """Write an element: texts first, all names in one way."""
    inner = escape(element.text) + "".join(map(_write, element.children))
    start = f'{element.name} xmlns="{escape(element.namespace)}"'
    return f"<{start}>{inner}</{element.name}>"


def _read_xml(data: bytes) -> str:
    root = parse_xml(data, 100)
    again = parse_xml(_write(root).encode(), 100)
    assert _write(again) == _write(root)
    return f"{_count(root)} {len(root.namespace) > 0} {'&' in root.text}"


def _read_call(data: bytes) -> str:
    action, _, body = data.partition(b"\n")
    call = parse_call(action.decode("latin-1"), body)
    assert len(call.untrusted_arguments) <= 16
    return f"{len(call.untrusted_arguments)}"


def _read_search(data: bytes) -> str:
    search = parse_search(data, _GATEWAY)
    answers = answer_search(search, Device(_UUID, _GATEWAY, 5000))
    assert sum(map(len, answers)) < 4000
    lines = [line for answer in answers for line in answer.split(b"\r\n")]
    assert len(lines) == 11 * len(answers)
    return f"{search.wait} {len(answers)}"


def _receive(data: bytes) -> str:
    connection = HttpConnection(_GATEWAY, 5000, 0.0)
    size = 1 + data[-1] % 200 if data else 1
    shape = []
    for at in range(0, min(len(data), 20000), size):
        request = connection.receive(data[at : at + size], 1.0)
        if request is not None:
            assert len(request.untrusted_body) <= MAX_BODY
            shape.append(request.method)
            connection.respond(Response(200), 1.0)
        output = connection.take_output()
        assert len(output) < 1000
        shape.append(output[9:12].decode())
    return f"{[each for each in shape if each][:4]} {connection.is_closing}"


def _serve(data: bytes) -> str:
    """Send requests one by one, cut where one begins, to a gateway that allows all."""
    table = Table()
    server = IgdServer(table, IPv4Address("10.137.0.20"), _GATEWAY, 5000, _UUID, 0.0)
    shape = []
    for number, untrusted in enumerate(data.split(b"POST ")[:8]):
        connection = server.connect(number * 2.0)
        assert connection is not None
        connection.receive(b"POST " + untrusted if number else untrusted, number * 2.0)
        for event in table.take_events():
            if isinstance(event, Asked):
                key = event.wish.key
                table.grant(key, event.wish.outer, 60, number * 2.0)
                server.settle(key, number * 2.0)
        server.handle_timer(number * 2.0 + 2)
        shape.append(connection.take_output()[9:12].decode())
        connection.lose()
    assert server.get_timer() is None
    return f"{shape}"


def _ask_router(data: bytes) -> str:
    """Give a client one datagram after the other, and then answers, from a router."""
    client = IgdClient(IPv4Address("192.168.1.2"), _ROUTER)
    client.open(Key(Transport.TCP, 443), 443, 600, 0.0)
    now, shape = 0.0, []
    for untrusted in data.split(b"HTTP/1.1 ")[:12]:
        exchange = client.take_exchange(now)
        if exchange is None:
            client.receive_datagram(b"HTTP/1.1 " + untrusted, _ROUTER)
        else:
            assert exchange.address == _ROUTER
            assert exchange.request.count(b"\r\n\r\n") == 1
            client.receive(exchange, b"HTTP/1.1 " + untrusted, now)
            client.receive_end(exchange, now)
            assert exchange.is_done
        now += 1
        client.handle_timer(now)
        assert len(client.take_datagrams()) <= 8
        shape += [type(event).__name__ for event in client.take_events()]
    return f"{shape[:6]}"


def _render_answer(action: str, *arguments: tuple[str, str]) -> bytes:
    body = render_answer(_SERVICE, action, arguments)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


_ROUTER = IPv4Address("192.168.1.1")
_FOUND = (
    b"HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
    b"LOCATION: http://192.168.1.1:5000/2/gateway.xml\r\n\r\n"
)
_DESCRIBED = render_device(Device(_UUID, _ROUTER, 5000), 2)
_ROUTER_SAYS = b"".join(
    (
        _FOUND,
        b"HTTP/1.1 200 OK\r\n\r\n" + _DESCRIBED,
        _render_answer("GetStatusInfo", ("NewConnectionStatus", "Connected")),
        _render_answer("GetExternalIPAddress", ("NewExternalIPAddress", "9.9.9.9")),
        _render_answer("AddAnyPortMapping", ("NewReservedPort", "443")),
    )
)

_XML_WORDS = (
    *(b"<", b"</", b"/>", b"<!--", b"-->", b"<!DOCTYPE a [", b"<![CDATA[", b"]]>"),
    *(b"&amp;", b"&#x41;", b"&a;", b"xmlns", b"xmlns:a='u'", b"<a:b>", b"<?xml", b"'"),
)
_HTTP_WORDS = (
    *(b"\r\n", b"\r\n\r\n", b"Host: ", b"10.137.0.6:5000", b"Content-Length: "),
    *(b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Origin: null"),
    *(b"Connection: close", b"HTTP/1.0", b"SUBSCRIBE", b"ssdp:all", b"MX: 1"),
)
_BODY = _POSTS[0].partition(b"\r\n\r\n")[2]

TARGETS = (
    Target("igd-xml", _read_xml, (MalformedXml,), (_BODY, b"<a>b</a>"), _XML_WORDS),
    Target(
        "igd-call",
        _read_call,
        (MalformedSoap,),
        (f'"{_SERVICE}#AddPortMapping"\n'.encode() + _BODY,),
        _XML_WORDS,
    ),
    Target("igd-search", _read_search, (MalformedSearch,), (_SEARCH,), _HTTP_WORDS),
    Target("igd-http", _receive, (), (_GET, *_POSTS[:1], _GET + _GET), _HTTP_WORDS),
    Target(
        "igd-server",
        _serve,
        (),
        (_GET, *_POSTS, b"".join(_POSTS)),
        (*_HTTP_WORDS, *_XML_WORDS),
    ),
    Target(
        "igd-router",
        _ask_router,
        (),
        (_ROUTER_SAYS, _FOUND + _render_answer("AddPortMapping")),
        (*_HTTP_WORDS, *_XML_WORDS, b"<URLBase>http://192.168.1.1/</URLBase>"),
    ),
)
