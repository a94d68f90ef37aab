# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import socket
from pathlib import Path

import pytest

from qubesforward.errors import AdminError
from qubesforward.qubes.admin_wire import NO_ANSWER, decode_properties
from tests.lab.qubesd_world import World, in_world


async def _kind(world: World, method: str, *words: str) -> str:
    """The kind of exception that a call is answered with."""
    with pytest.raises(AdminError) as caught:
        await world.call(method, *words)
    return caught.value.kind


def test_listing_has_dom0_first_and_stock_words(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        lines = (await world.call("admin.vm.List")).splitlines()
        assert lines[0] == "dom0 class=AdminVM state=Running"
        assert "work class=AppVM state=Halted" in lines
        assert "debian-12 class=TemplateVM state=Halted" in lines
        assert lines[1:] == sorted(lines[1:])

    in_world(tmp_path, test)


def test_listing_about_one_qube_tells_of_that_one(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        assert await world.call("admin.vm.List", "work") == (
            "work class=AppVM state=Halted\n"
        )

    in_world(tmp_path, test)


@pytest.mark.parametrize(
    ("prop", "answer"),
    [
        ("name", "default=False type=str work"),
        ("qid", "default=False type=int 4"),
        ("xid", "default=True type=int -1"),
        ("klass", "default=True type=str AppVM"),
        ("label", "default=False type=label blue"),
        ("netvm", "default=True type=vm sys-firewall"),
        ("template", "default=False type=vm debian-12"),
        ("provides_network", "default=True type=bool False"),
        ("autostart", "default=False type=bool True"),
        ("ip", "default=True type=str 10.137.0.4"),
        ("ip6", "default=True type=str fd09:24ef:4179::a89:4"),
        ("visible_gateway", "default=True type=str 10.137.0.3"),
        ("visible_gateway6", "default=True type=str fd09:24ef:4179::a89:3"),
        ("gateway", "default=True type=str "),
        ("dns", "default=True type=str 10.139.1.1 10.139.1.2"),
    ],
)
def test_property_reads_as_in_stock(tmp_path: Path, prop: str, answer: str) -> None:
    async def test(world: World) -> None:
        assert await world.call("admin.vm.property.Get", "work", prop) == answer

    in_world(tmp_path, test)


def test_get_all_has_every_listed_property(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        for name in ("dom0", "work", "sys-net", "debian-12"):
            listed = (await world.call("admin.vm.property.List", name)).split()
            answer = await world.call("admin.vm.property.GetAll", name)
            found = decode_properties(answer.encode())
            assert sorted(found) == listed
            for prop in listed:
                one = await world.call("admin.vm.property.Get", name, prop)
                assert one.endswith(found[prop].value)

    in_world(tmp_path, test)


def test_uuid_is_random_and_kept(tmp_path: Path) -> None:
    seen: list[str] = []

    async def test(world: World) -> None:
        seen.append(await world.read("work", "uuid"))
        seen.append(await world.read("personal", "uuid"))

    in_world(tmp_path, test)
    in_world(tmp_path, test)
    assert seen[:2] == seen[2:]
    assert seen[0] != seen[1]


def test_default_is_told_without_being_set(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.set("work", "netvm", "sys-net")
        answer = await world.call("admin.vm.property.GetDefault", "work", "netvm")
        assert answer == "type=vm sys-firewall"
        assert await world.call("admin.vm.property.GetDefault", "work", "name") == ""

    in_world(tmp_path, test)


def test_setting_and_resetting_a_property_is_told(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        async with world.hear() as heard:
            await world.set("work", "netvm", "")
            await world.call("admin.vm.property.Reset", "work", "netvm")
            await world.set("vault", "label", "green")
        told = [(event.subject, event.name, dict(event.kwargs)) for event in heard]
        gone = {"name": "netvm", "newvalue": "None", "oldvalue": "sys-firewall"}
        back = {"name": "netvm", "newvalue": "sys-firewall", "oldvalue": "None"}
        assert told == [
            ("work", "property-set:netvm", gone),
            ("work", "property-reset:netvm", {"name": "netvm", "oldvalue": "None"}),
            ("work", "property-set:netvm", back),
            (
                "vault",
                "property-set:label",
                {"name": "label", "newvalue": "green", "oldvalue": "black"},
            ),
        ]

    in_world(tmp_path, test)


def test_events_of_one_qube_leave_out_the_others(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        async with world.hear("vault") as heard:
            await world.set("work", "label", "green")
            await world.set("vault", "label", "green")
        assert [event.subject for event in heard] == ["vault"]

    in_world(tmp_path, test)


@pytest.mark.parametrize(
    ("method", "dest", "arg", "payload", "kind"),
    [
        ("admin.vm.property.Get", "nobody", "ip", "", "QubesVMNotFoundError"),
        ("admin.vm.property.Get", "work", "nothing", "", "QubesNoSuchPropertyError"),
        ("admin.vm.property.Get", "dom0", "netvm", "", "QubesNoSuchPropertyError"),
        ("admin.property.Get", "dom0", "nothing", "", "QubesNoSuchPropertyError"),
        ("admin.vm.property.Set", "work", "netvm", "work", "QubesValueError"),
        ("admin.vm.property.Set", "work", "netvm", "vault", "QubesValueError"),
        ("admin.vm.property.Set", "work", "netvm", "none!", "QubesVMNotFoundError"),
        (
            "admin.vm.property.Set",
            "sys-net",
            "netvm",
            "sys-firewall",
            "QubesValueError",
        ),
        ("admin.vm.property.Set", "work", "ip", "10.0.0.256", "QubesValueError"),
        ("admin.vm.property.Set", "work", "ip6", "fe80::1%eth0", "QubesValueError"),
        ("admin.vm.property.Set", "work", "label", "pink", "QubesValueError"),
        ("admin.vm.property.Set", "work", "autostart", "maybe", "QubesValueError"),
        ("admin.vm.property.Set", "work", "gateway", "10.0.0.1", "QubesValueError"),
        ("admin.vm.property.Set", "work", "name", "play", "QubesValueError"),
        ("admin.vm.property.Reset", "work", "template", "", "QubesValueError"),
        (
            "admin.vm.property.Set",
            "sys-net",
            "provides_network",
            "no",
            "QubesValueError",
        ),
        ("admin.property.Set", "dom0", "default_netvm", "work", "QubesValueError"),
        ("admin.vm.feature.Get", "work", "nothing", "", "QubesFeatureNotFoundError"),
        ("admin.vm.feature.Remove", "work", "nothing", "", "QubesFeatureNotFoundError"),
        ("admin.vm.tag.Remove", "work", "nothing", "", "QubesTagNotFoundError"),
        ("admin.vm.Shutdown", "work", "", "", "QubesVMNotStartedError"),
        ("admin.vm.Kill", "work", "", "", "QubesVMNotStartedError"),
        ("admin.vm.Pause", "work", "", "", "QubesVMNotRunningError"),
        ("admin.vm.Unpause", "work", "", "", "QubesVMNotPausedError"),
        ("admin.vm.Remove", "sys-net", "", "", "QubesVMInUseError"),
        ("admin.vm.Remove", "debian-12", "", "", "QubesVMInUseError"),
        ("admin.vm.Remove", "dom0", "", "", "QubesVMInUseError"),
        ("admin.vm.CreateDisposable", "work", "", "", "QubesValueError"),
        ("admin.vm.Create.AppVM", "dom0", "", "name=work label=red", "QubesValueError"),
        (
            "admin.vm.Create.AppVM",
            "dom0",
            "nobody",
            "name=x label=red",
            "QubesVMNotFoundError",
        ),
        (
            "admin.vm.Create.AppVM",
            "dom0",
            "work",
            "name=x label=red",
            "QubesValueError",
        ),
        ("admin.vm.Create.AppVM", "dom0", "", "name=../x label=red", "QubesValueError"),
        ("admin.label.Get", "dom0", "pink", "", "QubesValueError"),
    ],
)
def test_what_cannot_be_is_answered_with_stock_exception(
    tmp_path: Path, method: str, dest: str, arg: str, payload: str, kind: str
) -> None:
    async def test(world: World) -> None:
        before = world.paths.state.read_bytes()
        assert await _kind(world, method, dest, arg, payload) == kind
        assert world.paths.state.read_bytes() == before

    in_world(tmp_path, test)


@pytest.mark.parametrize(
    ("method", "dest", "arg", "payload"),
    [
        ("admin.vm.Nothing", "dom0", "", ""),
        ("admin.vm.List", "dom0", "arg", ""),
        ("admin.vm.List", "dom0", "", "payload"),
        ("admin.vm.property.Get", "work", "", ""),
        ("admin.property.Get", "work", "default_netvm", ""),
        ("admin.vm.Start", "work", "now", ""),
        ("admin.vm.Shutdown", "work", "now", ""),
        ("admin.vm.Create.AdminVM", "dom0", "", "name=x label=red"),
        ("admin.vm.Create.AppVM", "dom0", "", "name=x"),
        ("admin.vm.Create.AppVM", "dom0", "", "name=x label=red name=y"),
        ("admin.vm.Create.AppVM", "dom0", "", "name=x label=red pool=y"),
        ("admin.vm.tag.Set", "work", "two/words", ""),
        ("admin.vm.feature.Set", "work", "ipv6", "é"),
    ],
)
def test_call_that_breaks_the_contract_gets_no_answer(
    tmp_path: Path, method: str, dest: str, arg: str, payload: str
) -> None:
    async def test(world: World) -> None:
        assert await _kind(world, method, dest, arg, payload) == NO_ANSWER

    in_world(tmp_path, test)


def test_percent_sign_in_a_name_survives_the_clients_formatting(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        with pytest.raises(AdminError, match="'%s%%d'"):
            await world.call("admin.vm.property.Get", "work", "%s%%d")

    in_world(tmp_path, test)


def test_features_are_looked_up_where_the_call_says(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        agent = "supported-service.qubes-forward"
        check = "admin.vm.feature.Check"
        assert await world.call(check + "WithTemplate", "work", agent) == "1"
        assert await _kind(world, "admin.vm.feature.Get", "work", agent)
        assert await world.call(check + "WithNetvm", "work", "ipv6") == "1"
        assert await _kind(world, check + "WithTemplate", "work", "ipv6")
        await world.call("admin.vm.feature.Set", "dom0", "gui", "yes")
        assert await world.call(check + "WithAdminVM", "work", "gui") == "yes"
        both = check + "WithTemplateAndAdminVM"
        assert await world.call(both, "work", "gui") == "yes"
        assert await world.call(both, "work", agent) == "1"

    in_world(tmp_path, test)


def test_features_and_tags_come_and_go_and_are_told(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        async with world.hear("work") as heard:
            await world.call("admin.vm.feature.Set", "work", "portmap", "ask")
            await world.call("admin.vm.feature.Set", "work", "portmap", "allow")
            assert "portmap\n" in await world.call("admin.vm.feature.List", "work")
            await world.call("admin.vm.feature.Remove", "work", "portmap")
            await world.call("admin.vm.tag.Set", "work", "mine")
            assert await world.call("admin.vm.tag.Get", "work", "mine") == "1"
            assert "mine\n" in await world.call("admin.vm.tag.List", "work")
            await world.call("admin.vm.tag.Remove", "work", "mine")
            assert await world.call("admin.vm.tag.Get", "work", "mine") == "0"
        assert [(event.name, dict(event.kwargs)) for event in heard] == [
            ("domain-feature-set:portmap", {"feature": "portmap", "value": "ask"}),
            (
                "domain-feature-set:portmap",
                {"feature": "portmap", "value": "allow", "oldvalue": "ask"},
            ),
            ("domain-feature-delete:portmap", {"feature": "portmap"}),
            ("domain-tag-add:mine", {"tag": "mine"}),
            ("domain-tag-delete:mine", {"tag": "mine"}),
        ]

    in_world(tmp_path, test)


def test_default_netvm_change_reaches_those_that_follow_it(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        async with world.hear() as heard:
            await world.call("admin.property.Set", "dom0", "default_netvm", "sys-net")
        assert await world.read("work", "netvm") == "sys-net"
        assert await world.read("sys-firewall", "netvm") == "sys-net"
        told = [(event.subject, event.name) for event in heard]
        assert told[0] == ("", "property-set:default_netvm")
        assert ("work", "property-reset:netvm") in told
        assert ("work", "property-set:netvm") in told
        assert ("personal", "property-reset:netvm") not in told

    in_world(tmp_path, test)


def test_default_netvm_cannot_make_a_loop(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.set("vault", "provides_network", "True")
        await world.call("admin.vm.property.Reset", "vault", "netvm")
        words = ("dom0", "default_netvm", "vault")
        assert await _kind(world, "admin.property.Set", *words) == "QubesValueError"
        assert await world.read("work", "netvm") == "sys-firewall"

    in_world(tmp_path, test)


def test_labels_and_classes_are_stock_ones(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        assert (await world.call("admin.label.List")).split()[0] == "red"
        assert await world.call("admin.label.Get", "dom0", "blue") == "0x3465a4"
        assert await world.call("admin.label.Index", "dom0", "blue") == "6"
        assert "DispVM" in (await world.call("admin.vmclass.List")).split()

    in_world(tmp_path, test)


def test_garbage_on_the_socket_harms_nobody(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        for garbage in (b"", b"\0" * 9, b"x" * 70_000, b"admin.vm.List dom0 name\0"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.connect(world.socket)
                client.send(garbage)
        assert await world.state("work") == "Halted"

    in_world(tmp_path, test)
