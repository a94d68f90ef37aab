# SPDX-License-Identifier: GPL-2.0-or-later
"""The sockets of an interface, with UPnP's: open for whom they serve, and no longer."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from qubesforward.gateway.sockets import HTTP_PORT
from qubesforward.model.hosts import parse_address
from qubesforward.qubes.mapping_wire import NoClient
from tests.gateway.gateway_world import GATE, ONE, ROUTER, TWO, GatewayWorld

SEARCH = (
    b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"
    b'MAN: "ssdp:discover"\r\nMX: 1\r\n'
    b"ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n"
)
PLACE = f"http://{GATE}:{HTTP_PORT}/1/gateway.xml"


@pytest.fixture(scope="module", autouse=True)
def _served(world: GatewayWorld) -> Iterator[None]:
    world.serve(ONE)
    yield
    world.call.say(NoClient(parse_address(ONE)))
    world.wait_refused(ONE)


def curl(world: GatewayWorld, who: str, *words: str, place: str = PLACE) -> str:
    """Return what curl gets, or "error" with its number."""
    space = world.clients.get(who, world.router)
    command = [*space.entered, "curl", "-sS", "-m", "20", "-o", "/dev/null"]
    done = subprocess.run(
        [*command, "-w", "%{http_code}", *words, place],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else f"error {done.returncode}"


REFUSED = "error 7"
"""curl: could not connect."""


def test_a_search_is_answered_with_our_own_place(world: GatewayWorld) -> None:
    answer = world.ask(ONE, SEARCH, port=1900)
    assert isinstance(answer, bytes)
    assert f"LOCATION: {PLACE}\r\n".encode() in answer.upper().replace(
        PLACE.upper().encode(), PLACE.encode()
    )


def test_the_description_is_for_the_client_only(world: GatewayWorld) -> None:
    assert curl(world, ONE) == "200"
    assert curl(world, TWO) == REFUSED
    assert curl(world, ROUTER, place=f"http://192.168.1.10:{HTTP_PORT}/") == REFUSED


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-H", "Host: router.example"], "403"),
        (["-H", "Origin: http://example.com"], "403"),
        (["-X", "DELETE"], "405"),
        (["-X", "SUBSCRIBE"], "501"),
    ],
)
def test_web_pages_and_subscriptions_get_nothing(
    world: GatewayWorld, words: list[str], code: str
) -> None:
    assert curl(world, ONE, *words) == code


def test_a_stranger_on_the_link_gets_nothing(world: GatewayWorld) -> None:
    world.clients[ONE].run("ip addr add 10.137.0.99/32 dev eth0")
    try:
        assert curl(world, ONE, "--interface", "10.137.0.99") != "200"
        assert world.ask(ONE, SEARCH, own="10.137.0.99", port=1900) is None
    finally:
        world.clients[ONE].run("ip addr del 10.137.0.99/32 dev eth0")


def test_many_connections_have_an_end_and_the_next_is_served(
    world: GatewayWorld,
) -> None:
    flood = world.clients[ONE].script(
        f"""
import socket, sys
held = []
for _ in range(200):
    one = socket.socket()
    one.settimeout(1)
    try:
        one.connect(("{GATE}", {HTTP_PORT}))
        held.append(one)
    except OSError:
        pass
ended = 0
for one in held:
    one.settimeout(0.01)
    try:
        ended += one.recv(1) == b""
    except TimeoutError:
        pass
    except OSError:
        ended += 1
print(len(held) - ended, flush=True)
"""
    )
    left = int(flood.communicate(timeout=60)[0])
    assert left < 64
    assert curl(world, ONE) == "200"
