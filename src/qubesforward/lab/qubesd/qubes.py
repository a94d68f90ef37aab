# SPDX-License-Identifier: GPL-2.0-or-later
"""Making qubes and removing them: in memory, on disk, and in everybody's view."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping

from qubesforward.lab.qubesd import network
from qubesforward.lab.qubesd.events import EventHub
from qubesforward.lab.qubesd.faults import bad_value
from qubesforward.lab.qubesd.properties import inherit_properties
from qubesforward.lab.qubesd.rules import check_template_for
from qubesforward.lab.qubesd.state import MAX_DISPID, Computer, Qube
from qubesforward.lab.qubesd.values import LABELS, parse_name
from qubesforward.lab.topology import QubeSpec, Topology


def create_qube(
    computer: Computer,
    events: EventHub,
    klass: str,
    name: str,
    properties: Mapping[str, str],
    creator: str,
) -> Qube:
    """Make a halted qube with the given properties (a template among them, if any).

    `name` has been parsed. Raises what the caller is answered.
    """
    if name in computer.qubes:
        raise bad_value(f"VM {name} already exists")
    template = computer.qubes.get(properties.get("template", ""))
    if template is not None:
        check_template_for(klass, template)
    elif klass in network.TEMPLATED:
        raise bad_value(f"{klass} needs a template")
    qube = computer.add_qube(name, klass)
    qube.properties.update(properties)
    qube.tags.add(f"created-by-{creator}")
    if klass == "DispVM" and template is not None:
        qube.properties.setdefault("dispid", str(_free_dispid(computer)))
        _inherit(qube, template)
    _make_directory(computer, qube)
    computer.save()
    events.emit("", "domain-add", vm=name)
    return qube


def create_disposable(
    computer: Computer, events: EventHub, template: Qube, creator: str
) -> Qube:
    """Make an unnamed disposable of `template`; it is removed when it has ended."""
    check_template_for("DispVM", template)
    dispid = _free_dispid(computer)
    properties = {
        "template": template.name,
        "dispid": str(dispid),
        "auto_cleanup": "True",
        "label": template.properties.get("label", "red"),
    }
    qube = create_qube(computer, events, "DispVM", f"disp{dispid}", properties, creator)
    qube.tags.add(f"disp-created-by-{creator}")
    computer.save()
    return qube


def _free_dispid(computer: Computer) -> int:
    used = {qube.properties.get("dispid") for qube in computer.guests()}
    while True:
        dispid = secrets.randbelow(MAX_DISPID)
        if str(dispid) not in used and f"disp{dispid}" not in computer.qubes:
            return dispid


def _inherit(qube: Qube, template: Qube) -> None:
    inherit_properties(template, qube)
    # Starting by themselves, and making more of themselves, is not passed on.
    for name in ("autostart", "template_for_dispvms"):
        qube.properties.pop(name, None)
    qube.features.update(template.features)
    qube.tags |= {tag for tag in template.tags if not tag.startswith("created-by-")}


def _make_directory(computer: Computer, qube: Qube) -> None:
    directory = computer.paths.directory(qube)
    # What an earlier qube of the name may have left must not become this one's rules.
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


def forget_qube(computer: Computer, events: EventHub, qube: Qube) -> None:
    """Remove a halted qube that nothing needs any more, with all its files."""
    del computer.qubes[qube.name]
    for other in computer.qubes.values():
        for name in ("netvm", "default_dispvm"):
            if other.properties.get(name) == qube.name:
                # Else the next qube of this name would take its place unasked.
                other.properties[name] = ""
    computer.save()
    shutil.rmtree(computer.paths.directory(qube), ignore_errors=True)
    events.emit("", "domain-delete", vm=qube.name)


def seed_qubes(computer: Computer, topology: Topology) -> None:
    """Make the qubes of a topology on a computer that has none yet."""
    computer.settings.update(topology.system)
    for spec in topology.qubes:
        qube = computer.add_qube(parse_name(spec.name), spec.klass)
        qube.properties.update(_seed_properties(spec))
        qube.features.update(_seed_features(spec))
        if spec.klass == "DispVM":
            qube.properties.setdefault("dispid", str(_free_dispid(computer)))
    for spec in topology.qubes:
        qube = computer.qubes[spec.name]
        netvm = spec.netvm or ""
        # One that has what it would have anyway follows the default from then on.
        if netvm != network.default_netvm(computer, qube):
            qube.properties["netvm"] = netvm
        _make_directory(computer, qube)
    computer.save()


def _seed_properties(spec: QubeSpec) -> dict[str, str]:
    properties = {"label": spec.label if spec.label in LABELS else "red"}
    if spec.template is not None:
        properties["template"] = spec.template
    for name in ("provides_network", "autostart", "template_for_dispvms"):
        if getattr(spec, name):
            properties[name] = "True"
    return properties | spec.properties


def _seed_features(spec: QubeSpec) -> dict[str, str]:
    # A card of the lab speaks both families; the topology may say otherwise.
    assumed = {"ipv6": "1"} if spec.card is not None else {}
    if not spec.agent:
        # Or it would have its template's.
        assumed["supported-service.qubes-forward"] = ""
    return assumed | spec.features
