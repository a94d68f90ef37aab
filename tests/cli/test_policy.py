# SPDX-License-Identifier: GPL-2.0-or-later
"""qvm-forward --portmap: whether programs of a qube get ports."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon

ASKED = "When a program of work asks for a port, you are asked. It reaches the LAN"
UNASKED = "Every program of work that asks for a port gets it unasked. It reaches"


@pytest.mark.parametrize(
    ("argv", "features", "told"),
    [
        ("--portmap ask", {"portmap": "ask"}, f"{ASKED}, and the internet if"),
        (
            "--portmap allow --portmap-reach lan",
            {"portmap": "allow", "portmap-reach": "lan"},
            f"{UNASKED} the LAN, not the internet",
        ),
        ("--portmap off", {"portmap": ""}, "Programs of work get no ports"),
        ("--portmap-reach lan", {"portmap-reach": "lan"}, "Programs of work get no"),
    ],
)
def test_sets_features_and_says_what_holds(
    forward: Run, daemon: FakeDaemon, argv: str, features: dict[str, str], told: str
) -> None:
    ran = forward("work", *argv.split())
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(told)
    assert daemon.portmap.features == {
        ("work", name): value for name, value in features.items()
    }


def test_how_far_is_set_before_it_is_on(forward: Run, daemon: FakeDaemon) -> None:
    forward("work", "--portmap", "allow", "--portmap-reach", "lan")
    assert [name for _qube, name in daemon.portmap.features] == [
        "portmap-reach",
        "portmap",
    ]


def test_the_listing_of_a_qube_tells_it_where_it_is_on(
    forward: Run, daemon: FakeDaemon
) -> None:
    assert forward("work").out == "Nothing is forwarded to work.\n"
    forward("work", "--portmap", "ask", "--portmap-reach", "lan")
    assert forward("work").out == (
        f"Nothing is forwarded to work.\n{ASKED}, not the internet; qvm-forward"
        " --requests shows that.\n"
    )
    daemon.portmap.features["work", "portmap-reach"] = "\x1b[2Jmoon"
    assert "none gets one: portmap-reach is neither lan nor" in forward("work").out
    assert "portmap" not in forward("work", "--json").out


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ("--portmap ask", "--portmap: of which qube?"),
        ("--portmap-reach lan", "--portmap-reach: of which qube?"),
        ("work --portmap maybe", "invalid choice: 'maybe'"),
        ("work --portmap ask --close-all", "one at a time"),
        ("work --portmap ask --for-good", "--for-good: give --grant ID"),
    ],
)
def test_command_lines_that_make_no_sense(
    forward: Run, daemon: FakeDaemon, argv: str, complaint: str
) -> None:
    ran = forward(*argv.split())
    assert (ran.status, ran.out) == (2, "")
    assert complaint in ran.err
    assert daemon.portmap.features == {}
