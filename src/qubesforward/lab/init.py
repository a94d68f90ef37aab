# SPDX-License-Identifier: GPL-2.0-or-later
"""Pid 1 of a domain: starts services, restarts those that fail, buries orphans.

Services behave as with systemd's ``Restart=on-failure``, ``RestartSec=200ms`` and
``KillMode=process``. The hypervisor steers it with JSON texts over a socket that
keeps them apart (SOCK_SEQPACKET): ``{"id", "op", "unit"}`` is answered with
``{"id", "value"}`` or ``{"id", "error"}``. A message with a descriptor is a qrexec
call to deal with.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from qubesforward.lab.command import log, log_command
from qubesforward.lab.qrexec.descriptors import receive_descriptors
from qubesforward.lab.qrexec.process import fork_call
from qubesforward.lab.topology import ServiceSpec

LONGEST_MESSAGE = 8192
RESTART_DELAY = 0.2
# A program that cannot start would else eat a processor for good.
_SLOW_DELAY, _FAILURES_BEFORE_SLOW, _QUICK_DEATH = 2.0, 5, 1.0
_PATIENCE = 2.0
# What systemd counts as a clean end (systemd.service, SuccessExitStatus=).
_CLEAN_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)


class State(StrEnum):
    """Where a service is in its life."""

    STOPPED = "stopped"
    RUNNING = "running"
    WAITING = "waiting"
    """Failed; to be started again in a moment."""
    STOPPING = "stopping"
    DONE = "done"
    """A oneshot that did what it had to."""
    FAILED = "failed"
    """A oneshot that did not."""


_AFTER_EXIT: dict[tuple[State, bool, bool], State] = {
    # (state, oneshot, clean) → the state after the process has ended
    (State.RUNNING, False, True): State.STOPPED,
    (State.RUNNING, False, False): State.WAITING,
    (State.RUNNING, True, True): State.DONE,
    (State.RUNNING, True, False): State.FAILED,
    (State.STOPPING, False, True): State.STOPPED,
    (State.STOPPING, False, False): State.STOPPED,
    (State.STOPPING, True, True): State.STOPPED,
    (State.STOPPING, True, False): State.STOPPED,
}


@dataclass
class Unit:
    """A service with what has become of it. Times are of the monotonic clock."""

    spec: ServiceSpec
    state: State = State.STOPPED
    pid: int = 0
    started: float = 0.0
    due: float = 0.0
    """When a WAITING one is started, or a STOPPING one is killed."""
    starts: int = 0
    failures: int = 0
    """In a row, each soon after a start, and by itself."""
    then_start: bool = False

    def describe(self) -> dict[str, Any]:
        """Return what a status call answers."""
        return {
            "state": self.state,
            "pid": self.pid,
            "starts": self.starts,
            "failures": self.failures,
        }


class Init:
    """The life of a domain after its root is made, from `run` to the end."""

    def __init__(
        self,
        services: Sequence[ServiceSpec],
        control: socket.socket,
        environment: Mapping[str, str],
        logs: str,
    ) -> None:
        """Take over signals; `logs` is the directory for a log per unit."""
        self._units = {spec.unit: Unit(spec) for spec in services}
        self._control = control
        self._environment = dict(environment)
        self._logs = logs
        self._waiting: list[tuple[int, str]] = []
        self._ending = False
        woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._woken = woken
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._waker)

    def run(self) -> None:
        """Start everything, tell the hypervisor, and look after it to the end."""
        for unit in self._units.values():
            if unit.spec.oneshot:
                self._start(unit)
                if unit.pid:
                    os.waitid(os.P_PID, unit.pid, os.WEXITED | os.WNOWAIT)
                    self._bury()
        failed = [
            name for name, unit in self._units.items() if unit.state is State.FAILED
        ]
        self._send({"ready": not failed, "failed": failed})
        for unit in self._units.values():
            if not unit.spec.oneshot:
                self._start(unit)
        while not (self._ending and self._all_stopped()):
            self._step()
        _end_everything()

    def _step(self) -> None:
        due = [unit.due for unit in self._units.values() if unit.due]
        patience = max(0.0, min(due) - time.monotonic()) if due else None
        ready = select.select([self._control, self._woken], [], [], patience)[0]
        if self._woken in ready and signal.SIGTERM in os.read(self._woken, 4096):
            self._shut_down()
        self._bury()
        if self._control in ready:
            self._listen()
        self._do_what_is_due(time.monotonic())
        self._answer_waiting()

    def _listen(self) -> None:
        message, callers = receive_descriptors(self._control, LONGEST_MESSAGE, 1)
        if not message:
            # The hypervisor is gone: nobody could ever steer this domain again.
            _end_everything()
        request = json.loads(message)
        if callers:
            fork_call(request, callers[0], self._environment)
            self._send({"id": request["id"], "value": None})
            return
        try:
            self._obey(request["op"], request.get("unit", ""), request["id"])
        except KeyError:
            known = ", ".join(self._units) or "none"
            problem = f"{request.get('unit')}: no such service here; there are {known}"
            self._send({"id": request["id"], "error": problem})

    def _obey(self, op: str, name: str, number: int) -> None:
        if op == "services":
            units = {name: unit.describe() for name, unit in self._units.items()}
            self._send({"id": number, "value": units})
            return
        if op == "shutdown":
            self._shut_down()
            return
        unit = self._units[name]
        if op in ("stop", "restart"):
            self._stop(unit)
        if op in ("start", "restart"):
            unit.failures = 0
            if unit.state in (State.STOPPING, State.RUNNING):
                unit.then_start = unit.state is State.STOPPING
            else:
                self._start(unit)
        self._waiting.append((number, name))

    def _answer_waiting(self) -> None:
        """Answer calls whose service has come to rest."""
        still = []
        for number, name in self._waiting:
            unit = self._units[name]
            busy = unit.spec.oneshot and unit.state is State.RUNNING
            if busy or unit.state is State.STOPPING:
                still.append((number, name))
            else:
                self._send({"id": number, "value": unit.describe()})
        self._waiting = still

    def _start(self, unit: Unit) -> None:
        argv = unit.spec.argv
        log_command(argv)
        program = shutil.which(argv[0], path=self._environment["PATH"]) or argv[0]
        output = Path(self._logs, f"{unit.spec.unit}.log")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        unit.started = time.monotonic()
        unit.starts += 1
        unit.due = 0.0
        unit.state = State.RUNNING
        try:
            unit.pid = os.posix_spawn(
                program,
                argv,
                self._environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(output), flags, 0o644),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGINT],
            )
        except OSError as error:
            log(f"{unit.spec.unit}: {error}")
            self._take_exit(unit, clean=False, crashed=True)

    def _stop(self, unit: Unit) -> None:
        unit.then_start = False
        if unit.state is State.RUNNING:
            unit.state = State.STOPPING
            unit.due = time.monotonic() + _PATIENCE
            os.kill(unit.pid, signal.SIGTERM)
        elif unit.state is not State.STOPPING:
            unit.state = State.STOPPED
            unit.due = 0.0

    def _bury(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for unit in self._units.values():
                if unit.pid == pid:
                    killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
                    log(f"{unit.spec.unit}: ended with {_describe_status(status)}")
                    clean = not status or killed in _CLEAN_SIGNALS
                    self._take_exit(unit, clean=clean, crashed=killed is None)

    def _take_exit(self, unit: Unit, *, clean: bool, crashed: bool) -> None:
        unit.pid = 0
        unit.due = 0.0
        unit.state = _AFTER_EXIT[unit.state, unit.spec.oneshot, clean]
        now = time.monotonic()
        # Being killed from outside, however often, is no reason to start slowly.
        quick = now - unit.started < _QUICK_DEATH and crashed and not clean
        unit.failures = unit.failures + 1 if quick else 0
        if unit.state is State.WAITING:
            slow = unit.failures >= _FAILURES_BEFORE_SLOW
            unit.due = now + (_SLOW_DELAY if slow else RESTART_DELAY)
        if unit.then_start and not self._ending:
            unit.then_start = False
            self._start(unit)

    def _do_what_is_due(self, now: float) -> None:
        for unit in self._units.values():
            if not unit.due or unit.due > now:
                continue
            if unit.state is State.WAITING:
                self._start(unit)
            elif unit.state is State.STOPPING:
                unit.due = 0.0
                os.kill(unit.pid, signal.SIGKILL)

    def _shut_down(self) -> None:
        self._ending = True
        for unit in self._units.values():
            self._stop(unit)

    def _all_stopped(self) -> bool:
        return all(unit.state is State.STOPPED for unit in self._units.values())

    def _send(self, message: Mapping[str, Any]) -> None:
        with suppress(OSError):
            self._control.send(json.dumps(message).encode())


def _describe_status(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"exit status {os.waitstatus_to_exitcode(status)}"


def _end_everything() -> None:
    """Ask all that is left to end, give it a moment, and go; the kernel kills."""
    if os.getpid() != 1:
        # Outside a pid namespace of our own "all" would be the whole machine.
        os._exit(1)
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE / 4
    with suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)
    os._exit(0)
