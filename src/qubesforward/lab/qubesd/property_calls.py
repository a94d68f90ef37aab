# SPDX-License-Identifier: GPL-2.0-or-later
"""`admin.vm.property.*` and `admin.property.*`."""

from __future__ import annotations

from qubesforward.lab.qubesd import properties, settings
from qubesforward.lab.qubesd.calls import Dest, Method, Qubesd
from qubesforward.lab.qubesd.events import event_value
from qubesforward.lab.qubesd.faults import fault
from qubesforward.lab.qubesd.network import default_netvm
from qubesforward.lab.qubesd.rules import default_netvm_followers
from qubesforward.lab.qubesd.state import Qube
from qubesforward.qubes.admin_server import Call
from qubesforward.qubes.admin_wire import (
    Property,
    encode_properties,
    encode_property,
)


async def _list(qubesd: Qubesd, call: Call) -> bytes:
    names = properties.property_names(qubesd.computer.qube(call.dest))
    return "".join(f"{name}\n" for name in names).encode()


async def _get(qubesd: Qubesd, call: Call) -> bytes:
    qube = qubesd.computer.qube(call.dest)
    return encode_property(properties.read_property(qubesd.computer, qube, call.arg))


async def _get_all(qubesd: Qubesd, call: Call) -> bytes:
    computer = qubesd.computer
    qube = computer.qube(call.dest)
    return encode_properties(
        {
            name: properties.read_property(computer, qube, name)
            for name in properties.property_names(qube)
        }
    )


async def _get_default(qubesd: Qubesd, call: Call) -> bytes:
    qube = qubesd.computer.qube(call.dest)
    found = properties.find_property(qube, call.arg)
    if found.fixed:
        return b""
    return f"type={found.type} {found.default(qubesd.computer, qube)}".encode()


async def _set(qubesd: Qubesd, call: Call) -> bytes:
    computer, name = qubesd.computer, call.arg
    qube = computer.qube(call.dest)
    old = properties.read_property(computer, qube, name)
    value = properties.check_property(computer, qube, name, call.payload)
    qube.properties[name] = value
    computer.save()
    _tell_set(qubesd, qube.name, name, old, value)
    await _follow(qubesd, name, qube)
    return b""


async def _reset(qubesd: Qubesd, call: Call) -> bytes:
    computer, name = qubesd.computer, call.arg
    qube = computer.qube(call.dest)
    old = properties.read_property(computer, qube, name)
    properties.check_reset(computer, qube, name)
    if qube.properties.pop(name, None) is None:
        return b""
    computer.save()
    new = properties.read_property(computer, qube, name)
    _tell_reset(qubesd, qube, name, old, new.value)
    await _follow(qubesd, name, qube)
    return b""


def _tell_set(
    qubesd: Qubesd, subject: str, name: str, old: Property, newvalue: str
) -> None:
    qubesd.events.emit(
        subject,
        f"property-set:{name}",
        name=name,
        newvalue=event_value(newvalue, old.type),
        oldvalue=event_value(old.value, old.type),
    )


def _tell_reset(
    qubesd: Qubesd, qube: Qube, name: str, old: Property, newvalue: str
) -> None:
    oldvalue = event_value(old.value, old.type)
    qubesd.events.emit(
        qube.name, f"property-reset:{name}", name=name, oldvalue=oldvalue
    )
    if name == "netvm" and newvalue != old.value:
        # Stock tells this one both ways.
        _tell_set(qubesd, qube.name, name, old, newvalue)


async def _follow(qubesd: Qubesd, name: str, qube: Qube | None = None) -> None:
    """Make the links follow what was set; only `qube`'s own failure is the caller's."""
    if name not in properties.NETWORK_PROPERTIES | {"default_netvm"}:
        return
    failures = await qubesd.links.converge()
    if qube is not None and qube.name in failures:
        raise fault(
            "QubesVMError", f"{name} is set, but no link: {failures[qube.name]}"
        )


async def _list_global(_qubesd: Qubesd, _call: Call) -> bytes:
    return "".join(f"{name}\n" for name in settings.SETTINGS).encode()


async def _get_global(qubesd: Qubesd, call: Call) -> bytes:
    return encode_property(settings.read_setting(qubesd.computer, call.arg))


async def _get_all_global(qubesd: Qubesd, _call: Call) -> bytes:
    return encode_properties(
        {
            name: settings.read_setting(qubesd.computer, name)
            for name in settings.SETTINGS
        }
    )


async def _get_default_global(_qubesd: Qubesd, call: Call) -> bytes:
    settings.find_setting(call.arg)
    return b"type=vm "


async def _set_global(qubesd: Qubesd, call: Call) -> bytes:
    computer = qubesd.computer
    old = settings.read_setting(computer, call.arg)
    computer.settings[call.arg] = settings.take_setting(
        computer, call.arg, call.payload
    )
    await _changed_global(qubesd, call.arg, old)
    return b""


async def _reset_global(qubesd: Qubesd, call: Call) -> bytes:
    old = settings.read_setting(qubesd.computer, call.arg)
    if qubesd.computer.settings.pop(call.arg, None) is not None:
        await _changed_global(qubesd, call.arg, old)
    return b""


async def _changed_global(qubesd: Qubesd, name: str, old: Property) -> None:
    computer = qubesd.computer
    computer.save()
    new = settings.read_setting(computer, name)
    if new.default:
        oldvalue = event_value(old.value, old.type)
        qubesd.events.emit("", f"property-reset:{name}", name=name, oldvalue=oldvalue)
    else:
        _tell_set(qubesd, "", name, old, new.value)
    if name == "default_netvm" and new.value != old.value:
        for qube in default_netvm_followers(computer):
            _tell_reset(qubesd, qube, "netvm", old, default_netvm(computer, qube))
    await _follow(qubesd, name)


PROPERTY_METHODS = {
    "admin.vm.property.List": Method(_list),
    "admin.vm.property.Get": Method(_get, arg=True),
    "admin.vm.property.GetAll": Method(_get_all),
    "admin.vm.property.GetDefault": Method(_get_default, arg=True),
    "admin.vm.property.Set": Method(_set, arg=True, payload=True),
    "admin.vm.property.Reset": Method(_reset, arg=True),
    "admin.property.List": Method(_list_global, Dest.DOM0),
    "admin.property.Get": Method(_get_global, Dest.DOM0, arg=True),
    "admin.property.GetAll": Method(_get_all_global, Dest.DOM0),
    "admin.property.GetDefault": Method(_get_default_global, Dest.DOM0, arg=True),
    "admin.property.Set": Method(_set_global, Dest.DOM0, arg=True, payload=True),
    "admin.property.Reset": Method(_reset_global, Dest.DOM0, arg=True),
}
