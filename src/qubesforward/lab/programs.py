# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of our programs a domain has, and which of them run there as services."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from qubesforward.lab.ground import PACKAGED, Ground
from qubesforward.lab.hypercall import TOPOLOGY_FILE
from qubesforward.lab.qubesd.main import METHODS
from qubesforward.lab.sandbox import HOST
from qubesforward.lab.topology import QubeSpec, ServiceSpec
from qubesforward.qubes.paths import QUBESD_SOCKET
from qubesforward.qubes.setting import Setting

_QVM = "qubesforward.lab.qvm_tools:main"
_QUBESDB = "qubesforward.lab.qubesdb_tools:main"
_OF_QUBESDB = {
    f"qubesdb-{verb}": _QUBESDB
    for verb in ("read", "write", "list", "multiread", "rm", "watch")
}
_QVM_VERBS = (
    "ls prefs features tags create clone remove start shutdown kill pause unpause"
)

# In qubes for those that may manage others; policy says no to the rest.
_TOOLS = {
    "qvm-firewall": "qubesforward.cli.qvm_firewall:main",
    "qvm-forward": "qubesforward.cli.qvm_forward:main",
}

DOM0_PROGRAMS = {
    "qubesd": "qubesforward.lab.qubesd.main:main",
    "qubesd-query": "qubesforward.lab.qubesd_query:main",
    "qubes-forwardd": "qubesforward.daemon.main:main",
    **_TOOLS,
    "qubes-forward-settings": "qubesforward.gui.settings_program:main",
    "qubes-forward-prompt": "qubesforward.gui.prompt_program:main",
    "qubes-prefs": _QVM,
    **{f"qvm-{verb}": _QVM for verb in _QVM_VERBS.split()},
    **_OF_QUBESDB,
}
QUBE_PROGRAMS = {
    "qubes-forward-agent": "qubesforward.agent.main:main",
    "qubes-forward-gateway": "qubesforward.gateway.main:main",
    "qubes-firewall": "qubesforward.agent.outbound_alone:main",
    "qrexec-client-vm": "qubesforward.lab.qrexec.client:main",
    **_TOOLS,
    **_OF_QUBESDB,
}
_OURS = ("qvm-", "qubes-", "qubesdb-")

_DOM0_QUBESDB = "qubesforward.lab.qubesdb_daemon"

# What dom0 gets of the files of the package, and where.
_PACKAGED = Path(__file__).parents[3] / "packaging" / "qrexec"
_OF_PACKAGE = {
    "/etc/qubes/policy.d": "policy.d",
    "/etc/qubes/rpc-config": "rpc-config",
    "/etc/qubes-rpc": "rpc",
}


def render_programs(table: dict[str, str], ground: Ground) -> dict[str, str]:
    """Return what `root.Furniture.programs` takes, for a table above.

    Installed scripts are used as they are; a program without one gets a script
    that calls its function. Of packages those programs are used that they have.
    """
    if ground.is_packaged:
        lab = {name: table[name] for name in table if name not in PACKAGED}
        packaged = {
            name: f"/{PACKAGED[name]}"
            for name in table.keys() & PACKAGED.keys()
            if ground.find(PACKAGED[name], HOST)
        }
        return {**_render_scripts(lab), **packaged}
    others = {"qubes-lab", *DOM0_PROGRAMS, *QUBE_PROGRAMS}
    programs = _render_scripts(table)
    for script in Path(sys.prefix, "bin").glob("*"):
        installed = script.name.startswith(_OURS) and os.access(script, os.X_OK)
        # One that only the other side has must not turn up here.
        if installed and (script.name in table or script.name not in others):
            programs[script.name] = str(script)
    return programs


def _render_scripts(table: dict[str, str]) -> dict[str, str]:
    return {
        name: _render_script(*function.split(":")) for name, function in table.items()
    }


def _render_script(module: str, function: str) -> str:
    # The package may be run from a source tree that only PYTHONPATH names, and
    # packages do not have the lab.
    source = str(Path(__file__).parents[2])
    return (
        f"#!{sys.executable}\n"
        f"import sys\nsys.path.insert(0, {source!r})\n"
        f"from {module} import {function}\nsys.exit({function}())\n"
    )


def find_packaged(ground: Ground) -> dict[str, str]:
    """Return what `root.Furniture.copies` takes, for dom0."""
    if ground.is_packaged:
        found = {path: ground.find(path[1:], HOST) for path in _OF_PACKAGE}
        return {path: source for path, source in found.items() if source}
    return {path: str(_PACKAGED / name) for path, name in _OF_PACKAGE.items()}


def link_stock_services() -> dict[str, str]:
    """Return what `root.Furniture.links` takes: the Admin API over qrexec, as stock.

    Source: the Makefile of qubes-core-admin.
    """
    methods = (*METHODS[Setting.BESIDE], "admin.Events")
    return {f"/etc/qubes-rpc/{method}": QUBESD_SOCKET for method in methods}


def list_dom0_services(setting: Setting) -> tuple[ServiceSpec, ...]:
    """Return what runs in dom0, in the order of starting."""
    daemon = (sys.executable, "-m", _DOM0_QUBESDB, "dom0")
    return (
        ServiceSpec(
            "qubesdb-dom0", (*daemon, "--dom0-socket", "/run/qubes/qubesdb.sock")
        ),
        ServiceSpec(
            "qubesd", ("qubesd", "--topology", TOPOLOGY_FILE, "--setting", setting)
        ),
        ServiceSpec("qubes-forwardd", ("qubes-forwardd", "--setting", setting)),
    )


def list_qube_services(
    spec: QubeSpec | None, setting: Setting, *, routes: bool
) -> tuple[ServiceSpec, ...]:
    """Return what runs in a qube; `spec` is None if the topology does not know it.

    `routes`: it is started as a netvm.
    """
    unit = "qubes-forward-agent"
    agent = ServiceSpec(unit, (unit, "--setting", setting))
    stock = ServiceSpec("qubes-firewall", ("qubes-firewall",))
    if routes and setting is Setting.BESIDE:
        return (stock, *_list_ours(spec, agent))
    return _list_ours(spec, agent)


def _list_ours(spec: QubeSpec | None, agent: ServiceSpec) -> tuple[ServiceSpec, ...]:
    gateway = ServiceSpec("qubes-forward-gateway", ("qubes-forward-gateway",))
    is_netvm = spec is not None and spec.provides_network
    ours: tuple[ServiceSpec, ...] = (agent, gateway) if is_netvm else (agent,)
    if spec is not None and not spec.agent:
        ours = ()
    return (*ours, *(spec.services if spec else ()))


def find_missing(services: Iterable[ServiceSpec]) -> dict[str, str]:
    """Return unit → module for services of ours whose module is not there."""
    missing = {}
    for service in services:
        module = _module_of(service)
        if module and not _exists(module):
            missing[service.unit] = module
    return missing


def _module_of(service: ServiceSpec) -> str:
    if service.argv[1:2] == ("-m",):
        return service.argv[2]
    function = {**DOM0_PROGRAMS, **QUBE_PROGRAMS}.get(service.argv[0], "")
    return function.partition(":")[0]


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False
