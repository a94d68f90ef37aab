# SPDX-License-Identifier: GPL-2.0-or-later
"""The hosts outside the Qubes machine: what runs on them, and how they are wired."""

from __future__ import annotations

from pathlib import Path

from qubesforward.lab import igd
from qubesforward.lab.domain import DomainSpec
from qubesforward.lab.root import Furniture
from qubesforward.lab.sandbox import DOM0_DIR, STATE
from qubesforward.lab.topology import DnsSpec, HostSpec, ServiceSpec, Topology

NAMES_DIR = f"{DOM0_DIR}-names"
_ROUTER_RULES = Path(__file__).with_name("router.nft")
_NAMES_SHOWN = "/run/lab-names"


def describe_host(
    topology: Topology, host: HostSpec, keep: tuple[str, ...]
) -> DomainSpec:
    """Return the domain that a host is made as, and write what its programs read."""
    dns = topology.dns
    binds = {"/var/log/qubes-lab": f"{STATE}/logs/{host.name}"}
    services = list(host.services)
    if host.masquerade:
        rules = ("nft", "-D", f"wan={host.masquerade}", "-f", str(_ROUTER_RULES))
        services.insert(0, ServiceSpec("firewall", rules, oneshot=True))
    if host.igd:
        binds |= igd.write_config(host, host.igd)
        services += igd.list_services()
    if dns and dns.host == host.name:
        binds[_NAMES_SHOWN] = NAMES_DIR
        services.append(_describe_name_server())
    return DomainSpec(
        name=host.name,
        role="host",
        routes=bool(host.masquerade),
        services=tuple(services),
        furniture=Furniture(
            hostname=host.name,
            resolvers=(str(dns.address),) if dns else (),
            binds=binds,
            programs={},
        ),
        keep=keep,
    )


def write_names(dns: DnsSpec) -> None:
    """Write what the name server answers from."""
    lines = [
        f"{address} {name}\n"
        for name, addresses in dns.names.items()
        for address in addresses
    ]
    directory = Path(NAMES_DIR)
    directory.mkdir(exist_ok=True)
    (directory / "names").write_text("".join(lines))


def _describe_name_server() -> ServiceSpec:
    # --no-daemon because it changes neither its user nor its groups then, which a
    # user namespace with a single user would not let it do.
    return ServiceSpec(
        "names",
        (
            "dnsmasq",
            "--no-daemon",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            f"--addn-hosts={_NAMES_SHOWN}/names",
            "--local=//",
        ),
    )
