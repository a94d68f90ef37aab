# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qubesforward.errors import AdminError, MalformedMessage, Unavailable
from qubesforward.qubes.admin import AdminClient
from qubesforward.qubes.admin_server import (
    AdminException,
    Call,
    Event,
    Handler,
    serve_admin,
)
from qubesforward.qubes.admin_wire import MAX_CALL, NO_ANSWER
from tests.qubes.running import in_thread


@contextmanager
def serving(path: Path, handle: Handler) -> Iterator[None]:
    with in_thread(lambda: serve_admin(str(path), handle)):
        yield


def make_client(directory: Path, timeout: float = 10.0) -> AdminClient:
    return AdminClient(str(directory / "qubesd"), str(directory / "forwardd"), timeout)


def naming(name: str) -> Handler:
    async def handle(call: Call) -> bytes:
        return f"{name}:{call.method}+{call.arg}@{call.dest}:".encode() + call.payload

    return handle


def test_call_reaches_qubesd(socket_dir: Path) -> None:
    with serving(socket_dir / "qubesd", naming("qubesd")):
        client = make_client(socket_dir)
        found = client.call("admin.vm.feature.Set", "work", "portmap", b"ask")
        assert found == b"qubesd:admin.vm.feature.Set+portmap@work:ask"


def test_calls_about_forwards_go_to_forwardd_where_it_is(socket_dir: Path) -> None:
    client = make_client(socket_dir)
    about_forwards = ("admin.vm.firewall.Get", "work", "forward")
    with serving(socket_dir / "qubesd", naming("qubesd")):
        assert client.call(*about_forwards).startswith(b"qubesd:")
        with serving(socket_dir / "forwardd", naming("forwardd")):
            assert client.call(*about_forwards).startswith(b"forwardd:")
            assert client.call("admin.vm.firewall.Get").startswith(b"qubesd:")
            assert client.call("admin.vm.firewall.Get", "work", "forwards").startswith(
                b"qubesd:"
            )
            assert client.call("admin.vm.List", "work", "forward").startswith(
                b"qubesd:"
            )
            assert client.call("admin.vm.firewalling").startswith(b"qubesd:")


def test_exception_becomes_an_error_with_its_kind_and_text(socket_dir: Path) -> None:
    async def handle(_call: Call) -> bytes:
        raise AdminException("QubesVMNotFoundError", "no such qube: %s", "work")

    with (
        serving(socket_dir / "qubesd", handle),
        pytest.raises(AdminError, match=r"^no such qube: work$") as caught,
    ):
        make_client(socket_dir).call("admin.vm.List")
    assert caught.value.kind == "QubesVMNotFoundError"


def test_large_reply_arrives_whole(socket_dir: Path) -> None:
    content = os.urandom(3_000_000)

    async def handle(_call: Call) -> bytes:
        return content

    with serving(socket_dir / "qubesd", handle):
        assert make_client(socket_dir).call("admin.vm.List") == content


@pytest.mark.parametrize("name", ["qubesd", "qubes-forwardd"])
def test_missing_service_says_what_to_do(socket_dir: Path, name: str) -> None:
    method, arg = "admin.vm.List", ""
    if name == "qubes-forwardd":
        method, arg = "admin.vm.firewall.Get", "forward"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(socket_dir / "forwardd"))
    with pytest.raises(Unavailable, match=f"systemctl start {name}"):
        make_client(socket_dir).call(method, "work", arg)


@contextmanager
def listening(path: Path, backlog: int = 5) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(backlog)
        yield listener


def test_silent_service_is_unavailable(socket_dir: Path) -> None:
    with (
        listening(socket_dir / "qubesd"),
        pytest.raises(Unavailable, match=r"did not answer .* within 0\.05 s"),
    ):
        make_client(socket_dir, timeout=0.05).call("admin.vm.List")


def test_service_that_dribbles_is_bounded_by_the_whole_time(socket_dir: Path) -> None:
    with listening(socket_dir / "qubesd") as listener:

        def dribble() -> None:
            with listener.accept()[0] as connection:
                try:
                    while True:
                        connection.sendall(b"0")
                        threading.Event().wait(0.02)
                except OSError:
                    return

        thread = threading.Thread(target=dribble)
        thread.start()
        with pytest.raises(Unavailable, match="did not answer"):
            make_client(socket_dir, timeout=0.2).call("admin.vm.List")
        thread.join()


def test_full_backlog_is_waited_for(socket_dir: Path) -> None:
    path = socket_dir / "qubesd"
    with listening(path, backlog=0) as listener, socket.socket(socket.AF_UNIX) as first:
        first.connect(str(path))

        def accept_late() -> None:
            threading.Event().wait(0.1)
            listener.accept()[0].close()
            with listener.accept()[0] as connection:
                while connection.recv(4096):
                    pass
                connection.sendall(b"0\0late")

        thread = threading.Thread(target=accept_late)
        thread.start()
        assert make_client(socket_dir).call("admin.vm.List") == b"late"
        thread.join()


@pytest.mark.parametrize("reads", [True, False])
def test_connection_that_is_dropped_is_a_refusal(socket_dir: Path, reads: bool) -> None:
    with listening(socket_dir / "qubesd") as listener:

        def drop() -> None:
            with listener.accept()[0] as connection:
                if reads:
                    connection.recv(4096)

        thread = threading.Thread(target=drop)
        thread.start()
        with pytest.raises(AdminError) as caught:
            make_client(socket_dir).call("admin.vm.List", payload=bytes(60_000))
        thread.join()
        assert caught.value.kind == NO_ANSWER


def test_call_that_is_too_long_is_not_sent(socket_dir: Path) -> None:
    with pytest.raises(MalformedMessage, match=str(MAX_CALL)):
        make_client(socket_dir).call("admin.vm.List", payload=bytes(MAX_CALL))


def test_no_permission_says_what_to_do(socket_dir: Path) -> None:
    with listening(socket_dir / "qubesd"):
        script = (
            "import os, sys\n"
            # Before it is nobody, who need not be able to read where this is.
            "from qubesforward.qubes.admin import AdminClient\n"
            "from qubesforward.errors import Unavailable\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "try: AdminClient(sys.argv[1], '/nonexistent').call('admin.vm.List')\n"
            "except Unavailable as error: print(error)\n"
        )
        if os.geteuid() != 0:
            pytest.skip("only root can become somebody without permission")
        socket_dir.chmod(0o755)
        (socket_dir / "qubesd").chmod(0o600)
        done = subprocess.run(
            [sys.executable, "-c", script, str(socket_dir / "qubesd")],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "group qubes" in done.stdout


def test_client_is_quick_to_import() -> None:
    script = "import sys, qubesforward.qubes.admin; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    slow = {
        "asyncio",
        "subprocess",
        "logging",
        "pathlib",
        "json",
        "ipaddress",
        "typing",
    }
    assert slow & set(done.stdout.split()) == set()


async def two_events(call: Call) -> AsyncIterator[Event]:
    for number in "12":
        yield Event(call.dest, "portmap-requested", {"id": number})


def test_events_of_forwardd_come_one_by_one_to_their_end(socket_dir: Path) -> None:
    path = str(socket_dir / "forwardd")
    with in_thread(lambda: serve_admin(path, naming("forwardd"), two_events)):
        told = list(make_client(socket_dir).firewall_events("work"))
    assert [event.name for event in told] == [
        "connection-established",
        "portmap-requested",
        "portmap-requested",
    ]
    assert [event.kwargs for event in told[1:]] == [{"id": "1"}, {"id": "2"}]


def test_without_events_there_are_none(socket_dir: Path) -> None:
    with serving(socket_dir / "forwardd", naming("forwardd")):
        assert list(make_client(socket_dir).firewall_events()) == []


def test_events_of_nobody_are_an_error(socket_dir: Path) -> None:
    with pytest.raises(Unavailable, match="qubes-forwardd is not running"):
        next(make_client(socket_dir).firewall_events())
