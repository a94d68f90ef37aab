# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference says what the code has, and the code has what the reference says."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from qubesforward import errors
from qubesforward.daemon import audit, consent, features, store
from qubesforward.daemon.audit_event import Happening
from qubesforward.daemon.handlers import Handlers
from qubesforward.model import elements, entry
from qubesforward.model.observation import format_observation, parse_observation
from qubesforward.model.text import format_rule, parse_rule
from qubesforward.model.words import parse_words
from qubesforward.qubes import admin_server, mapping_wire
from tests.docs.pages import DOCS, ROOT
from tests.lab.forwards import dom0, forwarded
from tests.lab.running_lab import RunningLab, running_lab
from tests.lab.standing import eventually

SOURCE = ROOT / "src/qubesforward"
ADMIN = "admin-api.md"


def read_page(page: str) -> str:
    return (DOCS / "reference" / page).read_text()


def section(text: str, heading: str) -> str:
    """Return what is below a heading, as far as the next one."""
    part = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    return re.split(r"^#+ ", part, maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> set[str]:
    """Return all that stands in backticks in the first cells of tables."""
    rows = re.findall(r"^\| (`[^|]*?) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def blocks(page: str, language: str) -> list[str]:
    """Return the lines of a page's blocks in a language."""
    pattern = rf"^```{language}\n(.*?)^```"
    found = re.findall(pattern, read_page(page), re.MULTILINE | re.DOTALL)
    return [line for block in found for line in block.splitlines()]


def nodes_of(*rooms: str) -> Iterator[Any]:
    """Yield every node of the source of some rooms."""
    for room in rooms:
        for path in sorted((SOURCE / room).glob("*.py")):
            yield from ast.walk(ast.parse(path.read_text()))


def given_to(function: str, place: int) -> set[str]:
    """Return the texts that the daemon hands to a function, as its argument there."""
    calls = (node for node in nodes_of("daemon") if isinstance(node, ast.Call))
    given = [
        call.args[place]
        for call in calls
        if function in (getattr(call.func, "id", ""), getattr(call.func, "attr", ""))
    ]
    return {one.value for one in given if isinstance(one, ast.Constant)}


class TestAdminApi:
    def test_calls(self) -> None:
        nothing: Any = None
        served = Handlers(*[nothing] * 10)._calls
        wanted = {f"{name}+{arg}" if arg else name for name, arg in served}
        found = re.findall(r"^### `(admin\.\S+)`$", read_page(ADMIN), re.MULTILINE)
        assert sorted(found) == sorted(wanted)

    def test_errors(self) -> None:
        documented = first_cells(section(read_page(ADMIN), "Errors"))
        kinds = given_to("AdminException", 0)
        ours = {
            name
            for module in (errors, audit, consent, store)
            for name, kind in vars(module).items()
            if isinstance(kind, type) and issubclass(kind, errors.ForwardError)
        }
        # Of QubesDB, of wires and of kernels no call tells anything; a qube that is
        # not known has a name of its own there.
        inside = "ForwardError MalformedMessage QubesDBError ApplyError LabError"
        assert documented == (ours | kinds) - {*inside.split(" "), "UnknownQube"}

    def test_events(self) -> None:
        announced = given_to("announce", 1)
        wanted = announced | {admin_server._ESTABLISHED}
        assert first_cells(section(read_page(ADMIN), "Events")) == wanted

    def test_events_of_the_log(self) -> None:
        page = (DOCS / "administration.md").read_text()
        assert first_cells(section(page, "The audit log")) == set(Happening)


@pytest.fixture(scope="module")
def ask() -> Iterator[Callable[..., Any]]:
    """Make calls in a lab with a forward and a request; return their JSON."""
    rule = "forwardtype=external proto=tcp srcports=443"
    with running_lab() as lab, forwarded(lab, "work", rule):
        dom0(lab, "qvm-forward", "work", "--portmap", "ask")
        asking = "until natpmpc; do sleep 0.1; done; natpmpc -a 6881 6881 tcp 60"
        with lab.spawn("work", ["sh", "-c", asking]) as program:
            yield lambda name, payload="": _call(lab, name, payload)
            program.kill()


def _call(lab: RunningLab, name: str, payload: str) -> Any:
    socket = "/run/qubes-forwardd.sock"
    words = ["qubesd-query", "-c", socket, "dom0", f"admin.vm.firewall.{name}"]
    return json.loads(lab.check("dom0", *words, "work", "forward", input=payload))


def fields_of(name: str) -> set[str]:
    return first_cells(section(read_page(ADMIN), name))


@pytest.mark.lab
class TestAnswers:
    def test_status(self, ask: Callable[..., Any]) -> None:
        told = ask("Status")
        assert set(told) == {"qubes", "hops", "audit"}
        assert set(told["qubes"][0]) == fields_of("qube")
        forward = told["qubes"][0]["forwards"][0]
        assert set(forward) == fields_of("forward")
        assert set(forward["path"][0]) == fields_of("step")
        assert set(told["hops"][0]) == fields_of("hop")

    def test_plan(self, ask: Callable[..., Any]) -> None:
        rule = "action=forward forwardtype=external srcports=80-80\n"
        told = ask("Plan", rule)
        assert set(told) == {"forwards", "hops"}
        late = {"extent", "edge", "via"}
        assert set(told["forwards"][0]) == fields_of("forward") - late

    def test_diagnose(self, ask: Callable[..., Any]) -> None:
        told = ask("Diagnose")
        assert set(told) == fields_of("qube")
        (forward,) = told["forwards"]
        assert set(forward) == fields_of("diagnosis")
        assert set(forward["hops"][0]) == {"qube", "findings"}
        assert set(forward["findings"][0]) == fields_of("finding")

    def test_log(self, ask: Callable[..., Any]) -> None:
        told = ask("Log")
        assert set(told) == {"events", "more", "problem"}
        found = {name for event in told["events"] for name in event}
        # The owner is said of disposables only.
        assert found | {"owner"} == fields_of("event")

    def test_requests(self, ask: Callable[..., Any]) -> None:
        eventually(lambda: len(ask("Requests")["requests"]), 1)
        (request,) = ask("Requests")["requests"]
        assert set(request) == fields_of("request")


def test_keys_of_qubesdb() -> None:
    page = read_page("qubesdb.md")
    used = {
        node.value.rstrip("/")
        for node in nodes_of("daemon", "agent", "gateway")
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"/qubes-[a-z0-9-]+/?", node.value)
    }
    named = set(re.findall(r"`(/qubes-[a-z0-9-]+)", page))
    assert named == used


def test_words_of_entries() -> None:
    found = first_cells(section(read_page("qubesdb.md"), "Entries"))
    assert found == {*entry._ELEMENTS, *entry.Entrance}


@pytest.mark.parametrize("line", blocks("qubesdb.md", "entry"))
def test_entry(line: str) -> None:
    assert entry.format_entry(entry.parse_entry(line)) == line


def test_observation() -> None:
    lines = blocks("qubesdb.md", "observation")
    seen = parse_observation(["\n".join(lines).encode()])
    assert sorted(format_observation(seen)) == sorted(lines)


def test_elements_of_rules() -> None:
    found = first_cells(section(read_page("rules.md"), "Elements"))
    assert found == {*elements.ELEMENTS, *elements.SYNONYMS}


@pytest.mark.parametrize("line", blocks("rules.md", "rule"))
def test_rule(line: str) -> None:
    assert format_rule(parse_rule(line)) == line


@pytest.mark.parametrize("line", blocks("rules.md", "words"))
def test_words(line: str) -> None:
    parse_words(line.split(" "), now=1_790_000_000)


def test_features() -> None:
    assert first_cells(read_page("features.md")) == set(features.OURS)


def test_lines_of_the_mapping_service() -> None:
    found = first_cells(read_page("port-mapping.md"))
    words = {*mapping_wire._FROM_GATEWAY, *mapping_wire._FROM_DOM0}
    assert found == words
