# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the services of a Qubes computer are found. Constants from Qubes itself."""

import re

from qubesforward.errors import UnknownQube

QUBESD_SOCKET = "/var/run/qubesd.sock"
"""Admin API of qubesd, in dom0."""

FORWARDD_SOCKET = "/var/run/qubes-forwardd.sock"
"""Admin API of qubes-forwardd, in dom0: the firewall calls."""

QREXEC_SOCKET = "/var/run/qubes/qrexec-agent"
"""In a qube, and not in dom0: where calls go that it makes."""

QREXEC_CLIENT = "qrexec-client-vm"
"""The program in qubes that makes calls, looked for in PATH."""

QUBESDB_SOCKET = "/var/run/qubes/qubesdb.sock"
"""The QubesDB of whoever asks: inside a qube its own, in dom0 that of dom0."""

QUBES_STATE = "/var/lib/qubes"
"""What qubesd keeps on disk; directories of qubes are below."""

FORWARD_STATE = "/var/lib/qubes-forward"
"""What qubes-forwardd keeps on disk beside a stock qubesd: a directory for a qube."""

AUDIT_LOG = "/var/log/qubes/qubes-forward.log"
"""What was opened and closed, when and for whom; in dom0."""

RUN_DIRECTORY = "/run/qubes-forward"
"""What ends with a boot: in dom0 what programs were granted, and `PORTMAP_SOCKET`."""

PORTMAP_SOCKET = "portmap.sock"
"""In it, where qrexec connects gateways (``qubes.PortMapping``)."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def is_qube_name(name: str) -> bool:
    """Whether a qube can have this name, and so a path can be made of it."""
    return _NAME.fullmatch(name) is not None


def qubesdb_socket(name: str) -> str:
    """Return the dom0 side of the QubesDB of a qube.

    Raises UnknownQube for what cannot be the name of a qube: it becomes a path.
    """
    if name == "dom0":
        return QUBESDB_SOCKET
    if not is_qube_name(name):
        raise UnknownQube(f"no qube can be named {name[:64]!a}")
    return f"/var/run/qubes/qubesdb.{name}.sock"
