# SPDX-License-Identifier: GPL-2.0-or-later
"""`qubes-lab`: a whole Qubes network on this machine, out of kernel namespaces."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from qubesforward.errors import ForwardError
from qubesforward.lab.enter import list_processes, run_inside
from qubesforward.lab.state import DEFAULT_NAME, LabState
from qubesforward.qubes.setting import Setting


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = _parse_options(sys.argv[1:] if argv is None else argv)
    try:
        status: int = options.run(options)
    except ForwardError as error:
        print(f"qubes-lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our listing has seen enough; Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parse_options(argv: Sequence[str]) -> argparse.Namespace:
    name = argparse.ArgumentParser(add_help=False)
    name.add_argument(
        "--name", default=argparse.SUPPRESS, help="which lab, if there are several"
    )
    parser = argparse.ArgumentParser(
        prog="qubes-lab", description=__doc__.partition(": ")[2], parents=[name]
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(command: str, run: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            command, help=text, description=text, parents=[name]
        )
        added.set_defaults(run=run)
        return added

    up = add("up", _up, "start, in the background; return when every qube is up")
    up.add_argument("--topology", type=Path, metavar="FILE")
    up.add_argument(
        "--from",
        action="append",
        default=[],
        dest="grounds",
        metavar="WHERE=DIRECTORY",
        help="run our programs in dom0 or the qubes from packages: dom0-root or"
        " qubes-root, a root file system with them; dom0-packages or qubes-packages,"
        " unpacked ones to be laid over this machine's",
    )
    up.add_argument(
        "--setting",
        type=Setting,
        choices=list(Setting),
        help="instead of the topology's: whether outbound rules are those of a stock"
        " Qubes (beside), or of our programs",
    )
    execute = add("exec", _exec, "run a command in a qube, dom0, or an outside host")
    execute.add_argument("where", metavar="NAME")
    execute.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    shell = add("shell", _shell, "open a shell in a qube, dom0, or an outside host")
    shell.add_argument("where", metavar="NAME", nargs="?", default="dom0")
    add("status", _status, "show what runs, and its services")
    pids = add("pids", _pids, "list processes: host pid, where, program")
    pids.add_argument("where", metavar="NAME", nargs="?")
    service = add("service", _service, "steer one service, as systemctl would")
    service.add_argument("where", metavar="NAME")
    service.add_argument("action", choices=("start", "stop", "restart", "status"))
    service.add_argument("unit")
    add("down", _down, "end everything; nothing is left")
    desktop = add("desktop", _desktop, "show the windows of dom0 on this screen")
    desktop.add_argument("--topology", type=Path, metavar="FILE")
    add("demo", _demo, "the tour: a port opened through a chain of qubes")
    return parser.parse_args(argv)


def _find_lab(options: argparse.Namespace) -> LabState:
    return LabState(getattr(options, "name", DEFAULT_NAME))


def _warn(text: str) -> None:
    print(f"qubes-lab: warning: {text}", file=sys.stderr)


def _up(options: argparse.Namespace) -> int:
    from qubesforward.lab.boot import launch
    from qubesforward.lab.ground import find_grounds
    from qubesforward.lab.topology import DEFAULT_TOPOLOGY

    topology = options.topology or DEFAULT_TOPOLOGY
    grounds = find_grounds(options.grounds)
    lab = _find_lab(options)
    launch(lab, topology, _warn, grounds=grounds, setting=options.setting)
    return 0


def _down(options: argparse.Namespace) -> int:
    from qubesforward.lab.boot import end

    end(_find_lab(options))
    return 0


def _exec(options: argparse.Namespace) -> int:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        print("qubes-lab: exec: give a command after --", file=sys.stderr)
        return 2
    return run_inside(_find_lab(options), options.where, command)


def _shell(options: argparse.Namespace) -> int:
    prompt = {"PS1": rf"[{options.where}] \w \$ ", "TERM": os.environ.get("TERM", "")}
    shell = ["bash", "--rcfile", os.devnull, "-i"]
    return run_inside(_find_lab(options), options.where, shell, prompt)


def _pids(options: argparse.Namespace) -> int:
    state = _find_lab(options)
    for pid, where, program in sorted(list_processes(state)):
        if options.where in (None, where):
            print(f"{pid:7} {where:15} {program}", flush=True)
    return 0


def _status(options: argparse.Namespace) -> int:
    from qubesforward.lab.caller import call_lab

    for name, domain in sorted(call_lab(_find_lab(options), "status").items()):
        units = domain["services"].items()
        services = ", ".join(f"{unit} {found['state']}" for unit, found in units)
        print(f"{name:15} {domain['role']:6} {domain['state']:8} {services}")
    return 0


def _service(options: argparse.Namespace) -> int:
    from qubesforward.lab.caller import call_lab

    asked = {"name": options.where, "action": options.action, "unit": options.unit}
    found = call_lab(_find_lab(options), "service", **asked)
    print(f"{options.unit}: {found['state']}, started {found['starts']} times")
    return 0 if found["state"] in ("running", "done") or options.action == "stop" else 3


def _desktop(options: argparse.Namespace) -> int:
    from qubesforward.lab.desktop import show_desktop
    from qubesforward.lab.topology import DEFAULT_TOPOLOGY

    topology = options.topology or DEFAULT_TOPOLOGY
    return show_desktop(_find_lab(options), topology, _warn)


def _demo(_options: argparse.Namespace) -> int:
    from qubesforward.lab import demo

    return demo.main()


if __name__ == "__main__":
    sys.exit(main())
