# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from qubesforward.errors import AdminError, MalformedMessage, Unavailable
from qubesforward.qubes.admin import Service
from qubesforward.qubes.admin_async import AsyncAdminClient, send_call
from qubesforward.qubes.admin_server import (
    AdminException,
    Call,
    Event,
    Handler,
    Subscriber,
    serve_admin,
)
from qubesforward.qubes.admin_wire import NO_ANSWER, encode_call


async def fail(_call: Call) -> bytes:
    raise AdminException("QubesVMNotFoundError", "no such qube: %s", "work")


async def two_events(call: Call) -> AsyncIterator[Event]:
    yield Event(call.dest, "domain-start", {"start_guid": "True"})
    yield Event("", "domain-add", {"vm": "new"})


def run(
    directory: Path,
    test: Callable[[AsyncAdminClient], Awaitable[None]],
    handle: Handler = fail,
    subscribe: Subscriber | None = None,
) -> None:
    async def serve() -> None:
        qubesd, forwardd = str(directory / "qubesd"), str(directory / "forwardd")
        server = await serve_admin(qubesd, handle, subscribe)
        async with asyncio.timeout(20):
            await test(AsyncAdminClient(qubesd, forwardd, 10.0))
        server.close()

    asyncio.run(serve())


def make_client(directory: Path, timeout: float) -> AsyncAdminClient:
    return AsyncAdminClient(str(directory / "qubesd"), str(directory / "f"), timeout)


def test_many_calls_at_once_get_their_own_answers(socket_dir: Path) -> None:
    async def echo(call: Call) -> bytes:
        return call.payload

    async def test(client: AsyncAdminClient) -> None:
        calls = [client.call("a.b", payload=b"%d" % n) for n in range(300)]
        assert await asyncio.gather(*calls) == [b"%d" % n for n in range(300)]

    run(socket_dir, test, echo)


def test_calls_about_forwards_go_to_forwardd_where_it_is(socket_dir: Path) -> None:
    async def forwardd(_call: Call) -> bytes:
        return b"forwardd"

    async def qubesd(_call: Call) -> bytes:
        return b"qubesd"

    async def test(client: AsyncAdminClient) -> None:
        about_forwards = ("admin.vm.firewall.Get", "work", "forward")
        assert await client.call(*about_forwards) == b"qubesd"
        server = await serve_admin(str(socket_dir / "forwardd"), forwardd)
        assert await client.call(*about_forwards) == b"forwardd"
        assert await client.call("admin.vm.firewall.Get", "work") == b"qubesd"
        assert await client.call("admin.vm.List", "work") == b"qubesd"
        server.close()

    run(socket_dir, test, qubesd)


def test_exception_becomes_an_error_with_its_kind_and_text(socket_dir: Path) -> None:
    async def test(client: AsyncAdminClient) -> None:
        with pytest.raises(AdminError, match=r"^no such qube: work$") as caught:
            await client.call("admin.vm.List")
        assert caught.value.kind == "QubesVMNotFoundError"

    run(socket_dir, test)


def test_call_can_be_passed_on_unread(socket_dir: Path) -> None:
    async def test(_client: AsyncAdminClient) -> None:
        service = Service(str(socket_dir / "qubesd"), "qubesd")
        request = encode_call(Call("admin.vm.List", "", "dom0", "work"))
        reply = await send_call(service, request, 10.0)
        assert reply == b"2\0QubesVMNotFoundError\0\0no such qube: %s\0work\0"
        assert await send_call(service, b"nonsense", 10.0) == b""

    run(socket_dir, test)


def test_missing_service_says_what_to_do(socket_dir: Path) -> None:
    async def test() -> None:
        client = make_client(socket_dir, 10.0)
        with pytest.raises(Unavailable, match="systemctl start qubesd"):
            await client.call("admin.vm.List")
        with pytest.raises(Unavailable, match="systemctl start qubesd"):
            await anext(client.events())

    asyncio.run(test())


@pytest.mark.parametrize("accepts", [True, False])
def test_silent_service_is_unavailable(socket_dir: Path, accepts: bool) -> None:
    path = str(socket_dir / "qubesd")

    async def test() -> None:
        client = make_client(socket_dir, 0.05)
        with pytest.raises(Unavailable, match="did not answer"):
            await client.call("admin.vm.List")
        with pytest.raises(Unavailable, match="did not answer"):
            await anext(client.events())

    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as full:
        silent.bind(path)
        silent.listen(5 if accepts else 0)
        full.connect(path)
        asyncio.run(test())


def test_events_arrive_after_the_confirmation(socket_dir: Path) -> None:
    async def test(client: AsyncAdminClient) -> None:
        assert [event async for event in client.events("work")] == [
            Event("", "connection-established"),
            Event("work", "domain-start", {"start_guid": "True"}),
            Event("", "domain-add", {"vm": "new"}),
        ]

    run(socket_dir, test, subscribe=two_events)


def test_events_may_be_long_in_coming(socket_dir: Path) -> None:
    async def subscribe(_call: Call) -> AsyncIterator[Event]:
        await asyncio.sleep(0.3)
        yield Event("work", "late")

    async def test(_client: AsyncAdminClient) -> None:
        client = make_client(socket_dir, 0.2)
        names = [event.name async for event in client.events()]
        assert names == ["connection-established", "late"]

    run(socket_dir, test, subscribe=subscribe)


def test_listening_can_be_ended(socket_dir: Path) -> None:
    left = asyncio.Event()

    async def subscribe(_call: Call) -> AsyncIterator[Event]:
        try:
            while True:
                yield Event("work", "tick")
                await asyncio.sleep(0.01)
        finally:
            left.set()

    async def test(client: AsyncAdminClient) -> None:
        events = client.events()
        async with aclosing(events) as stream:
            async for event in stream:
                if event.name == "tick":
                    break
        await left.wait()

    run(socket_dir, test, subscribe=subscribe)


def test_events_that_are_refused_raise_what_a_call_raises(socket_dir: Path) -> None:
    async def refuse(call: Call) -> AsyncIterator[Event]:
        if call.dest == "work":
            raise AdminException("QubesVMNotFoundError", "no such qube: work")
        yield Event("", "never")

    async def test(client: AsyncAdminClient) -> None:
        with pytest.raises(AdminError, match="no such qube"):
            await anext(client.events("work"))

    run(socket_dir, test, subscribe=refuse)


def test_service_without_events_refuses(socket_dir: Path) -> None:
    async def test(client: AsyncAdminClient) -> None:
        with pytest.raises(AdminError) as caught:
            await anext(client.events())
        assert caught.value.kind == NO_ANSWER

    run(socket_dir, test)


def test_answer_that_is_no_event_is_malformed(socket_dir: Path) -> None:
    async def test() -> None:
        async def serve(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            await reader.read()
            writer.write(b"0\0something else")
            writer.close()

        path = str(socket_dir / "qubesd")
        server = await asyncio.start_unix_server(serve, path)
        with pytest.raises(MalformedMessage):
            await anext(make_client(socket_dir, 10.0).events())
        server.close()

    asyncio.run(test())
