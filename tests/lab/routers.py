# SPDX-License-Identifier: GPL-2.0-or-later
"""Labs whose router opens ports for who asks it, with miniupnpd."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from qubesforward.lab.igd import HTTP_PORT
from qubesforward.lab.topology import DEFAULT_TOPOLOGY

ROUTER = "192.168.1.1"
ASKER = "192.168.1.10"
"""The card of sys-net."""

DESCRIPTION = f"http://{ROUTER}:{HTTP_PORT}/rootDesc.xml"

PUBLIC = "44.128.1."
"""Beginning of the addresses outside, in place of those for documentation.

miniupnpd opens nothing where the router's own address is known not to be reachable.
This network, 44.128.0.0/16 of AMPRNet, is for tests, and is routed nowhere; but no
list of special addresses has it.
"""

CARRIER = "100.64.0."
"""The same for a router behind a carrier's NAT (RFC 6598)."""

REFUSE_ALL = ("deny 0-65535 0.0.0.0/0 0-65535",)

_DOCUMENTATION = "198.51.100."


def router_topology(
    *,
    natpmp: bool = True,
    upnp: bool = True,
    rules: Sequence[str] = (),
    outside: str = PUBLIC,
    running: Collection[str] = ("sys-net",),
) -> str:
    """Return the default topology with such a router, at ``outside + "1"``.

    `natpmp` is for PCP too; `rules` are miniupnpd's. Only qubes in `running` are
    started.
    """
    top, *qubes = DEFAULT_TOPOLOGY.read_text().split("\n[qubes.")
    parts = [f"natpmp = {json.dumps(natpmp)}", f"upnp = {json.dumps(upnp)}"]
    if rules:
        parts.append(f"rules = {json.dumps(list(rules))}")
    igd = f"igd = {{ {', '.join(parts)} }}\n"
    sections = [top.replace("masquerade = ", f"{igd}masquerade = ")]
    for qube in qubes:
        is_running = qube.partition("]")[0] in running
        sections.append(qube if is_running else qube.replace("autostart = true\n", ""))
    return "\n[qubes.".join(sections).replace(_DOCUMENTATION, outside)
