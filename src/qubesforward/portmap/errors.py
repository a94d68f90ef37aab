# SPDX-License-Identifier: GPL-2.0-or-later
"""What the decoders of datagrams raise, and nothing else.

These never reach a user: they say how a stranger is answered.
"""

from __future__ import annotations


class MalformedRequest(Exception):
    """A datagram that asks for nothing that could be done.

    `result`: the code of the answer, in the numbers of the datagram's own protocol;
    None where the RFCs demand silence. `is_parsed`: all fields were understood, so the
    reserved ones of the answer are zero (RFC 6887, 7.2).
    """

    def __init__(
        self, why: str, result: int | None = None, *, is_parsed: bool = False
    ) -> None:
        super().__init__(why)
        self.result = result
        self.is_parsed = is_parsed


class MalformedResponse(Exception):
    """A datagram that is no answer of a server; to be dropped as if it was lost."""
