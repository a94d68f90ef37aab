# SPDX-License-Identifier: GPL-2.0-or-later
"""Cards, tunnels and the links between qubes, as the hypervisor makes them.

Processes stand for network namespaces here: a `pid` is pid 1 of a domain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from qubesforward.errors import LabError
from qubesforward.lab.command import log, run_command
from qubesforward.lab.hypercall import Link
from qubesforward.lab.old_filter import OldFilter
from qubesforward.lab.topology import CardSpec, HostSpec, NetworkSpec, TunnelSpec

UPLINK_GROUP, DOWNLINK_GROUP = 1, 2
# As Xen's scripts set it; its EUI-64 is the fe80::fcff:ffff:feff:ffff that qubes
# have as their IPv6 gateway.
VIF_MAC = "fe:ff:ff:ff:ff:ff"
QUBE_MAC = "00:16:3e:5e:6c:00"
_QUBE_LINK_LOCAL = "fe80::216:3eff:fe5e:6c00"

OldFilters = tuple[OldFilter | None, OldFilter | None]
"""Of a netvm and its client, where they have no nftables."""

_BASE_DIR = "run/qubes-base"
_KINDS_NEEDED = {
    "veth": "type veth peer name probe-peer",
    "bridge": "type bridge",
    "vxlan": "type vxlan id 1 remote 192.0.2.1 dstport 4789",
}


def run_ip(lines: Iterable[str], pid: int = 0) -> None:
    """Run ``ip`` commands, all or up to the first that fails (`LabError`)."""
    text = "".join(f"{line}\n" for line in lines)
    run_command(["ip", "-batch", "-"], text=text, inside=pid)


def check_kernel() -> None:
    """Raise `LabError` that names what this kernel cannot do; changes nothing."""
    for kind, words in _KINDS_NEEDED.items():
        try:
            run_ip([f"link add dev probe {words}", "link del dev probe"])
        except LabError as error:
            raise LabError(
                f"this kernel makes no {kind} interfaces: try `modprobe {kind}` as"
                f" root, or another kernel ({error})"
            ) from None
    try:
        run_command(["nft", "-c", "-f", "-"], text="table ip probe { }\n")
    except LabError as error:
        raise LabError(
            "this kernel has no nftables: try `modprobe nf_tables` as root, or"
            f" another kernel ({error})"
        ) from None


def build_switches(networks: Sequence[NetworkSpec]) -> None:
    """Make a bridge per outside network, in this process's network namespace."""
    lines = ["link set dev lo up"]
    for network in networks:
        bridge = _bridge_of(network.name)
        # Snooping would hold back neighbour discovery until it has learned.
        lines.append(f"link add dev {bridge} type bridge stp_state 0 mcast_snooping 0")
        lines.append(f"link set dev {bridge} addrgenmode none up")
    run_ip(lines)


def _bridge_of(network: str) -> str:
    return f"br-{network}"[:15]


def plug_card(card: CardSpec, port: str, pid: int) -> None:
    """Plug a card of a domain into its network; `port` is the plug's other end."""
    run_ip(
        [
            f"link add dev {port} type veth"
            f" peer name {card.name} netns {pid} address {_mac_of(card)}",
            f"link set dev {port} master {_bridge_of(card.network)} addrgenmode none",
            f"link set dev {port} up",
        ]
    )
    lines = [f"addr add {card.ip} dev {card.name}"]
    lines.append(f"addr add {card.ip6} dev {card.name} nodad")
    for address in card.also:
        # Deprecated: answers without a will of their own leave by the main one.
        deprecated = "nodad preferred_lft 0" if address.version == 6 else ""
        lines.append(f"addr add {address} dev {card.name} {deprecated}")
    lines.append(f"link set dev {card.name} up")
    if card.gateway:
        lines.append(f"route add 0.0.0.0/0 via {card.gateway} dev {card.name}")
    if card.gateway6:
        lines.append(f"route add ::/0 via {card.gateway6} dev {card.name}")
    run_ip(lines, pid)


def _mac_of(card: CardSpec) -> str:
    """Return the address burnt into a card: a restart of its owner keeps it.

    Neighbours remember it for a while, so a new one would make the card unreachable.
    """
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x51, *card.ip.ip.packed))


def unplug(port: str) -> None:
    """Pull a card out; no error if it is gone with its namespace already."""
    with suppress(LabError):
        run_ip([f"link del dev {port}"])


def add_routes(host: HostSpec, pid: int) -> None:
    """Set a host's static routes."""
    run_ip([f"route add {route.to} via {route.via}" for route in host.routes], pid)


def build_tunnel(tunnel: TunnelSpec, pid: int) -> None:
    """Make a qube's end of its tunnel, and its default routes through it."""
    name = tunnel.name
    qube_mac, host_mac = _macs_of_tunnel(tunnel)
    run_ip(
        [
            _tunnel_command(tunnel, name, qube_mac, f"remote {tunnel.address}"),
            f"addr add {tunnel.ip} dev {name}",
            f"addr add {tunnel.ip6} dev {name} nodad",
            f"link set dev {name} up",
            f"neigh add {tunnel.peer} lladdr {host_mac} dev {name}",
            f"neigh add {tunnel.peer6} lladdr {host_mac} dev {name}",
            f"route add 0.0.0.0/0 via {tunnel.peer} dev {name}",
            f"route add ::/0 via {tunnel.peer6} dev {name}",
        ],
        pid,
    )


def build_tunnel_peer(tunnel: TunnelSpec, name: str, pid: int) -> None:
    """Make the host's end, which learns from packets where the qube is."""
    qube_mac, host_mac = _macs_of_tunnel(tunnel)
    words = f"local {tunnel.address} learning"
    prefix, prefix6 = tunnel.ip.network.prefixlen, tunnel.ip6.network.prefixlen
    run_ip(
        [
            _tunnel_command(tunnel, name, host_mac, words),
            f"addr add {tunnel.peer}/{prefix} dev {name}",
            f"addr add {tunnel.peer6}/{prefix6} dev {name} nodad",
            f"link set dev {name} up",
            f"neigh add {tunnel.ip.ip} lladdr {qube_mac} dev {name}",
            f"neigh add {tunnel.ip6.ip} lladdr {qube_mac} dev {name}",
        ],
        pid,
    )


def _macs_of_tunnel(tunnel: TunnelSpec) -> tuple[str, str]:
    """Return the qube's and the host's address in the tunnel's Ethernet.

    They are known to both from the start: the host has nowhere to ask, as it learns
    from the qube's packets alone where its questions would have to go.
    """
    high, low = divmod(tunnel.port, 256)
    return f"02:00:00:00:{high:02x}:{low:02x}", f"02:00:00:01:{high:02x}:{low:02x}"


def _tunnel_command(tunnel: TunnelSpec, name: str, mac: str, words: str) -> str:
    # VXLAN sends to one fixed port. Only with the source port fixed too are its
    # packets answers to each other for the NAT on the way.
    port = tunnel.port
    ports = f"srcport {port} {port + 1} dstport {port}"
    return f"link add dev {name} address {mac} type vxlan id {port} {ports} {words}"


def check_link(link: Link) -> None:
    """Raise `LabError` for what is no address of the family that it should be."""
    for text, version in (
        (link.ip, 4),
        (link.gateway, 4),
        (link.ip6, 6),
        (link.gateway6, 6),
        *((server, 4) for server in link.dns),
    ):
        try:
            wrong = text is not None and ip_address(text).version != version
        except ValueError:
            wrong = True
        if wrong:
            raise LabError(f"{link.frontend}: {text!a} is no IPv{version} address")


def attach_link(
    link: Link,
    vif: str,
    ends: tuple[int, int],
    far: str | None,
    filters: OldFilters = (None, None),
) -> None:
    """Link a client to its netvm; `ends` are the netvm's pid and the client's.

    `filters` are those of the ends that have no nftables; their links have no group.

    `far` is given for a client with a tunnel: the address that alone is then routed
    over this link. Anti-spoofing holds before the first packet can come.
    """
    backend, frontend = ends
    above, below = filters
    group = DOWNLINK_GROUP if above is None else 0
    own_group = UPLINK_GROUP if below is None else 0
    run_ip(
        [
            f"link add dev {vif} netns {backend} group {group}"
            f" address {VIF_MAC} type veth"
            f" peer name eth0 netns {frontend} group {own_group} address {QUBE_MAC}"
        ]
    )
    if above is None:
        _guard_vif(link, vif, backend)
    else:
        above.guard(link, vif, _QUBE_LINK_LOCAL, backend)
    lines = [f"addr add {link.gateway}/32 dev {vif}", f"link set dev {vif} up"]
    lines.append(f"route add {link.ip}/32 dev {vif}")
    if link.ip6:
        lines.append(f"route add {link.ip6}/128 dev {vif}")
    if link.gateway6 and not ip_address(link.gateway6).is_link_local:
        lines.append(f"addr add {link.gateway6}/128 dev {vif} nodad")
    run_ip(lines, backend)
    target = f"{far}/32" if far else "0.0.0.0/0"
    lines = [f"addr add {link.ip}/32 dev eth0"]
    if link.ip6:
        lines.append(f"addr add {link.ip6}/128 dev eth0 nodad")
    lines.append("link set dev eth0 up")
    lines.append(f"route add {link.gateway}/32 dev eth0")
    lines.append(f"route add {target} via {link.gateway} dev eth0 onlink")
    if link.ip6 and link.gateway6:
        lines.append(f"route add {link.gateway6}/128 dev eth0")
        if not far:
            lines.append(f"route add ::/0 via {link.gateway6} dev eth0 onlink")
    run_ip(lines, frontend)


def detach_link(
    link: Link,
    vif: str,
    ends: tuple[int, int],
    filters: OldFilters = (None, None),
) -> None:
    """Take a link away from whichever of its ends still lives (pid 0: ended)."""
    backend, frontend = ends
    if backend:
        with suppress(LabError):
            run_ip([f"link del dev {vif}"], backend)
        if (above := filters[0]) is None:
            _unguard_vif(link, vif, backend)
        else:
            above.unguard(link, vif, _QUBE_LINK_LOCAL, backend)
    elif frontend:
        # The netvm's namespace is gone, or will be soon, with its end of the pair.
        with suppress(LabError):
            run_ip(["link del dev eth0"], frontend)


def set_dns_relay(address: str, servers: Sequence[str], pid: int) -> None:
    """Have a netvm send what is for the virtual name servers to a real one."""
    rules = "".join(
        f"add rule ip qubes dnat-dns ip daddr {{ {', '.join(servers)} }}"
        f" meta l4proto {proto} th dport 53 dnat to {address}\n"
        for proto in ("udp", "tcp")
    )
    _keep_rules("dns", rules, pid)


def _guard_vif(link: Link, vif: str, pid: int) -> None:
    _keep_rules(vif, _render_guard("add", link, vif), pid)


def _unguard_vif(link: Link, vif: str, pid: int) -> None:
    _rules_file(vif, pid).unlink(missing_ok=True)
    try:
        run_command(
            ["nft", "-f", "-"], text=_render_guard("delete", link, vif), inside=pid
        )
    except LabError:
        log(f"{vif}: the base rules were gone")


def _render_guard(verb: str, link: Link, vif: str) -> str:
    lines = []
    for address in filter(None, (link.ip, link.ip6)):
        table = "ip qubes" if ip_address(address).version == 4 else "ip6 qubes"
        lines.append(f'{verb} element {table} vif_sources {{ "{vif}" . {address} }}')
        lines.append(f"{verb} element {table} below {{ {address} }}")
    element = f'{{ "{vif}" . {_QUBE_LINK_LOCAL} }}'
    lines.append(f"{verb} element ip6 qubes vif_sources {element}")
    return "".join(f"{line}\n" for line in lines)


def _rules_file(name: str, pid: int) -> Path:
    return Path(f"/proc/{pid}/root", _BASE_DIR, f"{name}.nft")


def _keep_rules(name: str, text: str, pid: int) -> None:
    """Load rules now, and again with every reload of the base rules."""
    _rules_file(name, pid).write_text(text)
    try:
        run_command(["nft", "-f", "-"], text=text, inside=pid)
    except LabError:
        # As on a real computer, where a flushed ruleset stops no qube from starting.
        log(f"{name}: the base rules are gone; loaded when they are back")


def pause_network(pid: int) -> None:
    """Let a domain neither hear nor speak, as if its processors stood still."""
    hooks = "".join(
        f"chain {hook} {{ type filter hook {hook} priority -500; policy drop; }}\n"
        for hook in ("prerouting", "output", "postrouting")
    )
    text = f"table inet lab-paused {{\n{hooks}}}\n"
    run_command(["nft", "-f", "-"], text=text, inside=pid)


def unpause_network(pid: int) -> None:
    """Undo `pause_network`."""
    text = "table inet lab-paused\ndelete table inet lab-paused\n"
    run_command(["nft", "-f", "-"], text=text, inside=pid)
