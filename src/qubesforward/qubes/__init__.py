# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients and servers for the wires of Qubes: Admin API, QubesDB, qrexec."""
