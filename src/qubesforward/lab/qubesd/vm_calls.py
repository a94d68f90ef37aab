# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls about qubes as wholes: listing, making, removing, starting and ending them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from qubesforward.lab.qubesd.calls import Dest, Method, Qubesd
from qubesforward.lab.qubesd.faults import bad_value, failed, no_such_qube
from qubesforward.lab.qubesd.lifecycle import power_state
from qubesforward.lab.qubesd.network import TEMPLATED
from qubesforward.lab.qubesd.properties import read_property
from qubesforward.lab.qubesd.qubes import create_disposable, create_qube
from qubesforward.lab.qubesd.state import DOM0
from qubesforward.lab.qubesd.values import CLASSES, LABELS, parse_label, parse_name
from qubesforward.qubes.admin_server import Call, Refused


async def _list(qubesd: Qubesd, call: Call) -> bytes:
    computer = qubesd.computer
    names = [DOM0, *sorted(computer.qubes.keys() - {DOM0})]
    return "".join(
        f"{name} class={computer.qubes[name].klass}"
        f" state={power_state(computer, name)}\n"
        for name in (names if call.dest == DOM0 else [call.dest])
    ).encode()


async def _current_state(qubesd: Qubesd, call: Call) -> bytes:
    state = power_state(qubesd.computer, call.dest)
    return f"mem=0 mem_static_max=0 cputime=0 power_state={state}".encode()


async def _classes(_qubesd: Qubesd, _call: Call) -> bytes:
    return "".join(f"{name}\n" for name in sorted((*CLASSES, "AdminVM"))).encode()


async def _labels(_qubesd: Qubesd, _call: Call) -> bytes:
    return "".join(f"{name}\n" for name in LABELS).encode()


async def _label_colour(_qubesd: Qubesd, call: Call) -> bytes:
    return LABELS[parse_label(call.arg)][1].encode()


async def _label_index(_qubesd: Qubesd, call: Call) -> bytes:
    return str(LABELS[parse_label(call.arg)][0]).encode()


def _parse_words(untrusted_payload: bytes) -> Mapping[str, str]:
    try:
        words = untrusted_payload.decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise Refused("payload is not ASCII") from None
    pairs = [word.partition("=") for word in words]
    found = {key: value for key, _sign, value in pairs}
    if len(found) != len(words) or found.keys() != {"name", "label"}:
        raise Refused("payload is to be name=NAME label=LABEL")
    return found


async def _create(klass: str, qubesd: Qubesd, call: Call) -> bytes:
    words = _parse_words(call.payload)
    name, label = parse_name(words["name"]), parse_label(words["label"])
    computer = qubesd.computer
    properties = {"label": label}
    template = call.arg
    if not template and klass == "AppVM":
        template = computer.settings.get("default_template", "")
    if template:
        if template not in computer.qubes:
            raise no_such_qube(template)
        if klass not in TEMPLATED:
            raise bad_value(f"{klass} cannot be based on template")
        properties["template"] = template
    create_qube(computer, qubesd.events, klass, name, properties, call.source)
    return b""


async def _create_disposable(qubesd: Qubesd, call: Call) -> bytes:
    if call.payload not in (b"", b"uuid"):
        raise bad_value("payload is to be empty or 'uuid'")
    computer = qubesd.computer
    template = computer.qube(call.dest)
    if template.name == DOM0:
        source = computer.qube(call.source)
        name = read_property(computer, source, "default_dispvm").value
        if not name:
            raise failed("there is no default disposable template")
        template = computer.qube(name)
    qube = create_disposable(computer, qubesd.events, template, call.source)
    return (f"uuid:{qube.uuid}" if call.payload else qube.name).encode()


async def _remove(qubesd: Qubesd, call: Call) -> bytes:
    await qubesd.lifecycle.remove(call.dest)
    return b""


async def _start(qubesd: Qubesd, call: Call) -> bytes:
    await qubesd.lifecycle.start(call.dest)
    return b""


async def _shutdown(qubesd: Qubesd, call: Call) -> bytes:
    words = call.arg.split("+") if call.arg else []
    if not set(words) <= {"force", "wait"}:
        raise Refused(f"not known: {call.arg!r}")
    await qubesd.lifecycle.shutdown(
        call.dest, force="force" in words, wait="wait" in words
    )
    return b""


async def _kill(qubesd: Qubesd, call: Call) -> bytes:
    await qubesd.lifecycle.kill(call.dest)
    return b""


async def _pause(qubesd: Qubesd, call: Call) -> bytes:
    await qubesd.lifecycle.pause(call.dest)
    return b""


async def _unpause(qubesd: Qubesd, call: Call) -> bytes:
    await qubesd.lifecycle.unpause(call.dest)
    return b""


VM_METHODS = {
    "admin.vm.List": Method(_list),
    "admin.vm.CurrentState": Method(_current_state),
    "admin.vmclass.List": Method(_classes, Dest.DOM0),
    "admin.label.List": Method(_labels, Dest.DOM0),
    "admin.label.Get": Method(_label_colour, Dest.DOM0, arg=True),
    "admin.label.Index": Method(_label_index, Dest.DOM0, arg=True),
    **{
        f"admin.vm.Create.{klass}": Method(
            partial(_create, klass), Dest.DOM0, arg=None, payload=True
        )
        for klass in CLASSES
    },
    "admin.vm.CreateDisposable": Method(_create_disposable, payload=True),
    "admin.vm.Remove": Method(_remove),
    "admin.vm.Start": Method(_start),
    "admin.vm.Shutdown": Method(_shutdown, Dest.GUEST, arg=None),
    "admin.vm.Kill": Method(_kill, Dest.GUEST),
    "admin.vm.Pause": Method(_pause, Dest.GUEST),
    "admin.vm.Unpause": Method(_unpause, Dest.GUEST),
}
