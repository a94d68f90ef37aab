# SPDX-License-Identifier: GPL-2.0-or-later
"""qvm-firewall and qvm-forward."""
