# SPDX-License-Identifier: GPL-2.0-or-later
"""Port forwards of Qubes OS as states; `name` is the qube. Runs in dom0."""

from salt.exceptions import CommandExecutionError


def __virtual__():
    """Be there where the execution module is."""
    if "qubes_forward.declare" in __salt__:
        return "qubes_forward"
    return False, "qubes-forward is not installed for Salt's Python"


def present(name, forwards, force=False):
    """Have these forwards, as they are declared."""
    return _declare(name, "present", forwards, force)


def absent(name, forwards):
    """Have everything closed that fits what is given."""
    return _declare(name, "absent", forwards, False)


def exact(name, forwards, force=False):
    """Have these forwards, and no others but those that programs asked for."""
    return _declare(name, "exact", forwards, force)


def _declare(name, wanted, forwards, force):
    ret = {"name": name, "result": True, "changes": {}, "comment": ""}
    test = __opts__["test"]
    try:
        done = __salt__["qubes_forward.declare"](
            name, wanted, forwards, force=force, test=test
        )
    except CommandExecutionError as error:
        return {**ret, "result": False, "comment": str(error)}
    changes = {kind: done[kind] for kind in ("added", "removed") if done[kind]}
    comment = "The forwards are as declared."
    if changes:
        comment = "The forwards are changed."
        if test:
            ret["result"] = None
            comment = "The forwards would be changed."
    ret["changes"] = changes
    ret["comment"] = "\n".join([comment, *done["warnings"]])
    return ret
