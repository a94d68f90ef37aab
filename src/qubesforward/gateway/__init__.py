# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway of a network qube: NAT-PMP, PCP and UPnP IGD towards the qubes below."""
