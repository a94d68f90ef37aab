# SPDX-License-Identifier: GPL-2.0-or-later
"""Beside what our programs run: a stock Qubes, or one whose firewall is all ours."""

from __future__ import annotations

from enum import StrEnum


class Setting(StrEnum):
    """Who has the outbound rules of qubes; forwards are always ours.

    `BESIDE`: Qubes' own qubesd, and its own agent in network qubes. We neither serve,
    publish nor enforce any. This is what programs do unless they are told otherwise:
    two that enforce the same rules would undo one another's work.
    `INTEGRATED`: we have them, in one file with the forwards.
    """

    BESIDE = "beside"
    INTEGRATED = "integrated"
