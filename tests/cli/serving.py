# SPDX-License-Identifier: GPL-2.0-or-later
"""The fake daemon behind the sockets of both services."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qubesforward.qubes.admin import AdminClient
from qubesforward.qubes.admin_server import serve_admin
from tests.cli.fake_daemon import FakeDaemon


@contextmanager
def serve(daemon: FakeDaemon, directory: Path) -> Iterator[AdminClient]:
    """Serve as qubes-forwardd and qubesd, in a thread; give a client for both."""
    qubesd, forwardd = f"{directory}/qubesd.sock", f"{directory}/forwardd.sock"
    started = threading.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        servers = (
            await serve_admin(qubesd, daemon.answer_as_qubesd),
            await serve_admin(forwardd, daemon.answer, daemon.portmap.subscribe),
        )
        started.set()
        await stopped.wait()
        for server in servers:
            # Not waited for: from Python 3.12 on that is for its last client.
            server.close()
        listening = asyncio.all_tasks() - {asyncio.current_task()}
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)

    stopped = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert started.wait(10)
        yield AdminClient(qubesd, forwardd, timeout=10)
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(10)
        loop.close()
