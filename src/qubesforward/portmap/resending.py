# SPDX-License-Identifier: GPL-2.0-or-later
"""When a client sends what was not answered again, and when it renews."""

from __future__ import annotations

_PCP_FIRST = 3.0
_PCP_LONGEST = 1024.0
"""Seconds: RFC 6887, 8.1.1 (IRT and MRT)."""

_NATPMP_FIRST = 0.25
NATPMP_TRIES = 9
"""Of one request, each twice as long as the one before: RFC 6886, 3.1."""

_RENEWALS_APART = 4.0
"""Seconds at least: RFC 6887, 11.2.1."""


def pcp_pause(previous: float | None, lot: float) -> float:
    """Return the seconds to wait for an answer (RFC 6887, 8.1.1).

    `previous`: those waited for the one before, None at first. `lot`: of 0 to 1.
    """
    jitter = 1 + (lot - 0.5) / 5
    base = _PCP_FIRST if previous is None else min(2 * previous, _PCP_LONGEST)
    return jitter * base


def natpmp_pause(tries: int) -> float:
    """Return the seconds to wait for an answer to the request sent so many times."""
    return _NATPMP_FIRST * 2.0 ** (min(tries, NATPMP_TRIES) - 1)


def renewal_time(
    opened: float, end: float, attempt: int, last: float, lot: float
) -> float:
    """Return when to renew: at 1/2 to 5/8 of the lifetime, then 3/4 to 13/16 and on.

    `attempt`: how many there were, `last`: when the last was; `end` if another one
    would come too soon after it (RFC 6887, 11.2.1).
    """
    lifetime = end - opened
    start = 1 - 0.5 ** (attempt + 1)
    at = opened + lifetime * (start + lot * 0.5 ** (attempt + 3))
    return at if last + _RENEWALS_APART <= at < end else end
