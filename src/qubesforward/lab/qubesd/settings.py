# SPDX-License-Identifier: GPL-2.0-or-later
"""The global properties of the computer: each names a qube, or none."""

from __future__ import annotations

from qubesforward.lab.qubesd.faults import no_such_property
from qubesforward.lab.qubesd.rules import check_setting
from qubesforward.lab.qubesd.state import Computer
from qubesforward.qubes.admin_wire import Property

SETTINGS = (
    "clockvm",
    "default_dispvm",
    "default_netvm",
    "default_template",
    "updatevm",
)


def find_setting(name: str) -> str:
    """Return the name again; one that does not exist is answered as stock does."""
    if name not in SETTINGS:
        raise no_such_property("Qubes", name)
    return name


def read_setting(computer: Computer, name: str) -> Property:
    """Return what a global property is now."""
    find_setting(name)
    text = computer.settings.get(name)
    return Property(text or "", "vm", default=text is None)


def take_setting(computer: Computer, name: str, untrusted_value: bytes) -> str:
    """Take a new value, or say why it cannot be had; changes nothing."""
    find_setting(name)
    value = untrusted_value.decode("ascii", errors="replace")
    check_setting(computer, name, value)
    return value
