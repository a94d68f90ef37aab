# SPDX-License-Identifier: GPL-2.0-or-later
"""NAT-PMP, PCP and UPnP IGD without sockets: bytes and the time in, bytes out."""
