# SPDX-License-Identifier: GPL-2.0-or-later
"""A router that opens ports for who asks it: miniupnpd, as home routers have it.

It speaks UPnP (IGD), NAT-PMP and PCP. To an external address that cannot be reached
from the internet, such as one for documentation or of a carrier's NAT, it opens
nothing: a topology has to give the router another one.
"""

from __future__ import annotations

from pathlib import Path

from qubesforward.lab.sandbox import DOM0_DIR
from qubesforward.lab.topology import HostSpec, IgdSpec, ServiceSpec

HTTP_PORT = 5000
"""Where the description is, as ``/rootDesc.xml``; in reality it may be any port."""

UNIT = "igd"
"""It has to be started anew when the router has got its cards, which it must know."""

_RULES = Path(__file__).with_name("igd.nft")
_SHOWN = "/run/igd"

# Leases as short as a test wants them; miniupnpd's own least for PCP is two minutes.
_CONFIG = """\
ext_ifname={wan}
{listening}
enable_natpmp={natpmp}
enable_upnp={upnp}
http_port={port}
secure_mode=yes
min_lifetime=1
max_lifetime=86400
system_uptime=no
lease_file=/run/igd-leases
upnp_table_name=router
upnp_nat_table_name=router
upnp_forward_chain=igd-forward
upnp_nat_chain=igd-prerouting
upnp_nat_postrouting_chain=igd-postrouting
uuid=5f0d5f4e-6c1c-4d0c-9d7a-000000000001
{rules}
"""


def list_services() -> tuple[ServiceSpec, ...]:
    """Return what runs on a router with one, after its firewall."""
    program = ("miniupnpd", "-d", "-f", f"{_SHOWN}/miniupnpd.conf")
    return (
        ServiceSpec("igd-firewall", ("nft", "-f", str(_RULES)), oneshot=True),
        ServiceSpec(UNIT, program),
    )


def write_config(host: HostSpec, igd: IgdSpec) -> dict[str, str]:
    """Write what it reads; return what `root.Furniture.binds` takes."""
    directory = Path(f"{DOM0_DIR}-igd-{host.name}")
    directory.mkdir(exist_ok=True)
    (directory / "miniupnpd.conf").write_text(render_config(host, igd))
    return {_SHOWN: str(directory)}


def render_config(host: HostSpec, igd: IgdSpec) -> str:
    """Return the text of its configuration."""
    inside = [card.name for card in host.cards if card.name != host.masquerade]
    return _CONFIG.format(
        wan=host.masquerade,
        listening="\n".join(f"listening_ip={name}" for name in inside),
        natpmp="yes" if igd.natpmp else "no",
        upnp="yes" if igd.upnp else "no",
        port=HTTP_PORT,
        rules="\n".join(igd.rules),
    )
