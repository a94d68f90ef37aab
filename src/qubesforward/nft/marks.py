# SPDX-License-Identifier: GPL-2.0-or-later
"""Marks of connections and packets by which our rules know what is ours."""

from __future__ import annotations

TAG = 0xB0000000
TAG_MASK = 0xF0000000
"""The top four bits of a connection mark say that it is ours; the rest is the ID's."""

SELF = TAG
"""The mark of connections that a target lets in."""

SERVED = TAG | 0x0FFFFFFF
"""The mark of connections of qubes below with a hop itself."""

TOLD = TAG | 0x0FFFFFFE
"""The mark of answers to what a target asked a group."""

DOOR_MARKS = frozenset((SELF, SERVED, TOLD))
"""The marks that belong to no single entry: no ID may end in these digits."""

DETOUR = 0x08000000
"""The bit of a packet mark that sends answers past a tunnel (see `bypass`)."""
