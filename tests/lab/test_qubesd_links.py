# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from qubesforward.errors import AdminError
from tests.lab.qubesd_world import World, in_world


def test_another_netvm_takes_the_old_link_away_first(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        before = len(world.machine.log)
        await world.set("work", "netvm", "sys-net")
        assert world.machine.log[before:] == ["detach work", "attach work"]
        link = world.machine.links["work"]
        assert (link.backend, link.gateway) == ("sys-net", "10.137.0.2")
        stores = world.databases.stores
        assert stores["work"]["/qubes-gateway"] == "10.137.0.2"
        assert "10.137.0.4" in stores["sys-net"]["/connected-ips"].split()
        assert "10.137.0.4" not in stores["sys-firewall"]["/connected-ips"].split()

    in_world(tmp_path, test)


def test_no_netvm_takes_the_link_and_the_keys_away(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        await world.set("work", "netvm", "")
        assert "work" not in world.machine.links
        assert "/qubes-ip" not in world.databases.stores["work"]
        assert await world.read("work", "ip") == ""

    in_world(tmp_path, test)


def test_running_qube_cannot_move_to_a_halted_netvm(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.set("personal", "netvm", "")
        await world.call("admin.vm.Start", "personal")
        with pytest.raises(AdminError) as caught:
            await world.set("personal", "netvm", "sys-net")
        assert caught.value.kind == "QubesVMNotStartedError"
        assert await world.read("personal", "netvm") == ""

    in_world(tmp_path, test)


def test_new_address_links_the_qube_and_its_clients_anew(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        await world.set("sys-firewall", "ip", "10.137.7.7")
        links = world.machine.links
        assert links["sys-firewall"].ip == "10.137.7.7"
        assert links["work"].gateway == "10.137.7.7"
        stores = world.databases.stores
        assert stores["work"]["/qubes-gateway"] == "10.137.7.7"
        assert stores["sys-firewall"]["/qubes-netvm-gateway"] == "10.137.7.7"
        assert "10.137.7.7" in stores["sys-net"]["/connected-ips"].split()

    in_world(tmp_path, test)


def test_setting_what_is_already_so_disturbs_no_link(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        before = len(world.machine.log)
        await world.set("work", "netvm", "sys-firewall")
        await world.set("work", "ip", "10.137.0.4")
        assert world.machine.log[before:] == []

    in_world(tmp_path, test)


def test_ipv6_goes_and_comes_with_the_feature_up_the_chain(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        await world.call("admin.vm.feature.Set", "sys-net", "ipv6", "")
        assert await world.read("work", "ip6") == ""
        assert world.machine.links["work"].ip6 is None
        assert world.machine.links["work"].gateway6 is None
        assert "/qubes-ip6" not in world.databases.stores["work"]
        assert world.databases.stores["sys-firewall"]["/connected-ips6"] == ""
        await world.call("admin.vm.feature.Set", "sys-firewall", "ipv6", "1")
        assert world.machine.links["work"].gateway6 == "fd09:24ef:4179::a89:3"
        await world.call("admin.vm.feature.Remove", "sys-firewall", "ipv6")
        assert world.machine.links["work"].ip6 is None

    in_world(tmp_path, test)


def test_qubesdb_tells_every_kind_of_qube_what_it_is(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        await world.call("admin.vm.Start", "vault")
        stores = world.databases.stores
        kinds = {
            name: stores[name]["/qubes-vm-type"] for name in stores if name[0] != "d"
        }
        assert kinds == {
            "sys-net": "NetVM",
            "sys-firewall": "ProxyVM",
            "work": "AppVM",
            "vault": "AppVM",
        }
        assert "/qubes-ip" not in stores["vault"]
        assert "/qubes-ip" not in stores["sys-net"]
        assert stores["work"]["/type"] == "AppVM"

    in_world(tmp_path, test)


def test_lost_qubesdb_is_started_and_filled_anew(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        del world.databases.stores["work"]
        await world.set("sys-firewall", "ip", "10.137.7.7")
        assert world.databases.stores["work"]["/qubes-gateway"] == "10.137.7.7"
        await world.call("admin.vm.Kill", "work")
        assert "work" not in world.databases.stores

    in_world(tmp_path, test)


def test_routing_cannot_be_switched_while_the_qube_runs(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        with pytest.raises(AdminError) as caught:
            await world.set("work", "provides_network", "True")
        assert caught.value.kind == "QubesVMNotHaltedError"

    in_world(tmp_path, test)
