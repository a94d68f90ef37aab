# SPDX-License-Identifier: GPL-2.0-or-later
"""Names are looked up beside the main path, again and again, and never waited for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address

from qubesforward.agent.resolver import MOST_ADDRESSES, Patience, Resolver

ONE, TWO = ip_address("192.0.2.1"), ip_address("192.0.2.2")


class Answers:
    """A DNS whose answers can be set, and withheld: absent names do not exist."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.hold = threading.Event()
        self.hold.set()

    def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        if name == "slow":
            self.hold.wait(5)
        if name not in self.answers:
            raise OSError("no such name")
        return self.answers[name]


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 3
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


def test_addresses_of_both_families_are_known_after_a_while() -> None:
    async def run() -> None:
        changed: list[str] = []
        answers = Answers(a=["192.0.2.1", "2001:db8::1", "192.0.2.1", "fe80::1%eth0"])
        resolver = Resolver(changed.append, answers)
        resolver.want(["a"])
        assert resolver.addresses("a") == frozenset()
        await until(lambda: changed == ["a"])
        assert resolver.addresses("a") == {ONE, ip_address("2001:db8::1")}
        resolver.close()

    asyncio.run(run())


def test_a_name_that_hangs_does_not_hold_the_others() -> None:
    async def run() -> None:
        changed: list[str] = []
        answers = Answers(slow=["192.0.2.2"], a=["192.0.2.1"])
        answers.hold.clear()
        resolver = Resolver(changed.append, answers)
        started = time.monotonic()
        resolver.want(["slow"])
        resolver.want(["slow", "a"])
        assert time.monotonic() - started < 0.5
        await until(lambda: changed == ["a"])
        answers.hold.set()
        await until(lambda: changed == ["a", "slow"])
        resolver.close()

    asyncio.run(run())


def test_a_name_that_fails_is_asked_again() -> None:
    async def run() -> None:
        changed: list[str] = []
        answers = Answers()
        resolver = Resolver(changed.append, answers, Patience(retry=0.01))
        resolver.want(["a"])
        await until(lambda: len(answers.asked) >= 2)
        assert changed == []
        answers.answers["a"] = ["192.0.2.1"]
        await until(lambda: changed == ["a"])
        resolver.close()

    asyncio.run(run())


def test_an_outage_does_not_take_known_addresses_away() -> None:
    async def run() -> None:
        answers = Answers(a=["192.0.2.1"])
        changed: list[str] = []
        resolver = Resolver(changed.append, answers, Patience(0.01, 0.01, 0.0))
        resolver.want(["a"])
        await until(lambda: changed == ["a"])
        del answers.answers["a"]
        count = len(answers.asked)
        await until(lambda: len(answers.asked) > count + 1)
        assert resolver.addresses("a") == {ONE}
        resolver.close()

    asyncio.run(run())


def test_addresses_that_went_out_of_the_answer_stay_for_a_while() -> None:
    async def run() -> None:
        answers = Answers(a=["192.0.2.1"])
        changed: list[str] = []
        resolver = Resolver(changed.append, answers, Patience(0.01, keep=0.3))
        resolver.want(["a"])
        await until(lambda: changed == ["a"])
        answers.answers["a"] = ["192.0.2.2"]
        await until(lambda: resolver.addresses("a") == {ONE, TWO})
        await until(lambda: resolver.addresses("a") == {TWO})
        assert changed == ["a"] * 3
        resolver.close()

    asyncio.run(run())


def test_names_that_are_not_wanted_any_more_are_left_alone() -> None:
    async def run() -> None:
        answers = Answers(slow=["192.0.2.1"], a=["192.0.2.1"])
        answers.hold.clear()
        changed: list[str] = []
        resolver = Resolver(changed.append, answers, Patience(refresh=0.01))
        resolver.want(["slow", "a"])
        await until(lambda: "a" in changed)
        resolver.want([])
        answers.hold.set()
        asked = len(answers.asked)
        await asyncio.sleep(0.05)
        # One lookup more may have been on its way.
        assert len(answers.asked) <= asked + 1
        assert "slow" not in changed
        assert resolver.addresses("a") == frozenset()
        resolver.close()

    asyncio.run(run())


def test_a_refresh_asks_at_once() -> None:
    async def run() -> None:
        answers = Answers(a=["192.0.2.1"])
        changed: list[str] = []
        resolver = Resolver(changed.append, answers)
        resolver.want(["a"])
        await until(lambda: changed == ["a"])
        answers.answers["a"] = ["192.0.2.2"]
        resolver.refresh(["a", "unwanted"])
        await until(lambda: changed == ["a", "a"])
        assert answers.asked == ["a", "a"]
        resolver.close()

    asyncio.run(run())


def test_a_zone_full_of_addresses_is_cut_short() -> None:
    async def run() -> None:
        many = [str(ip_address(0x0A000000 + number)) for number in range(1000)]
        changed: list[str] = []
        resolver = Resolver(changed.append, Answers(a=many))
        resolver.want(["a"])
        await until(lambda: changed == ["a"])
        assert len(resolver.addresses("a")) == MOST_ADDRESSES
        resolver.close()

    asyncio.run(run())


def test_a_label_that_no_dns_takes_is_just_not_there() -> None:
    async def run() -> None:
        changed: list[str] = []
        resolver = Resolver(changed.append, patience=Patience(retry=0.01))
        resolver.want(["a" * 64 + ".example", "localhost"])
        await until(lambda: changed == ["localhost"])
        resolver.close()

    asyncio.run(run())
