# SPDX-License-Identifier: GPL-2.0-or-later
from qubesforward.agent.nft_backend import count_by_entry
from qubesforward.agent.report import compose_report, find_reachable, is_listening
from qubesforward.agent.sockets import parse_waiting
from qubesforward.nft.elements_wire import Counter, Element
from qubesforward.nft.forwards import encode_mark, mark_of
from tests.nft.entries import entry

A, B, C = "0000000a", "0000000b", "0000000c"

# As /proc/net/tcp and /proc/net/tcp6 of a little-endian machine show them.
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 00000000:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   2: 0500890A:1388 0200A8C0:9C40 01 00000000:00000000 00:00000000 00000000     0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A
   1: 00000000000000000000000001000000:0051 00000000000000000000000000000000:0000 0A
   2: 000000FD000000000000000005000000:0052 00000000000000000000000000000000:0000 0A
"""


def test_only_sockets_that_wait_for_others_count() -> None:
    assert set(find_reachable(parse_waiting(TCP, "tcp"))) == {("tcp", 4, 8443)}


def test_a_socket_for_all_of_ipv6_takes_ipv4_too() -> None:
    assert set(find_reachable(parse_waiting(TCP6, "tcp"))) == {
        ("tcp", 6, 80),
        ("tcp", 4, 80),
        ("tcp", 6, 82),
    }


def test_listening_is_by_protocol_family_and_any_port_of_the_range() -> None:
    sockets = frozenset({("tcp", 4, 8443)})
    assert is_listening(entry("in=self ports=8000-9000"), sockets)
    assert not is_listening(entry("in=self ports=8000-8442"), sockets)
    assert not is_listening(entry("in=self ports=8443 proto=udp"), sockets)
    assert not is_listening(entry("in=self ports=8443 src=::/0"), sockets)


def test_each_entry_gets_a_line_with_what_passed_by_it() -> None:
    entries = {
        A: entry(""),
        B: entry("in=self ports=8443"),
        C: entry("in=self ports=80-90 src=10.0.0.0/8"),
    }
    counted = [
        Element("live", encode_mark(mark_of(A)), counter=Counter(3, 180)),
        Element("self4", b"\x06\0\0\0\x20\xfb\0\0", counter=Counter(1, 60)),
    ]
    lines = list(
        compose_report(
            entries, count_by_entry(entries, counted), frozenset({("tcp", 4, 8443)})
        )
    )
    assert lines == [f"{A} 3 180", f"{B} 1 60 listening", f"{C} 0 0 silent"]


def test_doors_of_a_hop_have_lines_too() -> None:
    entries = {
        A: entry("in=serve proto=udp ports=5351 src=10.137.0.5/32"),
        B: entry("in=serve ports=49000 src=fd09::5/128"),
        C: entry("in=answer proto=udp ports=1900 src=10.137.0.1/32"),
    }
    key = b"\x11\0\0\0\x14\xe7\0\0\x0a\x89\0\x05"
    counted = [Element("serve4", key, counter=Counter(2, 80))]
    lines = list(
        compose_report(
            entries, count_by_entry(entries, counted), frozenset({("udp", 4, 5351)})
        )
    )
    # Answers are for whoever asked: no port is waited at.
    assert lines == [f"{A} 2 80 listening", f"{B} 0 0 silent", f"{C} 0 0"]
