# SPDX-License-Identifier: GPL-2.0-or-later
"""``qvm-forward --diagnose``, from the command line to the socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qubesforward.cli.diagnosis import decode_diagnosis
from qubesforward.errors import MalformedMessage
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon

TCP = "action=forward forwardtype=external proto=tcp srcports=443-443"
RANGE = "action=forward forwardtype=external srcports=8000-8010"


def told(*, well: bool = False, sentence: str = "Nothing listens.") -> dict[str, Any]:
    return {
        "rule": TCP,
        "state": "active",
        "well": well,
        "sentence": sentence,
        "findings": [{"mark": "ok", "text": "may connect: anyone"}],
        "hops": [
            {"qube": "sys-net", "findings": [{"mark": "ok", "text": "runs"}]},
            {"qube": "work", "findings": [{"mark": "bad", "text": "is silent"}]},
        ],
    }


def answer(*forwards: dict[str, Any], problem: str = "") -> dict[str, Any]:
    return {"problem": problem, "unreadable": [], "forwards": list(forwards)}


@pytest.fixture(autouse=True)
def forwards(daemon: FakeDaemon, forward: Run) -> None:
    assert forward("work", "443", "8000-8010/both").status == 0
    daemon.diagnosis = answer(told())


def test_every_qube_is_told_and_then_the_cause(forward: Run) -> None:
    ran = forward("work", "--diagnose", "443")
    assert ran.out.splitlines() == [
        "443/tcp  external  active",
        "  ok    may connect: anyone",
        "  sys-net",
        "    ok    runs",
        "  work",
        "    BAD   is silent",
        "Nothing listens.",
    ]
    assert (ran.status, ran.err) == (1, "")


@pytest.mark.parametrize(
    ("argv", "payload"),
    [
        ("work --diagnose", ""),
        ("--diagnose work", ""),
        ("work --diagnose 443", f"{TCP}\n"),
        ("--diagnose work 443/tcp", f"{TCP}\n"),
        ("work --diagnose 8003/udp", f"{RANGE}\n"),
        ("work --diagnose 8003/both", f"{RANGE}\n"),
        ("work --diagnose 443 8000", f"{TCP}\n{RANGE}\n"),
        (
            "work --diagnose 443 --from 192.168.1.20",
            f"from=192.168.1.20\n{TCP}\n",
        ),
        ("work --diagnose --from fd00::1", "from=fd00::1\n"),
    ],
)
def test_what_is_asked(
    daemon: FakeDaemon, forward: Run, argv: str, payload: str
) -> None:
    assert forward(*argv.split()).status == 1
    assert daemon.diagnosed == [payload]


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (answer(told(well=True)), 0),
        (answer(told(well=True), told()), 1),
        (answer(), 1),
        (answer(told(well=True), problem="not XML"), 1),
    ],
)
def test_exit_status_is_zero_only_when_all_is_well(
    daemon: FakeDaemon, forward: Run, found: dict[str, Any], status: int
) -> None:
    daemon.diagnosis = found
    assert forward("work", "--diagnose").status == status


def test_json_is_what_the_daemon_answers(daemon: FakeDaemon, forward: Run) -> None:
    ran = forward("work", "--diagnose", "--json")
    assert json.loads(ran.out) == daemon.diagnosis
    assert ran.status == 1


def test_what_a_qube_said_cannot_move_the_cursor(
    daemon: FakeDaemon, forward: Run
) -> None:
    daemon.diagnosis = answer(told(sentence="\x1b[2Jgone"))
    assert "\x1b" not in forward("work", "--diagnose").out


@pytest.mark.parametrize(
    "argv",
    [
        "--diagnose",
        "work --diagnose --close 443",
        "work --diagnose --for 2h",
        "work --diagnose --from 192.168.1.0/24",
        "work --diagnose --from 10.0.0.1 --from 10.0.0.2",
        "work --diagnose 80443",
    ],
)
def test_what_makes_no_sense(daemon: FakeDaemon, forward: Run, argv: str) -> None:
    ran = forward(*argv.split())
    assert (ran.status, daemon.diagnosed) == (2, [])


def test_a_port_that_is_not_forwarded(daemon: FakeDaemon, forward: Run) -> None:
    ran = forward("work", "--diagnose", "443/udp")
    assert ran.status == 1
    assert "work has no such forward: 443/udp; there is 443/tcp and 8000" in ran.err
    assert daemon.diagnosed == []


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"\xff", b'{"problem": "", "unreadable": [], "forwards": [1]}'],
)
def test_another_answer_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_diagnosis(data)
