# SPDX-License-Identifier: GPL-2.0-or-later
"""Entries and outbound rules as iptables-restore takes them. Pure."""
