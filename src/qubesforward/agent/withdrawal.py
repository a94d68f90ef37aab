# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking everything of ours out of the kernel, before this program is removed.

The agent must not run meanwhile: it would repair what is taken away. Outbound rules
stay, as no qube may get out because a package was removed.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

from qubesforward.agent.backend import Upset, uses_nftables
from qubesforward.agent.conntrack import Conntrack
from qubesforward.agent.detour import Detour
from qubesforward.agent.interfaces import open_route_socket
from qubesforward.errors import ForwardError
from qubesforward.nft.refusals import Surroundings

if TYPE_CHECKING:
    from qubesforward.agent.kernel import Kernel

_FAREWELL = 0.5
"""Seconds in which those who send something hear that it is over."""


def withdraw(kind: str = "auto") -> None:
    """Cut what is open in this network namespace, and remove our rules and tables.

    `kind` is the packet filter, as for `make_backend`. Raises `ForwardError`, or
    `OSError` where one may not look at the kernel's rules; then something may be left.
    """
    if uses_nftables(kind):
        _withdraw_nft()
    else:
        _withdraw_iptables()
    with closing(open_route_socket()) as routes:
        Detour(routes).clear()


def _withdraw_nft() -> None:
    # Imported only where it is used: a hop with iptables may not have the library.
    from qubesforward.agent.hooks import CustomHooks
    from qubesforward.agent.kernel import Kernel
    from qubesforward.nft.layout import render_removal

    kernel = Kernel()
    if kernel.read_table() is not None:
        _cut_all(kernel)
    CustomHooks(kernel).remove()
    kernel.run_nft(render_removal())


def _withdraw_iptables() -> None:
    from qubesforward.agent.iptables_backend import IptablesBackend

    def ignore(_what: Upset) -> None:
        """Others may do what they want now."""

    IptablesBackend(ignore, outbound=False).withdraw()


def _cut_all(kernel: Kernel) -> None:
    """Close every forward, and end the connections through it.

    Without our table nobody would stop what is established any more. A connection in
    which nothing moves now is not seen, and the target's next packet may bring it back:
    to be rid of those too, close forwards in dom0 first, or restart the qube.
    """
    from qubesforward.agent.applier import Applier
    from qubesforward.nft.layout import render_farewell

    applier = Applier(kernel, Conntrack())
    applier.converge({}, Surroundings())
    kernel.run_nft(render_farewell())
    time.sleep(_FAREWELL)
    applier.clear_away()


def run_withdrawal(kind: str) -> int:
    """Withdraw, and return 0; or 1, after it was said what went wrong."""
    try:
        withdraw(kind)
    except (ForwardError, OSError) as error:
        print(f"qubes-forward-agent: {error}", file=sys.stderr)
        return 1
    return 0
