# SPDX-License-Identifier: GPL-2.0-or-later
"""The call to dom0: made again when it ends, and never more than one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import pytest

from qubesforward.gateway.session import Session
from qubesforward.qubes.mapping_wire import FromDom0, Outside, Seed, Watch

SEED = "0a" * 32


class Told:
    """What a session said that happened."""

    def __init__(self) -> None:
        self.received: list[FromDom0] = []
        self.came = self.went = 0

    def count_came(self) -> None:
        self.came += 1

    def count_went(self) -> None:
        self.went += 1


def run(program: str, is_done: Callable[[Told, Session], bool]) -> Told:
    """Have a session with a program in dom0's place, until something is so."""
    told = Told()

    async def work() -> None:
        session = Session(
            told.received.append,
            told.count_came,
            told.count_went,
            (sys.executable, "-c", program),
        )
        task = asyncio.create_task(session.run())
        try:
            async with asyncio.timeout(10):
                while not is_done(told, session):
                    await asyncio.sleep(0.01)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(work())
    return told


def test_lines_of_dom0_are_taken_in() -> None:
    program = f"print('seed value={SEED}\\nwatch wanted=yes', flush=True); input()"
    told = run(program, lambda told, _: len(told.received) == 2)
    assert told.received == [Seed(SEED), Watch(True)]
    assert told.came == 1


def test_what_is_said_comes_to_dom0() -> None:
    said: list[bool] = []

    def is_done(told: Told, session: Session) -> bool:
        if told.came and not said:
            said.append(session.say(Outside()))
        return len(told.received) == 2

    program = f"""
print("seed value={SEED}", flush=True)
print("watch wanted=yes" if input() == "outside" else "", flush=True)
"""
    told = run(program, is_done)
    assert said == [True]
    assert told.received[1] == Watch(True)


def test_a_call_that_ends_is_made_again() -> None:
    program = f"print('seed value={SEED}')"
    told = run(program, lambda told, _: told.came >= 2)
    assert told.went >= 1


def test_nobody_has_come_before_dom0_has_said_something() -> None:
    """A call that nobody takes would have made the gateway let go of everything."""
    told = run("", lambda told, _: told.went >= 2)
    assert told.came == 0


@pytest.mark.parametrize(
    "line",
    [
        "'map client=10.0.0.1 proto=udp inner=1 outer=1 lifetime=1 holder=igd\\n'",
        "'x' * 5000 + '\\n'",
        "'\\n'",
    ],
)
def test_a_line_that_is_none_ends_the_call(line: str) -> None:
    program = f"print('seed value={SEED}\\n' + {line}, end='', flush=True); input()"
    told = run(program, lambda told, _: told.came >= 2)
    assert set(told.received) == {Seed(SEED)}


def test_a_program_that_is_not_there_is_looked_for_again() -> None:
    calls = 0

    async def work() -> None:
        nonlocal calls

        def count() -> None:
            nonlocal calls
            calls += 1

        session = Session(lambda _: None, count, count, ("/nowhere/qrexec",))
        task = asyncio.create_task(session.run())
        await asyncio.sleep(0.3)
        assert not task.done()
        assert not session.say(Outside())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(work())
    assert calls == 0


def test_a_dom0_that_does_not_read_is_let_go() -> None:
    """What is said to it would be kept without an end."""
    sizes = []

    def is_done(told: Told, session: Session) -> bool:
        if told.came:
            for _ in range(1000):
                sizes.append(session.say(Outside()))
        return told.went > 0

    program = f"import time; print('seed value={SEED}', flush=True); time.sleep(60)"
    run(program, is_done)
    assert sizes[0]
    assert not all(sizes)
