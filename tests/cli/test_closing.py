# SPDX-License-Identifier: GPL-2.0-or-later
"""qvm-forward --close and --close-all, from the command line to the socket."""

from __future__ import annotations

import pytest

from qubesforward.model.rule import ForwardRule, Proto
from tests.cli.conftest import Run, stored
from tests.cli.fake_daemon import FakeDaemon


def test_closes_what_is_named(forward: Run, daemon: FakeDaemon) -> None:
    forward("work", "443:8443", "80/both", "8000-8010")
    ran = forward("work", "--close", "443", "--close", "80/both")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == "Ports 443/tcp and 80/tcp+udp no longer lead to work.\n"
    assert forward("work", "--close", "8000-8010").status == 0
    assert stored(daemon) == []


def test_closes_only_what_is_named(forward: Run, daemon: FakeDaemon) -> None:
    forward("work", "443", "--from", "10.0.0.7", "--from", "10.0.0.8")
    forward("work", "443", "--internal")
    assert forward("work", "--close", "443", "--from", "10.0.0.7").status == 0
    assert len(stored(daemon)) == 2
    assert forward("work", "--close", "443", "--internal").status == 0
    assert [rule.srchost is None for rule in daemon.forwards["work"]] == [False]
    assert forward("work", "--close", "443").status == 0
    assert stored(daemon) == []


@pytest.mark.parametrize(
    ("port", "message"),
    [
        ("80", "work has no such forward: 80\n"),
        ("443/udp", "443/udp; there is 443/tcp, to be closed as a whole\n"),
        ("8005", "8005; there is 8000-8010/tcp, to be closed as a whole\n"),
    ],
)
def test_says_what_there_is_instead(
    forward: Run, daemon: FakeDaemon, port: str, message: str
) -> None:
    forward("work", "443", "8000-8010")
    ran = forward("work", "--close", port)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.endswith(message)
    assert len(stored(daemon)) == 2


def test_sends_the_user_to_the_template_that_has_the_forward(
    forward: Run, daemon: FakeDaemon
) -> None:
    forward("personal", "443", "--disposables")
    daemon.make_instance("work", "personal")
    assert "from the rules of personal" in forward("work").out
    ran = forward("work", "--close", "443")
    assert (ran.status, stored(daemon, "personal")) == (1, stored(daemon, "personal"))
    assert "qvm-forward personal --close 443" in ran.err


def test_nothing_to_close_was_said_of_what_the_template_keeps_open(
    forward: Run, daemon: FakeDaemon
) -> None:
    forward("personal", "443", "--disposables")
    daemon.make_instance("work", "personal")
    ran = forward("work", "--close-all")
    assert (ran.status, ran.out) == (1, "")
    assert "qvm-forward personal --close-all" in ran.err
    assert forward("--close-all").status == 0
    assert stored(daemon, "personal") == []


def test_closes_all_of_a_qube_and_of_the_computer(
    forward: Run, daemon: FakeDaemon
) -> None:
    for name, port in (("work", "1"), ("personal", "2"), ("vault", "3")):
        forward(name, port)
    assert forward("work", "--close-all").out == "Port 1/tcp no longer leads to work.\n"
    assert (stored(daemon), len(stored(daemon, "personal"))) == ([], 1)
    ran = forward("--close-all")
    assert ran.out.splitlines() == [
        "Port 2/tcp no longer leads to personal.",
        "Port 3/tcp no longer leads to vault.",
    ]
    assert not any(daemon.forwards.values())
    assert forward("--close-all").out == "There was nothing to close.\n"


def test_never_calls_closed_what_a_hop_has_not_closed(
    forward: Run, daemon: FakeDaemon
) -> None:
    forward("work", "443")
    daemon.hops["sys-net"].dead = True
    ran = forward("work", "--close", "443")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        "qvm-forward: removed, but sys-net did not answer: what was opened there may"
        " still be open\n"
    )
    assert stored(daemon) == []


def test_many_ports_are_counted_not_named(forward: Run, daemon: FakeDaemon) -> None:
    forward("work", *(str(port) for port in range(1, 31)))
    assert forward("work", "--close-all").out == (
        "Ports 1/tcp, 2/tcp, 3/tcp, 4/tcp, 5/tcp, 6/tcp and 24 more no longer lead to"
        " work.\n"
    )


class TestWhatProgramsHave:
    def test_is_closed_by_its_port_and_the_user_told_of_more(
        self, forward: Run, daemon: FakeDaemon
    ) -> None:
        forward("work", "443")
        daemon.portmap.open("work", 51413, name="Some game")
        daemon.portmap.open("work", 51413, proto=Proto.TCP)
        daemon.portmap.open("work", 7777)
        ran = forward("work", "--close", "51413/udp")
        assert (ran.status, ran.err) == (0, "")
        assert ran.out == (
            "Port 51413/udp no longer leads to work.\n"
            "A program of work had asked for that, and may ask again; to stop it:"
            " qvm-forward work --portmap off\n"
        )
        assert len(daemon.portmap.mappings["work"]) == 2
        assert forward("work", "--close", "51413", "--close", "443").status == 0
        assert stored(daemon) == []
        (left,) = daemon.portmap.mappings["work"]
        assert left.srcports.first == 7777

    def test_all_is_all_of_it(self, forward: Run, daemon: FakeDaemon) -> None:
        forward("work", "443")
        daemon.portmap.open("work", 51413)
        assert forward("work", "--close-all").out.splitlines()[0] == (
            "Ports 443/tcp and 51413/udp no longer lead to work."
        )
        daemon.portmap.open("work", 51413)
        daemon.portmap.open("personal", 51414)
        assert (
            forward("--close-all")
            .out.splitlines()[-1]
            .startswith(
                "Programs of personal and work had asked for ports, and may ask again;"
            )
        )
        assert not any(daemon.portmap.mappings.values())

    def test_what_the_program_lets_go_meanwhile_is_no_error(
        self, forward: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        daemon.portmap.open("work", 51413)
        daemon.portmap.open("work", 51414)
        close = daemon.portmap.close

        def let_go_first(dest: str, rules: list[ForwardRule]) -> list[ForwardRule]:
            mappings = daemon.portmap.mappings["work"]
            if len(mappings) == 2:
                del mappings[0]
            # All or nothing, as qubes-forwardd does it.
            gone = [rule for rule in rules if rule not in mappings]
            return gone or close(dest, rules)

        monkeypatch.setattr(daemon.portmap, "close", let_go_first)
        assert forward("work", "--close-all").status == 0
        assert daemon.portmap.mappings == {"work": []}
