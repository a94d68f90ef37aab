# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab of the soak: what it is asked to do, and what is seen of it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from tempfile import NamedTemporaryFile

from qubesforward.lab.enter import list_processes
from qubesforward.lab.state import LabState
from tests.lab.openings import namespace_pids, nft, read_kernel
from tests.lab.running_lab import RunningLab, running_lab
from tests.lab.standing import Caller, Prober, Refusal, Wanted
from tests.lab.traffic import SERVER, Answer
from tests.soak.model import Fact, Point, spread
from tests.soak.topology import render_topology

PLACES = ("lan", "lan2", "internet", "neighbour")
_PATIENCE = 20.0
_QUIET = 0.2
"""Seconds in which an open port has answered, also on a busy machine."""


class World:
    """A running lab, with probers outside and a caller in dom0."""

    def __init__(self, lab: RunningLab, stack: ExitStack) -> None:
        self.lab = lab
        self.bare: set[str] = set()
        self._caller = stack.enter_context(Caller(lab))
        self._probers = {n: stack.enter_context(Prober(lab, n)) for n in PLACES}
        self._pool = stack.enter_context(ThreadPoolExecutor(len(PLACES)))

    def call(self, method: str, dest: str, arg: str = "", payload: str = "") -> str:
        """Make an Admin API call; raises `Refusal`."""
        return self._caller.call(method, dest, arg, payload)

    def insist(self, method: str, dest: str, arg: str = "", payload: str = "") -> str:
        """Make a call, again and again while nobody is there to answer it."""
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                return self.call(method, dest, arg, payload)
            except Refusal as error:
                if not error.is_silence or time.monotonic() > end:
                    raise
            time.sleep(0.02)

    def states(self) -> dict[str, str]:
        """Return the power state of every qube."""
        lines = self.insist("admin.vm.List", "dom0").splitlines()
        words = [line.split(" ") for line in lines]
        return {w[0]: w[2].removeprefix("state=") for w in words if w[0] != "dom0"}

    def facts(self) -> dict[str, Fact]:
        """Return what qubesd says of every qube, once none is on its way."""
        end = time.monotonic() + _PATIENCE
        while True:
            states = self.states()
            if not {"Transient", "Halting"} & set(states.values()):
                break
            assert time.monotonic() < end, states
            time.sleep(0.05)
        return {name: self._fact(name, state) for name, state in states.items()}

    def _fact(self, name: str, state: str) -> Fact:
        found = {}
        for key in ("netvm", "ip", "ip6"):
            answer = self.insist("admin.vm.property.Get", name, key)
            found[key] = answer.split(" ", 2)[2]
        addresses = {4: found["ip"], 6: found["ip6"]}
        return Fact(found["netvm"], state == "Running", addresses)

    def kernels(self) -> dict[str, dict[Point, str]]:
        """Return what the kernel of each running qube has open."""
        pids = namespace_pids(self.lab)
        return {
            name: spread(read_kernel(pid))
            for name, pid in pids.items()
            if name not in ("dom0", "router", "lan", "lan2", "internet")
        }

    def status(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Return the state of every forward and its reason, by target and line."""
        told = json.loads(self.insist("admin.vm.firewall.Status", "dom0", "forward"))
        return {
            (qube["name"], forward["rule"]): (forward["state"], forward["reason"])
            for qube in told["qubes"]
            for forward in qube["forwards"]
        }

    def probe(
        self, wanted: Mapping[str, Sequence[Wanted]], patience: float = _QUIET
    ) -> dict[tuple[str, Wanted], Answer | None]:
        """Try ports from several places at once."""

        def one(place: str) -> list[Answer | None]:
            return self._probers[place].probe_all(wanted[place], patience)

        answers = self._pool.map(one, wanted)
        return {
            (place, target): answer
            for (place, targets), found in zip(wanted.items(), answers, strict=True)
            for target, answer in zip(targets, found, strict=True)
        }

    def kill(self, where: str, program: str) -> int:
        """Kill a program of a domain; return how many processes that were."""
        killed = 0
        for pid, domain, command in list(list_processes(LabState(self.lab.name))):
            if domain == where and command.startswith(program):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        return killed

    def nft(self, qube: str, command: str) -> None:
        """Run an nft command in a qube, if it runs."""
        with suppress(KeyError):
            nft(namespace_pids(self.lab)[qube], command)

    def restore_base(self, qube: str) -> None:
        """Restart the base firewall of a qube, if it runs."""
        self.bare.discard(qube)
        self.lab.run("service", qube, "restart", "qubes-base-firewall")


@contextmanager
def soaked_lab() -> Iterator[World]:
    """Have the lab of the soak."""
    with NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(render_topology(SERVER))
        file.flush()
        with running_lab(file.name) as lab, ExitStack() as stack:
            yield World(lab, stack)
