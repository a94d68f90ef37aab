# SPDX-License-Identifier: GPL-2.0-or-later
"""One QubesDB daemon per running qube: start it, keep our keys in it right, end it.

The daemons outlive qubesd, as on Qubes: what is in them belongs to the qube's run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path

from qubesforward.errors import LabError
from qubesforward.lab.qubesd.qubesdb_fill import OWNED_KEYS
from qubesforward.lab.qubesd.state import DOM0, Paths
from qubesforward.qubes.qubesdb import QubesDB

_MODULE = "qubesforward.lab.qubesdb_daemon"
_START_SECONDS = 15.0
_STOP_SECONDS = 2.0
_UCRED = struct.Struct("3i")
"""Process, user and group, as SO_PEERCRED tells them."""


class QubesDBs:
    """The QubesDB daemons of all running qubes."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._written: dict[str, dict[str, str]] = {}

    def _socket(self, name: str) -> Path:
        if name == DOM0:
            return self._paths.qubesdb / "qubesdb.sock"
        return self._paths.qubesdb / f"qubesdb.{name}.sock"

    def directory(self, name: str) -> Path:
        """Return the directory that the qube will see as its /run/qubes."""
        return self._paths.run / "domains" / name

    async def start(self, name: str) -> int:
        """Start the daemon of a qube, with an empty store; its process id.

        Raises LabError if it does not come up.
        """
        self._written.pop(name, None)
        # One that a qubesd started in the moment of its own death is in nobody's list.
        await end_process(_find_server(self._socket(name)), _MODULE)
        directory = self.directory(name)
        directory.mkdir(parents=True, exist_ok=True)
        self._paths.qubesdb.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", _MODULE, name]
        argv += ["--dom0-socket", str(self._socket(name))]
        argv += ["--qube-socket", str(directory / "qubesdb.sock")]
        pid, answer = _spawn(argv)
        try:
            async with asyncio.timeout(_START_SECONDS):
                line = await _read_line(answer)
        except TimeoutError:
            line = b""
        if line.strip() != b"ready":
            await end_process(pid, _MODULE)
            raise LabError(f"the QubesDB daemon of {name} did not start")
        self._written[name] = {}
        return pid

    async def update(self, name: str, wanted: Mapping[str, str]) -> None:
        """Make the keys that are ours what they should be; write only differences.

        Raises QubesDBError if the daemon is gone.
        """
        written = self._written.get(name)
        if written == wanted:
            return
        # Forgotten while we are at it: after an error nobody knows what is there.
        self._written.pop(name, None)
        database = await QubesDB.connect(str(self._socket(name)))
        try:
            if written is None:
                written = await _read_owned(database)
            gone = sorted(written.keys() - wanted.keys())
            await database.rm_many(gone)
            await database.write_many(
                [
                    (key, value.encode("ascii"))
                    for key, value in wanted.items()
                    if written.get(key) != value
                ]
            )
        finally:
            await database.aclose()
        self._written[name] = dict(wanted)

    async def replace_below(
        self, name: str, top: str, values: Mapping[str, str]
    ) -> None:
        """Write values in place of all below `top`, then commit by an empty write.

        Raises QubesDBError if the daemon is gone.
        """
        database = await QubesDB.connect(str(self._socket(name)))
        try:
            await database.rm(f"{top}/")
            await database.write_many(
                [(f"{top}/{key}", value.encode()) for key, value in values.items()]
            )
            await database.write(top, b"")
        finally:
            await database.aclose()

    async def stop(self, name: str, pid: int) -> None:
        """End the daemon of a qube; its store is gone with it.

        The directory stays: a qube that runs on has it mounted.
        """
        self._written.pop(name, None)
        for process in {pid, _find_server(self._socket(name))}:
            await end_process(process, _MODULE)
        for path in (self._socket(name), self.directory(name) / "qubesdb.sock"):
            path.unlink(missing_ok=True)


async def _read_owned(database: QubesDB) -> dict[str, str]:
    # The qube can write into its own store, so what is there may be anything.
    untrusted = await database.multiread("/")
    return {
        key: value.decode("ascii", errors="replace")
        for key, value in untrusted.items()
        if key in OWNED_KEYS
    }


def _find_server(path: Path) -> int:
    """Return the id of the process that serves a socket; 0 if nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        try:
            client.connect(str(path))
        except OSError:
            return 0
        # Of a connected socket the kernel tells who called listen(): unix(7).
        found = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        return int(_UCRED.unpack(found)[0])


def _spawn(argv: list[str]) -> tuple[int, int]:
    """Start a process in a session of its own; its id, and the end of its output.

    Not by asyncio.subprocess, which kills its children when the loop ends.
    """
    reader, writer = os.pipe()
    try:
        pid = os.posix_spawn(
            argv[0],
            argv,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, writer, 1),
            ],
            setsid=True,
        )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return pid, reader


async def _read_line(descriptor: int) -> bytes:
    stream = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb", 0)
    )
    try:
        return await stream.readline()
    finally:
        transport.close()


async def end_process(pid: int, program: str) -> None:
    """End a process, politely first; one that is not `program` any more is let be.

    Process ids come from a file that may be older than a reboot of the lab, so a
    number alone proves nothing.
    """
    if pid <= 0:
        return
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, OverflowError):
        _reap(pid)
        return
    try:
        if not _runs(pid, program):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
            if await _has_ended(descriptor):
                return
    finally:
        os.close(descriptor)
        _reap(pid)


def _runs(pid: int, program: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return program.encode() in words


async def _has_ended(descriptor: int) -> bool:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
    return True


def _reap(pid: int) -> None:
    # After a restart of qubesd the daemons are no longer its children.
    with contextlib.suppress(ChildProcessError, OverflowError):
        os.waitpid(pid, os.WNOHANG)
