# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab that is changed all the time, and what must be true of it after each change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.lab.forwards import dom0, forwards_of
from tests.lab.openings import namespace_pids, published, read_kernel
from tests.lab.running_lab import RunningLab, running_lab
from tests.lab.standing import PATIENCE, Caller, Prober, Reader
from tests.lab.traffic import serving

NET, NET6 = "192.168.1.10", "2001:db8:1::10"
OUTER, INNER = 443, 8443
EXTERNAL = f"action=forward forwardtype=external srcports={OUTER} dstports={INNER}"


class Moving:
    """The default lab with a second firewall qube, `other-firewall`.

    `lan` and `neighbour` (in personal) try ports; `caller` calls qubesd.
    """

    def __init__(self, lab: RunningLab, stack: ExitStack) -> None:
        self.lab = lab
        other = ["--prop", "provides_network=True", "--prop", "netvm=sys-net"]
        self.do(f"qvm-create --label orange {' '.join(other)} other-firewall")
        self.do("qvm-start other-firewall")
        self.lan = stack.enter_context(Prober(lab, "lan"))
        self.neighbour = stack.enter_context(Prober(lab, "personal"))
        self.caller = stack.enter_context(Caller(lab))
        self.reader = stack.enter_context(Reader(lab))

    def do(self, command: str) -> str:
        """Run a command in dom0, which must succeed; return what it printed."""
        return str(dom0(self.lab, *command.split(" ")).stdout).strip()

    def inside(self, name: str, command: str) -> str:
        """Run a command in a domain, which must succeed."""
        return self.lab.check(name, *command.split(" ")).strip()

    def address(self, qube: str, family: int = 4) -> str:
        """Return the address of a qube."""
        return self.do(f"qvm-prefs {qube} {'ip' if family == 4 else 'ip6'}")

    def running(self) -> list[str]:
        """Return the qubes that run."""
        lines = self.caller.call("admin.vm.List", "dom0").splitlines()
        names = [line.split(" ")[0] for line in lines if "state=Running" in line]
        return [name for name in names if name != "dom0"]

    def openings(self) -> dict[str, set[str]]:
        """Return what each kernel has open, of those that have anything open."""
        pids = namespace_pids(self.lab)
        found = {name: read_kernel(pids[name]) for name in self.running()}
        return {name: openings for name, openings in found.items() if openings}

    def published(self) -> dict[str, set[str]]:
        """Return what dom0 tells each qube, of those that it tells anything."""
        found = {name: published(self.reader, name) for name in self.running()}
        return {name: openings for name, openings in found.items() if openings}

    def settle(self) -> dict[str, set[str]]:
        """Wait until kernels have what is published; return that."""
        end = time.monotonic() + PATIENCE
        while (told := self.published()) != (found := self.openings()):
            assert time.monotonic() < end, f"{found} is not {told}"
        return found

    def wait_open(self, *hops: str) -> None:
        """Wait until exactly these qubes have something open."""
        end = time.monotonic() + PATIENCE
        while (found := set(self.openings())) != set(hops):
            assert time.monotonic() < end, f"open: {found}, not {hops}"
        assert set(self.settle()) == set(hops)

    def sees(self, outside: str = NET) -> str | None:
        """Return who answers the LAN at the outer port by TCP and UDP, if anybody."""
        wanted = [(proto, outside, OUTER) for proto in ("tcp", "udp")]
        answers = self.lan.probe_all(wanted, 0.4)
        found = {None if one is None else one.qube for one in answers}
        return found.pop() if len(found) == 1 else "not the same by TCP and UDP"

    def forwards(self, qube: str) -> list[dict[str, Any]]:
        """Return the forwards of a qube, as its status tells them."""
        return forwards_of(self.lab, qube)

    def states(self, qube: str) -> list[str]:
        """Return the states of a qube's forwards."""
        return [str(forward["state"]) for forward in self.forwards(qube)]


@contextmanager
def moving_lab() -> Iterator[Moving]:
    """Have such a lab."""
    with running_lab() as lab, ExitStack() as stack:
        yield Moving(lab, stack)


@contextmanager
def forwarding(moving: Moving, qube: str = "work") -> Iterator[None]:
    """Have a forward to a qube that serves, until the end of the block."""
    with serving(moving.lab, qube, [INNER]):
        moving.do(f"qvm-firewall {qube} add {EXTERNAL}")
        try:
            yield
        finally:
            moving.lab.exec("dom0", ["qvm-forward", qube, "--close-all"])
