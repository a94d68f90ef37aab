# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent sees of its entries and of the rules of others, on a real kernel."""

import socket
import subprocess
from ipaddress import ip_address
from unittest.mock import patch

from qubesforward.agent import nft_backend
from qubesforward.agent.diagnosis import observe, parse_request
from qubesforward.errors import ApplyError
from qubesforward.model.entry import Entry
from qubesforward.model.observation import Certainty, Observation, Traffic
from qubesforward.nft.refusals import Surroundings
from tests.agent.kernel_rig import QUBES, Rig, nft
from tests.agent.namespaces import isolated
from tests.nft.entries import entry

A, B, C = "0000000a", "0000000b", "0000000c"
HOP = entry("in=uplink ports=443 to=10.137.0.20 toports=8443")
DOOR = entry("in=self ports=8443")

BASE = """
table ip qubes {
  chain forward {
    type filter hook forward priority filter; policy accept;
    jump custom-forward
    oifgroup 2 counter drop
  }
  chain input {
    type filter hook input priority filter; policy drop;
    jump custom-input
  }
}
"""

OTHERS = """
table inet other {
  chain in {
    type filter hook input priority 0; policy drop;
    tcp dport 22 accept
  }
}
table ip6 six {
  chain everything {
    type filter hook forward priority 0; policy drop;
  }
}
"""


def look(*commands: str, **entries: Entry) -> Observation:
    """Apply entries, let others change rules, and look."""
    nft(QUBES + BASE)
    rig = Rig()
    named = {f"0000000{name}": each for name, each in entries.items()}
    rig.applier.converge(named, Surroundings(True))
    assert rig.selection.refused == {}
    for command in commands:
        nft(command)
    return observe([A, B, C], rig.selection.accepted, rig.applier)


@isolated
def test_all_is_well_with_the_chains_of_qubes() -> None:
    seen = look(a=HOP, b=DOOR)
    assert seen.held == {A: Traffic(), B: Traffic(), C: None}
    assert seen.blocks == {A: [], B: []}
    assert seen.problem == ""


@isolated
def test_rules_of_others_are_told_with_their_text() -> None:
    seen = look(
        "insert rule ip qubes custom-forward tcp dport 8443 counter drop",
        OTHERS,
        a=HOP,
        b=DOOR,
    )
    (forward,) = seen.blocks[A]
    assert (forward.where, forward.rule) == (
        "ip qubes custom-forward",
        "tcp dport 8443 counter drop",
    )
    assert forward.certainty is Certainty.SURELY
    (inside,) = seen.blocks[B]
    assert (inside.where, inside.rule) == ("inet other in", "policy drop")


@isolated
def test_an_element_that_somebody_removed_is_missed() -> None:
    assert look("flush set inet qubes-forward live", a=HOP).held[A] is None


@isolated
def test_sockets_behind_a_door_are_told_with_their_addresses() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "addr", "add", "10.137.0.20/32", "dev", "lo"], check=True)
    with (
        socket.create_server(("127.0.0.1", 8443)),
        socket.create_server(("10.137.0.20", 8443)),
        socket.create_server(("127.0.0.1", 8444)),
        socket.create_server(("::", 8445), family=socket.AF_INET6),
    ):
        seen = look(a=HOP, b=DOOR, c=entry("in=self ports=8445"))
    assert A not in seen.listeners
    assert {str(each.address) for each in seen.listeners[B]} == {
        "127.0.0.1",
        "10.137.0.20",
    }
    assert [each.address for each in seen.listeners[C]] == [ip_address("::")]


@isolated
def test_doors_of_a_hop_are_looked_at_like_those_of_a_target() -> None:
    serve = entry("in=serve ports=8443 src=10.137.0.20/32")
    answer = entry("in=answer proto=udp ports=1900 src=10.137.0.1/32")
    assert look(a=serve, b=answer).blocks == {A: [], B: []}
    with socket.create_server(("", 8443)):
        seen = look(OTHERS, a=serve, b=answer)
    assert seen.held == {A: Traffic(), B: Traffic(), C: None}
    assert [str(each.address) for each in seen.listeners[A]] == ["0.0.0.0"]
    assert {one.where for one in seen.blocks[A]} == {"inet other in"}
    assert {one.where for one in seen.blocks[B]} == {"inet other in"}


@isolated
def test_what_cannot_be_listed_is_told_and_so_is_the_rest() -> None:
    fault = ApplyError("nft list chains: no memory")
    with patch.object(nft_backend, "ForeignRules", side_effect=fault):
        seen = look(a=HOP, b=DOOR)
    assert seen.problem == str(fault)
    assert seen.held == {A: Traffic(), B: Traffic(), C: None}


def test_a_request_is_a_token_and_ids() -> None:
    assert parse_request(b"token 0000000a x") == ("token", [A, "x"])
    assert parse_request(b"") == ("", [])
    assert len(parse_request(b"t" + b" a" * 9000)[1]) == 300
