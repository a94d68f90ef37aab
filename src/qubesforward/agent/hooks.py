# SPDX-License-Identifier: GPL-2.0-or-later
"""Our one rule in each of the chains that Qubes keeps for rules of others."""

from __future__ import annotations

from qubesforward.agent.kernel import Kernel
from qubesforward.nft.layout import (
    CUSTOM_FORWARD,
    CUSTOM_INPUT,
    render_custom_removal,
    render_custom_rule,
)
from qubesforward.nft.readback import handles_of_ours
from qubesforward.nft.shapes import FAMILIES

_CHAINS = [
    (family, chain) for family in FAMILIES for chain in (CUSTOM_FORWARD, CUSTOM_INPUT)
]


class CustomHooks:
    """Keeps our rules where they belong, but makes no chain that Qubes did not.

    `present` names the chains that hold our rule, as (IP version, name).
    """

    def __init__(self, kernel: Kernel) -> None:
        self.present: frozenset[tuple[int, str]] = frozenset()
        self._kernel = kernel

    def repair(self) -> None:
        """Look at each chain and put our rule right. Raises `ApplyError`."""
        self.present = frozenset(
            (family, chain) for family, chain in _CHAINS if self._repair(family, chain)
        )

    def remove(self) -> None:
        """Take our rules out of all these chains. Raises `ApplyError`."""
        for family, chain in _CHAINS:
            handles = handles_of_ours(
                self._kernel.read_custom_rules(family, chain) or ()
            )
            if handles:
                self._kernel.run_nft(render_custom_removal(family, chain, handles))
        self.present = frozenset()

    def _repair(self, family: int, chain: str) -> bool:
        rules = self._kernel.read_custom_rules(family, chain)
        if rules is None:
            return False
        handles = handles_of_ours(rules)
        # A rule from an earlier run may be of an earlier version: it is replaced.
        if len(handles) != 1 or (family, chain) not in self.present:
            self._kernel.run_nft(render_custom_rule(family, chain, handles))
        return True
