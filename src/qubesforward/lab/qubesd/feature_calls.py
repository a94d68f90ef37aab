# SPDX-License-Identifier: GPL-2.0-or-later
"""`admin.vm.feature.*` and `admin.vm.tag.*`."""

from __future__ import annotations

from qubesforward.lab.qubesd.calls import Method, Qubesd
from qubesforward.lab.qubesd.faults import no_such_feature, no_such_tag
from qubesforward.lab.qubesd.network import find_feature, netvm_of, template_of
from qubesforward.lab.qubesd.state import DOM0, Computer, Qube
from qubesforward.lab.qubesd.values import is_feature, is_tag
from qubesforward.qubes.admin_server import Call, Refused

_LINK_FEATURES = ("ipv6", "net.fake-ip", "net.fake-gateway")
"""Features that change links, or what their ends are told."""


def _found(call: Call, value: str | None) -> bytes:
    if value is None:
        raise no_such_feature(call.dest, call.arg)
    return value.encode()


def _nowhere(_computer: Computer, _qube: Qube) -> Qube | None:
    return None


def _dom0(computer: Computer, qube: Qube) -> Qube | None:
    return None if qube.name == DOM0 else computer.qubes[DOM0]


def _template_or_dom0(computer: Computer, qube: Qube) -> Qube | None:
    return template_of(computer, qube) or _dom0(computer, qube)


async def _list(qubesd: Qubesd, call: Call) -> bytes:
    features = qubesd.computer.qube(call.dest).features
    return "".join(f"{name}\n" for name in features).encode()


async def _get(qubesd: Qubesd, call: Call) -> bytes:
    qube = qubesd.computer.qube(call.dest)
    return _found(call, find_feature(qubesd.computer, qube, call.arg, _nowhere))


async def _get_with_template(qubesd: Qubesd, call: Call) -> bytes:
    qube = qubesd.computer.qube(call.dest)
    return _found(call, find_feature(qubesd.computer, qube, call.arg, template_of))


async def _get_with_netvm(qubesd: Qubesd, call: Call) -> bytes:
    qube = qubesd.computer.qube(call.dest)
    return _found(call, find_feature(qubesd.computer, qube, call.arg, netvm_of))


async def _get_with_dom0(qubesd: Qubesd, call: Call) -> bytes:
    qube = qubesd.computer.qube(call.dest)
    return _found(call, find_feature(qubesd.computer, qube, call.arg, _dom0))


async def _get_with_template_and_dom0(qubesd: Qubesd, call: Call) -> bytes:
    qube = qubesd.computer.qube(call.dest)
    found = find_feature(qubesd.computer, qube, call.arg, _template_or_dom0)
    return _found(call, found)


async def _set(qubesd: Qubesd, call: Call) -> bytes:
    qube, name = qubesd.computer.qube(call.dest), call.arg
    if not is_feature(name):
        raise Refused(f"not a feature: {name!r}")
    try:
        value = call.payload.decode("ascii")
    except UnicodeDecodeError:
        raise Refused("feature value is not ASCII") from None
    kwargs = {"feature": name, "value": value}
    if name in qube.features:
        kwargs["oldvalue"] = qube.features[name]
    qube.features[name] = value
    qubesd.computer.save()
    qubesd.events.emit(qube.name, f"domain-feature-set:{name}", **kwargs)
    await _follow(qubesd, name)
    return b""


async def _remove(qubesd: Qubesd, call: Call) -> bytes:
    qube, name = qubesd.computer.qube(call.dest), call.arg
    if qube.features.pop(name, None) is None:
        raise no_such_feature(qube.name, name)
    qubesd.computer.save()
    qubesd.events.emit(qube.name, f"domain-feature-delete:{name}", feature=name)
    await _follow(qubesd, name)
    return b""


async def _follow(qubesd: Qubesd, name: str) -> None:
    if name in _LINK_FEATURES:
        await qubesd.links.converge()


async def _tag_list(qubesd: Qubesd, call: Call) -> bytes:
    tags = sorted(qubesd.computer.qube(call.dest).tags)
    return "".join(f"{tag}\n" for tag in tags).encode()


async def _tag_get(qubesd: Qubesd, call: Call) -> bytes:
    return b"1" if call.arg in qubesd.computer.qube(call.dest).tags else b"0"


async def _tag_set(qubesd: Qubesd, call: Call) -> bytes:
    qube = qubesd.computer.qube(call.dest)
    if not is_tag(call.arg):
        raise Refused(f"not a tag: {call.arg!r}")
    if call.arg not in qube.tags:
        qube.tags.add(call.arg)
        qubesd.computer.save()
        qubesd.events.emit(qube.name, f"domain-tag-add:{call.arg}", tag=call.arg)
    return b""


async def _tag_remove(qubesd: Qubesd, call: Call) -> bytes:
    qube = qubesd.computer.qube(call.dest)
    if call.arg not in qube.tags:
        raise no_such_tag(qube.name, call.arg)
    qube.tags.remove(call.arg)
    qubesd.computer.save()
    qubesd.events.emit(qube.name, f"domain-tag-delete:{call.arg}", tag=call.arg)
    return b""


FEATURE_METHODS = {
    "admin.vm.feature.List": Method(_list),
    "admin.vm.feature.Get": Method(_get, arg=True),
    "admin.vm.feature.Set": Method(_set, arg=True, payload=True),
    "admin.vm.feature.Remove": Method(_remove, arg=True),
    "admin.vm.feature.CheckWithTemplate": Method(_get_with_template, arg=True),
    "admin.vm.feature.CheckWithNetvm": Method(_get_with_netvm, arg=True),
    "admin.vm.feature.CheckWithAdminVM": Method(_get_with_dom0, arg=True),
    "admin.vm.feature.CheckWithTemplateAndAdminVM": Method(
        _get_with_template_and_dom0, arg=True
    ),
    "admin.vm.tag.List": Method(_tag_list),
    "admin.vm.tag.Get": Method(_tag_get, arg=True),
    "admin.vm.tag.Set": Method(_tag_set, arg=True),
    "admin.vm.tag.Remove": Method(_tag_remove, arg=True),
}
