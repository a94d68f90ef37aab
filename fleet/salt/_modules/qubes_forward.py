# SPDX-License-Identifier: GPL-2.0-or-later
"""Port forwards of Qubes OS; runs in dom0, where qubes-forward is installed."""

from salt.exceptions import CommandExecutionError

try:
    from qubesforward.errors import ForwardError
    from qubesforward.fleet.declaring import declare as _declare
except ImportError:
    _declare = None


def __virtual__():
    """Be there where qubes-forward is."""
    if _declare is None:
        return False, "qubes-forward is not installed for Salt's Python"
    return "qubes_forward"


def declare(qube, wanted, forwards, force=False, test=False):
    """Make forwards of a qube present, absent, or exact.

    CLI Example:

    .. code-block:: bash

        salt-call --local qubes_forward.declare work present '[{port: 443, to: 8443}]'
    """
    try:
        done = _declare(qube, wanted, forwards, force=force, check=test)
    except ForwardError as error:
        raise CommandExecutionError(str(error) or "no such qube") from error
    change = done.change
    before, after = change.before.splitlines(), change.after.splitlines()
    return {
        "added": [line for line in after if line not in before],
        "removed": [line for line in before if line not in after],
        "forwards": done.forwards,
        "warnings": done.warnings,
    }
