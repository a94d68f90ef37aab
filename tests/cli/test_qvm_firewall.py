# SPDX-License-Identifier: GPL-2.0-or-later
"""qvm-firewall, from the command line to the socket."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest

from qubesforward.cli import qvm_firewall
from qubesforward.qubes.admin import AdminClient
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon

HTTPS = "action=forward forwardtype=external proto=tcp srcports=443-443"
DEFAULT = ["action=accept"]


def lines_of(text: str) -> list[str]:
    return text.splitlines()


# What the stock tool does.


def test_lists_as_the_stock_tool_does(firewall: Run, daemon: FakeDaemon) -> None:
    daemon.outbound["work"] = [
        "action=accept dsthost=qubes-os.org proto=tcp dstports=443-443",
        "action=drop proto=icmp icmptype=8",
        "action=accept specialtarget=dns comment=Allow DNS",
    ]
    expected = [
        "NO  ACTION  HOST          PROTOCOL  PORT(S)  SPECIAL TARGET  ICMP TYPE"
        "  EXPIRE  COMMENT",
        "0   accept  qubes-os.org  tcp       443      -               -        "
        "  -       -",
        "1   drop    -             icmp      -        -               8        "
        "  -       -",
        "2   accept  -             -         -        dns             -        "
        "  -       Allow DNS",
    ]
    for argv in (["work"], ["work", "list"], ["-v", "-q", "work", "list"]):
        ran = firewall(*argv)
        assert (ran.status, lines_of(ran.out), ran.err) == (0, expected, "")


def test_shows_the_time_left_as_the_stock_tool_does(
    firewall: Run, daemon: FakeDaemon
) -> None:
    daemon.outbound["work"] = [f"action=accept expire={int(time.time()) + 3600}"]
    shown = re.search(r"\+(\d+)s", firewall("work").out)
    assert shown
    assert 3590 < int(shown[1]) <= 3600


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (
            "accept 192.168.0.0/24 comment=Allow_LAN",
            "action=accept dst4=192.168.0.0/24 comment=Allow_LAN",
        ),
        (
            "accept 127.0.0.1 tcp 80",
            "action=accept dst4=127.0.0.1/32 proto=tcp dstports=80-80",
        ),
        (
            "accept 127.0.0.1 icmp 8",
            "action=accept dst4=127.0.0.1/32 proto=icmp icmptype=8",
        ),
        (
            "dsthost=127.0.0.1 accept dstports=443 tcp",
            "action=accept dst4=127.0.0.1/32 proto=tcp dstports=443-443",
        ),
        ("dst6=fd00::/8 action=drop", "action=drop dst6=fd00::/8"),
        ("dst4=127.0.0.1 accept", "action=accept dst4=127.0.0.1/32"),
        ("drop www.example.com", "action=drop dsthost=www.example.com"),
        ("accept specialtarget=dns", "action=accept specialtarget=dns"),
        (
            "action=accept expire=1990000000 dsthost=127.0.0.1",
            "action=accept expire=1990000000 dst4=127.0.0.1/32",
        ),
        (
            "drop proto=udp dstports=1200-1400",
            "action=drop proto=udp dstports=1200-1400",
        ),
    ],
)
def test_adds_every_form_of_the_stock_tool(
    firewall: Run, daemon: FakeDaemon, argv: str, wanted: str
) -> None:
    ran = firewall("work", "add", *argv.split())
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert daemon.outbound["work"] == [*DEFAULT, wanted]


def test_adds_with_a_time_from_now(firewall: Run, daemon: FakeDaemon) -> None:
    firewall("work", "add", "accept", "expire=+100")
    end = int(daemon.outbound["work"][1].partition("expire=")[2])
    assert 95 < end - time.time() <= 100


@pytest.mark.parametrize(
    "argv",
    [
        ["work", "add", "--before", "0", "drop", "10.0.0.0/8"],
        ["work", "add", "drop", "--before", "0", "10.0.0.0/8"],
        ["work", "add", "drop", "10.0.0.0/8", "--before=0"],
        ["--before", "0", "work", "add", "drop", "10.0.0.0/8"],
        ["work", "--bef", "0", "add", "action=drop", "dst4=10.0.0.0/8"],
    ],
)
def test_adds_before_a_rule_wherever_the_option_stands(
    firewall: Run, daemon: FakeDaemon, argv: list[str]
) -> None:
    assert firewall(*argv).status == 0
    assert daemon.outbound["work"] == ["action=drop dst4=10.0.0.0/8", *DEFAULT]


def test_removes_by_number_and_by_rule(firewall: Run, daemon: FakeDaemon) -> None:
    rules = ["action=accept dsthost=qubes-os.org", "action=drop proto=icmp"]
    for argv in (["--rule-no", "1"], ["drop", "proto=icmp"], ["--rule-no=-1"]):
        daemon.outbound["work"] = list(rules)
        assert firewall("work", "del", *argv).status == 0
        assert daemon.outbound["work"] == rules[:1]


def test_raw_and_reload_wherever_they_stand(firewall: Run, daemon: FakeDaemon) -> None:
    for argv in (
        ["work", "--raw", "--reload", "list"],
        ["-r", "--raw", "work"],
        ["work", "list", "--raw", "-r"],
    ):
        daemon.calls.clear()
        assert firewall(*argv).out == "action=accept\n"
        assert ("admin.vm.firewall.Reload+", "work") in daemon.calls


def test_the_list_was_that_from_before_the_reload(
    firewall: Run, daemon: FakeDaemon
) -> None:
    firewall("work", "--reload")
    calls = [call.partition("+")[0] for call, _ in daemon.calls]
    last_reload = len(calls) - calls[::-1].index("admin.vm.firewall.Reload")
    assert "admin.vm.firewall.Get" not in calls[:last_reload]


def test_finds_a_qube_by_pattern_if_only_one_fits(firewall: Run) -> None:
    assert "accept" in firewall("w*").out
    ran = firewall("sys-*")
    assert (ran.status, "fits 2 qubes" in ran.err) == (2, True)


def test_resets_the_outbound_rules(firewall: Run, daemon: FakeDaemon) -> None:
    daemon.outbound["work"] = ["action=drop"]
    ran = firewall("work", "reset")
    assert (ran.status, ran.out) == (0, "")
    assert daemon.outbound["work"] == DEFAULT


# What it does beyond that.


def test_the_examples_of_the_proposal(firewall: Run, daemon: FakeDaemon) -> None:
    external = (
        "action=forward proto=tcp forwardtype=external srcports=443-443"
        " dstports=8443-8443 srchost=0.0.0.0/0 expire=+500000"
    )
    comment = "comment=example https server rule"
    internal = (
        "action=forward proto=tcp forwardtype=internal srcports=80-80"
        " dstports=8000-8000 srchost=10.137.0.0/16 expire=+500000"
    )
    assert firewall("work", "add", *external.split(), comment).status == 0
    assert firewall("work", "add", *internal.split()).status == 0
    raw = lines_of(firewall("work", "--raw").out)
    assert len(raw) == 3
    assert raw[1].startswith("action=forward forwardtype=external proto=tcp src4=0.0")
    assert raw[1].endswith(comment)
    assert "srcports=80-80 dstports=8000-8000" in raw[2]
    ran = firewall("work", "add", *internal.replace("8000", "80443").split())
    assert ran.status == 2
    assert ran.err == "qvm-firewall: dstports=80443-80443: ports are 1-65535\n"
    assert daemon.outbound["work"] == DEFAULT


def test_forwards_follow_outbound_rules_in_one_numbering(
    firewall: Run, daemon: FakeDaemon
) -> None:
    daemon.outbound["work"] = ["action=accept dst4=10.0.0.0/8", "action=drop"]
    firewall("work", "add", "forward", "external", "tcp", "443", "8443", "10.0.0.0/8")
    firewall("work", "add", "forward", "internal", "udp", "53", "comment=for the lab")
    table = lines_of(firewall("work").out)
    assert table[3] == ""
    assert table[4:] == [
        "NO  FORWARD TYPE  PROTOCOL  OUTER  INNER  FROM        STATE   EXPIRE  COMMENT",
        "2   external      tcp       443    8443   10.0.0.0/8  active  -       -",
        "3   internal      udp       53     53     any qube    active  -       for the"
        " lab",
    ]
    assert firewall("work", "del", "--rule-no", "2").status == 0
    assert [rule.srcports.first for rule in daemon.forwards["work"]] == [53]
    assert len(daemon.outbound["work"]) == 2
    assert firewall("work", "del", "--rule-no", "0").status == 0
    assert daemon.outbound["work"] == ["action=drop"]
    ran = firewall("work", "del", "--rule-no", "9")
    assert (ran.status, ran.err) == (1, "qvm-firewall: work has no rule 9\n")
    assert firewall("work", "del", "--rule-no", "-9").status == 1


def test_shows_options_only_where_some_rule_has_them(
    firewall: Run, daemon: FakeDaemon
) -> None:
    firewall("work", "add", *HTTPS.split())
    assert "OPTIONS" not in firewall("work").out
    firewall(
        "work",
        "add",
        "forward",
        "external",
        "tcp",
        "444",
        *"reach=internet bypass=yes disposables=yes".split(),
    )
    assert "internet,bypass,disposables" in firewall("work").out


def test_a_forward_of_the_template_has_no_number(
    firewall: Run, daemon: FakeDaemon
) -> None:
    firewall("personal", "add", *HTTPS.split(), "disposables=yes")
    daemon.make_instance("work", "personal")
    rows = lines_of(firewall("work").out)
    assert "-   external" in [row[:12] for row in rows]
    assert firewall("work", "del", "--rule-no", "1").status == 1


def test_says_below_the_table_why_a_forward_is_not_active(
    firewall: Run, daemon: FakeDaemon
) -> None:
    daemon.hops["sys-firewall"].refuses = "would bypass tunnel tun0"
    daemon.unreadable["work"] = ["proto=sctp: not one of tcp, udp, icmp"]
    firewall("work", "add", *HTTPS.split())
    assert lines_of(firewall("work").out)[-2:] == [
        "work 443/tcp: refused (sys-firewall: would bypass tunnel tun0)",
        "work: a rule cannot be read and is not applied: proto=sctp: not one of tcp,"
        " udp, icmp",
    ]


def test_says_why_a_block_of_udp_ports_is_not_open(
    firewall: Run, daemon: FakeDaemon
) -> None:
    daemon.cones["work"] = "portmap-cone=1-2: not with outbound rules"
    assert lines_of(firewall("work").out)[-1] == (
        "work: its block of UDP ports is not open: portmap-cone=1-2: not with outbound"
        " rules"
    )


def test_removes_a_forward_by_what_it_says(firewall: Run, daemon: FakeDaemon) -> None:
    firewall("work", "add", *HTTPS.split(), "expire=+500", "comment=mine")
    assert firewall("work", "del", "forward", "external", "udp", "443").status == 1
    assert firewall("work", "del", "forward", "external", "tcp", "443").status == 0
    assert daemon.forwards["work"] == []


def test_a_conflict_is_refused_unless_forced(firewall: Run, daemon: FakeDaemon) -> None:
    firewall("work", "add", *HTTPS.split())
    ran = firewall("personal", "add", *HTTPS.split())
    assert ran.status == 1
    assert ran.err.startswith("qvm-firewall: work has port 443 of sys-net already")
    assert firewall("personal", "add", "--force", *HTTPS.split()).status == 0
    assert "conflict" in firewall("personal").out


def test_reset_leaves_forwards_and_says_so(firewall: Run, daemon: FakeDaemon) -> None:
    firewall("work", "add", *HTTPS.split())
    assert firewall("work", "reset").out == (
        "The outbound rules of work accept everything again. Its 1 forward stay as"
        " they are; to close them: qvm-forward work --close-all\n"
    )
    assert len(daemon.forwards["work"]) == 1
    assert firewall("work", "reset", "-q").out == ""


def test_status_shows_every_hop(firewall: Run, daemon: FakeDaemon) -> None:
    daemon.hops["sys-net"].dead = True
    daemon.listening = {443}
    firewall("work", "add", *HTTPS.split(), "srchost=10.0.0.0/8")
    ran = firewall("work", "status")
    rows = lines_of(ran.out)
    assert "not open yet (sys-net: its agent has not answered yet)" in rows[0]
    assert rows[2:6] == [
        "QUBE          IN FROM  PROTOCOL  PORTS  SOURCE      SENDS ON TO       STATE  "
        "  PACKETS",
        "sys-net       outside  tcp       443    10.0.0.0/8  10.137.0.6:443    pending"
        "  0",
        "sys-firewall  uplink   tcp       443    10.0.0.0/8  10.137.0.20:443   active "
        "  0",
        "work          netvm    tcp       443    10.0.0.0/8  its own programs  active "
        "  0",
    ]
    assert "sys-net       silent  192.168.1.10  -" in rows
    assert firewall("personal", "status").out == "Nothing is forwarded to personal.\n"


def test_confirms_the_forwards_of_a_copy(firewall: Run, daemon: FakeDaemon) -> None:
    firewall("work", "add", *HTTPS.split())
    daemon.unconfirmed.add("work")
    assert "unconfirmed" in firewall("work").out
    assert firewall("work", "confirm").out == "1 forward of work confirmed.\n"
    assert "active" in firewall("work").out


def test_without_our_daemon_outbound_rules_can_be_seen_and_changed(
    without_daemon: tuple[Run, Run], daemon: FakeDaemon
) -> None:
    firewall, _forward = without_daemon
    ran = firewall("work")
    assert (ran.status, "accept" in ran.out) == (0, True)
    assert ran.err.startswith("qvm-firewall: port forwards are not shown: ")
    assert ran.err.count("\n") == 1
    assert firewall("work", "-q").err == ""
    assert firewall("work", "add", "drop").status == 0
    assert firewall("work", "del", "--rule-no", "0").status == 0
    assert daemon.outbound["work"] == ["action=drop"]
    assert firewall("work", "reset").status == 0
    assert firewall("work", "add", *HTTPS.split()).status == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nosuch"], "no such qube: 'nosuch'"),
        (["no such"], "'no such': not a name that a qube can have"),
        (["work", "bogus"], "'bogus': no such command"),
        (["work", "list", "accept"], "list: takes no rule"),
        (["work", "add"], "no rule given"),
        (["work", "add", "accept", "bogus=1"], "'bogus': not an element of a rule"),
        (["work", "add", "comment=a=b", "accept"], "comment: '=' cannot be used"),
        (["work", "add", "--before", "1", *HTTPS.split()], "forwards have no order"),
        (["work", "del"], "give --rule-no N, or the rule"),
        (["work", "--rule-no", "x", "del"], "argument --rule-no: invalid int"),
        ([], "the following arguments are required: VMNAME"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_two(
    firewall: Run, daemon: FakeDaemon, argv: list[str], message: str
) -> None:
    ran = firewall(*argv)
    assert ran.status == 2
    assert ran.err.startswith("qvm-firewall: ")
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert daemon.outbound["work"] == DEFAULT


def test_parallel_adds_lose_nothing(
    client: AdminClient, daemon: FakeDaemon, tmp_path: Path
) -> None:
    def add(number: int) -> None:
        argv = ["work", "add", "accept", f"10.0.0.{number}"]
        assert qvm_firewall.main(argv, client, str(tmp_path)) == 0

    threads = [threading.Thread(target=add, args=(n,)) for n in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(daemon.outbound["work"])) == 101


def test_what_is_not_understood_is_kept_and_shown(
    firewall: Run, daemon: FakeDaemon
) -> None:
    daemon.outbound["work"] = ["action=accept newelement=1", "action=drop"]
    rows = lines_of(firewall("work").out)
    assert rows[1].split() == ["0", "?", *"------", "action=accept", "newelement=1"]
