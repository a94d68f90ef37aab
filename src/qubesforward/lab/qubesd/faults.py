# SPDX-License-Identifier: GPL-2.0-or-later
"""The exceptions that stock's qubesd answers with, by their stock names."""

from __future__ import annotations

from qubesforward.qubes.admin_server import AdminException


def fault(kind: str, text: str) -> AdminException:
    """Make an exception of a stock kind.

    Clients run the text through %-formatting, so a percent sign is doubled.
    """
    return AdminException(kind, text.replace("%", "%%"))


def no_such_qube(name: str) -> AdminException:
    """No qube has this name."""
    return fault("QubesVMNotFoundError", f"No such domain: {name!r}")


def no_such_property(holder: str, name: str) -> AdminException:
    """Say: the qube, or the computer, has no property of this name."""
    return fault("QubesNoSuchPropertyError", f"Invalid property {name!r} of {holder}")


def bad_value(text: str) -> AdminException:
    """Say: a value that cannot be taken; the text says why."""
    return fault("QubesValueError", text)


def in_use(text: str) -> AdminException:
    """Something else needs it as it is."""
    return fault("QubesVMInUseError", text)


def not_halted(name: str) -> AdminException:
    """Say: it works on halted qubes only."""
    return fault("QubesVMNotHaltedError", f"Domain is not powered off: {name!r}")


def not_started(name: str) -> AdminException:
    """Say: it needs a qube that is up, running or paused."""
    return fault("QubesVMNotStartedError", f"Domain is powered off: {name!r}")


def not_running(name: str) -> AdminException:
    """Say: it needs a qube that runs and is not paused."""
    return fault(
        "QubesVMNotRunningError",
        f"Domain not running (either powered off or paused): {name!r}",
    )


def not_paused(name: str) -> AdminException:
    """Only a paused qube can go on."""
    return fault("QubesVMNotPausedError", f"Domain is not paused: {name!r}")


def no_such_feature(qube: str, name: str) -> AdminException:
    """Say: the feature is set neither on the qube nor where the call looks further."""
    return fault(
        "QubesFeatureNotFoundError", f"Feature not set for domain {qube}: {name}"
    )


def no_such_tag(qube: str, name: str) -> AdminException:
    """Say: the qube does not bear this tag."""
    return fault("QubesTagNotFoundError", f"Tag not set for domain {qube}: {name}")


def failed(text: str) -> AdminException:
    """Anything else that went wrong and may be shown."""
    return fault("QubesException", text)


def describe(error: Exception) -> str:
    """Return what an error says, as a user would read it."""
    return (
        error.text.replace("%%", "%")
        if isinstance(error, AdminException)
        else str(error)
    )
