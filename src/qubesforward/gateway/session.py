# SPDX-License-Identifier: GPL-2.0-or-later
"""The connection to dom0: one call of ``qubes.PortMapping`` that stays open."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable

from qubesforward.errors import MalformedMessage
from qubesforward.qubes.mapping_wire import (
    LONGEST_LINE,
    FromDom0,
    FromGateway,
    format_message,
    parse_from_dom0,
)

_log = logging.getLogger(__name__)

COMMAND = ("qrexec-client-vm", "@adminvm", "qubes.PortMapping")

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 2.0
"""Seconds between tries: dom0's daemon may be restarted."""

_REFUSED = 126
_REFUSED_PAUSE = 60.0
"""What qrexec-client-vm ends with where policy says no, and the seconds until it is
tried again: each time, the user is told."""

_LAST_WORDS = 0.2
"""Seconds in which it ends by itself when its output has ended."""

_MOST_UNREAD = 1024 * 1024


class Session:
    """Keeps a call open while it runs. `receive` gets what dom0 says.

    `came` is called when there is a new connection, `went` when it is lost.
    """

    def __init__(
        self,
        receive: Callable[[FromDom0], None],
        came: Callable[[], None],
        went: Callable[[], None],
        command: tuple[str, ...] = COMMAND,
    ) -> None:
        self._receive = receive
        self._came = came
        self._went = went
        self._command = command
        self._writer: asyncio.StreamWriter | None = None

    def say(self, message: FromGateway) -> bool:
        """Send dom0 a message; False if there is no connection."""
        writer = self._writer
        if writer is None or writer.transport.is_closing():
            return False
        if writer.transport.get_write_buffer_size() > _MOST_UNREAD:
            _log.warning("dom0 does not read; connecting anew")
            writer.transport.abort()
            return False
        writer.write(format_message(message))
        return True

    async def run(self) -> None:
        """Stay connected, for ever."""
        pause = _FIRST_PAUSE
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            status = None
            try:
                status = await self._connect()
            except OSError as error:
                _log.warning("%s: %s", self._command[0], error)
            except MalformedMessage as error:
                _log.error("dom0: %s", error)
            if loop.time() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            if status == _REFUSED:
                _log.warning("dom0's policy lets this qube ask for no ports")
                await asyncio.sleep(_REFUSED_PAUSE)
                continue
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _connect(self) -> int:
        """Make one call, take in what dom0 says until it ends; return its status."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *self._command, stdin=theirs.fileno(), stdout=theirs.fileno()
                )
        except BaseException:
            ours.close()
            raise
        try:
            reader, self._writer = await asyncio.open_connection(
                sock=ours, limit=LONGEST_LINE + 1
            )
            await self._listen(reader)
        finally:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.transport.abort()
                self._went()
            status = await _end(process)
        return status

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        is_first = True
        while untrusted_line := await _read_line(reader):
            if is_first:
                # Only now is it known that somebody is there.
                self._came()
                is_first = False
            self._receive(parse_from_dom0(untrusted_line.rstrip(b"\n")))


async def _end(process: asyncio.subprocess.Process) -> int:
    """Return what a process ends with, which it is made to do after a moment."""
    try:
        async with asyncio.timeout(_LAST_WORDS):
            return await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return await process.wait()


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError as error:
        raise MalformedMessage(f"a line of over {LONGEST_LINE} bytes") from error
