# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.portmap.http_head import parse_head
from qubesforward.portmap.ssdp import (
    MAX_MESSAGE,
    Device,
    MalformedSearch,
    Search,
    answer_search,
    parse_search,
    render_alive,
    render_byebye,
)
from tests.qubes.running import UNHURRIED

ADDRESS = IPv4Address("10.137.0.6")
UUID = "7f3a0c52-9d1e-4b6f-8a57-0123456789ff"
DEVICE = Device(UUID, ADDRESS, 5000)
FIELDS = {
    "HOST": "239.255.255.250:1900",
    "MAN": '"ssdp:discover"',
    "MX": "2",
    "ST": "ssdp:all",
}
URN = "urn:schemas-upnp-org:"


def search(end: str = "\r\n\r\n", start: str = "", **fields: str | None) -> bytes:
    merged = {**FIELDS, **fields}
    lines = [f"{name}:{value}" for name, value in merged.items() if value is not None]
    return ("\r\n".join([start or "M-SEARCH * HTTP/1.1", *lines]) + end).encode()


def answers(target: str) -> list[dict[str, str]]:
    found = answer_search(Search(target, 0), DEVICE)
    heads = [parse_head(one.removesuffix(b"\r\n\r\n")) for one in found]
    assert {head.untrusted_start for head in heads} <= {"HTTP/1.1 200 OK"}
    return [head.untrusted_fields for head in heads]


def test_search_is_read_as_programs_write_it() -> None:
    assert parse_search(search(), ADDRESS) == Search("ssdp:all", 2)
    # libtorrent ends it with two empty lines.
    assert parse_search(search("\r\n\r\n\r\n"), ADDRESS).untrusted_target == "ssdp:all"
    assert parse_search(search(HOST="239.255.255.250"), ADDRESS).wait == 2


def test_search_may_come_to_our_own_address_without_a_wait() -> None:
    assert parse_search(search(HOST=f"{ADDRESS}:1900", MX=None), ADDRESS).wait == 0


def test_long_waits_are_cut() -> None:
    assert parse_search(search(MX="120"), ADDRESS).wait == 5


IGNORED = {
    "announcement": search(start="NOTIFY * HTTP/1.1"),
    "another version": search(start="M-SEARCH * HTTP/1.0"),
    "another path": search(start="M-SEARCH / HTTP/1.1"),
    "no MAN": search(MAN=None),
    "MAN without quotes": search(MAN="ssdp:discover"),
    "no MX": search(MX=None),
    "MX that is no number": search(MX="-1"),
    "no HOST": search(HOST=None),
    "another HOST": search(HOST="10.137.0.7:1900"),
    "a name as HOST": search(HOST="evil.example:1900"),
    "HOST twice": search(HOST="10.137.0.6:1900\r\nHOST: 10.137.0.6:1900"),
    "no end": search(end="\r\n"),
    "something behind": search(end="\r\n\r\nx"),
    "bare newlines": search().replace(b"\r\n", b"\n"),
    "folded": search(ST="a\r\n b"),
    "too long": search(X="x" * MAX_MESSAGE),
    "too many fields": search(ST="\r\n".join(f"a{n}: 1" for n in range(60))),
    "empty": b"",
}


@pytest.mark.parametrize("untrusted", IGNORED.values(), ids=IGNORED)
def test_what_is_no_search_is_ignored(untrusted: bytes) -> None:
    with pytest.raises(MalformedSearch):
        parse_search(untrusted, ADDRESS)


@UNHURRIED
@given(st.binary(max_size=300))
def test_any_bytes_are_a_search_or_the_documented_error(untrusted: bytes) -> None:
    with pytest.raises(MalformedSearch):
        parse_search(untrusted, ADDRESS)


@UNHURRIED
@given(st.text())
def test_any_target_gets_few_answers(target: str) -> None:
    assert len(answer_search(Search(target, 0), DEVICE)) <= 10


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    "kind",
    [
        "device:InternetGatewayDevice",
        "device:WANDevice",
        "device:WANConnectionDevice",
        "service:WANIPConnection",
    ],
)
def test_each_version_is_answered_as_itself(kind: str, version: str) -> None:
    target = f"{URN}{kind}:{version}"
    (answer,) = answers(target)
    assert answer["st"] == target
    assert answer["usn"].endswith(f"::{target}")
    assert answer["location"] == f"http://10.137.0.6:5000/{version}/gateway.xml"


@pytest.mark.parametrize(
    "target",
    [
        "",
        f"{URN}device:InternetGatewayDevice:3",
        f"{URN}service:WANCommonInterfaceConfig:2",
        f"{URN}device:WANIPConnection:1",
        f"{URN}device:MediaServer:1",
        f"{URN}device:InternetGatewayDevice:01",
        "uuid:7f3a0c52-9d1e-4b6f-8a57-000000000000",
    ],
)
def test_what_we_are_not_is_not_answered(target: str) -> None:
    assert answers(target) == []


def test_everything_is_ten_targets_with_three_devices() -> None:
    found = answers("ssdp:all")
    assert len({answer["usn"] for answer in found}) == len(found) == 10
    devices = {answer["usn"].partition("::")[0] for answer in found}
    assert devices == {f"uuid:{UUID}", f"uuid:{UUID[:-2]}00", f"uuid:{UUID[:-2]}01"}
    assert {answer["server"] for answer in found} == {
        "Linux/0 UPnP/1.1 qubes-network-qube/0"
    }


@pytest.mark.parametrize("target", ["upnp:rootdevice", f"uuid:{UUID}"])
def test_the_device_itself_is_found(target: str) -> None:
    (answer,) = answers(target)
    assert (answer["st"], answer["ext"]) == (target, "")


def test_announcements_name_what_can_be_searched_for() -> None:
    for found, kind in (
        (render_alive(DEVICE), "alive"),
        (render_byebye(DEVICE), "bye"),
    ):
        heads = [parse_head(one.removesuffix(b"\r\n\r\n")) for one in found]
        assert [head.get("nt") for head in heads] == [
            answer["st"] for answer in answers("ssdp:all")
        ]
        assert {head.untrusted_start for head in heads} == {"NOTIFY * HTTP/1.1"}
        assert all(head.get("nts").startswith(f"ssdp:{kind}") for head in heads)
        assert {head.get("host") for head in heads} == {"239.255.255.250:1900"}
        is_alive = kind == "alive"
        assert all(("location" in head.untrusted_fields) is is_alive for head in heads)
