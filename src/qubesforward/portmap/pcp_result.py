# SPDX-License-Identifier: GPL-2.0-or-later
"""What a PCP server says of a request: RFC 6887, 7.4."""

from __future__ import annotations

from enum import IntEnum

LONG_LIVED = 30 * 60
SHORT_LIVED = 30
"""Seconds for which the two kinds of errors are said to stay, as 7.4 recommends."""


class Result(IntEnum):
    """Result codes."""

    SUCCESS = 0
    UNSUPP_VERSION = 1
    NOT_AUTHORIZED = 2
    MALFORMED_REQUEST = 3
    UNSUPP_OPCODE = 4
    UNSUPP_OPTION = 5
    MALFORMED_OPTION = 6
    NETWORK_FAILURE = 7
    NO_RESOURCES = 8
    UNSUPP_PROTOCOL = 9
    USER_EX_QUOTA = 10
    CANNOT_PROVIDE_EXTERNAL = 11
    ADDRESS_MISMATCH = 12
    EXCESSIVE_REMOTE_PEERS = 13


_SHORT = frozenset(
    {
        Result.NETWORK_FAILURE,
        Result.NO_RESOURCES,
        Result.USER_EX_QUOTA,
        # 7.4 leaves this one's to the reason: a port that is taken now.
        Result.CANNOT_PROVIDE_EXTERNAL,
    }
)


def error_lifetime(result: int) -> int:
    """Return for how many seconds the same request would get the same error."""
    return SHORT_LIVED if result in _SHORT else LONG_LIVED
