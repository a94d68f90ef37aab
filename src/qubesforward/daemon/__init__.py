# SPDX-License-Identifier: GPL-2.0-or-later
"""qubes-forwardd: the firewall service in dom0."""
