# SPDX-License-Identifier: GPL-2.0-or-later
"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

_Some = TypeVar("_Some")


@dataclass(frozen=True)
class Scale:
    """Full size, or just enough to see that everything still works."""

    tiny: bool = False

    def pick(self, full: _Some, tiny: _Some) -> _Some:
        """Return what this scale has."""
        return tiny if self.tiny else full
