# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that others wrote find the gateway and get, list, use and lose mappings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.outbound_world import CLIENT, GATEWAY
from tests.portmap.igd_world import OUTSIDE, IgdWorld, make_igd_world

URL = f"http://{GATEWAY}:5000"

pytestmark = pytest.mark.lab

_TORRENT = """
import sys, time, libtorrent as lt
session = lt.session({
    "listen_interfaces": sys.argv[1] + ":6881", "enable_upnp": True,
    "enable_natpmp": False, "enable_dht": False, "enable_lsd": False,
    "alert_mask": lt.alert.category_t.port_mapping_notification,
})
deadline, mapped = time.time() + 20, set()
while len(mapped) < 2 and time.time() < deadline:
    session.wait_for_alert(1000)
    for alert in session.pop_alerts():
        if isinstance(alert, lt.portmap_alert):
            mapped.add((alert.map_protocol, alert.external_port))
        elif isinstance(alert, lt.portmap_error_alert):
            print(alert.message())
print(len(mapped), {port for _, port in mapped}, flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def world() -> Iterator[IgdWorld]:
    with make_igd_world() as world:
        yield world


@pytest.fixture(autouse=True)
def _begin_anew(world: IgdWorld) -> None:
    world.tell("answer allow")


def upnpc(world: IgdWorld, *arguments: str, version: int = 2) -> str:
    # With the URL, or each call would search for two seconds.
    return world.run("upnpc", "-u", f"{URL}/{version}/gateway.xml", *arguments)


def test_upnpc_finds_the_gateway_and_its_address(world: IgdWorld) -> None:
    said = world.run("upnpc", "-s")
    assert f"Found valid IGD : {URL}/control/connection" in said
    assert "Status : Connected" in said
    assert f"ExternalIPAddress = {OUTSIDE}" in said


@pytest.mark.parametrize("version", [1, 2])
def test_upnpc_adds_lists_and_deletes(world: IgdWorld, version: int) -> None:
    mapping = ("-a", CLIENT, "8080", "9090", "tcp", "600")
    said = upnpc(world, "-e", "it's mine", *mapping, version=version)
    where = f"external {OUTSIDE}:9090 TCP is redirected to internal {CLIENT}:8080"
    assert where in said
    assert world.tell("list") == "tcp:8080:9090"
    said = upnpc(world, "-l", version=version)
    line = rf"0 TCP  9090->{CLIENT}:8080  'it's mine' '' \d+\n"
    assert re.search(line, said)
    said = upnpc(world, "-d", "9090", "tcp", version=version)
    assert "UPNP_DeletePortMapping() returned : 0" in said
    assert world.tell("list") == ""


@pytest.mark.parametrize("version", [1, 2])
def test_upnpc_uses_what_came_with_version_2(world: IgdWorld, version: int) -> None:
    said = upnpc(world, "-n", CLIENT, "81", "8081", "udp", version=version)
    assert f"external {OUTSIDE}:8081 UDP is redirected to internal {CLIENT}:81" in said
    said = upnpc(world, "-L", version=version)
    assert f"0 UDP  8081->{CLIENT}:81" in said
    said = upnpc(world, "-N", "8000", "8100", "udp", version=version)
    assert "UPNP_DeletePortMappingRange() returned : 0" in said
    assert world.tell("list") == ""


def test_upnpc_restricts_who_may_connect(world: IgdWorld) -> None:
    mapping = (CLIENT, "8082", "8082", "tcp", "600", "203.0.113.5")
    upnpc(world, "-a", *mapping)
    assert "'203.0.113.5'" in upnpc(world, "-l")
    upnpc(world, "-d", "8082", "tcp")
    assert world.tell("list") == "tcp:8082:8082"
    upnpc(world, "-d", "8082", "tcp", "203.0.113.5")
    assert world.tell("list") == ""


def test_upnpc_waits_for_the_user(world: IgdWorld) -> None:
    world.tell("answer later")
    said = upnpc(world, "-a", CLIENT, "8083", "8083", "tcp")
    assert f"{OUTSIDE}:8083 TCP is redirected to internal {CLIENT}:8083" in said
    upnpc(world, "-d", "8083", "tcp")


def test_upnpc_is_told_that_it_may_not(world: IgdWorld) -> None:
    said = upnpc(world, "-a", "10.137.0.21", "8084", "8084", "tcp")
    assert "failed with code 606" in said
    world.tell("answer deny")
    said = upnpc(world, "-a", CLIENT, "8084", "8084", "tcp")
    assert "failed with code 606" in said
    assert world.tell("list") == ""


def test_libtorrent_maps_its_ports_and_takes_them_back(world: IgdWorld) -> None:
    # The system's interpreter: the module is a package of the distribution.
    with world.started("/usr/bin/python3", "-c", _TORRENT, CLIENT) as torrent:
        assert torrent.stdout is not None
        assert torrent.stdout.readline() == "2 {6881}\n"
        assert world.tell("list").split() == ["tcp:6881:6881", "udp:6881:6881"]
        torrent.communicate("end\n", timeout=20)
    assert world.tell("list") == ""


def test_curl_is_asked_to_go_on_before_its_body(world: IgdWorld) -> None:
    said = world.run(
        *("curl", "-sS", "-i", "-H", "Expect: 100-continue", "-d", "<a/>"),
        *("-H", "Content-Type: text/xml", f"{URL}/control/connection"),
    )
    assert said.startswith("HTTP/1.1 100 Continue")
    assert "HTTP/1.1 400 Bad Request" in said


def test_curl_is_not_let_send_200_megabytes(world: IgdWorld, tmp_path: Path) -> None:
    body = tmp_path / "body"
    with body.open("wb") as file:
        file.truncate(200 * 2**20)
    command = ("curl", "-sS", "-i", "-X", "POST", "-T", str(body))
    said = world.run(*command, f"{URL}/control/connection")
    assert "HTTP/1.1 413 " in said
