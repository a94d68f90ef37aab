# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon as a user of its own in the group that owns the rule files.

As its systemd unit runs it: no capability, no new privileges, and a socket that was
made for it. Elsewhere in these tests it is whoever runs them.
"""

import asyncio
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.daemon.apart import EXTERNAL, ApartWorld
from tests.daemon.world import until

USER, GROUP = 65534, 54321

_DROP = """
import ctypes, os, sys
passed, user, group = map(int, sys.argv[2:5])
os.dup2(passed, 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.umask(0o007)
prctl = ctypes.CDLL(None).prctl
for capability in range(64):
    prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.setgroups([])
os.setgid(group)
os.setuid(user)
prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE
os.execv(sys.executable, [sys.executable, "-c", sys.argv[5], sys.argv[1]])
"""


class DroppedWorld(ApartWorld):
    """A world of root's, with a daemon that is nobody."""

    async def start_daemon(self) -> None:
        path = self.root / "forwardd.sock"
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(str(path))
        bound.listen(128)
        path.chmod(0o660)
        os.chown(path, 0, GROUP)
        program = self.program
        numbers = [str(bound.fileno()), str(USER), str(GROUP)]
        with bound, (self.root / "daemon.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _DROP, str(self.root), *numbers, program],
                stderr=log,
                pass_fds=[bound.fileno()],
            )


def _give_to_group(path: Path) -> None:
    os.chown(path, 0, GROUP)
    path.chmod(0o2770 if path.is_dir() else 0o660)


def _make_state(root: Path) -> None:
    """Make what Qubes has in /var/lib/qubes: root's, and the group's."""
    root.chmod(0o755)
    (root / "log").mkdir()
    (root / "run").mkdir()
    (root / "appvms" / "work").mkdir(parents=True)
    (root / "appvms" / "mail").mkdir()
    rules = root / "appvms" / "mail" / "firewall.xml"
    rules.write_text('<firewall version="2"><rules/></firewall>')
    folders = ["log", "run", "appvms", "appvms/work", "appvms/mail"]
    for path in (*(root / name for name in folders), rules):
        _give_to_group(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start it as another user")
def test_it_serves_stores_and_publishes_as_nobody() -> None:
    script = 'exec "$0" -c "import qubesforward.daemon.main"'
    as_nobody = ["sh", "-c", script, sys.executable]
    if subprocess.run(as_nobody, user=USER, cwd="/", check=False).returncode != 0:
        pytest.skip("nobody else may read this installation")

    async def run(root: Path) -> None:
        _make_state(root)
        world = DroppedWorld(root)
        await world.start()
        for name in ("qubesd.sock", *(f"{qube}.sock" for qube in world.qubes)):
            _give_to_group(root / name)
        try:
            await world.start_daemon()
            assert await world.open_and_close("mail", 80) < 3
            await world.add("work", EXTERNAL.format(443))
            await until(lambda: len(world.entries("work")) == 1)
            _check_files(root)
            _check_process(world)
            await world.stop_daemon()
        finally:
            await world.close()
        assert "rror" not in world.said()

    with TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


def _check_files(root: Path) -> None:
    for name in ("work", "mail"):
        found = (root / "appvms" / name / "firewall.xml").stat()
        assert (found.st_uid, found.st_gid) == (USER, GROUP)
        assert stat.S_IMODE(found.st_mode) == 0o660
    assert b"work" in (root / "log" / "audit.log").read_bytes()
    assert (root / "forwardd.sock").stat().st_uid == 0


def _check_process(world: DroppedWorld) -> None:
    status = (world._of_daemon() / "status").read_text()
    words = dict(line.split(":\t", 1) for line in status.splitlines())
    for capabilities in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh"):
        assert int(words[capabilities], 16) == 0
    assert words["NoNewPrivs"] == "1"
    assert words["Uid"].split() == [str(USER)] * 4
