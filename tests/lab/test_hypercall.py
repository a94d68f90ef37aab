# SPDX-License-Identifier: GPL-2.0-or-later
"""Domains and links made by hand, through the calls that dom0 makes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from qubesforward.errors import LabError, Unavailable
from qubesforward.lab.hypercall import Hypervisor, Link
from qubesforward.lab.topology import DEFAULT_TOPOLOGY
from tests.lab.running_lab import RunningLab, running_lab
from tests.lab.traffic import Answer, probe, probe_all, serving

pytestmark = pytest.mark.lab

INTERNET, INTERNET6 = "198.51.100.2", "2001:db8:ffff::2"
ULA = "fd09:24ef:4179::a89"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab whose qubes all wait to be made."""
    text = DEFAULT_TOPOLOGY.read_text().replace("autostart = true\n", "")
    file = tmp_path_factory.mktemp("topology") / "bare.toml"
    file.write_text(text)
    with running_lab(file) as one:
        # Nobody else shall answer to what happens to the domains.
        one.run("service", "dom0", "stop", "qubesd")
        yield one


def link(backend: str, frontend: str, number: int, above: int) -> Link:
    return Link(
        backend=backend,
        frontend=frontend,
        ip=f"10.137.0.{number}",
        gateway=f"10.137.0.{above}",
        ip6=f"{ULA}:{number}",
        gateway6="fe80::fcff:ffff:feff:ffff",
        dns=["10.139.1.1", "10.139.1.2"],
    )


@asynccontextmanager
async def calling(lab: RunningLab) -> AsyncIterator[Hypervisor]:
    """Make the chain work → sys-firewall → sys-net, and remove it afterwards."""
    hypervisor = await Hypervisor.connect(str(lab.state / "control.sock"))
    try:
        await hypervisor.create("sys-net", "netvm")
        await hypervisor.create("sys-firewall", "netvm")
        await hypervisor.create("work", "app")
        await hypervisor.attach(link("sys-net", "sys-firewall", 6, 5))
        await hypervisor.attach(link("sys-firewall", "work", 20, 6))
        yield hypervisor
    finally:
        for name in await hypervisor.domains():
            await hypervisor.kill(name)
        await hypervisor.aclose()


def in_chain(lab: RunningLab, test: Callable[[Hypervisor], Awaitable[None]]) -> None:
    async def run() -> None:
        async with calling(lab) as hypervisor:
            await test(hypervisor)

    asyncio.run(run())


def reaches_internet(lab: RunningLab, qube: str) -> list[bool]:
    with serving(lab, "internet", [80]):
        wanted = [("tcp", INTERNET, 80), ("tcp", INTERNET6, 80)]
        return [answer is not None for answer in probe_all(lab, qube, wanted)]


def test_chain_made_by_hand_works_in_both_families(bare: RunningLab) -> None:
    async def test(hypervisor: Hypervisor) -> None:
        assert reaches_internet(bare, "work") == [True, True]
        assert await hypervisor.domains() == dict.fromkeys(
            ("sys-net", "sys-firewall", "work"), "running"
        )
        names = bare.check("work", "getent", "ahosts", "www.example.test")
        assert INTERNET in names

    in_chain(bare, test)


def test_links_work_the_moment_they_are_made(bare: RunningLab) -> None:
    async def test(hypervisor: Hypervisor) -> None:
        await hypervisor.detach("work")
        await hypervisor.attach(link("sys-firewall", "work", 20, 6))
        bare.check("work", "ping", "-c1", "-W1", INTERNET6)
        await hypervisor.detach("work")
        await hypervisor.attach(link("sys-firewall", "work", 20, 6))
        bare.check("work", "ping", "-c1", "-W1", INTERNET)

    in_chain(bare, test)


def test_detached_client_is_cut_off_and_the_rest_goes_on(bare: RunningLab) -> None:
    async def test(hypervisor: Hypervisor) -> None:
        await hypervisor.create("personal", "app")
        await hypervisor.attach(link("sys-firewall", "personal", 21, 6))
        await hypervisor.detach("work")
        assert reaches_internet(bare, "work") == [False, False]
        assert reaches_internet(bare, "personal") == [True, True]
        rules = bare.check("sys-firewall", "nft", "list", "ruleset")
        assert "10.137.0.20" not in rules
        assert f"{ULA}:20" not in rules
        await hypervisor.detach("work")

    in_chain(bare, test)


def test_uplink_of_a_netvm_comes_back_while_clients_stay(bare: RunningLab) -> None:
    async def test(hypervisor: Hypervisor) -> None:
        await hypervisor.detach("sys-firewall")
        assert reaches_internet(bare, "work") == [False, False]
        await hypervisor.attach(link("sys-net", "sys-firewall", 6, 5))
        assert reaches_internet(bare, "work") == [True, True]

    in_chain(bare, test)


def test_link_without_the_newer_family(bare: RunningLab) -> None:
    async def test(hypervisor: Hypervisor) -> None:
        await hypervisor.detach("work")
        four = Link("sys-firewall", "work", "10.137.0.20", "10.137.0.6")
        await hypervisor.attach(four)
        assert reaches_internet(bare, "work") == [True, False]

    in_chain(bare, test)


def test_killed_netvm_takes_its_links_along(bare: RunningLab) -> None:
    async def test(hypervisor: Hypervisor) -> None:
        await hypervisor.kill("sys-firewall")
        assert await hypervisor.next_event() == ("died", "sys-firewall")
        assert "eth0" not in bare.check("work", "ip", "link")
        assert "vif" not in bare.check("sys-net", "ip", "link")
        await hypervisor.create("sys-firewall", "netvm")
        await hypervisor.attach(link("sys-net", "sys-firewall", 6, 5))
        await hypervisor.attach(link("sys-firewall", "work", 20, 6))
        assert reaches_internet(bare, "work") == [True, True]

    in_chain(bare, test)


def test_domain_that_ends_by_itself_is_told(bare: RunningLab) -> None:
    async def test(hypervisor: Hypervisor) -> None:
        bare.exec("work", ["kill", "-TERM", "1"])
        event = await asyncio.wait_for(hypervisor.next_event(), 5)
        assert event == ("died", "work")
        assert "work" not in await hypervisor.domains()

    in_chain(bare, test)


def test_shutdown_ends_what_does_not_want_to(bare: RunningLab) -> None:
    async def test(hypervisor: Hypervisor) -> None:
        stubborn = bare.spawn("work", ["sh", "-c", "trap '' TERM; echo; sleep 99"])
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        await asyncio.wait_for(hypervisor.shutdown("work"), 10)
        assert stubborn.wait(5) == 128 + 9
        stubborn.communicate()

    in_chain(bare, test)


def test_paused_qube_neither_runs_nor_routes(bare: RunningLab) -> None:
    async def test(hypervisor: Hypervisor) -> None:
        with serving(bare, "sys-firewall", [80]), serving(bare, "internet", [80]):
            await hypervisor.pause("sys-firewall")
            assert (await hypervisor.domains())["sys-firewall"] == "paused"
            states = bare.check("sys-firewall", "ps", "-e", "-o", "stat=,comm=")
            stopped = [line for line in states.splitlines() if "ps" not in line]
            assert len(stopped) >= 2
            assert all(line.startswith("T") for line in stopped), states
            assert probe(bare, "work", INTERNET, 80) is None
            await hypervisor.unpause("sys-firewall")
            assert probe(bare, "work", INTERNET, 80) == Answer(
                "internet", "198.51.100.1", 80
            )

    in_chain(bare, test)


def test_calls_that_cannot_be_done_say_why(bare: RunningLab) -> None:
    async def test(hypervisor: Hypervisor) -> None:
        refused: list[tuple[Awaitable[object], str]] = [
            (hypervisor.create("work", "app"), "runs already"),
            (hypervisor.create("lan", "app"), "runs already"),
            (hypervisor.create("x", "host"), "a qube is one of"),  # type: ignore[arg-type]
            (hypervisor.kill("nobody"), "does not run"),
            (hypervisor.kill("dom0"), "is no qube"),
            (hypervisor.attach(link("sys-net", "work", 20, 5)), "has a link already"),
            (hypervisor.attach(link("sys-net", "nobody", 20, 5)), "does not run"),
            (hypervisor._call("nonsense"), "no call"),
        ]
        for call, reason in refused:
            with pytest.raises(LabError, match=reason):
                await call

    in_chain(bare, test)


def test_failed_attach_leaves_nothing_behind(bare: RunningLab) -> None:
    async def test(hypervisor: Hypervisor) -> None:
        await hypervisor.detach("work")
        with pytest.raises(LabError):
            await hypervisor.attach(Link("sys-firewall", "work", "nonsense", "1.2.3.4"))
        with pytest.raises(LabError):
            # What the kernel alone can tell: no unicast address.
            await hypervisor.attach(
                Link("sys-firewall", "work", "224.0.0.1", "0.0.0.0")
            )
        assert "eth0" not in bare.check("work", "ip", "link")
        await hypervisor.attach(link("sys-firewall", "work", 20, 6))
        assert reaches_internet(bare, "work") == [True, True]

    in_chain(bare, test)


def test_hypervisor_that_is_not_there() -> None:
    with pytest.raises(Unavailable):
        asyncio.run(Hypervisor.connect("/nonexistent/socket"))
