# SPDX-License-Identifier: GPL-2.0-or-later
"""What programs ask for, and answering it, from the command line to the socket."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.cli.request import decode_requests, describe_request
from qubesforward.errors import MalformedMessage
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon


class TestShowing:
    def test_a_table_and_sentences_and_the_commands_to_answer(
        self, forward: Run, daemon: FakeDaemon
    ) -> None:
        both = {"tcp": 51413, "udp": 51413}
        daemon.portmap.ask("1a2b3c4d", protos=both, via=["igd", "pcp"], name="Tor 1")
        ran = forward("--requests")
        assert (ran.status, ran.err) == (0, "")
        lines = ran.out.splitlines()
        assert lines[0].split() == (
            "REQUEST QUBE PORT AS PORT ASKED BY OPEN FOR ITS WORDS".split()
        )
        assert lines[1].startswith(
            "1a2b3c4d  work  51413/tcp+udp  51413    UPnP, PCP  "
        )
        assert lines[1].endswith('  "Tor 1"')
        told = lines[3]
        assert told.startswith(
            "1a2b3c4d: a program of work asks by UPnP and PCP that the LAN, and the"
            " internet if the router agrees, can reach tcp and udp port 51413 of work,"
            ' as port 51413 if that is free. It calls this "Tor 1": its own words,'
            " which anybody could have chosen. Unless you answer within "
        )
        assert told.endswith(", it gets a no.")
        answers = [
            "yes: qvm-forward --grant 1a2b3c4d",
            "no: qvm-forward --deny 1a2b3c4d",
        ]
        assert [" ".join(line.split()[:4]) for line in lines[4:]] == answers

    def test_how_far_out_is_as_the_qube_has_it(
        self, forward: Run, daemon: FakeDaemon
    ) -> None:
        daemon.portmap.features["work", "portmap-reach"] = "lan"
        daemon.portmap.ask("1a2b3c4d")
        assert "asks by NAT-PMP that the LAN can reach udp" in forward("--requests").out

    def test_of_one_qube(self, forward: Run, daemon: FakeDaemon) -> None:
        daemon.portmap.ask("1a2b3c4d", "personal")
        assert forward("work", "--requests").out == (
            "No program of work asks for a port.\n"
        )
        assert "1a2b3c4d" in forward("personal", "--requests").out

    def test_json_is_what_the_daemon_says(
        self, forward: Run, daemon: FakeDaemon
    ) -> None:
        assert json.loads(forward("--requests", "--json").out) == {"requests": []}
        daemon.portmap.ask("1a2b3c4d")
        told = json.loads(forward("--requests", "--json").out)
        assert told == {"requests": daemon.portmap.questions}

    def test_any_port_is_not_called_zero(
        self, forward: Run, daemon: FakeDaemon
    ) -> None:
        daemon.portmap.ask("1a2b3c4d", protos={"tcp": 0, "udp": 7000})
        out = forward("--requests").out
        assert "51413/tcp+udp  any or 7000" in out
        assert "51413 of work, as udp port 7000 if that is free." in out
        daemon.portmap.questions[0]["protos"] = {"tcp": 0}
        assert "51413 of work. Unless" in forward("--requests").out


class TestYes:
    def test_says_what_is_reached_and_how_to_close_it(
        self, forward: Run, daemon: FakeDaemon
    ) -> None:
        daemon.portmap.ask("1a2b3c4d", protos={"tcp": 51413, "udp": 51413})
        daemon.portmap.told = {"extent": "lan", "edge": ""}
        ran = forward("--grant", "1a2b3c4d")
        assert (ran.status, ran.err) == (0, "")
        assert daemon.portmap.answers == [("1a2b3c4d", "once")]
        *reached, end = ran.out.splitlines()
        assert [
            line.partition(" of work at 192.168.1.10:51413, until ")[0]
            for line in reached
        ] == [
            f"Any IPv4 host on the networks of sys-net can now reach {proto} port 51413"
            for proto in ("tcp", "udp")
        ]
        assert end == (
            "It stays open as long as the program of work renews it; to close it:"
            " qvm-forward work --close 51413."
        )
        assert ("admin.vm.firewall.Grant+forward", "work") in daemon.calls

    @pytest.mark.parametrize(
        ("option", "scope", "told"),
        [
            ("--until-reboot", "reboot", "until the computer restarts"),
            ("--for-good", "always", "from now on; to be asked again"),
        ],
    )
    def test_to_all_that_the_qube_asks_for(
        self, forward: Run, daemon: FakeDaemon, option: str, scope: str, told: str
    ) -> None:
        daemon.portmap.ask("1a2b3c4d")
        ran = forward("--grant", "1A2B", option)
        assert daemon.portmap.answers == [("1a2b3c4d", scope)]
        assert f"programs of work ask for they get unasked {told}" in ran.out

    def test_what_does_not_open_is_not_called_open(
        self, forward: Run, daemon: FakeDaemon
    ) -> None:
        daemon.portmap.ask("1a2b3c4d")
        daemon.portmap.has_ports = False
        ran = forward("--grant", "1a2b3c4d")
        assert ran.status == 1
        assert ran.out.startswith(
            "Granted, but port 51413/udp is not open for work: the program has given up"
        )

    def test_quiet_and_json(self, forward: Run, daemon: FakeDaemon) -> None:
        daemon.portmap.ask("1a2b3c4d")
        assert forward("--grant", "1a", "--quiet").out == ""
        daemon.portmap.ask("2a2b3c4d", inner=6000, protos={"udp": 6000})
        told = json.loads(forward("--grant", "2a", "--json").out)
        assert [f["origin"] for f in told["qubes"][0]["forwards"]] == ["portmap"] * 2


class TestNo:
    def test_once_and_for_good(self, forward: Run, daemon: FakeDaemon) -> None:
        daemon.portmap.ask("1a2b3c4d")
        assert forward("--deny", "1").out == (
            "The program of work does not get udp port 51413. You are not asked again"
            " for work for a minute, and longer after each no; to be asked never:"
            " qvm-forward work --portmap off\n"
        )
        daemon.portmap.ask("2a2b3c4d")
        assert "Nor does any program of work get one from now on" in (
            forward("--deny", "2", "--for-good").out
        )
        assert daemon.portmap.answers == [("1a2b3c4d", "once"), ("2a2b3c4d", "never")]


class TestWhichOne:
    @pytest.mark.parametrize(
        ("argv", "status", "complaint"),
        [
            ("--grant 9", 1, "no open request '9': it was answered, its time is over"),
            ("--grant 9", 1, "; open: 1a2b3c4d and 1affffff (qvm-forward --requests"),
            ("--deny 1a", 1, "1a: 1a2b3c4d and 1affffff begin like this; type more"),
            ("personal --deny 1a2b", 1, "no request is open now"),
            ("--grant ../1", 2, "'../1': not the ID of a request"),
            ("--grant  --for-good", 2, "expected one argument"),
            ("--grant 1 --for 2h", 2, "--for: give VM and the port"),
            ("--deny 1 --until-reboot", 2, "--until-reboot: give VM"),
            ("--grant 1 --deny 2", 2, "--grant and --deny: one at a time"),
            ("--grant 1 --until-reboot --for-good", 2, "not allowed with"),
            ("work 443 --for-good", 2, "--for-good: without an end"),
            ("work --for-good", 2, "--for-good: give --grant ID or --deny ID too"),
            ("work --wait", 2, "--wait: give --requests too"),
            ("--requests --log", 2, "one at a time"),
        ],
    )
    def test_errors_say_what_to_do(
        self,
        forward: Run,
        daemon: FakeDaemon,
        argv: str,
        status: int,
        complaint: str,
    ) -> None:
        daemon.portmap.ask("1a2b3c4d")
        daemon.portmap.ask("1affffff")
        ran = forward(*argv.split())
        assert (ran.status, ran.out) == (status, "")
        assert complaint in ran.err
        assert daemon.portmap.answers == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"requests":7}',
        b'{"requests":[7]}',
        b'{"requests":[{"id":1}]}',
        b'{"requests":[{"protos":{"tcp":"x"}}]}',
        b'{"requests":[{"protos":[]}]}',
    ],
)
def test_what_is_no_answer_is_an_error(data: bytes) -> None:
    with pytest.raises(MalformedMessage, match="requests: "):
        decode_requests(data)


NEAR = st.recursive(
    st.none() | st.text() | st.integers(),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["requests", "id", "protos", "via"]), inner),
)


@given(st.binary() | NEAR.map(json.dumps).map(str.encode))
def test_any_bytes_are_requests_or_the_one_error(data: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        decode_requests(data)


@given(st.text(), st.text(), st.text())
def test_no_word_of_a_program_leaves_its_quotes(name: str, via: str, port: str) -> None:
    asked = {"id": "1", "qube": "work", "name": name, "via": [via], "protos": {port: 1}}
    (request,) = decode_requests(json.dumps({"requests": [asked]}).encode())
    told = describe_request(request, "lan", 0)
    assert told.isprintable()
    if name and '"' not in via + port:
        _before, words, after = told.split('"')
        assert len(words) == len(name)
        assert after.startswith(": its own words")
