# SPDX-License-Identifier: GPL-2.0-or-later
"""What the documentation of Qubes has users type into each qube, as a script does it.

One translation and one accepting rule in every network qube, one accepting rule in
the target; the addresses are known to the script already, and nothing is made to
survive a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

_STATE = "ct state new,established,related counter"


def opening_commands(
    chain: Sequence[str], addresses: Mapping[str, str], port: int
) -> list[tuple[str, list[str]]]:
    """Return each qube with its nft commands, the outermost first.

    `chain` is the target and its hops from there outwards.
    """
    found = []
    for below, hop in reversed(list(pairwise(chain))):
        entered = "iifgroup 1" if hop != chain[-1] else 'iifname "ens6"'
        to = addresses[below]
        match = f"{entered} tcp dport {port}"
        found.append(
            (
                hop,
                [
                    f"add chain ip qubes custom-dnat-{port}"
                    " { type nat hook prerouting priority filter + 1 ;"
                    " policy accept ; }",
                    f"add rule ip qubes custom-dnat-{port} {match} {_STATE} dnat to"
                    f" {to}",
                    f"add rule ip qubes custom-forward {entered} ip daddr {to}"
                    f" tcp dport {port} {_STATE} accept",
                ],
            )
        )
    door = f"add rule ip qubes custom-input tcp dport {port} {_STATE} accept"
    return [*found, (chain[0], [door])]


def closing_commands(chain: Sequence[str], port: int) -> list[tuple[str, list[str]]]:
    """Return each qube with shell commands that take all of it back."""
    found = []
    for hop in reversed(chain[1:]):
        found.append(
            (
                hop,
                [
                    f"nft flush chain ip qubes custom-dnat-{port}",
                    f"nft delete chain ip qubes custom-dnat-{port}",
                    _delete_rule("custom-forward", port),
                ],
            )
        )
    return [*found, (chain[0], [_delete_rule("custom-input", port)])]


def _delete_rule(chain: str, port: int) -> str:
    handle = (
        f"$(nft -a list chain ip qubes {chain}"
        f" | sed -n 's/.*tcp dport {port} .*handle //p')"
    )
    return f"nft delete rule ip qubes {chain} handle {handle}"


def quote(command: str) -> str:
    """Return a shell command that runs nft on one command."""
    return f"nft '{command}'"
