# SPDX-License-Identifier: GPL-2.0-or-later
"""qvm-forward, from the command line to the socket."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qubesforward.cli import qvm_forward
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import ForwardRule, ForwardType
from qubesforward.qubes.admin import AdminClient
from tests.cli.conftest import Run, stored
from tests.cli.fake_daemon import FakeDaemon


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        ("443", ["forwardtype=external proto=tcp srcports=443-443"]),
        (
            "443:8443/udp",
            ["forwardtype=external proto=udp srcports=443-443 dstports=8443-8443"],
        ),
        ("53/both", ["forwardtype=external srcports=53-53"]),
        (
            "8000-8010:9000-9010 --internal",
            ["forwardtype=internal proto=tcp srcports=8000-8010" " dstports=9000-9010"],
        ),
        (
            "8000-8010:80",
            ["forwardtype=external proto=tcp srcports=8000-8010 dstports=80-80"],
        ),
        (
            "1 2 --from 10.0.0.0/8 --from fd00::/8 --comment hello",
            [
                "forwardtype=external proto=tcp src4=10.0.0.0/8 srcports=1-1"
                " comment=hello",
                "forwardtype=external proto=tcp src6=fd00::/8 srcports=1-1"
                " comment=hello",
                "forwardtype=external proto=tcp src4=10.0.0.0/8 srcports=2-2"
                " comment=hello",
                "forwardtype=external proto=tcp src6=fd00::/8 srcports=2-2"
                " comment=hello",
            ],
        ),
        (
            "443 --until-reboot --reach internet --bypass-tunnel --disposables",
            [
                "forwardtype=external proto=tcp srcports=443-443 expire=reboot"
                " reach=internet bypass=yes disposables=yes"
            ],
        ),
    ],
)
def test_opens_what_is_asked_for(
    forward: Run, daemon: FakeDaemon, argv: str, wanted: list[str]
) -> None:
    assert forward("work", *argv.split()).status == 0
    assert stored(daemon) == [f"action=forward {line}" for line in wanted]


def test_options_may_stand_anywhere(forward: Run, daemon: FakeDaemon) -> None:
    for argv in (
        "--from 10.0.0.0/8 work 443",
        "work --from 10.0.0.0/8 443",
        "work 443 --from 10.0.0.0/8",
    ):
        daemon.forwards.clear()
        forward(*argv.split())
        assert len(stored(daemon)) == 1


def test_opens_for_a_time(forward: Run, daemon: FakeDaemon) -> None:
    for argv in (["--for", "2h"], ["--until", str(int(time.time()) + 7200)]):
        ran = forward("work", "443", *argv)
        end = int(stored(daemon)[0].partition("expire=")[2])
        assert 7190 < end - time.time() <= 7200
        assert re.search(r", until \S+.* \((2 h|1 h 59 min) from now\)\.$", ran.out)
        assert len(stored(daemon)) == 1


def test_says_who_reaches_what_and_warns(forward: Run, daemon: FakeDaemon) -> None:
    ran = forward("work", "443:8443")
    assert ran.out == (
        "Any host on the networks of sys-net can now reach tcp port 8443 of work at"
        " 192.168.1.10:443, until you close it.\n"
    )
    assert ran.err == (
        "Warning: every host on the networks of sys-net may connect; --from"
        " ADDRESS-OR-CIDR limits that.\n"
        "Warning: nothing listens on tcp port 8443 of work yet.\n"
    )
    daemon.listening = {8444}
    ran = forward("work", "444:8444", "--from", "10.0.0.7", "--from", "10.0.0.8")
    assert ran.out.startswith("The hosts 10.0.0.7 and 10.0.0.8 can now reach")
    assert ran.out.count("\n") == 1
    assert ran.err == ""


def test_waits_for_the_hops_and_no_longer(forward: Run, daemon: FakeDaemon) -> None:
    daemon.hops["sys-net"].polls = 4
    before = time.monotonic()
    assert "can now reach" in forward("work", "443").out
    assert time.monotonic() - before < 1


def test_says_which_hop_is_missing(forward: Run, daemon: FakeDaemon) -> None:
    daemon.hops["sys-firewall"].dead = True
    before = time.monotonic()
    ran = forward("work", "443")
    assert 1.9 < time.monotonic() - before < 4
    assert ran.status == 0
    assert ran.out.startswith(
        "Port 443/tcp of sys-net is not open yet (sys-firewall: its agent has not"
        " answered yet). As soon as that changes, any host on"
    )


def test_does_not_wait_for_a_halted_hop(forward: Run, daemon: FakeDaemon) -> None:
    daemon.halt("sys-net")
    before = time.monotonic()
    ran = forward("work", "443")
    assert time.monotonic() - before < 1
    assert (ran.status, "(sys-net is halted)" in ran.out) == (0, True)


def test_a_refusal_is_said_and_is_a_failure(forward: Run, daemon: FakeDaemon) -> None:
    daemon.hops["sys-net"].refuses = "would bypass tunnel tun0"
    ran = forward("work", "443")
    assert ran.status == 1
    assert ran.out == (
        "Port 443/tcp of sys-net is not open for work (sys-net: would bypass tunnel"
        " tun0).\n"
    )
    ran = forward("vault", "443")
    assert (ran.status, "vault has no netvm" in ran.out) == (1, True)
    assert "to take it back: qvm-forward vault --close 443/tcp" in ran.err


def test_a_conflict_is_refused_unless_forced(forward: Run, daemon: FakeDaemon) -> None:
    forward("work", "443")
    ran = forward("personal", "443")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("qvm-forward: work has port 443 of sys-net already")
    assert stored(daemon, "personal") == []
    ran = forward("personal", "443", "--force")
    assert ran.status == 0
    assert "is not open for personal (work has port 443" in ran.out


def test_dry_run_shows_the_path_and_changes_nothing(
    forward: Run, daemon: FakeDaemon
) -> None:
    ran = forward("work", "443:8443", "--from", "10.0.0.0/8", "--dry-run")
    assert ran.status == 0
    assert ran.out.splitlines() == [
        "Nothing is changed. With this forward:",
        "Hosts in 10.0.0.0/8 can reach tcp port 8443 of work at 192.168.1.10:443,"
        " until you close it.",
        "",
        "QUBE          IN FROM  PROTOCOL  PORTS  SOURCE      SENDS ON TO",
        "sys-net       outside  tcp       443    10.0.0.0/8  10.137.0.6:443",
        "sys-firewall  uplink   tcp       443    10.0.0.0/8  10.137.0.20:8443",
        "work          netvm    tcp       8443   10.0.0.0/8  its own programs",
        "",
    ]
    assert daemon.forwards == {}
    assert not any("Add" in method for method, _dest in daemon.calls)
    assert forward("vault", "443", "--dry-run").status == 1
    forward("work", "443")
    assert forward("personal", "443", "--dry-run").status == 1
    plan = json.loads(forward("work", "80", "--dry-run", "--json").out)
    assert plan["forwards"][0]["state"] == "active"


def test_quiet_says_nothing_and_does_not_wait(forward: Run, daemon: FakeDaemon) -> None:
    daemon.hops["sys-net"].dead = True
    before = time.monotonic()
    ran = forward("work", "443", "-q")
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert time.monotonic() - before < 1


def test_tells_in_words_what_is_forwarded_to_a_qube(
    forward: Run, daemon: FakeDaemon
) -> None:
    assert forward("work").out == "Nothing is forwarded to work.\n"
    daemon.traffic = (12, 3400)
    forward("work", "443:8443", "--from", "10.0.0.7", "--from", "10.0.0.8")
    forward("work", "80", "--internal", "--comment", "for the lab")
    assert forward("work").out.splitlines() == [
        "443:8443/tcp  external  active",
        "  The hosts 10.0.0.7 and 10.0.0.8 can reach tcp port 8443 of work at"
        " 192.168.1.10:443, until you close it. But nothing listens on tcp port 8443"
        " of work yet. So far 24 packets (6.8 kB) have passed.",
        "80/tcp  internal  active",
        "  Any qube behind sys-firewall can reach tcp port 80 of work at 10.137.0.6:80"
        " or [fd09::6]:80, until you close it. But nothing listens on tcp port 80 of"
        " work yet. So far 12 packets (3.4 kB) have passed. Comment: for the lab",
    ]


def test_lists_all_exposures_of_the_computer(forward: Run, daemon: FakeDaemon) -> None:
    assert forward().out == "Nothing is forwarded on this computer.\n"
    forward("work", "443:8443", "--from", "192.168.1.0/24", "--comment", "web")
    forward("work", "80:8000", "--internal", "--from", "10.137.0.0/16")
    forward("personal", "443", "--force", "--until-reboot")
    assert forward().out.splitlines() == [
        "QUBE      FORWARD       OPEN TO              AT            UNTIL   STATE   "
        "  COMMENT",
        "personal  443/tcp       anyone               192.168.1.10  reboot  conflict"
        "  -",
        "work      443:8443/tcp  192.168.1.0/24       192.168.1.10  -       active  "
        "  web",
        "work      80:8000/tcp   qubes 10.137.0.0/16  10.137.0.6    -       active  "
        "  -",
        "",
        "personal 443/tcp: conflict (work has port 443 of sys-net already)",
    ]


def test_one_reason_of_many_forwards_is_said_once(
    forward: Run, daemon: FakeDaemon
) -> None:
    daemon.hops["work"].refuses = "broken"
    forward("work", *(str(port) for port in range(1, 31)), "-q")
    assert forward().out.splitlines()[-1] == (
        "work 1/tcp, 2/tcp, 3/tcp, 4/tcp, 5/tcp, 6/tcp and 24 more: refused (work:"
        " broken)"
    )


def test_ten_forwards_fit_into_a_hundred_columns(
    forward: Run, daemon: FakeDaemon
) -> None:
    for number in range(10):
        forward(
            "work" if number % 2 else "personal",
            f"{8000 + number}:{9000 + number}/both",
            *(["--internal"] if number % 3 else []),
            *["--from", f"10.137.{number}.0/24", "--for", f"{number + 1}d"],
        )
    rows = forward().out.splitlines()
    assert len(rows) == 11
    assert max(map(len, rows)) <= 100


def test_json_is_what_the_daemon_answers(forward: Run, daemon: FakeDaemon) -> None:
    opened = json.loads(forward("work", "443", "--json").out)
    for argv in (["work", "--json"], ["--json"]):
        listed = json.loads(forward(*argv).out)
        work = [qube for qube in listed["qubes"] if qube["name"] == "work"]
        assert work[0]["forwards"][0]["state"] == "active"
        assert work == opened["qubes"]
        assert {hop["name"] for hop in listed["hops"]} >= {"sys-net", "sys-firewall"}
    assert json.loads(forward("personal", "--json").out)["qubes"][0]["forwards"] == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("work 80443", "outer port 80443: ports are 1-65535"),
        ("work 443/tpc", "'443/tpc': the protocol is tcp, udp or both"),
        ("work 1-3:5-6", "2 inner ports do not fit 3 outer ports"),
        ("work 443 --from 10.0.0.300", "--from='10.0.0.300': give an IPv4 or IPv6"),
        ("work 443 --from example.com", "--from='example.com': give an IPv4 or IPv6"),
        ("work 443 --for 2", "of what? Give a unit"),
        ("work 443 --until 2h", "did you mean --for 2h?"),
        ("work 443 --for 2h --until 18:30", "not allowed with argument --for"),
        ("work 443 --comment a=b", "--comment: '=' cannot be used"),
        ("work 443 --internal --reach internet", "--reach"),
        ("work 443 --close 80", "PORTS and --close: one at a time"),
        ("work --close 80 --close-all", "--close and --close-all: one at a time"),
        ("--close 80", "of which qube?"),
        ("work --for 2h", "--for: give VM and the port to open too"),
        ("work --close 443 --for 2h", "--for: give VM and the port"),
        ("--dry-run", "--dry-run: give VM and the port"),
        ("wo/rk 443", "not a name that a qube can have"),
        ("work 443 --bogus", "unrecognized arguments: --bogus"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_two(
    forward: Run, daemon: FakeDaemon, argv: str, message: str
) -> None:
    ran = forward(*argv.split())
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("qvm-forward: ")
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert daemon.forwards == {}


def test_an_unknown_qube_is_refused(forward: Run) -> None:
    ran = forward("nosuch")
    assert (ran.status, ran.err) == (1, "qvm-forward: no such qube: 'nosuch'\n")


def test_without_the_daemon_there_is_one_clear_line(
    without_daemon: tuple[Run, Run],
) -> None:
    _firewall, forward = without_daemon
    for argv in ([], ["work"], ["work", "443"], ["--close-all"]):
        ran = forward(*argv)
        assert (ran.status, ran.out) == (1, "")
        assert ran.err.startswith("qvm-forward: qubes-forwardd is not running")
        assert ran.err.count("\n") == 1


def test_no_traceback_unless_asked_for(
    forward: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> int:
        raise RuntimeError("broken\nin two lines")

    monkeypatch.setattr(qvm_forward, "list_computer", fail)
    ran = forward()
    assert ran.status == 1
    assert ran.err == (
        "qvm-forward: unexpected RuntimeError: broken in two lines (--verbose shows"
        " where)\n"
    )
    assert "Traceback" in forward("--verbose").err


PROGRAM = (
    "import sys; from qubesforward.cli.qvm_forward import main\n"
    "from qubesforward.qubes.admin import AdminClient\n"
    "sys.exit(main(sys.argv[3:], AdminClient(sys.argv[1], sys.argv[2])))"
)


def command(directory: Path, *argv: str) -> list[str]:
    sockets = [f"{directory}/qubesd.sock", f"{directory}/forwardd.sock"]
    return [sys.executable, "-c", PROGRAM, *sockets, *argv]


def test_a_reader_that_leaves_early_is_no_error(
    client: AdminClient, daemon: FakeDaemon, tmp_path: Path
) -> None:
    daemon.forwards["work"] = [
        ForwardRule(ForwardType.EXTERNAL, PortRange(port, port))
        for port in range(1, 200)
    ]
    with subprocess.Popen(
        command(tmp_path, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as tool:
        assert tool.stdout is not None
        assert tool.stderr is not None
        tool.stdout.read(10)
        tool.stdout.close()
        assert tool.stderr.read() == b""
        assert tool.wait(10) == 0


def test_imports_nothing_that_slows_the_start() -> None:
    code = (
        "import sys; import qubesforward.cli.qvm_forward\n"
        "import qubesforward.cli.qvm_firewall\n"
        "print(*sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    slow = {"asyncio", "lxml", "subprocess", "logging", "shutil", "tempfile"}
    assert not slow & set(found)
