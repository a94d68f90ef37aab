# SPDX-License-Identifier: GPL-2.0-or-later
"""What programs of a qube may have opened for them: features of the qube, in words.

They are in the care of qubesd; `daemon/features.py` says what they mean.
"""

from __future__ import annotations

from qubesforward.cli.console import Console
from qubesforward.cli.exits import DONE
from qubesforward.cli.firewall import Firewall
from qubesforward.model.rule import Reach

_MODE = "portmap"
_REACH = "portmap-reach"
_DEFAULT_REACH = Reach.INTERNET
"""As qubes-forwardd takes it where the feature is not set."""


def read_reach(firewall: Firewall, qube: str) -> str:
    """Return how far out goes what programs of a qube are granted."""
    return firewall.get_feature(qube, _REACH) or str(_DEFAULT_REACH)


def set_policy(
    console: Console,
    firewall: Firewall,
    qube: str,
    mode: str | None,
    reach: str | None,
) -> int:
    """Set what is not None, and say what holds now; return the exit status."""
    # First how far: nothing is to get farther than was said, not for a moment.
    if reach is not None:
        firewall.set_feature(qube, _REACH, reach)
    if mode is not None:
        # Not removed: so it is off whatever a later version takes for the default.
        firewall.set_feature(qube, _MODE, "" if mode == "off" else mode)
    told = describe_policy(firewall, qube)
    console.say(told or _describe_off(qube))
    return DONE


def _describe_off(qube: str) -> str:
    return (
        f"Programs of {qube} get no ports, and nobody is asked for them. What they had"
        " is closed."
    )


def describe_policy(firewall: Firewall, qube: str) -> str:
    """Say what programs of a qube may get; nothing if that is nothing."""
    mode = firewall.get_feature(qube, _MODE)
    if mode == "ask":
        start = f"When a program of {qube} asks for a port, you are asked"
        then = "; qvm-forward --requests shows that."
    elif mode == "allow":
        start = f"Every program of {qube} that asks for a port gets it unasked"
        then = f"; qvm-forward {qube} --portmap ask or off changes that."
    else:
        return ""
    far = _FAR.get(read_reach(firewall, qube), _BROKEN)
    return start + far + then


_FAR: dict[str, str] = {
    Reach.LAN: ". It reaches the LAN, not the internet",
    Reach.INTERNET: ". It reaches the LAN, and the internet if the router agrees",
}
_BROKEN = f", but none gets one: {_REACH} is neither lan nor internet"
