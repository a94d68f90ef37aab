# SPDX-License-Identifier: GPL-2.0-or-later
"""qvm-forward --log: what is asked of the daemon, and how its answer reads."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.cli.durations import parse_past
from qubesforward.cli.log import format_log
from qubesforward.cli.log_lines import decode_log
from qubesforward.cli.table import Screen
from qubesforward.errors import InvalidRule, MalformedMessage
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon

RULE = (
    "action=forward forwardtype=external proto=tcp src4=10.0.0.0/8 srcports=443-443"
    " dstports=8443-8443 expire=1790003600 comment=for the printer"
)
ADDED = {
    "time": "2026-09-21T14:13:20.125Z",
    "event": "added",
    "qube": "work",
    "rule": RULE,
    "origin": "user",
    "by": "dom0",
}
OPENED = {
    "time": "2026-09-21T14:13:20.500Z",
    "event": "opened",
    "qube": "disp7",
    "rule": RULE,
    "origin": "user",
    "owner": "work",
    "path": ["sys-net", "sys-firewall"],
}
DENIED = {
    "time": "2026-09-21T14:13:21.000Z",
    "event": "denied",
    "qube": "work",
    "rule": "nonsense",
    "reason": "Add: line 1: not a rule",
    "by": "mgmt",
}


MAPPING = RULE.replace("443-443 d", "7777-7777 d").replace("tcp", "udp")
OF_A_PROGRAM = {"qube": "work", "origin": "portmap", "time": ADDED["time"]}


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_the_log_is_a_table_in_local_time(forward: Run, daemon: FakeDaemon) -> None:
    daemon.log = [ADDED, OPENED, DENIED, {**DENIED, "rule": "", "by": ""}]
    ran = forward("--log")
    assert ran.status == 0
    assert [line.split() for line in ran.out.splitlines()] == [
        line.split()
        for line in (
            "TIME EVENT QUBE FORWARD DETAILS",
            "2026-09-21 16:13:20 added work 443:8443/tcp external by dom0;"
            " from 10.0.0.0/8; until 17:13; for the printer",
            "2026-09-21 16:13:20 opened disp7 443:8443/tcp external a rule of work;"
            " through sys-net and sys-firewall",
            "2026-09-21 16:13:21 denied work - by mgmt; asked: nonsense;"
            " Add: line 1: not a rule",
            "2026-09-21 16:13:21 denied work - Add: line 1: not a rule",
        )
    ]
    assert daemon.calls[-1] == ("admin.vm.firewall.Log+forward", "dom0")


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (
            {"event": "requested", "reason": "port 8443/udp, request 1a2b3c4d"},
            "requested work - a program asks; port 8443/udp, request 1a2b3c4d",
        ),
        (
            {"event": "declined", "by": "dom0", "reason": "port 8443/udp: why not"},
            "declined work - by dom0; for a program; port 8443/udp: why not",
        ),
        (
            {"event": "granted", "by": "dom0", "reason": "port 8443/udp: once"},
            "granted work - by dom0; for a program; port 8443/udp: once",
        ),
        (
            {"event": "granted", "rule": MAPPING, "by": "sys-net", "reason": "by user"},
            "granted work 7777:8443/udp external a program asked sys-net; as the user"
            " agreed",
        ),
        (
            {
                "event": "granted",
                "rule": MAPPING,
                "by": "sys-net",
                "reason": "by policy, igd",
            },
            "granted work 7777:8443/udp external a program asked sys-net by UPnP; as"
            " its policy allows",
        ),
        (
            {"event": "opened", "rule": MAPPING, "path": ["sys-net"]},
            "opened work 7777:8443/udp external for a program; through sys-net",
        ),
    ],
)
def test_what_programs_ask_for_is_told_in_words(
    forward: Run, daemon: FakeDaemon, event: dict[str, Any], told: str
) -> None:
    daemon.log = [OF_A_PROGRAM | event]
    line = forward("--log").out.splitlines()[1]
    assert line.split()[2:] == told.split()


def test_one_qube_and_a_length_of_time(forward: Run, daemon: FakeDaemon) -> None:
    before = int(time.time()) - 7200
    ran = forward("work", "--log", "--since", "2h")
    assert ran.out == "The log has nothing of that.\n"
    assert before <= daemon.since <= int(time.time()) - 7200
    assert daemon.calls[-1] == ("admin.vm.firewall.Log+forward", "work")


def test_json_is_what_the_daemon_says(forward: Run, daemon: FakeDaemon) -> None:
    daemon.log = [ADDED]
    told = json.loads(forward("--log", "--json").out)
    assert told == {"events": [ADDED], "more": False, "problem": ""}


def test_what_is_left_out_and_what_is_wrong_is_said(
    forward: Run, daemon: FakeDaemon
) -> None:
    daemon.log, daemon.more, daemon.audit = [ADDED], True, "/x: No space left"
    err = forward("--log").err
    assert "cannot be written: /x: No space left" in err
    assert "the newest are shown" in err
    for argv in ((), ("work",)):
        assert "nothing new opens: /x: No space left" in forward(*argv).err


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["--since", "2h"], "--since: give --log too"),
        (["--log", "--since", "soon"], "give a time"),
        (["--log", "--since", "2999-01-01"], "still to come"),
        (["work", "443", "--log"], "one at a time"),
        (["--log", "--close-all"], "one at a time"),
        (["--log", "--force"], "--force: give VM and the port"),
    ],
)
def test_command_lines_that_make_no_sense(
    forward: Run, argv: list[str], complaint: str
) -> None:
    ran = forward(*argv)
    assert ran.status == 2
    assert complaint in ran.err


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"events":7}',
        b'{"events":[7]}',
        b'{"events":[{}]}',
        b'{"events":[{"time":"soon"}]}',
        b'{"events":[{"time":"2026-09-21T14:13:20Z","path":"x"}]}',
    ],
)
def test_what_is_no_log_is_an_error(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_log(data)


@given(st.text(), st.text(), st.text())
def test_nothing_in_the_log_moves_the_cursor(rule: str, reason: str, name: str) -> None:
    event = {**DENIED, "rule": rule, "reason": reason, "qube": name, "path": [name]}
    lines, _, _ = decode_log(json.dumps({"events": [event]}).encode())
    assert format_log(lines, Screen()).replace("\n", "").isprintable()


NOW = 1_790_000_000


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2h", NOW - 7200),
        ("1d12h", NOW - 129_600),
        ("16:13", NOW - 20),
        ("16:14", NOW + 40 - 86400),
        ("2026-09-21 16:00", NOW - 800),
        ("1789999999", NOW - 1),
    ],
)
def test_moments_that_are_over(text: str, wanted: int) -> None:
    assert parse_past(text, NOW) == wanted


@pytest.mark.parametrize("text", ["", "soon", "2x", "99:99", "2999-01-01", "20y"])
def test_what_is_no_moment_that_is_over(text: str) -> None:
    with pytest.raises(InvalidRule):
        parse_past(text, NOW)
