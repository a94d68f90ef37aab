# SPDX-License-Identifier: GPL-2.0-or-later
"""Which packet filter is chosen, where there is one, the other, or both."""

import os
import sys
from pathlib import Path

import pytest

from qubesforward.agent.backend import Upset, make_backend
from qubesforward.agent.iptables_backend import IptablesBackend
from qubesforward.agent.iptables_kernel import find_families, read_tables, write_tables
from qubesforward.errors import ApplyError
from qubesforward.iptables.restore import Part
from qubesforward.nft.refusals import Surroundings
from tests.agent.iptables_world import install
from tests.agent.namespaces import isolated
from tests.nft.entries import entry

STOCK = "*filter\n:QBS-FORWARD - [0:0]\nCOMMIT\n"
STOCK_RULES = "*filter\n-A QBS-FORWARD -s 10.137.0.5 -j ACCEPT\nCOMMIT\n"
A, B = "1000000a", "1000000b"


def chosen(kind: str = "auto") -> str:
    backend = make_backend(kind, lambda _what: None, outbound=False)
    return type(backend).__name__


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in install(tmp_path, "legacy").items():
        monkeypatch.setenv(name, value)


def no_nftables() -> None:
    sys.modules["nftables"] = None  # type: ignore[assignment]
    sys.modules.pop("qubesforward.agent.kernel", None)


@isolated
def test_nftables_is_taken_where_it_is() -> None:
    assert chosen() == "NftBackend"


@isolated
def test_iptables_is_taken_where_nftables_is_missing() -> None:
    no_nftables()
    assert chosen() == "IptablesBackend"


@isolated
def test_iptables_is_taken_where_the_rules_of_qubes_are_in_it() -> None:
    write_tables(4, STOCK)
    assert chosen() == "IptablesBackend"
    assert chosen("nft") == "NftBackend"


@isolated
def test_without_either_it_says_so() -> None:
    no_nftables()
    os.environ["PATH"] = "/nowhere"
    with pytest.raises(ApplyError, match="neither nftables nor iptables is here"):
        chosen()


def live(family: int = 4) -> list[str]:
    return read_tables(family).rules["filter", "QBS-FWD-LIVE"]


@isolated
def test_qubes_own_outbound_rules_are_asked_where_they_are() -> None:
    write_tables(4, STOCK)
    backend = IptablesBackend(lambda _what: None, outbound=False)
    backend.converge({}, Surroundings())
    # Its agent has nftables then, and asks at a hook of its own.
    assert len(live()) == 1
    write_tables(4, STOCK_RULES)
    backend.note_upset(Upset.TABLE)
    backend.converge({}, Surroundings())
    assert live()[0].endswith("-j QBS-FORWARD")


@isolated
def test_what_the_kernel_does_not_take_is_refused_alone() -> None:
    backend = IptablesBackend(lambda _what: None, outbound=False)
    wanted = {A: entry("ports=80"), B: entry("ports=81")}
    write = backend._kernel.write

    def picky(family: int, part: Part, chains: object, present: object) -> None:
        if "--dport 81" in str(chains):
            raise ApplyError("iptables-restore: line 7 failed")
        write(family, part, chains, present)  # type: ignore[arg-type]

    backend._kernel.write = picky  # type: ignore[method-assign]
    backend.converge(wanted, Surroundings())
    assert backend.selection.accepted.keys() == {A}
    assert backend.selection.refused == {B: "kernel: iptables-restore: line 7 failed"}
    assert backend.read_exactly(A, wanted[A]) is not None


@isolated
def test_rules_of_others_are_found_that_came_before_ours() -> None:
    backend = IptablesBackend(lambda _what: None, outbound=True)
    wanted = {A: entry("in=external ports=80")}
    backend.converge(wanted, Surroundings())
    write_tables(4, "*filter\n-I FORWARD -p tcp --dport 80 -j DROP\nCOMMIT\n")
    (found,) = backend.read_foreign()(A, wanted[A])
    assert found.where == "ip filter FORWARD"
    assert found.rule == "-p tcp -m tcp --dport 80 -j DROP"


@isolated
def test_a_withdrawal_leaves_nothing_of_forwards() -> None:
    backend = IptablesBackend(lambda _what: None, outbound=True)
    backend.converge({A: entry("")}, Surroundings())
    backend.withdraw()
    for family in find_families():
        rules = read_tables(family).rules
        # Outbound rules stay: no qube may get out by that.
        assert {chain for table, chain in rules if table == "filter"} == {
            "FORWARD",
            "QBS-FWD-OUTBOUND",
        }


def test_an_answer_of_a_search_is_refused_with_a_reason() -> None:
    isolated(refuse_answer)()


def refuse_answer() -> None:
    backend = IptablesBackend(lambda _what: None, outbound=False)
    answer = entry("in=answer proto=udp ports=1900 src=10.137.0.1/32")
    backend.converge({A: answer}, Surroundings(has_uplink=True, uplink="eth0"))
    assert backend.selection.refused == {A: "in=answer: needs nftables"}


@isolated
def test_an_internal_forward_was_open_in_word_where_nobody_judges_who_uses_it() -> None:
    # The programs alone, without nft beside them.
    os.environ["PATH"] = os.environ["PATH"].partition(":")[0]
    write_tables(4, STOCK)
    upset: list[Upset] = []
    backend = IptablesBackend(upset.append, outbound=False)
    wanted = {A: entry("in=local"), B: entry("in=external ports=81")}
    backend.converge(wanted, Surroundings())
    assert backend.selection.accepted.keys() == {B}
    assert backend.selection.refused == {
        A: "in=local: nothing here enforces outbound rules of qubes"
    }
    write_tables(4, STOCK_RULES)
    backend.note_upset(Upset.TABLE)
    backend.converge(wanted, Surroundings())
    assert backend.selection.refused == {}
    assert any(rule.endswith("-j QBS-FORWARD") for rule in live())
    # They go while one of its forwards is written.
    write_tables(4, "*filter\n-F QBS-FORWARD\nCOMMIT\n")
    upset.clear()
    wanted[B] = entry("in=external ports=82")
    backend.converge(wanted, Surroundings(), touched=[B])
    assert upset
    assert any(rule.endswith("-j DROP") for rule in live())
