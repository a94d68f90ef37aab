# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls and events reach windows as signals, and nothing of it blocks them."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from pytestqt.qtbot import QtBot

from qubesforward.gui.calls import Calls
from qubesforward.gui.worker import Worker
from tests.gui.daemon_thread import Computer

FORWARD = "forwardtype=external proto=tcp srcports=443-443"


def test_an_answer_comes_with_the_token_of_its_call(
    worker: Worker, qtbot: QtBot
) -> None:
    told: list[tuple[int, bytes]] = []
    worker.answered.connect(lambda token, content: told.append((token, content)))
    first = worker.ask("admin.vm.firewall.Get", "work")
    second = worker.ask("admin.vm.feature.CheckWithTemplate", "work", "x")
    qtbot.waitUntil(lambda: len(told) == 2)
    assert dict(told) == {first: b"action=accept\n", second: b"1"}


def test_what_is_told_arrives_in_the_thread_of_the_windows(
    worker: Worker, qtbot: QtBot
) -> None:
    threads: list[threading.Thread] = []
    # A plain function has no thread: it is called where the signal is emitted.
    worker.answered.connect(lambda *_: threads.append(threading.current_thread()))
    worker.ask("admin.vm.firewall.Get", "work")
    qtbot.waitUntil(lambda: len(threads) == 1)
    assert threads == [threading.current_thread()]


def test_an_error_is_told_by_kind_and_text(worker: Worker, qtbot: QtBot) -> None:
    with qtbot.waitSignal(worker.failed) as told:
        token = worker.ask("admin.vm.firewall.Get", "nobody")
    assert told.args is not None
    assert told.args[:2] == [token, "QubesVMNotFoundError"]
    assert "nobody" in told.args[2]


def test_events_of_both_services_are_told(
    worker: Worker, computer: Computer, qtbot: QtBot
) -> None:
    told: list[tuple[str, str, dict[str, str]]] = []
    worker.happened.connect(lambda *event: told.append(event))
    computer.add("work", FORWARD)
    computer.do(lambda: computer.world.tell("work", "property-set:netvm", newvalue="x"))
    qtbot.waitUntil(
        lambda: ("work", "firewall-changed", {}) in told
        and ("work", "property-set:netvm", {"newvalue": "x"}) in told
    )


def test_a_daemon_that_ends_and_comes_back_is_told_both_times(
    apart_worker: Worker, apart: Computer, qtbot: QtBot
) -> None:
    assert apart_worker.is_connected
    with qtbot.waitSignal(apart_worker.connected) as told:
        apart.stop_daemon()
    assert told.args == [False]
    qtbot.waitUntil(lambda: "qubes-forwardd is not running" in apart_worker.reason)
    with qtbot.waitSignal(apart_worker.failed) as failed:
        apart_worker.ask("admin.vm.firewall.Status", "work", "forward")
    assert failed.args is not None
    with qtbot.waitSignal(
        apart_worker.connected, check_params_cb=lambda is_heard: is_heard
    ):
        apart.start_daemon()
    assert apart_worker.reason == ""


def test_qubesd_that_restarts_is_heard_again(
    worker: Worker, computer: Computer, qtbot: QtBot
) -> None:
    with qtbot.waitSignal(worker.qubesd_heard):
        computer.do(computer.world.hang_up)


def test_a_worker_ends_while_a_service_is_silent(tmp_path: Path, qtbot: QtBot) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        path = str(tmp_path / "s")
        silent.bind(path)
        silent.listen()
        worker = Worker(path, path)
        told: list[object] = []
        worker.answered.connect(told.append)
        worker.failed.connect(told.append)
        worker.start()
        worker.ask("admin.vm.firewall.Get", "work")
        silent.accept()[0].close()
        worker.close()
    qtbot.wait(1)
    assert told == []


def test_a_worker_can_be_closed_without_having_been_started(qtbot: QtBot) -> None:
    worker = Worker("/nowhere", "/nowhere")
    worker.ask("admin.vm.firewall.Get", "work")
    worker.close()
    worker.ask("admin.vm.firewall.Get", "work")


def test_a_thousand_events_are_all_told_in_their_order(
    worker: Worker, computer: Computer, qtbot: QtBot
) -> None:
    told: list[str] = []
    worker.happened.connect(lambda subject, name, _: told.append(name))

    def tell() -> None:
        for number in range(1000):
            computer.world.tell("work", f"event-{number}")

    computer.do(tell)
    qtbot.waitUntil(lambda: len(told) == 1000)
    assert told == [f"event-{number}" for number in range(1000)]


def test_a_dropped_call_is_not_answered_to_anybody(
    worker: Worker, qtbot: QtBot
) -> None:
    told: list[str] = []
    calls = Calls(worker)

    def ask(dest: str) -> int:
        return calls.ask(
            "admin.vm.firewall.Get",
            dest,
            "",
            b"",
            lambda _: told.append(dest),
            lambda kind, _: told.append(kind),
        )

    calls.drop(ask("work"))
    ask("personal")
    ask("nobody")
    qtbot.waitUntil(lambda: len(told) == 2)
    qtbot.wait(20)
    assert sorted(told) == ["QubesVMNotFoundError", "personal"]
