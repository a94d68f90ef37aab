# SPDX-License-Identifier: GPL-2.0-or-later
"""qvm-forward: let others reach a port of a qube, in one short command."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from os import environ
from time import time

from qubesforward.cli.console import Console
from qubesforward.cli.exits import DONE, run_tool
from qubesforward.cli.firewall import Firewall, check_name
from qubesforward.cli.listing import list_computer, list_qube
from qubesforward.cli.options import check_options, parse_forward_options
from qubesforward.cli.table import measure_screen
from qubesforward.qubes.admin import AdminClient

NAME = "qvm-forward"


def main(argv: Sequence[str] | None = None, client: AdminClient | None = None) -> int:
    """Run the tool; return its exit status (see `qubesforward.cli.exits`)."""
    options = parse_forward_options(NAME, argv)
    if options.complete is not None:
        from qubesforward.cli.completing import complete

        return complete(options.complete, options.VM, client)
    firewall = Firewall(client or AdminClient())
    return run_tool(NAME, lambda: _run(options, firewall), verbose=options.verbose)


def _run(options: Namespace, firewall: Firewall) -> int:
    check_options(options)
    console = Console(
        screen=measure_screen(sys.stdout, environ),
        now=int(time()),
        quiet=options.quiet,
        json=options.json,
    )
    qube = "" if options.VM is None else check_name(options.VM)
    command = _find_command(options)
    if command is not None:
        return command(options, console, firewall, qube)
    if qube:
        list_qube(console, firewall, qube)
    else:
        list_computer(console, firewall)
    return DONE


_Command = Callable[[Namespace, Console, Firewall, str], int]


def _find_command(options: Namespace) -> _Command | None:
    """Return what is asked for; None for a listing."""
    commands: list[tuple[object, _Command]] = [
        # They take ports too, and so do not come after opening.
        (options.diagnose, _diagnose),
        (options.picture is not None, _draw),
        (options.ports, _open),
        (options.close or options.close_all, _close),
        (options.log, _show_log),
        (options.requests, _show_requests),
        (options.grant is not None or options.deny is not None, _answer),
        (options.export is not None, _export),
        (options.import_from is not None, _import),
        (options.portmap or options.portmap_reach, _set_policy),
    ]
    return next((command for is_asked, command in commands if is_asked), None)


# A listing, the most frequent use, need not pay for the imports of the others.


def _open(options: Namespace, console: Console, firewall: Firewall, qube: str) -> int:
    from qubesforward.cli.asking import read_rules
    from qubesforward.cli.opening import open_ports, show_plan

    rules = read_rules(options, console.now)
    if options.dry_run:
        return show_plan(console, firewall, qube, rules)
    return open_ports(console, firewall, qube, rules, force=options.force)


def _diagnose(
    options: Namespace, console: Console, firewall: Firewall, qube: str
) -> int:
    from qubesforward.cli.asking import read_client, read_specs
    from qubesforward.cli.diagnosis import diagnose

    client = read_client(options)
    return diagnose(console, firewall, qube, read_specs(options), client)


def _draw(options: Namespace, console: Console, firewall: Firewall, qube: str) -> int:
    from qubesforward.cli.asking import read_specs
    from qubesforward.cli.picture import draw_forwards

    specs = read_specs(options)
    return draw_forwards(console, firewall, qube, specs, options.picture)


def _show_log(
    options: Namespace, console: Console, firewall: Firewall, qube: str
) -> int:
    from qubesforward.cli.asking import read_since
    from qubesforward.cli.log import show_log

    show_log(console, firewall, qube, read_since(options, console.now))
    return DONE


def _close(options: Namespace, console: Console, firewall: Firewall, qube: str) -> int:
    from qubesforward.cli.asking import read_closing
    from qubesforward.cli.closing import close_all, close_ports

    if options.close_all:
        return close_all(console, firewall, qube)
    return close_ports(console, firewall, qube, read_closing(options))


def _show_requests(
    options: Namespace, console: Console, firewall: Firewall, qube: str
) -> int:
    from qubesforward.cli.requests import list_requests

    if not options.wait:
        return list_requests(console, firewall, qube)
    from qubesforward.cli.watching import Watch

    Watch(console, firewall, qube).run()
    return DONE


def _answer(options: Namespace, console: Console, firewall: Firewall, qube: str) -> int:
    from qubesforward.cli.answering import deny, grant

    if options.deny is not None:
        scope = "never" if options.for_good else "once"
        return deny(console, firewall, qube, options.deny, scope)
    scope = "always" if options.for_good else "once"
    scope = "reboot" if options.until_reboot else scope
    return grant(console, firewall, qube, options.grant, scope)


def _export(options: Namespace, console: Console, firewall: Firewall, qube: str) -> int:
    from qubesforward.cli.exporting import export_rules

    return export_rules(console, firewall, qube, options.export)


def _import(options: Namespace, console: Console, firewall: Firewall, qube: str) -> int:
    from qubesforward.cli.importing import import_rules

    path, dry_run = options.import_from, options.dry_run
    return import_rules(console, firewall, qube, path, dry_run=dry_run)


def _set_policy(
    options: Namespace, console: Console, firewall: Firewall, qube: str
) -> int:
    from qubesforward.cli.policy import set_policy

    return set_policy(console, firewall, qube, options.portmap, options.portmap_reach)
