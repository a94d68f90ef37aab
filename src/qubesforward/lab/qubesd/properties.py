# SPDX-License-Identifier: GPL-2.0-or-later
"""The properties of qubes: which there are, their defaults, what may be set.

Names, types and defaults are stock qubesd's. Values are text as the Admin API writes
them; for a property that names a qube, the empty text is "none".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qubesforward.lab.qubesd import network
from qubesforward.lab.qubesd.faults import bad_value, no_such_property
from qubesforward.lab.qubesd.rules import CHECKS
from qubesforward.lab.qubesd.state import Computer, Qube
from qubesforward.lab.qubesd.values import (
    parse_bool,
    parse_ip,
    parse_ip6,
    parse_label,
    parse_mac,
)
from qubesforward.qubes.admin_wire import Property

_Derive = Callable[[Computer, Qube], str]
_Parse = Callable[[str], str]

_GUESTS = network.NETWORKED
_ALL = _GUESTS | {"AdminVM"}
_DISPOSABLES = frozenset({"DispVM"})
_DVM_TEMPLATES = frozenset({"AppVM", "StandaloneVM"})


@dataclass(frozen=True)
class Definition:
    """One property: what it is when not set, and how it is set, if it can be.

    `fixed` ones belong to the qube itself, so they never count as default.
    """

    type: str
    default: _Derive
    parse: _Parse | None = None
    classes: frozenset[str] = _GUESTS
    fixed: bool = False
    unique: bool = False
    """A copy of the qube must not have the same value."""


def _take_name(untrusted_text: str) -> str:
    # Whether there is such a qube is asked in `rules`, where the qubes are known.
    return untrusted_text


def _dns(computer: Computer, qube: Qube) -> str:
    return " ".join(network.DNS) if network.is_networked(computer, qube) else ""


def _visible_netmask(computer: Computer, qube: Qube) -> str:
    return network.NETMASK if network.netvm_of(computer, qube) else ""


def _xid(computer: Computer, qube: Qube) -> str:
    if qube.klass == "AdminVM":
        return "0"
    domain = computer.running.get(qube.name)
    return str(domain.xid if domain else -1)


def _icon(computer: Computer, qube: Qube) -> str:
    kind = {"AdminVM": "adminvm", "TemplateVM": "templatevm", "DispVM": "dispvm"}
    if network.provides_network(qube):
        return f"netvm-{_label(computer, qube)}"
    return f"{kind.get(qube.klass, 'appvm')}-{_label(computer, qube)}"


def _label(_computer: Computer, qube: Qube) -> str:
    return qube.properties.get("label", "black" if qube.klass == "AdminVM" else "red")


def _default_dispvm(computer: Computer, qube: Qube) -> str:
    # A disposable makes more of its own kind, so that it stays on its own network.
    if qube.klass == "DispVM":
        return qube.properties.get("template", "")
    return computer.settings.get("default_dispvm", "")


def _based_on_it(computer: Computer, qube: Qube) -> str:
    below = (
        other.name
        for other in computer.guests()
        if network.template_of(computer, other) is qube
    )
    return " ".join(sorted(below))


def _in_backups(_computer: Computer, qube: Qube) -> str:
    return str(qube.properties.get("auto_cleanup") != "True")


def _always(text: str) -> _Derive:
    return lambda _computer, _qube: text


def _record(attribute: str) -> _Derive:
    return lambda _computer, qube: str(getattr(qube, attribute))


_FALSE = _always("False")

PROPERTIES = {
    "name": Definition("str", _record("name"), classes=_ALL, fixed=True),
    "klass": Definition("str", _record("klass"), classes=_ALL),
    "qid": Definition("int", _record("qid"), classes=_ALL, fixed=True),
    "uuid": Definition("str", _record("uuid"), classes=_ALL, fixed=True),
    "xid": Definition("int", _xid, classes=_ALL),
    "label": Definition("label", _label, parse_label, _ALL),
    "icon": Definition("str", _icon, classes=_ALL),
    "default_dispvm": Definition("vm", _default_dispvm, _take_name, _ALL),
    "include_in_backups": Definition("bool", _in_backups, parse_bool, _ALL),
    "updateable": Definition(
        "bool", lambda _c, qube: str(qube.klass in ("TemplateVM", "StandaloneVM"))
    ),
    "installed_by_rpm": Definition("bool", _FALSE, parse_bool, unique=True),
    "autostart": Definition("bool", _FALSE, parse_bool),
    "netvm": Definition("vm", network.default_netvm, _take_name),
    "provides_network": Definition("bool", _FALSE, parse_bool),
    "ip": Definition("str", network.default_ip, parse_ip, unique=True),
    "ip6": Definition("str", network.default_ip6, parse_ip6, unique=True),
    "mac": Definition("str", _always("00:16:3e:5e:6c:00"), parse_mac, unique=True),
    "dns": Definition("str", _dns),
    "gateway": Definition("str", network.gateway_of),
    "gateway6": Definition("str", network.gateway6_of),
    "visible_ip": Definition("str", network.visible_ip_of),
    "visible_ip6": Definition("str", network.ip6_of),
    "visible_gateway": Definition("str", network.visible_gateway_of),
    "visible_gateway6": Definition("str", network.visible_gateway6_of),
    "visible_netmask": Definition("str", _visible_netmask),
    "template": Definition(
        "vm", _always(""), _take_name, network.TEMPLATED, fixed=True, unique=True
    ),
    "template_for_dispvms": Definition("bool", _FALSE, parse_bool, _DVM_TEMPLATES),
    "dispvms": Definition("str", _based_on_it, classes=_DVM_TEMPLATES),
    "appvms": Definition("str", _based_on_it, classes=frozenset({"TemplateVM"})),
    "dispid": Definition(
        "int", _always(""), classes=_DISPOSABLES, fixed=True, unique=True
    ),
    "auto_cleanup": Definition("bool", _FALSE, parse_bool, _DISPOSABLES),
}
"""Every property that some class of qube has."""

NETWORK_PROPERTIES = frozenset({"netvm", "ip", "ip6", "provides_network"})
"""Those that change links or addresses, of this qube and of those behind it."""


def property_names(qube: Qube) -> list[str]:
    """Return the properties that this qube has, sorted."""
    return sorted(n for n, prop in PROPERTIES.items() if qube.klass in prop.classes)


def find_property(qube: Qube, name: str) -> Definition:
    """Find the definition of a property; refuse one that the qube lacks."""
    found = PROPERTIES.get(name)
    if found is None or qube.klass not in found.classes:
        raise no_such_property(qube.name, name)
    return found


def read_property(computer: Computer, qube: Qube, name: str) -> Property:
    """Return what a property is now."""
    found = find_property(qube, name)
    if name in qube.properties:
        return Property(qube.properties[name], found.type, default=False)
    text = found.default(computer, qube)
    return Property(text, found.type, default=not found.fixed)


def check_property(
    computer: Computer, qube: Qube, name: str, untrusted_value: bytes
) -> str:
    """Take a new value for a property, or say why it cannot be had; changes nothing."""
    found = find_property(qube, name)
    if found.parse is None:
        raise bad_value(f"property {name!r} of {qube.name} cannot be set")
    try:
        value = found.parse(untrusted_value.decode("ascii"))
    except UnicodeDecodeError:
        raise bad_value(f"{name}: only ASCII text can be set") from None
    if (check := CHECKS.get(name)) is not None:
        check(computer, qube, value)
    return value


def check_reset(computer: Computer, qube: Qube, name: str) -> None:
    """See whether the default can be had; changes nothing."""
    found = find_property(qube, name)
    if found.parse is None or found.fixed:
        raise bad_value(f"property {name!r} of {qube.name} has no default")
    if (check := CHECKS.get(name)) is not None and name in qube.properties:
        check(computer, qube, found.default(computer, qube))


def inherit_properties(template: Qube, disposable: Qube) -> None:
    """Give a disposable what is set on its template, as stock does."""
    for name, value in template.properties.items():
        found = PROPERTIES[name]
        if disposable.klass in found.classes and not found.unique:
            disposable.properties.setdefault(name, value)
