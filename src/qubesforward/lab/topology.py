# SPDX-License-Identifier: GPL-2.0-or-later
"""What a lab is made of, as data: qubes, outside hosts, networks and names.

`load_topology` gives a `Topology` whose names all refer to something that exists;
`default.toml` beside this file is the example to copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Interface,
    ip_address,
    ip_interface,
    ip_network,
)
from pathlib import Path

from qubesforward.errors import LabError
from qubesforward.lab.toml_table import Table, read_toml
from qubesforward.model.hosts import Address, Network
from qubesforward.qubes.setting import Setting

DEFAULT_TOPOLOGY = Path(__file__).with_name("default.toml")

KLASSES = ("AppVM", "TemplateVM", "StandaloneVM", "DispVM")
LABELS = ("red", "orange", "yellow", "green", "gray", "blue", "purple", "black")
BACKENDS = ("nft", "iptables")
SYSTEM_PROPERTIES = ("default_netvm", "default_template", "default_dispvm")


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A switch outside, with the one network of each family used on it."""

    name: str
    ip: Network
    ip6: Network


@dataclass(frozen=True, slots=True)
class CardSpec:
    """A card plugged into a network: a host's, or a qube's physical one (group 0).

    `also` are further addresses of the card, each alone (/32, /128).
    """

    name: str
    network: str
    ip: IPv4Interface
    ip6: IPv6Interface
    gateway: Address | None
    gateway6: Address | None
    also: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class TunnelSpec:
    """A VPN tunnel from a qube to a host, over UDP with `port` on both ends.

    `address` is the host's outside it: the only one that the qube does not reach
    through the tunnel. Inside, `ip`/`ip6` are the qube's, `peer`/`peer6` the host's.
    """

    name: str
    host: str
    address: IPv4Address
    port: int
    ip: IPv4Interface
    ip6: IPv6Interface
    peer: Address
    peer6: Address


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A program of a qube or host, under its unit name.

    It is kept running; a `oneshot` runs to its end before anything else starts.
    """

    unit: str
    argv: tuple[str, ...]
    oneshot: bool = False


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """A static route of a host."""

    to: Network
    via: Address


@dataclass(frozen=True, slots=True)
class IgdSpec:
    """That a router opens ports when asked, how it can be asked, and for what.

    `natpmp` is for PCP too. `rules` are lines of miniupnpd's configuration, such as
    ``deny 0-65535 0.0.0.0/0 0-65535``; what none is about is allowed.
    """

    natpmp: bool
    upnp: bool
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostSpec:
    """A host outside the Qubes machine; `masquerade` (a card) makes it a router."""

    name: str
    cards: tuple[CardSpec, ...]
    masquerade: str | None
    routes: tuple[RouteSpec, ...]
    services: tuple[ServiceSpec, ...]
    igd: IgdSpec | None


@dataclass(frozen=True, slots=True)
class DnsSpec:
    """The host that answers names, with every name it knows."""

    host: str
    address: Address
    names: dict[str, tuple[Address, ...]]


@dataclass(frozen=True, slots=True)
class QubeSpec:
    """A qube as it shall be when the lab comes up.

    `klass` is one of `KLASSES`; `netvm` None is no netvm. `features` and
    `properties` (any further ones) are text as the Admin API takes it. `card`,
    `tunnel` and `services` are the hypervisor's business, not qubesd's. `backend` is
    the packet filter of the qube, one of `BACKENDS`. Without `agent` nothing of ours
    runs in it.
    """

    name: str
    klass: str
    label: str
    template: str | None
    netvm: str | None
    provides_network: bool
    autostart: bool
    template_for_dispvms: bool
    features: dict[str, str]
    properties: dict[str, str]
    card: CardSpec | None
    tunnel: TunnelSpec | None
    services: tuple[ServiceSpec, ...]
    backend: str
    agent: bool


@dataclass(frozen=True, slots=True)
class Topology:
    """A whole lab. `system` holds properties of the computer (`SYSTEM_PROPERTIES`).

    `backend` is the packet filter of qubes for which nothing else is said. `setting` is
    whether the lab's qubesd and netvms have the outbound rules, as in a stock Qubes, or
    our programs have them, too.
    """

    backend: str
    setting: Setting
    system: dict[str, str]
    networks: tuple[NetworkSpec, ...]
    hosts: tuple[HostSpec, ...]
    dns: DnsSpec | None
    qubes: tuple[QubeSpec, ...]

    @property
    def has_old_qubes(self) -> bool:
        """Whether any qube is without nftables."""
        return "iptables" in (self.backend, *(qube.backend for qube in self.qubes))

    def qube(self, name: str) -> QubeSpec | None:
        """Return the qube that the topology has under this name, if any."""
        return next((qube for qube in self.qubes if qube.name == name), None)

    def host(self, name: str) -> HostSpec | None:
        """Return the outside host of this name, if any."""
        return next((host for host in self.hosts if host.name == name), None)


def load_topology(path: Path | str = DEFAULT_TOPOLOGY) -> Topology:
    """Read a topology file; raise `LabError` naming what is wrong, and where."""
    top = read_toml(Path(path))
    networks = tuple(_parse_network(table) for table in top.tables("networks"))
    known = {network.name: network for network in networks}
    hosts = tuple(_parse_host(table, known) for table in top.tables("hosts"))
    backend = _parse_backend(top, BACKENDS[0])
    topology = Topology(
        backend=backend,
        setting=_parse_setting(top),
        system=_parse_system(top.table("system")),
        networks=networks,
        hosts=hosts,
        dns=_parse_dns(top.table("dns"), hosts),
        qubes=tuple(
            _parse_qube(table, known, backend) for table in top.tables("qubes")
        ),
    )
    top.refuse_unknown()
    _check_names(topology)
    for qube in topology.qubes:
        _check_qube(topology, qube)
    return topology


def _parse_backend(table: Table, default: str) -> str:
    return table.choice("backend", BACKENDS) if "backend" in table else default


def _parse_setting(top: Table) -> Setting:
    if "setting" not in top:
        return Setting.INTEGRATED
    return Setting(top.choice("setting", tuple(Setting)))


def _parse_system(table: Table) -> dict[str, str]:
    system = {key: table.text(key) for key in SYSTEM_PROPERTIES if key in table}
    table.refuse_unknown()
    return system


def _parse_network(table: Table) -> NetworkSpec:
    network = NetworkSpec(
        name=table.name,
        ip=table.read("ip", ip_network, version=4),
        ip6=table.read("ip6", ip_network, version=6),
    )
    table.refuse_unknown()
    return network


def _parse_card(table: Table, networks: dict[str, NetworkSpec], name: str) -> CardSpec:
    network = networks.get(table.text("network"))
    if network is None:
        raise table.wrong("network", f"no [networks.{table.text('network')}]")
    ip = table.read("ip", ip_address, version=4)
    ip6 = table.read("ip6", ip_address, version=6)
    for key, address, net in (("ip", ip, network.ip), ("ip6", ip6, network.ip6)):
        if address not in net:
            raise table.wrong(key, f"not in {net}, the network {network.name}")
    card = CardSpec(
        name=table.interface("name", name),
        network=network.name,
        ip=IPv4Interface(f"{ip}/{network.ip.prefixlen}"),
        ip6=IPv6Interface(f"{ip6}/{network.ip6.prefixlen}"),
        gateway=table.read_optional("gateway", ip_address, version=4),
        gateway6=table.read_optional("gateway6", ip_address, version=6),
        also=table.read_list("also", ip_address),
    )
    table.refuse_unknown()
    return card


def _parse_services(table: Table) -> tuple[ServiceSpec, ...]:
    return tuple(ServiceSpec(unit, table.words(unit)) for unit in table)


def _parse_host(table: Table, networks: dict[str, NetworkSpec]) -> HostSpec:
    host = HostSpec(
        name=table.name,
        cards=tuple(
            _parse_card(card, networks, f"eth{number}")
            for number, card in enumerate(table.table_list("cards"))
        ),
        masquerade=table.optional_text("masquerade"),
        routes=tuple(_parse_route(route) for route in table.table_list("routes")),
        services=_parse_services(table.table("services")),
        igd=_parse_igd(table.table("igd")) if "igd" in table else None,
    )
    table.refuse_unknown()
    if host.igd and not host.masquerade:
        raise table.wrong("igd", "only a router can have it: give masquerade too")
    if host.masquerade and host.masquerade not in {card.name for card in host.cards}:
        raise table.wrong("masquerade", f"no card {host.masquerade}")
    return host


def _parse_igd(table: Table) -> IgdSpec:
    igd = IgdSpec(
        natpmp=table.flag("natpmp"),
        upnp=table.flag("upnp"),
        rules=table.words("rules") if "rules" in table else (),
    )
    table.refuse_unknown()
    return igd


def _parse_route(table: Table) -> RouteSpec:
    route = RouteSpec(table.read("to", ip_network), table.read("via", ip_address))
    table.refuse_unknown()
    return route


def _parse_dns(table: Table, hosts: tuple[HostSpec, ...]) -> DnsSpec | None:
    if "host" not in table:
        table.refuse_unknown()
        return None
    host = next((host for host in hosts if host.name == table.text("host")), None)
    if host is None or not host.cards:
        raise table.wrong("host", f"no [hosts.{table.text('host')}] with a card")
    names = table.table("names")
    known = {name: names.read_list(name, ip_address) for name in names}
    table.refuse_unknown()
    return DnsSpec(host.name, host.cards[0].ip.ip, known)


def _parse_tunnel(table: Table) -> TunnelSpec:
    tunnel = TunnelSpec(
        name=table.interface("name", "tun0"),
        host=table.text("host"),
        address=table.read("address", ip_address, version=4),
        port=table.number("port", 1, 65534),
        ip=table.read("ip", ip_interface, version=4),
        ip6=table.read("ip6", ip_interface, version=6),
        peer=table.read("peer", ip_address, version=4),
        peer6=table.read("peer6", ip_address, version=6),
    )
    table.refuse_unknown()
    return tunnel


def _parse_qube(
    table: Table, networks: dict[str, NetworkSpec], backend: str
) -> QubeSpec:
    qube = QubeSpec(
        name=table.name,
        klass=table.choice("class", KLASSES),
        label=table.choice("label", LABELS),
        template=table.optional_text("template"),
        netvm=table.optional_text("netvm"),
        provides_network=table.flag("provides_network"),
        autostart=table.flag("autostart"),
        template_for_dispvms=table.flag("template_for_dispvms"),
        features=table.table("features").texts(),
        properties=table.table("properties").texts(),
        card=_parse_card(table.table("card"), networks, "ens6")
        if "card" in table
        else None,
        tunnel=_parse_tunnel(table.table("tunnel")) if "tunnel" in table else None,
        services=_parse_services(table.table("services")),
        backend=_parse_backend(table, backend),
        agent="agent" not in table or table.flag("agent"),
    )
    table.refuse_unknown()
    return qube


def _check_names(topology: Topology) -> None:
    """Refuse names that two things would share inside the lab."""
    outside = {host.name for host in topology.hosts}
    for qube in topology.qubes:
        if qube.name in outside:
            raise LabError(f"qubes.{qube.name}: a host has this name already")
    for name in ("dom0", "lab"):
        if name in outside or topology.qube(name):
            raise LabError(f"{name}: this name is taken by the lab itself")
    for key, name in topology.system.items():
        if topology.qube(name) is None:
            raise LabError(f"system.{key}: no [qubes.{name}]")


def _check_qube(topology: Topology, qube: QubeSpec) -> None:
    where = f"qubes.{qube.name}"
    if qube.template is not None and topology.qube(qube.template) is None:
        raise LabError(f"{where}.template: no [qubes.{qube.template}]")
    if qube.tunnel is not None:
        host = topology.host(qube.tunnel.host)
        if host is None:
            raise LabError(f"{where}.tunnel.host: no [hosts.{qube.tunnel.host}]")
        cards = host.cards
        if not any(qube.tunnel.address in (card.ip.ip, *card.also) for card in cards):
            raise LabError(f"{where}.tunnel.address: not one of {host.name}'s")
    above, seen = qube, {qube.name}
    while above.netvm is not None:
        netvm = topology.qube(above.netvm)
        if netvm is None:
            raise LabError(f"qubes.{above.name}.netvm: no [qubes.{above.netvm}]")
        if not netvm.provides_network:
            raise LabError(
                f"qubes.{above.name}.netvm: {netvm.name} lacks provides_network = true"
            )
        if netvm.name in seen:
            raise LabError(f"qubes.{above.name}.netvm: {netvm.name} makes a loop")
        seen.add(netvm.name)
        above = netvm
