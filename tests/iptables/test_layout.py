# SPDX-License-Identifier: GPL-2.0-or-later
from qubesforward.iptables.layout import STOCK_OUTBOUND, Place, plan_chains
from qubesforward.iptables.rules import PREFIX
from qubesforward.model.entry import Entry
from tests.nft.entries import entry

A, B = "1000000a", "1000000b"
INNER = Place(uplink="eth0", tunnels=("tun0",))


def chain(
    table: str, name: str, entries: dict[str, Entry], place: Place = INNER
) -> list[str]:
    chains = plan_chains(4, place, entries)
    return [rule.text for rule in chains[table][f"{PREFIX}{name}"]]


def test_a_forward_is_a_mark_a_translation_and_a_pass() -> None:
    text = "in=uplink ports=443 src=192.168.1.0/24 toports=8443 until=1790000000"
    entries = {A: entry(text)}
    until = "-m time --datestop 2026-09-21T14:13:19"
    assert chain("nat", "UPLINK", entries) == [
        f"-s 192.168.1.0/24 -p tcp -m tcp --dport 443 {until}"
        " -j CONNMARK --set-xmark 0xb000000a/0xffffffff",
        "-p tcp -m connmark --mark 0xb000000a/0xffffffff"
        " -j DNAT --to-destination 10.137.0.5:8443",
    ]
    assert chain("filter", "PASSING", entries) == [
        f"-m connmark --mark 0xb000000a/0xffffffff {until}"
        f' -m comment --comment "qubes-forward:{A}" -g QBS-FWD-LIVE',
        "-j DROP",
    ]


def test_only_what_is_for_the_qube_itself_is_looked_at_and_by_its_entrance() -> None:
    assert chain("nat", "PREROUTING", {}) == [
        "-i lo -j RETURN",
        "-m addrtype ! --dst-type LOCAL -j RETURN",
        "-i vif+ -g QBS-FWD-LOCAL",
        "-i eth0 -g QBS-FWD-UPLINK",
        "-i tun0 -g QBS-FWD-LOCAL",
    ]
    assert chain("nat", "PREROUTING", {}, Place())[-1] == "-g QBS-FWD-EXTERNAL"


def test_a_door_counts_both_ways() -> None:
    entries = {A: entry("in=self ports=80-90 src=10.0.0.0/8")}
    comment = f'-m comment --comment "qubes-forward:{A}"'
    assert chain("filter", "DOORS", entries) == [
        f"-p tcp -m tcp --dport 80:90 -s 10.0.0.0/8 {comment} -g QBS-FWD-ADMIT"
    ]
    assert chain("filter", "ANSWERS", entries) == [
        f"-p tcp -m tcp --sport 80:90 -d 10.0.0.0/8 {comment} -j ACCEPT",
        "-j DROP",
    ]


def test_entries_of_the_other_family_are_left_out() -> None:
    entries = {A: entry("src=::/0"), B: entry("in=self src=::/0")}
    assert plan_chains(4, INNER, entries) == plan_chains(4, INNER, {})


def test_a_mapping_holds_in_both_directions() -> None:
    entries = {A: entry("proto=udp ports=5000 toports=600 mapped=yes")}
    assert chain("nat", "OUTWARD", entries) == [
        "-s 10.137.0.5 -p udp -m udp --sport 600 -j MASQUERADE --to-ports 5000",
        "-p udp -m udp --sport 5000 -j MASQUERADE --to-ports 1024-65535 --random",
    ]


def test_outbound_rules_are_asked_by_whoever_has_them() -> None:
    begins = "-i vif+ -m conntrack --ctstate NEW"
    accept = "-m conntrack --ctstate DNAT -j ACCEPT"
    assert chain("filter", "LIVE", {}) == [f"{begins} -j QBS-FWD-OUTBOUND", accept]
    stock = Place(judge=STOCK_OUTBOUND)
    # Whom stock's chains do not know must not get through.
    assert chain("filter", "LIVE", {}, stock) == [
        f"{begins} -j QBS-FORWARD",
        f"{begins} -j DROP",
        accept,
    ]
    assert chain("filter", "LIVE", {}, Place(judge="")) == [accept]


def test_stocks_rules_accepted_a_neighbour_that_aims_at_the_inner_end() -> None:
    entries = {A: entry("proto=udp ports=5000 toports=600"), B: entry("in=self")}
    assert chain("filter", "FORWARD", entries, Place(judge=STOCK_OUTBOUND))[3:] == [
        "-i vif+ -m conntrack --ctstate NEW -d 10.137.0.5 -p udp -m udp --dport 600"
        " -m conntrack ! --ctstate DNAT -j DROP"
    ]
    # Qubes' own rules do that everywhere else.
    assert len(chain("filter", "FORWARD", entries, Place(judge=""))) == 3
