# SPDX-License-Identifier: GPL-2.0-or-later
"""The one taxonomy of errors.

Every error that a user may meet is a `ForwardError`; its text says what was wrong,
where, and what to do, and holds nothing that a hostile qube could choose freely.
Anything else that escapes from this project is a bug.
"""


class ForwardError(Exception):
    """Base of all errors whose text may be shown to a user."""


class InvalidRule(ForwardError):
    """A rule, rule list or hop entry, in text or XML, that cannot be read.

    The only error that the parsers of `qubesforward.model` raise.
    """


class Conflict(ForwardError):
    """A forward that would take what an older forward already has."""


class NotOurs(ForwardError):
    """A call that is Qubes' own service's to answer in this setting."""


class UnknownQube(ForwardError):
    """A name that no qube of this computer has."""


class MalformedMessage(ForwardError):
    """Bytes on a wire that break its framing; the connection must be given up.

    The only error that the decoders of `qubesforward.qubes` raise.
    """


class QubesDBError(ForwardError):
    """QubesDB refused a request, or its daemon is gone."""


class AdminError(ForwardError):
    """An exception that the other side of the Admin API answered with.

    `kind` is the remote class name (for example ``QubesVMNotFoundError``).
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Unavailable(ForwardError):
    """A service that should answer does not: not running, or no answer in time."""


class ApplyError(ForwardError):
    """The kernel refused what the agent asked of it."""


class LabError(ForwardError):
    """The lab cannot be built or reached on this machine; says why."""
