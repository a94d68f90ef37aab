# SPDX-License-Identifier: GPL-2.0-or-later
"""What dom0 makes of whatever a qube answers to a close question."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from qubesforward.daemon import inquiry
from qubesforward.daemon.inquiry import (
    DIAGNOSE,
    DIAGNOSED,
    DIAGNOSIS,
    STOPPED,
    inquire,
)
from qubesforward.errors import AdminError
from qubesforward.lab.qubesdb_server import QubesDBServer
from qubesforward.model.observation import MOST_VALUES, Observation, Traffic
from qubesforward.plan.facts import Answer
from qubesforward.qubes.qubesdb import QubesDB
from tests.daemon.world import World, in_world, until

ID = "0000000a"
Agent = Callable[[QubesDB, list[str]], Awaitable[None]]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inquiry, "PATIENCE", 0.5)


def says(*values: bytes) -> Agent:
    """An agent that writes these values and says that it is done."""

    async def agent(db: QubesDB, asked: list[str]) -> None:
        items = [(f"{DIAGNOSIS}{number}", value) for number, value in enumerate(values)]
        await db.write_many([*items, (DIAGNOSED, asked[0].encode())])

    return agent


async def play(db: QubesDB, agent: Agent) -> None:
    await db.watch(DIAGNOSE)
    while True:
        await db.next_event()
        asked = (await db.read(DIAGNOSE) or b"").decode().split(" ")
        if asked[0]:
            await agent(db, asked)


def ask(tmp_path: Path, agent: Agent | None, **before: bytes) -> Any:
    """Ask an agent about the entry ID."""

    async def run() -> tuple[Answer, Observation]:
        server = QubesDBServer()
        path = str(tmp_path / "db.sock")
        await server.listen(path)
        db = await QubesDB.connect(path)
        for key, value in before.items():
            await db.write(f"/{key.replace('_', '-')}", value)
        playing = asyncio.create_task(play(db, agent)) if agent else None
        try:
            return await inquire(path, [ID])
        finally:
            if playing:
                playing.cancel()
                await asyncio.gather(playing, return_exceptions=True)
            await db.aclose()
            server.close()

    return asyncio.run(run())


def test_an_answer_is_read(tmp_path: Path) -> None:
    answer, seen = ask(tmp_path, says(b"entry 0000000a 12 3400"))
    assert answer is Answer.GIVEN
    assert seen.held == {ID: Traffic(12, 3400)}


@pytest.mark.parametrize(
    "values",
    [
        (b"\xff\xfe binary",),
        (b"entry 0000000a",),
        (b"entry 0000000b 1 2",),
        (b"entry 0000000a 1 2", b"block " + b"x" * 3000),
        (),
    ],
)
def test_garbage_says_nothing_useful(tmp_path: Path, values: tuple[bytes, ...]) -> None:
    assert ask(tmp_path, says(*values)) == (Answer.USELESS, Observation())


def test_what_is_beyond_the_bound_is_not_read(tmp_path: Path) -> None:
    flood = [b"entry 0000000a 1 2"] * MOST_VALUES + [b"garbage"] * 500
    assert ask(tmp_path, says(*flood))[0] is Answer.GIVEN


def test_silence_is_told_as_silence(tmp_path: Path) -> None:
    assert ask(tmp_path, None)[0] is Answer.SILENT


def test_an_answer_to_somebody_else_is_silence(tmp_path: Path) -> None:
    async def agent(db: QubesDB, _asked: list[str]) -> None:
        await db.write(DIAGNOSED, b"another token")

    assert ask(tmp_path, agent)[0] is Answer.SILENT


def test_an_agent_that_said_goodbye_is_not_waited_for(tmp_path: Path) -> None:
    key = STOPPED.removeprefix("/").replace("-", "_")
    assert ask(tmp_path, None, **{key: b"1"})[0] is Answer.STOPPED


def test_no_qubesdb_is_told_as_such(tmp_path: Path) -> None:
    answer, _seen = asyncio.run(inquire(str(tmp_path / "missing.sock"), [ID]))
    assert answer is Answer.UNASKED


RULE = "forwardtype=external proto=tcp srcports=443-443"


async def diagnose(world: World, payload: str = "") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        await world.call("Diagnose+forward", "work", payload)
    )
    return found


def test_the_call_tells_every_qube_of_the_path(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", RULE)

        async def is_active() -> bool:
            return await world.states("work") == ["active"]

        await until(is_active)
        (forward,) = (await diagnose(world))["forwards"]
        # The agents of this world acknowledge, and know no close questions.
        assert forward["sentence"].startswith("The agent in sys-net does not answer")
        names = [hop["qube"] for hop in forward["hops"]]
        assert (forward["well"], names) == (False, ["sys-net", "sys-firewall", "work"])

    in_world(tmp_path, test)


def test_only_forwards_that_are_there_are_diagnosed(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", RULE)
        other = RULE.replace("443-443", "80-80")
        with pytest.raises(AdminError, match="no such forward"):
            await diagnose(world, f"action=forward {other}\n")
        with pytest.raises(AdminError, match="from="):
            await diagnose(world, "from=somebody\n")

    in_world(tmp_path, test)


def test_of_several_sources_the_one_that_lets_the_client_in_is_told(
    tmp_path: Path,
) -> None:
    async def test(world: World) -> None:
        await world.add("work", f"{RULE} src4=192.168.1.20/32")
        await world.add("work", f"{RULE} src4=192.168.1.21/32")
        (told,) = (await diagnose(world, "from=192.168.1.21\n"))["forwards"]
        assert "192.168.1.21/32" in told["rule"]
        assert len((await diagnose(world, "from=192.168.1.22\n"))["forwards"]) == 2

    in_world(tmp_path, test)
