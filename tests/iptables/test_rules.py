# SPDX-License-Identifier: GPL-2.0-or-later
from ipaddress import ip_address

from qubesforward.iptables.outbound import chain_of
from qubesforward.iptables.rules import before, is_our_chain, to_socket
from qubesforward.model.ports import PortRange

ONE, OUTER, INNER = PortRange(443, 443), PortRange(7000, 7009), PortRange(9000, 9009)
FOUR, SIX = ip_address("10.137.0.5"), ip_address("fd00::5")


def test_an_end_is_the_last_second_that_matches() -> None:
    assert before(1790000000) == "-m time --datestop 2026-09-21T14:13:19"
    assert before(None) == ""


def test_an_end_that_the_kernel_cannot_count_is_left_to_the_agent() -> None:
    assert before(2**31) == "-m time --datestop 2038-01-19T03:14:07"
    assert before(2**31 + 1) == ""


def test_ranges_keep_their_offset() -> None:
    assert to_socket(FOUR, INNER, OUTER).endswith(" 10.137.0.5:9000-9009/7000")
    assert to_socket(SIX, INNER, OUTER).endswith(" [fd00::5]:9000-9009/7000")


def test_equal_ports_are_not_translated_and_one_takes_all() -> None:
    assert to_socket(SIX, OUTER, OUTER).endswith(" fd00::5")
    assert to_socket(SIX, ONE, OUTER).endswith(" [fd00::5]:443")


def test_every_source_has_a_chain_of_its_own_with_a_name_that_is_taken() -> None:
    highest = [ip_address("255.255.255.255"), ip_address("ff" * 2 + ":ffff" * 7)]
    names = [chain_of(one) for one in (FOUR, SIX, *highest)]
    assert len(set(names)) == 4
    # XT_EXTENSION_MAXNAMELEN is 29, with the byte that ends it.
    assert max(map(len, names)) <= 28
    assert all(map(is_our_chain, names))
    assert not is_our_chain("QBS-FORWARD")
