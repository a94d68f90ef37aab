# SPDX-License-Identifier: GPL-2.0-or-later
"""A real daemon for windows to talk to, and a worker that does the talking."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from pytestqt.qtbot import QtBot

from qubesforward.gui.worker import Worker
from tests.daemon.apart import ApartWorld
from tests.daemon.world import World
from tests.gui.daemon_thread import Computer
from tests.qubes.running import short_directory


@contextmanager
def _standing(make: Callable[[Path], World]) -> Iterator[Computer]:
    with short_directory() as root:
        made = Computer(make(root))
        try:
            made.start()
            yield made
        finally:
            made.close()


@contextmanager
def _talking(computer: Computer, qtbot: QtBot) -> Iterator[Worker]:
    made = Worker(computer.qubesd, computer.forwardd, retry=0.02)
    try:
        with qtbot.waitSignals([made.connected, made.qubesd_heard]):
            made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def computer() -> Iterator[Computer]:
    """A computer with the daemon running in it, in a thread of its own."""
    with _standing(World) as made:
        yield made


@pytest.fixture
def worker(computer: Computer, qtbot: QtBot) -> Iterator[Worker]:
    """A worker that is connected to that computer."""
    with _talking(computer, qtbot) as made:
        yield made


@pytest.fixture
def apart() -> Iterator[Computer]:
    """A computer whose daemon is a process: ended, it leaves no connection."""
    with _standing(ApartWorld) as made:
        yield made


@pytest.fixture
def apart_worker(apart: Computer, qtbot: QtBot) -> Iterator[Worker]:
    """A worker that is connected to that one."""
    with _talking(apart, qtbot) as made:
        yield made
