# SPDX-License-Identifier: GPL-2.0-or-later
from typing import Any

import pytest

from qubesforward.errors import InvalidRule
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import (
    REBOOT,
    Action,
    ForwardRule,
    ForwardType,
    OutboundRule,
    Proto,
)

EXTERNAL = ForwardType.EXTERNAL
HTTPS = PortRange(443, 443)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dstports": (80, 80)}, "dstports=80-80: needs proto=tcp or proto=udp"),
        ({"dstports": (80, 80), "proto": Proto.ICMP}, "needs proto=tcp or proto=udp"),
        ({"dstports": (81, 80), "proto": Proto.TCP}, "the first port is above"),
        ({"icmptype": 8}, "icmptype=8: needs proto=icmp"),
        ({"icmptype": 8, "proto": Proto.TCP}, "icmptype=8: needs proto=icmp"),
        ({"specialtarget": "ntp"}, "specialtarget='ntp': not one of dns"),
        ({"comment": "two\nlines"}, r"comment: '\n' cannot be used"),
    ],
)
def test_outbound_rule_holds_together(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        OutboundRule(Action.ACCEPT, **values)
    assert message in str(caught.value)


def test_outbound_rule_does_not_forward() -> None:
    with pytest.raises(InvalidRule, match="accepts or drops"):
        OutboundRule(Action.FORWARD)


def test_forward_maps_ports_one_to_one_or_to_one() -> None:
    outer = PortRange(5000, 5010)
    ForwardRule(EXTERNAL, outer, dstports=PortRange(6000, 6010))
    ForwardRule(EXTERNAL, outer, dstports=PortRange(6000, 6000))
    for wrong in (PortRange(6000, 6009), PortRange(6000, 6011)):
        with pytest.raises(InvalidRule, match="do not fit 11 outer ports"):
            ForwardRule(EXTERNAL, outer, dstports=wrong)
    with pytest.raises(InvalidRule, match="do not fit 1 outer ports"):
        ForwardRule(EXTERNAL, HTTPS, dstports=PortRange(1, 2))


def test_forward_takes_protocols_with_ports() -> None:
    assert ForwardRule(EXTERNAL, HTTPS).protos == (Proto.TCP, Proto.UDP)
    assert ForwardRule(EXTERNAL, HTTPS, proto=Proto.UDP).protos == (Proto.UDP,)
    with pytest.raises(InvalidRule, match="proto=icmp: a forward takes tcp or udp"):
        ForwardRule(EXTERNAL, HTTPS, proto=Proto.ICMP)


def test_comment_cannot_smuggle_a_second_rule() -> None:
    with pytest.raises(InvalidRule, match="comment"):
        ForwardRule(EXTERNAL, HTTPS, comment="x\naction=accept")
    with pytest.raises(InvalidRule, match="boot-id"):
        ForwardRule(EXTERNAL, HTTPS, boot_id="</property>")


def test_age_and_boot_take_no_part_in_comparing() -> None:
    one = ForwardRule(EXTERNAL, HTTPS, created=1, boot_id="a")
    other = ForwardRule(EXTERNAL, HTTPS, created=2, boot_id="b")
    assert one == other
    assert hash(one) == hash(other)


def test_rules_end_at_their_second() -> None:
    timed = ForwardRule(EXTERNAL, HTTPS, expire=100)
    assert not timed.has_ended(99.9, "now")
    assert timed.has_ended(100, "now")
    assert not ForwardRule(EXTERNAL, HTTPS).has_ended(1e12, "now")
    assert not OutboundRule(Action.DROP, expire=100).has_ended(99.9)
    assert OutboundRule(Action.DROP, expire=100).has_ended(100)
    assert not OutboundRule(Action.DROP).has_ended(1e12)


def test_rules_end_with_their_boot() -> None:
    rule = ForwardRule(EXTERNAL, HTTPS, expire=REBOOT, boot_id="one")
    assert not rule.has_ended(1e12, "one")
    assert rule.has_ended(0, "two")
