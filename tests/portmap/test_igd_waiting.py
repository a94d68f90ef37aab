# SPDX-License-Identifier: GPL-2.0-or-later
"""What programs get while the user is asked, and when the answer is no."""

from __future__ import annotations

import pytest

from qubesforward.portmap.igd import HOLD_TIME
from qubesforward.portmap.mapping import Key, Reason, Transport
from qubesforward.portmap.soap import Fault
from tests.portmap.igd_rig import V1, V2, Rig, mapping


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.mark.parametrize(
    ("reason", "first", "second", "any_port"),
    [
        (Reason.DENIED, 606, 606, 606),
        (Reason.CONFLICT, 718, 718, 718),
        (Reason.QUOTA, 501, 501, 728),
        (Reason.NETWORK, 501, 501, 501),
    ],
)
def test_refusals_have_their_codes(
    reason: Reason, first: int, second: int, any_port: int
) -> None:
    for code, action, service in (
        (first, "AddPortMapping", V1),
        (second, "AddPortMapping", V2),
        (any_port, "AddAnyPortMapping", V2),
    ):
        rig = Rig()
        rig.allows = False
        connection = rig.connect()
        assert rig.send(rig.post(action, mapping(), service), connection) == b""
        rig.deny(reason)
        with pytest.raises(Fault, match=str(code)):
            rig.read(action, connection.take_output())
        assert rig.held() == []


def test_request_waits_for_the_user_and_is_answered(rig: Rig) -> None:
    rig.allows = False
    connection = rig.connect()
    assert rig.send(rig.post("AddPortMapping", mapping()), connection) == b""
    rig.now += HOLD_TIME / 2
    rig.server.handle_timer(rig.now)
    rig.server.take_ready()
    rig.table.grant(Key(Transport.TCP, 8080), 80, 600, rig.now)
    rig.turn()
    assert rig.server.take_ready() == [connection]
    assert rig.read("AddPortMapping", connection.take_output()) == {}


def test_request_that_waited_long_fails_and_its_retry_is_granted(rig: Rig) -> None:
    rig.allows = False
    connection = rig.connect()
    rig.send(rig.post("AddPortMapping", mapping()), connection)
    assert rig.server.get_timer() == rig.now + HOLD_TIME
    rig.now += HOLD_TIME
    rig.server.handle_timer(rig.now)
    assert connection in rig.server.take_ready()
    with pytest.raises(Fault, match="501"):
        rig.read("AddPortMapping", connection.take_output())
    retry = rig.connect()
    rig.send(rig.post("AddPortMapping", mapping()), retry)
    assert len(rig.asked) == 1
    rig.table.grant(Key(Transport.TCP, 8080), 80, 600, rig.now)
    rig.turn()
    assert rig.read("AddPortMapping", retry.take_output()) == {}
    assert rig.call("AddPortMapping", mapping()) == {}


def test_connection_that_went_away_while_waiting_is_forgotten(rig: Rig) -> None:
    rig.allows = False
    connection = rig.connect()
    rig.send(rig.post("AddPortMapping", mapping()), connection)
    connection.lose()
    assert rig.server.get_timer() is None
    rig.table.grant(Key(Transport.TCP, 8080), 80, 600, rig.now)
    rig.turn()
    assert rig.server.take_ready() == []


def test_answer_for_one_port_leaves_others_waiting(rig: Rig) -> None:
    rig.allows = False
    first, second = rig.connect(), rig.connect()
    rig.send(rig.post("AddPortMapping", mapping(80, 80)), first)
    rig.send(rig.post("AddPortMapping", mapping(81, 81)), second)
    rig.deny(Reason.DENIED)
    assert first.take_output() == b""
    assert second.take_output() != b""
