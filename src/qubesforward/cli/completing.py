# SPDX-License-Identifier: GPL-2.0-or-later
"""Words for shells that complete a command line: ``qvm-forward --complete WHAT``.

Somebody waits with a finger on the key. So there is a short limit of time, and no word
about what went wrong: what cannot be told is not completed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from qubesforward.cli.exits import DONE, REFUSED
from qubesforward.cli.firewall import COMPUTER, Firewall
from qubesforward.errors import ForwardError
from qubesforward.qubes.admin import AdminClient

PATIENCE = 1.0
"""Seconds that a whole call may take."""


def complete(what: str, qube: str | None, client: AdminClient | None = None) -> int:
    """Print the words of a kind, one a line; return the exit status."""
    firewall = Firewall(client or AdminClient(timeout=PATIENCE))
    try:
        words = WORDS[what](firewall, qube or COMPUTER)
    except ForwardError:
        return REFUSED
    sys.stdout.write("".join(f"{word}\n" for word in words))
    return DONE


def _list_qubes(firewall: Firewall, _qube: str) -> list[str]:
    return [name for name in firewall.list_qubes() if name != COMPUTER]


def _list_ports(firewall: Firewall, qube: str) -> list[str]:
    """Return the outer ports that lead to a qube, as ``--close`` takes them."""
    from qubesforward.cli.sentences import format_outer, unique

    outer = (
        format_outer(forward.rule).replace("tcp+udp", "both")
        for each in firewall.read_status(qube).qubes
        for forward in each.forwards
    )
    return unique(outer)


def _list_requests(firewall: Firewall, _qube: str) -> list[str]:
    from qubesforward.cli.request import decode_requests

    return [request.id for request in decode_requests(firewall.requests())]


WORDS: dict[str, Callable[[Firewall, str], list[str]]] = {
    "qubes": _list_qubes,
    "ports": _list_ports,
    "requests": _list_requests,
}
"""What can be asked for."""
