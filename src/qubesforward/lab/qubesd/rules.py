# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold between qubes before a property, a setting or a removal is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qubesforward.lab.qubesd import network
from qubesforward.lab.qubesd.faults import (
    bad_value,
    fault,
    in_use,
    no_such_qube,
    not_halted,
)
from qubesforward.lab.qubesd.state import DOM0, Computer, Qube

_Check = Callable[[Computer, Qube, str], None]


def _find(computer: Computer, name: str) -> Qube:
    if name not in computer.qubes:
        raise no_such_qube(name)
    return computer.qubes[name]


def _check_netvm(computer: Computer, qube: Qube, value: str) -> None:
    if not value:
        return
    netvm = _find(computer, value)
    if not network.provides_network(netvm):
        raise bad_value(f"The {value} qube does not provide network")
    if qube in network.chain_of(computer, netvm):
        raise bad_value("Loops in network are unsupported")
    if computer.is_running(qube.name) and not computer.is_running(value):
        raise fault(
            "QubesVMNotStartedError",
            f"Cannot dynamically attach to stopped NetVM: {value!r}",
        )


def _check_provides_network(computer: Computer, qube: Qube, value: str) -> None:
    if qube.name in computer.running:
        # What makes a qube route is set up when it starts.
        raise not_halted(qube.name)
    clients = [client.name for client in network.clients_of(computer, qube)]
    if value == "False" and clients:
        raise bad_value(
            f"{qube.name} is the netvm of {', '.join(clients)}: change theirs first"
        )


def _check_template(computer: Computer, qube: Qube, value: str) -> None:
    template = _find(computer, value)
    check_template_for(qube.klass, template)
    if qube.name in computer.running:
        raise not_halted(qube.name)


def check_template_for(klass: str, template: Qube) -> None:
    """See whether a qube of this class can be based on `template`."""
    if klass == "DispVM":
        if template.properties.get("template_for_dispvms") != "True":
            raise bad_value(
                f"template for disposable ({template.name}) needs to have"
                " template_for_dispvms=True"
            )
    elif klass != "AppVM":
        raise bad_value(f"{klass} cannot be based on template")
    elif template.klass != "TemplateVM":
        raise bad_value(f"{template.name} is no TemplateVM")


def _check_template_for_dispvms(computer: Computer, qube: Qube, value: str) -> None:
    below = [
        other.name
        for other in computer.guests()
        if network.template_of(computer, other) is qube
    ]
    if value == "False" and below:
        raise in_use(f"{qube.name} is the template of {', '.join(below)}")


def _check_default_dispvm(computer: Computer, _qube: Qube, value: str) -> None:
    if value:
        check_template_for("DispVM", _find(computer, value))


CHECKS: dict[str, _Check] = {
    "netvm": _check_netvm,
    "provides_network": _check_provides_network,
    "template": _check_template,
    "template_for_dispvms": _check_template_for_dispvms,
    "default_dispvm": _check_default_dispvm,
}
"""By property; each raises what the caller is answered."""


def check_setting(computer: Computer, name: str, value: str) -> None:
    """See whether a global setting can have this value; raises what is answered."""
    if not value:
        return
    qube = _find(computer, value)
    if name == "default_dispvm":
        check_template_for("DispVM", qube)
    if name == "default_template" and qube.klass != "TemplateVM":
        raise bad_value(f"{value} is no TemplateVM")
    if name == "default_netvm":
        _check_default_netvm(computer, qube)


def _check_default_netvm(computer: Computer, netvm: Qube) -> None:
    if not network.provides_network(netvm):
        raise bad_value(f"The {netvm.name} qube does not provide network")
    followers = list(default_netvm_followers(computer))
    if any(qube in followers for qube in network.chain_of(computer, netvm)):
        raise bad_value("Loops in network are unsupported")
    if not computer.is_running(netvm.name) and any(
        computer.is_running(qube.name) for qube in followers
    ):
        raise fault(
            "QubesVMNotRunningError",
            f"Cannot change 'default_netvm' to domain that is not running"
            f" ({netvm.name!r}).",
        )


def default_netvm_followers(computer: Computer) -> Iterator[Qube]:
    """Return the qubes that take whatever the default netvm is."""
    return (
        qube
        for qube in computer.guests()
        if qube.klass in network.NETWORKED - {"TemplateVM"}
        and "netvm" not in qube.properties
    )


def check_unused(computer: Computer, qube: Qube) -> None:
    """See whether nothing refers to the qube, so that it can be removed."""
    if qube.name == DOM0:
        raise in_use("'dom0' cannot be removed")
    for name, value in computer.settings.items():
        if value == qube.name:
            raise in_use(f"Domain is in use: {qube.name!r}: global property {name}")
    for other in computer.qubes.values():
        for name in ("netvm", "template", "default_dispvm"):
            if other is not qube and other.properties.get(name) == qube.name:
                raise in_use(f"Domain is in use: {qube.name!r}: {name} of {other.name}")
