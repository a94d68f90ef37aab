# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways in which a forward of work can be broken, each made and mended again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.lab.forwards import dom0, forwarded
from tests.lab.running_lab import RunningLab
from tests.lab.traffic import serving

FORWARD = "forwardtype=external proto=tcp srcports=443 dstports=8443"
HOP = "sys-firewall"
AGENT = "qubes-forward-agent"
LAN = "192.168.1.20"

Broken = Callable[[RunningLab], AbstractContextManager[None]]

_LOOPBACK = (
    "import socket, time\n"
    "one = socket.create_server(('127.0.0.1', 8443))\n"
    "print('ready', flush=True)\n"
    "time.sleep(60)\n"
)


@contextmanager
def nothing_listens(lab: RunningLab) -> Iterator[None]:
    with forwarded(lab, "work", FORWARD):
        yield


@contextmanager
def sound(lab: RunningLab) -> Iterator[None]:
    with serving(lab, "work", [8443]), forwarded(lab, "work", FORWARD):
        yield


@contextmanager
def only_loopback(lab: RunningLab) -> Iterator[None]:
    with forwarded(lab, "work", FORWARD):
        server = lab.spawn("work", ["python3", "-c", _LOOPBACK])
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            server.kill()
            server.communicate()


@contextmanager
def target_halted(lab: RunningLab) -> Iterator[None]:
    with forwarded(lab, "work", FORWARD):
        dom0(lab, "qvm-kill", "work")
        try:
            yield
        finally:
            dom0(lab, "qvm-start", "work")


@contextmanager
def target_paused(lab: RunningLab) -> Iterator[None]:
    with sound(lab):
        dom0(lab, "qvm-pause", "work")
        try:
            yield
        finally:
            dom0(lab, "qvm-unpause", "work")


@contextmanager
def netvm_halted(lab: RunningLab) -> Iterator[None]:
    with sound(lab):
        dom0(lab, "qvm-kill", HOP)
        try:
            yield
        finally:
            dom0(lab, "qvm-start", HOP)


@contextmanager
def no_netvm(lab: RunningLab) -> Iterator[None]:
    with sound(lab):
        dom0(lab, "qvm-prefs", "work", "netvm", "")
        try:
            yield
        finally:
            dom0(lab, "qvm-prefs", "--default", "work", "netvm")


@contextmanager
def agent_dead(lab: RunningLab) -> Iterator[None]:
    with sound(lab):
        lab.run("service", HOP, "stop", AGENT)
        try:
            yield
        finally:
            lab.run("service", HOP, "start", AGENT)


@contextmanager
def agent_stopped(lab: RunningLab) -> Iterator[None]:
    with sound(lab):
        pids = lab.pids(HOP, AGENT)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


def with_rules(qube: str, add: str, remove: str) -> Broken:
    """Have rules of others in a qube: nft commands that add and remove them."""

    @contextmanager
    def broken(lab: RunningLab) -> Iterator[None]:
        with sound(lab):
            lab.check(qube, "nft", add)
            try:
                yield
            finally:
                lab.check(qube, "nft", remove)

    return broken


@contextmanager
def base_rules_gone(lab: RunningLab) -> Iterator[None]:
    with sound(lab):
        lab.check(HOP, "nft", "delete table ip qubes; delete table ip6 qubes")
        try:
            yield
        finally:
            lab.run("service", HOP, "restart", "qubes-base-firewall")


@contextmanager
def only_for_lan(lab: RunningLab) -> Iterator[None]:
    rule = f"{FORWARD} srchost={LAN}/32"
    with serving(lab, "work", [8443]), forwarded(lab, "work", rule):
        yield


@contextmanager
def conflict(lab: RunningLab) -> Iterator[None]:
    with serving(lab, "work", [8443]), forwarded(lab, "personal", FORWARD):
        words = ["443:8443", "--force", "--quiet"]
        dom0(lab, "qvm-forward", "work", *words)
        try:
            yield
        finally:
            dom0(lab, "qvm-forward", "work", "--close-all")


@contextmanager
def unconfirmed(lab: RunningLab) -> Iterator[None]:
    with forwarded(lab, "work", FORWARD):
        dom0(lab, "qvm-clone", "--with-files", "work", "copy")
        dom0(lab, "qvm-start", "copy")
        try:
            yield
        finally:
            dom0(lab, "qvm-kill", "copy")
            dom0(lab, "qvm-remove", "-f", "copy")


@contextmanager
def tunnel(lab: RunningLab) -> Iterator[None]:
    with serving(lab, "media", [8443]):
        dom0(lab, "qvm-forward", "media", "443:8443", "--quiet")
        try:
            yield
        finally:
            dom0(lab, "qvm-forward", "media", "--close-all")
