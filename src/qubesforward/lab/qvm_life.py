# SPDX-License-Identifier: GPL-2.0-or-later
"""`qvm-start`, `qvm-shutdown`, `qvm-kill`, `qvm-pause` and `qvm-unpause`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

from qubesforward.errors import AdminError
from qubesforward.qubes.admin import AdminClient

_POLL_SECONDS = 0.05


def _parser(tool: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=tool)
    parser.add_argument("--all", action="store_true", help="every qube but dom0")
    parser.add_argument("--exclude", action="append", default=[], metavar="VMNAME")
    parser.add_argument("names", nargs="*", metavar="VMNAME")
    return parser


def _parse(
    parser: argparse.ArgumentParser, client: AdminClient, words: Sequence[str]
) -> argparse.Namespace:
    """Parse, and put the qubes that are meant in `names`."""
    args = parser.parse_intermixed_args(words)
    if bool(args.names) == args.all:
        parser.error("give the names of qubes, or --all")
    if args.all:
        lines = client.call("admin.vm.List").decode("ascii").splitlines()
        names = (line.partition(" ")[0] for line in lines)
        args.names = [n for n in names if n != "dom0" and n not in args.exclude]
    return args


def _state(client: AdminClient, name: str) -> str:
    """Return the power state; a disposable that ended is gone, so halted."""
    try:
        answer = client.call("admin.vm.CurrentState", name).decode("ascii")
    except AdminError as error:
        if error.kind == "QubesVMNotFoundError":
            return "Halted"
        raise
    return dict(word.partition("=")[::2] for word in answer.split(" "))["power_state"]


def _complain(name: str, error: object) -> None:
    print(f"{name}: {error}", file=sys.stderr)


def _for_each(names: Sequence[str], do: Callable[[str], None]) -> int:
    """Do something to every qube, whatever happens to the others."""
    status = 0
    for name in names:
        try:
            do(name)
        except AdminError as error:
            _complain(name, error)
            status = 1
    return status


def start_qubes(client: AdminClient, words: Sequence[str]) -> int:
    """Start qubes, each after its netvms."""
    parser = _parser("qvm-start")
    parser.add_argument("--skip-if-running", action="store_true")
    args = _parse(parser, client, words)

    def start(name: str) -> None:
        client.call("admin.vm.List", name)  # so that an unknown one is complained of
        if _state(client, name) == "Halted":
            client.call("admin.vm.Start", name)
        elif not args.skip_if_running:
            raise AdminError("QubesVMNotHaltedError", "domain is already running")

    return _for_each(args.names, start)


def shut_down_qubes(client: AdminClient, words: Sequence[str]) -> int:
    """Ask qubes to end; with --wait, return when they have.

    With --wait, a netvm that is refused for its clients is asked again after them.
    """
    parser = _parser("qvm-shutdown")
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("--force", action="store_true", help="netvms with clients too")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS")
    args = _parse(parser, client, words)
    names, status = list(args.names), 0
    while names:
        refused: dict[str, AdminError] = {}
        for name in names:
            try:
                client.call("admin.vm.Shutdown", name, "force" if args.force else "")
            except AdminError as error:
                if error.kind != "QubesVMNotStartedError":
                    refused[name] = error
        asked = [name for name in names if name not in refused]
        if args.wait and not _wait_halted(client, asked, args.timeout):
            status = 1
        if not args.wait or not asked:
            for name, reason in refused.items():
                _complain(name, reason)
            return 1 if refused else status
        names = list(refused)
    return status


def _wait_halted(client: AdminClient, names: Sequence[str], seconds: float) -> bool:
    """Wait until all are halted, and kill what is not in time; whether all were."""
    deadline = time.monotonic() + seconds
    left = list(names)
    while left and time.monotonic() < deadline:
        left = [name for name in left if _state(client, name) != "Halted"]
        if left:
            time.sleep(_POLL_SECONDS)
    for name in left:
        _complain(name, "did not end in time: killed")
    _for_each(left, lambda name: _call(client, "admin.vm.Kill", name))
    return not left


def _call(client: AdminClient, method: str, name: str) -> None:
    client.call(method, name)


def _each(tool: str, method: str, client: AdminClient, words: Sequence[str]) -> int:
    args = _parse(_parser(tool), client, words)
    return _for_each(args.names, lambda name: _call(client, method, name))


def kill_qubes(client: AdminClient, words: Sequence[str]) -> int:
    """End qubes at once."""
    return _each("qvm-kill", "admin.vm.Kill", client, words)


def pause_qubes(client: AdminClient, words: Sequence[str]) -> int:
    """Stop qubes where they are."""
    return _each("qvm-pause", "admin.vm.Pause", client, words)


def unpause_qubes(client: AdminClient, words: Sequence[str]) -> int:
    """Let paused qubes go on."""
    return _each("qvm-unpause", "admin.vm.Unpause", client, words)
